//! Those who ask, read the answer, and ask again.

use std::io;
use std::sync::Arc;

use telemetry_rt::net::TcpStream;
use telemetry_rt::time::sleep;

use super::dice::Dice;
use super::talk::{ECHO, HELLO, answer, send};
use super::world::{Kind, Weather, World};

pub async fn ask(
    world: Arc<World>,
    kind: Kind,
    mut stream: TcpStream,
    mut dice: Dice,
) -> io::Result<()> {
    exchange(&world, kind, &mut stream, HELLO).await?;
    world.arrive();
    world.until(Weather::Storm).await;
    loop {
        match kind {
            Kind::Busy => {}
            Kind::Seldom => sleep(dice.millis(1000, 3000)).await,
            _ => sleep(dice.millis(0, 1000)).await,
        }
        let request = if dice.below(4) == 0 { ECHO } else { HELLO };
        exchange(&world, kind, &mut stream, request).await?;
    }
}

async fn exchange(
    world: &World,
    kind: Kind,
    stream: &mut TcpStream,
    request: &[u8],
) -> io::Result<()> {
    send(stream, request).await?;
    world.row(kind).sent();
    answer(stream).await?;
    world.row(kind).answered();
    Ok(())
}
