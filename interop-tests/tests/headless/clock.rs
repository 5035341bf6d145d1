//! The clock of the gateway's host is set while agents work: to the right time at last, or to a wrong one.

use interop_tests::coturn::SECRET;
use interop_tests::{
    Coturn, Customer, Desk, Gateway, HostClock, Page, Registrar, Site, TurnClient, eventually,
    eventually_some,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::end_records::records;

const DAY_S: i64 = 86_400;
const DECADE_S: i64 = 3_650 * DAY_S;

/// The two clocks are never read at one moment, and the host's own may be corrected by a little meanwhile.
const SLACK_MS: u64 = 1_000;

/// What the gateway logs, and an operator is woken by.
const JUMPED: &str = "the clock of this host has jumped";

/// Asks the TURN server for a relay with what a page was told.
async fn relay(site: &Site, coturn: &Coturn, told: &Value) -> Result<(), u16> {
    let server = &told["ice_servers"][0];
    let text = |field: &str| server[field].as_str().unwrap_or_default().to_owned();
    let (username, password) = (text("username"), text("credential"));
    let at = coturn.address();
    let client = TurnClient::allocate(site.browsers(), at, &username, &password).await;
    client.expect("TURN").map(drop)
}

/// The host had no time at its start and gets it from the network later: the TURN server, which knew the time, takes the agent at once, and not
/// when her credentials would have been renewed.
#[tokio::test]
async fn relays_take_her_as_soon_as_the_clock_is_right() {
    let site = Site::new();
    let registrar = Registrar::start(site.server_sip()).await;
    let _registrar = registrar.expect("the port is ours");
    let coturn = Coturn::start(site.proxy()).await;
    let clock = HostClock::ahead_by(-DECADE_S);
    let gateway = Gateway::start_by_clock(&clock, &site, |config| {
        config["webrtc"]["turn"] = json!({"urls": [coturn.url()], "secret": SECRET});
    })
    .await;
    let page = Page::sign_in(&gateway, "1002").await;
    let welcome = page.messages("welcome").remove(0);
    assert_eq!(relay(&site, &coturn, &welcome).await, Err(401), "{welcome}");
    assert!(!gateway.log().contains(JUMPED), "wrong, and steady");

    clock.set(0);
    gateway.logs(&["WARN", JUMPED]).await;
    let fresh = eventually_some("the page gets other credentials", || {
        page.messages("ice_servers").pop()
    })
    .await;
    assert_eq!(relay(&site, &coturn, &fresh).await, Ok(()), "{fresh}");
    gateway.ends().await;
}

/// Somebody sets the clock a day ahead in the middle of a call, and then two days back: agent and caller go on, SIP Server hears nothing of it,
/// and the call is told by one clock, to the page and in its record.
#[tokio::test]
async fn a_call_goes_on_while_the_clock_jumps() {
    let dir = TempDir::new().expect("a temporary directory");
    let file = dir.path().join("cdr.jsonl");
    let clock = HostClock::ahead_by(0);
    let desk = desk_by(&clock, |config| config["cdr"] = json!({"file": file})).await;
    let mut sipp = desk.calling("uac-invite-agent-answers").start();
    desk.page.call_in("ringing").await;
    desk.page.control("answer").await;
    let before = desk.page.call_in("talking").await;
    desk.both_hear().await;
    let asked = desk.registrar.accepted();

    let mut jumps = 0;
    for ahead_s in [DAY_S, -DAY_S] {
        clock.set(ahead_s);
        jumps += 1;
        eventually("each jump is logged, once", || {
            desk.gateway.log().matches(JUMPED).count() == jumps
        })
        .await;
        eventually("the page tells the call by the new clock", || {
            let call = desk.page.call();
            is_moved(&before, &call, "created_ms", ahead_s)
                && is_moved(&before, &call, "talking_ms", ahead_s)
        })
        .await;
        let packets = desk.customer.heard().packets;
        eventually("a second more is spoken", || {
            desk.customer.heard().packets >= packets + 50
        })
        .await;
        desk.both_hear().await;
    }
    assert_eq!(desk.gateway.log().matches(JUMPED).count(), jumps);
    assert_eq!(desk.registrar.accepted(), asked, "no registration has aged");
    // SIPp takes nothing but its own BYE's answer, so nothing else has left in the call.
    sipp.cue().await;
    sipp.passes().await;
    desk.ended("remote_hangup").await;

    let record = records(&file, 1).await.remove(0);
    let number = |field: &str| record[field].as_u64().unwrap_or_default();
    assert!(is_moved(&before, &record, "created_ms", -DAY_S), "{record}");
    let rang_until = number("created_ms") + number("ring_ms");
    let talked_until = number("answered_ms") + number("talk_ms");
    assert!(rang_until.abs_diff(number("answered_ms")) <= 1, "{record}");
    assert!(talked_until.abs_diff(number("ended_ms")) <= 1, "{record}");
    desk.gateway.ends().await;
}

/// A desk whose gateway tells the time by this clock.
async fn desk_by(clock: &HostClock, change: impl FnOnce(&mut Value)) -> Desk {
    let site = Site::new();
    let registrar = Registrar::start(site.server_sip()).await;
    let gateway = Gateway::start_by_clock(clock, &site, change).await;
    Desk {
        page: Page::sign_in(&gateway, "1002").await,
        customer: Customer::start(site.media()).await,
        gateway,
        registrar: registrar.expect("the port is ours"),
        site,
    }
}

/// Whether this moment of a call is told by a clock that is so many seconds ahead of what it was told by before.
fn is_moved(before: &Value, call: &Value, field: &str, ahead_s: i64) -> bool {
    let ms = |call: &Value| call[field].as_u64().unwrap_or_default();
    let expected = ms(before).saturating_add_signed(ahead_s * 1_000);
    ms(call).abs_diff(expected) < SLACK_MS
}
