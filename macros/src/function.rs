//! What do the macros read of the function they stand on, and how is its body put back?
//!
//! The body is kept as the tokens that the user wrote. Nothing in it needs to be understood, and
//! what is not taken apart cannot be put together wrongly: every error about the body points at
//! the user's code, also while it is half written.

use proc_macro2::{Delimiter, Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{
    Attribute, Error, Ident, LitStr, Result, ReturnType, Signature, Token, Type, Visibility,
};

/// A function with a body, free or in an `impl` or `trait`.
pub struct Function {
    pub attributes: Vec<Attribute>,
    pub visibility: Visibility,
    pub signature: Signature,
    /// The attributes at the top of the body, `#![…]`.
    pub inner_attributes: Vec<Attribute>,
    braces: Span,
    statements: TokenStream,
}

impl Function {
    /// Reads the item below `attribute`, which is how the user writes the macro's name.
    pub fn parse(attribute: &str, item: TokenStream) -> Result<Function> {
        (|input: ParseStream| Function::read(attribute, input)).parse2(item)
    }

    fn read(attribute: &str, input: ParseStream) -> Result<Function> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        expect_function(attribute, input)?;
        let signature = input.parse()?;
        expect_body(attribute, input)?;
        let content;
        let braces = syn::braced!(content in input);
        Ok(Function {
            attributes,
            visibility,
            signature,
            inner_attributes: content.call(Attribute::parse_inner)?,
            braces: braces.span.join(),
            statements: content.parse()?,
        })
    }

    /// The body as the user wrote it, in braces.
    pub fn block(&self) -> Group {
        self.braced(self.statements.clone())
    }

    /// The body for an `async` block, which has no place for the type of its value.
    ///
    /// Without that type nothing is converted to it: `Err(Box::new(error))` stays a box of one
    /// error where the signature says `Box<dyn Error>`. The first `return` of a block decides its
    /// type, so the body begins with one of the right type that is never reached. The `loop` is in
    /// a closure because nothing after a diverging expression counts as reachable.
    pub fn typed_block(&self) -> Group {
        let Some(output) = self.known_output() else {
            return self.block();
        };
        let span = Span::mixed_site().located_at(output.span());
        let statements = &self.statements;
        self.braced(quote_spanned! {span=>
            if false {
                return (|| -> #output { loop {} })();
            }
            #statements
        })
    }

    /// The type in the signature with `_` for each `impl Trait` inside it. `None` where a value
    /// of that type cannot be written down: `impl Trait` itself, and `!`.
    pub fn known_output(&self) -> Option<Type> {
        let mut output = match &self.signature.output {
            ReturnType::Default => {
                let span = self.signature.ident.span();
                return Some(Type::Verbatim(quote_spanned!(span=> ())));
            }
            ReturnType::Type(_, output) => Type::clone(output),
        };
        if matches!(output, Type::ImplTrait(_) | Type::Never(_)) {
            return None;
        }
        EraseImplTrait.visit_type_mut(&mut output);
        Some(output)
    }

    /// The function with another body.
    pub fn with_body(&self, signature: &Signature, body: TokenStream) -> TokenStream {
        let (attributes, visibility) = (&self.attributes, &self.visibility);
        let inner = &self.inner_attributes;
        let block = self.braced(quote!(#(#inner)* #body));
        quote!(#(#attributes)* #visibility #signature #block)
    }

    /// Braces that lie where the user's do: an error about a block as a whole shows the body.
    fn braced(&self, tokens: TokenStream) -> Group {
        let mut group = Group::new(Delimiter::Brace, tokens);
        group.set_span(self.braces);
        group
    }
}

struct EraseImplTrait;

impl VisitMut for EraseImplTrait {
    fn visit_type_mut(&mut self, of: &mut Type) {
        if let Type::ImplTrait(opaque) = of {
            *of = Type::Verbatim(quote_spanned!(opaque.span()=> _));
        } else {
            visit_mut::visit_type_mut(self, of);
        }
    }
}

/// Refuses an item that is no function, by the word that says what it is.
fn expect_function(attribute: &str, input: ParseStream) -> Result<()> {
    let ahead = input.fork();
    while !ahead.peek(Token![fn]) {
        if !skip_qualifier(&ahead)? {
            return Err(no_function(attribute, input));
        }
    }
    Ok(())
}

/// Steps over what may stand before `fn`; false if something else is ahead.
fn skip_qualifier(ahead: ParseStream) -> Result<bool> {
    const QUALIFIERS: [&str; 6] = ["const", "async", "gen", "unsafe", "safe", "extern"];
    if ahead.peek(LitStr) {
        return ahead.parse::<LitStr>().map(|_abi| true);
    }
    if !ahead.peek(Ident::peek_any) {
        return Ok(false);
    }
    let word = ahead.call(Ident::parse_any)?;
    Ok(QUALIFIERS.iter().any(|qualifier| word == qualifier))
}

fn no_function(attribute: &str, input: ParseStream) -> Error {
    match input.fork().parse::<TokenTree>() {
        Ok(first) => {
            let message = format!("`{attribute}` goes on a function, and this is a `{first}`");
            Error::new(first.span(), message)
        }
        Err(_) => input.error(format!("`{attribute}` goes on a function")),
    }
}

fn expect_body(attribute: &str, input: ParseStream) -> Result<()> {
    if !input.peek(Token![;]) {
        return Ok(());
    }
    Err(input.error(format!(
        "`{attribute}` goes on a function with a body: put it on the implementations of this one"
    )))
}

/// `item`, with the reason why the macro could not do its work.
///
/// The item stays, so that its users do not get errors of their own about a name that is gone.
pub fn refuse(error: &Error, item: impl ToTokens) -> TokenStream {
    let error = error.to_compile_error();
    quote!(#error #item)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{pointed_at, same_tokens};

    fn function(source: &str) -> Function {
        match Function::parse("#[x]", source.parse().unwrap()) {
            Ok(function) => function,
            Err(error) => panic!("{error}"),
        }
    }

    #[track_caller]
    fn assert_refused(source: &str, message: &str, at: &str) {
        let Err(error) = Function::parse("#[x]", source.parse().unwrap()) else {
            panic!("accepted");
        };
        assert_eq!(pointed_at(&error), [(message.to_owned(), at.to_owned())]);
    }

    fn output_of(source: &str) -> Option<String> {
        let output = function(source).known_output()?;
        Some(output.to_token_stream().to_string())
    }

    #[test]
    fn a_function_with_every_part_comes_back_as_it_was() {
        let source = r#"
            /// Documented.
            #[inline]
            pub(crate) async unsafe extern "C" fn f<'a, T: Ord>(&'a self, mut t: T) -> &'a T
            where
                T: Send,
            {
                #![allow(unused)]
                t.half_written(
                    1
                )
            }
        "#;
        let function = function(source);
        let statements = &function.statements;
        same_tokens(
            function.with_body(&function.signature, quote!(#statements)),
            source.parse().unwrap(),
        );
    }

    #[test]
    fn items_of_other_kinds_are_named() {
        let is = |word| format!("`#[x]` goes on a function, and this is a `{word}`");
        assert_refused("pub struct S;", &is("struct"), "struct");
        assert_refused("#[derive(Debug)] enum E {}", &is("enum"), "enum");
        assert_refused("impl S { fn f() {} }", &is("impl"), "impl");
        assert_refused("const N: u8 = 1;", &is("const"), "const");
        assert_refused("unsafe impl Send for S {}", &is("unsafe"), "unsafe");
        assert_refused("extern \"C\" { fn f(); }", &is("extern"), "extern");
    }

    #[test]
    fn a_function_without_a_body_is_refused() {
        assert_refused(
            "fn f(&self);",
            "`#[x]` goes on a function with a body: \
             put it on the implementations of this one",
            ";",
        );
    }

    #[test]
    fn no_output_is_the_unit_type() {
        assert_eq!(output_of("fn f() {}").as_deref(), Some("()"));
    }

    #[test]
    fn an_opaque_type_inside_another_is_left_to_be_inferred() {
        let source = "fn f() -> Result<Vec<impl Display>, Box<dyn Error>> {}";
        let known = output_of(source).unwrap().replace(' ', "");
        assert_eq!(known, "Result<Vec<_>,Box<dynError>>");
    }

    #[test]
    fn nothing_is_said_ahead_of_types_that_cannot_be_written() {
        assert_eq!(output_of("fn f() -> impl Display {}"), None);
        assert_eq!(output_of("fn f() -> ! {}"), None);
    }
}
