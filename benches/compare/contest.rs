//! One workload, run by all contenders in turn.
//!
//! A round is one sample of each, in an order that changes from round to round, so that what
//! disturbs the machine for longer than a sample disturbs all of them. Ratios are those of the
//! samples of one round. Every few rounds all contenders are started anew: which threads come to
//! share a processor is decided when they start, and may make a factor of two for as long as they
//! live.

use crate::contenders::{self, Baseline};
use crate::station::{Books, Sample, Station};
use crate::statistics::Quartiles;
use crate::workloads::{self, Measured};

/// Rounds until all are started anew.
const SITTING: usize = 3;

/// What is run.
#[derive(Clone, Copy)]
pub struct Event {
    pub workload: &'static str,
    pub workers: usize,
    pub size: usize,
    pub samples: usize,
    pub measured: Measured,
}

/// What came out.
pub struct Outcome {
    pub event: Event,
    pub series: Vec<Series>,
}

/// Of one contender.
pub struct Series {
    pub contender: &'static str,
    /// One for each round, unless it failed.
    pub samples: Vec<Sample>,
    pub books: Option<Books>,
    pub failure: Option<String>,
    /// Why it was not asked.
    pub excuse: Option<&'static str>,
}

/// A figure of a sample.
#[derive(Clone, Copy)]
pub enum Figure {
    Cpu,
    Wall,
    Own(usize),
}

impl Event {
    pub fn new(workload: &'static str, workers: usize, samples: usize, quick: bool) -> Event {
        let mut all = workloads::all::<Baseline>().into_iter();
        let found = all.find(|candidate| candidate.name == workload);
        let found = found.expect("the arguments name workloads that exist");
        Event {
            workload,
            workers,
            size: if quick { found.size / 20 } else { found.size }.max(1),
            samples: match found.measured {
                Measured::Fresh(..) => 1,
                Measured::Cpu | Measured::Own(..) => samples,
            },
            measured: found.measured,
        }
    }

    /// Whether it would show again what it has shown with the first number of workers: memory does
    /// not depend on them.
    pub fn is_repetition(&self, first: usize) -> bool {
        matches!(self.measured, Measured::Fresh(..)) && self.workers != first
    }

    /// The figures that its rows show, with what is added to its name, and the unit.
    pub fn figures(&self) -> Vec<(Figure, String, &'static str)> {
        match self.measured {
            Measured::Cpu => vec![(Figure::Cpu, self.workload.to_owned(), "ns")],
            Measured::Own(names, unit) | Measured::Fresh(names, unit) => {
                let names = names.iter().enumerate();
                let named = |(index, name): (usize, &&str)| {
                    let name = format!("{} {name}", self.workload);
                    (Figure::Own(index), name.trim_end().to_owned(), unit)
                };
                names.map(named).collect()
            }
        }
    }
}

impl Sample {
    pub fn figure(&self, figure: Figure) -> f64 {
        match figure {
            Figure::Cpu => self.cpu,
            Figure::Wall => self.wall,
            Figure::Own(index) => self.figures[index],
        }
    }
}

impl Series {
    fn new(contender: &'static str, event: Event) -> Series {
        Series {
            contender,
            samples: Vec::new(),
            books: None,
            failure: None,
            excuse: contenders::excuse(contender, event.workload),
        }
    }

    fn add(&mut self, books: Option<Books>) {
        self.books = match (self.books, books) {
            (Some(before), Some(books)) => Some(before.and(books)),
            (before, books) => before.or(books),
        };
    }

    fn is_out(&self) -> bool {
        self.failure.is_some() || self.excuse.is_some()
    }

    pub fn quartiles(&self, figure: Figure) -> Option<Quartiles> {
        Quartiles::of(self.samples.iter().map(|sample| sample.figure(figure)))
    }

    /// The ratios to another one, round by round.
    pub fn ratio(&self, to: &Series, figure: Figure) -> Option<Quartiles> {
        let rounds = self.samples.iter().zip(&to.samples);
        Quartiles::of(rounds.map(|(this, that)| this.figure(figure) / that.figure(figure)))
    }

    /// Spans that telemetry_rt has dropped; what others drop is their affair.
    pub fn own_drops(&self) -> u64 {
        let own = self.books.filter(|books| books.ledger.processes.is_some());
        own.map_or(0, |books| books.ledger.dropped)
    }

    /// What is wrong, if anything is.
    pub fn complaint(&self) -> Option<String> {
        let failure = self.failure.clone();
        failure.or_else(|| self.books.as_ref().and_then(Books::complaint))
    }
}

/// A contender and its results so far.
struct Entrant<'a> {
    station: &'a mut dyn Station,
    series: Series,
}

/// Runs all rounds.
pub fn run(
    event: Event,
    stations: &mut [(&'static str, Box<dyn Station>)],
    order: &mut Order,
) -> Outcome {
    let entrants = stations.iter_mut();
    let mut entrants: Vec<Entrant<'_>> = entrants
        .map(|(name, station)| Entrant::new(name, station.as_mut(), event))
        .collect();
    let mut left = event.samples;
    while left > 0 {
        let rounds = left.min(SITTING);
        sitting(event, &mut entrants, order, rounds);
        left -= rounds;
    }
    Outcome {
        event,
        series: entrants.into_iter().map(|entrant| entrant.series).collect(),
    }
}

/// All are started, run so many rounds, and are ended.
fn sitting(event: Event, entrants: &mut [Entrant<'_>], order: &mut Order, rounds: usize) {
    entrants.iter_mut().for_each(|entrant| entrant.begin(event));
    for _ in 0..rounds {
        for place in order.next(entrants.len()) {
            entrants[place].sample(event);
        }
    }
    entrants.iter_mut().for_each(Entrant::end);
}

impl<'a> Entrant<'a> {
    fn new(contender: &'static str, station: &'a mut dyn Station, event: Event) -> Entrant<'a> {
        Entrant {
            station,
            series: Series::new(contender, event),
        }
    }

    /// Starts it, and lets it run one sample that does not count.
    fn begin(&mut self, event: Event) {
        if self.series.is_out() {
            return;
        }
        let begun = self.station.begin(event.workload, event.workers);
        let begun = begun.and_then(|()| self.station.sample(event.size));
        self.note(begun.map(drop));
    }

    fn sample(&mut self, event: Event) {
        if self.series.is_out() {
            return;
        }
        match self.station.sample(event.size) {
            Ok(sample) => self.series.samples.push(sample),
            Err(reason) => self.note(Err(reason)),
        }
    }

    fn end(&mut self) {
        if self.series.is_out() {
            return;
        }
        match self.station.end() {
            Ok(books) => self.series.add(books),
            Err(reason) => self.note(Err(reason)),
        }
    }

    fn note(&mut self, result: Result<(), String>) {
        self.series.failure = result.err();
    }
}

/// Orders in which the contenders take their turns.
pub struct Order {
    state: u64,
}

impl Order {
    /// Always the same orders, so that a run can be repeated.
    pub fn new() -> Order {
        Order {
            state: 0x9e37_79b9_7f4a_7c15,
        }
    }

    fn next(&mut self, number: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..number).collect();
        for last in (1..number).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }

    /// Marsaglia's xorshift.
    fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state % bound as u64) as usize
    }
}

/// Runs an event whose samples want fresh processes: a child for each.
pub fn run_fresh(event: Event, names: &[&'static str]) -> Outcome {
    let series = names.iter().map(|name| Series::new(name, event));
    let mut series: Vec<Series> = series.collect();
    for _ in 0..event.samples {
        for one in &mut series {
            if one.is_out() {
                continue;
            }
            match fresh_sample(event, one.contender) {
                Ok(sample) => one.samples.push(sample),
                Err(reason) => one.failure = Some(reason),
            }
        }
    }
    Outcome { event, series }
}

fn fresh_sample(event: Event, name: &'static str) -> Result<Sample, String> {
    let mut child = contenders::child(name)?;
    child.begin(event.workload, event.workers)?;
    child.sample(event.size)
}
