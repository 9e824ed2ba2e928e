//! Which characters of a type's printed name stand outside of all brackets?
//!
//! `core::result::Result<(u8, char), app::Error>` has one comma that separates the arguments of
//! the `Result` and one that does not. What is asked of such a name is always something about the
//! outermost level, so this is the one place that counts brackets.

/// The characters outside of all brackets and their places. A bracket that opens counts as outside,
/// the one that closes it does not.
pub(in crate::record) fn outside_brackets(name: &str) -> impl Iterator<Item = (usize, char)> {
    let mut depth = 0_u32;
    name.char_indices().filter(move |&(index, character)| {
        let before = depth;
        match character {
            _ if is_no_bracket(name, index) => {}
            '<' | '(' | '[' => depth += 1,
            '>' | ')' | ']' => {
                depth = depth.saturating_sub(1);
                return false;
            }
            _ => {}
        }
        before == 0
    })
}

/// The arrow of a function type opens and closes nothing, neither does a character that is the
/// argument of a constant parameter: `fn(u8) -> u8`, `split<'>'>`.
fn is_no_bracket(name: &str, index: usize) -> bool {
    let bytes = name.as_bytes();
    let neighbour = |offset: isize| {
        let place = index.checked_add_signed(offset)?;
        bytes.get(place)
    };
    neighbour(-1) == Some(&b'-') || (neighbour(-1), neighbour(1)) == (Some(&b'\''), Some(&b'\''))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside(name: &str) -> String {
        outside_brackets(name).map(|(_, shown)| shown).collect()
    }

    #[test]
    fn what_is_in_brackets_is_passed_over() {
        for (name, expected) in [
            ("a::B<c::D<e>>::f", "a::B<::f"),
            ("<a as b<c>>::d<e, f>", "<::d<"),
            ("fn(u8, fn() -> u8) -> g::H<i>", "fn( -> g::H<"),
            ("([u8; 3], x), y", "(, y"),
            ("a::split<'>'>::b", "a::split<::b"),
            ("a::split<'-'>::b", "a::split<::b"),
            ("a::count<-3>::größe", "a::count<::größe"),
            // No name of a type; but nothing may panic.
            (">>a", "a"),
            ("a<", "a<"),
            ("", ""),
        ] {
            assert_eq!(outside(name), expected, "{name}");
        }
    }
}
