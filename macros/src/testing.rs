//! What the tests of several files ask of token streams and errors.

use proc_macro2::TokenStream;

/// Each message of `error`, with the source text that it points at. The tokens in question must
/// have been parsed from a string: only those have a source.
pub fn pointed_at(error: &syn::Error) -> Vec<(String, String)> {
    let parts = error.clone().into_iter();
    parts
        .map(|part| {
            (
                part.to_string(),
                part.span().source_text().unwrap_or_default(),
            )
        })
        .collect()
}

/// Panics unless both streams are the same items; layout does not count.
#[track_caller]
pub fn same_tokens(actual: TokenStream, expected: TokenStream) {
    let (actual, expected) = (pretty(actual), pretty(expected));
    assert!(
        actual == expected,
        "got\n{actual}\nbut expected\n{expected}"
    );
}

fn pretty(items: TokenStream) -> String {
    match syn::parse2(items.clone()) {
        Ok(file) => prettyplease::unparse(&file),
        // A body that is not Rust (yet) is compared as it is.
        Err(_) => items.to_string(),
    }
}

/// The messages of the `compile_error!` calls in `items`.
pub fn compile_errors(items: TokenStream) -> Vec<String> {
    let file: syn::File = syn::parse2(items).expect("the output should be items");
    let macros = file.items.iter().filter_map(|item| match item {
        syn::Item::Macro(item) => Some(&item.mac),
        _ => None,
    });
    macros
        .map(|call| call.parse_body::<syn::LitStr>().expect("a message").value())
        .collect()
}
