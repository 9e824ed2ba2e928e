//! When is a request sent again, and after which pause?

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll};

use http::header::RETRY_AFTER;
use http::{Method, Request, Response, StatusCode};
use telemetry_rt::time::{Duration, Instant, sleep};
use tower::Service;

use super::body::Body;
use super::error::Error;
use super::layer::ResendCount;

/// Before the first retry; each further one waits twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// No pause is longer, whatever the server asks for: then its answer is given back.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What belongs to one call, with all its redirects and retries.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// How often something was sent for it.
    sent: Arc<AtomicU32>,
    pub(super) deadline: Option<Instant>,
    pub(super) retries: u32,
    pub(super) parent: opentelemetry::Context,
}

/// When the whole call has to be over. An extension of the requests that the transport gets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(pub(super) Instant);

impl Call {
    pub(super) fn new(deadline: Option<Instant>, retries: u32) -> Call {
        Call {
            sent: Arc::default(),
            deadline,
            retries,
            parent: opentelemetry::Context::current(),
        }
    }

    fn mark<B>(&self, request: &mut Request<B>) {
        // Relaxed: a number, counted by one task.
        let before = self.sent.fetch_add(1, Relaxed);
        if before > 0 {
            request.extensions_mut().insert(ResendCount(before));
        }
        if let Some(deadline) = self.deadline {
            request.extensions_mut().insert(Deadline(deadline));
        }
    }

    /// How long to wait before the request is sent again; `None` if it should not be.
    fn pause<R>(
        &self,
        is_idempotent: bool,
        retried: u32,
        outcome: &Result<Response<R>, Error>,
    ) -> Option<Duration> {
        let pause = match outcome {
            Ok(response) if is_idempotent && is_passing(response.status()) => {
                asked_for(response).unwrap_or_else(|| backoff(retried))
            }
            Err(error) if may_pass(error) => backoff(retried),
            _ => return None,
        };
        // The server may ask for any pause, also for one that no clock has room for.
        if pause > LONGEST_PAUSE {
            return None;
        }
        let is_in_time = self
            .deadline
            .is_none_or(|deadline| Instant::now() + pause < deadline);
        is_in_time.then_some(pause)
    }
}

/// Failures of connecting that another attempt may not see. A certificate that is refused stays so.
fn may_pass(error: &Error) -> bool {
    error.is_connect() && !error.is_tls() && !error.is_request()
}

/// Answers that say: not now.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// RFC 9110, section 9.2.2.
fn is_idempotent(method: &Method) -> bool {
    method.is_safe() || matches!(*method, Method::PUT | Method::DELETE)
}

/// The pause that the server asked for. A date is not understood: the clocks of two machines differ.
fn asked_for<R>(response: &Response<R>) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// Half of it is left to chance, so that those who failed together do not come back together.
fn backoff(retried: u32) -> Duration {
    let longest = (FIRST_PAUSE * 2_u32.saturating_pow(retried.min(16))).min(LONGEST_PAUSE / 2);
    longest.mul_f64(0.5 + 0.5 * chance())
}

/// From 0 to 1. The keys of the standard library's maps are random enough for this.
fn chance() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

/// Sends requests, again where that helps.
#[derive(Clone)]
pub(super) struct Retrying<S> {
    pub(super) inner: S,
    pub(super) call: Call,
}

impl<S, R> Retrying<S>
where
    S: Service<Request<Body>, Response = Response<R>, Error = Error>,
{
    fn send(&mut self, mut request: Request<Body>) -> S::Future {
        self.call.mark(&mut request);
        // The parent of each attempt is what was current when the call was made.
        let _parent = self.call.parent.clone().attach();
        self.inner.call(request)
    }

    async fn attempts(mut self, mut request: Request<Body>) -> Result<Response<R>, Error> {
        let is_idempotent = is_idempotent(request.method());
        for retried in 0..self.call.retries {
            let Some(again) = copy(&request) else { break };
            let outcome = self.send(request).await;
            let Some(pause) = self.call.pause(is_idempotent, retried, &outcome) else {
                return outcome;
            };
            drop(outcome);
            sleep(pause).await;
            request = again;
        }
        self.send(request).await
    }
}

/// The same request once more, if its body can be sent twice.
fn copy(request: &Request<Body>) -> Option<Request<Body>> {
    let mut copy = Request::new(request.body().try_clone()?);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    Some(copy)
}

impl<S, R> Service<Request<Body>> for Retrying<S>
where
    S: Service<Request<Body>, Response = Response<R>, Error = Error, Future: Send>
        + Clone
        + Send
        + 'static,
    R: Send + 'static,
{
    type Response = Response<R>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().attempts(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use tower::{ServiceExt, service_fn};

    /// The times, in milliseconds, at which a service was called that says these things in turn, and
    /// what came of it. The clock stands still but for the pauses.
    async fn called(
        retries: u32,
        limit: Option<Duration>,
        answers: &[(u16, Option<&'static str>)],
    ) -> (Vec<u128>, u16) {
        let start = Instant::now();
        let times = Arc::new(Mutex::new(Vec::new()));
        let (answers, called) = (answers.to_vec(), Arc::clone(&times));
        let inner = service_fn(move |_: Request<Body>| {
            let mut times = called.lock();
            let (status, after) = answers[times.len()];
            times.push(start.elapsed().as_millis());
            let mut response = Response::new(());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            if let Some(after) = after {
                response
                    .headers_mut()
                    .insert(RETRY_AFTER, after.parse().unwrap());
            }
            std::future::ready(Ok::<_, Error>(response))
        });
        let call = Call::new(limit.map(|limit| start + limit), retries);
        let response = Retrying { inner, call }
            .oneshot(Request::new(Body::empty()))
            .await
            .unwrap();
        let times = times.lock().clone();
        (times, response.status().as_u16())
    }

    #[telemetry_rt::test(start_paused = true)]
    async fn the_pause_is_what_the_server_asks_for() {
        let answers = [(503, Some("7")), (429, Some(" 2 ")), (200, None)];
        assert_eq!(called(5, None, &answers).await, (vec![0, 7000, 9000], 200));
    }

    #[telemetry_rt::test(start_paused = true)]
    async fn without_a_wish_that_is_understood_the_pause_grows() {
        let answers = [
            (503, None),
            (503, Some("Fri, 31 Dec 1999 23:59:59 GMT")),
            (503, Some("-1")),
            (503, None),
        ];
        let (times, status) = called(3, None, &answers).await;
        assert_eq!((times.len(), status), (4, 503));
        for (pair, longest) in times.windows(2).zip([100, 200, 400]) {
            let pause = pair[1] - pair[0];
            assert!((longest / 2..=longest + 1).contains(&pause), "{times:?}");
        }
    }

    #[telemetry_rt::test(start_paused = true)]
    async fn a_pause_that_is_too_long_is_not_made() {
        let answers = [(503, Some("61")), (200, None)];
        assert_eq!(called(1, None, &answers).await, (vec![0], 503));
        let answers = [(503, Some("60")), (200, None)];
        assert_eq!(called(1, None, &answers).await, (vec![0, 60000], 200));
        let limit = Some(Duration::from_secs(60));
        assert_eq!(called(1, limit, &answers).await, (vec![0], 503));
        let answers = [(503, Some("18446744073709551615")), (200, None)];
        assert_eq!(called(1, limit, &answers).await, (vec![0], 503));
        let answers = [(503, Some("99999999999999999999")), (200, None)];
        assert_eq!(called(1, None, &answers).await.1, 200);
    }

    #[test]
    fn pauses_grow_and_are_left_to_chance() {
        for retried in 0..4 {
            let longest = FIRST_PAUSE * 2_u32.pow(retried);
            let pauses: Vec<_> = (0..100).map(|_| backoff(retried)).collect();
            assert!(
                pauses
                    .iter()
                    .all(|&pause| pause >= longest / 2 && pause <= longest)
            );
            assert!(pauses.iter().any(|&pause| pause != pauses[0]));
        }
        assert!(backoff(u32::MAX) <= LONGEST_PAUSE);
    }

    #[test]
    fn what_changes_something_each_time_is_not_sent_twice() {
        for method in [
            Method::GET,
            Method::HEAD,
            Method::PUT,
            Method::DELETE,
            Method::OPTIONS,
        ] {
            assert!(is_idempotent(&method), "{method}");
        }
        for method in [Method::POST, Method::PATCH, Method::CONNECT] {
            assert!(!is_idempotent(&method), "{method}");
        }
    }
}
