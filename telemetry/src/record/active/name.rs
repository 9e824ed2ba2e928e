//! How a process gets its name.
//!
//! The compiler prints the type of a future as a path: `shop::orders::fetch::{{closure}}` is the
//! future of the function `shop::orders::fetch`, or an async block inside of it. Two cuts make a name
//! of that:
//!
//! * The *path* is what a person wrote: without `{{closure}}`, and without wrappers that only pass
//!   polls on ([`TRANSPARENT`]): `Pin<Box<shop::orders::fetch::{{closure}}>>` is
//!   `shop::orders::fetch`, too.
//! * The *short name* is its last segment without type arguments: `fetch`.
//!
//! What has no function to be named after: a type that implements `Future` goes by its own name, be
//! it written by hand or a combinator of a library (`Ready`, `Map`). Of a boxed trait object the
//! compiler knows nothing but the trait: `Pin<Box<dyn Future>>`, which `async_trait` and `boxed`
//! return, is `dyn Future`; any other trait stands for itself (`Job`); a pointer to a function is
//! `fn`. Where it is spawned tells the rest, and `task::Builder::name` helps.

mod list;

pub use list::NameList;

use crate::record::outcome::brackets::outside_brackets;

/// Types that are passed through to what they wrap, their last type argument: the crate and the last
/// segment of the path. Not the whole path, as modules move between releases.
const TRANSPARENT: &[(&str, &str)] = &[
    ("alloc", "Box"),
    ("core", "AssertUnwindSafe"),
    ("core", "Pin"),
    // A closure that is a future, named after the function around it.
    ("core", "PollFn"),
    ("futures_util", "Abortable"),
    ("futures_util", "CatchUnwind"),
    ("futures_util", "Fuse"),
    ("futures_util", "PollFn"),
    ("futures_util", "Remote"),
    ("futures_util", "Shared"),
    ("opentelemetry", "WithContext"),
    ("sync_wrapper", "SyncFuture"),
    ("sync_wrapper", "SyncWrapper"),
    ("telemetry_rt", "Timeout"),
    ("telemetry_rt_executor", "TaskLocalFuture"),
    ("telemetry_rt_executor", "Unconstrained"),
    // The future of `LocalSet::block_on`.
    ("telemetry_rt_executor", "run_until"),
    ("telemetry_rt_reactor", "Timeout"),
    ("tokio", "TaskLocalFuture"),
    ("tokio", "Unconstrained"),
    ("tokio_util", "WithCancellationTokenFuture"),
    ("tokio_util", "WithCancellationTokenFutureOwned"),
    ("tracing", "Instrumented"),
    ("tracing", "WithDispatch"),
];

/// The path without what the compiler added, and without wrappers: `shop::orders::fetch`.
pub(super) fn path_of(type_name: &str) -> &str {
    let mut path = without_closures(type_name);
    while let Some(inner) = wrapped(path) {
        path = without_closures(inner);
    }
    path
}

/// The last segment of a path, without its type arguments: `fetch`.
pub(super) fn short_name_of(path: &str) -> &str {
    if is_function_pointer(path) {
        return "fn";
    }
    let name = match path.strip_prefix("dyn ") {
        Some(bounds) => name_of_object(bounds),
        None => last_segment(path),
    };
    match name {
        "" => path,
        name => name,
    }
}

/// The first of the bounds is the trait, the others are `Send` and the like.
fn name_of_object(bounds: &str) -> &str {
    let end = bounds.find(['<', '(', ' ']).unwrap_or(bounds.len());
    match last_segment(&bounds[..end]) {
        "Future" => "dyn Future",
        "FnOnce" => "dyn FnOnce",
        other => other,
    }
}

fn without_closures(mut path: &str) -> &str {
    while let Some(outer) = path.strip_suffix("::{{closure}}") {
        path = outer;
    }
    path
}

/// What is wrapped, if `path` is a transparent wrapper, a reference, or in parentheses.
fn wrapped(path: &str) -> Option<&str> {
    if let Some(referred) = path.strip_prefix('&') {
        return Some(referred.strip_prefix("mut ").unwrap_or(referred));
    }
    if path.starts_with("(dyn ") {
        // Printed so when it has a lifetime.
        return path.strip_prefix('(')?.strip_suffix(')');
    }
    let (_, arguments) = path.strip_suffix('>')?.split_once('<')?;
    let (krate, _) = path.split_once("::")?;
    TRANSPARENT
        .contains(&(krate, last_segment(path)))
        .then(|| last_argument(arguments))
}

/// The last of the arguments that are separated by commas.
fn last_argument(arguments: &str) -> &str {
    let comma = outside_brackets(arguments).filter(|&(_, character)| character == ',');
    let start = comma.last().map_or(0, |(comma, _)| comma + 1);
    arguments[start..].trim_start()
}

/// `fn(u8) -> u8`, `extern "C" fn()`.
fn is_function_pointer(path: &str) -> bool {
    ["fn(", "extern ", "unsafe "]
        .iter()
        .any(|start| path.starts_with(start))
}

/// What stands behind the last `::`, without arguments. Empty if `path` is none.
fn last_segment(path: &str) -> &str {
    let colons = outside_brackets(path).filter(|&(_, character)| character == ':');
    let start = colons.last().map_or(0, |(colon, _)| colon + 1);
    let segment = &path[start..];
    let end = segment.find(['<', '(', '[']).unwrap_or(segment.len());
    &segment[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_cut(type_name: &str, path: &str, name: &str) {
        assert_eq!(path_of(type_name), path, "{type_name}");
        assert_eq!(short_name_of(path), name, "{type_name}");
    }

    #[test]
    fn names_are_cut_to_what_a_person_wrote() {
        for (path, name) in [
            ("shop::orders::fetch", "fetch"),
            ("shop::orders::größe", "größe"),
            ("app::closure", "closure"),
            ("app::load<app::User>", "load"),
            (
                "app::load<core::option::Option<alloc::vec::Vec<u8>>>",
                "load",
            ),
            ("app::load<app::fetch::{{closure}}>", "load"),
            ("app::load<fn(u8) -> u8>", "load"),
            ("app::load<&dyn core::fmt::Debug>", "load"),
            ("app::load<(u8, [app::User; 4])>", "load"),
            ("app::split<'>'>", "split"),
            ("app::count<-3>", "count"),
            ("app::Worker<u8>::run<&str>", "run"),
            ("app::Worker<_>::run::inner", "inner"),
            ("app::run::{{closure}}::inner", "inner"),
            ("app::b::<impl app::a::Worker<u8>>::run", "run"),
            ("<app::Db as app::Store<u8>>::get", "get"),
            ("<fn(u8) -> u8 as app::Store>::get<u8>", "get"),
            (
                "<dyn core::fmt::Debug + core::marker::Send as app::Store>::get",
                "get",
            ),
            ("app::Plain", "Plain"),
            ("core::future::ready::Ready<u8>", "Ready"),
            ("plain", "plain"),
        ] {
            assert_cut(path, path, name);
            assert_cut(&format!("{path}::{{{{closure}}}}"), path, name);
            assert_cut(
                &format!("{path}::{{{{closure}}}}::{{{{closure}}}}"),
                path,
                name,
            );
        }
    }

    #[test]
    fn wrappers_are_looked_through() {
        for wrapped in [
            "core::pin::Pin<alloc::boxed::Box<app::fetch<u8>::{{closure}}>>",
            "&mut core::pin::Pin<&mut app::fetch<u8>::{{closure}}>",
            "telemetry_rt_reactor::time::timeout::Timeout<app::fetch<u8>::{{closure}}>",
            "telemetry_rt_executor::task_local::TaskLocalFuture<(u8, u8), app::fetch<u8>>",
            "telemetry_rt_executor::local::set::LocalSet::run_until<app::fetch<u8>>::{{closure}}",
            "tracing::instrument::Instrumented<core::future::poll_fn::PollFn<app::fetch<u8>::{{closure}}>>",
            "tokio_util::future::WithCancellationTokenFuture<'_, app::fetch<u8>>",
        ] {
            assert_cut(wrapped, "app::fetch<u8>", "fetch");
        }
    }

    #[test]
    fn a_wrapper_is_known_by_its_crate_and_not_by_its_name_alone() {
        assert_cut("app::Box<app::fetch>", "app::Box<app::fetch>", "Box");
        assert_cut("alloc::rc::Rc<app::A>", "alloc::rc::Rc<app::A>", "Rc");
    }

    #[test]
    fn what_has_no_function_is_called_after_its_trait_or_its_shape() {
        for (path, name) in [
            (
                "dyn core::future::future::Future<Output = ()> + core::marker::Send",
                "dyn Future",
            ),
            (
                "dyn core::ops::function::FnOnce() -> app::Out + core::marker::Send",
                "dyn FnOnce",
            ),
            ("dyn app::jobs::Job<u8>", "Job"),
            ("fn(app::In) -> app::Out", "fn"),
            ("extern \"C\" fn(app::In) -> app::Out", "fn"),
            ("()", "()"),
            ("[app::A; 3]", "[app::A; 3]"),
            ("", ""),
        ] {
            assert_cut(path, path, name);
            assert_cut(&format!("alloc::boxed::Box<{path}>"), path, name);
        }
        assert_cut(
            "alloc::boxed::Box<(dyn app::Job + '_)>",
            "dyn app::Job + '_",
            "Job",
        );
    }

    #[test]
    fn the_last_argument_may_have_arguments() {
        for (arguments, last) in [
            ("a", "a"),
            ("(a, b), c<d, e>", "c<d, e>"),
            ("'_, a", "a"),
            ("fn(a, b) -> c", "fn(a, b) -> c"),
        ] {
            assert_eq!(last_argument(arguments), last);
        }
    }
}
