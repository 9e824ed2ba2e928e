//! How does a client know that nothing was lost or changed? It compares every byte.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use telemetry_rt::io::{AsyncReadExt, AsyncWriteExt};
use telemetry_rt::net::TcpStream;
use telemetry_rt::try_join;

/// What came back as it was sent.
#[derive(Clone, Copy, Default)]
pub struct Exchanged {
    pub messages: u64,
    pub bytes: u64,
}

/// Why a client gave up.
#[derive(Debug)]
pub enum Failed {
    Io(usize, io::Error),
    Changed {
        client: usize,
        message: usize,
        byte: usize,
    },
}

/// Sends messages of `size` bytes one after the other, each when the one before is back.
pub async fn talk(
    client: usize,
    server: SocketAddr,
    messages: usize,
    size: usize,
) -> Result<Exchanged, Failed> {
    let failed = |error| Failed::Io(client, error);
    let mut stream = TcpStream::connect(server).await.map_err(failed)?;
    // Messages are small and waited for: none should wait for more to go with it.
    stream.set_nodelay(true).map_err(failed)?;
    let (mut reader, mut writer) = stream.split();
    let mut back = vec![0; size];
    let mut exchanged = Exchanged::default();
    for message in 0..messages {
        let sent = message_of(client, message, size);
        // At the same time: neither side could go on if a message larger than all buffers had to
        // be sent before the first byte of it is read back.
        try_join!(writer.write_all(&sent), reader.read_exact(&mut back)).map_err(failed)?;
        if let Some(byte) = first_difference(&sent, &back) {
            return Err(Failed::Changed {
                client,
                message,
                byte,
            });
        }
        exchanged.messages += 1;
        exchanged.bytes += size as u64;
    }
    Ok(exchanged)
}

/// Bytes that differ from those of other messages and clients, and from their neighbours.
fn message_of(client: usize, message: usize, size: usize) -> Vec<u8> {
    let mut state = (client as u64) << 32 | message as u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..size).map(|_| next()).collect()
}

fn first_difference(sent: &[u8], back: &[u8]) -> Option<usize> {
    sent.iter().zip(back).position(|(sent, back)| sent != back)
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failed::Io(client, error) => write!(f, "client {client}: {error}"),
            Failed::Changed {
                client,
                message,
                byte,
            } => write!(
                f,
                "client {client}: byte {byte} of message {message} came back as another"
            ),
        }
    }
}

impl std::error::Error for Failed {}
