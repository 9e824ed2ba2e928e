//! Signals. They belong to the process, so the tests take turns.

mod support;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use signal_hook::consts::{SIGKILL, SIGUSR1, SIGUSR2};
use signal_hook::low_level::raise;
use std::io::Write;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;
use support::{Counter, Panics, Runtime, both, poll_once};
use telemetry_rt_reactor::net::UnixStream;
use telemetry_rt_reactor::signal::unix::{Signal, SignalKind, signal};

static TURN: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn each_receiver_of_a_kind_gets_it() {
    let _alone = alone();
    let mut runtime = Runtime::new();
    let mut one = signal(SignalKind::user_defined1()).expect("may be caught");
    let mut other = signal(SignalKind::user_defined1()).expect("may be caught");
    let mut different = signal(SignalKind::user_defined2()).expect("may be caught");
    raise(SIGUSR1).expect("raised");
    assert_eq!(
        runtime.block_on(both(one.recv(), other.recv())),
        (Some(()), Some(()))
    );
    assert!(poll_once(pin!(different.recv())).is_pending());
    let mut late = signal(SignalKind::user_defined1()).expect("may be caught");
    assert!(poll_once(pin!(late.recv())).is_pending());
}

#[test]
fn a_storm_of_one_kind_does_not_hide_another() {
    let _alone = alone();
    let mut runtime = Runtime::new();
    let mut noisy = signal(SignalKind::user_defined1()).expect("may be caught");
    let mut quiet = signal(SignalKind::user_defined2()).expect("may be caught");
    for _ in 0..100_000 {
        raise(SIGUSR1).expect("raised");
    }
    raise(SIGUSR2).expect("raised");
    assert_eq!(
        runtime.block_on(both(noisy.recv(), quiet.recv())),
        (Some(()), Some(()))
    );
    assert!(poll_once(pin!(noisy.recv())).is_pending());
}

#[test]
fn a_driver_serves_the_receivers_of_all_runtimes() {
    let _alone = alone();
    let asleep = Runtime::new();
    let mut on_asleep = signal(SignalKind::user_defined1()).expect("may be caught");
    let mut awake = Runtime::new();
    let mut on_awake = signal(SignalKind::user_defined1()).expect("may be caught");
    raise(SIGUSR1).expect("raised");
    assert_eq!(awake.until_event().signals, 1);
    assert_eq!(
        awake.block_on(both(on_awake.recv(), on_asleep.recv())),
        (Some(()), Some(()))
    );
    drop((awake, asleep));
}

#[test]
fn a_signal_that_cannot_be_caught_is_an_error() {
    let _alone = alone();
    let _runtime = Runtime::new();
    for number in [SIGKILL, -1, 0, 12_345] {
        assert!(signal(SignalKind::from_raw(number)).is_err(), "{number}");
    }
}

#[test]
fn shutdown_ends_listening() {
    let _alone = alone();
    let mut runtime = Runtime::new();
    let mut listener = signal(SignalKind::user_defined1()).expect("may be caught");
    let (counter, waker) = Counter::new();
    {
        let mut receive = pin!(listener.recv());
        assert!(
            receive
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        runtime.handle.shutdown();
        assert_eq!(counter.count(), 1);
    }
    assert_eq!(runtime.block_on(listener.recv()), None);
    assert!(signal(SignalKind::user_defined1()).is_err());
}

#[test]
fn a_waker_that_panics_does_not_take_the_other_receivers_with_it() {
    let _alone = alone();
    let mut runtime = Runtime::new();
    let (mut one, mut other) = (listen_usr1(), listen_usr1());
    let (counter, counts) = Counter::new();
    let panics = Arc::new(Panics).into();
    for (listener, waker) in [(&mut one, &panics), (&mut other, &counts)] {
        let mut cx = Context::from_waker(waker);
        assert!(listener.poll_recv(&mut cx).is_pending());
    }
    // What else arrives in that turn is not lost either.
    let (mut stream, watched) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let watched = UnixStream::from_std(watched).expect("watched");
    let mut cx = Context::from_waker(&counts);
    assert!(watched.poll_read_ready(&mut cx).is_pending());
    stream.write_all(b"x").expect("writes");
    raise(SIGUSR1).expect("raised");
    runtime.until_event();
    assert_eq!(counter.count(), 2);
}

fn listen_usr1() -> Signal {
    signal(SignalKind::user_defined1()).expect("may be caught")
}

/// Whether the process has a handler for the signal.
fn is_caught(number: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = u64::from_str_radix(line.expect("a line of it").trim(), 16);
    caught.expect("hexadecimal") & 1 << (number - 1) != 0
}

#[test]
fn a_handler_that_cannot_be_installed_whole_is_not_installed_at_all() {
    let _alone = alone();
    let mut runtime = Runtime::new();
    // The pipe of the process is there from now on, and this driver watches it.
    let _other = listen_usr1();
    let kind = SignalKind::alarm();
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("asked");
    setrlimit(Resource::RLIMIT_NOFILE, 0, hard).expect("may be lowered");
    let refused = signal(kind);
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).expect("may be raised again");
    assert!(refused.is_err());
    assert!(!is_caught(kind.as_raw_value()));

    let mut listener = signal(kind).expect("descriptors are left");
    assert!(is_caught(kind.as_raw_value()));
    raise(kind.as_raw_value()).expect("raised");
    assert_eq!(runtime.block_on(listener.recv()), Some(()));
}
