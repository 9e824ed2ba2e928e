//! `/metrics` of an axum router: over a socket, and by calls of the router itself.
#![cfg(feature = "axum")]

use axum::Router;
use axum::body::Body;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use opentelemetry::trace::{TraceContextExt, Tracer};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use telemetry_rt::otel::{self, InMemory, Otel};
use telemetry_rt::runtime::{Builder, Runtime};
use tower::ServiceExt;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0";

fn runtime(otel: Otel) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .otel(otel)
        .build()
        .unwrap()
}

async fn ask(method: Method, accept: Option<&str>) -> Response<Body> {
    let app: Router = Router::new().route("/metrics", telemetry_rt_http::metrics());
    let mut request = Request::builder().method(method).uri("/metrics");
    if let Some(accept) = accept {
        request = request.header("accept", accept);
    }
    app.oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap()
}

async fn text(response: Response<Body>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

fn header(response: &Response<Body>, name: &str) -> String {
    response.headers()[name].to_str().unwrap().to_owned()
}

#[test]
fn a_runtime_that_exports_nothing_answers_with_its_metrics_and_those_of_users() {
    runtime(Otel::disabled()).block_on(async {
        let meter = otel::meter(InstrumentationScope::builder("shop").build());
        let orders = meter.u64_counter("orders").build();
        orders.add(3, &[KeyValue::new("kind", "book")]);
        let response = ask(Method::GET, None).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert!(header(&response, "content-type").starts_with("text/plain; version=0.0.4"));
        assert_eq!(header(&response, "vary"), "accept");
        let page = text(response).await;
        assert!(
            page.contains("orders_total{kind=\"book\",otel_scope_name=\"shop\"} 3\n"),
            "{page}"
        );
        assert!(page.contains("executor_workers{"), "{page}");
    });
}

#[test]
fn open_metrics_has_exemplars_of_the_spans_that_values_were_recorded_in() {
    let otel = Otel::builder().exporter(InMemory::new()).build();
    runtime(otel).block_on(async {
        let scope = InstrumentationScope::builder("shop").build();
        let wait = otel::meter(scope.clone()).f64_histogram("wait").build();
        let mut ids = String::new();
        otel::tracer(scope).in_span("order", |context: Context| {
            wait.record(0.25, &[]);
            let span = context.span().span_context().clone();
            assert!(span.is_sampled());
            let (trace, span) = (span.trace_id(), span.span_id());
            ids = format!("{{trace_id=\"{trace}\",span_id=\"{span}\"}} 0.25");
        });
        let response = ask(Method::GET, Some(OPEN_METRICS)).await;
        assert!(header(&response, "content-type").starts_with("application/openmetrics-text"));
        let page = text(response).await;
        assert!(page.contains(&ids), "{ids}\n{page}");
        assert!(page.ends_with("# EOF\n"));
    });
}

#[test]
fn only_what_reads_is_answered() {
    runtime(Otel::disabled()).block_on(async {
        let head = ask(Method::HEAD, None).await;
        assert_eq!(head.status(), StatusCode::OK);
        assert!(text(head).await.is_empty());
        let post = ask(Method::POST, None).await;
        assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(header(&post, "allow"), "GET,HEAD");
    });
}

#[test]
fn a_slow_callback_does_not_keep_the_worker() {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .otel(Otel::disabled())
        .build()
        .unwrap();
    runtime.block_on(async {
        let (go, wait) = std::sync::mpsc::sync_channel::<()>(0);
        let wait = std::sync::Mutex::new(wait);
        let meter = otel::meter(InstrumentationScope::builder("shop").build());
        let _slow = meter
            .u64_observable_gauge("slow")
            .with_callback(move |gauge| {
                wait.lock().unwrap().recv().unwrap();
                gauge.observe(1, &[]);
            })
            .build();
        let asking = telemetry_rt::spawn(ask(Method::GET, None));
        // This thread is the only one that runs tasks. It gets here again and again until the
        // callback, on another thread, takes what it waits for.
        while go.try_send(()).is_err() {
            telemetry_rt::task::yield_now().await;
        }
        let page = text(asking.await.unwrap()).await;
        assert!(page.contains("slow{otel_scope_name=\"shop\"} 1"), "{page}");
    });
}

#[test]
fn without_a_runtime_there_is_nothing_to_show() {
    let answer = futures_util::FutureExt::now_or_never(ask(Method::GET, None));
    assert_eq!(answer.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
}
