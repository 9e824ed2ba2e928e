//! How does `#[main]` or `#[test]` turn an `async fn` into one that runs on a runtime of its own?
//!
//! The body becomes an `async` block within the function of the same name, which is given to
//! `block_on`: the runtime names a process after the path of its future's type, and that path
//! ends in the user's function.

use crate::args::{self, Argument, CRATE, Key, Problems};
use crate::function::{Function, refuse};
use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Error, Path, Result};

/// Which of the two attributes is expanded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    Main,
    Test,
}

impl Entry {
    fn attribute(self) -> &'static str {
        match self {
            Entry::Main => "#[telemetry_rt::main]",
            Entry::Test => "#[telemetry_rt::test]",
        }
    }

    fn default_flavor(self) -> Flavor {
        match self {
            Entry::Main => Flavor::MultiThread,
            Entry::Test => Flavor::CurrentThread,
        }
    }
}

/// Expands `entry`, with the arguments `arguments`, on `item`.
pub fn expand(entry: Entry, arguments: TokenStream, item: TokenStream) -> TokenStream {
    let function = match Function::parse(entry.attribute(), item.clone()) {
        Ok(function) => function,
        Err(error) => return refuse(&error, item),
    };
    let mut problems = Problems::default();
    let fits = problems.note(check(entry, &function)).is_some();
    let configuration = Configuration::read(entry, arguments, &mut problems);
    let output = match fits {
        true => on_runtime(entry, &configuration, &function),
        false => stand_in(&function, item),
    };
    match problems.into_error() {
        Some(error) => refuse(&error, output),
        None => output,
    }
}

/// What is left of a function that cannot run on a runtime. An `async fn main` would make the
/// compiler complain about that as well.
fn stand_in(function: &Function, item: TokenStream) -> TokenStream {
    match is_main(function) && function.signature.asyncness.is_some() {
        true => quote!(
            fn main() {}
        ),
        false => item,
    }
}

fn is_main(function: &Function) -> bool {
    function.signature.ident == "main"
}

fn check(entry: Entry, function: &Function) -> Result<()> {
    expect_async(entry, function)?;
    match entry {
        Entry::Main if is_main(function) => expect_bare("`main`", function),
        Entry::Main => Ok(()),
        Entry::Test => {
            expect_bare("a test", function)?;
            expect_one_test_attribute(function)
        }
    }
}

fn expect_async(entry: Entry, function: &Function) -> Result<()> {
    let signature = &function.signature;
    if signature.asyncness.is_some() {
        return Ok(());
    }
    let (attribute, name) = (entry.attribute(), &signature.ident);
    let message = format!("`{attribute}` runs an `async fn`: make this `async fn {name}`");
    Err(Error::new_spanned(signature.fn_token, message))
}

/// Refuses arguments and generics: nobody is there to give them.
fn expect_bare(what: &str, function: &Function) -> Result<()> {
    let signature = &function.signature;
    if !signature.inputs.is_empty() {
        let message = format!("{what} takes no arguments");
        return Err(Error::new_spanned(&signature.inputs, message));
    }
    if !signature.generics.params.is_empty() {
        let message = format!("{what} cannot be generic");
        return Err(Error::new_spanned(&signature.generics, message));
    }
    Ok(())
}

fn expect_one_test_attribute(function: &Function) -> Result<()> {
    match function
        .attributes
        .iter()
        .find(|attribute| is_test(attribute))
    {
        Some(second) => Err(Error::new_spanned(
            second,
            "a second test attribute would run the test twice: \
             `#[telemetry_rt::test]` is enough",
        )),
        None => Ok(()),
    }
}

/// Whether `attribute` makes a test by itself. Others that end in `test` may well wrap what
/// `#[telemetry_rt::test]` leaves them.
fn is_test(attribute: &Attribute) -> bool {
    let segments = attribute.path().segments.iter();
    let names: Vec<String> = segments.map(|segment| segment.ident.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    matches!(
        names.as_slice(),
        ["test"] | ["telemetry_rt" | "tokio", "test"] | ["core" | "std", "prelude", _, "test"]
    )
}

fn on_runtime(entry: Entry, configuration: &Configuration, function: &Function) -> TokenStream {
    let mut signature = function.signature.clone();
    signature.asyncness = None;
    let block = function.typed_block();
    let builder = configuration.builder();
    let header = match entry {
        Entry::Main => TokenStream::new(),
        Entry::Test => quote!(#[::core::prelude::v1::test]),
    };
    // Mixed-site hygiene makes `body` and `runtime` invisible to the user's code. It also keeps
    // lints quiet about what the user did not write, with no `allow` to clash with a `forbid`.
    let body = quote_spanned! {Span::mixed_site()=>
        let body = async #block;
        let runtime = #builder
            .build()
            .expect("Failed building the Runtime");
        runtime.block_on(body)
    };
    let function = function.with_body(&signature, body);
    quote!(#header #function)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flavor {
    MultiThread,
    CurrentThread,
}

const FLAVORS: [(&str, Flavor); 2] = [
    ("multi_thread", Flavor::MultiThread),
    ("current_thread", Flavor::CurrentThread),
];

static KEYS: [Key; 4] = [
    Key {
        name: "flavor",
        sample: "flavor = \"multi_thread\"",
    },
    Key {
        name: "worker_threads",
        sample: "worker_threads = 4",
    },
    Key {
        name: "start_paused",
        sample: "start_paused = true",
    },
    CRATE,
];

/// The runtime that the arguments ask for.
struct Configuration {
    flavor: Flavor,
    worker_threads: Option<usize>,
    start_paused: Option<bool>,
    krate: Path,
}

impl Configuration {
    fn read(entry: Entry, arguments: TokenStream, problems: &mut Problems) -> Configuration {
        let arguments = args::read(entry.attribute(), &KEYS, arguments, problems);
        let mut configuration = Configuration {
            flavor: entry.default_flavor(),
            worker_threads: None,
            start_paused: None,
            krate: args::default_crate(),
        };
        for argument in &arguments {
            let applied = configuration.apply(argument);
            problems.note(applied);
        }
        // A flavor that could not be read is not known to contradict anything.
        if problems.is_empty() {
            let consistent = configuration.expect_consistent(entry, &arguments);
            problems.note(consistent);
        }
        configuration
    }

    fn apply(&mut self, argument: &Argument) -> Result<()> {
        match argument.key.name {
            "flavor" => self.flavor = flavor(argument)?,
            "worker_threads" => self.worker_threads = Some(worker_threads(argument)?),
            "start_paused" => self.start_paused = Some(argument.boolean()?),
            "crate" => self.krate = argument.path()?,
            other => unreachable!("`{other}` is in the table of keys, and read by nobody"),
        }
        Ok(())
    }

    /// Refuses an argument that means nothing to the flavor.
    fn expect_consistent(&mut self, entry: Entry, arguments: &[Argument]) -> Result<()> {
        let (key, needs) = match self.flavor {
            Flavor::CurrentThread => ("worker_threads", "multi_thread"),
            Flavor::MultiThread => ("start_paused", "current_thread"),
        };
        let Some(argument) = arguments.iter().find(|given| given.key.name == key) else {
            return Ok(());
        };
        (self.worker_threads, self.start_paused) = (None, None);
        let attribute = entry.attribute().trim_end_matches(']');
        Err(argument.error(format!(
            "`{key}` is accepted with flavor `{needs}` only: \
             `{attribute}(flavor = \"{needs}\", …)]`"
        )))
    }

    fn builder(&self) -> TokenStream {
        let krate = &self.krate;
        let new = match self.flavor {
            Flavor::MultiThread => quote!(new_multi_thread),
            Flavor::CurrentThread => quote!(new_current_thread),
        };
        let worker_threads = self.worker_threads.iter();
        let start_paused = self.start_paused.iter();
        quote_spanned! {Span::mixed_site().located_at(krate.span())=>
            #krate::runtime::Builder::#new()
                .enable_all()
                #(.worker_threads(#worker_threads))*
                #(.start_paused(#start_paused))*
        }
    }
}

fn flavor(argument: &Argument) -> Result<Flavor> {
    let text = argument.string()?;
    let written = text.value();
    if let Some((_, flavor)) = FLAVORS.iter().find(|(name, _)| *name == written) {
        return Ok(*flavor);
    }
    let accepted = args::enumerate(&FLAVORS.map(|(name, _)| name));
    let message = format!("unknown flavor `{written}`: accepted are {accepted}");
    Err(Error::new_spanned(text, message))
}

fn worker_threads(argument: &Argument) -> Result<usize> {
    let literal = argument.integer()?;
    let refused = |message: String| Err(Error::new_spanned(literal, message));
    match literal.base10_parse() {
        Ok(0) => {
            refused("`worker_threads` is at least 1: a task needs somebody to poll it".to_owned())
        }
        Ok(threads) => Ok(threads),
        Err(error) => refused(format!("`worker_threads` takes a whole number: {error}")),
    }
}

#[cfg(test)]
mod tests;
