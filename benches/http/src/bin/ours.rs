//! axum on telemetry_rt, by the server of `telemetry_rt-http`: a span and the metrics of the
//! conventions for each request. What of that is exported is said by variables.

use http_contenders::{announce, asked_to_stop, hello, workers};
use telemetry_rt::net::TcpListener;
use telemetry_rt::runtime::Builder;
use telemetry_rt_http::serve;

fn main() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_all()
        .build()
        .expect("telemetry_rt starts");
    runtime.block_on(run());
}

async fn run() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    announce(listener.local_addr().expect("its address"));
    serve(listener, hello())
        .with_graceful_shutdown(asked_to_stop())
        .await
        .expect("it serves");
}
