//! In what order do things happen? The collector first, then the runtime, the load and the faults;
//! at the end the load stops, the collector is well again, and the runtime is shut down.

use std::io;
use std::sync::Arc;
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use telemetry_rt::otel::Otel;
use telemetry_rt::runtime::{Builder, Handle, Runtime};
use telemetry_rt::task::JoinHandle;

use crate::args::Args;
use crate::collector::{Collector, Mood};
use crate::dice::Dice;
use crate::laws::{Findings, Memory};
use crate::ledger::{Kind, State};
use crate::patience::Patience;
use crate::process::{Held, held, resident};
use crate::report::Progress;
use crate::world::World;
use crate::{faults, hooks, load, probes};

/// The name under which the collector knows the runtime.
const SOURCE: &str = "soak";
/// How long the end of the runtime may take. All is well with the collector by then.
const SHUTDOWN: Duration = Duration::from_secs(60);
/// How long what was left behind, such as an exporter that hangs, may live on.
const AFTERLIFE: Duration = Duration::from_secs(20);

/// A run that has begun.
struct Run<'a> {
    args: &'a Args,
    seed: u64,
    world: &'a Arc<World>,
    collector: &'a Collector,
    runtime: &'a Runtime,
}

/// Runs for as long as is asked for, and ends.
///
/// # Errors
///
/// When the system refuses what is needed at the start.
pub fn run(args: &Args, seed: u64, world: &Arc<World>) -> io::Result<Findings> {
    let (held_before, at_start) = (held(), resident().unwrap_or(0));
    let patience = Patience::start();
    let mut collector = Collector::start(Dice::new(seed, 1))?;
    let runtime = build(args, &collector)?;
    let run = Run {
        args,
        seed,
        world,
        collector: &collector,
        runtime: &runtime,
    };
    let mut memory = thread::scope(|scope| run.load(scope, &patience))?;
    memory.start = at_start;
    memory.end = resident().unwrap_or(0);

    patience.phase("shutdown", SHUTDOWN + Duration::from_secs(30));
    leave_some(world, runtime.handle());
    let report = runtime.shutdown(SHUTDOWN).unwrap_or_default();
    let delivered = collector.delivered(SOURCE);
    let (refused, failed) = collector.failures();
    world.refused.add("collector: accept or bind", refused);
    world
        .notes
        .add("requests that the collector failed", failed);
    collector.stop();
    let wakes = load::wake_the_dead(world) as u64;
    world.notes.add("wakes after the end", wakes);
    world.notes.add("warnings of the export", hooks::warnings());
    patience.end();
    Ok(Findings {
        report,
        delivered,
        held_before,
        held_after: wait_for(held_before),
        memory,
        panics: hooks::take_panics(),
    })
}

fn build(args: &Args, collector: &Collector) -> io::Result<Runtime> {
    let otel = Otel::builder()
        .exporter(collector.exporter(SOURCE))
        // Small enough to be full when the collector is down for a second or two.
        .queue_size(32_768)
        .schedule_delay(Duration::from_millis(500))
        .metric_interval(Duration::from_secs(1))
        .build();
    Builder::new_multi_thread()
        .worker_threads(args.workers)
        .max_blocking_threads(32)
        .thread_keep_alive(Duration::from_millis(500))
        .thread_name("soak-runtime")
        .enable_all()
        .otel(otel)
        .build()
}

impl<'a> Run<'a> {
    /// From the start of all threads to their end.
    fn load<'scope>(
        &'a self,
        scope: &'scope Scope<'scope, '_>,
        patience: &Patience,
    ) -> io::Result<Memory>
    where
        'a: 'scope,
    {
        // However this ends, the threads must end, too.
        let stop = StopAtEnd(self.world);
        self.start_threads(scope)?;
        let drivers = self.start_drivers();
        patience.phase("load", self.args.length + Duration::from_secs(60));
        let memory = self.watch();
        patience.phase("end of the load", Duration::from_secs(90));
        drop(stop);
        let mut root = self.world.ledger.begin(Kind::Root);
        self.runtime.block_on(soak_root(drivers));
        root.state(State::Finished);
        Ok(memory)
    }

    fn start_threads<'scope>(&'a self, scope: &'scope Scope<'scope, '_>) -> io::Result<()>
    where
        'a: 'scope,
    {
        let (world, collector) = (self.world, self.collector);
        let handle = self.runtime.handle();
        let dice = |thrower| Dice::new(self.seed, thrower);
        let named = |name: &str| thread::Builder::new().name(format!("soak-{name}"));
        named("machine").spawn_scoped(scope, || probes::watch_the_machine(world))?;
        if self.args.only.is_empty() {
            named("faults").spawn_scoped(scope, move || {
                faults::inject(world, collector, handle, dice(2), self.args.length);
            })?;
        } else {
            collector.set_mood(Mood::Well);
        }
        if self.args.wants(load::LIVES) {
            named("lives")
                .spawn_scoped(scope, move || load::lead_lives(world, collector, dice(3)))?;
        }
        if self.args.wants(load::OUTSIDE) {
            for thrower in 4..=5 {
                named("outside").spawn_scoped(scope, move || {
                    load::call_from_outside(world, handle, dice(thrower));
                })?;
            }
        }
        Ok(())
    }

    /// Starts the drivers and the probe, from outside.
    fn start_drivers(&self) -> Vec<JoinHandle<()>> {
        let _inside = self.runtime.enter();
        let mut drivers = load::start(self.args, self.world, &mut Dice::new(self.seed, 6));
        let probe = probes::watch_the_runtime(Arc::clone(self.world));
        drivers.push(self.world.spawn(Kind::Probe, probe));
        drivers
    }

    /// Shows how it goes until the time is over.
    fn watch(&self) -> Memory {
        let (begin, length) = (Instant::now(), self.args.length);
        let warm_up = (length / 4).min(Duration::from_secs(30));
        let mut memory = Memory::default();
        let mut progress = Progress::start();
        while begin.elapsed() < length {
            thread::sleep(Duration::from_millis(100));
            // Not known while descriptors are short.
            let Some(resident) = resident() else { continue };
            memory.peak = memory.peak.max(resident);
            if begin.elapsed() <= warm_up || memory.warm == 0 {
                memory.warm = memory.warm.max(resident);
            }
            let left = length.saturating_sub(begin.elapsed());
            progress.show(self.world, self.runtime.handle(), left, resident);
        }
        progress.end();
        memory
    }
}

/// The root at the end of the load: all drivers come home.
async fn soak_root(drivers: Vec<JoinHandle<()>>) {
    for driver in drivers {
        // One that panicked has been told of by the hook for panics.
        drop(driver.await);
    }
}

/// Tasks that have not ended when the runtime does.
fn leave_some(world: &Arc<World>, runtime: &Handle) {
    for _ in 0..1_000 {
        drop(world.spawn_on(runtime, Kind::Leftover, std::future::pending::<()>()));
    }
}

/// Waits for what may still be on its way to its end.
fn wait_for(before: Option<Held>) -> Option<Held> {
    let begin = Instant::now();
    loop {
        let after = held();
        if after == before || begin.elapsed() > AFTERLIFE {
            return after;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

struct StopAtEnd<'a>(&'a World);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}
