//! How environment variables are read: what is not understood is said and replaced, never fatal.

use std::cell::RefCell;
use std::fmt;
use std::time::Duration;

/// A setting that is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    variable: String,
    value: String,
    accepted: String,
}

impl ConfigError {
    pub(super) fn new(
        variable: impl Into<String>,
        value: impl Into<String>,
        accepted: impl Into<String>,
    ) -> ConfigError {
        ConfigError {
            variable: variable.into(),
            value: value.into(),
            accepted: accepted.into(),
        }
    }

    /// The environment variable, or the name of the setting.
    pub fn variable(&self) -> &str {
        &self.variable
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConfigError {
            variable,
            value,
            accepted,
        } = self;
        write!(f, "{variable} is {value:?}; accepted: {accepted}")
    }
}

impl std::error::Error for ConfigError {}

/// The variables, and what was found wrong with them.
pub(super) struct Env<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
    warnings: RefCell<Vec<String>>,
}

/// Reads the environment of the process. What is no UTF-8 in it becomes [`NO_UTF_8`].
pub(super) fn process_variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// The replacement character of Unicode; in a setting it has no other use.
const NO_UTF_8: char = '\u{fffd}';

impl<'a> Env<'a> {
    pub(super) fn new(get: &'a dyn Fn(&str) -> Option<String>) -> Env<'a> {
        Env {
            get,
            warnings: RefCell::default(),
        }
    }

    /// What was found wrong so far.
    pub(super) fn into_warnings(self) -> Vec<String> {
        self.warnings.into_inner()
    }

    /// Each warning once, however often its variable is read.
    pub(super) fn warn(&self, warning: impl fmt::Display) {
        let warning = warning.to_string();
        let mut warnings = self.warnings.borrow_mut();
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }

    /// The value as it is, even an empty one.
    pub(super) fn raw(&self, name: &str) -> Option<String> {
        let value = (self.get)(name)?;
        if value.contains(NO_UTF_8) {
            self.warn(format_args!(
                "{name} is no text; accepted: UTF-8; it is ignored"
            ));
            return None;
        }
        Some(value)
    }

    /// The value without white space around it. An empty one counts as none, as the
    /// specification asks.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let value = self.raw(name)?.trim().to_owned();
        (!value.is_empty()).then_some(value)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        match self.text(name) {
            None => false,
            Some(value) if value.eq_ignore_ascii_case("true") => true,
            Some(value) if value.eq_ignore_ascii_case("false") => false,
            Some(value) => self.fallen_back(name, &value, "true, false", false),
        }
    }

    /// A number of things, at least `least`.
    pub(super) fn count(&self, name: &str, least: usize, default: usize) -> usize {
        let accepted = format!("a whole number from {least}");
        self.parsed(name, &accepted, default, |value| {
            value.parse().ok().filter(|&count| count >= least)
        })
    }

    /// A limit that there need not be.
    pub(super) fn limit(&self, name: &str) -> Option<usize> {
        let value = self.text(name)?;
        let limit = value.parse().ok();
        if limit.is_none() {
            let error = ConfigError::new(name, value, "a whole number from 0");
            self.warn(format_args!("{error}; it is ignored"));
        }
        limit
    }

    pub(super) fn millis(&self, name: &str, default: Duration) -> Duration {
        let default = default.as_millis() as u64;
        let accepted = "milliseconds as a whole number from 1";
        Duration::from_millis(self.parsed(name, accepted, default, |value| {
            value.parse().ok().filter(|&millis| millis > 0)
        }))
    }

    /// A length of time: a whole number of milliseconds, or one with a unit.
    pub(super) fn duration(&self, name: &str, default: Duration) -> Duration {
        let value = self.text(name);
        value.map_or(default, |value| {
            self.parsed_duration(name, value).unwrap_or(default)
        })
    }

    /// A length of time, or `off`. `None` is off.
    pub(super) fn duration_or_off(
        &self,
        name: &str,
        default: Option<Duration>,
    ) -> Option<Duration> {
        let Some(value) = self.text(name) else {
            return default;
        };
        if value.eq_ignore_ascii_case("off") {
            return None;
        }
        self.parsed_duration(name, value).or(default)
    }

    fn parsed_duration(&self, name: &str, value: String) -> Option<Duration> {
        let parsed = parse_duration(&value);
        if parsed.is_none() {
            let accepted = "a whole number with a unit (ns, us, ms, s, m), such as 10ms";
            let error = ConfigError::new(name, value, accepted);
            self.warn(format_args!("{error}; the default is used"));
        }
        parsed
    }

    pub(super) fn parsed<T: fmt::Display>(
        &self,
        name: &str,
        accepted: &str,
        default: T,
        parse: impl Fn(&str) -> Option<T>,
    ) -> T {
        match self.text(name) {
            None => default,
            Some(value) => match parse(&value) {
                Some(parsed) => parsed,
                None => self.fallen_back(name, &value, accepted, default),
            },
        }
    }

    /// One of several words. `None` when there is none, or an unknown one.
    pub(super) fn word<T: Copy>(&self, name: &str, known: &[(&str, T)]) -> Option<T> {
        self.words(name, known)?.first().copied()
    }

    /// A comma list of words, without those that are unknown. `None` when the variable is unset.
    pub(super) fn words<T: Copy>(&self, name: &str, known: &[(&str, T)]) -> Option<Vec<T>> {
        let list = self.text(name)?;
        let find = |word: &str| {
            let found = known
                .iter()
                .find(|(name, _)| word.eq_ignore_ascii_case(name));
            if found.is_none() {
                let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                let error = ConfigError::new(name, word, names.join(", "));
                self.warn(format_args!("{error}; it is ignored"));
            }
            found.map(|(_, meaning)| *meaning)
        };
        let words = list
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty());
        Some(words.filter_map(find).collect())
    }

    fn fallen_back<T: fmt::Display>(
        &self,
        name: &str,
        value: &str,
        accepted: &str,
        default: T,
    ) -> T {
        let error = ConfigError::new(name, value, accepted);
        self.warn(format_args!("{error}; {default} is used"));
        default
    }
}

/// Reads `10ms`, `2 s`, or a plain number, which is one of milliseconds.
fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let unit = match unit.trim() {
        "ns" => Duration::from_nanos(1),
        "us" | "\u{b5}s" => Duration::from_micros(1),
        "ms" | "" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        _ => return None,
    };
    unit.checked_mul(u32::try_from(number).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T>(value: Option<&str>, read: impl Fn(&Env<'_>) -> T) -> (T, Vec<String>) {
        let get = |_: &str| value.map(str::to_owned);
        let env = Env::new(&get);
        let result = read(&env);
        (result, env.into_warnings())
    }

    #[test]
    fn numbers_that_are_none_are_said_and_replaced() {
        for (value, count, warned) in [
            (None, 7, false),
            (Some(""), 7, false),
            (Some(" 12 "), 12, false),
            (Some("0"), 7, true),
            (Some("-1"), 7, true),
            (Some("1e3"), 7, true),
            (Some("99999999999999999999999"), 7, true),
        ] {
            let (read, warnings) = read(value, |env| env.count("OTEL_X", 1, 7));
            assert_eq!((read, !warnings.is_empty()), (count, warned), "{value:?}");
        }
        let (_, warnings) = read(Some("x"), |env| {
            env.millis("OTEL_X", Duration::from_secs(5))
        });
        assert_eq!(
            warnings,
            ["OTEL_X is \"x\"; accepted: milliseconds as a whole number from 1; 5000 is used"]
        );
    }

    #[test]
    fn durations_have_a_unit_or_are_milliseconds_and_may_be_off() {
        let default = Some(Duration::from_secs(7));
        for (value, duration, warned) in [
            (None, default, false),
            (Some("10ms"), Some(Duration::from_millis(10)), false),
            (Some(" 250 us "), Some(Duration::from_micros(250)), false),
            (Some("2s"), Some(Duration::from_secs(2)), false),
            (Some("1m"), Some(Duration::from_secs(60)), false),
            (Some("0"), Some(Duration::ZERO), false),
            (Some("15"), Some(Duration::from_millis(15)), false),
            (Some("Off"), None, false),
            (Some("soon"), default, true),
            (Some("-1s"), default, true),
            (Some("1.5s"), default, true),
            (Some("10 hours"), default, true),
            (Some("99999999999999999999s"), default, true),
        ] {
            let (read, warnings) = read(value, |env| env.duration_or_off("OTEL_X", default));
            assert_eq!(
                (read, !warnings.is_empty()),
                (duration, warned),
                "{value:?}"
            );
        }
    }

    #[test]
    fn unknown_words_are_said_and_the_others_are_used() {
        let known = [("otlp", 1), ("console", 2), ("none", 0)];
        for (value, words, warnings) in [
            (None, None, 0),
            (Some(" "), None, 0),
            (Some("otlp"), Some(vec![1]), 0),
            (Some(" otlp , console,"), Some(vec![1, 2]), 0),
            (Some("jaeger,console"), Some(vec![2]), 1),
            (Some("Otlp,CONSOLE"), Some(vec![1, 2]), 0),
        ] {
            let (read, warned) = read(value, |env| env.words("OTEL_X", &known));
            assert_eq!((read, warned.len()), (words, warnings), "{value:?}");
        }
        let (_, warnings) = read(Some("jaeger"), |env| env.words("OTEL_X", &known));
        assert_eq!(
            warnings,
            ["OTEL_X is \"jaeger\"; accepted: otlp, console, none; it is ignored"]
        );
    }

    #[test]
    fn a_value_that_is_no_text_is_said_once_and_ignored() {
        let (words, warnings) = read(Some("otlp\u{fffd}"), |env| {
            (env.text("OTEL_X"), env.words("OTEL_X", &[("otlp", 1)]))
        });
        assert_eq!(words, (None, None));
        assert_eq!(
            warnings,
            ["OTEL_X is no text; accepted: UTF-8; it is ignored"]
        );
    }

    #[test]
    fn flags_are_true_or_false() {
        for (value, flag, warned) in [
            (None, false, false),
            (Some("TRUE"), true, false),
            (Some("false"), false, false),
            (Some("1"), false, true),
        ] {
            let (read, warnings) = read(value, |env| env.flag("OTEL_X"));
            assert_eq!((read, !warnings.is_empty()), (flag, warned), "{value:?}");
        }
    }
}
