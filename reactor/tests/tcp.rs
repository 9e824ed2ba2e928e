//! TCP, and through it the readiness that all sockets remember.

mod support;

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;
use support::{Counter, Panics, Runtime, both, poll_once};
use telemetry_rt_reactor::io::Interest;
use telemetry_rt_reactor::net::{TcpListener, TcpSocket, TcpStream};

async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let addr = listener.local_addr().expect("is bound");
    let (client, accepted) = both(TcpStream::connect(addr), listener.accept()).await;
    (client.expect("connects"), accepted.expect("accepts").0)
}

async fn read(stream: &TcpStream, buf: &mut [u8]) -> std::io::Result<usize> {
    poll_fn(|cx| stream.poll_read(cx, buf)).await
}

async fn write(stream: &TcpStream, buf: &[u8]) -> std::io::Result<usize> {
    poll_fn(|cx| stream.poll_write(cx, buf)).await
}

#[test]
fn what_is_sent_comes_back() {
    let mut runtime = Runtime::new();
    runtime.block_on(async {
        let (client, server) = connected().await;
        let message = vec![7; 1 << 20];
        let echo = async {
            let mut buf = vec![0; 10_000];
            loop {
                let count = read(&server, &mut buf).await.expect("reads");
                if count == 0 {
                    break;
                }
                let mut sent = 0;
                while sent < count {
                    sent += write(&server, &buf[sent..count]).await.expect("writes");
                }
            }
            poll_fn(|cx| server.poll_shutdown(cx))
                .await
                .expect("shuts down");
        };
        let send = async {
            let mut sent = 0;
            while sent < message.len() {
                sent += write(&client, &message[sent..]).await.expect("writes");
            }
            poll_fn(|cx| client.poll_shutdown(cx))
                .await
                .expect("shuts down");
        };
        let receive = async {
            let (mut all, mut buf) = (Vec::new(), vec![0; 30_000]);
            loop {
                match read(&client, &mut buf).await.expect("reads") {
                    0 => break all,
                    count => all.extend_from_slice(&buf[..count]),
                }
            }
        };
        let (_, (_, all)) = both(echo, both(send, receive)).await;
        assert!(all == message);
    });
}

#[test]
fn try_read_does_not_look_before_the_reactor_has_seen_the_data() {
    let mut runtime = Runtime::new();
    let (client, server) = runtime.block_on(connected());
    let mut buf = [0; 8];
    runtime.block_on(client.writable()).expect("writable");
    assert_eq!(client.try_write(b"ping").expect("writes"), 4);
    // The bytes are in the socket, but no turn has passed since.
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(
        server.try_read(&mut buf).expect_err("not seen").kind(),
        ErrorKind::WouldBlock
    );
    runtime.block_on(server.readable()).expect("readable");
    assert_eq!(server.try_read(&mut buf).expect("reads"), 4);
    assert_eq!(
        server.try_read(&mut buf).expect_err("empty").kind(),
        ErrorKind::WouldBlock
    );
}

#[test]
fn every_task_that_waits_for_readiness_is_woken() {
    let mut runtime = Runtime::new();
    let (client, server) = runtime.block_on(connected());
    let counters: Vec<_> = (0..50).map(|_| Counter::new()).collect();
    let mut waiting: Vec<_> = counters
        .iter()
        .map(|_| Box::pin(server.readable()))
        .collect();
    for (future, (_, waker)) in waiting.iter_mut().zip(&counters) {
        assert!(
            future
                .as_mut()
                .poll(&mut Context::from_waker(waker))
                .is_pending()
        );
    }
    assert_eq!(client.try_write(b"x").expect("writes"), 1);
    runtime.until_event();
    for (future, (counter, waker)) in waiting.iter_mut().zip(&counters) {
        assert_eq!(counter.count(), 1);
        assert!(
            future
                .as_mut()
                .poll(&mut Context::from_waker(waker))
                .is_ready()
        );
    }
}

#[test]
fn a_socket_dropped_while_its_event_is_on_the_way_disturbs_nobody() {
    let mut runtime = Runtime::new();
    let (client, server) = runtime.block_on(connected());
    runtime.look();
    assert_eq!(client.try_write(b"x").expect("writes"), 1);
    drop(server);
    // Its place in the registry is used again at once (and its descriptor's number, unless
    // another test takes it first), by a socket with nothing to read.
    let (fresh, _other) = telemetry_rt_reactor::net::UnixStream::pair().expect("a pair");
    runtime.look();
    let mut buf = [0; 1];
    assert_eq!(
        fresh.try_read(&mut buf).expect_err("empty").kind(),
        ErrorKind::WouldBlock
    );
}

#[test]
fn a_waker_that_drops_another_socket_of_the_same_batch_is_harmless() {
    use std::sync::{Arc, Mutex};
    struct Drops(Mutex<Vec<TcpStream>>);
    impl std::task::Wake for Drops {
        fn wake(self: Arc<Self>) {
            self.0.lock().expect("no panic").clear();
        }
    }
    let mut runtime = Runtime::new();
    let pairs: Vec<_> = (0..8).map(|_| runtime.block_on(connected())).collect();
    let (clients, servers): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let drops = Arc::new(Drops(Mutex::default()));
    let waker = std::task::Waker::from(Arc::clone(&drops));
    for server in &servers {
        let mut cx = Context::from_waker(&waker);
        assert!(server.poll_read_ready(&mut cx).is_pending());
    }
    *drops.0.lock().expect("no panic") = servers;
    for client in &clients {
        assert_eq!(client.try_write(b"x").expect("writes"), 1);
    }
    runtime.until_event();
    runtime.look();
    assert!(drops.0.lock().expect("no panic").is_empty());
}

#[test]
fn a_connection_that_nobody_accepts_is_refused() {
    let mut runtime = Runtime::new();
    let addr = runtime.block_on(async {
        TcpListener::bind("127.0.0.1:0")
            .await
            .expect("binds")
            .local_addr()
            .expect("is bound")
    });
    let error = runtime
        .block_on(TcpStream::connect(addr))
        .expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn connect_tries_one_address_after_the_other() {
    let mut runtime = Runtime::new();
    runtime.block_on(async {
        let gone = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let dead = gone.local_addr().expect("is bound");
        drop(gone);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let alive = listener.local_addr().expect("is bound");
        let stream = TcpStream::connect(&[dead, alive][..])
            .await
            .expect("the second answers");
        assert_eq!(stream.peer_addr().expect("connected"), alive);
        let none = TcpStream::connect(&[][..] as &[std::net::SocketAddr]).await;
        assert_eq!(
            none.expect_err("no address").kind(),
            ErrorKind::InvalidInput
        );
    });
}

#[test]
fn one_direction_can_be_closed_while_the_other_goes_on() {
    let mut runtime = Runtime::new();
    runtime.block_on(async {
        let (client, server) = connected().await;
        poll_fn(|cx| client.poll_shutdown(cx))
            .await
            .expect("shuts down");
        let mut buf = [0; 8];
        assert_eq!(read(&server, &mut buf).await.expect("the end"), 0);
        assert_eq!(read(&server, &mut buf).await.expect("still the end"), 0);
        assert_eq!(write(&server, b"late").await.expect("writes"), 4);
        assert_eq!(read(&client, &mut buf).await.expect("reads"), 4);
    });
}

#[test]
fn halves_are_reunited_only_with_each_other() {
    let mut runtime = Runtime::new();
    let (client, server) = runtime.block_on(connected());
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let error = client_read.reunite(server_write).expect_err("strangers");
    assert_eq!(
        error.to_string(),
        "tried to reunite halves that are not from the same stream"
    );
    let client = error.0.reunite(client_write).expect("of one stream");
    let server = error.1.reunite(server_read).expect("of one stream");
    runtime.block_on(async {
        assert_eq!(write(&client, b"whole").await.expect("writes"), 5);
        assert_eq!(read(&server, &mut [0; 8]).await.expect("reads"), 5);
    });
}

#[test]
fn dropping_the_half_that_writes_ends_the_stream_and_forgetting_it_does_not() {
    let mut runtime = Runtime::new();
    let (client, server) = runtime.block_on(connected());
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    client_write.forget();
    runtime.look();
    assert!(poll_once(pin!(server_read.readable())).is_pending());
    drop(server_write);
    runtime
        .block_on(client_read.readable())
        .expect("the end is readable");
    assert_eq!(client_read.try_read(&mut [0; 1]).expect("the end"), 0);
}

#[test]
fn both_halves_wait_at_the_same_time() {
    let mut runtime = Runtime::new();
    runtime.block_on(async {
        let (mut client, server) = connected().await;
        let (reader, writer) = client.split();
        let mut buf = [0; 4];
        let exchange = both(poll_fn(|cx| reader.poll_read(cx, &mut buf)), async {
            poll_fn(|cx| writer.poll_write(cx, b"ping"))
                .await
                .expect("writes");
            assert_eq!(read(&server, &mut [0; 4]).await.expect("reads"), 4);
            write(&server, b"pong").await.expect("writes")
        });
        assert_eq!(exchange.await.0.expect("reads"), 4);
    });
}

#[test]
fn shutdown_wakes_those_who_wait_and_refuses_those_who_come() {
    let mut runtime = Runtime::new();
    let (client, server) = runtime.block_on(connected());
    let listener = runtime
        .block_on(TcpListener::bind("127.0.0.1:0"))
        .expect("binds");
    let (counter, waker) = Counter::new();
    let mut buf = [0; 1];
    let mut cx = Context::from_waker(&waker);
    assert!(client.poll_read(&mut cx, &mut buf).is_pending());
    let mut readable = pin!(server.readable());
    assert!(readable.as_mut().poll(&mut cx).is_pending());
    let mut accept = pin!(listener.accept());
    assert!(accept.as_mut().poll(&mut cx).is_pending());

    runtime.handle.shutdown();
    assert_eq!(counter.count(), 3);
    let expected = "A telemetry_rt runtime was found, but it is being shut down.";
    let Poll::Ready(Err(error)) = readable.poll(&mut cx) else {
        panic!("no error")
    };
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::Other, expected)
    );
    let Poll::Ready(Err(error)) = client.poll_read(&mut cx, &mut buf) else {
        panic!("no error")
    };
    assert_eq!(error.to_string(), expected);
    let Poll::Ready(Err(error)) = accept.poll(&mut cx) else {
        panic!("no error")
    };
    assert_eq!(error.to_string(), expected);
    let error = runtime
        .block_on(TcpListener::bind("127.0.0.1:0"))
        .expect_err("too late");
    assert_eq!(error.to_string(), expected);
    assert_eq!(
        client.try_write(b"x").expect_err("too late").to_string(),
        expected
    );
}

#[test]
fn dropping_the_driver_is_a_shutdown() {
    let (driver, handle) = telemetry_rt_reactor::build(support::config()).expect("builds");
    let previous = telemetry_rt_reactor::context::enter(Some(handle), None);
    let (stream, _other) = telemetry_rt_reactor::net::UnixStream::pair().expect("a pair");
    let (counter, waker) = Counter::new();
    assert!(
        stream
            .poll_read_ready(&mut Context::from_waker(&waker))
            .is_pending()
    );
    drop(driver);
    assert_eq!(counter.count(), 1);
    telemetry_rt_reactor::context::restore(previous);
}

#[test]
fn a_waker_does_not_outlive_the_socket_it_waited_on() {
    let mut runtime = Runtime::new();
    let (client, _server) = runtime.block_on(connected());
    let (counter, waker) = Counter::new();
    assert!(
        client
            .poll_read_ready(&mut Context::from_waker(&waker))
            .is_pending()
    );
    drop((client, waker));
    assert_eq!(std::sync::Arc::strong_count(&counter), 1);
}

#[test]
fn the_budget_of_a_poll_ends_a_read_that_is_always_ready() {
    use telemetry_rt_reactor::leaf;
    let mut runtime = Runtime::new();
    let (client, server) = runtime.block_on(connected());
    assert_eq!(client.try_write(&[1; 4096]).expect("writes"), 4096);
    runtime.block_on(server.readable()).expect("readable");
    let (counter, waker) = Counter::new();
    let mut cx = Context::from_waker(&waker);
    let outer = leaf::begin_poll();
    let mut read = 0;
    while server.poll_read(&mut cx, &mut [0; 1]).is_ready() {
        read += 1;
    }
    assert!(leaf::end_poll(outer).exhausted);
    assert_eq!((read, counter.count()), (usize::from(leaf::BUDGET), 1));

    let outer = leaf::begin_poll();
    assert!(client.poll_read(&mut cx, &mut [0; 1]).is_pending());
    assert_eq!(leaf::end_poll(outer).waiting, leaf::Waiting::Io);
}

#[test]
fn sockets_of_the_standard_library_come_and_go() {
    let mut runtime = Runtime::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let mut other =
        std::net::TcpStream::connect(listener.local_addr().expect("bound")).expect("ok");
    let stream = TcpStream::from_std(listener.accept().expect("accepts").0).expect("watched");
    other.write_all(b"hello").expect("writes");
    runtime.block_on(async {
        let mut buf = [0; 8];
        assert_eq!(stream.peek(&mut buf).await.expect("peeks"), 5);
        assert_eq!(read(&stream, &mut buf).await.expect("reads"), 5);
    });
    let mut stream = stream.into_std().expect("unwatched");
    stream.set_nonblocking(false).expect("a socket");
    other.write_all(b"again").expect("writes");
    stream.read_exact(&mut [0; 5]).expect("reads");
}

#[test]
fn a_socket_with_options_set_before_connects_and_listens() {
    let mut runtime = Runtime::new();
    runtime.block_on(async {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("set");
        socket
            .bind("127.0.0.1:0".parse().expect("an address"))
            .expect("binds");
        let listener = socket.listen(16).expect("listens");
        let client = TcpSocket::new_v4().expect("a socket");
        client.set_nodelay(true).expect("set");
        client.set_keepalive(true).expect("set");
        let addr = listener.local_addr().expect("bound");
        let (stream, accepted) = both(client.connect(addr), listener.accept()).await;
        let stream = stream.expect("connects");
        assert!(stream.nodelay().expect("asked"));
        stream.set_zero_linger().expect("set");
        assert_eq!(stream.linger().expect("asked"), Some(Duration::ZERO));
        assert_eq!(
            accepted.expect("accepts").1,
            stream.local_addr().expect("bound")
        );
    });
}

#[test]
#[should_panic(
    expected = "there is no reactor running, must be called from the context of a telemetry_rt runtime"
)]
fn a_socket_needs_a_runtime() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("binds");
    let _ = telemetry_rt_reactor::net::UdpSocket::from_std(socket);
}

#[test]
#[should_panic(expected = "enable_io")]
fn a_socket_needs_a_runtime_with_io() {
    let config = telemetry_rt_reactor::Config {
        enable_io: false,
        ..support::config()
    };
    let _runtime = Runtime::with(config);
    let _ = telemetry_rt_reactor::net::UnixStream::pair();
}

#[test]
fn what_is_sent_behind_urgent_data_arrives() {
    let mut runtime = Runtime::new();
    let (client, server) = runtime.block_on(connected());
    let mut buf = [0; 16];
    assert_eq!(client.try_write(b"abc").expect("writes"), 3);
    let urgent = socket2::SockRef::from(&client).send_out_of_band(b"!");
    assert_eq!(urgent.expect("sends"), 1);
    assert_eq!(client.try_write(b"def").expect("writes"), 3);
    // All of it is one report of the operating system.
    std::thread::sleep(Duration::from_millis(20));
    runtime.look();
    // The first read ends before the urgent byte: short, but not the last.
    for expected in [b"abc", b"def"] {
        let count = runtime.block_on(read(&server, &mut buf)).expect("reads");
        assert_eq!(&buf[..count], expected);
    }
    assert!(poll_once(pin!(read(&server, &mut buf))).is_pending());
    assert_eq!(client.try_write(b"ghi").expect("writes"), 3);
    assert_eq!(runtime.block_on(read(&server, &mut buf)).expect("ok"), 3);
}

#[test]
fn one_who_waits_for_urgent_data_is_woken() {
    let mut runtime = Runtime::new();
    let (client, server) = runtime.block_on(connected());
    let mut urgent = pin!(server.ready(Interest::PRIORITY));
    assert!(poll_once(urgent.as_mut()).is_pending());
    let sent = socket2::SockRef::from(&client).send_out_of_band(b"!");
    assert_eq!(sent.expect("sends"), 1);
    assert!(runtime.block_on(urgent).expect("told").is_priority());
}

#[test]
fn a_waker_that_panics_does_not_take_the_others_of_the_turn_with_it() {
    let mut runtime = Runtime::new();
    let pairs: Vec<_> = (0..8).map(|_| runtime.block_on(connected())).collect();
    let (counter, counts) = Counter::new();
    let panics = std::sync::Arc::new(Panics).into();
    for (number, (_, server)) in pairs.iter().enumerate() {
        let waker = if number % 4 == 1 { &panics } else { &counts };
        let mut cx = Context::from_waker(waker);
        assert!(server.poll_read_ready(&mut cx).is_pending());
    }
    for (client, _) in &pairs {
        assert_eq!(client.try_write(b"x").expect("writes"), 1);
    }
    std::thread::sleep(Duration::from_millis(20));
    runtime.until_event();
    assert_eq!(counter.count(), 6);
}

#[test]
fn a_waker_that_panics_does_not_take_the_others_of_a_shutdown_with_it() {
    let mut runtime = Runtime::new();
    let (client, server) = runtime.block_on(connected());
    let (counter, counts) = Counter::new();
    let panics = std::sync::Arc::new(Panics).into();
    let mut sleep = pin!(telemetry_rt_reactor::time::sleep(Duration::from_secs(60)));
    let mut cx = Context::from_waker(&panics);
    assert!(client.poll_read_ready(&mut cx).is_pending());
    let mut cx = Context::from_waker(&counts);
    assert!(server.poll_read_ready(&mut cx).is_pending());
    assert!(sleep.as_mut().poll(&mut cx).is_pending());
    runtime.handle.shutdown();
    assert_eq!(counter.count(), 2);
}

#[test]
fn the_budget_of_a_poll_ends_waiting_and_trying_in_turn() {
    use telemetry_rt_reactor::leaf;
    let mut runtime = Runtime::new();
    let (client, server) = runtime.block_on(connected());
    assert_eq!(client.try_write(&[1; 4096]).expect("writes"), 4096);
    runtime.block_on(server.readable()).expect("readable");
    let read = Cell::new(0);
    let mut flood = pin!(async {
        loop {
            server.readable().await.expect("readable");
            let count = server.try_read(&mut [0; 1]);
            read.set(read.get() + count.expect("there is more"));
        }
    });
    let outer = leaf::begin_poll();
    let poll: Poll<()> = poll_once(flood.as_mut());
    assert!(leaf::end_poll(outer).exhausted && poll.is_pending());
    assert_eq!(read.get(), usize::from(leaf::BUDGET));
}
