//! What is in a request? A walk over the bytes of the protobuf message, which is enough to count,
//! and cheap beside what the soak is about.

use std::collections::BTreeMap;

/// A field of a message: its number, and what it holds.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message. Ends early where the message is not one.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => Value::Number(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length as usize)?)
            }
            5 => Value::Number(u64::from(u32::from_le_bytes(
                self.take(4)?.try_into().ok()?,
            ))),
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

/// The parts of a message that have this number.
fn parts(message: &[u8], wanted: u64) -> impl Iterator<Item = &[u8]> {
    Fields(message).filter_map(move |(number, value)| match value {
        Value::Bytes(bytes) if number == wanted => Some(bytes),
        _ => None,
    })
}

/// The spans of an `ExportTraceServiceRequest`.
pub fn spans(request: &[u8]) -> impl Iterator<Item = Span<'_>> {
    // resource_spans, scope_spans, spans
    parts(request, 1)
        .flat_map(|of_resource| parts(of_resource, 2))
        .flat_map(|of_scope| parts(of_scope, 2))
        .map(Span)
}

/// The bytes of one span.
#[derive(Clone, Copy)]
pub struct Span<'a>(&'a [u8]);

impl Span<'_> {
    pub fn id(self) -> u64 {
        let id = parts(self.0, 2).next().and_then(|id| id.try_into().ok());
        id.map_or(0, u64::from_be_bytes)
    }

    /// Whether its parts, if it is one of a process, add up to its length.
    pub fn adds_up(self) -> bool {
        let of_process = ["task.busy_ns", "task.scheduled_ns", "task.idle_ns"];
        let nanos = of_process.map(|name| self.attribute(name));
        let [Some(busy), Some(scheduled), Some(idle)] = nanos else {
            // A user's.
            return nanos == [None; 3];
        };
        let (start, end) = (number(self.0, 7), number(self.0, 8));
        let length = start
            .zip(end)
            .and_then(|(start, end)| end.checked_sub(start));
        length == Some(busy + scheduled + idle)
    }

    fn attribute(self, name: &str) -> Option<u64> {
        let mut attributes = parts(self.0, 9);
        let value = attributes.find(|one| parts(one, 1).next() == Some(name.as_bytes()))?;
        number(parts(value, 2).next()?, 3)
    }
}

/// The number in the first field with this number.
fn number(message: &[u8], wanted: u64) -> Option<u64> {
    Fields(message).find_map(|(field, value)| match value {
        Value::Number(value) if field == wanted => Some(value),
        _ => None,
    })
}

/// Whole numbers of a metric, by the values of the attributes that are asked for.
pub type Sums = BTreeMap<Vec<String>, u64>;

/// The sum `name` of an `ExportMetricsServiceRequest`, split by some attributes.
pub fn sums(request: &[u8], name: &str, by: &[&str]) -> Sums {
    // resource_metrics, scope_metrics, metrics; of these the name, the sum, and its points
    let metrics = parts(request, 1)
        .flat_map(|of_resource| parts(of_resource, 2))
        .flat_map(|of_scope| parts(of_scope, 2));
    let points = metrics
        .filter(|metric| parts(metric, 1).next() == Some(name.as_bytes()))
        .flat_map(|metric| parts(metric, 7))
        .flat_map(|sum| parts(sum, 1));
    let mut sums = Sums::new();
    for point in points {
        let key = by.iter().map(|name| attribute(point, name)).collect();
        *sums.entry(key).or_default() += number(point, 6).unwrap_or(0);
    }
    sums
}

fn attribute(point: &[u8], name: &str) -> String {
    let text = |value| String::from_utf8_lossy(parts(value, 1).next().unwrap_or(b"")).into_owned();
    parts(point, 7)
        .find(|attribute| parts(attribute, 1).next() == Some(name.as_bytes()))
        .and_then(|attribute| parts(attribute, 2).next())
        .map(text)
        .unwrap_or_default()
}
