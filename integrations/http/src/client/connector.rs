//! Makes the connections of the pool: a name looked up, a socket, and TLS over it if the URL says so.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::{Connected, Connection as Connecting};
use hyper_util::rt::TokioIo;
use telemetry_rt::io::{AsyncRead, AsyncWrite, ReadBuf};
use telemetry_rt::net::TcpStream;
use telemetry_rt::time::{Duration, timeout};
use tower::Service;

use super::dial;
use super::error::{Error, Kind};
use super::open::{OpenConnection, OpenConnections, Opening};
use super::tls::Tls;
use crate::connection::Connection;

/// What is needed to connect.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) tls: Tls,
    /// For the name, the socket and TLS together.
    pub(super) timeout: Duration,
    /// Whether HTTP/2 is spoken also where nobody has agreed on it.
    pub(super) h2_only: bool,
    pub(super) open: OpenConnections,
}

impl Connector {
    async fn connect_in_time(self, uri: Uri, opening: Opening) -> Result<TokioIo<Link>, Error> {
        let limit = self.timeout;
        match timeout(limit, self.connect(uri, opening)).await {
            Ok(connected) => connected,
            Err(elapsed) => Err(timed_out(limit).because(elapsed)),
        }
        .map_err(Error::while_connecting)
    }

    async fn connect(self, uri: Uri, opening: Opening) -> Result<TokioIo<Link>, Error> {
        let host = address(&uri);
        let addresses = dial::look_up(host, port(&uri))
            .await
            .map_err(unknown_host)?;
        let stream = dial::connect(addresses).await.map_err(unreachable)?;
        let about = Connection::new(stream.peer_addr().ok(), stream.local_addr().ok());
        let socket = match uri.scheme() == Some(&Scheme::HTTPS) {
            true => self.tls.connect(host, stream).await?,
            false => Socket::Plain(stream),
        };
        let is_h2 = self.h2_only || socket.speaks_h2();
        let open = opening.opened(&uri, is_h2);
        Ok(TokioIo::new(Link {
            socket,
            about,
            open,
        }))
    }
}

/// The host that a connection for `uri` goes to, without the brackets of an IPv6 address.
pub(super) fn address(uri: &Uri) -> &str {
    let host = uri.host().unwrap_or_default();
    host.trim_start_matches('[').trim_end_matches(']')
}

/// The port that a connection for `uri` goes to.
pub(super) fn port(uri: &Uri) -> u16 {
    let default = match uri.scheme() == Some(&Scheme::HTTPS) {
        true => 443,
        false => 80,
    };
    uri.port_u16().unwrap_or(default)
}

fn timed_out(limit: Duration) -> Error {
    Error::new(Kind::Timeout, format!("no connection within {limit:?}"))
}

fn unknown_host(error: io::Error) -> Error {
    Error::new(
        Kind::UnknownHost,
        format!("the host cannot be looked up: {error}"),
    )
    .because(error)
}

fn unreachable(error: io::Error) -> Error {
    Error::new(
        Kind::Io(error.kind()),
        format!("the connection failed: {error}"),
    )
    .because(error)
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Link>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let opening = self.open.begin();
        Box::pin(self.clone().connect_in_time(uri, opening))
    }
}

/// A connection of the pool.
pub(super) struct Link {
    socket: Socket,
    about: Connection,
    /// Counts the connection for as long as it is open.
    open: OpenConnection,
}

impl Connecting for Link {
    fn connected(&self) -> Connected {
        let connected = Connected::new()
            .extra(self.about.clone())
            .extra(self.open.use_of());
        match self.socket.speaks_h2() {
            true => connected.negotiated_h2(),
            false => connected,
        }
    }
}

/// Bytes, encrypted or not.
pub(super) enum Socket {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Encrypted(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

/// What a socket is asked for by those who read and write.
trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

impl Socket {
    fn as_stream(&mut self) -> &mut dyn Stream {
        match self {
            Socket::Plain(stream) => stream,
            #[cfg(feature = "tls")]
            Socket::Encrypted(stream) => stream.as_mut(),
        }
    }

    pub(super) fn speaks_h2(&self) -> bool {
        match self {
            Socket::Plain(_) => false,
            #[cfg(feature = "tls")]
            Socket::Encrypted(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }
}

impl Link {
    fn stream(self: Pin<&mut Self>) -> Pin<&mut dyn Stream> {
        Pin::new(self.get_mut().socket.as_stream())
    }
}

impl AsyncRead for Link {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.socket {
            Socket::Plain(stream) => stream.is_write_vectored(),
            #[cfg(feature = "tls")]
            Socket::Encrypted(stream) => stream.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use opentelemetry::context::FutureExt;
    use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
    use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
    use telemetry_rt::net::TcpListener;

    use crate::client::layer::ClientLayer;

    #[cfg(feature = "tls")]
    fn tls() -> Tls {
        let roots = crate::client::tls::Roots::default();
        roots.build(false).unwrap()
    }

    #[cfg(not(feature = "tls"))]
    fn tls() -> Tls {
        Tls
    }

    fn is_counted(metrics: &InMemoryMetricExporter) -> bool {
        let all = metrics.get_finished_metrics().unwrap();
        let scopes = all.iter().flat_map(|resource| resource.scope_metrics());
        scopes
            .flat_map(|scope| scope.metrics())
            .any(|metric| match metric.data() {
                AggregatedMetrics::I64(MetricData::Sum(sum)) => {
                    metric.name() == "http.client.open_connections"
                        && sum.data_points().any(|point| point.value() == 1)
                }
                _ => false,
            })
    }

    #[telemetry_rt::test]
    async fn a_connection_counts_for_the_request_that_wanted_it_whoever_ends_making_it() {
        let quiet = || opentelemetry::Context::new().with_telemetry_suppressed();
        for (is_wanted_quietly, expected) in [(false, true), (true, false)] {
            let metrics = InMemoryMetricExporter::default();
            let meters = SdkMeterProvider::builder()
                .with_reader(PeriodicReader::builder(metrics.clone()).build())
                .build();
            let layer = ClientLayer::builder()
                .meter_provider(meters.clone())
                .build();
            let mut connector = Connector {
                tls: tls(),
                timeout: Duration::from_secs(10),
                h2_only: false,
                open: OpenConnections(layer.settings()),
            };
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let connecting = {
                let _quiet = is_wanted_quietly.then(|| quiet().attach());
                connector.call(url.parse().unwrap())
            };
            let connected = connecting.with_context(quiet()).await.unwrap();
            meters.force_flush().unwrap();
            assert_eq!(is_counted(&metrics), expected);
            drop(connected);
        }
    }
}
