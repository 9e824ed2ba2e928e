//! What if the soak itself hangs? A thread watches the phases of the run, and ends the process with a
//! word of which it was: a hang is a failure like any other, and must not wait for somebody to look.

use std::process;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub struct Patience {
    phase: Arc<Mutex<Option<Phase>>>,
    thread: Option<JoinHandle<()>>,
}

struct Phase {
    name: &'static str,
    deadline: Instant,
}

const LOOK: Duration = Duration::from_millis(50);

impl Patience {
    pub fn start() -> Patience {
        let phase = Arc::new(Mutex::new(Some(Phase {
            name: "start",
            deadline: Instant::now() + Duration::from_secs(60),
        })));
        let watched = Arc::clone(&phase);
        let thread = thread::spawn(move || watch(&watched));
        Patience {
            phase,
            thread: Some(thread),
        }
    }

    /// What begins now may take so long.
    pub fn phase(&self, name: &'static str, length: Duration) {
        let deadline = Instant::now() + length;
        *self.phase.lock().expect("nothing panics under it") = Some(Phase { name, deadline });
    }

    pub fn end(mut self) {
        *self.phase.lock().expect("nothing panics under it") = None;
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it does not panic");
        }
    }
}

fn watch(phase: &Mutex<Option<Phase>>) {
    loop {
        match &*phase.lock().expect("nothing panics under it") {
            None => return,
            Some(phase) if Instant::now() > phase.deadline => {
                eprintln!(
                    "\nsoak: it hangs: the phase \"{}\" does not end",
                    phase.name
                );
                process::exit(1);
            }
            Some(_) => {}
        }
        thread::sleep(LOOK);
    }
}
