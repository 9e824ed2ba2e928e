//! Who comes to the server? Each kind of client is a loop of visits, and each visit one connection.
//!
//! | file | who |
//! |---|---|
//! | `polite.rs` | those who ask, read the answer, and ask again |
//! | `slow.rs` | those who take their time, in the hope that the server waits |
//! | `rude.rs` | those who go in the middle of something |
//! | `malformed.rs` | those who speak something else, by the corpus of the fuzzer |
//! | `h2.rs` | those of HTTP/2, frame by frame |
//!
//! `world.rs` is what they share, `talk.rs` how they speak.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use telemetry_rt::net::TcpStream;
use telemetry_rt::otel::Otel;
use telemetry_rt::runtime::Builder;
use telemetry_rt::task::JoinSet;
use telemetry_rt::time::{Duration, sleep, timeout};

use crate::args::Args;
use crate::crowd::{CALM, OVER, STORM};
use crate::{Failure, descriptors};
use world::{Kind, Weather, World};

mod dice;
mod h2;
mod malformed;
mod polite;
mod rude;
mod slow;
mod talk;
mod world;

use dice::Dice;

/// How long it may take until all connections are there.
const ARRIVAL: Duration = Duration::from_secs(20);
/// How long nobody says anything then, so that the server can be looked at.
const QUIET: Duration = Duration::from_millis(500);

/// A connection from its beginning to its end.
type Visit = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// What is not a connection: the runtime, standard streams, the corpus.
const OTHER_DESCRIPTORS: usize = 64;

/// So many connections that are kept fit, beside all others, into so many descriptors.
pub fn most_that_fit(descriptors: usize) -> usize {
    let room = descriptors.saturating_sub(OTHER_DESCRIPTORS + world::LEAST);
    (room * 4 / 5).max(1)
}

/// The process of the clients.
pub fn run(args: &Args, server: SocketAddr) -> Result<(), Failure> {
    descriptors::raise()?;
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .otel(Otel::disabled())
        .build()?;
    let world = Arc::new(World::new(server, args)?);
    runtime.block_on(come_and_go(&world));
    for row in world.rows() {
        println!("{}", row.line());
    }
    Ok(())
}

async fn come_and_go(world: &Arc<World>) {
    let mut clients = JoinSet::new();
    let mut dice = Dice::new(world.seed);
    for (kind, count) in world.census() {
        for _ in 0..count {
            clients.spawn(lead(Arc::clone(world), kind, dice.split()));
        }
    }
    // On a machine that is slower than that the storm begins without the last of them.
    let _ = timeout(ARRIVAL, world.all_have_come()).await;
    println!("{CALM}");
    sleep(QUIET).await;
    println!("{STORM}");
    world.turn(Weather::Storm);
    sleep(world.length).await;
    // On a machine that is slower than that the storm waits for the first of each kind.
    let _ = timeout(ARRIVAL, world.each_kind_has_come()).await;
    world.turn(Weather::Over);
    while clients.join_next().await.is_some() {}
    println!("{OVER}");
}

/// One client, who comes again until the storm is over; then the connection is dropped as it is.
async fn lead(world: Arc<World>, kind: Kind, mut dice: Dice) {
    if !kind.is_polite() {
        world.until(Weather::Storm).await;
    }
    let mut is_on = true;
    while is_on {
        let life = async {
            let visited = visit(&world, kind, dice.split()).await;
            if visited.is_err() {
                world.row(kind).closed();
            }
            sleep(dice.millis(50, 250)).await;
        };
        is_on = until_the_end(&world, life).await;
    }
}

/// Whether the storm was not over before.
async fn until_the_end(world: &World, life: impl Future<Output = ()>) -> bool {
    telemetry_rt::select! {
        biased;
        () = world.until(Weather::Over) => false,
        () = life => true,
    }
}

async fn visit(world: &Arc<World>, kind: Kind, dice: Dice) -> io::Result<()> {
    let stream = match TcpStream::connect(world.server).await {
        Ok(stream) => stream,
        Err(_) => {
            world.row(kind).refused();
            return Ok(());
        }
    };
    stream.set_nodelay(true)?;
    world.row(kind).connected();
    let world = Arc::clone(world);
    let visit: Visit = match kind {
        Kind::Polite | Kind::Seldom | Kind::Busy => {
            Box::pin(polite::ask(world, kind, stream, dice))
        }
        Kind::SlowHead => Box::pin(slow::head(stream)),
        Kind::SlowBody => Box::pin(slow::body(world, stream)),
        Kind::HalfBody => Box::pin(slow::half_body(world, stream)),
        Kind::Deaf => Box::pin(slow::deaf(world, stream)),
        Kind::Silent => Box::pin(slow::silent(stream)),
        Kind::Idle => Box::pin(slow::idle(world, stream)),
        Kind::Reset => Box::pin(rude::go(world, kind, stream, dice)),
        Kind::Leave => Box::pin(rude::go(world, kind, stream, dice)),
        Kind::HalfClosed => Box::pin(rude::half_close(world, stream)),
        Kind::Malformed => Box::pin(malformed::speak(world, stream, dice)),
        Kind::H2 => Box::pin(h2::ask(world, stream)),
        Kind::H2Reset => Box::pin(h2::reset(world, stream)),
        Kind::H2Mute => Box::pin(h2::mute(world, stream)),
    };
    visit.await
}
