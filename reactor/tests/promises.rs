//! What the compiler can check: which types may cross threads, and which futures.

use telemetry_rt_reactor::io::{AsyncFd, Interest, Ready};
use telemetry_rt_reactor::net::{
    TcpListener, TcpSocket, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream,
    lookup_host, tcp, unix,
};
use telemetry_rt_reactor::signal::{ctrl_c, unix::Signal};
use telemetry_rt_reactor::{Config, Driver, Handle, Turn};

fn shared<T: Send + Sync + Unpin>() {}
fn sent<T: Send>(_: impl FnOnce() -> T) {}

#[test]
fn everything_may_be_sent_and_shared() {
    shared::<(
        Handle,
        Turn,
        Interest,
        Ready,
        TcpListener,
        TcpSocket,
        TcpStream,
    )>();
    shared::<(
        UdpSocket,
        UnixDatagram,
        UnixListener,
        UnixStream,
        AsyncFd<std::fs::File>,
    )>();
    shared::<(
        tcp::OwnedReadHalf,
        tcp::OwnedWriteHalf,
        tcp::ReadHalf<'_>,
        tcp::WriteHalf<'_>,
    )>();
    shared::<(
        unix::OwnedReadHalf,
        unix::OwnedWriteHalf,
        unix::SocketAddr,
        unix::UCred,
        Signal,
    )>();
    fn only_sent<T: Send>() {}
    only_sent::<(Driver, Config)>();
}

#[test]
fn futures_may_be_sent() {
    sent(|| TcpStream::connect("localhost:80"));
    sent(|| TcpListener::bind(("localhost", 80)));
    sent(|| UdpSocket::bind(String::new()));
    sent(|| UnixStream::connect("path"));
    sent(|| lookup_host("localhost:80"));
    sent(ctrl_c);
    fn of_sockets(tcp: &TcpStream, udp: &UdpSocket, fd: &AsyncFd<std::fs::File>) {
        sent(|| tcp.readable());
        sent(|| tcp.ready(Interest::WRITABLE));
        sent(|| tcp.async_io(Interest::READABLE, || Ok(())));
        sent(|| udp.send_to(b"", "localhost:80"));
        sent(|| fd.writable());
    }
    let _ = of_sockets;
}
