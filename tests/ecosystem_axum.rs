//! Does an axum application run on our runtime, with what applications are made of?
//!
//! `axum::serve` spawns on tokio and takes tokio's listener, so it is not for us. What it does is
//! done here by [`serve`], in ten lines: a `Router` is a tower service, and hyper serves those.

#![cfg(feature = "tokio-io")]

#[path = "ecosystem/bounded.rs"]
mod bounded;
#[path = "ecosystem/http.rs"]
mod http;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bounded::on_each_runtime;
use bytes::Bytes;
use http::{Spawner, Timers};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use telemetry_rt::net::{TcpListener, TcpStream};
use telemetry_rt::task::{JoinSet, spawn_blocking};
use telemetry_rt::time::{Duration, sleep, timeout};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;

// ----- the application -----

#[derive(Clone, Default)]
struct Shop {
    orders: Arc<AtomicU64>,
}

#[derive(Serialize, Deserialize)]
struct Order {
    item: String,
    count: u32,
}

#[derive(Deserialize)]
struct Range {
    upto: u64,
}

async fn order(State(shop): State<Shop>, Json(order): Json<Order>) -> (StatusCode, Json<Value>) {
    let number = shop.orders.fetch_add(1, Ordering::SeqCst) + 1;
    let placed = json!({ "number": number, "item": order.item, "count": order.count });
    (StatusCode::CREATED, Json(placed))
}

async fn product(Path((left, right)): Path<(u64, u64)>) -> String {
    (left * right).to_string()
}

/// Sums on a task and on a thread that may block, and waits for both.
async fn sum(Query(Range { upto }): Query<Range>) -> Result<String, StatusCode> {
    let on_a_task = telemetry_rt::spawn(async move {
        sleep(Duration::from_millis(1)).await;
        (1..=upto).sum::<u64>()
    });
    let on_a_thread = spawn_blocking(move || (1..=upto).sum::<u64>());
    match telemetry_rt::try_join!(on_a_task, on_a_thread) {
        Ok((task, thread)) if task == thread => Ok(task.to_string()),
        _ => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

async fn never() -> &'static str {
    std::future::pending().await
}

async fn panics() -> &'static str {
    panic!("a handler that panics")
}

/// Middleware over our timers; those of tower and tower-http need tokio's.
async fn limit_time(request: axum::extract::Request, next: Next) -> Response {
    match timeout(Duration::from_millis(50), next.run(request)).await {
        Ok(response) => response,
        Err(_) => StatusCode::GATEWAY_TIMEOUT.into_response(),
    }
}

fn application() -> Router {
    let slow = Router::new()
        .route("/never", get(never))
        .layer(from_fn(limit_time));
    Router::new()
        .route("/orders", post(order))
        .route("/product/{left}/{right}", get(product))
        .route("/sum", get(sum))
        .route("/panics", get(panics))
        .merge(slow)
        .layer(CatchPanicLayer::new())
        .layer(SetResponseHeaderLayer::overriding(
            header::SERVER,
            HeaderValue::from_static("shop"),
        ))
        .with_state(Shop::default())
}

/// In place of `axum::serve`.
async fn serve(listener: TcpListener, application: Router) {
    while let Ok((stream, _)) = listener.accept().await {
        let service = TowerToHyperService::new(application.clone());
        telemetry_rt::spawn(async move {
            auto::Builder::new(Spawner)
                .http1()
                .timer(Timers)
                .serve_connection(TokioIo::new(stream), service)
                .await
        });
    }
}

// ----- the client -----

async fn ask(address: SocketAddr, request: Request<Full<Bytes>>) -> (StatusCode, String) {
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    telemetry_rt::spawn(connection);
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.headers()[header::SERVER], "shop");
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn get_from(address: SocketAddr, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(Full::default()).unwrap();
    ask(address, request).await
}

async fn post_json(address: SocketAddr, path: &str, body: &str) -> (StatusCode, String) {
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .unwrap();
    ask(address, request).await
}

/// Serves the application on each runtime and hands its address to `client`.
#[track_caller]
fn with_the_shop<F: Future<Output = ()>>(client: impl Fn(SocketAddr) -> F + Send + Sync + 'static) {
    on_each_runtime(move |runtime| {
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            telemetry_rt::spawn(serve(listener, application()));
            client(address).await;
        });
    });
}

// ----- the tests -----

#[test]
fn state_and_json_go_through_the_extractors() {
    with_the_shop(|address| async move {
        for number in 1..=3 {
            let (status, body) =
                post_json(address, "/orders", r#"{"item": "tea", "count": 2}"#).await;
            assert_eq!(status, StatusCode::CREATED);
            let expected = json!({ "number": number, "item": "tea", "count": 2 });
            assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);
        }
    });
}

#[test]
fn what_does_not_fit_is_refused_by_axum_itself() {
    with_the_shop(|address| async move {
        let status = async |path| get_from(address, path).await.0;
        assert_eq!(status("/nowhere").await, StatusCode::NOT_FOUND);
        assert_eq!(status("/orders").await, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(status("/product/six/7").await, StatusCode::BAD_REQUEST);
        let (status, _) = post_json(address, "/orders", "{").await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
    });
}

#[test]
fn path_parameters_reach_the_handler() {
    with_the_shop(|address| async move {
        let answer = get_from(address, "/product/6/7").await;
        assert_eq!(answer, (StatusCode::OK, "42".to_owned()));
    });
}

#[test]
fn handlers_spawn_tasks_and_blocking_functions() {
    with_the_shop(|address| async move {
        let mut clients = JoinSet::new();
        for upto in 0..50_u64 {
            clients.spawn(async move {
                let answer = get_from(address, &format!("/sum?upto={upto}")).await;
                let sum = upto * (upto + 1) / 2;
                assert_eq!(answer, (StatusCode::OK, sum.to_string()));
            });
        }
        clients.join_all().await;
    });
}

#[test]
fn middleware_times_out_and_catches_panics_and_the_server_lives_on() {
    with_the_shop(|address| async move {
        let status = async |path| get_from(address, path).await.0;
        assert_eq!(status("/never").await, StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(status("/panics").await, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(status("/product/1/1").await, StatusCode::OK);
    });
}
