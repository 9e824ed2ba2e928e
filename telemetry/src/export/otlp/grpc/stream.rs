//! Bytes to and from a collector, until a deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use telemetry_rt_clock::instant;

/// A connection whose calls fail with [`ErrorKind::TimedOut`] from a moment on.
pub(super) trait Stream: Read + Write + Send {
    /// Sets that moment.
    fn until(&mut self, deadline: Instant);
}

/// A TCP connection.
pub(super) struct Timed {
    socket: TcpStream,
    deadline: Instant,
}

impl Timed {
    /// Connects to the first address of a host that answers.
    pub(super) fn connect(host: &str, port: u16, deadline: Instant) -> io::Result<Timed> {
        let addresses = resolve(host, port, deadline)?;
        let mut refused = io::Error::new(ErrorKind::NotFound, "the host has no address");
        for (index, address) in addresses.iter().enumerate() {
            // One address that never answers leaves time for the others.
            let time = left(deadline)? / (addresses.len() - index) as u32;
            match TcpStream::connect_timeout(address, time) {
                Ok(socket) => return Timed::over(socket, deadline),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    fn over(socket: TcpStream, deadline: Instant) -> io::Result<Timed> {
        socket.set_nodelay(true)?;
        Ok(Timed { socket, deadline })
    }
}

impl Stream for Timed {
    fn until(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }
}

impl Read for Timed {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(left(self.deadline)?))?;
        self.socket.read(bytes).map_err(timed_out)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(left(self.deadline)?))?;
        self.socket.write(bytes).map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// The addresses of a host. The system's resolver knows no deadline, so a thread asks it, which
/// is left alone when it takes too long.
fn resolve(host: &str, port: u16, deadline: Instant) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let (sender, receiver) = mpsc::sync_channel(1);
    let name = host.to_owned();
    thread::Builder::new()
        .name("telemetry-resolve".to_owned())
        .spawn(move || {
            let addresses = (name.as_str(), port).to_socket_addrs();
            // Whoever asked may have gone.
            drop(sender.send(addresses.map(Iterator::collect)));
        })?;
    let resolved = receiver.recv_timeout(left(deadline)?);
    resolved.unwrap_or_else(|_| Err(late()))
}

/// The time until a moment, of which there must be some: the system takes none for "forever".
fn left(deadline: Instant) -> io::Result<Duration> {
    match deadline.saturating_duration_since(instant()) {
        Duration::ZERO => Err(late()),
        left => Ok(left),
    }
}

/// Systems have two words for it.
fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => late(),
        _ => error,
    }
}

fn late() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "the collector took too long")
}
