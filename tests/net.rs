//! Sockets and signals as programs use them: through the facade, on every kind of runtime.

#![cfg(feature = "tokio-io")]

#[path = "ecosystem/bounded.rs"]
mod bounded;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};

use bounded::on_each_runtime;
use telemetry_rt::io::{AsyncReadExt, AsyncWriteExt, copy, copy_bidirectional};
use telemetry_rt::net::{
    TcpListener, TcpSocket, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream,
    lookup_host,
};
use telemetry_rt::runtime::{Builder, Runtime};
use telemetry_rt::signal::unix::{SignalKind, signal};
use telemetry_rt::task::JoinSet;
use telemetry_rt::time::{Duration, Instant, interval, sleep, timeout};

/// What an operation says whose runtime has been shut down.
const SHUT_DOWN: &str = "A telemetry_rt runtime was found, but it is being shut down.";

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn pair() -> (TcpStream, TcpStream) {
    let (listener, address) = listen().await;
    let (client, server) = telemetry_rt::join!(TcpStream::connect(address), listener.accept());
    (client.unwrap(), server.unwrap().0)
}

/// Echoes each connection on a task of its own.
async fn echo(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        telemetry_rt::spawn(async move {
            let (mut reader, mut writer) = stream.split();
            copy(&mut reader, &mut writer).await.unwrap();
        });
    }
}

// ----- streams -----

#[test]
fn two_hundred_clients_at_once_are_echoed() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let (listener, address) = listen().await;
            telemetry_rt::spawn(echo(listener));
            let mut clients = JoinSet::new();
            for number in 0..200_u32 {
                clients.spawn(async move {
                    let mut stream = TcpStream::connect(address).await.unwrap();
                    for round in 0..20_u32 {
                        let sent = number * 1000 + round;
                        stream.write_u32(sent).await.unwrap();
                        assert_eq!(stream.read_u32().await.unwrap(), sent);
                    }
                });
            }
            assert_eq!(clients.join_all().await.len(), 200);
        });
    });
}

#[test]
fn both_halves_work_at_once_and_find_together_again() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let (client, server) = pair().await;
            let echoing = telemetry_rt::spawn(async move {
                let (mut reader, mut writer) = server.into_split();
                // The writer is dropped at the end, which ends that direction.
                copy(&mut reader, &mut writer).await.unwrap()
            });
            let (mut reader, mut writer) = client.into_split();
            let sending = telemetry_rt::spawn(async move {
                writer.write_all(&vec![1; 1 << 20]).await.unwrap();
                writer.shutdown().await.unwrap();
                writer
            });
            let mut received = Vec::new();
            reader.read_to_end(&mut received).await.unwrap();
            assert_eq!(received, vec![1; 1 << 20]);
            assert_eq!(echoing.await.unwrap(), 1 << 20);

            let writer = sending.await.unwrap();
            assert!(reader.as_ref().local_addr().is_ok());
            reader.reunite(writer).unwrap();

            let (one, other) = (pair().await, pair().await);
            let (reader, writer) = (one.0.into_split().0, other.0.into_split().1);
            assert!(reader.reunite(writer).is_err());
        });
    });
}

#[test]
fn a_proxy_passes_both_directions_on() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let (listener, address) = listen().await;
            telemetry_rt::spawn(echo(listener));
            let (mut client, mut front) = pair().await;
            let proxy = telemetry_rt::spawn(async move {
                let mut back = TcpStream::connect(address).await.unwrap();
                copy_bidirectional(&mut front, &mut back).await.unwrap()
            });
            client.write_all(b"through").await.unwrap();
            let mut echoed = [0; 7];
            client.read_exact(&mut echoed).await.unwrap();
            assert_eq!(&echoed, b"through");
            client.shutdown().await.unwrap();
            assert_eq!(proxy.await.unwrap(), (7, 7));
        });
    });
}

#[test]
fn peeking_leaves_the_bytes_where_they_are() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let (mut client, mut server) = pair().await;
            client.write_all(b"hello").await.unwrap();
            let mut bytes = [0; 5];
            for _ in 0..2 {
                assert_eq!(server.peek(&mut bytes[..2]).await.unwrap(), 2);
                assert_eq!(&bytes[..2], b"he");
            }
            server.read_exact(&mut bytes).await.unwrap();
            assert_eq!(&bytes, b"hello");
        });
    });
}

#[test]
fn trying_does_not_wait() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let (client, server) = pair().await;
            let mut bytes = [0; 64 * 1024];
            let error = server.try_read(&mut bytes).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);

            client.writable().await.unwrap();
            assert_eq!(client.try_write(b"hello").unwrap(), 5);
            server.readable().await.unwrap();
            assert_eq!(server.try_read(&mut bytes).unwrap(), 5);
            let error = server.try_read(&mut bytes).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);

            let mut full = 0;
            let error = loop {
                match client.try_write(&bytes) {
                    Ok(written) => full += written,
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            while full > 0 {
                server.readable().await.unwrap();
                match server.try_read(&mut bytes) {
                    Ok(read) => full -= read,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
            }
            timeout(Duration::from_secs(10), client.writable())
                .await
                .unwrap()
                .unwrap();
        });
    });
}

#[test]
fn a_read_that_loses_in_select_loses_no_bytes() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let (mut client, mut server) = pair().await;
            let sending = telemetry_rt::spawn(async move {
                for byte in 0..100 {
                    client.write_u8(byte).await.unwrap();
                    sleep(Duration::from_micros(100)).await;
                }
            });
            let (mut received, mut ticks) = (Vec::new(), 0);
            let mut ticking = interval(Duration::from_millis(1));
            let mut bytes = [0; 3];
            loop {
                telemetry_rt::select! {
                    read = server.read(&mut bytes) => match read.unwrap() {
                        0 => break,
                        read => received.extend_from_slice(&bytes[..read]),
                    },
                    _ = ticking.tick() => ticks += 1,
                }
            }
            sending.await.unwrap();
            assert!(received.into_iter().eq(0..100));
            assert!(ticks > 1);
        });
    });
}

#[test]
fn a_port_where_nobody_listens_refuses() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let (listener, address) = listen().await;
            drop(listener);
            let error = TcpStream::connect(address).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            let socket = TcpSocket::new_v4().unwrap();
            let error = socket.connect(address).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        });
    });
}

#[test]
fn an_address_in_use_is_refused() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let (_listener, address) = listen().await;
            let error = TcpListener::bind(address).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrInUse);
        });
    });
}

// ----- names -----

#[test]
fn a_host_is_looked_up_on_the_blocking_pool() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let addresses: Vec<_> = lookup_host("localhost:80").await.unwrap().collect();
            assert!(!addresses.is_empty());
            for address in addresses {
                assert!(address.ip().is_loopback());
                assert_eq!(address.port(), 80);
            }
            let (listener, address) = listen().await;
            let name = ("localhost", address.port());
            let (client, server) = telemetry_rt::join!(TcpStream::connect(name), listener.accept());
            assert_eq!(
                client.unwrap().local_addr().unwrap(),
                server.unwrap().0.peer_addr().unwrap()
            );
        });
    });
}

#[test]
fn a_name_that_cannot_be_resolved_is_an_error() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            for name in ["not a name:80", "localhost", "localhost:port"] {
                assert!(lookup_host(name).await.is_err(), "{name}");
                assert!(TcpStream::connect(name).await.is_err(), "{name}");
            }
        });
    });
}

// ----- datagrams and Unix sockets -----

#[test]
fn datagrams_go_to_and_fro() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let one = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let mut bytes = [0; 16];
            let error = one.try_recv_from(&mut bytes).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);

            let address = other.local_addr().unwrap();
            assert_eq!(one.send_to(b"one", address).await.unwrap(), 3);
            let received = other.recv_from(&mut bytes).await.unwrap();
            assert_eq!(received, (3, one.local_addr().unwrap()));

            other.connect(received.1).await.unwrap();
            other.send(b"other").await.unwrap();
            assert_eq!(one.recv(&mut bytes).await.unwrap(), 5);
            assert_eq!(&bytes[..5], b"other");
        });
    });
}

#[test]
fn one_who_waits_for_a_datagram_learns_that_nobody_listens_there() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let dead = gone.local_addr().unwrap();
            drop(gone);
            let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
            socket.connect(dead).await.unwrap();
            let receiving = telemetry_rt::spawn({
                let socket = Arc::clone(&socket);
                async move { socket.recv(&mut [0; 8]).await }
            });
            // The task waits by then, or finds the error: neither may hang.
            sleep(Duration::from_millis(5)).await;
            socket.send(b"anybody?").await.unwrap();
            let received = timeout(Duration::from_secs(10), receiving).await;
            let error = received.expect("at once").unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        });
    });
}

/// A path for a socket that is removed in the end.
struct SocketPath(PathBuf);

impl SocketPath {
    fn new() -> SocketPath {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("telemetry_rt-net-{}-{number}", std::process::id());
        SocketPath(std::env::temp_dir().join(name))
    }
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        // Already gone if the test failed before it was bound.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn unix_sockets_connect_by_path() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let path = SocketPath::new();
            let error = UnixStream::connect(&path.0).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);

            let listener = UnixListener::bind(&path.0).unwrap();
            let (client, server) =
                telemetry_rt::join!(UnixStream::connect(&path.0), listener.accept());
            let (mut client, (mut server, _)) = (client.unwrap(), server.unwrap());
            let peer = client.peer_cred().unwrap().pid();
            assert_eq!(peer, i32::try_from(std::process::id()).ok());

            client.write_all(b"hello").await.unwrap();
            client.shutdown().await.unwrap();
            let mut received = String::new();
            server.read_to_string(&mut received).await.unwrap();
            assert_eq!(received, "hello");
        });
    });
}

#[test]
fn unix_datagrams_keep_their_borders() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let (one, other) = UnixDatagram::pair().unwrap();
            one.send(b"first").await.unwrap();
            one.send(b"second").await.unwrap();
            let mut bytes = [0; 16];
            assert_eq!(other.recv(&mut bytes).await.unwrap(), 5);
            assert_eq!(other.recv(&mut bytes).await.unwrap(), 6);
            assert_eq!(&bytes[..6], b"second");
        });
    });
}

// ----- signals -----

fn raise(kind: SignalKind) {
    // SAFETY: has no conditions; the signal has a handler, which the test installed before.
    let raised = unsafe { libc::raise(kind.as_raw_value()) };
    assert_eq!(raised, 0);
}

#[test]
fn a_signal_reaches_every_receiver_on_every_runtime() {
    on_each_runtime(|runtime| {
        let second = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (listening, listens) = mpsc::channel();
        let elsewhere = second.spawn(async move {
            let mut signals = signal(SignalKind::user_defined1()).unwrap();
            listening.send(()).unwrap();
            signals.recv().await
        });
        listens.recv().unwrap();
        runtime.block_on(async {
            let mut signals = signal(SignalKind::user_defined1()).unwrap();
            let task = telemetry_rt::spawn(async move { signals.recv().await });
            let mut signals = signal(SignalKind::user_defined1()).unwrap();
            raise(SignalKind::user_defined1());
            assert_eq!(signals.recv().await, Some(()));
            assert_eq!(task.await.unwrap(), Some(()));
            assert_eq!(elsewhere.await.unwrap(), Some(()));
            // Nothing is left of it for later.
            let again = timeout(Duration::from_millis(5), signals.recv()).await;
            assert!(again.is_err());
        });
    });
}

// ----- the end of a runtime -----

#[test]
fn dropping_the_runtime_ends_tasks_that_wait_for_sockets() {
    on_each_runtime(|runtime| {
        let (stranger, address) = runtime.block_on(async {
            let (listener, address) = listen().await;
            let (mut client, mut server) = pair().await;
            let stranger = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let peer = TcpStream::connect(stranger.local_addr().unwrap());
            let (mut peer, (stranger, _)) = (peer.await.unwrap(), stranger.accept().unwrap());
            telemetry_rt::spawn(async move { listener.accept().await.map(drop) });
            telemetry_rt::spawn(async move { client.read_u8().await });
            telemetry_rt::spawn(async move { server.read_u8().await });
            telemetry_rt::spawn(async move { peer.read_u8().await });
            // Some wait by then, others have not been polled yet: neither may hang.
            telemetry_rt::task::yield_now().await;
            (stranger, address)
        });
        drop(runtime);
        let closed = io::Read::read(&mut &stranger, &mut [0]);
        assert_eq!(
            closed.unwrap(),
            0,
            "the sockets of dropped tasks are closed"
        );
        assert!(std::net::TcpStream::connect(address).is_err());
    });
}

#[track_caller]
fn assert_shut_down<T: std::fmt::Debug>(result: io::Result<T>) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Other);
    assert_eq!(error.to_string(), SHUT_DOWN);
}

#[test]
fn sockets_that_outlive_their_runtime_say_so() {
    on_each_runtime(|runtime| {
        let living = Runtime::new().unwrap();
        let handle = runtime.handle().clone();
        let (mut client, server, listener, udp) = runtime.block_on(async {
            let (client, server) = pair().await;
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            (client, server, listen().await.0, udp)
        });
        // One operation is under way when the runtime ends, on another runtime.
        let (waiting, waits) = mpsc::channel();
        let under_way = living.spawn(async move {
            let mut read = std::pin::pin!(server.readable());
            let polled = futures_util::poll!(read.as_mut());
            waiting.send(polled.is_pending()).unwrap();
            read.await
        });
        assert!(waits.recv().unwrap());
        drop(runtime);
        living.block_on(async {
            assert_shut_down(under_way.await.unwrap());
            assert_shut_down(client.read_u8().await);
            assert_shut_down(client.write_u8(1).await);
            assert_shut_down(client.readable().await);
            assert_shut_down(listener.accept().await);
            assert_shut_down(udp.recv(&mut [0]).await);
            let _entered = handle.enter();
            assert_shut_down(UdpSocket::from_std(std_udp()));
        });
    });
}

fn std_udp() -> std::net::UdpSocket {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

#[test]
fn a_socket_of_one_runtime_is_used_on_another() {
    on_each_runtime(|runtime| {
        let other = Runtime::new().unwrap();
        let (mut client, mut server) = other.block_on(pair());
        let serving = runtime.spawn(async move {
            let number = server.read_u32().await.unwrap();
            server.write_u32(number + 1).await.unwrap();
        });
        runtime.block_on(async move {
            client.write_u32(41).await.unwrap();
            assert_eq!(client.read_u32().await.unwrap(), 42);
            serving.await.unwrap();
        });
    });
}

#[test]
fn a_blocked_runtime_is_idle_while_its_sockets_wait() {
    // A driver that returned at once, again and again, would burn the time it should sleep.
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let (mut client, _server) = pair().await;
            let (started, busy) = (Instant::now(), processor_time());
            let read = timeout(Duration::from_millis(100), client.read_u8()).await;
            assert!(read.is_err());
            let busy = processor_time() - busy;
            // Other tests of this process run at the same time: it is each thread's own time.
            assert!(busy < started.elapsed() / 2, "busy for {busy:?}");
        });
    });
}

/// How long the calling thread has been running.
fn processor_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the clock is one that Linux has, and the time is written to a place of this thread.
    let read = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(read, 0);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap(),
        u32::try_from(time.tv_nsec).unwrap(),
    )
}

// ----- without a runtime -----

fn message_of(panics: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let payload = std::panic::catch_unwind(panics).unwrap_err();
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => (*payload.downcast::<&str>().unwrap()).to_owned(),
    }
}

#[test]
fn a_socket_outside_of_a_runtime_panics_with_advice() {
    let message = message_of(|| drop(UdpSocket::from_std(std_udp())));
    assert!(message.contains("there is no reactor running"), "{message}");

    let message = message_of(|| {
        let runtime = Builder::new_current_thread().build().unwrap();
        let _entered = runtime.enter();
        drop(UdpSocket::from_std(std_udp()));
    });
    assert!(message.contains("enable_io"), "{message}");
}
