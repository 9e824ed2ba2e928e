//! Protobuf by hand, for the few messages that are written a million times a second.
//!
//! Three things make it quick. What is written lies in one buffer that is used again, and is
//! reserved once for a whole span. Pieces have sizes that the compiler knows: a constant is copied
//! with up to [`SLACK`] bytes too many, which the next piece overwrites. And no length is computed before
//! what it is the length of: room is left for it, and it is filled in afterwards.

/// Bytes that a piece may write behind its end.
const SLACK: usize = SMALL_ROOM;

/// So much memory is kept from one request to the next.
const MOST_KEPT: usize = 16 << 20;

/// Written bytes, and room for more of them.
#[derive(Debug, Default)]
pub(super) struct Wire {
    /// All of it is initialised; what lies behind `end` means nothing.
    bytes: Vec<u8>,
    end: usize,
}

impl Wire {
    pub(super) fn clear(&mut self) {
        self.end = 0;
        if self.bytes.len() > MOST_KEPT {
            // One span was very large: that memory is not kept for others.
            self.bytes = Vec::new();
        }
    }

    pub(super) fn end(&self) -> usize {
        self.end
    }

    pub(super) fn written(&self) -> &[u8] {
        &self.bytes[..self.end]
    }

    /// Takes back what was written behind `end`, and returns it.
    pub(super) fn take_back(&mut self, end: usize) -> Vec<u8> {
        let taken = self.bytes[end..self.end].to_vec();
        self.cut(end);
        taken
    }

    /// Takes back what was written behind `end`.
    pub(super) fn cut(&mut self, end: usize) {
        self.end = end;
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        let mut pen = self.pen(bytes.len());
        pen.append(bytes);
        let end = pen.end();
        self.end = end;
    }

    /// Writes at the end, at most `room` bytes. What it has written counts once that is said by
    /// [`wrote`](Wire::wrote).
    #[inline]
    pub(super) fn pen(&mut self, room: usize) -> Pen<'_> {
        let needed = self.end + room + SLACK;
        if needed > self.bytes.len() {
            self.grow(needed);
        }
        Pen {
            bytes: &mut self.bytes,
            end: self.end,
        }
    }

    /// A pen has written up to here.
    #[inline]
    pub(super) fn wrote(&mut self, end: usize) {
        self.end = end;
    }

    #[cold]
    fn grow(&mut self, needed: usize) {
        self.bytes.resize(needed.next_power_of_two(), 0);
    }

    /// Leaves room for the length of what comes next, and tells where.
    pub(super) fn begin(&mut self, field: u8) -> Open {
        self.append(&[field, 0, 0, 0, 0]);
        Open(self.end)
    }

    /// Fills the length in: as a varint of four bytes, however short it is. Readers take that.
    pub(super) fn close(&mut self, Open(start): Open) {
        let length = self.end - start;
        debug_assert!(length < 1 << 28, "{length} bytes in one message");
        let byte = |index: usize| ((length >> (7 * index)) & 0x7f) as u8;
        let varint = [byte(0) | 0x80, byte(1) | 0x80, byte(2) | 0x80, byte(3)];
        self.bytes[start - 4..start].copy_from_slice(&varint);
    }

    /// As [`begin`](Wire::begin), for a message that is most likely shorter than 16 kB.
    #[inline]
    pub(super) fn begin_short(&mut self, field: u8) -> OpenShort {
        let mut pen = self.pen(3);
        pen.put([field, 0, 0]);
        self.end = pen.end();
        OpenShort(self.end)
    }

    /// Fills the length in, whatever it is.
    #[inline]
    pub(super) fn close_short(&mut self, OpenShort(start): OpenShort) {
        let length = self.end - start;
        if length >= 1 << 14 {
            return self.close_long(start, length);
        }
        let varint = [(length & 0x7f) as u8 | 0x80, (length >> 7) as u8];
        self.bytes[start - 2..start].copy_from_slice(&varint);
    }

    /// Moves what was written, to make room for a length of more than two bytes.
    #[cold]
    fn close_long(&mut self, start: usize, length: usize) {
        let (varint, bytes) = varint(length as u64);
        let place = start - 2;
        let end = self.pen(bytes).end() + bytes - 2;
        self.bytes.copy_within(start..self.end, place + bytes);
        self.bytes[place..place + bytes].copy_from_slice(&varint.to_le_bytes()[..bytes]);
        self.end = end;
    }
}

/// Where a message begins whose length is to be filled in.
#[must_use]
#[derive(Clone, Copy, Debug)]
pub(super) struct Open(usize);

/// As [`Open`], with less room for the length.
#[must_use]
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenShort(usize);

/// Writes into room that was reserved.
pub(super) struct Pen<'a> {
    bytes: &'a mut [u8],
    end: usize,
}

impl Pen<'_> {
    pub(super) fn end(&self) -> usize {
        self.end
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.bytes[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    #[inline(always)]
    pub(super) fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        *self.next() = bytes;
        self.end += N;
    }

    #[inline(always)]
    fn next<const N: usize>(&mut self) -> &mut [u8; N] {
        let room = self.bytes.get_mut(self.end..self.end + N);
        let room = room.and_then(|room| room.as_mut_array());
        room.expect("it was reserved")
    }

    #[inline(always)]
    pub(super) fn varint(&mut self, number: u64) {
        if number < 1 << 7 {
            return self.put([number as u8]);
        }
        let (varint, length) = varint(number);
        *self.next() = varint.to_le_bytes();
        self.end += length;
    }

    #[inline(always)]
    pub(super) fn length(&mut self, length: usize) {
        self.varint(length as u64);
    }

    /// A field that is a text.
    #[inline(always)]
    pub(super) fn text(&mut self, field: u8, text: &str) {
        self.put([field]);
        self.length(text.len());
        self.append(text.as_bytes());
    }

    /// A field that is a number, unless that is zero.
    #[inline(always)]
    pub(super) fn count(&mut self, field: u8, number: u32) {
        if number > 0 {
            self.put([field]);
            self.varint(number.into());
        }
    }

    /// An attribute whose value is a number that is not negative.
    #[inline(always)]
    pub(super) fn number(&mut self, key: &NumberKey, value: u64) {
        let (varint, length) = varint(value.min(i64::MAX as u64));
        let place: &mut [u8; KEY_ROOM + 16] = self.next();
        place[..KEY_ROOM].copy_from_slice(&key.bytes);
        // The lengths of the pair and of its value; the key has left room for them.
        place[1] += length as u8;
        place[key.length - 2] += length as u8;
        place[key.length..key.length + 16].copy_from_slice(&varint.to_le_bytes());
        self.end += key.length + length;
    }

    /// Several such attributes at once, if all the numbers have one byte; tells whether they have.
    #[inline(always)]
    pub(super) fn small_numbers<const N: usize>(
        &mut self,
        keys: &SmallKeys<N>,
        values: [u32; N],
    ) -> bool {
        let are_small = values.iter().fold(0, |all, value| all | value) < 1 << 7;
        if are_small {
            let place: &mut [u8; SMALL_ROOM] = self.next();
            *place = keys.bytes;
            for (at, value) in keys.values.into_iter().zip(values) {
                place[at] = value as u8;
            }
            self.end += keys.length;
        }
        are_small
    }

    /// The length of what was written since `start`, into the two bytes before it.
    #[inline(always)]
    pub(super) fn close_short(&mut self, start: usize) {
        let length = self.end - start;
        debug_assert!((1 << 7..1 << 14).contains(&length), "{length} bytes");
        let varint = [(length & 0x7f) as u8 | 0x80, (length >> 7) as u8];
        self.bytes[start - 2..start].copy_from_slice(&varint);
    }
}

const KEY_ROOM: usize = 32;

/// What stands before the number in an attribute of a span.
///
/// ```text
///   4a len   0a len key   12 len   18 number
///   │        │            │        └ AnyValue.int_value
///   │        │            └ KeyValue.value
///   │        └ KeyValue.key
///   └ Span.attributes
/// ```
pub(super) struct NumberKey {
    bytes: [u8; KEY_ROOM],
    length: usize,
}

impl NumberKey {
    /// # Panics
    ///
    /// At compile time, when the key is too long.
    pub(super) const fn new(key: &str) -> NumberKey {
        let mut bytes = [0; KEY_ROOM];
        let key = key.as_bytes();
        let length = key.len() + 7;
        assert!(length <= KEY_ROOM);
        bytes[0] = 0x4a;
        // Without the bytes of the number, here and below.
        bytes[1] = (length - 2) as u8;
        bytes[2] = 0x0a;
        bytes[3] = key.len() as u8;
        let mut index = 0;
        while index < key.len() {
            bytes[4 + index] = key[index];
            index += 1;
        }
        bytes[length - 3] = 0x12;
        bytes[length - 2] = 1;
        bytes[length - 1] = 0x18;
        NumberKey { bytes, length }
    }
}

const SMALL_ROOM: usize = 64;

/// Keys of numbers that mostly have one byte, with room for that byte behind each.
pub(super) struct SmallKeys<const N: usize> {
    bytes: [u8; SMALL_ROOM],
    length: usize,
    /// Where the numbers stand.
    values: [usize; N],
}

impl<const N: usize> SmallKeys<N> {
    /// # Panics
    ///
    /// At compile time, when there are too many.
    pub(super) const fn new(keys: [&NumberKey; N]) -> SmallKeys<N> {
        let mut small = SmallKeys {
            bytes: [0; SMALL_ROOM],
            length: 0,
            values: [0; N],
        };
        let mut index = 0;
        while index < N {
            small.append(keys[index], index);
            index += 1;
        }
        small
    }

    const fn append(&mut self, key: &NumberKey, index: usize) {
        let start = self.length;
        let mut at = 0;
        while at < key.length {
            self.bytes[start + at] = key.bytes[at];
            at += 1;
        }
        // As for a number of one byte.
        self.bytes[start + 1] += 1;
        self.bytes[start + key.length - 2] += 1;
        self.values[index] = start + key.length;
        self.length = start + key.length + 1;
    }
}

/// A number as a varint, first byte lowest, and how many bytes that are.
///
/// The plain way is a loop that cuts off seven bits at a time, and leaves them at a point that the
/// processor cannot foresee. Here all groups of seven are spread over their bytes at once.
#[inline(always)]
fn varint(number: u64) -> (u128, usize) {
    if number < 1 << 7 {
        return (u128::from(number), 1);
    }
    if number >= 1 << 56 {
        return long_varint(number);
    }
    // Bits by seven, rounded up, without a division: right for all that are asked for.
    let bits = u64::BITS - number.leading_zeros();
    let length = (bits * 9 + 64) / 64;
    let spread = (number & 0x0000_0000_0fff_ffff) | ((number & 0x00ff_ffff_f000_0000) << 4);
    let spread = (spread & 0x0000_3fff_0000_3fff) | ((spread & 0x0fff_c000_0fff_c000) << 2);
    let spread = (spread & 0x007f_007f_007f_007f) | ((spread & 0x3f80_3f80_3f80_3f80) << 1);
    // A bit that says "more follows" in all bytes but the last.
    let more = 0x8080_8080_8080_8080 & ((1 << (8 * (length - 1))) - 1);
    (u128::from(spread | more), length as usize)
}

/// How many bytes a number has as a varint.
#[inline(always)]
pub(super) fn length_of_varint(number: u64) -> usize {
    let bits = u64::BITS - (number | 1).leading_zeros();
    // By seven, rounded up, as in `varint`.
    ((bits * 9 + 64) / 64) as usize
}

/// How many bytes a field has that is of so many bytes itself.
#[inline(always)]
pub(super) fn length_of_field(length: usize) -> usize {
    1 + length_of_varint(length as u64) + length
}

/// How many bytes a field has that is a text.
#[inline(always)]
pub(super) fn length_of_text(text: &str) -> usize {
    length_of_field(text.len())
}

#[cold]
fn long_varint(mut number: u64) -> (u128, usize) {
    let (mut varint, mut length) = (0, 0);
    while number >= 1 << 7 {
        varint |= u128::from(number & 0x7f | 0x80) << (8 * length);
        number >>= 7;
        length += 1;
    }
    (varint | u128::from(number) << (8 * length), length + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_as_the_library_writes_it() {
        let around = (0..64).map(|bit| 1_u64 << bit);
        let around = around.flat_map(|power| [power - 1, power, power + 1, power | 0x55]);
        for number in around.chain([0, 0x0123_4567_89ab_cdef, i64::MAX as u64, u64::MAX]) {
            let mut expected = Vec::new();
            prost::encoding::encode_varint(number, &mut expected);
            let (varint, length) = varint(number);
            assert_eq!(varint.to_le_bytes()[..length], expected, "{number:#x}");
            assert_eq!(length_of_varint(number), length, "{number:#x}");
        }
    }

    #[test]
    fn lengths_are_filled_in_and_growth_keeps_what_was_written() {
        let mut wire = Wire::default();
        for _ in 0..2 {
            wire.clear();
            let open = wire.begin(0x12);
            wire.append(&[7; 300]);
            wire.close(open);
            let mut read = &wire.written()[1..];
            let length = prost::encoding::decode_varint(&mut read).unwrap();
            assert_eq!((length, read), (300, &[7; 300][..]));
        }
        assert_eq!(wire.take_back(302), [7, 7, 7]);
        assert_eq!(wire.end(), 302);
    }

    #[test]
    fn lengths_of_any_size_are_filled_in_where_there_was_room_for_a_short_one() {
        let around = [7, 14, 21].map(|bit| [(1 << bit) - 1, 1 << bit]);
        for length in around.into_iter().flatten().chain([0, 1, 5 << 20]) {
            let mut wire = Wire::default();
            wire.append(b"before");
            let open = wire.begin_short(0x12);
            let bytes: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
            wire.append(&bytes);
            wire.close_short(open);
            wire.append(b"behind");
            let mut read = wire.written().strip_prefix(b"before\x12").unwrap();
            assert_eq!(prost::encoding::decode_varint(&mut read), Ok(length as u64));
            assert_eq!(read.strip_suffix(b"behind"), Some(&bytes[..]));
        }
    }
}
