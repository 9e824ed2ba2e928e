//! The service that customers talk to. It asks the other one.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use telemetry_rt::join;
use telemetry_rt::net::TcpListener;
use telemetry_rt_http::{Client, serve};

use crate::Failure;
use crate::children::asked_to_end;

#[derive(Clone)]
struct Orders {
    client: Client,
    address: String,
}

pub async fn run(orders: &str) -> Result<(), Failure> {
    let router = Router::new()
        .route("/checkout/{item}", post(check_out))
        .route("/broken", post(broken))
        .route("/slow", get(slow))
        .with_state(Orders {
            client: Client::new(),
            address: orders.to_owned(),
        });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    serve(listener, router)
        .with_graceful_shutdown(asked_to_end())
        .await?;
    Ok(())
}

impl Orders {
    /// Asks for something, and passes on what is said.
    async fn ask(&self, method: &str, path: &str) -> Result<String, StatusCode> {
        let url = format!("http://{}{path}", self.address);
        let request = match method {
            "POST" => self.client.post(url),
            _ => self.client.get(url),
        };
        let response = request.send().await.map_err(|_| StatusCode::BAD_GATEWAY)?;
        if !response.status().is_success() {
            return Err(StatusCode::BAD_GATEWAY);
        }
        response
            .into_body()
            .text()
            .await
            .map_err(|_| StatusCode::BAD_GATEWAY)
    }
}

/// Orders, and looks at once whether the order was kept.
async fn check_out(
    State(orders): State<Orders>,
    Path(item): Path<String>,
) -> Result<String, StatusCode> {
    let number = orders.ask("POST", &format!("/orders/{item}")).await?;
    let kept = orders.ask("GET", &format!("/orders/{number}")).await?;
    match kept == item {
        true => Ok(number),
        false => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

async fn broken(State(orders): State<Orders>) -> Result<String, StatusCode> {
    orders.ask("POST", "/broken").await
}

/// Two questions at once, of which one takes its time.
async fn slow(State(orders): State<Orders>) -> Result<String, StatusCode> {
    let (quick, slow) = join!(orders.ask("GET", "/orders/1"), orders.ask("GET", "/slow"));
    Ok(format!("{} {}", quick?, slow?))
}
