//! tokio's traits over our streams.

#![cfg(feature = "tokio-io")]

mod support;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use support::{Runtime, both};
use telemetry_rt_reactor::net::{UdpSocket, UnixDatagram, UnixStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

async fn write_all(mut to: impl AsyncWrite + Unpin, bytes: &[u8]) {
    let mut sent = 0;
    while sent < bytes.len() {
        let write = poll_fn(|cx| Pin::new(&mut to).poll_write(cx, &bytes[sent..]));
        sent += write.await.expect("writes");
    }
    poll_fn(|cx| Pin::new(&mut to).poll_shutdown(cx))
        .await
        .expect("shuts down");
}

async fn read_to_end(from: impl AsyncRead) -> Vec<u8> {
    let mut from = pin!(from);
    let mut all = Vec::new();
    loop {
        let mut memory = [std::mem::MaybeUninit::uninit(); 1000];
        let mut buf = ReadBuf::uninit(&mut memory);
        poll_fn(|cx| from.as_mut().poll_read(cx, &mut buf))
            .await
            .expect("reads");
        if buf.filled().is_empty() {
            return all;
        }
        all.extend_from_slice(buf.filled());
    }
}

#[test]
fn bytes_go_through_every_kind_of_half() {
    let mut runtime = Runtime::new();
    let message: Vec<u8> = (0..200_000_u32).map(|number| number as u8).collect();
    runtime.block_on(async {
        let (one, mut other) = UnixStream::pair().expect("a pair");
        assert!(one.is_write_vectored());
        let (one_read, one_write) = one.into_split();
        let (other_read, other_write) = other.split();
        let there = both(write_all(one_write, &message), read_to_end(other_read));
        assert!(there.await.1 == message);
        let back = both(write_all(other_write, &message), read_to_end(one_read));
        assert!(back.await.1 == message);
    });
}

#[test]
fn a_buffer_is_filled_from_its_end_on() {
    let mut runtime = Runtime::new();
    runtime.block_on(async {
        let (one, other) = UnixStream::pair().expect("a pair");
        let mut buf = Vec::from(*b"before ");
        one.writable().await.expect("writable");
        assert_eq!(one.try_write(b"after").expect("writes"), 5);
        other.readable().await.expect("readable");
        assert_eq!(other.try_read_buf(&mut buf).expect("reads"), 5);
        assert_eq!(buf, b"before after");
    });
}

#[test]
fn messages_are_received_into_the_rest_of_a_buffer() {
    let mut runtime = Runtime::new();
    runtime.block_on(async {
        let one = UdpSocket::bind("127.0.0.1:0").await.expect("binds");
        let other = UdpSocket::bind("127.0.0.1:0").await.expect("binds");
        let (one_addr, other_addr) = (one.local_addr().expect("a"), other.local_addr().expect("b"));
        one.send_to(b"message", other_addr).await.expect("sends");
        let mut memory = [0; 64];
        let mut buf = ReadBuf::new(&mut memory);
        buf.put_slice(b"a ");
        let sender = poll_fn(|cx| other.poll_recv_from(cx, &mut buf))
            .await
            .expect("receives");
        assert_eq!((sender, buf.filled()), (one_addr, &b"a message"[..]));

        let (one, other) = UnixDatagram::pair().expect("a pair");
        one.send(b"!").await.expect("sends");
        poll_fn(|cx| other.poll_recv(cx, &mut buf))
            .await
            .expect("receives");
        assert_eq!(buf.filled(), b"a message!");
    });
}
