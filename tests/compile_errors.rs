//! What does a user read who writes one of the attributes wrongly?
//!
//! Each file of `tests/ui` is a program with one mistake, and the file beside it is what the
//! compiler says about it. After a deliberate change of a message write them anew with
//! `TRYBUILD=overwrite`, and read them before they are committed.

#[test]
fn a_wrong_attribute_is_refused_in_words_that_help() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
