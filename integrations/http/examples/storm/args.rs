//! The command line.

use std::net::SocketAddr;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};

pub const HELP: &str = "\
A server among many clients, of which some mean it ill, and the laws that hold at the end.

    storm [--connections N] [--seconds S] [--storms N] [--seed N] [--miscount]

    --connections N   how many connections are kept alive by those who behave; 1000 if not said.
                      A quarter as many more come from those who do not
    --seconds S       how long each storm lasts; fractions are accepted; 5 if not said
    --storms N        how many of them there are; 2 if not said
    --seed N          what chance does; 1 if not said
    --miscount        counts one request that there is not, to show that it is noticed: the exit
                      status is 1

Exit status: 0 if every law holds; 1 if one does not; 2 if the command line is not understood.

The process of the clients:

    storm clients ADDRESS   those who come to the server at ADDRESS";

pub struct Args {
    pub role: Role,
    pub connections: usize,
    pub length: Duration,
    pub storms: usize,
    pub seed: u64,
    pub miscount: bool,
}

/// Which of the processes this is.
pub enum Role {
    /// The one that was called.
    Server,
    Clients {
        server: SocketAddr,
    },
}

/// `None` if help was asked for.
pub fn parse() -> Result<Option<Args>, lexopt::Error> {
    let mut parser = Parser::from_env();
    let mut args = Args {
        role: Role::Server,
        connections: 1000,
        length: Duration::from_secs(5),
        storms: 2,
        seed: 1,
        miscount: false,
    };
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Short('h') | Arg::Long("help") => return Ok(None),
            Arg::Long("connections") => args.connections = parser.value()?.parse()?,
            Arg::Long("seconds") => args.length = seconds(parser.value()?.parse()?)?,
            Arg::Long("storms") => args.storms = parser.value()?.parse()?,
            Arg::Long("seed") => args.seed = parser.value()?.parse()?,
            Arg::Long("miscount") => args.miscount = true,
            Arg::Value(word) if word == "clients" => {
                let server = parser.value()?.parse()?;
                args.role = Role::Clients { server };
            }
            other => return Err(other.unexpected()),
        }
    }
    if args.connections == 0 || args.storms == 0 {
        return Err("--connections and --storms have to be above zero".into());
    }
    Ok(Some(args))
}

fn seconds(seconds: f64) -> Result<Duration, lexopt::Error> {
    match Duration::try_from_secs_f64(seconds) {
        Ok(length) if !length.is_zero() => Ok(length),
        _ => Err(format!("--seconds is {seconds}: expected a number above zero").into()),
    }
}
