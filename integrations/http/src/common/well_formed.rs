//! Is it what W3C Trace Context and W3C Baggage say, and within bounds?

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Oversized,
    Malformed,
    Duplicate,
}

impl Wrong {
    /// As it is counted.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Wrong::Oversized => "oversized",
            Wrong::Malformed => "malformed",
            Wrong::Duplicate => "duplicate",
        }
    }
}

/// A later version may add to the 55 characters of today; so much is read of what it adds.
const LONGEST_PARENT: usize = 256;

/// The specification asks to carry 512 characters at least.
pub(crate) const LONGEST_STATE: usize = 4096;
const MOST_STATES: usize = 32;

/// As much as the specification asks to carry, and no more.
pub(crate) const LONGEST_BAGGAGE: usize = 8192;
const MOST_BAGGAGE: usize = 64;

/// `00-`, 32 digits, `-`, 16 digits, `-`, 2 digits; a later version may add something to that.
pub(crate) fn parent(header: &str) -> Result<(), Wrong> {
    const LENGTH: usize = 55;
    if header.len() > LONGEST_PARENT {
        return Err(Wrong::Oversized);
    }
    let Some((start, more)) = header.as_bytes().split_at_checked(LENGTH) else {
        return Err(Wrong::Malformed);
    };
    let has_form = start.iter().enumerate().all(|(place, byte)| match place {
        2 | 35 | 52 => *byte == b'-',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    });
    let version = &start[..2];
    let goes_on = version != b"00" && more.first() == Some(&b'-');
    let has_ids = !is_zero(&start[3..35]) && !is_zero(&start[36..52]);
    good(has_form && has_ids && version != b"ff" && (more.is_empty() || goes_on))
}

fn is_zero(digits: &[u8]) -> bool {
    digits.iter().all(|digit| *digit == b'0')
}

fn good(is_good: bool) -> Result<(), Wrong> {
    if is_good {
        Ok(())
    } else {
        Err(Wrong::Malformed)
    }
}

/// `key=value` by commas; empty members are allowed, a key twice is not.
pub(crate) fn state(header: &str) -> Result<(), Wrong> {
    if header.len() > LONGEST_STATE {
        return Err(Wrong::Oversized);
    }
    let mut keys = [""; MOST_STATES];
    for (count, member) in members(header).enumerate() {
        let (key, value) = member.split_once('=').ok_or(Wrong::Malformed)?;
        good(is_state_key(key) && is_state_value(value) && !keys[..count].contains(&key))?;
        *keys.get_mut(count).ok_or(Wrong::Oversized)? = key;
    }
    Ok(())
}

fn members(header: &str) -> impl Iterator<Item = &str> {
    let trimmed = header
        .split(',')
        .map(|member| member.trim_matches([' ', '\t']));
    trimmed.filter(|member| !member.is_empty())
}

/// One letter or digit, then letters, digits and some signs: 256 of them; if there is an `@`, at most
/// 241 before it and 14 after it.
fn is_state_key(key: &str) -> bool {
    let (tenant, system) = match key.split_once('@') {
        Some((tenant, system)) => (tenant, Some(system)),
        None => (key, None),
    };
    let is_part = |part: &str, most: usize| {
        let first = part.bytes().next();
        part.len() <= most
            && first.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            && part.bytes().all(is_key_byte)
    };
    match system {
        Some(system) => is_part(tenant, 241) && is_part(system, 14),
        None => is_part(tenant, 256),
    }
}

fn is_key_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/')
}

fn is_state_value(value: &str) -> bool {
    let is_allowed = |byte: u8| matches!(byte, b' '..=b'~') && byte != b',' && byte != b'=';
    (1..=256).contains(&value.len()) && value.bytes().all(is_allowed)
}

/// `key=value;property` by commas. Values are taken as they come, as long as they are visible.
pub(crate) fn baggage(header: &str) -> Result<(), Wrong> {
    if header.len() > LONGEST_BAGGAGE {
        return Err(Wrong::Oversized);
    }
    for (index, member) in members(header).enumerate() {
        if index == MOST_BAGGAGE {
            return Err(Wrong::Oversized);
        }
        good(is_baggage(member))?;
    }
    Ok(())
}

fn is_baggage(member: &str) -> bool {
    let pair = member.split(';').next().unwrap_or_default();
    let Some((key, value)) = pair.split_once('=') else {
        return false;
    };
    let key = key.trim_matches([' ', '\t']);
    let is_visible = |byte: u8| matches!(byte, b' '..=b'~' | b'\t');
    !key.is_empty() && key.bytes().all(is_token) && value.bytes().all(is_visible)
}

/// What the names of headers are made of.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: &str = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";

    #[test]
    fn a_parent_has_the_form_of_its_version() {
        let good = [
            format!("00-{IDS}-01"),
            format!("00-{IDS}-ff"),
            format!("01-{IDS}-00"),
            format!("01-{IDS}-00-more"),
            format!("fe-{IDS}-00-"),
        ];
        for header in good {
            assert_eq!(parent(&header), Ok(()), "{header}");
        }
        let malformed = [
            String::new(),
            format!("00-{IDS}-1"),
            format!("00-{IDS}-01-"),
            format!("00-{IDS}-01-more"),
            format!("01-{IDS}-00more"),
            format!("ff-{IDS}-00"),
            format!("00-{}-01", IDS.to_uppercase()),
            format!("00_{IDS}-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", "0".repeat(16)),
            format!("+0-{IDS}-01"),
            format!("00-{IDS}-0ä"),
        ];
        for header in malformed {
            assert_eq!(parent(&header), Err(Wrong::Malformed), "{header}");
        }
        assert_eq!(
            parent(&format!("01-{IDS}-00-{}", "a".repeat(300))),
            Err(Wrong::Oversized)
        );
    }

    #[test]
    fn a_state_is_a_list_of_keys_and_values() {
        let many = |count: usize| {
            let members: Vec<_> = (0..count).map(|index| format!("k{index}=v")).collect();
            members.join(",")
        };
        let long = format!("k={}", "v".repeat(256));
        for header in [
            "",
            "a=b",
            "a=b, c=d ,,",
            "0@v=x y",
            "a-*/_=!",
            &many(32),
            &long,
        ] {
            assert_eq!(state(header), Ok(()), "{header}");
        }
        let longer = format!("k={}", "v".repeat(257));
        for header in [
            "a", "=b", "a=", "A=b", "a=b=c", "@a=b", "a@=b", "a=b,a=c", "a=ä", &longer,
        ] {
            assert_eq!(state(header), Err(Wrong::Malformed), "{header}");
        }
        assert_eq!(state(&many(33)), Err(Wrong::Oversized));
        assert_eq!(state(&vec![long; 16].join(",")), Err(Wrong::Oversized));
    }

    #[test]
    fn baggage_is_a_list_of_keys_values_and_properties() {
        for header in ["", "a=b", "a = b;p=1;q , c=%20,", "a=", "a=b=c"] {
            assert_eq!(baggage(header), Ok(()), "{header}");
        }
        for header in ["a", "=b", "a b=c", "a=b,c", "a=\u{1}"] {
            assert_eq!(baggage(header), Err(Wrong::Malformed), "{header}");
        }
        let many = |count| vec!["a=b"; count].join(",");
        assert_eq!(baggage(&many(64)), Ok(()));
        assert_eq!(baggage(&many(65)), Err(Wrong::Oversized));
        assert_eq!(baggage(&format!("a={}", "b".repeat(8190))), Ok(()));
        assert_eq!(
            baggage(&format!("a={}", "b".repeat(8191))),
            Err(Wrong::Oversized)
        );
    }
}
