//! Who watches calls, and the page, are told when one turns bad, and when it is well again.

use interop_tests::Desk;
use interop_tests::attack::SipPeer;
use interop_tests::wait::{DEADLINE, eventually_some};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The agent's network loses a tenth of the caller's words for a while: her page, a wallboard and the log have it while the call is up, and its end.
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
    let shown = quality(&desk, 1).await.remove(0);
    assert_eq!(
        shown["heard_badly"],
        json!({"to_agent": true, "to_caller": false}),
        "{shown}"
    );
    // Nothing more is lost: three good measurements, 5 s each, are more than any one wait.
    quality(&desk, 3).await;
    let last = quality(&desk, 4).await.remove(3);
    assert_eq!(last["heard_badly"], Value::Null, "{last}");
    desk.gateway.logs(&["call heard well again"]).await;
    let told = heard_badly(&desk, 2).await;
    for (event, to_agent) in told.iter().zip([true, false]) {
        assert_eq!(event["to_agent"], to_agent, "{event}");
        assert_eq!(event["to_caller"], false, "{event}");
    }
    assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
}

/// The first `count` words about quality behind the one that was bad first.
async fn quality(desk: &Desk, count: usize) -> Vec<Value> {
    eventually_some("the call is measured", || {
        let told = desk.page.messages("quality");
        let bad = |message: &Value| message["heard_badly"].is_object();
        let since: Vec<Value> = told.into_iter().skip_while(|told| !bad(told)).collect();
        (since.len() >= count).then_some(since)
    })
    .await
}

/// The first `count` events that say how the call is heard.
async fn heard_badly(desk: &Desk, count: usize) -> Vec<Value> {
    let admin = desk.gateway.admin();
    let mut events = TcpStream::connect(admin).await.expect("it listens");
    let request =
        "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: 1\r\n\r\n".as_bytes();
    events.write_all(request).await.expect("it reads");
    let mut heard = Vec::new();
    let told = async {
        loop {
            let text = String::from_utf8_lossy(&heard);
            let data = text.lines().filter_map(|line| line.strip_prefix("data:"));
            let told = data.filter_map(|data| serde_json::from_str::<Value>(data).ok());
            let told: Vec<_> = told.filter(|it| it["type"] == "heard_badly").collect();
            if told.len() >= count {
                return told;
            }
            let length = events.read_buf(&mut heard).await.expect("it goes on");
            assert!(length > 0, "the events end");
        }
    };
    timeout(DEADLINE, told).await.expect("events of it")
}
