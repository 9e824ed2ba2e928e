//! Are metrics of requests as exact where the runtime counts them itself as where a provider does that
//! the application gave?

#[path = "support/server.rs"]
mod support;

use axum::Router;
use axum::body::Body;
use axum::routing::{get as on_get, post};
use http::{Request, StatusCode};
use support::{get, read};
use telemetry_rt::otel::{HistogramPoint, InMemory, Metric, MetricData, Number, Otel, metrics};
use telemetry_rt::runtime::{Builder, Runtime};
use telemetry_rt_http::ServerLayer;
use tower::ServiceExt;

fn runtime(workers: usize, otel: Otel) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .otel(otel)
        .build()
        .unwrap()
}

fn router() -> Router {
    Router::new()
        .route("/items/{id}", on_get(|| async { "an item" }))
        .route("/fail", on_get(|| async { StatusCode::BAD_GATEWAY }))
        .route("/upload", post(|body: String| async move { body }))
        .route("/metrics", telemetry_rt_http::metrics())
        .layer(ServerLayer::new())
}

async fn ask(router: &Router, request: Request<Body>) -> String {
    let body = read(router.clone().oneshot(request).await.unwrap()).await;
    String::from_utf8(body.to_vec()).unwrap()
}

fn of_requests(runtime: &Runtime) -> Vec<Metric> {
    let mut all = metrics(runtime.handle()).collect();
    all.retain(|metric| metric.name.starts_with("http.server."));
    all
}

fn text(attributes: &[opentelemetry::KeyValue]) -> String {
    let each = attributes.iter();
    let each: Vec<_> = each
        .map(|pair| format!("{}={}", pair.key, pair.value))
        .collect();
    each.join(",")
}

fn points<'m>(metrics: &'m [Metric], name: &str) -> &'m [HistogramPoint] {
    let metric = metrics.iter().find(|metric| metric.name == name).unwrap();
    match &metric.data {
        MetricData::Histogram { points, .. } => points,
        other => panic!("{other:?}"),
    }
}

/// `attributes count`, in order.
fn counts(metrics: &[Metric], name: &str) -> Vec<String> {
    let points = points(metrics, name).iter();
    let rows = points.map(|point| format!("{} {}", text(&point.attributes), point.count));
    let mut rows: Vec<_> = rows.collect();
    rows.sort();
    rows
}

fn active(metrics: &[Metric]) -> Vec<String> {
    let name = "http.server.active_requests";
    let metric = metrics.iter().find(|metric| metric.name == name).unwrap();
    let MetricData::Sum { points, .. } = &metric.data else {
        panic!("{metric:?}");
    };
    let row = |number: Number| match number {
        Number::Int(number) => number,
        Number::Float(other) => panic!("{other}"),
    };
    let rows = points.iter();
    let rows = rows.map(|point| format!("{} {}", text(&point.attributes), row(point.value)));
    let mut rows: Vec<_> = rows.collect();
    rows.sort();
    rows
}

#[test]
fn each_request_is_one_of_its_series_in_the_metrics_of_the_runtime() {
    let runtime = runtime(2, Otel::disabled());
    let router = router();
    runtime.block_on(async {
        for uri in ["/items/1", "/items/2", "/fail", "/nowhere", "/nowhere/else"] {
            ask(&router, get(uri)).await;
        }
        let upload = Request::post("/upload").body(Body::from("12345")).unwrap();
        ask(&router, upload).await;
    });
    let metrics = of_requests(&runtime);
    let end = "network.protocol.version=1.1,url.scheme=http";
    let row = |head: &str, route: &str| format!("{head}{route},{end}");
    let get = "http.request.method=GET,http.response.status_code";
    let fail = "error.type=502,http.request.method=GET,http.response.status_code=502";
    let post = "http.request.method=POST,http.response.status_code=200";
    let mut expected = [
        row(&format!("{get}=200"), ",http.route=/items/{id}") + " 2",
        row(&format!("{get}=404"), "") + " 2",
        row(fail, ",http.route=/fail") + " 1",
        row(post, ",http.route=/upload") + " 1",
    ];
    expected.sort();
    assert_eq!(counts(&metrics, "http.server.request.duration"), expected);
    let upload = row(post, ",http.route=/upload") + " 1";
    assert_eq!(
        counts(&metrics, "http.server.request.body.size"),
        std::slice::from_ref(&upload)
    );
    let sent = points(&metrics, "http.server.response.body.size");
    let sent = sent
        .iter()
        .find(|point| text(&point.attributes) + " 1" == upload);
    assert_eq!(sent.map(|point| point.sum), Some(5.0));
    let none = |method| format!("http.request.method={method},url.scheme=http 0");
    assert_eq!(active(&metrics), [none("GET"), none("POST")]);
}

#[test]
fn requests_of_many_tasks_are_all_counted() {
    let runtime = runtime(4, Otel::disabled());
    let router = router();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let router = router.clone();
                telemetry_rt::spawn(async move {
                    for number in 0..50 {
                        ask(&router, get(&format!("/items/{number}"))).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    let metrics = of_requests(&runtime);
    let durations = points(&metrics, "http.server.request.duration");
    assert_eq!((durations.len(), durations[0].count), (1, 400));
    let sent = points(&metrics, "http.server.response.body.size");
    assert_eq!((sent[0].count, sent[0].sum), (400, 400.0 * 7.0));
    assert_eq!(
        active(&metrics),
        ["http.request.method=GET,url.scheme=http 0"]
    );
}

#[test]
fn layers_of_one_runtime_count_in_the_same_series_and_runtimes_each_for_themselves() {
    let runtimes = [1, 1].map(|workers| runtime(workers, Otel::disabled()));
    let (one, other) = (router(), router());
    for router in [&one, &other, &one] {
        runtimes[0].block_on(ask(router, get("/items/1")));
    }
    runtimes[1].block_on(ask(&one, get("/items/1")));
    let count = |runtime| points(&of_requests(runtime), "http.server.request.duration")[0].count;
    assert_eq!([&runtimes[0], &runtimes[1]].map(count), [3, 1]);
}

#[test]
fn the_exemplar_of_a_duration_is_the_span_of_its_request() {
    let memory = InMemory::new();
    let runtime = runtime(1, Otel::builder().exporter(memory.clone()).build());
    let router = router();
    runtime.block_on(ask(&router, get("/items/1")));
    let metrics = of_requests(&runtime);
    let durations = points(&metrics, "http.server.request.duration");
    let exemplar = durations[0].exemplars[0];
    drop(runtime);
    let spans = memory.spans();
    let request = spans
        .iter()
        .find(|span| span.name == "GET /items/{id}")
        .unwrap();
    assert_eq!(exemplar.span_id, request.span_context.span_id());
    assert_eq!(exemplar.trace_id, request.span_context.trace_id());
}

#[test]
fn the_page_of_metrics_shows_requests_and_the_one_that_asks() {
    let runtime = runtime(1, Otel::disabled());
    let router = router();
    let page = runtime.block_on(async {
        ask(&router, get("/items/1")).await;
        ask(&router, get("/metrics")).await
    });
    let line = |start: &str, end: &str| {
        let mut lines = page.lines();
        let found = lines.any(|line| line.starts_with(start) && line.ends_with(end));
        assert!(found, "{start} .. {end}\n{page}");
    };
    line("http_server_request_duration_seconds_count{", " 1");
    line("http_server_response_body_size_bytes_sum{", " 7.0");
    line(
        "http_server_active_requests{http_request_method=\"GET\"",
        " 1",
    );
    assert!(page.contains("http_route=\"/items/{id}\""), "{page}");
}
