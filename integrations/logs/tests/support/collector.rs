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
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, posted) = mpsc::channel();
        thread::spawn(move || {
            for peer in listener.incoming() {
                let (sender, reply) = (sender.clone(), reply.clone());
                thread::spawn(move || serve(peer.unwrap(), status, &reply, &sender));
            }
        });
        Collector { url, posted }
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

fn serve(peer: TcpStream, status: &str, reply: &[u8], sender: &Sender<Posted>) {
    let mut reader = BufReader::new(peer.try_clone().unwrap());
    let mut writer = peer;
    while let Some(posted) = read(&mut reader) {
        let _ = sender.send(posted);
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n",
            reply.len()
        );
        writer.write_all(head.as_bytes()).unwrap();
        writer.write_all(reply).unwrap();
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
