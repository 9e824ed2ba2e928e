//! The layer that is to come.

/// Changes nothing.
#[derive(Clone, Debug, Default)]
pub struct ServerLayer;

impl ServerLayer {
    /// Changes nothing.
    pub fn new() -> ServerLayer {
        ServerLayer
    }
}

impl<S> tower::Layer<S> for ServerLayer {
    type Service = S;

    fn layer(&self, service: S) -> S {
        service
    }
}
