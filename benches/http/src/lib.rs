//! What do all contenders have in common? The service, how they are told what to do, and how they
//! end.

use std::io::{Read, stdin};
use std::net::SocketAddr;
use std::thread;

use axum::Router;
use axum::routing::get;
use tokio::sync::oneshot;

/// What is asked for.
pub const PATH: &str = "/hello";

/// The service.
pub fn hello() -> Router {
    Router::new().route(PATH, get(async || "Hello, world!"))
}

/// The number of worker threads: the first argument.
pub fn workers() -> usize {
    std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .expect("the first argument is the number of worker threads")
}

/// Tells who started this where it listens.
pub fn announce(address: SocketAddr) {
    println!("{address}");
}

/// Ready when standard input has ended: who started this wants it to end, or has ended.
pub async fn asked_to_stop() {
    let (ended, end) = oneshot::channel();
    thread::spawn(move || {
        let _ = stdin().read_to_end(&mut Vec::new());
        let _ = ended.send(());
    });
    let _ = end.await;
}
