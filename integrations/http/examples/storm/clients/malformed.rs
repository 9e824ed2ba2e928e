//! Those who speak something else: what the fuzzer begins with, as it is or spoilt.

use std::io;
use std::sync::Arc;

use telemetry_rt::io::AsyncWriteExt;
use telemetry_rt::net::TcpStream;
use telemetry_rt::time::{Duration, timeout};

use super::dice::Dice;
use super::talk::{read_to_the_end, send};
use super::world::{Kind, World};

/// A corpus holds also what is right; the server goes on waiting for more then.
const PATIENCE: Duration = Duration::from_millis(500);

pub async fn speak(world: Arc<World>, mut stream: TcpStream, mut dice: Dice) -> io::Result<()> {
    let mut bytes = world.corpus[dice.below(world.corpus.len())].clone();
    if !bytes.is_empty() {
        for _ in 0..dice.below(4) {
            let at = dice.below(bytes.len());
            bytes[at] = dice.below(256) as u8;
        }
    }
    send(&mut stream, &bytes).await?;
    world.row(Kind::Malformed).sent();
    if timeout(PATIENCE, read_to_the_end(&mut stream))
        .await
        .is_ok()
    {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    stream.shutdown().await
}
