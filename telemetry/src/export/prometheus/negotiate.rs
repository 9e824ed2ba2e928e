//! What a scraper understands, by its headers.

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// The text format of Prometheus.
    Text,
    /// Its successor, with units and exemplars.
    OpenMetrics,
}

impl Format {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// OpenMetrics, if it is asked for by name and nothing else is liked better; else text, even
    /// for those who did not ask for it: they will say more of it than of an empty refusal.
    pub(super) fn accepted(accept: &str) -> Format {
        let best = |name: &str, versions: &[Option<&str>]| {
            let wanted = offers(accept).filter(|offer| offer.is(name, versions));
            wanted.map(|offer| offer.weight).fold(0.0, f32::max)
        };
        let open_metrics = best("application/openmetrics-text", &[None, Some("1.0.0")]);
        let text = best("text/plain", &[None, Some("0.0.4")]);
        match open_metrics > 0.0 && open_metrics >= text {
            true => Format::OpenMetrics,
            false => Format::Text,
        }
    }
}

/// Whether the answer may be packed.
pub(super) fn takes_gzip(accept_encoding: &str) -> bool {
    let weight = |name: &str| {
        let mut offers = offers(accept_encoding);
        let found = offers.find(|offer| offer.name.eq_ignore_ascii_case(name));
        found.map(|offer| offer.weight)
    };
    weight("gzip").or_else(|| weight("*")).unwrap_or(0.0) > 0.0
}

/// One entry of a list such as `text/plain;version=0.0.4;q=0.5, */*;q=0.1`.
struct Offer<'a> {
    name: &'a str,
    version: Option<&'a str>,
    weight: f32,
}

fn offers(list: &str) -> impl Iterator<Item = Offer<'_>> {
    list.split(',').map(Offer::parse)
}

impl<'a> Offer<'a> {
    fn parse(text: &'a str) -> Offer<'a> {
        let mut parts = text.split(';').map(str::trim);
        let mut offer = Offer {
            name: parts.next().unwrap_or_default(),
            version: None,
            weight: 1.0,
        };
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            match key.trim() {
                "q" | "Q" => offer.weight = value.trim().parse().unwrap_or(0.0),
                "version" => offer.version = Some(value.trim().trim_matches('"')),
                _ => {}
            }
        }
        offer
    }

    fn is(&self, name: &str, versions: &[Option<&str>]) -> bool {
        self.name.eq_ignore_ascii_case(name) && versions.contains(&self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_for_those_who_ask_for_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                          application/openmetrics-text;version=0.0.1;q=0.5,\
                          text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, format) in [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/html, application/xhtml+xml", Format::Text),
            (prometheus, Format::OpenMetrics),
            ("application/openmetrics-text", Format::OpenMetrics),
            (
                "Application/OpenMetrics-Text; version=\"1.0.0\"",
                Format::OpenMetrics,
            ),
            ("application/openmetrics-text;version=0.0.1", Format::Text),
            ("application/openmetrics-text;q=0, */*", Format::Text),
            ("application/openmetrics-text;q=x", Format::Text),
            (
                "text/plain, application/openmetrics-text;q=0.5",
                Format::Text,
            ),
            (
                "text/plain;q=0.4;version=0.0.4 , application/openmetrics-text ; q=0.5",
                Format::OpenMetrics,
            ),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept}");
        }
    }

    #[test]
    fn answers_are_packed_for_those_who_can_unpack_them() {
        for (accept, gzip) in [
            ("", false),
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("*", true),
            ("*, gzip;q=0", false),
            ("identity", false),
            ("gzip;q=0.0", false),
        ] {
            assert_eq!(takes_gzip(accept), gzip, "{accept}");
        }
    }
}
