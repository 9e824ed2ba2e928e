//! Requests that go out.
