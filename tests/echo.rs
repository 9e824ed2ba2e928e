//! Does the echo example bring back every byte?

mod example;

use example::{Ran, example, run};

fn echo(clients: u64, messages: u64, size: u64) -> Ran {
    let [clients, messages, size] = [clients, messages, size].map(|number| number.to_string());
    let mut command = example("echo");
    command.args([
        "--clients",
        &clients,
        "--messages",
        &messages,
        "--size",
        &size,
    ]);
    run(&mut command)
}

#[test]
fn every_byte_comes_back() {
    for (clients, messages, size) in [(1, 1, 1), (20, 50, 700), (300, 3, 10)] {
        let ran = echo(clients, messages, size);
        assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
        assert_eq!(ran.number(" messages in"), clients * messages);
        assert_eq!(ran.number(" bytes came back"), clients * messages * size);
        assert!(ran.stdout.contains(&format!(
            "the server echoed {} on {clients} connections",
            clients * messages * size
        )));
        // The root, the server, and the two ends of each connection.
        assert_eq!(ran.number(" spans exported"), 2 * clients + 2);
        assert_eq!(ran.process_count(), 2 * clients + 2);
    }
}

#[test]
fn a_message_larger_than_all_buffers_passes() {
    let ran = echo(2, 2, 20_000_000);
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(ran.number(" bytes came back"), 80_000_000);
}

#[test]
fn each_connection_is_a_trace_of_its_own() {
    let ran = echo(3, 1, 1);
    let tree: Vec<&str> = ran
        .stdout
        .lines()
        .take_while(|line| !line.is_empty())
        .collect();
    let starting = |name: &str| tree.iter().filter(|line| line.starts_with(name)).count();
    assert_eq!(
        (starting("echo_back "), starting("echo ")),
        (3, 1),
        "{}",
        ran.stdout
    );
    assert_eq!(
        (starting("  talk "), starting("  accept_connections ")),
        (3, 1)
    );
}

#[test]
fn a_wrong_command_line_is_answered_by_one_line() {
    for args in [["--clients", "0"], ["--size", "many"], ["--unknown", "1"]] {
        let ran = run(example("echo").args(args));
        assert_eq!((ran.status, ran.stdout.as_str()), (Some(2), ""));
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        assert!(ran.stderr.starts_with("echo: "), "{}", ran.stderr);
    }
}
