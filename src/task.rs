//! Tasks: spawning, joining, aborting, and what belongs to a task.
//!
//! | to do | use |
//! |---|---|
//! | run a future | [`spawn`] |
//! | run a function that blocks | [`spawn_blocking`], or [`block_in_place`] |
//! | run a future that is not `Send` | [`LocalSet`], [`spawn_local`] |
//! | name a task, or give it a trace of its own | [`Builder`] |
//! | wait for several tasks | [`JoinSet`] |
//! | give others a turn | [`yield_now`], [`coop`] |

pub use telemetry_rt_executor::coop;
pub use telemetry_rt_executor::coop::{Unconstrained, consume_budget, unconstrained};
pub use telemetry_rt_executor::{
    AbortHandle, AccessError, Builder, Id, JoinError, JoinHandle, JoinSet, LocalEnterGuard,
    LocalKey, LocalSet, SetBuilder, block_in_place, id, spawn, spawn_blocking, spawn_local, try_id,
    yield_now,
};

/// Futures that have a name.
pub mod futures {
    pub use telemetry_rt_executor::TaskLocalFuture;
}

/// As tokio has them: under the name of what they go with.
pub mod join_set {
    pub use telemetry_rt_executor::{JoinSet, SetBuilder as Builder};
}
