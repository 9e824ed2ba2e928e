//! The flight record as a file that a viewer opens: what each thread of a runtime did last.
//!
//! ```text
//!   FlightRecord ──axis──► nanoseconds ──timeline──► slices, marks ──perfetto──► JSON ──dumps──► files
//!                              └────────arrows──────────┘
//! ```
//!
//! [`to_perfetto`] writes the [Trace Event Format], which <https://ui.perfetto.dev> and the tools of
//! browsers open; [`Dumps`] keeps a bounded number of such files in a folder.
//!
//! [Trace Event Format]: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU

mod arrows;
mod axis;
mod dumps;
mod event;
mod perfetto;
mod timeline;

pub use dumps::{DumpError, Dumps};
pub use perfetto::{Program, to_perfetto};
