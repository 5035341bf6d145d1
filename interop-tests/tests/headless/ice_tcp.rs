//! The port for browsers without UDP (ICE over TCP), and those who are none.

use std::time::Duration;

use interop_tests::{Desk, eventually_async};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than a connection may take to its first check.
const PATIENCE: Duration = Duration::from_secs(15);

async fn desk() -> (Desk, String) {
    let desk = Desk::start_with(|config| {
        let host = config["webrtc"]["advertise"][0].clone();
        let host = host.as_str().expect("an address");
        config["webrtc"]["tcp_listen"] = json!(format!("{host}:4443"));
        config["limits"] = json!({"http_connections_per_source": 8});
    })
    .await;
    let port = format!("{}:4443", desk.site.gateway());
    (desk, port)
}

/// Whether the gateway has closed the connection, and what it said before.
async fn end_of(stream: &mut TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    // A reset is an end as well.
    drop(
        timeout(PATIENCE, stream.read_to_end(&mut heard))
            .await
            .expect("it is closed"),
    );
    heard
}

/// Garbage, a check for nobody, half a frame, silence: each is closed without an answer, in bounded time, and a call that is up is heard.
#[tokio::test]
async fn who_is_no_browser_of_ours_is_closed_unheard() {
    let (desk, port) = desk().await;
    let mut call = desk.calling("uac-invite-agent-hangs-up").start();
    desk.both_hear().await;
    // A Binding request for the user fragment "nobody", with what follows left out.
    let mut check = vec![0, 1, 0, 20, 0x21, 0x12, 0xa4, 0x42];
    check.extend([7; 12]);
    check.extend([0, 6, 0, 13]);
    check.extend(b"nobody:browse\0\0\0");
    let length = u16::try_from(check.len()).expect("short");
    let for_nobody = [&length.to_be_bytes()[..], &check].concat();
    let long = [&[0xff, 0xff][..], &[0; 600]].concat();
    let half = [&[0, 100][..], &[0, 1, 2]].concat();
    let mut streams = Vec::new();
    for said in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &for_nobody,
        &long,
        &half,
        &[],
    ] {
        let mut stream = TcpStream::connect(&port).await.expect("it listens");
        stream.write_all(said).await.expect("it is taken");
        streams.push(stream);
    }
    for mut stream in streams {
        assert_eq!(end_of(&mut stream).await, b"");
    }
    let refused = "talkbridge_ice_tcp_refused_total";
    desk.gateway.metric_is(refused, "", 5.0).await;
    desk.gateway
        .metric_is("talkbridge_ice_tcp_connections", "", 0.0)
        .await;
    desk.both_hear().await;
    call.cue().await;
    desk.page.control("hangup").await;
    call.passes().await;
}

/// One host cannot take every place: beyond its share a connection is closed at once, and there is room again when the others are gone.
#[tokio::test]
async fn one_host_has_its_share_of_connections() {
    let (desk, port) = desk().await;
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(TcpStream::connect(&port).await.expect("it listens"));
    }
    let refused = "talkbridge_ice_tcp_refused_total";
    // The kernel has accepted it; the gateway closes it.
    let mut ninth = TcpStream::connect(&port).await.expect("it listens");
    assert_eq!(end_of(&mut ninth).await, b"");
    assert!(desk.gateway.metric(refused, "").await >= 1.0);
    drop(held);
    eventually_async("there is room again", || async {
        let mut stream = TcpStream::connect(&port).await.ok()?;
        let closed = timeout(Duration::from_millis(300), stream.read(&mut [0])).await;
        closed.is_err().then_some(())
    })
    .await;
}
