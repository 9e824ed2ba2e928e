//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::{Arg, Parser, ValueExt};

pub const HELP: &str = "\
Two services, a load, and the trace of a request through both.

    shop [--requests N] [--at-once N]

    --requests N   how many requests the load sends; 300 if not said
    --at-once N    how many of them at a time; 8 if not said

Those that it starts:

    shop orders FILE        the second service, which keeps orders in FILE
    shop frontend ADDRESS   the first, with the second at ADDRESS
    shop load ADDRESS       the load, on the service at ADDRESS";

pub struct Args {
    pub role: Role,
    pub requests: usize,
    pub at_once: usize,
}

/// Which of the processes this is.
pub enum Role {
    /// The one that was called.
    Shop,
    Frontend {
        orders: String,
    },
    Orders {
        file: PathBuf,
    },
    Load {
        frontend: String,
    },
}

/// `None` if help was asked for.
pub fn parse() -> Result<Option<Args>, lexopt::Error> {
    let mut parser = Parser::from_env();
    let mut words: Vec<OsString> = Vec::new();
    let (mut requests, mut at_once) = (300, 8);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Short('h') | Arg::Long("help") => return Ok(None),
            Arg::Long("requests") => requests = parser.value()?.parse()?,
            Arg::Long("at-once") => at_once = parser.value()?.parse()?,
            Arg::Value(word) => words.push(word),
            other => return Err(other.unexpected()),
        }
    }
    if requests == 0 || at_once == 0 {
        return Err("--requests and --at-once have to be above zero".into());
    }
    Ok(Some(Args {
        role: role(words)?,
        requests,
        at_once,
    }))
}

fn role(words: Vec<OsString>) -> Result<Role, lexopt::Error> {
    let mut words = words.into_iter();
    let Some(role) = words.next() else {
        return Ok(Role::Shop);
    };
    let role = role.string()?;
    let mut next = |what: &str| {
        words
            .next()
            .ok_or_else(|| format!("{role} needs {what}, see --help"))
    };
    Ok(match role.as_str() {
        "frontend" => Role::Frontend {
            orders: next("the address of the orders")?.string()?,
        },
        "orders" => Role::Orders {
            file: next("a file")?.into(),
        },
        "load" => Role::Load {
            frontend: next("the address of the frontend")?.string()?,
        },
        _ => return Err(format!("{role:?} is none of frontend, orders, load").into()),
    })
}
