//! What `#[main]` and `#[test]` expand to, and what they refuse.

use super::*;
use crate::testing::{compile_errors, pointed_at, same_tokens};

#[track_caller]
fn assert_expands(entry: Entry, arguments: &str, item: &str, expected: TokenStream) {
    let output = expand(entry, arguments.parse().unwrap(), item.parse().unwrap());
    same_tokens(output, expected);
}

/// The builder calls that `arguments` lead to.
fn builder(entry: Entry, arguments: &str) -> String {
    let mut problems = Problems::default();
    let configuration = Configuration::read(entry, arguments.parse().unwrap(), &mut problems);
    let error = problems.into_error();
    assert_eq!(error.as_ref().map(pointed_at), None);
    configuration.builder().to_string().replace(' ', "")
}

/// The errors about `arguments`, each with what it points at.
fn refused(entry: Entry, arguments: &str) -> Vec<(String, String)> {
    let mut problems = Problems::default();
    Configuration::read(entry, arguments.parse().unwrap(), &mut problems);
    pointed_at(&problems.into_error().expect("they should be refused"))
}

#[track_caller]
fn assert_refused(entry: Entry, arguments: &str, message: &str, at: &str) {
    let expected = [(message.to_owned(), at.to_owned())];
    assert_eq!(refused(entry, arguments), expected);
}

#[track_caller]
fn assert_unfit(entry: Entry, item: &str, message: &str, at: &str) {
    let function = Function::parse("#[x]", item.parse().unwrap());
    let function = function.unwrap_or_else(|error| panic!("{error}"));
    let error = check(entry, &function).expect_err("it should be refused");
    assert_eq!(pointed_at(&error), [(message.to_owned(), at.to_owned())]);
}

/// The beginning of a body that says what type it has.
fn typed(output: TokenStream) -> TokenStream {
    quote! {
        if false {
            return (|| -> #output { loop {} })();
        }
    }
}

#[test]
fn main_runs_its_body_on_a_multi_threaded_runtime() {
    let typed = typed(quote!(Result<(), Box<dyn Error>>));
    assert_expands(
        Entry::Main,
        "worker_threads = 2",
        "async fn main() -> Result<(), Box<dyn Error>> { run().await?; Ok(()) }",
        quote! {
            fn main() -> Result<(), Box<dyn Error>> {
                let body = async {
                    #typed
                    run().await?;
                    Ok(())
                };
                let runtime = ::telemetry_rt::runtime::Builder::new_multi_thread()
                    .enable_all()
                    .worker_threads(2usize)
                    .build()
                    .expect("Failed building the Runtime");
                runtime.block_on(body)
            }
        },
    );
}

#[test]
fn a_test_keeps_its_attributes_and_becomes_a_test() {
    let typed = typed(quote!(()));
    assert_expands(
        Entry::Test,
        "",
        "#[should_panic(expected = \"boom\")] #[ignore] #[cfg(unix)] \
         async fn it_works() { #![allow(unused)] boom() }",
        quote! {
            #[::core::prelude::v1::test]
            #[should_panic(expected = "boom")]
            #[ignore]
            #[cfg(unix)]
            fn it_works() {
                #![allow(unused)]
                let body = async { #typed boom() };
                let runtime = ::telemetry_rt::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("Failed building the Runtime");
                runtime.block_on(body)
            }
        },
    );
}

#[test]
fn a_function_that_is_not_main_keeps_arguments_generics_and_visibility() {
    let source = "pub(crate) async fn run<T>(self, t: T) -> impl Sized where T: Send { t }";
    let output = expand(Entry::Main, TokenStream::new(), source.parse().unwrap());
    let function = Function::parse("#[x]", output);
    let function = function.unwrap_or_else(|error| panic!("{error}"));
    let signature = quote::ToTokens::to_token_stream(&function.signature).to_string();
    let expected = quote!(fn run<T>(self, t: T) -> impl Sized where T: Send);
    assert_eq!(signature, expected.to_string());
}

#[test]
fn each_argument_becomes_a_call_on_the_builder() {
    let multi = "::telemetry_rt::runtime::Builder::new_multi_thread().enable_all()";
    let current = "::telemetry_rt::runtime::Builder::new_current_thread().enable_all()";
    let cases = [
        (Entry::Main, "", multi.to_owned()),
        (Entry::Test, "", current.to_owned()),
        (
            Entry::Main,
            "flavor = \"current_thread\"",
            current.to_owned(),
        ),
        (Entry::Test, "flavor = \"multi_thread\"", multi.to_owned()),
        (
            Entry::Test,
            "worker_threads = 3, flavor = \"multi_thread\"",
            format!("{multi}.worker_threads(3usize)"),
        ),
        (
            Entry::Test,
            "start_paused = true",
            format!("{current}.start_paused(true)"),
        ),
        (
            Entry::Main,
            "flavor = \"current_thread\", start_paused = false,",
            format!("{current}.start_paused(false)"),
        ),
        (
            Entry::Main,
            "crate = \"crate::rt\"",
            "crate::rt::runtime::Builder::new_multi_thread().enable_all()".to_owned(),
        ),
    ];
    for (entry, arguments, expected) in cases {
        assert_eq!(builder(entry, arguments), expected, "{arguments}");
    }
}

#[test]
fn the_british_flavour_is_told_what_is_accepted() {
    assert_refused(
        Entry::Main,
        "flavour = \"multi_thread\"",
        "unknown argument `flavour`: `#[telemetry_rt::main]` accepts \
         `flavor`, `worker_threads`, `start_paused` and `crate`",
        "flavour",
    );
}

#[test]
fn an_unknown_flavor_is_told_the_known_ones() {
    assert_refused(
        Entry::Main,
        "flavor = \"threaded\"",
        "unknown flavor `threaded`: accepted are `multi_thread` and `current_thread`",
        "\"threaded\"",
    );
}

#[test]
fn workers_are_for_the_multi_thread_flavor() {
    assert_refused(
        Entry::Main,
        "flavor = \"current_thread\", worker_threads = 2",
        "`worker_threads` is accepted with flavor `multi_thread` only: \
         `#[telemetry_rt::main(flavor = \"multi_thread\", …)]`",
        "worker_threads = 2",
    );
}

#[test]
fn workers_of_a_test_ask_for_the_flavor_that_is_not_its_default() {
    assert_refused(
        Entry::Test,
        "worker_threads = 2",
        "`worker_threads` is accepted with flavor `multi_thread` only: \
         `#[telemetry_rt::test(flavor = \"multi_thread\", …)]`",
        "worker_threads = 2",
    );
}

#[test]
fn time_can_be_paused_on_one_thread_only() {
    assert_refused(
        Entry::Main,
        "start_paused = true",
        "`start_paused` is accepted with flavor `current_thread` only: \
         `#[telemetry_rt::main(flavor = \"current_thread\", …)]`",
        "start_paused = true",
    );
}

#[test]
fn a_runtime_without_workers_is_refused() {
    assert_refused(
        Entry::Main,
        "worker_threads = 0",
        "`worker_threads` is at least 1: a task needs somebody to poll it",
        "0",
    );
}

#[test]
fn more_workers_than_a_number_can_hold_are_refused() {
    assert_refused(
        Entry::Main,
        "worker_threads = 99999999999999999999",
        "`worker_threads` takes a whole number: number too large to fit in target type",
        "99999999999999999999",
    );
}

#[test]
fn values_of_the_wrong_kind_are_refused_one_by_one() {
    let arguments = "flavor = multi_thread, worker_threads = \"2\", start_paused = 1, crate = 1";
    assert_eq!(
        refused(Entry::Main, arguments)
            .iter()
            .map(|(_, at)| at)
            .collect::<Vec<_>>(),
        ["multi_thread", "\"2\"", "1", "1"]
    );
}

#[test]
fn an_unreadable_flavor_does_not_contradict_the_other_arguments() {
    assert_eq!(
        refused(Entry::Test, "flavor = \"multi\", worker_threads = 2").len(),
        1
    );
}

#[test]
fn a_function_that_is_not_async_is_refused() {
    assert_unfit(
        Entry::Main,
        "pub fn main() {}",
        "`#[telemetry_rt::main]` runs an `async fn`: make this `async fn main`",
        "fn",
    );
}

#[test]
fn main_has_neither_arguments_nor_generics() {
    assert_unfit(
        Entry::Main,
        "async fn main(a: u8, b: u8) {}",
        "`main` takes no arguments",
        "a: u8, b: u8",
    );
    assert_unfit(
        Entry::Main,
        "async fn main<T>() {}",
        "`main` cannot be generic",
        "<T>",
    );
}

#[test]
fn a_test_has_neither_arguments_nor_generics() {
    assert_unfit(
        Entry::Test,
        "async fn t(&self) {}",
        "a test takes no arguments",
        "&self",
    );
    assert_unfit(
        Entry::Test,
        "async fn t<const N: usize>() {}",
        "a test cannot be generic",
        "<const N: usize>",
    );
}

#[test]
fn every_spelling_of_a_second_test_attribute_is_refused() {
    for second in [
        "#[test]",
        "#[core::prelude::v1::test]",
        "#[::std::prelude::rust_2024::test]",
        "#[tokio::test(start_paused = true)]",
        "#[telemetry_rt::test]",
    ] {
        assert_unfit(
            Entry::Test,
            &format!("{second} async fn t() {{}}"),
            "a second test attribute would run the test twice: \
             `#[telemetry_rt::test]` is enough",
            second,
        );
    }
}

#[test]
fn an_attribute_that_wraps_tests_is_no_second_test_attribute() {
    let source = "#[test_log::test] #[case::test] async fn t() {}";
    let function = Function::parse("#[x]", source.parse().unwrap());
    let function = function.unwrap_or_else(|error| panic!("{error}"));
    assert!(check(Entry::Test, &function).is_ok());
}

#[test]
fn a_wrong_argument_leaves_the_function_as_it_would_be_without_it() {
    let item: TokenStream = "async fn main() {}".parse().unwrap();
    let wrong = "crate = rt, flavour = \"x\"".parse().unwrap();
    let output = expand(Entry::Main, wrong, item.clone()).to_string();
    let right = expand(Entry::Main, quote!(crate = rt), item).to_string();
    assert!(output.ends_with(&right), "{output}");
    assert!(output.starts_with(":: core :: compile_error !"), "{output}");
}

#[test]
fn problems_of_the_function_and_of_the_arguments_are_reported_together() {
    let item = "async fn main(a: u8) {}".parse().unwrap();
    let output = expand(Entry::Main, quote!(speed = 1, speed = 2), item);
    assert_eq!(compile_errors(output.clone()).len(), 3);
    assert!(output.to_string().ends_with("fn main () { }"), "{output}");
}

#[test]
fn an_item_that_is_no_function_is_kept_beside_the_error() {
    let output = expand(Entry::Test, quote!(), "struct S;".parse().unwrap());
    assert!(output.to_string().ends_with("struct S ;"), "{output}");
    assert_eq!(
        compile_errors(output),
        ["`#[telemetry_rt::test]` goes on a function, and this is a `struct`"]
    );
}
