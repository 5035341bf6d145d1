//! The records of calls that are over, in the file of the real binary.

use std::path::Path;

use interop_tests::attack::{Dialog, SipPeer};
use interop_tests::customer::CUSTOMER_HZ;
use interop_tests::gateway::PAGE_HZ;
use interop_tests::sipp::header;
use interop_tests::wait::{eventually_async, eventually_some};
use interop_tests::{Desk, Gateway, Page, Sipp, Site, TserverSim};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The records in a file, once there are `count` of them.
pub(super) async fn records(file: &Path, count: usize) -> Vec<Value> {
    eventually_some(&format!("{count} records in {}", file.display()), || {
        let text = std::fs::read_to_string(file).ok()?;
        let lines = text.lines().map(serde_json::from_str);
        let records = lines.collect::<Result<Vec<Value>, _>>().ok()?;
        (records.len() == count).then_some(records)
    })
    .await
}

/// A call from ring to release, with a hold in it and the browser's own figures, leaves one line that says so; the file may be rotated.
#[tokio::test]
async fn a_call_leaves_its_record_and_the_file_may_be_rotated() {
    let dir = TempDir::new().expect("a temporary directory");
    let (file, old) = (dir.path().join("cdr.jsonl"), dir.path().join("cdr.1"));
    let site = Site::new();
    let sim = TserverSim::start(&site).await;
    let gateway = Gateway::start_with(&site, |config| {
        config["cdr"] = json!({"file": file});
        config["agents"] = json!([{"dn": "1002"}, {"dn": "1003", "register": "always"}]);
    })
    .await;
    let page = Page::sign_in(&gateway, "1002").await;

    let call = sim.customer_calls("0301234567", "1002").await;
    page.call_in("ringing").await;
    sim.operate(&call, "Answer").await;
    sim.customer_hears(&call, PAGE_HZ).await;
    page.hears(CUSTOMER_HZ).await;
    let report =
        json!({"rtt_ms": 7.5, "received": {"packets": 50, "lost": 1, "jitter_ms": "a lot"}});
    let stats = json!({"type": "stats", "report": report});
    assert_eq!(page.request(stats).await["type"], "ok");
    sim.operate(&call, "Hold").await;
    sim.sees("1002", &call, "Held").await;
    sim.operate(&call, "Retrieve").await;
    sim.sees("1002", &call, "Established").await;
    page.call_in("talking").await;
    sim.operate(&call, "Hangup").await;
    let shown = page.call_in("ended").await;

    let record = records(&file, 1).await.remove(0);
    for field in ["call_uuid", "direction", "answered_by", "created_ms", "end"] {
        assert_eq!(record[field], shown[field], "{field} of {record}");
    }
    assert_eq!(record["call"], shown["id"]);
    assert_eq!(record["dn"], "1002");
    assert_eq!(record["srtp"], "none", "plain RTP");
    assert_eq!(record["remote"], Value::Null);
    assert!(!record.to_string().contains("0301234567"), "{record}");
    assert!(record["held_ms"].as_u64() > Some(0), "{record}");
    assert!(record["held_ms"].as_u64() < record["talk_ms"].as_u64());
    for (direction, codecs) in [("to_agent", "pcmu"), ("to_caller", "pcmu")] {
        let way = &record["media"][direction];
        assert_eq!(way["path"], "relay", "{record}");
        assert_eq!(way["received"]["codec"], codecs, "{record}");
        assert_eq!(way["received"]["lost"], 0, "{record}");
        assert_eq!(way["received"]["duplicates"], 0, "{record}");
        assert!(way["received"]["packets"].as_u64() > Some(4), "{record}");
        assert!(way["sent"]["packets"].as_u64() > Some(4), "{record}");
        assert_eq!(way["concealed_ms"], Value::Null, "{record}");
    }
    let browser = &record["media"]["browser"];
    assert_eq!(browser["rtt_ms"], 7.5, "{record}");
    assert_eq!(browser["received"]["jitter_ms"], Value::Null, "{record}");

    std::fs::rename(&file, &old).expect("the same disk");
    gateway.reload().await;
    eventually_async("a DN without an agent is registered", || async {
        sim.registered("1003").await.then_some(())
    })
    .await;
    sim.customer_calls("0301234567", "1003").await;
    let refused = records(&file, 1).await.remove(0);
    assert_eq!(refused["end"]["cause"], "not_signed_in", "{refused}");
    assert_eq!(refused["media"], Value::Null, "{refused}");
    assert_eq!(refused["srtp"], Value::Null, "nothing was agreed");
    assert_eq!(records(&old, 1).await.len(), 1);
    gateway
        .metric_is("talkbridge_cdr_written_total", "", 2.0)
        .await;
}

/// A disk that takes nothing costs the record, which is counted, and not the call.
#[tokio::test]
async fn a_full_disk_costs_the_record_and_not_the_call() {
    let site = Site::new();
    let sim = TserverSim::start(&site).await;
    let gateway = Gateway::start_with(&site, |config| {
        config["cdr"] = json!({"file": "/dev/full"});
    })
    .await;
    let page = Page::sign_in(&gateway, "1002").await;
    for lost in [1.0, 2.0] {
        let call = sim.customer_calls("0301234567", "1002").await;
        page.call_in("ringing").await;
        sim.operate(&call, "Answer").await;
        page.hears(CUSTOMER_HZ).await;
        sim.operate(&call, "Hangup").await;
        page.call_in("ended").await;
        gateway
            .metric_is("talkbridge_cdr_lost_total", "disk", lost)
            .await;
    }
}

/// INVITEs of a routing loop: more than have a line and a record of their own.
const LOOPED: u16 = 900;

/// A dial plan that sends calls round in a circle fills neither the log nor the file of records; each refusal is counted, and a call that can be answered is
/// recorded as ever.
#[tokio::test]
async fn a_routing_loop_fills_no_disk() {
    let dir = TempDir::new().expect("a temporary directory");
    let file = dir.path().join("cdr.jsonl");
    let desk = Desk::start_with(|config| config["cdr"] = json!({"file": file})).await;
    let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
    for _ in 0..LOOPED {
        let mut call = Dialog::new(&server, "9999");
        let invite = call.invite("", desk.customer.address());
        assert_eq!(server.asks(&invite).await, 404);
    }
    let gateway = &desk.gateway;
    let ended = "talkbridge_calls_ended_total";
    gateway
        .metric_is(ended, "unknown_dn", f64::from(LOOPED))
        .await;
    let left_out = gateway.metric("talkbridge_cdr_lost_total", "refused").await;
    assert!(left_out > 0.0, "each refusal has a record");
    let has_records = gateway.metric("talkbridge_cdr_written_total", "");
    assert!((has_records.await + left_out - f64::from(LOOPED)).abs() < 0.5);
    let lines = gateway.log().matches("call refused").count();
    assert!(lines < usize::from(LOOPED), "each refusal has a line");
    assert!(lines > 0, "no refusal has a line");
}

/// SIP Server moves a caller to a call that is over by then: why the agent got nothing stands in the log, in the records and in the count.
#[tokio::test]
async fn a_call_that_finds_nothing_to_replace_is_recorded() {
    let dir = TempDir::new().expect("a temporary directory");
    let file = dir.path().join("cdr.jsonl");
    let desk = Desk::start_with(|config| config["cdr"] = json!({"file": file})).await;
    let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
    let mut call = Dialog::new(&server, "1002");
    let lines = "Replaces: over@sip-server;to-tag=a;from-tag=b\n";
    let invite = call.invite(lines, desk.customer.address());
    assert_eq!(server.asks(&invite).await, 481);
    let gateway = &desk.gateway;
    let ended = "talkbridge_calls_ended_total";
    gateway.metric_is(ended, "replaces_unknown", 1.0).await;
    gateway.logs(&["call refused", "replaces_unknown"]).await;
    let record = records(&file, 1).await.remove(0);
    assert_eq!(record["end"]["cause"], "replaces_unknown", "{record}");
    assert_eq!(record["end"]["sip_status"], 481, "{record}");
}

/// Calls that SIP Server lost by its own messages stand in the log, in the records and in the count, with what was wrong. What comes again anyway, a second copy
/// of an INVITE and one whose session timer is too short, does not.
#[tokio::test]
async fn a_call_that_cannot_be_processed_is_recorded() {
    let dir = TempDir::new().expect("a temporary directory");
    let file = dir.path().join("cdr.jsonl");
    let desk = Desk::start_with(|config| config["cdr"] = json!({"file": file})).await;
    desk.calling("uac-invite-unknown-require").passes().await;
    let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
    let mut nowhere = Dialog::new(&server, "1002");
    let uuid = "X-Genesys-CallUUID: UIVB8J6JE91C53UIM3VI59VHQ4000016\n";
    let invite = nowhere.invite(uuid, desk.customer.address());
    let without = invite.replace("\nContact:", "\nX-Contact:");
    assert_eq!(server.asks(&without).await, 400);
    let short = "Supported: timer\nSession-Expires: 30\n";
    let refused = server.tries("1002", short, desk.customer.address()).await;
    assert_eq!(refused.err(), Some(422));
    let gateway = &desk.gateway;
    for (cause, status, reason) in [
        ("bad_extension", 420, "Require: teleport"),
        ("bad_request", 400, "Contact is missing"),
    ] {
        let ended = "talkbridge_calls_ended_total";
        gateway.metric_is(ended, cause, 1.0).await;
        gateway.logs(&["call refused", cause, reason]).await;
        let records = records(&file, 2).await;
        let record = records
            .iter()
            .find(|record| record["end"]["cause"] == cause);
        let record = record.unwrap_or_else(|| panic!("{cause} in {records:?}"));
        assert_eq!(record["dn"], "1002", "{record}");
        assert_eq!(record["end"]["sip_status"], status, "{record}");
        assert_eq!(record["end"]["reason"], reason, "{record}");
        assert!(record["call_uuid"].is_string(), "{record}");
    }
    for reason in ["extension", "parse", "session_interval"] {
        gateway
            .metric_is("talkbridge_sip_refused_total", reason, 1.0)
            .await;
    }
    gateway
        .metric_is("talkbridge_calls_ended_total", "", 2.0)
        .await;
}

/// A figure of the `X-RTP-Stat` of the last message that begins so.
fn figure(sipp: &Sipp, start: &str, name: &str) -> u64 {
    let messages = sipp.received();
    let last = messages.iter().rfind(|message| message.starts_with(start));
    let stat = last.and_then(|message| header(message, "X-RTP-Stat"));
    let mut fields = stat.unwrap_or_default().split(';');
    fields
        .find_map(|field| field.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
        .unwrap_or_else(|| panic!("no {name} in {stat:?} of {last:?}"))
}

/// Whoever reads BYE and its answer knows what the trunk carried: the very packets that the customer has counted.
async fn told_in_sip(scenario: &str, start: &str, agent_hangs_up: bool) {
    let desk = Desk::start_with(|config| config["sip"]["rtp_stat"] = json!(true)).await;
    let mut sipp = desk.calling(scenario).start();
    desk.both_hear().await;
    sipp.cue().await;
    if agent_hangs_up {
        desk.page.control("hangup").await;
    }
    sipp.passes().await;
    let cause = if agent_hangs_up {
        "agent_hangup"
    } else {
        "remote_hangup"
    };
    desk.ended(cause).await;
    let sent = figure(&sipp, start, "PS");
    assert_eq!(sent, desk.customer.heard().packets);
    assert_eq!(figure(&sipp, start, "OS"), sent * 160, "20 ms of PCMU");
    let received = figure(&sipp, start, "PR");
    assert_eq!(figure(&sipp, start, "OR"), received * 160);
    assert_eq!(figure(&sipp, start, "PL"), 0);
}

#[tokio::test]
async fn our_bye_tells_how_the_audio_was() {
    told_in_sip("uac-rtp-stat-our-bye", "BYE ", true).await;
}

#[tokio::test]
async fn our_answer_to_bye_tells_how_the_audio_was() {
    told_in_sip("uac-rtp-stat-our-answer", "SIP/2.0 200", false).await;
}

/// A gateway that is told to end ends its calls by BYE, and says what they were as well.
#[tokio::test]
async fn a_gateway_that_ends_tells_how_the_audio_was() {
    let mut desk = Desk::start_with(|config| config["sip"]["rtp_stat"] = json!(true)).await;
    let mut sipp = desk.calling("uac-rtp-stat-our-bye").start();
    desk.both_hear().await;
    sipp.cue().await;
    let asked = desk.gateway.process().signal("TERM").await;
    asked.expect("kill is a program of every system");
    sipp.passes().await;
    assert_eq!(figure(&sipp, "BYE ", "PS"), desk.customer.heard().packets);
}
