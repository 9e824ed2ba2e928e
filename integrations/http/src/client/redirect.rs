//! Which redirects are followed, and what goes along?
//!
//! tower-http's `FollowRedirect` follows them; here is its policy. Its own `FilterCredentials` looks
//! at one hop only, and the headers of each hop are those of the first request: credentials that a
//! first hop to another origin took away would be back for the second within that origin.

use http::Request;
use http::header::{AUTHORIZATION, COOKIE, HOST, HeaderName, PROXY_AUTHORIZATION};
use http::uri::Scheme;
use tower_http::follow_redirect::policy::{Action, Attempt, Policy, SameOrigin};

use super::body::Body;
use super::error::{Error, Kind};

/// What is meant for one origin only: credentials, and its name if the application gave one.
const OF_ORIGIN: [HeaderName; 4] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, HOST];

/// What may be followed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowed {
    /// How many in one call; none are followed if it is 0.
    pub(super) limit: usize,
    /// From `https` to `http`.
    pub(super) downgrade: bool,
}

/// The redirects of one call.
#[derive(Clone, Debug)]
pub(super) struct Redirects {
    allowed: Allowed,
    followed: usize,
    /// Credentials were meant for the first origin, and do not come back.
    has_left_origin: bool,
}

impl Redirects {
    pub(super) fn new(allowed: Allowed) -> Redirects {
        Redirects {
            allowed,
            followed: 0,
            has_left_origin: false,
        }
    }

    fn check(&self, attempt: &Attempt<'_>) -> Result<(), Error> {
        let to = attempt.location().scheme();
        let is_downgrade =
            attempt.previous().scheme() == Some(&Scheme::HTTPS) && to == Some(&Scheme::HTTP);
        let what = match () {
            () if self.followed >= self.allowed.limit => {
                format!("more than {} redirects", self.allowed.limit)
            }
            () if is_downgrade && !self.allowed.downgrade => {
                "a redirect from `https` to `http` is not allowed".to_owned()
            }
            () => return Ok(()),
        };
        Err(Error::new(Kind::Redirect, what).of(attempt.previous_method(), attempt.previous()))
    }
}

impl Policy<Body, Error> for Redirects {
    fn redirect(&mut self, attempt: &Attempt<'_>) -> Result<Action, Error> {
        if self.allowed.limit == 0 {
            return Ok(Action::Stop);
        }
        self.check(attempt)?;
        self.followed += 1;
        let same = Policy::<(), ()>::redirect(&mut SameOrigin::new(), attempt);
        self.has_left_origin |= !same.is_ok_and(|action| action.is_follow());
        Ok(Action::Follow)
    }

    fn on_request(&mut self, request: &mut Request<Body>) {
        if self.has_left_origin {
            for name in OF_ORIGIN {
                request.headers_mut().remove(name);
            }
        }
    }

    fn clone_body(&self, body: &Body) -> Option<Body> {
        body.try_clone()
    }
}
