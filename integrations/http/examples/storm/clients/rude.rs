//! Those who go in the middle of something: of a head, of a body, of the time that an answer takes, of
//! the answer. They close, or they reset the connection.

use std::io;
use std::sync::Arc;

use telemetry_rt::io::{AsyncReadExt, AsyncWriteExt};
use telemetry_rt::net::TcpStream;
use telemetry_rt::time::sleep;

use super::dice::Dice;
use super::talk::{ECHO, HELLO, LARGE, WAIT, answer, read_to_the_end, send};
use super::world::{Kind, World};

pub async fn go(
    world: Arc<World>,
    kind: Kind,
    mut stream: TcpStream,
    mut dice: Dice,
) -> io::Result<()> {
    let request = [HELLO, ECHO, LARGE, WAIT][dice.below(4)];
    // Half of them say all that they have to say.
    let end = match dice.below(2) {
        0 => dice.below(request.len()),
        _ => request.len(),
    };
    if dice.below(4) == 0 {
        send(&mut stream, HELLO).await?;
        world.row(kind).sent();
        answer(&mut stream).await?;
        world.row(kind).answered();
    }
    send(&mut stream, &request[..end]).await?;
    world.row(kind).sent();
    if dice.below(2) == 0 {
        let mut part = [0; 64];
        telemetry_rt::select! {
            read = stream.read(&mut part) => drop(read?),
            () = sleep(dice.millis(0, 50)) => {}
        }
    }
    if kind == Kind::Reset {
        stream.set_zero_linger()?;
    }
    Ok(())
}

/// Says that it will not say more, and then wants its answer. By default hyper takes whoever says that
/// for gone, so that there is an answer only for those who are quicker than that.
pub async fn half_close(world: Arc<World>, mut stream: TcpStream) -> io::Result<()> {
    let row = world.row(Kind::HalfClosed);
    send(&mut stream, HELLO).await?;
    row.sent();
    stream.shutdown().await?;
    answer(&mut stream).await?;
    row.answered();
    read_to_the_end(&mut stream).await
}
