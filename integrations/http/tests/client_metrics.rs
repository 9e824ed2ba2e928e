//! Is each request counted once, however it ends?

#[path = "support/client.rs"]
mod support;

use std::time::Duration;

use support::{Kept, Server, answer, raw, read_head, redirect, refusing, run};
use telemetry_rt::io::AsyncWriteExt;
use telemetry_rt_http::Client;

/// The metrics of one name, with ports by names.
fn metric(kept: &Kept, name: &str, ports: &[(u16, &str)]) -> Vec<String> {
    let mut lines = kept.metric(name);
    for line in &mut lines {
        *line = line.strip_prefix(name).unwrap().to_owned();
        for (port, name) in ports {
            *line = line.replace(&port.to_string(), name);
        }
    }
    lines.sort();
    lines
}

async fn read(client: &Client, url: String) {
    let response = client.get(url).send().await.unwrap();
    response.into_body().bytes().await.unwrap();
}

#[test]
fn each_request_is_counted_once_however_it_ends() {
    run(|| async {
        let kept = Kept::new();
        let server = Server::start(|seen| match seen.uri.path() {
            "/missing" => answer(404, "no"),
            "/old" => redirect(302, "/"),
            _ => answer(200, "hello"),
        })
        .await;
        let cut = raw(|mut stream, _| async move {
            let head = read_head(&mut stream).await;
            if head.starts_with("GET /hang") {
                std::future::pending::<()>().await;
            }
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n01234";
            stream.write_all(head).await.unwrap();
        })
        .await;
        let (_socket, refusing) = refusing();
        let client = kept.client().build().unwrap();

        read(&client, server.url("/")).await;
        read(&client, server.url("/old")).await;
        read(&client, server.url("/missing")).await;
        drop(client.get(server.url("/")).send().await.unwrap());
        client
            .post(server.url("/"))
            .body("text")
            .send()
            .await
            .unwrap()
            .into_body()
            .bytes()
            .await
            .unwrap();
        client
            .get(format!("http://{refusing}/"))
            .send()
            .await
            .unwrap_err();
        let response = client.get(format!("http://{cut}/")).send().await.unwrap();
        response.into_body().bytes().await.unwrap_err();
        let hanging = client.get(format!("http://{cut}/hang")).send();
        let limit = Duration::from_millis(50);
        telemetry_rt::time::timeout(limit, hanging)
            .await
            .unwrap_err();

        let ports = [
            (server.address.port(), "S"),
            (cut.port(), "C"),
            (refusing.port(), "R"),
        ];
        let of =
            |port: &str| format!("server.address=127.0.0.1,server.port={port},url.scheme=http");
        let (s, c, r) = (of("S"), of("C"), of("R"));
        let get = "http.request.method=GET";
        let v1 = "network.protocol.version=1.1";
        let status = "http.response.status_code";
        let mut expected = vec![
            format!("{{{get},{status}=200,{v1},{s}}} 3"),
            format!("{{{get},{status}=302,{v1},{s}}} 1"),
            format!("{{error.type=404,{get},{status}=404,{v1},{s}}} 1"),
            format!("{{http.request.method=POST,{status}=200,{v1},{s}}} 1"),
            format!("{{error.type=connection_refused,{get},{r}}} 1"),
            format!("{{error.type=body,{get},{status}=200,{v1},{c}}} 1"),
            format!("{{{get},{c}}} 1"),
        ];
        expected.sort();
        assert_eq!(
            metric(&kept, "http.client.request.duration", &ports),
            expected
        );
        assert_eq!(kept.spans().len(), 9);

        // The unread body is not among the sizes.
        let sizes = metric(&kept, "http.client.response.body.size", &ports);
        assert!(
            sizes.contains(&format!("{{{get},{status}=200,{v1},{s}}} 2 of 10")),
            "{sizes:#?}"
        );
        assert!(sizes.contains(&format!(
            "{{error.type=404,{get},{status}=404,{v1},{s}}} 1 of 2"
        )));
        let sizes = metric(&kept, "http.client.request.body.size", &ports);
        assert!(sizes.contains(&format!(
            "{{http.request.method=POST,{status}=200,{v1},{s}}} 1 of 4"
        )));

        let mut active = vec![
            format!("{{{get},{s}}} 0"),
            format!("{{http.request.method=POST,{s}}} 0"),
            format!("{{{get},{r}}} 0"),
            format!("{{{get},{c}}} 0"),
        ];
        active.sort();
        assert_eq!(metric(&kept, "http.client.active_requests", &ports), active);
    });
}

/// How many connections are active and idle.
fn open(kept: &Kept) -> (i64, i64) {
    let of = |state: &str| {
        let lines = kept.metric("http.client.open_connections");
        let lines = lines.iter().filter(|line| line.contains(state));
        lines
            .map(|line| line.rsplit_once(' ').unwrap().1.parse::<i64>().unwrap())
            .sum()
    };
    (
        of("http.connection.state=active"),
        of("http.connection.state=idle"),
    )
}

async fn until_open(kept: &Kept, expected: (i64, i64)) {
    while open(kept) != expected {
        telemetry_rt::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn connections_are_counted_by_whether_they_are_in_use() {
    run(|| async {
        for h2 in [false, true] {
            let kept = Kept::new();
            let server = Server::start(|_| answer(200, "hello")).await;
            let builder = kept.client();
            let builder = if h2 { builder.http2_only() } else { builder };
            let client = builder.build().unwrap();
            let response = client.get(server.url("/")).send().await.unwrap();
            until_open(&kept, (1, 0)).await;
            response.into_body().bytes().await.unwrap();
            until_open(&kept, (0, 1)).await;
            assert_eq!(kept.metric("http.client.connection.duration"), [""; 0]);
            drop(client);
            until_open(&kept, (0, 0)).await;
            let version = if h2 { "2" } else { "1.1" };
            let port = server.address.port();
            assert_eq!(
                metric(&kept, "http.client.connection.duration", &[(port, "S")]),
                [format!(
                    "{{network.protocol.version={version},server.address=127.0.0.1,\
                     server.port=S,url.scheme=http}} 1"
                )]
            );
        }
    });
}

#[test]
fn a_connection_that_breaks_while_in_use_is_no_longer_counted() {
    run(|| async {
        let kept = Kept::new();
        let address = raw(|mut stream, _| async move {
            read_head(&mut stream).await;
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n01234";
            stream.write_all(head).await.unwrap();
        })
        .await;
        let client = kept.client().build().unwrap();
        let url = format!("http://{address}/");
        let response = client.get(url).send().await.unwrap();
        let mut body = response.into_body();
        assert_eq!(body.chunk().await.unwrap().unwrap(), "01234");
        // The connection is gone, and the body is still here.
        until_open(&kept, (0, 0)).await;
        drop(body);
        assert_eq!(open(&kept), (0, 0));
    });
}
