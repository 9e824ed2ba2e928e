//! hyper by itself around the same service, on tokio or on telemetry_rt: what the runtimes are to it,
//! without anybody's server. The second argument says which; what telemetry_rt records of tasks is
//! exported if variables say so, and of requests it knows nothing.

use std::env;

use axum::Router;
use http_contenders::{announce, asked_to_stop, hello, workers};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};

fn main() {
    match env::args().nth(2).as_deref() {
        Some("tokio") => on_tokio(),
        Some("telemetry_rt") => on_telemetry_rt(),
        other => panic!("the second argument is tokio or telemetry_rt, not {other:?}"),
    }
}

fn on_tokio() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_all()
        .build()
        .expect("tokio starts");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        announce(listener.local_addr().expect("its address"));
        let accepting = async {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                tokio::spawn(talk(stream, hello()));
            }
        };
        tokio::select! { () = asked_to_stop() => {}, () = accepting => {} }
    });
}

fn on_telemetry_rt() {
    let runtime = telemetry_rt::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_all()
        .build()
        .expect("telemetry_rt starts");
    runtime.block_on(async {
        let listener = telemetry_rt::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        announce(listener.local_addr().expect("its address"));
        let accepting = async {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                telemetry_rt::spawn(talk(stream, hello()));
            }
        };
        telemetry_rt::select! { () = asked_to_stop() => {}, () = accepting => {} }
    });
}

async fn talk<S>(stream: S, router: Router)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
}
