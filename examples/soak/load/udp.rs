//! Datagrams, which may get lost; those that come have to be those that were sent.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use telemetry_rt::net::UdpSocket;
use telemetry_rt::time::timeout;

use crate::dice::Dice;
use crate::world::World;

const PATIENCE: Duration = Duration::from_millis(200);

pub async fn exchange(world: Arc<World>, dice: Dice) {
    if exchange_some(&world, dice).await.is_err() {
        world.refused.count("udp socket");
    }
}

async fn exchange_some(world: &World, mut dice: Dice) -> io::Result<()> {
    let one = UdpSocket::bind("127.0.0.1:0").await?;
    let other = UdpSocket::bind("127.0.0.1:0").await?;
    one.connect(other.local_addr()?).await?;
    other.connect(one.local_addr()?).await?;
    for _ in 0..dice.among(1..=20) {
        let sent = vec![dice.throw() as u8; dice.among(1..=1_400) as usize];
        one.send(&sent).await?;
        let mut received = [0; 2_000];
        match timeout(PATIENCE, other.recv(&mut received)).await {
            Ok(length) => {
                if received[..length?] != sent {
                    world.breaks("a datagram was changed".to_owned());
                }
            }
            // It may come later, and would then be taken for another.
            Err(_elapsed) => return Ok(()),
        }
    }
    Ok(())
}
