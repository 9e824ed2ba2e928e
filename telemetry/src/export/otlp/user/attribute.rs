//! Attributes with values of any kind.
//!
//! ```text
//!   tag length | 0a length key | 12 length value     KeyValue
//!
//!   value:  0a length text   10 bool   18 number   21 eight bytes     AnyValue
//!           2a length (0a length value)…              a list of these
//! ```

use opentelemetry::{Array, KeyValue, Value};

use crate::export::otlp::long::{cut, cut_list, cut_texts};
use crate::export::otlp::wire::{Pen, Wire, length_of_field, length_of_text, length_of_varint};

/// Of `KeyValue`.
const KEY: u8 = 0x0a;
const VALUE: u8 = 0x12;

/// Of `AnyValue`.
const TEXT: u8 = 0x0a;
const BOOL: u8 = 0x10;
const INT: u8 = 0x18;
const DOUBLE: u8 = 0x21;
const ARRAY: u8 = 0x2a;

/// Of `ArrayValue`.
const ITEM: u8 = 0x0a;

/// Tags and lengths around a key and a value.
const ROOM: usize = 64;

/// A value that holds no others.
#[derive(Clone, Copy)]
enum Single<'a> {
    Text(&'a str),
    Bool(bool),
    Int(i64),
    Double(f64),
}

/// Writes each as a field with this tag.
pub(super) fn attributes(wire: &mut Wire, tag: u8, attributes: &[KeyValue]) {
    for attribute in attributes {
        one(wire, tag, cut(attribute.key.as_str()), &attribute.value);
    }
}

#[inline]
fn one(wire: &mut Wire, tag: u8, key: &str, value: &Value) {
    match value {
        Value::String(value) => text(wire, tag, key, cut(value.as_str())),
        Value::Bool(value) => single(wire, tag, key, Single::Bool(*value)),
        Value::I64(value) => single(wire, tag, key, Single::Int(*value)),
        Value::F64(value) => single(wire, tag, key, Single::Double(*value)),
        Value::Array(values) => array(wire, tag, key, values),
        // Whatever comes later is shown as text.
        other => text(wire, tag, key, cut(&other.as_str())),
    }
}

/// Most attributes are short texts: those are written in four pieces instead of ten.
#[inline]
fn text(wire: &mut Wire, tag: u8, key: &str, text: &str) {
    // With the tags and lengths of both, of one byte each.
    let length = key.len() + text.len() + 6;
    if length >= 1 << 7 {
        return single(wire, tag, key, Single::Text(text));
    }
    let of_text = text.len() as u8;
    let mut pen = wire.pen(2 + length);
    pen.put([tag, length as u8, KEY, key.len() as u8]);
    pen.append(key.as_bytes());
    pen.put([VALUE, of_text + 2, TEXT, of_text]);
    pen.append(text.as_bytes());
    let end = pen.end();
    wire.wrote(end);
}

fn single(wire: &mut Wire, tag: u8, key: &str, value: Single<'_>) {
    let mut pen = begin(wire, tag, key, value.length());
    value.write(&mut pen);
    let end = pen.end();
    wire.wrote(end);
}

fn array(wire: &mut Wire, tag: u8, key: &str, array: &Array) {
    match array {
        Array::Bool(values) => {
            let values = cut_list(values).iter();
            list(wire, tag, key, values.map(|&value| Single::Bool(value)));
        }
        Array::I64(values) => {
            let values = cut_list(values).iter();
            list(wire, tag, key, values.map(|&value| Single::Int(value)));
        }
        Array::F64(values) => {
            let values = cut_list(values).iter();
            list(wire, tag, key, values.map(|&value| Single::Double(value)));
        }
        Array::String(values) => list(wire, tag, key, cut_texts(values).map(Single::Text)),
        // Lists of whatever comes later are empty.
        _ => list(wire, tag, key, std::iter::empty()),
    }
}

fn list<'a>(wire: &mut Wire, tag: u8, key: &str, values: impl Iterator<Item = Single<'a>> + Clone) {
    let lengths = values.clone().map(|value| length_of_field(value.length()));
    let length = lengths.sum();
    let mut pen = begin(wire, tag, key, length_of_field(length));
    pen.put([ARRAY]);
    pen.length(length);
    for value in values {
        pen.put([ITEM]);
        pen.length(value.length());
        value.write(&mut pen);
    }
    let end = pen.end();
    wire.wrote(end);
}

/// All that stands before a value of this length, for which there is room.
#[inline]
fn begin<'a>(wire: &'a mut Wire, tag: u8, key: &str, length: usize) -> Pen<'a> {
    let mut pen = wire.pen(ROOM + key.len() + length);
    pen.put([tag]);
    pen.length(length_of_text(key) + length_of_field(length));
    pen.text(KEY, key);
    pen.put([VALUE]);
    pen.length(length);
    pen
}

impl Single<'_> {
    #[inline]
    fn length(self) -> usize {
        match self {
            Single::Text(text) => length_of_text(text),
            Single::Bool(_) => 2,
            Single::Int(number) => 1 + length_of_varint(number as u64),
            Single::Double(_) => 9,
        }
    }

    #[inline]
    fn write(self, pen: &mut Pen<'_>) {
        match self {
            Single::Text(text) => pen.text(TEXT, text),
            Single::Bool(value) => pen.put([BOOL, value.into()]),
            Single::Int(number) => {
                pen.put([INT]);
                pen.varint(number as u64);
            }
            Single::Double(number) => {
                pen.put([DOUBLE]);
                pen.put(number.to_le_bytes());
            }
        }
    }
}
