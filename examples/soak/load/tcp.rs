//! A server that echoes, and clients, some of which are killed, reset their connection or read late.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use telemetry_rt::io::{AsyncReadExt, AsyncWriteExt};
use telemetry_rt::net::{TcpListener, TcpStream};
use telemetry_rt::sync::oneshot;
use telemetry_rt::task::JoinSet;
use telemetry_rt::time::{sleep, timeout};
use telemetry_rt::{select, try_join};

use crate::dice::Dice;
use crate::ledger::Kind;
use crate::world::World;

/// How long the loop rests when it cannot accept.
const REST: Duration = Duration::from_millis(10);
/// What is not done by then is stuck.
const PATIENCE: Duration = Duration::from_secs(20);

pub async fn session(world: Arc<World>, mut dice: Dice) {
    let Ok((listener, address)) = listen().await else {
        world.refused.count("tcp listener");
        return;
    };
    let (stop, stopped) = oneshot::channel();
    let server = serve(Arc::clone(&world), listener, stopped);
    let server = world.spawn(Kind::Server, server);
    let mut clients = JoinSet::new();
    for _ in 0..dice.among(1..=10) {
        let client = client(Arc::clone(&world), address, dice.split());
        let client = world.spawn_into(&mut clients, Kind::Client, client);
        if dice.one_in(8) {
            world.faults.count("tcp: client killed");
            sleep(dice.micros(0..=500)).await;
            client.abort();
        }
    }
    while clients.join_next().await.is_some() {}
    drop(stop);
    if !matches!(timeout(PATIENCE, server).await, Ok(Ok(()))) {
        world.breaks("a server did not end".to_owned());
    }
    // The system keeps ports for a while.
    sleep(dice.millis(5..=30)).await;
}

async fn listen() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

async fn serve(world: Arc<World>, listener: TcpListener, mut stopped: oneshot::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    world.spawn_into(&mut connections, Kind::Connection, echo(stream));
                }
                Err(_) => {
                    world.refused.count("tcp accept");
                    sleep(REST).await;
                }
            },
            Some(_) = connections.join_next() => {}
            _ = &mut stopped => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 8 * 1024];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return stream.shutdown().await;
        }
        stream.write_all(&buffer[..read]).await?;
    }
}

async fn client(world: Arc<World>, server: SocketAddr, dice: Dice) {
    match timeout(PATIENCE, talk(&world, server, dice)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => note(&world, &error),
        Err(_elapsed) => world.breaks(format!("a client waits for {PATIENCE:?}")),
    }
}

/// A client may be refused a descriptor or a port; nothing else may happen to one that behaves.
fn note(world: &World, error: &io::Error) {
    let is_scarce = matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::EADDRNOTAVAIL)
    );
    match is_scarce {
        true => world.refused.count("tcp connect"),
        false => world.breaks(format!("a connection failed: {error}")),
    }
}

async fn talk(world: &World, server: SocketAddr, mut dice: Dice) -> io::Result<()> {
    let mut stream = TcpStream::connect(server).await?;
    let sent = vec![dice.throw() as u8; dice.among(1..=40_000) as usize];
    match dice.among(0..=9) {
        0 => {
            world.faults.count("tcp: reset");
            stream.set_zero_linger()?;
            stream.write_all(&sent).await
        }
        1 => {
            world.faults.count("tcp: closed unread");
            stream.write_all(&sent[..1]).await
        }
        2 => {
            world.faults.count("tcp: closed at once");
            Ok(())
        }
        way => exchange(world, stream, &sent, (way == 3).then_some(&mut dice)).await,
    }
}

/// Sends, closes the way there, and reads to the end of the way back; slowly, if there are dice.
async fn exchange(
    world: &World,
    mut stream: TcpStream,
    sent: &[u8],
    slowly: Option<&mut Dice>,
) -> io::Result<()> {
    let (mut reader, mut writer) = stream.split();
    let mut back = Vec::new();
    let sends = async {
        writer.write_all(sent).await?;
        writer.shutdown().await
    };
    let reads = async {
        if let Some(dice) = slowly {
            sleep(dice.millis(1..=30)).await;
        }
        reader.read_to_end(&mut back).await
    };
    try_join!(sends, reads)?;
    if back != sent {
        world.breaks(format!(
            "of {} bytes that were sent {} came back, or others",
            sent.len(),
            back.len()
        ));
    }
    Ok(())
}
