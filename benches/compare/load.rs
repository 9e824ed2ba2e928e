//! The other side of the network: a process that sends requests to a contender's server, so that
//! its processor time is not counted.
//!
//! | to the load process | from it |
//! |---|---|
//! | `KIND PORT CONNECTIONS` | `connected` |
//! | a number of requests | `done` and how many were answered rightly |
//!
//! It uses plain blocking sockets from one thread: a request goes out on each connection, then the
//! answers are read. No connection has more than one request under way.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::str::FromStr;

/// The argument that makes a program the load process.
pub const ARGUMENT: &str = "--load";

/// What is sent, and what has to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 64 bytes, which come back.
    Echo,
    /// `GET /`, which is answered with 200.
    Http,
    /// A number, as eight bytes; so many chunks come back.
    Stream,
}

/// What [`Kind::Echo`] sends.
pub const MESSAGE: usize = 64;

/// What [`Kind::Stream`] gets for each request.
pub const CHUNK: usize = 64 * 1024;

const NAMES: [(Kind, &str); 3] = [
    (Kind::Echo, "echo"),
    (Kind::Http, "http"),
    (Kind::Stream, "stream"),
];

impl FromStr for Kind {
    type Err = ();

    fn from_str(name: &str) -> Result<Kind, ()> {
        let found = NAMES.iter().find(|(_, known)| *known == name);
        found.map(|(kind, _)| *kind).ok_or(())
    }
}

/// The load process, seen by the workload.
pub struct Load {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Load {
    /// Starts it.
    pub fn start() -> Load {
        let program = std::env::current_exe().expect("this program is a file");
        let mut command = Command::new(program);
        command.arg(ARGUMENT);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("this program can be started");
        Load {
            commands: child.stdin.take().expect("it is piped"),
            answers: BufReader::new(child.stdout.take().expect("it is piped")),
            child,
        }
    }

    /// Asks it to connect. It has done so when [`answer`](Self::answer) returns.
    pub fn connect(&mut self, kind: Kind, port: u16, connections: usize) {
        let name = NAMES.iter().find(|(known, _)| *known == kind);
        let name = name.expect("every kind has a name").1;
        self.ask(&format!("{name} {port} {connections}"));
    }

    /// Sends so many requests, and says how many were answered rightly.
    pub fn send(&mut self, requests: usize) -> usize {
        self.ask(&requests.to_string());
        let answer = self.answer();
        let answered = answer.strip_prefix("done ");
        let answered = answered.and_then(|number| number.parse().ok());
        answered.unwrap_or_else(|| panic!("the load process says {answer:?}"))
    }

    fn ask(&mut self, line: &str) {
        let asked = writeln!(self.commands, "{line}").and_then(|()| self.commands.flush());
        asked.expect("the load process lives");
    }

    pub fn answer(&mut self) -> String {
        let mut answer = String::new();
        let read = self.answers.read_line(&mut answer);
        read.expect("the load process lives");
        answer.trim_end().to_owned()
    }
}

impl Drop for Load {
    /// Its end closes the connections.
    fn drop(&mut self) {
        // It has ended by itself if this fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Is the load process, until stdin ends.
///
/// # Errors
///
/// When the server does.
pub fn serve() -> io::Result<()> {
    let mut lines = io::stdin().lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut client = Client::connect(&first)?;
    println!("connected");
    for line in lines {
        let requests = line?.parse().map_err(io::Error::other)?;
        println!("done {}", client.send(requests)?);
    }
    Ok(())
}

struct Client {
    kind: Kind,
    connections: Vec<TcpStream>,
    request: Vec<u8>,
    /// How the answer begins, and how long it is.
    expected: Vec<u8>,
    length: usize,
}

impl Client {
    fn connect(line: &str) -> io::Result<Client> {
        let words: Vec<&str> = line.split(' ').collect();
        let parsed = match words[..] {
            [kind, port, connections] => (|| {
                Some((
                    kind.parse().ok()?,
                    port.parse().ok()?,
                    connections.parse().ok()?,
                ))
            })(),
            _ => None,
        };
        let (kind, port, number): (Kind, u16, usize) =
            parsed.ok_or_else(|| io::Error::other(format!("{line:?} is not understood")))?;
        let connections: io::Result<Vec<TcpStream>> = (0..number).map(|_| open(port)).collect();
        let mut client = Client::new(kind, connections?);
        if kind == Kind::Http {
            client.measure_answer()?;
        }
        Ok(client)
    }

    fn new(kind: Kind, connections: Vec<TcpStream>) -> Client {
        let (request, expected, length) = match kind {
            Kind::Echo => (vec![7; MESSAGE], vec![7; MESSAGE], MESSAGE),
            Kind::Http => (
                b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
                b"HTTP/1.1 200 OK\r\n".to_vec(),
                0,
            ),
            Kind::Stream => (1_u64.to_be_bytes().to_vec(), Vec::new(), CHUNK),
        };
        Client {
            kind,
            connections,
            request,
            expected,
            length,
        }
    }

    /// All answers of a server are as long as the first.
    fn measure_answer(&mut self) -> io::Result<()> {
        let first = &mut self.connections[0];
        first.write_all(&self.request)?;
        let mut reader = BufReader::new(&*first);
        let mut body = 0;
        loop {
            let mut line = String::new();
            self.length += reader.read_line(&mut line)?;
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(length) = line.strip_prefix("content-length: ") {
                body = length.parse().map_err(io::Error::other)?;
            }
            if line.is_empty() {
                break;
            }
        }
        self.length += body;
        reader.read_exact(&mut vec![0; body])
    }

    fn send(&mut self, requests: usize) -> io::Result<usize> {
        match self.kind {
            Kind::Stream => self.receive_chunks(requests),
            Kind::Echo | Kind::Http => self.exchange(requests),
        }
    }

    fn exchange(&mut self, requests: usize) -> io::Result<usize> {
        let mut answer = vec![0; self.length];
        let mut right = 0;
        for _ in 0..requests.div_ceil(self.connections.len()) {
            for connection in &mut self.connections {
                connection.write_all(&self.request)?;
            }
            for connection in &mut self.connections {
                connection.read_exact(&mut answer)?;
                right += usize::from(answer.starts_with(&self.expected));
            }
        }
        Ok(right)
    }

    /// One request for all chunks.
    fn receive_chunks(&mut self, chunks: usize) -> io::Result<usize> {
        let mut chunk = vec![0; self.length];
        let connection = &mut self.connections[0];
        connection.write_all(&(chunks as u64).to_be_bytes())?;
        for _ in 0..chunks {
            connection.read_exact(&mut chunk)?;
        }
        Ok(chunks)
    }
}

fn open(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
