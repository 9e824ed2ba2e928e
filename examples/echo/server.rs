//! How does the server serve many at a time, and how does it end? A task for each connection,
//! which the loop that accepts them waits for.

use std::io;

use telemetry_rt::io::{AsyncReadExt, AsyncWriteExt};
use telemetry_rt::net::{TcpListener, TcpStream};
use telemetry_rt::select;
use telemetry_rt::sync::oneshot;
use telemetry_rt::task::{JoinError, JoinSet};
use telemetry_rt::time::{Duration, sleep};

/// What the server has done.
#[derive(Clone, Copy, Default)]
pub struct Served {
    pub connections: u64,
    pub bytes: u64,
    pub errors: u64,
}

/// How long the loop rests when it cannot accept, so that connections may end meanwhile.
const REST: Duration = Duration::from_millis(10);

/// Accepts until it is stopped, then waits until the last connection is closed.
pub async fn accept_connections(listener: TcpListener, stopped: oneshot::Receiver<()>) -> Served {
    let mut served = Served::default();
    let mut connections = JoinSet::new();
    let mut stopped = stopped;
    loop {
        select! {
            accepted = listener.accept() => match accepted {
                // A connection is not part of what the loop does: it begins a trace of its own,
                // linked to the loop's.
                Ok((stream, _)) => {
                    connections.build_task().root().spawn(echo_back(stream));
                }
                // Such as too many open files: it passes when connections end.
                Err(error) => {
                    eprintln!("echo: cannot accept: {error}");
                    sleep(REST).await;
                }
            },
            Some(ended) = connections.join_next() => served.add(ended),
            _ = &mut stopped => break,
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        served.add(ended);
    }
    served
}

/// Sends back what it reads, until the client sends no more.
async fn echo_back(mut stream: TcpStream) -> io::Result<u64> {
    let mut buffer = vec![0; 16 * 1024];
    let mut bytes = 0;
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(bytes);
        }
        stream.write_all(&buffer[..read]).await?;
        bytes += read as u64;
    }
}

impl Served {
    fn add(&mut self, ended: Result<io::Result<u64>, JoinError>) {
        self.connections += 1;
        match ended {
            Ok(Ok(bytes)) => self.bytes += bytes,
            Ok(Err(_)) | Err(_) => self.errors += 1,
        }
    }
}
