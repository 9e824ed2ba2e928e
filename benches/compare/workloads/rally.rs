//! Two tasks with nothing between them but a number and their wakers. Shared with
//! `benches/instructions`, which counts what this one times.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Poll;

use futures_util::task::AtomicWaker;

/// A ball, and the two who wait for it.
#[derive(Default)]
pub struct Table {
    /// How often it was hit; who is next is the lowest bit.
    pub hits: AtomicUsize,
    players: [AtomicWaker; 2],
}

/// Waits for its turn and hits the ball, until there were so many hits.
pub async fn play(table: Arc<Table>, player: usize, hits: usize) {
    loop {
        let seen = poll_fn(|cx| {
            table.players[player].register(cx.waker());
            let seen = table.hits.load(SeqCst);
            match seen >= hits || seen % 2 == player {
                true => Poll::Ready(seen),
                false => Poll::Pending,
            }
        })
        .await;
        if seen < hits {
            table.hits.store(seen + 1, SeqCst);
        }
        table.players[1 - player].wake();
        if seen >= hits {
            return;
        }
    }
}
