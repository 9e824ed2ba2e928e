//! Which of a host's addresses answers? They are tried in turn, each with a head start on the next.

use std::io;
use std::net::SocketAddr;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use telemetry_rt::net::{TcpStream, lookup_host};
use telemetry_rt::time::{Duration, timeout};

/// How long an address may take before the next is tried beside it: RFC 8305, section 5.
const HEAD_START: Duration = Duration::from_millis(250);

/// All addresses of `host`, which may be one itself, without brackets. The families alternate, so that one that leads
/// nowhere costs one head start; the resolver's choice is first.
pub(super) async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok(alternate(lookup_host((host, port)).await?.collect()))
}

fn alternate(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let preferred = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == preferred);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut all = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return all;
        }
        all.extend(pair.into_iter().flatten());
    }
}

/// The first connection that is made, or the first error if none is: that of the address which the
/// resolver preferred.
pub(super) async fn connect(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut trying = FuturesUnordered::new();
    let mut failed = None;
    loop {
        match waiting.next() {
            Some(address) => trying.push(TcpStream::connect(address)),
            None if trying.is_empty() => return Err(failed.unwrap_or_else(no_address)),
            None => {}
        }
        let is_last = waiting.len() == 0;
        match next(&mut trying, is_last).await {
            Some(Ok(stream)) => return prepared(stream),
            Some(Err(error)) => failed = failed.or(Some(error)),
            None => {}
        }
    }
}

/// What the first attempt to end comes to; `None` if it is time to try another one beside it.
async fn next<F: Future>(trying: &mut FuturesUnordered<F>, is_last: bool) -> Option<F::Output> {
    match is_last {
        true => trying.next().await,
        false => timeout(HEAD_START, trying.next()).await.ok().flatten(),
    }
}

fn prepared(stream: TcpStream) -> io::Result<TcpStream> {
    // Heads and small bodies are written whole: there is nothing that Nagle could gather.
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the name has no address")
}

#[cfg(test)]
mod tests {
    use super::*;

    use telemetry_rt::net::{TcpListener, TcpSocket};

    fn socket() -> TcpSocket {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        socket
    }

    #[telemetry_rt::test]
    async fn an_address_that_refuses_gives_way_to_the_next() {
        let refusing = socket();
        let refusing = refusing.local_addr().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = listener.local_addr().unwrap();
        let stream = connect(vec![refusing, refusing, there]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), there);
        let failed = connect(vec![refusing]).await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::ConnectionRefused);
        let failed = connect(Vec::new()).await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::NotFound);
    }

    #[telemetry_rt::test]
    async fn an_address_that_is_silent_is_not_waited_for() {
        // Nobody accepts, so that the queue is full at some time, and from then on there is silence.
        let silent = socket().listen(1).unwrap();
        let address = silent.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = timeout(HEAD_START, TcpStream::connect(address)).await {
            queued.push(stream.unwrap());
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = listener.local_addr().unwrap();
        let stream = connect(vec![address, there]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), there);
    }

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_alternate_and_the_resolvers_choice_is_first() {
        let resolved = addresses(&[
            "[::1]:80",
            "[::2]:80",
            "[::3]:80",
            "1.1.1.1:80",
            "2.2.2.2:80",
        ]);
        assert_eq!(
            alternate(resolved),
            addresses(&[
                "[::1]:80",
                "1.1.1.1:80",
                "[::2]:80",
                "2.2.2.2:80",
                "[::3]:80"
            ])
        );
        let resolved = addresses(&["1.1.1.1:80", "[::1]:80"]);
        assert_eq!(alternate(resolved.clone()), resolved);
        assert_eq!(alternate(Vec::new()), Vec::new());
    }
}
