//! tokio with a `tracing` span around each task, which tracing-opentelemetry makes one of
//! OpenTelemetry.

use std::future::Future;
use std::sync::{LazyLock, Once};

use opentelemetry::trace::TracerProvider;
use tokio::runtime::{Builder, Runtime};
use tracing::{Instrument as _, info_span};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;

use super::on_tokio::{Instrument, build};
use super::sdk::Sdk;
use crate::runtime::Ledger;

/// One for the process, because the subscriber is, too.
static SDK: LazyLock<Sdk> = LazyLock::new(Sdk::new);

pub struct Traced;

impl Instrument for Traced {
    fn start(builder: Builder) -> (Runtime, Traced) {
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            let tracer = SDK.traces.tracer("compare");
            let layer = tracing_opentelemetry::layer().with_tracer(tracer);
            let set = tracing::subscriber::set_global_default(Registry::default().with(layer));
            set.expect("nobody else sets one");
        });
        SDK.begin();
        (build(builder), Traced)
    }

    #[inline]
    fn wrap<F>(future: F) -> impl Future<Output = F::Output> + Send + 'static
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        SDK.count_span();
        future.instrument(info_span!("task"))
    }

    fn settle(&self) {
        SDK.flush();
    }

    fn finish(self) -> Option<Ledger> {
        Some(SDK.ledger())
    }
}
