//! What waits for export: records of processes as they came out of the rings, and users' spans.
//!
//! Records lie in chunks. The drain fills one, outside of the queue's lock, and hands it over by
//! its address; the exporting thread takes as many chunks as make a batch, and brings them back
//! empty. So no record is moved between the ring and its exporter, and under load nothing is
//! allocated. All chunks but the last are full: when the drain has brought only a few, they are
//! moved into the last one, because a chunk takes its memory whether it is full or not.
//!
//! Users' spans come one by one from any thread, and have a list of their own, in lists that each
//! make a batch: one is handed over as it is, and comes back empty, so that the lock is not held while
//! hundreds of kilobytes are allocated and moved. The two take turns at
//! the beginning of batches, so neither keeps the other waiting. Order is kept among records of
//! one ring and among users' spans, but not between them.

use std::collections::VecDeque;
use std::ops::Range;

use opentelemetry_sdk::trace::SpanData;

use crate::export::calendar::Calendar;
use crate::record::SpanRecord;

/// Records that are handed over together: some 100 kB.
const MOST_OF_CHUNK: usize = 512;

/// Empty chunks that are kept for the drain.
const MOST_SPARE: usize = 16;

/// Records of processes, and what turns their ticks into dates.
#[derive(Debug, Default)]
pub(in crate::export) struct Chunk {
    records: Vec<SpanRecord>,
    /// For which records each calendar holds.
    calendars: Vec<(Range<usize>, Calendar)>,
}

impl Chunk {
    pub(in crate::export) fn len(&self) -> usize {
        self.records.len()
    }

    /// The records with the calendars that hold for them, in few steps.
    pub(in crate::export) fn sections(
        &self,
    ) -> impl DoubleEndedIterator<Item = (&[SpanRecord], &Calendar)> {
        let calendars = self.calendars.iter();
        calendars.map(|(range, calendar)| (&self.records[range.clone()], calendar))
    }

    /// Forgets the records, and keeps the memory.
    pub(in crate::export) fn clear(&mut self) {
        self.records.clear();
        self.calendars.clear();
    }

    fn append(&mut self, records: impl Iterator<Item = SpanRecord>, calendar: Calendar) {
        let start = self.records.len();
        self.records.extend(records);
        self.calendars.push((start..self.records.len(), calendar));
    }

    /// As `append`, into an empty chunk, of all there are: `records` gets the memory it had.
    fn fill(&mut self, records: &mut Vec<SpanRecord>, calendar: Calendar) {
        std::mem::swap(&mut self.records, records);
        self.calendars.push((0..self.records.len(), calendar));
    }
}

/// A batch: whole chunks, and users' spans.
#[derive(Debug, Default)]
pub(in crate::export) struct Taken {
    pub(in crate::export) chunks: Vec<Chunk>,
    pub(in crate::export) users: Vec<SpanData>,
}

impl Taken {
    /// Forgets the spans, and keeps the memory.
    pub(in crate::export) fn clear(&mut self) {
        self.chunks.iter_mut().for_each(Chunk::clear);
        self.users.clear();
    }

    pub(in crate::export) fn len(&self) -> usize {
        let records: usize = self.chunks.iter().map(Chunk::len).sum();
        records + self.users.len()
    }
}

/// The two lists.
pub(super) struct Waiting {
    chunks: VecDeque<Chunk>,
    /// No list is empty, and all but the first and the last are full.
    users: VecDeque<Vec<SpanData>>,
    /// In all chunks, and in all lists.
    records: usize,
    of_users: usize,
    /// How many of each are to be exported now, even if they fill no batch.
    urgent_records: usize,
    urgent_users: usize,
    spare: Vec<Chunk>,
    spare_list: Vec<SpanData>,
    batch: usize,
    most_of_chunk: usize,
    users_are_first: bool,
}

impl Waiting {
    pub(super) fn new(batch: usize) -> Waiting {
        Waiting {
            chunks: VecDeque::new(),
            users: VecDeque::new(),
            records: 0,
            of_users: 0,
            urgent_records: 0,
            urgent_users: 0,
            spare: Vec::new(),
            spare_list: Vec::new(),
            batch,
            // So that whole chunks fill a batch.
            most_of_chunk: batch / batch.div_ceil(MOST_OF_CHUNK),
            users_are_first: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.records + self.of_users
    }

    #[inline]
    pub(super) fn push_user(&mut self, span: SpanData) {
        self.of_users += 1;
        match self.users.back_mut() {
            Some(list) if list.len() < self.batch => list.push(span),
            _ => self.begin_list(span),
        }
    }

    fn begin_list(&mut self, first: SpanData) {
        let mut list = std::mem::take(&mut self.spare_list);
        list.push(first);
        self.users.push_back(list);
    }

    /// How many records the drain is to bring next, so that they make a chunk full.
    pub(super) fn room_of_chunk(&self) -> usize {
        match self.room_of_last() {
            0 => self.most_of_chunk,
            room => room,
        }
    }

    fn room_of_last(&self) -> usize {
        let last = self.chunks.back();
        last.map_or(0, |last| self.most_of_chunk - last.len())
    }

    /// Takes all the records; `records` keeps some memory for the next ones.
    pub(super) fn push_records(&mut self, records: &mut Vec<SpanRecord>, calendar: Calendar) {
        self.records += records.len();
        let fit = self.room_of_last().min(records.len());
        if let Some(last) = self.chunks.back_mut().filter(|_| fit > 0) {
            last.append(records.drain(..fit), calendar);
        }
        while records.len() > self.most_of_chunk {
            let mut chunk = self.empty_chunk();
            chunk.append(records.drain(..self.most_of_chunk), calendar);
            self.chunks.push_back(chunk);
        }
        if !records.is_empty() {
            let mut chunk = self.empty_chunk();
            chunk.fill(records, calendar);
            self.chunks.push_back(chunk);
        }
    }

    fn empty_chunk(&mut self) -> Chunk {
        self.spare.pop().unwrap_or_default()
    }

    /// Keeps what was emptied, as far as there may be use for it.
    pub(super) fn bring_back(&mut self, emptied: &mut Taken) {
        let room = MOST_SPARE - self.spare.len();
        let room = room.min(emptied.chunks.len());
        self.spare.extend(emptied.chunks.drain(..room));
        if self.spare_list.capacity() < emptied.users.capacity() {
            std::mem::swap(&mut self.spare_list, &mut emptied.users);
        }
    }

    /// All that waits now is urgent.
    pub(super) fn hurry(&mut self) {
        self.urgent_records = self.records;
        self.urgent_users = self.of_users;
    }

    pub(super) fn is_urgent(&self) -> bool {
        self.urgent_records > 0 || self.urgent_users > 0
    }

    /// At most so many, and at least one if there are any.
    pub(super) fn take(&mut self, most: usize) -> Taken {
        let mut taken = Taken::default();
        if self.users_are_first {
            self.take_users(most, &mut taken);
        }
        self.take_chunks(most, &mut taken);
        if !self.users_are_first {
            self.take_users(most - taken.len(), &mut taken);
        }
        self.users_are_first = !self.users_are_first;
        taken
    }

    /// Mostly one list, as it is.
    fn take_users(&mut self, most: usize, into: &mut Taken) {
        while let Some(list) = self.users.front_mut()
            && into.users.len() < most
        {
            let room = most - into.users.len();
            match list.len() <= room {
                true if into.users.is_empty() => std::mem::swap(&mut into.users, list),
                true => into.users.append(list),
                false => into.users.extend(list.drain(..room)),
            }
            self.users.pop_front_if(|list| list.is_empty());
        }
        let taken = into.users.len();
        self.of_users -= taken;
        self.urgent_users = self.urgent_users.saturating_sub(taken);
    }

    fn take_chunks(&mut self, most: usize, into: &mut Taken) {
        let mut room = most - into.len();
        while let Some(chunk) = self.chunks.pop_front_if(|chunk| chunk.len() <= room) {
            room -= chunk.len();
            self.records -= chunk.len();
            self.urgent_records = self.urgent_records.saturating_sub(chunk.len());
            into.chunks.push(chunk);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Waiting::new(self.batch);
    }
}

#[cfg(test)]
mod tests;
