//! Sockets, and looking up host names.

pub use telemetry_rt_reactor::net::{
    TcpListener, TcpSocket, TcpStream, ToSocketAddrs, UdpSocket, UnixDatagram, UnixListener,
    UnixStream, lookup_host, tcp, unix,
};
