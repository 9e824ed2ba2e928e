//! What `#[span]` expands to, and what it refuses.

use super::*;
use crate::testing::{compile_errors, pointed_at, same_tokens};

#[track_caller]
fn assert_expands(arguments: &str, item: &str, expected: TokenStream) {
    same_tokens(
        expand(arguments.parse().unwrap(), item.parse().unwrap()),
        expected,
    );
}

#[track_caller]
fn assert_refused(arguments: &str, message: &str, at: &str) {
    let mut problems = Problems::default();
    Options::read(arguments.parse().unwrap(), &mut problems);
    let error = problems.into_error().expect("they should be refused");
    assert_eq!(pointed_at(&error), [(message.to_owned(), at.to_owned())]);
}

#[test]
fn a_function_runs_as_a_closure_in_a_span_of_its_name() {
    assert_expands(
        "",
        "/// Adds.\npub fn add<T: Add>(a: T, b: T) -> T::Output { a + b }",
        quote! {
            /// Adds.
            pub fn add<T: Add>(a: T, b: T) -> T::Output {
                ::telemetry_rt::__private::span_sync(
                    "add",
                    ::std::vec::Vec::new,
                    ::core::file!(),
                    ::core::line!(),
                    ::core::concat!(::core::module_path!(), "::", "add"),
                    move || -> T::Output { a + b }
                )
            }
        },
    );
}

#[test]
fn an_async_method_awaits_its_body_in_a_span_with_attributes() {
    assert_expands(
        "name = \"load order\", attributes(id = id, \"order.kind\" = self.kind()), crate = rt",
        "async fn load(&self, id: i64) -> Result<impl Sized, E> { self.get(id).await }",
        quote! {
            async fn load(&self, id: i64) -> Result<impl Sized, E> {
                let attributes = ::std::vec![
                    rt::__private::KeyValue::new("id", id),
                    rt::__private::KeyValue::new("order.kind", self.kind())
                ];
                rt::__private::span_future(
                    "load order",
                    move || attributes,
                    ::core::file!(),
                    ::core::line!(),
                    ::core::concat!(::core::module_path!(), "::", "load"),
                    async move {
                        if false {
                            return (|| -> Result<_, E> { loop {} })();
                        }
                        self.get(id).await
                    }
                ).await
            }
        },
    );
}

#[test]
fn a_function_that_makes_a_future_is_a_plain_function() {
    let item = "fn f() -> impl Future<Output = ()> { async {} }"
        .parse()
        .unwrap();
    let output = expand(TokenStream::new(), item).to_string();
    assert!(output.contains("span_sync"));
    assert!(output.contains("move || { async { } }"), "{output}");
}

#[test]
fn raw_identifiers_lose_their_prefix_in_names_and_keys() {
    let item = "fn r#match() {}".parse().unwrap();
    let output = expand(quote!(attributes(r#type = 1, loop = 2)), item).to_string();
    assert!(output.contains("span_sync (\"match\""), "{output}");
    assert!(output.contains("new (\"type\" , 1)"), "{output}");
    assert!(output.contains("new (\"loop\" , 2)"), "{output}");
}

#[test]
fn attributes_at_the_top_of_the_body_stay_there() {
    let item = "fn f() { #![allow(unused)] let a = 1; }".parse().unwrap();
    let output = expand(TokenStream::new(), item).to_string();
    assert!(
        output.starts_with("fn f () { # ! [allow (unused)]"),
        "{output}"
    );
}

#[test]
fn an_unknown_argument_is_told_the_known_ones() {
    assert_refused(
        "skip(self)",
        "unknown argument `skip`: `#[telemetry_rt::span]` accepts `name`, `attributes` and `crate`",
        "skip",
    );
}

#[test]
fn a_name_is_a_string_that_is_not_empty() {
    let message = "`name` takes a string, as in `name = \"load\"`";
    assert_refused("name = load", message, "load");
    assert_refused("name = \"\"", "a span's name cannot be empty", "\"\"");
}

#[test]
fn attributes_are_a_list_of_keys_with_values() {
    assert_refused(
        "attributes = [1]",
        "`attributes` takes a list in parentheses, \
         as in `attributes(id = 7, \"order.size\" = size)`",
        "[1]",
    );
    let message = "an attribute of a span is written `key = value`, as in `id = 7`; \
                   a key with dots goes in quotes";
    assert_refused("attributes(id)", message, "id");
    assert_refused("attributes(order.id = 7)", message, "order");
    assert_refused(
        "attributes(\"\" = 7)",
        "an attribute's key cannot be empty",
        "\"\"",
    );
}

#[test]
fn a_key_in_two_spellings_is_given_twice() {
    assert_refused(
        "attributes(id = 1, \"id\" = 2)",
        "the attribute `id` is given twice",
        "\"id\"",
    );
}

#[test]
fn a_const_fn_is_refused_and_kept() {
    let item: TokenStream = "const fn f() {}".parse().unwrap();
    let output = expand(TokenStream::new(), item);
    assert!(
        output.to_string().ends_with("const fn f () { }"),
        "{output}"
    );
    assert_eq!(
        compile_errors(output),
        ["a `const fn` cannot be in a span: it may run in the compiler, which records nothing"]
    );
}

#[test]
fn a_struct_is_refused_and_kept() {
    let output = expand(TokenStream::new(), "pub struct S;".parse().unwrap());
    assert!(output.to_string().ends_with("pub struct S ;"), "{output}");
    assert_eq!(
        compile_errors(output),
        ["`#[telemetry_rt::span]` goes on a function, and this is a `struct`"]
    );
}
