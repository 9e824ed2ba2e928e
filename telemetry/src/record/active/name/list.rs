//! Which names are traced?

/// Which processes get a span: patterns of names, `*` standing for any run of characters.
///
/// A pattern is compared with the short name and with the whole path, so `fetch`,
/// `shop::orders::*` and `*` all list `shop::orders::fetch`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameList {
    patterns: Vec<String>,
}

impl NameList {
    /// Lists every name.
    pub fn all() -> NameList {
        NameList::parse("*")
    }

    /// Lists no name.
    pub fn none() -> NameList {
        NameList::parse("")
    }

    /// Reads a comma list. White space around a pattern, empty patterns and duplicates are
    /// dropped; an empty list traces nothing.
    pub fn parse(list: &str) -> NameList {
        let mut patterns: Vec<String> = Vec::new();
        for pattern in list.split(',').map(str::trim) {
            if !pattern.is_empty() && !patterns.iter().any(|known| known == pattern) {
                patterns.push(pattern.to_owned());
            }
        }
        NameList { patterns }
    }

    /// Whether a process of this name, or with this path, is listed.
    pub fn lists(&self, name: &str, path: &str) -> bool {
        self.patterns
            .iter()
            .any(|pattern| matches(pattern, name) || matches(pattern, path))
    }
}

impl Default for NameList {
    fn default() -> NameList {
        NameList::all()
    }
}

/// Whether `text` is what `pattern` describes: its parts in order, anchored at both ends.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match text.find(part) {
            Some(start) => text = &text[start + part.len()..],
            None => return false,
        }
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_trimmed_and_an_empty_one_lists_nothing() {
        let list = NameList::parse(" fetch ,, fetch,\tshop::* ");
        assert_eq!(list.patterns, ["fetch", "shop::*"]);
        assert!(!NameList::parse(" ,, ").lists("fetch", "shop::fetch"));
        assert!(!NameList::none().lists("", ""));
    }

    #[test]
    fn a_pattern_lists_short_names_and_paths() {
        for pattern in [
            "*",
            "fetch",
            "shop::*",
            "*::fetch",
            "f*h",
            "shop::*::fetch",
            "*orders*",
        ] {
            assert!(
                NameList::parse(pattern).lists("fetch", "shop::orders::fetch"),
                "{pattern}"
            );
        }
        for pattern in [
            "fetc",
            "etch",
            "orders::fetch",
            "shop::*x",
            "f*x*h",
            "Fetch",
        ] {
            assert!(
                !NameList::parse(pattern).lists("fetch", "shop::orders::fetch"),
                "{pattern}"
            );
        }
    }

    #[test]
    fn the_two_ends_of_a_pattern_do_not_share_characters() {
        assert!(!matches("ab*ba", "aba"));
        assert!(matches("ab*ba", "abba"));
    }
}
