//! Where time is read. No other file of the workspace asks the machine what time it is.
//!
//! Three questions are answered here:
//!
//! * [`ticks`]: "how long did this take?", for the recorder. One read of the processor's time
//!   stamp counter where that counter runs at a constant rate, the monotonic clock elsewhere.
//! * [`instant`]: "when does this timer fire?", for the reactor.
//! * [`wall`]: "when was that?", for people; asked only while data is being exported.
//!
//! A [`Scale`] turns ticks into nanoseconds. It is measured once for the process, on first use,
//! and becomes more precise whenever [`Anchor::now`] is taken later on, because the base line of
//! the measurement grows.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// A point on the recorder's time axis. Differences are turned into time by a [`Scale`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticks(pub u64);

impl Ticks {
    /// Ticks that passed since `earlier`; zero when the two were read on processors whose
    /// counters differ by a few ticks and the order came out reversed.
    #[inline]
    pub fn since(self, earlier: Ticks) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// What [`ticks`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The processor's time stamp counter, which this processor says is invariant.
    TimeStampCounter,
    /// Nanoseconds of the operating system's monotonic clock.
    Monotonic,
}

const UNKNOWN: u8 = 0;
const COUNTER: u8 = 1;
const MONOTONIC: u8 = 2;

static SOURCE: AtomicU8 = AtomicU8::new(UNKNOWN);

/// Reads the recorder's clock.
///
/// Cost: one `rdtsc` (16 to 24 ns on the machines measured) or one `clock_gettime`.
#[inline]
pub fn ticks() -> Ticks {
    // Relaxed: the value is written once and says how to read a clock, nothing else hangs on it.
    if SOURCE.load(Ordering::Relaxed) == COUNTER {
        return Ticks(read_counter());
    }
    ticks_slow()
}

#[cold]
fn ticks_slow() -> Ticks {
    match source() {
        Source::TimeStampCounter => Ticks(read_counter()),
        Source::Monotonic => Ticks(origin().monotonic_nanos()),
    }
}

/// Keeps [`ticks`] from the processor's counter if it is `monotonic`: for a machine whose counter
/// cannot be trusted, whatever the processor says of it. Other values change nothing.
const CHOICE: &str = "OTEL_RUST_EXECUTOR_CLOCK";

fn monotonic_is_asked_for() -> bool {
    std::env::var(CHOICE).is_ok_and(|choice| choice.trim().eq_ignore_ascii_case("monotonic"))
}

/// Tells what [`ticks`] counts in this process. Chosen once, at the first call of either.
pub fn source() -> Source {
    // Relaxed: as in `ticks`; two threads that both find it unknown store the same answer.
    match SOURCE.load(Ordering::Relaxed) {
        COUNTER => Source::TimeStampCounter,
        MONOTONIC => Source::Monotonic,
        _ => choose(),
    }
}

#[cold]
#[inline(never)]
fn choose() -> Source {
    let (source, code) = if counter_is_invariant() && !monotonic_is_asked_for() {
        (Source::TimeStampCounter, COUNTER)
    } else {
        (Source::Monotonic, MONOTONIC)
    };
    // Relaxed: as in `ticks`.
    SOURCE.store(code, Ordering::Relaxed);
    source
}

/// The monotonic clock, as timers use it.
#[inline]
pub fn instant() -> Instant {
    Instant::now()
}

/// The wall clock. It may be set back or forward while the process runs.
#[inline]
pub fn wall() -> SystemTime {
    SystemTime::now()
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn read_counter() -> u64 {
    // SAFETY: `rdtsc` is part of every x86-64 processor and reads no memory. Where the operating
    // system forbids it (`PR_SET_TSC`) the process is ended by a signal, which is sound.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn read_counter() -> u64 {
    origin().monotonic_nanos()
}

/// Whether the processor promises a counter with one constant rate in every power state
/// (CPUID leaf 0x8000_0007, EDX bit 8).
#[cfg(target_arch = "x86_64")]
fn counter_is_invariant() -> bool {
    use core::arch::x86_64::__cpuid;
    const ADVANCED_POWER_MANAGEMENT: u32 = 0x8000_0007;
    let highest = __cpuid(0x8000_0000).eax;
    highest >= ADVANCED_POWER_MANAGEMENT && __cpuid(ADVANCED_POWER_MANAGEMENT).edx & (1 << 8) != 0
}

#[cfg(not(target_arch = "x86_64"))]
fn counter_is_invariant() -> bool {
    false
}

/// The first reading of both clocks: the near end of the base line of every later measurement.
struct Origin {
    /// Meaningless where the processor has no counter to measure.
    counter: u64,
    instant: Instant,
}

impl Origin {
    fn monotonic_nanos(&self) -> u64 {
        self.instant.elapsed().as_nanos() as u64
    }

    /// Nanoseconds a tick, as a fixed point number, over all the time since this reading.
    fn measure(&self) -> u64 {
        let (counter, elapsed) = read_closely(read_counter, || self.instant.elapsed().as_nanos());
        let ticks = counter.saturating_sub(self.counter).max(1);
        ((elapsed << FRACTION_BITS) / u128::from(ticks)) as u64
    }
}

/// How often two clocks are read to find a pair of readings that belong together.
const READINGS: usize = 5;

/// Reads the counter and another clock at the same moment, as nearly as can be.
///
/// The thread may lose its processor between the two, for milliseconds when the machine is busy. So
/// the counter is read on both sides of the clock, a few times, and the reading counts that took the
/// shortest: its counter is the one in the middle.
fn read_closely<T>(counter: impl Fn() -> u64, clock: impl Fn() -> T) -> (u64, T) {
    let reading = || {
        let before = counter();
        let time = clock();
        let width = counter().saturating_sub(before);
        (width, before + width / 2, time)
    };
    let mut best = reading();
    for _ in 1..READINGS {
        let next = reading();
        if next.0 < best.0 {
            best = next;
        }
    }
    (best.1, best.2)
}

fn origin() -> &'static Origin {
    static ORIGIN: OnceLock<Origin> = OnceLock::new();
    ORIGIN.get_or_init(|| {
        let (counter, instant) = match source() {
            Source::TimeStampCounter => read_closely(read_counter, Instant::now),
            Source::Monotonic => (0, Instant::now()),
        };
        Origin { counter, instant }
    })
}

/// How many nanoseconds a tick is, as a 32.32 fixed point number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    nanos_per_tick: u64,
}

const FRACTION_BITS: u32 = 32;

/// The newest scale, as its fixed point number; zero until it was first measured.
static SCALE: AtomicU64 = AtomicU64::new(0);

/// How long the first measurement of the scale takes. Both clocks are read within some 30 ns,
/// so that the first scale is good to about 30 parts in a million, and improves from there.
const FIRST_MEASUREMENT: Duration = Duration::from_millis(2);

impl Scale {
    /// The scale of this process. The first call takes two milliseconds where ticks are those
    /// of the processor.
    pub fn current() -> Scale {
        // Relaxed: the number is all there is, no other memory is published with it.
        match SCALE.load(Ordering::Relaxed) {
            0 => Scale::measure_first(),
            nanos_per_tick => Scale { nanos_per_tick },
        }
    }

    /// Nanoseconds in `ticks`, rounded down, so that parts never add up to more than the whole.
    #[inline]
    pub fn nanos(self, ticks: u64) -> u64 {
        ((u128::from(ticks) * u128::from(self.nanos_per_tick)) >> FRACTION_BITS) as u64
    }

    /// Ticks in `nanos`, rounded up: a duration of exactly `nanos` is not longer than it.
    pub fn ticks(self, nanos: u64) -> u64 {
        let scaled = u128::from(nanos) << FRACTION_BITS;
        u64::try_from(scaled.div_ceil(u128::from(self.nanos_per_tick))).unwrap_or(u64::MAX)
    }

    #[cold]
    fn measure_first() -> Scale {
        if source() == Source::Monotonic {
            return Scale::publish(1 << FRACTION_BITS);
        }
        let origin = origin();
        while origin.instant.elapsed() < FIRST_MEASUREMENT {
            std::hint::spin_loop();
        }
        Scale::publish(origin.measure())
    }

    /// Measures again over all the time since the process first asked.
    fn refine() -> Scale {
        let current = Scale::current();
        if source() == Source::Monotonic {
            return current;
        }
        Scale::publish(origin().measure())
    }

    fn publish(nanos_per_tick: u64) -> Scale {
        let nanos_per_tick = nanos_per_tick.max(1);
        SCALE.store(nanos_per_tick, Ordering::Relaxed);
        Scale { nanos_per_tick }
    }
}

/// One moment, known on both axes: where ticks are turned into dates.
#[derive(Clone, Copy, Debug)]
pub struct Anchor {
    ticks: Ticks,
    wall: SystemTime,
    scale: Scale,
}

impl Anchor {
    /// Reads both clocks, and refines the [`Scale`].
    pub fn now() -> Anchor {
        let scale = Scale::refine();
        let (counter, wall) = read_closely(|| ticks().0, wall);
        Anchor {
            ticks: Ticks(counter),
            wall,
            scale,
        }
    }

    /// The scale that this anchor converts with.
    pub fn scale(&self) -> Scale {
        self.scale
    }

    /// The date of `ticks`, which may lie before or after the anchor.
    pub fn date(&self, ticks: Ticks) -> SystemTime {
        let before = Duration::from_nanos(self.scale.nanos(self.ticks.since(ticks)));
        let after = Duration::from_nanos(self.scale.nanos(ticks.since(self.ticks)));
        (self.wall + after)
            .checked_sub(before)
            .unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn of_several_readings_the_one_counts_during_which_nothing_intervened() {
        // The clock shows the counter; but in all readings except for the third the thread is away
        // for long between the clock and the counter.
        let (counter, readings) = (Cell::new(0_u64), Cell::new(0));
        let (read, time) = read_closely(
            || counter.replace(counter.get() + 10),
            || {
                readings.set(readings.get() + 1);
                let time = counter.get();
                let away = if readings.get() == 3 { 10 } else { 1_000_000 };
                counter.set(time + away);
                time
            },
        );
        assert_eq!(readings.get(), READINGS);
        assert!(time.abs_diff(read) <= 10, "{time} {read}");
    }

    #[test]
    fn a_measured_sleep_is_as_long_as_the_monotonic_clock_says() {
        let scale = Scale::current();
        let (start, start_ticks) = (Instant::now(), ticks());
        std::thread::sleep(Duration::from_millis(20));
        let nanos = scale.nanos(ticks().since(start_ticks)) as f64;
        let expected = start.elapsed().as_nanos() as f64;
        assert!(
            (nanos / expected - 1.0).abs() < 0.05,
            "{nanos} ns by ticks, {expected} ns by the monotonic clock"
        );
    }

    #[test]
    fn parts_never_exceed_the_whole() {
        let scale = Scale::current();
        for whole in [1_u64, 7, 1_000, 999_999_999, 1 << 40] {
            for part in [0, whole / 3, whole / 2, whole] {
                assert!(scale.nanos(part) + scale.nanos(whole - part) <= scale.nanos(whole));
            }
        }
    }

    #[test]
    fn ticks_of_a_bound_cover_the_bound() {
        let scale = Scale::current();
        for nanos in [1_u64, 1_000, 1_000_000_000, 100_000_000_000] {
            assert!(scale.nanos(scale.ticks(nanos)) + 1 >= nanos);
        }
    }

    #[test]
    fn dates_keep_the_order_of_ticks() {
        let early = ticks();
        let anchor = Anchor::now();
        let late = ticks();
        assert!(anchor.date(early) <= anchor.date(late));
    }

    #[test]
    fn a_reversed_pair_of_readings_is_no_time_at_all() {
        assert_eq!(Ticks(5).since(Ticks(9)), 0);
    }
}
