//! Does a mixed load end on one worker, and on far more workers than there are processors? And when
//! the operating system gives fewer threads than were asked for?

mod support;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use support::{config, in_time, multi, multi_with, start};
use telemetry_rt_executor::*;
use telemetry_rt_reactor::net::{TcpListener, TcpStream};
use telemetry_rt_reactor::time::sleep;

const SHORT: Duration = Duration::from_millis(1);

async fn echo(stream: TcpStream, rounds: usize) {
    for _ in 0..rounds {
        let mut byte = [0];
        while stream.try_read(&mut byte).is_err() {
            stream.readable().await.unwrap();
        }
        while stream.try_write(&byte).is_err() {
            stream.writable().await.unwrap();
        }
    }
}

async fn ask(address: std::net::SocketAddr, rounds: usize) {
    let stream = TcpStream::connect(address).await.unwrap();
    for round in 0..rounds {
        let sent = [round as u8];
        while stream.try_write(&sent).is_err() {
            stream.writable().await.unwrap();
        }
        let mut byte = [0];
        while stream.try_read(&mut byte).is_err() {
            stream.readable().await.unwrap();
        }
        assert_eq!(byte, sent);
    }
}

/// Polls, timers, sockets, functions, tasks of tasks, and threads that come and go, all at once; and
/// some tasks that would never let others run if it were for them.
async fn mixed_load() {
    const ROUNDS: usize = 20;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let greedy: Vec<_> = (0..4)
        .map(|_| {
            spawn(async {
                loop {
                    yield_now().await;
                }
            })
        })
        .collect();
    let mut set = JoinSet::new();
    for number in 0..30 {
        set.spawn(ask(address, ROUNDS));
        let (stream, _) = listener.accept().await.unwrap();
        set.spawn(echo(stream, ROUNDS));
        set.spawn(async move {
            for _ in 0..ROUNDS {
                sleep(SHORT * (number % 5)).await;
            }
        });
        set.spawn(async {
            for _ in 0..ROUNDS {
                let children = [(); 5].map(|()| spawn(yield_now()));
                for child in children {
                    child.await.unwrap();
                }
            }
        });
        set.spawn(async {
            for _ in 0..ROUNDS / 4 {
                spawn_blocking(|| thread::sleep(SHORT)).await.unwrap();
            }
        });
        set.spawn(async { block_in_place(|| thread::sleep(SHORT)) });
    }
    while let Some(ended) = set.join_next().await {
        ended.unwrap();
    }
    for task in greedy {
        assert!(!task.is_finished());
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
}

#[test]
fn a_mixed_load_ends_on_one_worker_and_on_sixty_four() {
    in_time(|| {
        for workers in [1, 2, 64] {
            let runtime = multi(workers);
            runtime.block_on(mixed_load());
            // A task is told to have ended a moment before it is no longer counted.
            support::wait_until(|| runtime.handle().num_alive_tasks() == 0);
        }
    });
}

#[test]
fn each_of_many_tasks_that_wait_for_the_next_gets_its_turn_however_many_workers_there_are() {
    in_time(|| {
        for workers in [1, 64] {
            let runtime = multi(workers);
            // All workers have gone to sleep, or are about to, whenever the next is spawned.
            for round in 0..3_000_u32 {
                let task = runtime.spawn(async move { round });
                if round % 7 == 0 {
                    for _ in 0..round % 300 {
                        std::hint::spin_loop();
                    }
                }
                assert_eq!(runtime.block_on(task).unwrap(), round);
            }
        }
    });
}

/// Gives only so many threads.
#[derive(Debug)]
struct Scarce(AtomicUsize);

impl Os for Scarce {
    fn spawn(
        &self,
        name: String,
        stack_size: Option<usize>,
        run: Box<dyn FnOnce() + Send>,
    ) -> io::Result<thread::JoinHandle<()>> {
        match self
            .0
            .fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1))
        {
            Ok(_) => StdThreads.spawn(name, stack_size, run),
            Err(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

fn scarce(threads: usize) -> Arc<dyn Os> {
    Arc::new(Scarce(AtomicUsize::new(threads)))
}

#[test]
fn a_runtime_that_gets_some_of_its_threads_ends_them_and_fails() {
    in_time(|| {
        for threads in 0..8 {
            let mut config = config(RuntimeFlavor::MultiThread, 8);
            config.os = scarce(threads);
            let held = Arc::new(());
            let hook = Arc::clone(&held);
            config.on_thread_start = Some(Arc::new(move || drop(Arc::clone(&hook))));
            let error = start(config).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            support::wait_until(|| Arc::strong_count(&held) == 1);
        }
    });
}

#[test]
fn functions_share_the_threads_that_could_be_had_and_without_any_are_cancelled() {
    in_time(|| {
        for threads in 0..4 {
            let runtime = multi_with(1, |config| config.os = scarce(1 + threads));
            let functions: Vec<_> = (0..100)
                .map(|_| runtime.spawn_blocking(|| thread::sleep(SHORT / 10)))
                .collect();
            runtime.block_on(async {
                for function in functions {
                    let result = function.await;
                    assert_eq!(result.is_ok(), threads > 0, "{result:?} with {threads}");
                    assert!(result.is_ok_and(|()| true) || threads == 0);
                }
                // What uses the pool by itself says so.
                let found = TcpListener::bind(("localhost", 0)).await;
                assert_eq!(found.is_ok(), threads > 0, "{found:?} with {threads}");
            });
        }
    });
}

#[test]
fn a_load_that_blocks_in_place_ends_when_there_are_no_more_threads() {
    in_time(|| {
        for threads in [2, 3] {
            let runtime = multi_with(2, |config| config.os = scarce(threads));
            runtime.block_on(async {
                let tasks: Vec<_> = (0..50)
                    .map(|_| {
                        spawn(async {
                            block_in_place(|| thread::sleep(SHORT / 10));
                            sleep(SHORT).await;
                            yield_now().await;
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
            });
        }
    });
}
