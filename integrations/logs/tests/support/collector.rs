//! A collector on loopback that keeps what it is sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message;

/// One request: the lines of its head, and its body.
pub struct Posted {
    pub head: Vec<String>,
    pub body: Vec<u8>,
}

impl Posted {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.iter().filter_map(|line| line.split_once(':'));
        let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }

    pub fn logs(&self) -> ExportLogsServiceRequest {
        let body = match self.header("content-encoding") {
            Some("gzip") => {
                let mut plain = Vec::new();
                let mut decoder = flate2::read::GzDecoder::new(&self.body[..]);
                decoder.read_to_end(&mut plain).unwrap();
                plain
            }
            _ => self.body.clone(),
        };
        ExportLogsServiceRequest::decode(&body[..]).unwrap()
    }
}

pub struct Collector {
    pub url: String,
    posted: Receiver<Posted>,
}

impl Collector {
    /// Answers each request with a status line and a body.
    pub fn answering(status: &'static str, reply: Vec<u8>) -> Collector {
        Collector::behind("http", status, reply, Some)
    }

    /// The same, for peers that come through whatever `open` makes of their connection.
    pub fn behind<S: Read + Write>(
        scheme: &str,
        status: &'static str,
        reply: Vec<u8>,
        open: impl Fn(TcpStream) -> Option<S> + Send + Clone + 'static,
    ) -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, posted) = mpsc::channel();
        thread::spawn(move || {
            for peer in listener.incoming() {
                let (sender, reply, open) = (sender.clone(), reply.clone(), open.clone());
                thread::spawn(move || {
                    let peer = open(peer.unwrap());
                    peer.map(|peer| serve(peer, status, &reply, &sender))
                });
            }
        });
        Collector {
            url: format!("{scheme}://localhost:{port}"),
            posted,
        }
    }

    /// The next request, which must come.
    pub fn next(&self) -> Posted {
        self.posted
            .recv_timeout(Duration::from_secs(20))
            .expect("no request came")
    }

    /// What else has come.
    pub fn rest(&self) -> Vec<Posted> {
        self.posted.try_iter().collect()
    }
}

fn serve(peer: impl Read + Write, status: &str, reply: &[u8], sender: &Sender<Posted>) {
    let mut peer = BufReader::new(peer);
    while let Some(posted) = read(&mut peer) {
        let _ = sender.send(posted);
        let length = reply.len();
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n");
        let answer = [head.as_bytes(), reply].concat();
        let answered = peer.get_mut().write_all(&answer);
        if answered.and_then(|()| peer.get_mut().flush()).is_err() {
            return;
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<Posted> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let mut posted = Posted {
        head,
        body: Vec::new(),
    };
    let length = posted.header("content-length")?.parse().ok()?;
    posted.body.resize(length, 0);
    reader.read_exact(&mut posted.body).ok()?;
    Some(posted)
}
