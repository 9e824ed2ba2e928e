//! Does the runtime keep its promises for programs that nobody thought of? Random ones, made of
//! all that a task can do, on every flavour, with an oracle for what they return, for what is
//! cancelled, and for what is recorded of them.
//!
//! `language` says what a program is, `world` what is watched while it runs, `run` runs it,
//! `verdict` judges it afterwards. A program that fails is made smaller until it cannot be, and
//! printed; written down as a value of `language` it becomes a test of its own here.
//!
//! `PROPTEST_CASES` is how many programs each test makes.
#![cfg(all(feature = "telemetry", feature = "tokio-io"))]

mod language;
#[path = "../observed/mod.rs"]
mod observed;
mod run;
mod verdict;
mod world;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use language::{Body, End, Export, Flavour, Op, Program, program};

/// Longer than any program runs, also where others use the machine.
const HUNG: Duration = Duration::from_secs(60);

/// How many programs are made, unless `PROPTEST_CASES` says it.
fn programs(unless_said: u32) -> ProptestConfig {
    let said = std::env::var("PROPTEST_CASES").ok();
    ProptestConfig {
        cases: said.map_or(unless_said, |cases| {
            cases.parse().expect("PROPTEST_CASES is a number of cases")
        }),
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    }
}

/// Runs a program, and tells what is wrong with it. One that hangs is wrong as well; its threads
/// are left alone.
fn wrongs(program: &Program, flavour: Flavour) -> Vec<String> {
    let (program, (sender, receiver)) = (program.clone(), mpsc::channel());
    let runner = thread::spawn(move || {
        // Nobody listens any more if it took too long.
        let _ = sender.send(run::run(&program, flavour));
    });
    match receiver.recv_timeout(HUNG) {
        Ok(wrongs) => wrongs,
        Err(mpsc::RecvTimeoutError::Timeout) => vec![format!("it hangs, for {HUNG:?}")],
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            let panic = runner.join().expect_err("it has told nothing");
            let text = panic.downcast_ref::<String>().cloned();
            vec![format!("it cannot be judged: {text:?}")]
        }
    }
}

fn check(program: &Program, flavour: Flavour) -> Result<(), TestCaseError> {
    let wrongs = wrongs(program, flavour);
    prop_assert!(wrongs.is_empty(), "on {flavour:?}:\n{}", wrongs.join("\n"));
    Ok(())
}

proptest! {
    #![proptest_config(programs(500))]

    #[test]
    fn on_one_thread_with_a_paused_clock(program in program()) {
        check(&program, Flavour::Paused)?;
    }
}

proptest! {
    #![proptest_config(programs(150))]

    #[test]
    fn on_one_thread(program in program()) {
        check(&program, Flavour::Current)?;
    }

    #[test]
    fn on_one_worker(program in program()) {
        check(&program, Flavour::Workers(1))?;
    }

    #[test]
    fn on_two_workers(program in program()) {
        check(&program, Flavour::Workers(2))?;
    }

    #[test]
    fn on_four_workers(program in program()) {
        check(&program, Flavour::Workers(4))?;
    }
}

// ----- the judge can find somebody guilty -----

/// A program with one task that ends like this, and is joined.
fn one_task(end: End) -> Program {
    let spawned = Body {
        number: 1,
        ops: vec![Op::Yield(1)],
        end,
    };
    Program {
        root: Body {
            number: 0,
            ops: vec![Op::Spawn(spawned), Op::Join(0)],
            end: End::Value,
        },
        export: Export::Whole,
        trace_futures: false,
    }
}

#[test]
fn a_program_that_is_right_is_found_right() {
    for end in [End::Value, End::Refuse, End::Panic, End::Forever] {
        for flavour in [Flavour::Paused, Flavour::Current, Flavour::Workers(2)] {
            let wrongs = wrongs(&one_task(end), flavour);
            assert!(wrongs.is_empty(), "{end:?} on {flavour:?}: {wrongs:#?}");
        }
    }
}

#[test]
fn what_is_told_otherwise_than_it_happened_is_found() {
    for (lie, complaint) in [
        (run::Lie::ATaskMore, "has no span"),
        (run::Lie::AnotherEnd, "is told as"),
        (run::Lie::ADropMore, "was dropped 2 times"),
        (run::Lie::AnotherParent, "is below"),
    ] {
        let wrongs = run::run_with(&one_task(End::Value), Flavour::Paused, Some(lie));
        let found = wrongs.iter().any(|wrong| wrong.contains(complaint));
        assert!(found, "{lie:?}: {wrongs:#?}");
    }
}
