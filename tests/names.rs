//! What real futures and functions are called, whatever the compiler makes of their types.
//!
//! The same as a table of strings stands beside the code that cuts; here the compiler prints the
//! names, so that a release that prints them differently is noticed.
#![cfg(feature = "telemetry")]

mod observed;

use std::future::{Future, poll_fn, ready};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use observed::{Observed, Seen, text};
use telemetry_rt::otel::NameList;
use telemetry_rt::runtime::Builder;
use telemetry_rt::task::{self, LocalSet};
use telemetry_rt::time::timeout;

/// Functions, as an application has them.
mod shop {
    use super::{Context, Future, Pin, Poll};

    pub struct Order;
    pub struct Many<T>(pub T);

    pub async fn fetch() {}
    pub async fn load<T: Send>(_of: T) {}
    pub async fn split<const AT: char>() {}
    pub async fn chunks<const SIZE: usize>(_: [u8; SIZE]) {}
    pub async fn closure() {}
    pub async fn r#match() {}
    pub async fn größe() {}

    #[expect(clippy::manual_async_fn, reason = "this is about the block")]
    pub fn block() -> impl Future<Output = ()> {
        async {}
    }

    pub fn block_in_a_closure() -> impl Future<Output = ()> {
        let make = || async {};
        make()
    }

    pub fn closure_in_a_closure() -> impl FnOnce() {
        let make = || || ();
        make()
    }

    pub fn within_a_function() -> impl Future<Output = ()> {
        async fn inner() {}
        inner()
    }

    impl Order {
        pub async fn ship(self) {}
        pub async fn send_to<T: Send>(self, _to: T) {}
    }

    impl<T: Send> Many<T> {
        pub async fn sum<U: Send>(self, _start: U) {}
    }

    pub trait Store: Sized {
        fn save(self) -> impl Future<Output = ()> + Send;
        fn remove(self) -> impl Future<Output = ()> + Send {
            async {}
        }
    }

    impl Store for Order {
        async fn save(self) {}
    }

    impl<T: Send> Store for Many<T> {
        async fn save(self) {}
    }

    impl Store for fn(u8) -> u8 {
        async fn save(self) {}
    }

    pub trait Job: Future<Output = ()> {}

    /// Written by hand.
    pub struct ByHand<T>(pub T);

    impl<T> Future for ByHand<T> {
        type Output = ();

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            Poll::Ready(())
        }
    }

    impl<T> Job for ByHand<T> {}
}

/// An implementation far away from its type.
mod elsewhere {
    impl super::shop::Order {
        pub async fn pack(self) {}
    }
}

use shop::{Many, Order, Store};

/// The name and the path of the one process, beside the root, that was spawned.
fn only_process(seen: &Seen) -> (String, String) {
    let mut spans = seen.spans.iter();
    let span = spans.find(|span| text(span, "task.type") != "future");
    let span = span.expect("a process was spawned");
    (span.name.to_string(), text(span, "code.function.name"))
}

#[track_caller]
fn assert_named(future: impl Future<Output: Send> + Send + 'static, name: &str, path: &str) {
    let seen = Observed::one_thread().run(async {
        task::spawn(future).await.unwrap();
    });
    assert_eq!(only_process(&seen), (name.to_owned(), path.to_owned()));
}

#[track_caller]
fn assert_blocking_named(function: impl FnOnce() + Send + 'static, name: &str, path: &str) {
    let seen = Observed::one_thread().run(async {
        task::spawn_blocking(function).await.unwrap();
    });
    assert_eq!(only_process(&seen), (name.to_owned(), path.to_owned()));
}

#[test]
fn futures_of_functions_and_blocks_are_named_after_the_function() {
    assert_named(shop::fetch(), "fetch", "names::shop::fetch");
    assert_named(shop::closure(), "closure", "names::shop::closure");
    assert_named(shop::r#match(), "match", "names::shop::match");
    assert_named(shop::größe(), "größe", "names::shop::größe");
    assert_named(shop::block(), "block", "names::shop::block");
    assert_named(
        shop::block_in_a_closure(),
        "block_in_a_closure",
        "names::shop::block_in_a_closure",
    );
    assert_named(
        shop::within_a_function(),
        "inner",
        "names::shop::within_a_function::inner",
    );
    assert_named(
        async {},
        "futures_of_functions_and_blocks_are_named_after_the_function",
        "names::futures_of_functions_and_blocks_are_named_after_the_function",
    );
}

#[test]
fn methods_are_named_without_their_types() {
    assert_named(Order.ship(), "ship", "names::shop::Order::ship");
    assert_named(
        Order.send_to("you"),
        "send_to",
        "names::shop::Order::send_to<&str>",
    );
    assert_named(
        Many(1_u8).sum(vec![1_u8]),
        "sum",
        "names::shop::Many<u8>::sum<alloc::vec::Vec<u8>>",
    );
    assert_named(
        Order.pack(),
        "pack",
        "names::elsewhere::<impl names::shop::Order>::pack",
    );
    assert_named(
        Order.save(),
        "save",
        "<names::shop::Order as names::shop::Store>::save",
    );
    assert_named(
        Order.remove(),
        "remove",
        "<names::shop::Order as names::shop::Store>::remove",
    );
    assert_named(
        Many(Some("x")).save(),
        "save",
        "<names::shop::Many<core::option::Option<&str>> as names::shop::Store>::save",
    );
    assert_named(
        (u8::reverse_bits as fn(u8) -> u8).save(),
        "save",
        "<fn(u8) -> u8 as names::shop::Store>::save",
    );
}

#[test]
fn type_arguments_of_any_shape_are_cut() {
    assert_named(
        shop::load(Some(vec![1_u8])),
        "load",
        "names::shop::load<core::option::Option<alloc::vec::Vec<u8>>>",
    );
    assert_named(
        shop::load::<fn(u8) -> u8>(u8::reverse_bits),
        "load",
        "names::shop::load<fn(u8) -> u8>",
    );
    assert_named(
        shop::load((1_u8, ["x"; 3])),
        "load",
        "names::shop::load<(u8, [&str; 3])>",
    );
    assert_named(
        shop::load::<Box<dyn Fn(u8) -> u8 + Send>>(Box::new(|byte| byte)),
        "load",
        "names::shop::load<alloc::boxed::Box<dyn core::ops::function::Fn(u8) -> u8 + \
         core::marker::Send>>",
    );
    assert_named(
        shop::load(shop::fetch()),
        "load",
        "names::shop::load<names::shop::fetch::{{closure}}>",
    );
    assert_named(
        shop::load(|| ()),
        "load",
        "names::shop::load<names::type_arguments_of_any_shape_are_cut::{{closure}}>",
    );
    assert_named(shop::split::<'>'>(), "split", "names::shop::split<'>'>");
    assert_named(shop::chunks([0; 3]), "chunks", "names::shop::chunks<3>");
}

#[test]
fn types_that_are_futures_go_by_their_own_name() {
    assert_named(ready(1), "Ready", "core::future::ready::Ready<i32>");
    assert_named(shop::ByHand(1_u8), "ByHand", "names::shop::ByHand<u8>");
    let seen = Observed::one_thread().run(async {
        task::spawn(shop::fetch().map(|()| 1)).await.unwrap();
    });
    assert_eq!(only_process(&seen).0, "Map");
}

telemetry_rt::task_local! {
    static TENANT: u8;
}

tokio::task_local! {
    static FOREIGN: u8;
}

#[test]
fn wrappers_show_what_they_wrap() {
    use std::panic::AssertUnwindSafe;

    #[track_caller]
    fn is_fetch(future: impl Future<Output: Send> + Send + 'static) {
        assert_named(future, "fetch", "names::shop::fetch");
    }
    is_fetch(Box::pin(shop::fetch()));
    is_fetch(AssertUnwindSafe(shop::fetch()).catch_unwind());
    is_fetch(task::unconstrained(shop::fetch()));
    is_fetch(TENANT.scope(7, shop::fetch()));
    is_fetch(opentelemetry::context::FutureExt::with_current_context(
        shop::fetch(),
    ));
    is_fetch(futures_util::future::abortable(shop::fetch()).0);
    is_fetch(shop::fetch().fuse());
    is_fetch(tokio::task::unconstrained(shop::fetch()));
    is_fetch(FOREIGN.scope(7, shop::fetch()));
    is_fetch(task::unconstrained(Box::pin(
        TENANT.scope(7, shop::fetch()),
    )));
    is_fetch(
        tokio_util::future::FutureExt::with_cancellation_token_owned(
            shop::fetch(),
            tokio_util::sync::CancellationToken::new(),
        ),
    );
    let seen = Observed::one_thread().run(async {
        let limited = timeout(Duration::from_secs(5), shop::fetch());
        task::spawn(limited).await.unwrap().unwrap();
    });
    assert_eq!(only_process(&seen).0, "fetch");
}

#[test]
fn a_closure_that_is_a_future_is_named_after_the_function_around_it() {
    let name = "a_closure_that_is_a_future_is_named_after_the_function_around_it";
    let path = format!("names::{name}");
    assert_named(poll_fn(|_| Poll::Ready(())), name, &path);
    assert_named(
        futures_util::future::poll_fn(|_| Poll::Ready(())),
        name,
        &path,
    );
}

#[test]
fn boxed_futures_are_called_after_their_trait() {
    let path = "dyn core::future::future::Future<Output = ()> + core::marker::Send";
    assert_named(shop::fetch().boxed(), "dyn Future", path);
    let boxed: Pin<Box<dyn Future<Output = u8> + Send + Sync>> = Box::pin(ready(1));
    assert_named(
        boxed,
        "dyn Future",
        "dyn core::future::future::Future<Output = u8> + core::marker::Send + core::marker::Sync",
    );
    let job: Pin<Box<dyn shop::Job + Send>> = Box::pin(shop::ByHand(1_u8));
    assert_named(job, "Job", "dyn names::shop::Job + core::marker::Send");

    let seen = Observed::one_thread().run(LocalSet::new().run_until(async {
        let boxed: LocalBoxFuture<'static, ()> = shop::fetch().boxed_local();
        task::spawn_local(boxed).await.unwrap();
    }));
    assert_eq!(only_process(&seen).0, "dyn Future");
}

#[test]
fn a_boxed_future_that_is_awaited_in_a_block_does_not_hide_the_function_around_it() {
    assert_named(
        async { shop::fetch().boxed().await },
        "a_boxed_future_that_is_awaited_in_a_block_does_not_hide_the_function_around_it",
        "names::a_boxed_future_that_is_awaited_in_a_block_does_not_hide_the_function_around_it",
    );
}

#[test]
fn functions_on_the_blocking_pool_are_named_like_futures() {
    fn count_words() {}
    let name = "functions_on_the_blocking_pool_are_named_like_futures";
    let path = format!("names::{name}");
    assert_blocking_named(|| (), name, &path);
    assert_blocking_named(count_words, "count_words", &format!("{path}::count_words"));
    assert_blocking_named(
        shop::closure_in_a_closure(),
        "closure_in_a_closure",
        "names::shop::closure_in_a_closure",
    );
    assert_blocking_named(count_words as fn(), "fn", "fn()");
    let boxed: Box<dyn FnOnce() + Send> = Box::new(count_words);
    assert_blocking_named(
        boxed,
        "dyn FnOnce",
        "dyn core::ops::function::FnOnce() + core::marker::Send",
    );
}

#[test]
fn the_root_future_is_named_however_it_is_handed_over() {
    let observed = Observed::one_thread();
    observed.runtime.block_on(shop::fetch());
    observed.runtime.block_on(pin!(shop::fetch()));
    observed.runtime.block_on(&mut Box::pin(shop::fetch()));
    observed.runtime.handle().block_on(shop::fetch());
    LocalSet::new().block_on(&observed.runtime, shop::fetch());
    let seen = observed.end();
    let names: Vec<_> = seen.spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["fetch"; 5]);
}

#[test]
fn a_given_name_wins_and_the_path_still_tells_the_function() {
    let seen = Observed::one_thread().run(async {
        let named = task::Builder::new().name("nightly sync");
        named.spawn(shop::fetch().boxed()).await.unwrap();
        let named = task::Builder::new().name("best seller");
        named.spawn(shop::fetch()).await.unwrap();
    });
    let path = |name: &str| text(seen.named(name), "code.function.name");
    assert!(path("nightly sync").starts_with("dyn "));
    assert_eq!(path("best seller"), "names::shop::fetch");
}

#[test]
fn lists_of_names_see_through_wrappers() {
    for (list, expected) in [
        ("fetch", &["fetch"; 2][..]),
        ("names::shop::*", &["fetch"; 2]),
        ("dyn Future", &["dyn Future"]),
        ("Pin, Box", &[]),
    ] {
        let mut builder = Builder::new_current_thread();
        let observed = Observed::with(&mut builder, |otel| otel.task_names(NameList::parse(list)));
        let seen = observed.run(async {
            task::spawn(shop::fetch()).await.unwrap();
            task::spawn(Box::pin(shop::fetch())).await.unwrap();
            task::spawn(shop::fetch().boxed()).await.unwrap();
        });
        let names: Vec<_> = seen.spans.iter().map(|span| &*span.name).collect();
        assert_eq!(names, expected, "{list}");
    }
}
