//! UDP, Unix sockets, descriptors of other kinds, names, and the turn itself.

mod support;

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use support::{DropsJobs, Runtime, both, poll_once};
use telemetry_rt_reactor::Config;
use telemetry_rt_reactor::io::{AsyncFd, AsyncFdRegisterError, Interest};
use telemetry_rt_reactor::leaf;
use telemetry_rt_reactor::net::{UdpSocket, UnixDatagram, UnixListener, UnixStream, lookup_host};

#[test]
fn messages_over_udp_say_where_they_come_from() {
    let mut runtime = Runtime::new();
    runtime.block_on(async {
        let one = UdpSocket::bind("127.0.0.1:0").await.expect("binds");
        let other = UdpSocket::bind(("127.0.0.1", 0)).await.expect("binds");
        let (one_addr, other_addr) = (one.local_addr().expect("a"), other.local_addr().expect("b"));
        let mut buf = [0; 16];
        assert_eq!(
            other.try_recv_from(&mut buf).expect_err("none yet").kind(),
            ErrorKind::WouldBlock
        );
        assert_eq!(one.send_to(b"hello", other_addr).await.expect("sends"), 5);
        assert_eq!(
            other.peek_from(&mut buf).await.expect("peeks"),
            (5, one_addr)
        );
        assert_eq!(
            other.recv_from(&mut buf).await.expect("receives"),
            (5, one_addr)
        );
        other.connect(one_addr).await.expect("connects");
        assert_eq!(other.send(b"back").await.expect("sends"), 4);
        assert_eq!(one.recv(&mut buf).await.expect("receives"), 4);
    });
}

#[test]
fn unix_streams_know_their_address_and_their_peer() {
    let directory = std::env::temp_dir().join(format!("telemetry_rt-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let path = directory.join("stream");
    let mut runtime = Runtime::new();
    runtime.block_on(async {
        let listener = UnixListener::bind(&path).expect("binds");
        let (client, accepted) = both(UnixStream::connect(&path), listener.accept()).await;
        let (client, (server, _)) = (client.expect("connects"), accepted.expect("accepts"));
        assert_eq!(
            client.peer_addr().expect("named").as_pathname(),
            Some(path.as_path())
        );
        assert!(server.peer_addr().expect("known").is_unnamed());
        let peer = client.peer_cred().expect("known");
        assert_eq!(peer.pid(), i32::try_from(std::process::id()).ok());
        let (reader, writer) = server.into_split();
        client.writable().await.expect("writable");
        assert_eq!(client.try_write(b"ab").expect("writes"), 2);
        let mut buf = [0; 1];
        for _ in 0..2 {
            assert_eq!(
                poll_fn(|cx| reader.poll_read(cx, &mut buf))
                    .await
                    .expect("reads"),
                1
            );
        }
        drop(writer);
        client.readable().await.expect("the end is readable");
        assert_eq!(client.try_read(&mut buf).expect("the end"), 0);
    });
    std::fs::remove_dir_all(&directory).expect("removed");
}

#[test]
fn unix_messages_keep_their_bounds() {
    let mut runtime = Runtime::new();
    runtime.block_on(async {
        let (one, other) = UnixDatagram::pair().expect("a pair");
        assert_eq!(one.send(b"first").await.expect("sends"), 5);
        assert_eq!(one.send(b"second").await.expect("sends"), 6);
        let mut buf = [0; 32];
        assert_eq!(other.recv(&mut buf).await.expect("receives"), 5);
        assert_eq!(other.recv(&mut buf).await.expect("receives"), 6);
        assert_eq!(
            other.try_recv(&mut buf).expect_err("empty").kind(),
            ErrorKind::WouldBlock
        );
    });
}

#[test]
fn a_pipe_is_read_when_it_is_ready() {
    let (reader, mut writer) = io::pipe().expect("a pipe");
    nix_set_nonblocking(&reader);
    let mut runtime = Runtime::new();
    let reader = AsyncFd::with_interest(reader, Interest::READABLE).expect("a pipe can be watched");
    let mut buf = [0; 8];
    writer.write_all(b"abc").expect("writes");
    runtime.block_on(async {
        let mut guard = reader.readable().await.expect("readable");
        let read = guard.try_io(|fd| fd.get_ref().read(&mut buf));
        assert_eq!(read.expect("ready").expect("reads"), 3);
        assert!(guard.try_io(|fd| fd.get_ref().read(&mut buf)).is_err());
        let read_more = |mut fd: &io::PipeReader| fd.read(&mut buf);
        let write = async { writer.write_all(b"more") };
        let (read, _) = both(reader.async_io(Interest::READABLE, read_more), write).await;
        assert_eq!(read.expect("reads"), 4);
    });
    let number = reader.as_raw_fd();
    assert_eq!(reader.into_inner().as_raw_fd(), number);
}

fn nix_set_nonblocking(fd: &io::PipeReader) {
    let socket = socket2::SockRef::from(fd);
    socket.set_nonblocking(true).expect("a descriptor");
}

#[test]
fn a_regular_file_cannot_be_watched_and_is_given_back() {
    let _runtime = Runtime::new();
    let file = std::fs::File::open("/proc/self/exe").expect("there is one");
    let error = AsyncFd::try_new(file).expect_err("files are always ready");
    let (file, cause) = error.into_parts();
    assert_eq!(cause.kind(), ErrorKind::PermissionDenied);
    let error: AsyncFdRegisterError<_> = AsyncFd::register(file).expect_err("as before");
    let (file, _) = error.into_parts();
    assert!(AsyncFd::register_with_interest(file, Interest::READABLE).is_err());
}

#[test]
fn names_are_looked_up_elsewhere_and_addresses_are_not() {
    let config = Config {
        offload: Arc::new(DropsJobs),
        ..support::config()
    };
    let mut refusing = Runtime::with(config);
    let found: Vec<SocketAddr> = refusing
        .block_on(lookup_host("127.0.0.1:80"))
        .expect("an address")
        .collect();
    assert_eq!(found, ["127.0.0.1:80".parse().expect("an address")]);
    assert!(refusing.block_on(lookup_host("localhost:80")).is_err());
    drop(refusing);

    let mut runtime = Runtime::new();
    let found = runtime
        .block_on(lookup_host(("localhost", 80)))
        .expect("known everywhere");
    assert!(found.into_iter().all(|addr| addr.ip().is_loopback()));
    for malformed in ["localhost", "localhost:http", "localhost:99999"] {
        let Err(error) = runtime.block_on(lookup_host(malformed)) else {
            panic!("{malformed} is no address")
        };
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn a_wake_interrupts_the_turn_in_progress_or_the_next_one() {
    for enable_io in [true, false] {
        let mut runtime = Runtime::with(Config {
            enable_io,
            ..support::config()
        });
        runtime.handle.wake();
        assert!(runtime.driver.turn(None, false).woken);
        assert!(!runtime.look().woken);
        let handle = runtime.handle.clone();
        let waker = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            handle.wake();
        });
        while !runtime.driver.turn(None, false).woken {}
        waker.join().expect("no panic");
    }
}

#[test]
fn a_turn_waits_no_longer_than_it_may() {
    for enable_io in [true, false] {
        let mut runtime = Runtime::with(Config {
            enable_io,
            ..support::config()
        });
        runtime.look();
        let started = Instant::now();
        runtime.driver.turn(Some(Duration::from_millis(30)), false);
        assert!(started.elapsed() >= Duration::from_millis(29));
    }
}

/// A socket that is connected to a port where nobody listens.
async fn connected_to_nobody() -> UdpSocket {
    let gone = UdpSocket::bind("127.0.0.1:0").await.expect("binds");
    let dead = gone.local_addr().expect("is bound");
    drop(gone);
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("binds");
    socket.connect(dead).await.expect("connects");
    socket
}

#[test]
fn one_who_waits_for_a_message_learns_that_nobody_listens_there() {
    type Receive = for<'a> fn(&'a UdpSocket) -> Pin<Box<dyn Future<Output = io::Error> + 'a>>;
    let ways: [(&str, Receive); 7] = [
        ("recv", |udp| {
            Box::pin(async { udp.recv(&mut [0; 8]).await.expect_err("refused") })
        }),
        ("recv_from", |udp| {
            Box::pin(async { udp.recv_from(&mut [0; 8]).await.expect_err("refused") })
        }),
        ("peek", |udp| {
            Box::pin(async { udp.peek(&mut [0; 8]).await.expect_err("refused") })
        }),
        ("peek_from", |udp| {
            Box::pin(async { udp.peek_from(&mut [0; 8]).await.expect_err("refused") })
        }),
        ("poll_recv_bytes", |udp| {
            Box::pin(async {
                let received = poll_fn(|cx| udp.poll_recv_bytes(cx, &mut [0; 8])).await;
                received.expect_err("refused")
            })
        }),
        ("poll_recv_bytes_from", |udp| {
            Box::pin(async {
                let received = poll_fn(|cx| udp.poll_recv_bytes_from(cx, &mut [0; 8])).await;
                received.expect_err("refused")
            })
        }),
        ("readable, try_recv", |udp| {
            Box::pin(async {
                let ready = udp.ready(Interest::READABLE).await.expect("told");
                assert!(ready.is_readable());
                udp.try_recv(&mut [0; 8]).expect_err("refused")
            })
        }),
    ];
    for (name, receive) in ways {
        let mut runtime = Runtime::new();
        let socket = runtime.block_on(connected_to_nobody());
        runtime.look();
        let mut receiving = receive(&socket);
        assert!(poll_once(receiving.as_mut()).is_pending(), "{name}");
        assert_eq!(socket.try_send(b"anybody?").expect("sends"), 8);
        let error = runtime.block_on(receiving);
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{name}");
    }
}

#[test]
fn an_error_of_one_message_closes_no_socket() {
    let mut runtime = Runtime::new();
    runtime.block_on(async {
        let socket = connected_to_nobody().await;
        socket.send(b"anybody?").await.expect("sends");
        assert!(socket.recv(&mut [0; 8]).await.is_err());
        let both = Interest::READABLE | Interest::WRITABLE;
        let ready = socket.ready(both).await.expect("told");
        assert!(ready.is_writable() && !ready.is_write_closed());

        let other = UdpSocket::bind("127.0.0.1:0").await.expect("binds");
        let address = other.local_addr().expect("is bound");
        socket.connect(address).await.expect("connects");
        other
            .send_to(b"here", socket.local_addr().expect("is bound"))
            .await
            .expect("sends");
        assert_eq!(socket.recv(&mut [0; 8]).await.expect("receives"), 4);
    });
}

#[test]
fn one_who_receives_on_a_socket_that_was_shut_down_does_not_try_without_end() {
    let mut runtime = Runtime::new();
    let (one, _other) = UnixDatagram::pair().expect("a pair");
    one.shutdown(std::net::Shutdown::Read).expect("shuts down");
    runtime.look();
    let outer = leaf::begin_poll();
    assert!(poll_once(pin!(one.recv(&mut [0; 8]))).is_pending());
    assert!(!leaf::end_poll(outer).exhausted);
}

#[test]
fn the_budget_of_a_poll_ends_operations_on_a_flooded_descriptor() {
    let mut runtime = Runtime::new();
    let (reader, mut writer) = io::pipe().expect("a pipe");
    nix_set_nonblocking(&reader);
    let mut reader =
        AsyncFd::with_interest(reader, Interest::READABLE).expect("a pipe can be watched");
    writer.write_all(&[1; 4096]).expect("writes");
    runtime.look();
    let read = Cell::new(0);
    let mut flood = pin!(async {
        loop {
            let one = |fd: &mut io::PipeReader| fd.read(&mut [0; 1]);
            let count = reader.async_io_mut(Interest::READABLE, one).await;
            read.set(read.get() + count.expect("there is more"));
        }
    });
    let outer = leaf::begin_poll();
    let poll: Poll<()> = poll_once(flood.as_mut());
    assert!(leaf::end_poll(outer).exhausted && poll.is_pending());
    assert_eq!(read.get(), usize::from(leaf::BUDGET));
}
