//! Those who take their time, in the hope that the server waits. Each goes on until the server closes.

use std::io;
use std::sync::Arc;

use telemetry_rt::net::TcpStream;
use telemetry_rt::time::{Duration, sleep};

use super::talk::{HELLO, LARGE, answer, read_to_the_end, send, wait_for_the_end};
use super::world::{Kind, World};

const PAUSE: Duration = Duration::from_millis(50);
/// Longer than the server waits for anything.
const NEVER: Duration = Duration::from_secs(60);

/// A head that never ends, a byte at a time.
pub async fn head(mut stream: TcpStream) -> io::Result<()> {
    send(&mut stream, b"GET / HTTP/1.1\r\nhost: storm\r\nx: ").await?;
    loop {
        send(&mut stream, b"y").await?;
        sleep(PAUSE).await;
    }
}

/// A body that comes, but slowly: the server has no reason to end it.
pub async fn body(world: Arc<World>, mut stream: TcpStream) -> io::Result<()> {
    let row = world.row(Kind::SlowBody);
    loop {
        let head = b"POST /echo HTTP/1.1\r\nhost: storm\r\ncontent-length: 40\r\n\r\n";
        send(&mut stream, head).await?;
        row.sent();
        for _ in 0..40 {
            send(&mut stream, b"z").await?;
            sleep(PAUSE).await;
        }
        answer(&mut stream).await?;
        row.answered();
    }
}

/// A body that stops half way.
pub async fn half_body(world: Arc<World>, mut stream: TcpStream) -> io::Result<()> {
    let part = b"POST /echo HTTP/1.1\r\nhost: storm\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel";
    send(&mut stream, part).await?;
    world.row(Kind::HalfBody).sent();
    wait_for_the_end(&mut stream).await
}

/// Large answers are asked for, one after the other, and none is read.
pub async fn deaf(world: Arc<World>, mut stream: TcpStream) -> io::Result<()> {
    let row = world.row(Kind::Deaf);
    for _ in 0..3 {
        send(&mut stream, LARGE).await?;
        row.sent();
    }
    // What would tell of the end is read by nobody; writing does.
    for _ in 0..NEVER.as_millis() / PAUSE.as_millis() {
        sleep(PAUSE).await;
        send(&mut stream, b"G").await?;
    }
    Ok(())
}

/// A socket that is open, and that is all.
pub async fn silent(mut stream: TcpStream) -> io::Result<()> {
    wait_for_the_end(&mut stream).await
}

/// One request, and then silence.
pub async fn idle(world: Arc<World>, mut stream: TcpStream) -> io::Result<()> {
    let row = world.row(Kind::Idle);
    send(&mut stream, HELLO).await?;
    row.sent();
    answer(&mut stream).await?;
    row.answered();
    read_to_the_end(&mut stream).await?;
    Err(io::ErrorKind::UnexpectedEof.into())
}
