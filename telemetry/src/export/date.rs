//! Dates as people and files write them: UTC, in the two forms of ISO 8601.

use std::time::{SystemTime, UNIX_EPOCH};

/// A moment, cut into the numbers of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Utc {
    year: u64,
    month: u64,
    day: u64,
    second_of_day: u64,
    nanos: u32,
}

impl Utc {
    /// The calendar's numbers for a moment; those of 1970 for all that lie before.
    pub(super) fn of(moment: SystemTime) -> Utc {
        let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (year, day_of_year) = year_of(since.as_secs() / SECONDS_PER_DAY);
        let (month, day) = month_of(year, day_of_year);
        Utc {
            year,
            month,
            day,
            second_of_day: since.as_secs() % SECONDS_PER_DAY,
            nanos: since.subsec_nanos(),
        }
    }

    /// `2026-11-21T07:45:12.000123456Z`.
    pub(super) fn to_text(self) -> String {
        let Utc {
            year, month, day, ..
        } = self;
        let (hour, minute, second) = self.clock();
        let nanos = self.nanos;
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
    }

    /// `20261121T074512Z`: for names of files, with nothing that a file system refuses.
    pub(super) fn to_file_name(self) -> String {
        let Utc {
            year, month, day, ..
        } = self;
        let (hour, minute, second) = self.clock();
        format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
    }

    fn clock(self) -> (u64, u64, u64) {
        let second = self.second_of_day;
        (second / 3600, second / 60 % 60, second % 60)
    }
}

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

/// Days in 400 years, after which the calendar repeats itself.
const DAYS_PER_CYCLE: u64 = 146_097;

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// The year of a day since 1970, and the day within it, from zero.
fn year_of(days: u64) -> (u64, u64) {
    let mut year = 1970 + 400 * (days / DAYS_PER_CYCLE);
    let mut day = days % DAYS_PER_CYCLE;
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if day < length {
            return (year, day);
        }
        day -= length;
        year += 1;
    }
}

/// The month of a day of a year, and the day within it, both from one.
fn month_of(year: u64, day_of_year: u64) -> (u64, u64) {
    let february = if is_leap(year) { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut day = day_of_year;
    for (month, length) in (1..).zip(lengths) {
        if day < length {
            return (month, day + 1);
        }
        day -= length;
    }
    unreachable!("a day of a year lies in one of its months")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn text(seconds: u64, nanos: u32) -> String {
        Utc::of(UNIX_EPOCH + Duration::new(seconds, nanos)).to_text()
    }

    #[test]
    fn dates_around_the_edges_of_the_calendar() {
        assert_eq!(text(0, 0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(text(951_782_400, 5), "2000-02-29T00:00:00.000000005Z");
        assert_eq!(text(951_868_799, 0), "2000-02-29T23:59:59.000000000Z");
        assert_eq!(text(1_735_689_599, 0), "2024-12-31T23:59:59.000000000Z");
        assert_eq!(text(4_107_542_400, 0), "2100-03-01T00:00:00.000000000Z");
        assert_eq!(text(253_402_300_799, 0), "9999-12-31T23:59:59.000000000Z");
    }

    #[test]
    fn a_clock_set_before_1970_is_no_reason_to_fail() {
        let early = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(Utc::of(early).to_file_name(), "19700101T000000Z");
    }
}
