//! The thread that watches the others: it tells of polls that do not end while they do not end, and
//! writes down what the runtime did last when something has gone wrong or somebody asks.
//!
//! It looks every quarter of the threshold, at least every quarter of a second, so that a stall is
//! told after at most five quarters. A poll is told once, however long it takes. What it writes are
//! two files, a flight record for Perfetto and a table of all live tasks; see [`flight`](super::flight).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use telemetry_rt_clock::{Scale, Ticks, ticks};

use super::deadline::deadline_after;
use super::diagnostics::warn;
use super::flight::{Dumps, Program};
use super::pipeline::refused;
use super::render::{duration, escaped, spawn_site};
use super::span_data::name_of;
use crate::record::{Counter, ProcessType, Recorder, RunningPoll, TaskDump};

/// What is watched for, and where what was seen is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watching {
    /// From when on a poll that still runs is told. `None` is never.
    pub stall: Option<Duration>,
    /// Where flight records and dumps of tasks are written: after a stall, after a panic, on the
    /// signal. `None` is nowhere.
    pub folder: Option<PathBuf>,
    /// The signal on which they are written.
    pub signal: Option<i32>,
}

impl Default for Watching {
    fn default() -> Watching {
        Watching {
            stall: Some(Duration::from_secs(1)),
            folder: None,
            signal: None,
        }
    }
}

/// The signals that may be chosen, by name.
pub(super) const SIGNALS: &[(&str, i32)] = &[
    ("SIGUSR1", signal_hook::consts::SIGUSR1),
    ("SIGUSR2", signal_hook::consts::SIGUSR2),
    ("SIGQUIT", signal_hook::consts::SIGQUIT),
    ("SIGHUP", signal_hook::consts::SIGHUP),
];

/// The thread `rt-watchdog`, until this is dropped.
#[derive(Debug)]
pub struct Watchdog {
    end: Arc<End>,
    thread: Option<JoinHandle<()>>,
    /// The process that has the thread: a child that was forked off has not.
    process: u32,
}

/// How the thread is ended, and how it says that it has.
#[derive(Debug, Default)]
struct End {
    state: Mutex<EndState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct EndState {
    is_asked: bool,
    is_over: bool,
}

/// How long dropping a watchdog takes, at the most: it may be in the middle of writing a file.
const LONGEST_END: Duration = Duration::from_secs(1);

impl Watchdog {
    /// Watches the runtime of `recorder`. `name` is that of the service, which the files begin with.
    ///
    /// # Errors
    ///
    /// When the operating system refuses the thread or the signal.
    pub fn start(watching: Watching, recorder: Recorder, name: &str) -> io::Result<Watchdog> {
        let asked = Arc::new(AtomicBool::new(false));
        let registration = watching
            .signal
            .map(|signal| signal_hook::flag::register(signal, Arc::clone(&asked)))
            .transpose()?;
        let unregister = move || {
            if let Some(registration) = registration {
                signal_hook::low_level::unregister(registration);
            }
        };
        let end = Arc::new(End::default());
        let watch = Watch {
            stall: watching.stall.map(ticks_of),
            pause: pause(watching.stall),
            files: watching.folder.map(|folder| Files::new(&folder, name)),
            panics: recorder.panics(),
            recorder,
            asked,
            end: Arc::clone(&end),
            told: Vec::new(),
        };
        let thread = thread::Builder::new()
            .name("rt-watchdog".to_owned())
            .spawn(move || {
                watch.run();
                unregister();
            })
            .map_err(|error| {
                unregister();
                refused("rt-watchdog", error)
            })?;
        Ok(Watchdog {
            end,
            thread: Some(thread),
            process: std::process::id(),
        })
    }

    /// Asks the thread to end, and does not wait for it.
    pub fn ask_to_end(&self) {
        if self.is_forked() {
            return;
        }
        self.end.state.lock().is_asked = true;
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// Ends the thread, which first writes what there still is to write. One that is not done in time
    /// is left behind.
    pub fn end(mut self, timeout: Duration) {
        self.end_within(timeout);
    }

    fn end_within(&mut self, timeout: Duration) {
        self.ask_to_end();
        let Some(thread) = self.thread.take() else {
            return;
        };
        if self.is_forked() {
            // There is no such thread here that could be joined or detached.
            std::mem::forget(thread);
            return;
        }
        let deadline = deadline_after(timeout);
        let mut state = self.end.state.lock();
        while !state.is_over {
            let waited = self.end.changed.wait_until(&mut state, deadline);
            if waited.timed_out() && !state.is_over {
                return;
            }
        }
        drop(state);
        // It has nothing left to do. A panic in there has been told by the panic hook.
        let _ = thread.join();
    }

    fn is_forked(&self) -> bool {
        std::process::id() != self.process
    }
}

impl Drop for Watchdog {
    /// As [`end`](Watchdog::end), within a second.
    fn drop(&mut self) {
        self.end_within(LONGEST_END);
    }
}

/// Says that the thread is over, however it ends.
struct Over(Arc<End>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.state.lock().is_over = true;
        self.0.changed.notify_all();
    }
}

const LONGEST_PAUSE: Duration = Duration::from_millis(250);
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

fn pause(stall: Option<Duration>) -> Duration {
    let quarter = stall.map_or(LONGEST_PAUSE, |stall| stall / 4);
    quarter.clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

fn ticks_of(duration: Duration) -> u64 {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    Scale::current().ticks(nanos)
}

struct Watch {
    recorder: Recorder,
    stall: Option<u64>,
    pause: Duration,
    files: Option<Files>,
    /// Set by the signal.
    asked: Arc<AtomicBool>,
    end: Arc<End>,
    /// How many panics were seen.
    panics: u64,
    /// Stalls that have been told and go on.
    told: Vec<(u64, Ticks)>,
}

impl Watch {
    fn run(mut self) {
        let _over = Over(Arc::clone(&self.end));
        while !self.end.state.lock().is_asked {
            self.look();
            thread::park_timeout(self.pause);
        }
        self.look();
    }

    fn look(&mut self) {
        if let Some(stall) = self.stall {
            self.look_for_stalls(stall);
        }
        let panics = self.recorder.panics();
        if panics != self.panics {
            self.panics = panics;
            self.write(Cause::Panic);
        }
        // Relaxed: only asks.
        if self.asked.swap(false, Ordering::Relaxed) {
            self.write(Cause::Signal);
        }
    }

    // ----- stalls -----

    fn look_for_stalls(&mut self, stall: u64) {
        let now = ticks();
        let running = self.recorder.running_polls(now, stall);
        self.told.retain(|told| {
            let is_running = |poll: &RunningPoll| (poll.task, poll.since) == *told;
            running.iter().any(is_running)
        });
        for poll in running {
            let told = (poll.task, poll.since);
            if !is_function(&poll) && !self.told.contains(&told) {
                self.told.push(told);
                self.tell(&poll, now);
            }
        }
    }

    fn tell(&mut self, poll: &RunningPoll, now: Ticks) {
        self.recorder.count(Counter::Stalls, 1);
        let elapsed = Duration::from_nanos(Scale::current().nanos(now.since(poll.since)));
        let tasks = self.recorder.dump_tasks();
        let written = self.written(Cause::Stall, &tasks).unwrap_or_default();
        warn(format_args!(
            "a poll has been running for {} on {}: {}{written}",
            duration(elapsed),
            escaped(&poll.lane),
            described(poll, &tasks),
        ));
    }

    // ----- files -----

    fn write(&mut self, cause: Cause) {
        if self.files.is_some() {
            let tasks = self.recorder.dump_tasks();
            if let Some(written) = self.written(cause, &tasks) {
                warn(format_args!("after {}{written}", cause.as_str()));
            }
        }
    }

    /// Writes the files, and says how that went, if there is anything to say.
    fn written(&mut self, cause: Cause, tasks: &TaskDump) -> Option<String> {
        let recorder = &self.recorder;
        self.files.as_mut()?.write(cause, recorder, tasks)
    }
}

/// Why files are written.
#[derive(Clone, Copy)]
enum Cause {
    Stall,
    Panic,
    Signal,
}

impl Cause {
    const COUNT: usize = 3;

    fn as_str(self) -> &'static str {
        match self {
            Cause::Stall => "a stall",
            Cause::Panic => "a panic",
            Cause::Signal => "the signal",
        }
    }
}

/// The files for each cause, with a limit of its own: panics may be many, and must not use up what
/// an operator asks for.
struct Files {
    dumps: [Dumps; Cause::COUNT],
    is_full: [bool; Cause::COUNT],
}

impl Files {
    fn new(folder: &Path, name: &str) -> Files {
        Files {
            dumps: std::array::from_fn(|_| Dumps::new(folder, Program::current(name))),
            is_full: [false; Cause::COUNT],
        }
    }

    /// That there are no more is said once, and nothing is read off the runtime from then on.
    fn write(&mut self, cause: Cause, recorder: &Recorder, tasks: &TaskDump) -> Option<String> {
        let index = cause as usize;
        if self.is_full[index] {
            return None;
        }
        let written = self.dumps[index].write_with_tasks(&recorder.flight_record(), tasks);
        Some(match written {
            Ok(path) => format!("; what the runtime did last is in {}", path.display()),
            Err(error) => {
                self.is_full[index] = error.is_refused();
                let cause = cause.as_str();
                format!("; what the runtime did before {cause} is not written: {error}")
            }
        })
    }
}

/// Which task it is, where it was spawned, and in which trace.
fn described(poll: &RunningPoll, tasks: &TaskDump) -> String {
    let mut text = format!("task {}", poll.task);
    if let Some(kind) = &poll.kind {
        text += &format!(" \"{}\"", escaped(name_of(kind)));
        if let Some(site) = spawn_site(kind) {
            text += &format!(", spawned at {site}");
        }
    }
    let view = tasks.tasks.iter().find(|view| view.id == poll.task);
    match view.and_then(|view| view.trace_id) {
        Some(trace) => text + &format!(", trace {trace}"),
        None => text + ", not traced",
    }
}

/// Functions on the blocking pool may take as long as they like.
fn is_function(poll: &RunningPoll) -> bool {
    let kind = poll.kind.as_ref();
    kind.is_some_and(|kind| kind.process_type == ProcessType::Blocking)
}
