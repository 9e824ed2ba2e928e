//! How does context come and go by headers?
//!
//! Propagators take what they find; so they are shown only what has the form and the size that the
//! specifications give it. What is not shown is counted, and is no error of the request: it is as if
//! it had not come.

use std::borrow::Cow;
use std::cell::OnceCell;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::metrics::{Counter, Meter};
use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::{Context, KeyValue};
use telemetry_rt::otel::with_propagator;

use super::well_formed::{self, Wrong};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// As many bytes may a header have of which nothing more is known.
const LONGEST_OTHER: usize = 8192;

/// Counts headers that were neither taken from a peer nor given to one.
#[derive(Clone, Debug)]
pub(crate) struct Dropped(Counter<u64>);

impl Dropped {
    pub(crate) fn new(meter: &Meter) -> Dropped {
        let counter = meter
            .u64_counter("telemetry_rt.http.propagation.dropped")
            .with_unit("{header}")
            .with_description(
                "Headers of context that were dropped, because of their form or size.",
            )
            .build();
        Dropped(counter)
    }

    #[cold]
    fn count(&self, header: &'static str, wrong: Wrong) {
        let attributes = [
            KeyValue::new("header", header),
            KeyValue::new("reason", wrong.as_str()),
        ];
        self.0.add(1, &attributes);
    }
}

/// The context that a peer sent along: a remote span, baggage; empty if it sent none.
///
/// It does not contain anything of the current context.
pub(crate) fn extract(headers: &HeaderMap, dropped: &Dropped) -> Context {
    let carrier = Carrier::new(headers, dropped);
    with_propagator(|propagator| propagator.extract_with_context(&Context::new(), &carrier))
}

/// Writes a context into the headers of a request that goes out, in place of what they had of it.
pub(crate) fn inject(context: &Context, headers: &mut HeaderMap, dropped: &Dropped) {
    let mut carrier = Outgoing { headers, dropped };
    with_propagator(|propagator| propagator.inject_context(context, &mut carrier));
}

/// Takes all context off a request that goes out.
pub(crate) fn strip(headers: &mut HeaderMap) {
    with_propagator(|propagator| {
        for field in propagator.fields() {
            headers.remove(field);
        }
    });
}

/// A header of the three that are known, as it is shown. Each is judged once, when it is asked for.
type Judged<'h> = OnceCell<Option<Cow<'h, str>>>;

struct Carrier<'h> {
    headers: &'h HeaderMap,
    dropped: &'h Dropped,
    parent: Judged<'h>,
    state: Judged<'h>,
    baggage: Judged<'h>,
}

impl<'h> Carrier<'h> {
    fn new(headers: &'h HeaderMap, dropped: &'h Dropped) -> Carrier<'h> {
        Carrier {
            headers,
            dropped,
            parent: OnceCell::new(),
            state: OnceCell::new(),
            baggage: OnceCell::new(),
        }
    }

    fn judge(
        &self,
        name: &'static str,
        judgement: Result<Option<Cow<'h, str>>, Wrong>,
    ) -> Option<Cow<'h, str>> {
        judgement.unwrap_or_else(|wrong| {
            self.dropped.count(name, wrong);
            None
        })
    }

    fn parent(&self) -> Result<Option<Cow<'h, str>>, Wrong> {
        let mut values = self.headers.get_all(TRACEPARENT).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(Wrong::Duplicate);
        }
        let parent = text(value)?;
        well_formed::parent(parent)?;
        Ok(Some(Cow::Borrowed(parent)))
    }

    fn state(&self) -> Result<Option<Cow<'h, str>>, Wrong> {
        let state = self.joined(TRACESTATE, well_formed::LONGEST_STATE)?;
        state.as_deref().map_or(Ok(()), well_formed::state)?;
        Ok(state)
    }

    fn baggage(&self) -> Result<Option<Cow<'h, str>>, Wrong> {
        let baggage = self.joined(BAGGAGE, well_formed::LONGEST_BAGGAGE)?;
        baggage.as_deref().map_or(Ok(()), well_formed::baggage)?;
        let shown = baggage.map(with_literal_properties);
        match shown.as_deref() {
            Some(shown) if shown.len() > well_formed::LONGEST_BAGGAGE => Err(Wrong::Oversized),
            _ => Ok(shown),
        }
    }

    /// All lines of a header as one, as RFC 9110 says of headers that are lists.
    fn joined(&self, name: HeaderName, most: usize) -> Result<Option<Cow<'h, str>>, Wrong> {
        let mut values = self.headers.get_all(name).iter();
        let Some(first) = values.next() else {
            return Ok(None);
        };
        let mut all = Cow::Borrowed(text(first)?);
        for value in values {
            // Before it is put together: so that nobody has us build a long text.
            if all.len() + value.len() > most {
                return Err(Wrong::Oversized);
            }
            let all = all.to_mut();
            all.push(',');
            all.push_str(text(value)?);
        }
        Ok(Some(all))
    }
}

/// OpenTelemetry's propagator decodes the properties of what comes in, and does not encode them in what
/// goes out: an encoded comma would become one, and what is behind it a member that nobody sent. So
/// what it finds when it has decoded them is what came.
fn with_literal_properties(baggage: Cow<'_, str>) -> Cow<'_, str> {
    let properties = |member: &str| member.find(';').filter(|at| member[*at..].contains('%'));
    if baggage
        .split(',')
        .all(|member| properties(member).is_none())
    {
        return baggage;
    }
    let members = baggage.split(',').map(|member| match properties(member) {
        Some(at) => member[..at].to_owned() + &member[at..].replace('%', "%25"),
        None => member.to_owned(),
    });
    Cow::Owned(members.collect::<Vec<_>>().join(","))
}

fn text(value: &HeaderValue) -> Result<&str, Wrong> {
    value.to_str().map(str::trim).map_err(|_| Wrong::Malformed)
}

impl Extractor for Carrier<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let judged = match key {
            "traceparent" => self
                .parent
                .get_or_init(|| self.judge("traceparent", self.parent())),
            "tracestate" => self
                .state
                .get_or_init(|| self.judge("tracestate", self.state())),
            "baggage" => self
                .baggage
                .get_or_init(|| self.judge("baggage", self.baggage())),
            _ => return other(self.headers.get(key)?),
        };
        judged.as_deref()
    }

    fn keys(&self) -> Vec<&str> {
        self.headers.keys().map(HeaderName::as_str).collect()
    }

    fn get_all(&self, key: &str) -> Option<Vec<&str>> {
        if matches!(key, "traceparent" | "tracestate" | "baggage") {
            return self.get(key).map(|value| vec![value]);
        }
        let values: Vec<&str> = self.headers.get_all(key).iter().filter_map(other).collect();
        (!values.is_empty()).then_some(values)
    }
}

/// A header of a propagator of the application.
fn other(value: &HeaderValue) -> Option<&str> {
    let value = value.to_str().ok()?;
    (value.len() <= LONGEST_OTHER).then_some(value)
}

struct Outgoing<'h> {
    headers: &'h mut HeaderMap,
    dropped: &'h Dropped,
}

impl Injector for Outgoing<'_> {
    fn set(&mut self, key: &str, value: String) {
        let header = match key {
            "traceparent" => "traceparent",
            "tracestate" => "tracestate",
            "baggage" => "baggage",
            _ => "other",
        };
        let Ok(name) = HeaderName::from_bytes(key.as_bytes()) else {
            return self.dropped.count(header, Wrong::Malformed);
        };
        // What was there before belongs to another context, also if there is nothing in its place.
        self.headers.remove(&name);
        if value.is_empty() {
            return;
        }
        if let Err(wrong) = self.insert(name, value) {
            self.dropped.count(header, wrong);
        }
    }
}

impl Outgoing<'_> {
    fn insert(&mut self, name: HeaderName, value: String) -> Result<(), Wrong> {
        if value.len() > LONGEST_OTHER {
            return Err(Wrong::Oversized);
        }
        let value = HeaderValue::try_from(value).map_err(|_| Wrong::Malformed)?;
        // Fails if there are 32768 headers already.
        self.headers
            .try_insert(name, value)
            .map_err(|_| Wrong::Oversized)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use opentelemetry::metrics::MeterProvider;
    use opentelemetry::metrics::noop::NoopMeterProvider;
    use opentelemetry::propagation::TextMapPropagator;
    use opentelemetry_sdk::propagation::BaggagePropagator;

    fn outgoing(headers: &mut HeaderMap, lines: &[(&str, &str)]) {
        let dropped = Dropped::new(&NoopMeterProvider::new().meter("test"));
        let mut outgoing = Outgoing {
            headers,
            dropped: &dropped,
        };
        for (name, value) in lines {
            outgoing.set(name, (*value).to_owned());
        }
    }

    #[test]
    fn what_was_there_of_another_context_is_replaced() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("traceparent", "old"),
            ("traceparent", "older"),
            ("tracestate", "old"),
            ("a", "b"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        outgoing(&mut headers, &[("traceparent", "new"), ("tracestate", "")]);
        assert_eq!(
            headers.get_all("traceparent").iter().collect::<Vec<_>>(),
            ["new"]
        );
        assert!(!headers.contains_key("tracestate"));
        assert_eq!(headers["a"], "b");
    }

    #[test]
    fn what_cannot_be_a_header_is_not_sent() {
        let mut headers = HeaderMap::new();
        let long = "x".repeat(LONGEST_OTHER + 1);
        outgoing(
            &mut headers,
            &[
                ("baggage", "a=\n"),
                ("bad name", "x"),
                ("", "x"),
                ("b3", &long),
                ("X-Mine", "1"),
            ],
        );
        assert_eq!(headers.len(), 1);
        assert_eq!(headers["x-mine"], "1");
    }

    /// What the next service gets to see of this.
    fn passed_on(baggage: &'static str) -> HeaderMap {
        let dropped = Dropped::new(&NoopMeterProvider::new().meter("test"));
        let came = HeaderMap::from_iter([(BAGGAGE, HeaderValue::from_static(baggage))]);
        let propagator = BaggagePropagator::new();
        let context =
            propagator.extract_with_context(&Context::new(), &Carrier::new(&came, &dropped));
        let mut headers = HeaderMap::new();
        let mut outgoing = Outgoing {
            headers: &mut headers,
            dropped: &dropped,
        };
        propagator.inject_context(&context, &mut outgoing);
        headers
    }

    #[test]
    fn an_encoded_comma_in_a_property_does_not_make_a_member_of_what_is_behind_it() {
        for baggage in [
            "k=v;p=%2Cadmin=yes",
            "k=v;p=a%0D%0Ab",
            "k=%2C;p=%C3%A9;q",
            "k=v;p",
        ] {
            assert_eq!(passed_on(baggage)[BAGGAGE], baggage);
        }
    }
}
