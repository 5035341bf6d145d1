//! Who watches calls is told when one turns bad.

use interop_tests::Desk;
use interop_tests::attack::SipPeer;
use interop_tests::wait::DEADLINE;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The agent's network loses a tenth of the caller's words: a wallboard, and the log, have it while the call is up.
#[tokio::test]
async fn a_call_that_turns_bad_is_told_while_it_is_up() {
    let desk = Desk::start().await;
    let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
    let mut call = server.talks("1002", desk.customer.address()).await;
    desk.both_hear().await;
    let report = json!({"received": {"packets": 900, "lost": 100}});
    let stats = json!({"type": "stats", "report": report});
    assert_eq!(desk.page.request(stats).await["type"], "ok");
    let line = desk.gateway.logs(&["call heard badly"]).await;
    assert!(line.contains("to_agent=true"), "{line}");
    let admin = desk.gateway.admin();
    let mut events = TcpStream::connect(admin).await.expect("it listens");
    let request =
        "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: 1\r\n\r\n".as_bytes();
    events.write_all(request).await.expect("it reads");
    let mut heard = Vec::new();
    let told = async {
        while !String::from_utf8_lossy(&heard).contains("\"heard_badly\"") {
            let length = events.read_buf(&mut heard).await.expect("it goes on");
            assert!(length > 0, "the events end");
        }
    };
    timeout(DEADLINE, told).await.expect("an event of it");
    let heard = String::from_utf8_lossy(&heard);
    let event = heard.lines().find(|line| line.contains("\"heard_badly\""));
    let event = event.unwrap_or_default();
    assert!(event.contains("\"to_agent\":true"), "{event}");
    assert!(event.contains("\"to_caller\":false"), "{event}");
    assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
}
