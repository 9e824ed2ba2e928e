//! Does a program go on when signals interrupt it without end, when it is stopped for a while, and
//! does it tell all when it is asked to end?
#![cfg(all(
    feature = "telemetry",
    feature = "tokio-io",
    feature = "macros",
    target_os = "linux"
))]

mod faults;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use faults::{run, say, say_value, send, start};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use telemetry_rt::io::{AsyncReadExt, AsyncWriteExt};
use telemetry_rt::net::{TcpListener, TcpStream};
use telemetry_rt::otel::{ExportError, Exporter, Otel, set_diagnostics};
use telemetry_rt::runtime::{Builder, Runtime};
use telemetry_rt::signal::unix::{SignalKind, signal};
use telemetry_rt::task::{self, JoinSet, spawn_blocking};
use telemetry_rt::time::{interval, sleep};

fn runtimes() -> [Runtime; 2] {
    let mut two = Builder::new_multi_thread();
    let two = two.worker_threads(2).enable_all().build().unwrap();
    [
        two,
        Builder::new_current_thread().enable_all().build().unwrap(),
    ]
}

/// An echo of as many rounds, on a connection of its own.
async fn echoes(rounds: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = task::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut byte = [0];
        while stream.read(&mut byte).await.unwrap() > 0 {
            stream.write_all(&byte).await.unwrap();
        }
    });
    let mut stream = TcpStream::connect(address).await.unwrap();
    for round in 0..rounds {
        let (sent, mut received) = ([round as u8], [0]);
        stream.write_all(&sent).await.unwrap();
        stream.read_exact(&mut received).await.unwrap();
        assert_eq!(sent, received);
    }
    drop(stream);
    server.await.unwrap();
}

async fn sleeps(time: Duration) {
    let start = Instant::now();
    sleep(time).await;
    assert!(
        start.elapsed() >= time,
        "{time:?} took {:?}",
        start.elapsed()
    );
}

// ----- interrupted without end -----

static INTERRUPTIONS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(_: libc::c_int) {
    INTERRUPTIONS.fetch_add(1, SeqCst);
}

/// Interrupts all other threads of this process again and again: no system call that can be
/// interrupted is spared, and none is started again by the operating system.
fn storm(over: &AtomicBool) {
    // SAFETY: a structure of numbers, for which zero is a value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = count as *const () as usize;
    // SAFETY: the handler does one atomic addition.
    let set = unsafe { libc::sigaction(libc::SIGUSR2, &action, std::ptr::null_mut()) };
    assert_eq!(set, 0);
    let process = libc::c_long::from(std::process::id());
    // SAFETY: asks for a number.
    let own = unsafe { libc::syscall(libc::SYS_gettid) };
    while !over.load(SeqCst) {
        for task in fs::read_dir("/proc/self/task").unwrap().flatten() {
            let thread: i64 = task.file_name().to_string_lossy().parse().unwrap();
            if thread != own {
                // SAFETY: sends a signal that has a handler. The thread may have ended by now.
                unsafe { libc::syscall(libc::SYS_tgkill, process, thread, libc::SIGUSR2) };
            }
        }
        thread::sleep(Duration::from_micros(100));
    }
}

/// Says when it is dropped, be it by a panic, that something is over.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

async fn load() {
    let mut tasks = JoinSet::new();
    for number in 0..8_u32 {
        tasks.spawn(echoes(100));
        tasks.spawn(async move {
            for _ in 0..20 {
                sleeps(Duration::from_millis(u64::from(number))).await;
            }
        });
        tasks.spawn(async move {
            let file = tempfile::NamedTempFile::new().unwrap();
            for round in 0..10 {
                let text = vec![b'x'; 50_000 + round];
                telemetry_rt::fs::write(file.path(), &text).await.unwrap();
                assert_eq!(telemetry_rt::fs::read(file.path()).await.unwrap(), text);
                spawn_blocking(|| thread::sleep(Duration::from_micros(300)))
                    .await
                    .unwrap();
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

#[test]
#[ignore = "run by the tests, in a process of its own"]
fn program_is_interrupted() {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _over = Over(&over);
        scope.spawn(|| storm(&over));
        for runtime in runtimes() {
            let before = INTERRUPTIONS.load(SeqCst);
            runtime.block_on(load());
            drop(runtime);
            say_value("interruptions", INTERRUPTIONS.load(SeqCst) - before);
        }
    });
}

#[test]
fn a_load_that_is_interrupted_without_end_does_all_that_it_should() {
    let said = run("program_is_interrupted", &[]);
    assert_eq!(said.0.len(), 2, "{said:?}");
    assert!(said.number("interruptions") > 200.0, "{said:?}");
}

// ----- stopped for a while -----

const STOPPED: Duration = Duration::from_millis(300);

#[test]
#[ignore = "run by the tests, in a process of its own"]
fn program_is_stopped() {
    for runtime in runtimes() {
        runtime.block_on(async {
            let mut tasks = JoinSet::new();
            // Some end before the stop, some in the midst of it, some after it.
            for number in 0..60 {
                tasks.spawn(sleeps(Duration::from_millis(10 * number)));
            }
            tasks.spawn(echoes(50));
            let ticks = task::spawn(async {
                let mut interval = interval(Duration::from_millis(10));
                let (start, mut longest) = (Instant::now(), Duration::ZERO);
                for _ in 0..60 {
                    let before = Instant::now();
                    interval.tick().await;
                    longest = longest.max(before.elapsed());
                }
                (start.elapsed(), longest)
            });
            say("started");
            while let Some(ended) = tasks.join_next().await {
                ended.unwrap();
            }
            let (all, longest) = ticks.await.unwrap();
            assert!(all >= Duration::from_millis(590), "a tick came early");
            say_value("longest", longest.as_millis());
        });
    }
}

#[test]
fn a_program_that_is_stopped_for_a_while_loses_no_timer() {
    let mut program = start("program_is_stopped", &[]);
    for _ in 0..2 {
        assert_eq!(program.next(), "started");
        thread::sleep(Duration::from_millis(100));
        send(program.id(), libc::SIGSTOP);
        thread::sleep(STOPPED);
        send(program.id(), libc::SIGCONT);
        let said = faults::Said(vec![program.next()]);
        // It was stopped indeed.
        assert!(
            said.number("longest") >= STOPPED.as_millis() as f64 / 2.0,
            "{said:?}"
        );
    }
    assert!(program.wait().success());
}

// ----- asked to end -----

const TASKS: usize = 300;

/// What a program does that wants to end well: it waits for the signal, and returns.
async fn works_until_it_is_asked_to_end() {
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        tasks.build_task().name("worked").spawn(async {});
    }
    while tasks.join_next().await.is_some() {}
    task::Builder::new()
        .name("works_on")
        .spawn(std::future::pending::<()>());
    say("ready");
    terminate.recv().await;
}

#[test]
#[ignore = "run by the tests, in a process of its own"]
fn program_is_asked_to_end() {
    #[telemetry_rt::main(worker_threads = 2)]
    async fn main() {
        works_until_it_is_asked_to_end().await;
    }
    main();
}

#[test]
fn a_program_that_returns_when_it_is_asked_to_end_loses_no_span() {
    let variables = [
        ("OTEL_TRACES_EXPORTER", "console"),
        // Nothing is exported before the end.
        ("OTEL_BSP_SCHEDULE_DELAY", "3600000"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "100000"),
    ];
    let mut program = start("program_is_asked_to_end", &variables);
    assert!(
        program
            .lines_until("says: ready")
            .iter()
            .all(|line| !line.contains("worked"))
    );
    send(program.id(), libc::SIGTERM);
    let lines = program.lines_until("no line says this");
    let told = |name: &str| lines.iter().filter(|line| line.contains(name)).count();
    assert_eq!((told("worked"), told("works_on")), (TASKS, 1));
    assert!(program.wait().success());
}

/// Never returns from an export.
struct Hangs;

impl Exporter for Hangs {
    fn export_spans(&mut self, _: &[SpanData], _: &Resource) -> Result<(), ExportError> {
        loop {
            thread::park();
        }
    }
}

/// Counts, and takes its time.
struct Slow(Arc<AtomicUsize>);

impl Exporter for Slow {
    fn export_spans(&mut self, spans: &[SpanData], _: &Resource) -> Result<(), ExportError> {
        thread::sleep(Duration::from_millis(20));
        self.0.fetch_add(spans.len(), SeqCst);
        Ok(())
    }
}

const DEADLINE: Duration = Duration::from_millis(400);

#[test]
#[ignore = "run by the tests, in a process of its own"]
fn program_is_asked_to_end_while_it_exports() {
    set_diagnostics(|line| say(format_args!("warning={line}")));
    let exported = Arc::new(AtomicUsize::new(0));
    let hangs = std::env::var_os("HANGS").is_some();
    let otel = Otel::builder()
        .schedule_delay(Duration::from_millis(1))
        .shutdown_timeout(if hangs { DEADLINE } else { faults::HANGS });
    let otel = match hangs {
        true => otel.exporter(Hangs),
        false => otel.exporter(Slow(Arc::clone(&exported))),
    };
    let mut builder = Builder::new_multi_thread();
    let builder = builder.worker_threads(2).enable_all().otel(otel.build());
    let runtime = builder.build().unwrap();
    runtime.block_on(works_until_it_is_asked_to_end());
    let start = Instant::now();
    drop(runtime);
    say_value("took", start.elapsed().as_millis());
    say_value("exported", exported.load(SeqCst));
}

#[test]
fn a_program_that_is_asked_to_end_while_it_exports_waits_for_the_export() {
    let mut program = start("program_is_asked_to_end_while_it_exports", &[]);
    assert_eq!(program.next(), "ready");
    send(program.id(), libc::SIGTERM);
    let said = faults::Said(program.rest());
    assert!(program.wait().success());
    // The tasks, the one that works on, and the future of `block_on`.
    assert_eq!(said.number("exported"), TASKS as f64 + 2.0, "{said:?}");
}

#[test]
fn a_program_that_is_asked_to_end_while_its_exporter_hangs_ends_at_the_deadline() {
    let mut program = start(
        "program_is_asked_to_end_while_it_exports",
        &[("HANGS", "1")],
    );
    assert_eq!(program.next(), "ready");
    send(program.id(), libc::SIGTERM);
    let said = faults::Said(program.rest());
    assert!(program.wait().success());
    assert_eq!(said.number("exported"), 0.0);
    let least = DEADLINE.as_millis() as f64;
    // A machine that is busy may take its time; one that hangs takes for ever.
    assert!(
        (least * 0.9..least * 20.0).contains(&said.number("took")),
        "{said:?}"
    );
    let lost = format!("{} spans are lost", TASKS + 2);
    assert!(said.text("warning").contains(&lost), "{said:?}");
}
