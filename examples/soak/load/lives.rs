//! Runtimes that are started and ended while others run, each with a pipeline of its own to the same
//! collector, in whatever mood that is.

use std::future::pending;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use telemetry_rt::net::TcpListener;
use telemetry_rt::otel::{Otel, Report};
use telemetry_rt::runtime::{Builder, Handle, Runtime};
use telemetry_rt::task::yield_now;
use telemetry_rt::time::sleep;

use crate::collector::Collector;
use crate::dice::Dice;
use crate::ledger::{Kind, State};
use crate::world::World;

/// Ends one runtime after the other until the soak stops.
pub fn lead_lives(world: &Arc<World>, collector: &Collector, mut dice: Dice) {
    let mut number = 0;
    while !world.is_stopping() {
        number += 1;
        let life = Life {
            world: Arc::clone(world),
            // The ledger is its own; what breaks is told to the soak.
            own: Arc::new(World::default()),
            source: format!("life-{number}"),
        };
        life.lead(collector, dice.split());
        thread::sleep(dice.millis(0..=50));
    }
}

struct Life {
    world: Arc<World>,
    own: Arc<World>,
    source: String,
}

/// How much longer than allowed an end may take on a busy machine.
const TOO_LONG: Duration = Duration::from_secs(2);

impl Life {
    fn lead(&self, collector: &Collector, mut dice: Dice) {
        let Ok(runtime) = self.build(collector, &mut dice) else {
            self.world.refused.count("runtime");
            return;
        };
        let handle = runtime.handle().clone();
        let mut root = self.own.ledger.begin(Kind::Root);
        runtime.block_on(soak_root(Arc::clone(&self.own), dice.split()));
        root.state(State::Finished);
        drop(root);
        self.end(runtime, collector, &mut dice);
        self.knock(&handle);
        collector.close(&self.source);
        for law in self.own.broken() {
            self.world.breaks(format!("in a runtime within: {law}"));
        }
    }

    fn build(&self, collector: &Collector, dice: &mut Dice) -> std::io::Result<Runtime> {
        let mut builder = match dice.one_in(2) {
            true => Builder::new_current_thread(),
            false => Builder::new_multi_thread(),
        };
        let otel = Otel::builder()
            .exporter(collector.exporter(&self.source))
            .queue_size(dice.among(16..=2_000) as usize)
            .batch_size(dice.among(1..=200) as usize)
            .span_ring(dice.among(4..=500) as usize)
            .schedule_delay(dice.millis(1..=100))
            .metric_interval(dice.millis(5..=200))
            .shutdown_timeout(dice.millis(50..=1_000));
        let otel = match dice.one_in(4) {
            true => Otel::disabled(),
            false => otel.build(),
        };
        builder
            .worker_threads(dice.among(1..=3) as usize)
            .thread_name("soak-life")
            .enable_all()
            .otel(otel)
            .build()
    }

    fn end(&self, runtime: Runtime, collector: &Collector, dice: &mut Dice) {
        let limit = dice.millis(1_000..=3_000);
        let start = Instant::now();
        let way = match dice.among(0..=5) {
            0 => {
                drop(runtime);
                "life: drop"
            }
            1 => {
                runtime.shutdown_background();
                "life: shutdown in the background"
            }
            2 => {
                runtime.shutdown_timeout(limit);
                "life: shutdown of tasks"
            }
            _ => {
                if let Some(report) = runtime.shutdown(limit) {
                    self.audit(&report, collector);
                }
                "life: shutdown"
            }
        };
        self.world.done.count(way);
        if start.elapsed() > limit + TOO_LONG {
            let took = start.elapsed();
            self.world.breaks(format!(
                "{way}: it took {took:?}, and was allowed {limit:?}"
            ));
        }
    }

    /// The books of a runtime that was shut down in whatever mood the collector was.
    fn audit(&self, report: &Report, collector: &Collector) {
        let spans = report.spans;
        let expected = self.own.ledger.processes() + self.own.ledger.users_spans();
        let delivered = collector.close(&self.source);
        let stored = delivered.stored;
        if delivered.twice + delivered.uneven > 0 {
            self.world.breaks(format!(
                "{}: spans that are wrong: {delivered:?}",
                self.source
            ));
        }
        if !spans.is_balanced() || spans.in_flight != 0 {
            self.world
                .breaks(format!("{}: not balanced: {spans:?}", self.source));
        }
        if spans.produced != expected {
            self.world.breaks(format!(
                "{}: {} spans were produced, and {expected} expected: {:?}",
                self.source,
                spans.produced,
                self.own.ledger.rows()
            ));
        }
        if spans.exported > stored {
            self.world.breaks(format!(
                "{}: {} spans count as exported, and the collector has {stored}",
                self.source, spans.exported
            ));
        }
        self.world.notes.add("spans of lives", spans.produced);
        self.world
            .notes
            .add("spans of lives, exported", spans.exported);
        self.world
            .notes
            .add("spans of lives, dropped", spans.dropped.total());
    }

    /// A task for a runtime that has ended is cancelled, and nothing hangs.
    fn knock(&self, handle: &Handle) {
        let task = handle.spawn(async {});
        let waiting = Instant::now();
        while !task.is_finished() {
            if waiting.elapsed() > TOO_LONG {
                self.world
                    .breaks("a task for a runtime that has ended does not end".to_owned());
                return;
            }
            thread::sleep(Duration::from_micros(100));
        }
    }
}

/// Much begins, and little of it has ended when the runtime does.
async fn soak_root(world: Arc<World>, mut dice: Dice) {
    let mut joined = Vec::new();
    for _ in 0..dice.among(0..=100) {
        let (mut own, shared) = (dice.split(), Arc::clone(&world));
        let task = world.spawn(Kind::Leaf, async move {
            match own.among(0..=9) {
                0 => pending().await,
                1 => sleep(own.millis(0..=100)).await,
                2 => {
                    let listener = TcpListener::bind("127.0.0.1:0").await;
                    if let Ok(listener) = listener {
                        drop(listener.accept().await);
                    }
                }
                3 => {
                    let _span = shared.ledger.span("outer");
                    yield_now().await;
                }
                4 => {
                    let pause = own.micros(0..=2_000);
                    let function = shared.spawn_blocking(Kind::Function, move || {
                        thread::sleep(pause);
                    });
                    drop(function.await);
                }
                5..=6 => loop {
                    yield_now().await;
                },
                _ => {}
            }
        });
        match dice.one_in(4) {
            true => task.abort(),
            false => joined.push(task),
        }
    }
    // Those that end by themselves, as far as time goes.
    sleep(dice.millis(0..=20)).await;
    joined.retain(|task| !task.is_finished());
}
