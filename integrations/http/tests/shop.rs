//! Does the shop's trace go through both services, with the right parents?

#[path = "../../../tests/example/mod.rs"]
mod example;

use example::{Ran, example, run};

/// The tree below this line, without durations.
fn tree(ran: &Ran, sort: &str) -> Vec<String> {
    let lines = ran.stdout.lines().skip_while(|line| *line != sort).skip(1);
    let lines = lines.take_while(|line| !line.is_empty());
    lines.map(without_duration).collect()
}

/// A line is a name, a duration of two words, and perhaps what went wrong.
fn without_duration(line: &str) -> String {
    let units = [" ns", " µs", " ms", " s"];
    let end = units.iter().find_map(|unit| {
        let at = line.find(unit)?;
        let rest = &line[at + unit.len()..];
        let is_unit = rest.is_empty() || rest.starts_with(' ');
        let (name, _) = line[..at].rsplit_once(' ')?;
        is_unit.then(|| format!("{name}{rest}"))
    });
    end.unwrap_or_else(|| line.to_owned())
}

#[test]
fn each_request_is_one_trace_through_both_services() {
    let ran = run(example("shop").args(["--requests", "40", "--at-once", "4"]));
    assert_eq!(ran.status, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(
        ran.stdout.contains("all 40 traces went through"),
        "{}",
        ran.stdout
    );
    assert_eq!(
        tree(&ran, "an order:"),
        [
            "load: visit",
            "  load: client POST",
            "    frontend: server POST /checkout/{item}",
            "      frontend: client POST",
            "        orders: server POST /orders/{order}",
            "          orders: append",
            "      frontend: client GET",
            "        orders: server GET /orders/{order}",
            "          orders: find",
        ],
        "{}",
        ran.stdout
    );
    assert_eq!(
        tree(&ran, "one that fails:"),
        [
            "load: visit",
            "  load: client POST !",
            "    frontend: server POST /broken !",
            "      frontend: client POST !",
            "        orders: server POST /broken !",
            "          orders: audit ! returned Err(&str)",
        ],
        "{}",
        ran.stdout
    );
    let slow = tree(&ran, "one that is slow:");
    assert_eq!(
        slow[..3],
        [
            "load: visit",
            "  load: client GET",
            "    frontend: server GET /slow"
        ]
    );
    assert_eq!(slow.len(), 8, "{}", ran.stdout);
}

#[test]
fn a_wrong_command_line_is_an_error_that_names_it() {
    for (args, complaint) in [
        (&["--requests", "0"][..], "--requests"),
        (&["till"], "\"till\" is none of frontend, orders, load"),
        (&["orders"], "orders needs a file"),
    ] {
        let ran = run(example("shop").args(args));
        assert_eq!(ran.status, Some(2), "{}", ran.stderr);
        assert!(ran.stderr.contains(complaint), "{}", ran.stderr);
    }
}
