//! The service behind the other: it keeps orders.

use std::path::Path as File;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use telemetry_rt::net::TcpListener;
use telemetry_rt::time::{Duration, sleep};
use telemetry_rt_http::serve;

use crate::Failure;
use crate::children::asked_to_end;
use crate::store::Store;

pub async fn run(file: &File) -> Result<(), Failure> {
    let router = Router::new()
        // What is posted is an item, what is asked for a number.
        .route("/orders/{order}", post(keep).get(find))
        .route("/broken", post(broken))
        .route("/slow", get(slow))
        .with_state(Store::open(file).await?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    serve(listener, router)
        .with_graceful_shutdown(asked_to_end())
        .await?;
    Ok(())
}

async fn keep(
    State(store): State<Store>,
    Path(item): Path<String>,
) -> Result<(StatusCode, String), StatusCode> {
    match store.append(item).await {
        Ok(number) => Ok((StatusCode::CREATED, number.to_string())),
        Err(_) => Err(StatusCode::INSUFFICIENT_STORAGE),
    }
}

async fn find(State(store): State<Store>, Path(number): Path<u64>) -> Result<String, StatusCode> {
    match store.find(number).await {
        Ok(Some(item)) => Ok(item),
        Ok(None) => Err(StatusCode::NOT_FOUND),
        Err(_) => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

async fn broken() -> StatusCode {
    // The error of a task is seen by itself: its span is failed, and so is that of the request.
    let audit = telemetry_rt::spawn(audit()).await;
    match audit {
        Ok(Ok(())) => StatusCode::OK,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

async fn audit() -> Result<(), &'static str> {
    Err("the books do not balance")
}

async fn slow() -> &'static str {
    sleep(Duration::from_millis(150)).await;
    "at last"
}
