//! How does `#[span]` put the body of a function into a span?
//!
//! The function keeps its signature. A body of an `async fn` becomes an `async move` block, any
//! other a closure, and the facade runs that within a span:
//!
//! ```text
//! fn f(…) -> T {                       async fn f(…) -> T {
//!     let attributes = vec![…];            let attributes = vec![…];
//!     span_sync(                           span_future(
//!         name, move || attributes,            name, move || attributes,
//!         file, line, module,                  file, line, module,
//!         move || -> T { body },               async move { body },
//!     )                                    ).await
//! }                                    }
//! ```
//!
//! The attributes are computed before the body is made because the body takes the function's
//! arguments with it.

use crate::args::{self, Argument, CRATE, Key, Problems};
use crate::function::{Function, refuse};
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Error, Expr, Ident, LitStr, Path, Result, Token};

const ATTRIBUTE: &str = "#[telemetry_rt::span]";

/// Expands `#[span(arguments)]` on `item`.
pub fn expand(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let function = match Function::parse(ATTRIBUTE, item.clone()) {
        Ok(function) => function,
        Err(error) => return refuse(&error, item),
    };
    let mut problems = Problems::default();
    problems.note(check(&function));
    let options = Options::read(arguments, &mut problems);
    match problems.into_error() {
        Some(error) => refuse(&error, item),
        None => in_span(&options, &function),
    }
}

fn check(function: &Function) -> Result<()> {
    match &function.signature.constness {
        Some(constness) => Err(Error::new_spanned(
            constness,
            "a `const fn` cannot be in a span: it may run in the compiler, which records nothing",
        )),
        None => Ok(()),
    }
}

fn in_span(options: &Options, function: &Function) -> TokenStream {
    let asynchronous = function.signature.asyncness.is_some();
    let computed = options.computed_attributes();
    let call = match asynchronous {
        true => call(options, function, "span_future", &future(function)),
        false => call(options, function, "span_sync", &closure(function)),
    };
    let awaited = asynchronous.then(|| quote!(.await));
    function.with_body(&function.signature, quote!(#computed #call #awaited))
}

fn future(function: &Function) -> TokenStream {
    let block = function.typed_block();
    quote_spanned!(Span::mixed_site()=> async move #block)
}

/// `move`, so that a reborrow of a `&mut` argument may be returned.
fn closure(function: &Function) -> TokenStream {
    let block = function.block();
    match function.known_output() {
        Some(output) => quote_spanned!(Span::mixed_site()=> move || -> #output #block),
        None => quote_spanned!(Span::mixed_site()=> move || #block),
    }
}

fn call(options: &Options, function: &Function, helper: &str, body: &TokenStream) -> TokenStream {
    let name = options.name(function);
    let krate = &options.krate;
    let helper = Ident::new(helper, Span::mixed_site());
    let attributes = options.attributes_closure();
    let place = place(function);
    quote_spanned! {Span::mixed_site().located_at(krate.span())=>
        #krate::__private::#helper(#name, #attributes, #place, #body)
    }
}

/// Where the function is. `line!` answers with the line its tokens are on: that of the name,
/// not that of the attribute above.
fn place(function: &Function) -> TokenStream {
    let span = function.signature.ident.span();
    let name = function.signature.ident.unraw().to_string();
    quote_spanned!(span=> ::core::file!(), ::core::line!(),
        ::core::concat!(::core::module_path!(), "::", #name))
}

static KEYS: [Key; 3] = [
    Key {
        name: "name",
        sample: "name = \"load\"",
    },
    Key {
        name: "attributes",
        sample: "attributes(id = 7, \"order.size\" = size)",
    },
    CRATE,
];

struct Options {
    name: Option<LitStr>,
    attributes: Vec<Pair>,
    krate: Path,
}

impl Options {
    fn read(arguments: TokenStream, problems: &mut Problems) -> Options {
        let mut options = Options {
            name: None,
            attributes: Vec::new(),
            krate: args::default_crate(),
        };
        for argument in args::read(ATTRIBUTE, &KEYS, arguments, problems) {
            let applied = options.apply(&argument);
            problems.note(applied);
        }
        options
    }

    fn apply(&mut self, argument: &Argument) -> Result<()> {
        match argument.key.name {
            "name" => self.name = Some(name(argument)?),
            "attributes" => self.attributes = attributes(argument)?,
            "crate" => self.krate = argument.path()?,
            other => unreachable!("`{other}` is in the table of keys, and read by nobody"),
        }
        Ok(())
    }

    fn name(&self, function: &Function) -> LitStr {
        let ident = &function.signature.ident;
        let given = self.name.clone();
        given.unwrap_or_else(|| LitStr::new(&ident.unraw().to_string(), ident.span()))
    }

    /// The statement that computes the attributes, if there are any.
    fn computed_attributes(&self) -> Option<TokenStream> {
        let (krate, pairs) = (&self.krate, &self.attributes);
        if pairs.is_empty() {
            return None;
        }
        let values = pairs.iter().map(|Pair { key, value }| {
            quote_spanned!(Span::mixed_site().located_at(value.span())=>
                #krate::__private::KeyValue::new(#key, #value))
        });
        Some(quote_spanned! {Span::mixed_site()=>
            let attributes = ::std::vec![#(#values),*];
        })
    }

    fn attributes_closure(&self) -> TokenStream {
        match self.attributes.is_empty() {
            true => quote!(::std::vec::Vec::new),
            false => quote_spanned!(Span::mixed_site()=> move || attributes),
        }
    }
}

fn name(argument: &Argument) -> Result<LitStr> {
    let name = argument.string()?;
    match name.value().is_empty() {
        true => Err(Error::new_spanned(name, "a span's name cannot be empty")),
        false => Ok(name.clone()),
    }
}

fn attributes(argument: &Argument) -> Result<Vec<Pair>> {
    let pairs: Vec<Pair> = argument.list()?.into_iter().collect();
    for (index, Pair { key, .. }) in pairs.iter().enumerate() {
        if pairs[..index]
            .iter()
            .any(|earlier| earlier.key.value() == key.value())
        {
            let message = format!("the attribute `{}` is given twice", key.value());
            return Err(Error::new_spanned(key, message));
        }
    }
    Ok(pairs)
}

/// One attribute of the span, `key = value`.
struct Pair {
    key: LitStr,
    value: Expr,
}

impl Parse for Pair {
    fn parse(input: ParseStream) -> Result<Pair> {
        let key = parse_key(input)?;
        if !input.peek(Token![=]) {
            let message = "an attribute of a span is written `key = value`, as in `id = 7`; \
                           a key with dots goes in quotes";
            return Err(Error::new_spanned(key.to_token_stream(), message));
        }
        input.parse::<Token![=]>()?;
        let value = input.parse()?;
        Ok(Pair { key, value })
    }
}

fn parse_key(input: ParseStream) -> Result<LitStr> {
    if input.peek(Ident::peek_any) {
        let word = input.call(Ident::parse_any)?;
        return Ok(LitStr::new(&word.unraw().to_string(), word.span()));
    }
    let quoted: LitStr = input.parse()?;
    match quoted.value().is_empty() {
        true => Err(Error::new_spanned(
            quoted,
            "an attribute's key cannot be empty",
        )),
        false => Ok(quoted),
    }
}

#[cfg(test)]
mod tests;
