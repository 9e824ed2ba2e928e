//! Those of HTTP/2, frame by frame: so that they can do what no client does.

use std::io;
use std::sync::Arc;

use telemetry_rt::io::{AsyncReadExt, AsyncWriteExt};
use telemetry_rt::net::TcpStream;
use telemetry_rt::time::{Duration, sleep};

use super::talk::wait_for_the_end;
use super::world::{Kind, World};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET / http`, of the static table, and the authority `storm`.
const HELLO: &[u8] = b"\x82\x84\x86\x41\x05storm";
/// The same of `/wait`.
const WAIT: &[u8] = b"\x82\x44\x05/wait\x86\x41\x05storm";
const CANCEL: &[u8] = &[0, 0, 0, 8];

/// Streams at a time.
const STREAMS: usize = 10;
const PAUSE: Duration = Duration::from_millis(100);

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("these frames are short");
    out.extend(&length.to_be_bytes()[1..]);
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
}

/// The preface, no settings but the usual ones, and room for all answers of a long storm.
fn beginning() -> Vec<u8> {
    let mut out = PREFACE.to_vec();
    frame(&mut out, SETTINGS, 0, 0, &[]);
    frame(&mut out, WINDOW_UPDATE, 0, 0, &[0x3f, 0xff, 0xff, 0xff]);
    out
}

struct Frame {
    kind: u8,
    flags: u8,
    payload: Vec<u8>,
}

async fn read(stream: &mut TcpStream) -> io::Result<Frame> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await?;
    Ok(Frame {
        kind: head[3],
        flags: head[4],
        payload,
    })
}

/// As any client: some streams at a time, and the next when they are answered.
pub async fn ask(world: Arc<World>, mut stream: TcpStream) -> io::Result<()> {
    let row = world.row(Kind::H2);
    stream.write_all(&beginning()).await?;
    for id in (1..).step_by(2 * STREAMS) {
        let mut out = Vec::new();
        for id in (id..).step_by(2).take(STREAMS) {
            frame(&mut out, HEADERS, END_HEADERS | END_STREAM, id, HELLO);
            row.sent();
        }
        stream.write_all(&out).await?;
        for _ in 0..STREAMS {
            answer(&mut stream).await?;
            row.answered();
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

/// Reads until one of the streams ends, and answers what the connection asks.
async fn answer(stream: &mut TcpStream) -> io::Result<()> {
    loop {
        let frame = read(stream).await?;
        match frame.kind {
            SETTINGS | PING if frame.flags & ACK == 0 => acknowledge(stream, &frame).await?,
            DATA | HEADERS if frame.flags & END_STREAM != 0 => return Ok(()),
            RST_STREAM | GOAWAY => return Err(io::ErrorKind::ConnectionAborted.into()),
            _ => {}
        }
    }
}

async fn acknowledge(stream: &mut TcpStream, asked: &Frame) -> io::Result<()> {
    let mut out = Vec::new();
    let payload = if asked.kind == PING {
        &asked.payload[..]
    } else {
        &[]
    };
    frame(&mut out, asked.kind, ACK, 0, payload);
    stream.write_all(&out).await
}

/// Takes back each request at once, as fast as the server lets it.
pub async fn reset(world: Arc<World>, stream: TcpStream) -> io::Result<()> {
    let (mut reads, mut writes) = stream.into_split();
    let write = async {
        writes.write_all(&beginning()).await?;
        for id in (1..).step_by(2 * STREAMS) {
            let mut out = Vec::new();
            for id in (id..).step_by(2).take(STREAMS) {
                frame(&mut out, HEADERS, END_HEADERS | END_STREAM, id, WAIT);
                frame(&mut out, RST_STREAM, 0, id, CANCEL);
                world.row(Kind::H2Reset).sent();
            }
            writes.write_all(&out).await?;
            sleep(PAUSE / 20).await;
        }
        Ok(())
    };
    let read = async {
        let mut chunk = [0; 4096];
        while reads.read(&mut chunk).await? > 0 {}
        Err(io::ErrorKind::UnexpectedEof.into())
    };
    telemetry_rt::select! {
        end = write => end,
        end = read => end,
    }
}

/// Asks, and then does not even answer pings.
pub async fn mute(world: Arc<World>, mut stream: TcpStream) -> io::Result<()> {
    let mut out = beginning();
    frame(&mut out, HEADERS, END_HEADERS | END_STREAM, 1, WAIT);
    stream.write_all(&out).await?;
    world.row(Kind::H2Mute).sent();
    wait_for_the_end(&mut stream).await
}
