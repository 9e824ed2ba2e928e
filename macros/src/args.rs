//! How are the arguments of an attribute read, and how is a wrong one refused?
//!
//! An argument is `key = value` or `key(list)`. Each attribute has a table of the keys it knows,
//! with a sample of each: whatever is wrong, the error names what would have been right. All
//! wrong arguments are reported at once, and the right ones beside them keep their effect.

use proc_macro2::{Ident, TokenStream};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Error, Expr, Lit, LitInt, LitStr, Path, PathArguments, Result, Token};

/// One key that an attribute knows.
pub struct Key {
    pub name: &'static str,
    /// How it is written, key and value.
    pub sample: &'static str,
}

/// The path to the facade, for users who have it under another name.
pub const CRATE: Key = Key {
    name: "crate",
    sample: "crate = my_library::telemetry_rt",
};

/// The path to the facade where the user gives none.
pub fn default_crate() -> Path {
    syn::parse_quote!(::telemetry_rt)
}

/// Everything found wrong so far.
#[derive(Default)]
pub struct Problems(Option<Error>);

impl Problems {
    pub fn add(&mut self, error: Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            none => *none = Some(error),
        }
    }

    /// The value of `result`; an error is kept and becomes `None`.
    pub fn note<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub fn into_error(self) -> Option<Error> {
        self.0
    }
}

/// One argument, as written, whose key is known.
pub struct Argument {
    pub key: &'static Key,
    written: Written,
}

/// Reads the arguments of `attribute`. Only those with a known key come back, each key once.
pub fn read(
    attribute: &str,
    accepted: &'static [Key],
    tokens: TokenStream,
    problems: &mut Problems,
) -> Vec<Argument> {
    let parser = Punctuated::<Written, Token![,]>::parse_terminated;
    let mut arguments: Vec<Argument> = Vec::new();
    for written in problems.note(parser.parse2(tokens)).unwrap_or_default() {
        let known = find(attribute, accepted, &written.key);
        let Some(key) = problems.note(known) else {
            continue;
        };
        let is_it = |argument: &Argument| argument.key.name == key.name;
        if arguments.iter().any(is_it) {
            let message = format!("`{}` is given twice", key.name);
            problems.add(Error::new(written.key.span(), message));
            continue;
        }
        arguments.push(Argument { key, written });
    }
    arguments
}

fn find(attribute: &str, accepted: &'static [Key], written: &Ident) -> Result<&'static Key> {
    if let Some(key) = accepted.iter().find(|key| written == key.name) {
        return Ok(key);
    }
    let names: Vec<&str> = accepted.iter().map(|key| key.name).collect();
    let message = format!(
        "unknown argument `{written}`: `{attribute}` accepts {}",
        enumerate(&names)
    );
    Err(Error::new(written.span(), message))
}

/// "`a`, `b` and `c`".
pub fn enumerate(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => "none".to_owned(),
    }
}

impl Argument {
    pub fn string(&self) -> Result<&LitStr> {
        match self.literal() {
            Some(Lit::Str(text)) => Ok(text),
            _ => Err(self.takes("a string")),
        }
    }

    pub fn boolean(&self) -> Result<bool> {
        match self.literal() {
            Some(Lit::Bool(value)) => Ok(value.value),
            _ => Err(self.takes("`true` or `false`")),
        }
    }

    pub fn integer(&self) -> Result<&LitInt> {
        match self.literal() {
            Some(Lit::Int(value)) => Ok(value),
            _ => Err(self.takes("a whole number")),
        }
    }

    /// A path, bare or in quotes.
    pub fn path(&self) -> Result<Path> {
        let path = match (self.value(), self.literal()) {
            (Some(Expr::Path(bare)), _) => Some(bare.clone())
                .filter(|bare| bare.qself.is_none() && is_plain(&bare.path))
                .map(|bare| bare.path),
            (_, Some(Lit::Str(quoted))) => quoted.parse_with(Path::parse_mod_style).ok(),
            _ => None,
        };
        path.ok_or_else(|| self.takes("a path"))
    }

    /// What stands between the parentheses, each element read by `T`.
    pub fn list<T: Parse>(&self) -> Result<Punctuated<T, Token![,]>> {
        match &self.written.value {
            Value::List(tokens) => Punctuated::parse_terminated.parse2(tokens.clone()),
            _ => Err(self.takes("a list in parentheses")),
        }
    }

    /// An error about the argument as a whole.
    pub fn error(&self, message: impl std::fmt::Display) -> Error {
        Error::new_spanned(&self.written, message)
    }

    fn value(&self) -> Option<&Expr> {
        match &self.written.value {
            Value::Is(value) => Some(value),
            Value::List(_) | Value::Missing => None,
        }
    }

    fn literal(&self) -> Option<&Lit> {
        match self.value() {
            Some(Expr::Lit(literal)) => Some(&literal.lit),
            _ => None,
        }
    }

    fn takes(&self, what: &str) -> Error {
        let Key { name, sample } = self.key;
        let message = format!("`{name}` takes {what}, as in `{sample}`");
        match self.value() {
            Some(value) => Error::new_spanned(value, message),
            None => self.error(message),
        }
    }
}

/// Whether the path can be continued by `::runtime::Builder`.
fn is_plain(path: &Path) -> bool {
    let mut segments = path.segments.iter();
    segments.all(|segment| matches!(segment.arguments, PathArguments::None))
}

/// An argument before its key is looked up.
struct Written {
    key: Ident,
    value: Value,
    tokens: TokenStream,
}

enum Value {
    /// The key stands alone.
    Missing,
    /// `key = value`
    Is(Box<Expr>),
    /// `key(list)`
    List(TokenStream),
}

impl Parse for Written {
    fn parse(input: ParseStream) -> Result<Written> {
        let key = input.call(Ident::parse_any)?;
        let mut tokens = key.to_token_stream();
        let value = Value::parse(input, &mut tokens)?;
        Ok(Written { key, value, tokens })
    }
}

impl Value {
    fn parse(input: ParseStream, tokens: &mut TokenStream) -> Result<Value> {
        if input.peek(syn::token::Paren) {
            let group: proc_macro2::Group = input.parse()?;
            group.to_tokens(tokens);
            return Ok(Value::List(group.stream()));
        }
        if !input.peek(Token![=]) {
            return Ok(Value::Missing);
        }
        input.parse::<Token![=]>()?.to_tokens(tokens);
        let value: Expr = input.parse()?;
        value.to_tokens(tokens);
        Ok(Value::Is(Box::new(value)))
    }
}

impl ToTokens for Written {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        self.tokens.to_tokens(tokens);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pointed_at;

    static KEYS: [Key; 4] = [
        Key {
            name: "text",
            sample: "text = \"t\"",
        },
        Key {
            name: "count",
            sample: "count = 3",
        },
        Key {
            name: "list",
            sample: "list(a, b)",
        },
        CRATE,
    ];

    fn read_all(source: &str) -> (Vec<Argument>, Vec<(String, String)>) {
        let mut problems = Problems::default();
        let arguments = read("#[x]", &KEYS, source.parse().unwrap(), &mut problems);
        let errors = problems.into_error();
        (
            arguments,
            errors.as_ref().map(pointed_at).unwrap_or_default(),
        )
    }

    /// The only argument of `source`.
    fn only(source: &str) -> Argument {
        let (mut arguments, errors) = read_all(source);
        assert_eq!(errors, []);
        assert_eq!(arguments.len(), 1);
        arguments.remove(0)
    }

    #[track_caller]
    fn assert_refused<T>(result: Result<T>, message: &str, at: &str) {
        let error = result.err().expect("it should be refused");
        assert_eq!(pointed_at(&error), [(message.to_owned(), at.to_owned())]);
    }

    fn path_of(source: &str) -> String {
        let path = only(source)
            .path()
            .unwrap_or_else(|error| panic!("{error}"));
        path.to_token_stream().to_string().replace(' ', "")
    }

    #[test]
    fn no_arguments_are_no_problem() {
        let (arguments, errors) = read_all("");
        assert!(arguments.is_empty() && errors.is_empty());
    }

    #[test]
    fn a_trailing_comma_is_no_argument() {
        assert_eq!(only("count = 1,").key.name, "count");
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_known_ones() {
        let (_, errors) = read_all("txt = 1");
        let message = "unknown argument `txt`: \
                       `#[x]` accepts `text`, `count`, `list` and `crate`";
        assert_eq!(errors, [(message.to_owned(), "txt".to_owned())]);
    }

    #[test]
    fn every_wrong_argument_is_reported_and_the_right_ones_are_kept() {
        let (arguments, errors) = read_all("one, count = 1, two(2), count = 2");
        assert_eq!(arguments.len(), 1);
        let at: Vec<&str> = errors.iter().map(|(_, at)| at.as_str()).collect();
        assert_eq!(at, ["one", "two", "count"]);
        assert_eq!(errors[2].0, "`count` is given twice");
    }

    #[test]
    fn a_key_without_value_is_refused_with_a_sample() {
        let message = "`text` takes a string, as in `text = \"t\"`";
        assert_refused(only("text").string(), message, "text");
        assert_refused(only("text(\"t\")").string(), message, "text(\"t\")");
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_pointed_at() {
        let message = "`count` takes a whole number, as in `count = 3`";
        assert_refused(only("count = \"3\"").integer(), message, "\"3\"");
        assert_refused(only("count = -3").integer(), message, "-3");
        let message = "`count` takes `true` or `false`, as in `count = 3`";
        assert_refused(only("count = 1").boolean(), message, "1");
        let message = "`list` takes a list in parentheses, as in `list(a, b)`";
        assert_refused(only("list = [a]").list::<Ident>(), message, "[a]");
    }

    #[test]
    fn values_of_the_right_kind_are_read() {
        assert_eq!(only("text = \"t\"").string().unwrap().value(), "t");
        assert_eq!(
            only("count = 0x10").integer().unwrap().base10_digits(),
            "16"
        );
        assert!(only("count = true").boolean().unwrap());
        assert_eq!(only("list(a, b,)").list::<Ident>().unwrap().len(), 2);
    }

    #[test]
    fn the_crate_is_a_path_with_or_without_quotes() {
        assert_eq!(path_of("crate = crate"), "crate");
        assert_eq!(path_of("crate = ::a::b"), "::a::b");
        assert_eq!(path_of("crate = \"::a::b\""), "::a::b");
        assert_eq!(path_of("crate = \"crate::a\""), "crate::a");
    }

    #[test]
    fn what_is_no_path_is_refused_as_the_crate() {
        let message = "`crate` takes a path, as in `crate = my_library::telemetry_rt`";
        for value in ["\"a b\"", "\"\"", "1", "a::<u8>::b", "<A as B>::c"] {
            assert_refused(only(&format!("crate = {value}")).path(), message, value);
        }
    }

    #[test]
    fn broken_syntax_is_reported_where_it_breaks() {
        let (arguments, errors) = read_all("count = 1 text = 2");
        assert!(arguments.is_empty());
        assert_eq!(errors, [("expected `,`".to_owned(), "text".to_owned())]);
    }
}
