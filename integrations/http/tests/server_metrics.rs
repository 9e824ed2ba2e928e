//! Are the metrics exact, and of few rows?

#[path = "support/server.rs"]
mod support;

use axum::Router;
use axum::body::Body;
use axum::routing::{get as on_get, post};
use http::{Method, Request, StatusCode};
use opentelemetry_sdk::trace::Sampler;
use support::{Seen, get, read};
use tower::ServiceExt;

fn router(seen: &Seen) -> Router {
    Router::new()
        .route("/items/{id}", on_get(|| async { "an item" }))
        .route(
            "/fail",
            on_get(|| async { StatusCode::INTERNAL_SERVER_ERROR }),
        )
        .route("/upload", post(|body: String| async move { body }))
        .layer(seen.layer())
}

fn ask(seen: &Seen, requests: impl IntoIterator<Item = Request<Body>>) {
    let router = router(seen);
    seen.runtime().block_on(async {
        for request in requests {
            read(router.clone().oneshot(request).await.unwrap()).await;
        }
    });
}

/// The rows without the sums, which are times.
fn counted(seen: &Seen) -> Vec<String> {
    let rows = seen.rows("http.server.request.duration");
    rows.iter()
        .map(|row| row.rsplit_once(' ').unwrap().0.to_owned())
        .collect()
}

#[test]
fn each_request_is_one_of_its_row() {
    let seen = Seen::new();
    let upload = Request::post("/upload").body(Body::from("12345")).unwrap();
    let requests = ["/items/1", "/items/2", "/fail", "/nowhere", "/nowhere/else"].map(get);
    ask(&seen, requests.into_iter().chain([upload]));
    let get = "http.request.method=GET,http.response.status_code";
    let end = "network.protocol.version=1.1,url.scheme=http";
    let mut expected = vec![
        format!("{get}=200,http.route=/items/{{id}},{end} 2"),
        format!("{get}=404,{end} 2"),
        format!("error.type=500,{get}=500,http.route=/fail,{end} 1"),
        format!(
            "http.request.method=POST,http.response.status_code=200,http.route=/upload,{end} 1"
        ),
    ];
    expected.sort();
    assert_eq!(counted(&seen), expected);
    let post = &expected[expected.len() - 1];
    assert!(
        seen.rows("http.server.request.body.size")
            .contains(&format!("{post} 5"))
    );
    assert!(
        seen.rows("http.server.response.body.size")
            .contains(&format!("{post} 5"))
    );
    assert_eq!(
        seen.rows("http.server.active_requests"),
        [
            "http.request.method=GET,url.scheme=http 0",
            "http.request.method=POST,url.scheme=http 0"
        ]
    );
}

#[test]
fn a_client_makes_no_rows_of_its_own() {
    let seen = Seen::new();
    let requests = (0..100).map(|number| {
        let mut request = get(&format!("/{number}?{number}"));
        *request.method_mut() = Method::from_bytes(format!("M{number}").as_bytes()).unwrap();
        request
            .headers_mut()
            .insert("host", format!("host{number}").parse().unwrap());
        request
    });
    ask(&seen, requests);
    assert_eq!(
        counted(&seen),
        [
            "http.request.method=_OTHER,http.response.status_code=404,network.protocol.version=1.1,url.scheme=http 100"
        ]
    );
}

#[test]
fn requests_that_are_not_sampled_count_as_others_do() {
    let seen = Seen::sampled(Sampler::AlwaysOff);
    ask(&seen, [get("/items/1"), get("/fail")]);
    assert_eq!(seen.spans().len(), 0);
    assert_eq!(seen.counts(), (2, 0));
}

#[test]
fn durations_are_in_seconds_with_the_boundaries_of_the_conventions() {
    use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
    let seen = Seen::new();
    ask(&seen, [get("/items/1")]);
    let found = seen.metric("http.server.request.duration", |metric| {
        let AggregatedMetrics::F64(MetricData::Histogram(histogram)) = metric.data() else {
            panic!("{metric:?}");
        };
        let bounds: Vec<f64> = histogram.data_points().next().unwrap().bounds().collect();
        (metric.unit().to_owned(), bounds)
    });
    let boundaries = [
        0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    ];
    assert_eq!(found, ("s".to_owned(), boundaries.to_vec()));
}
