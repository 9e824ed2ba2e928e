//! What the figures depend on besides our code: compiler, C library, processor.

use std::env;
use std::process::Command;

/// Those that are in use here.
pub fn in_use() -> String {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let compiler = first_line(&rustc, &["--version"]);
    let library = first_line("getconf", &["GNU_LIBC_VERSION"]);
    format!("{compiler}, {library}, {}", env::consts::ARCH)
}

fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let said = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let said = said.unwrap_or_default();
    match said.lines().next() {
        Some(line) => line.trim().to_owned(),
        None => format!("unknown {program}"),
    }
}
