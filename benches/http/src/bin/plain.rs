//! axum on tokio, with nothing that watches it.

use http_contenders::{announce, asked_to_stop, hello, workers};
use tokio::net::TcpListener;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_all()
        .build()
        .expect("tokio starts");
    runtime.block_on(serve());
}

async fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    announce(listener.local_addr().expect("its address"));
    axum::serve(listener, hello())
        .with_graceful_shutdown(asked_to_stop())
        .await
        .expect("it serves");
}
