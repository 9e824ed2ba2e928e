//! Ways out through providers that the application made, instead of through exporters of ours.
//!
//! | what the application has | way | file |
//! |---|---|---|
//! | an `SdkTracerProvider` that it builds itself | spans are replayed through it once they have ended | `replay_spans`, `ids` |
//! | any other `TracerProvider` | spans are begun and ended in it as processes are | `foreign` |
//! | a `MeterProvider` | what was counted since is recorded into it whenever it collects | `replay_metrics`, `spread`, `budget` |
//!
//! What was moved in leaves by `parting`.
//!
//! See `docs/adr/0011-providers-of-users.md` for why there are these three and no fourth.

mod budget;
mod foreign;
mod ids;
mod parting;
mod replay_metrics;
mod replay_spans;
mod spread;

pub(super) use foreign::{ForeignPolicy, ForeignProvider};
pub(super) use parting::part_from;
pub(super) use replay_metrics::{MeterFeed, SharedMeterProvider};
pub use replay_spans::{InstrumentedProvider, instrument, instrument_with_limits};
