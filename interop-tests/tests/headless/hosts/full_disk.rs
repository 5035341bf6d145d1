//! A disk of the test's own that is full in mid-call. It takes root, as hosts of their own do.

use interop_tests::attack::SipPeer;
use interop_tests::customer::CUSTOMER_HZ;
use interop_tests::gateway::PAGE_HZ;
use interop_tests::recordings::{channels, end_record, story};
use interop_tests::{Desk, Disk, eventually};
use serde_json::{Value, json};

/// What a disk of so many KiB takes of a WAV file at 8 kHz, in milliseconds.
const fn holds_ms(kib: usize) -> usize {
    kib * 1_024 / 32
}

/// The disk of the recordings is full in mid-call: both go on hearing each other, the page, the record, the log and a counter say so, what fitted is
/// there and can be played, and a recording that begins when there is room again is whole.
#[tokio::test]
async fn a_disk_that_fills_costs_the_recording_and_not_the_call() {
    const KIB: u32 = 64;
    let disk = Disk::of_kib(KIB);
    let records = tempfile::TempDir::new().expect("a temporary directory");
    let cdr = records.path().join("cdr.jsonl");
    let desk = Desk::start_with(|config| {
        config["recording"] = json!({"folder": disk.path().join("calls")});
        config["cdr"] = json!({"file": cdr});
    })
    .await;
    let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
    let mut call = server.talks("1002", desk.customer.address()).await;
    desk.both_hear().await;
    let id = desk.page.call()["id"].clone();
    let record = async |action: &str| {
        let request = json!({"type": "record", "call": id, "action": action});
        assert_eq!(desk.page.request(request).await["type"], "ok", "{action}");
    };
    let recording = || desk.page.call()["recording"].clone();
    record("start").await;
    eventually("the disk is full", || recording() == "failed").await;
    desk.both_hear().await;
    let line = desk.gateway.logs(&["recording failed", "ERROR"]).await;
    assert!(line.contains("No space left"), "{line}");
    for words in ["1002", id.as_str().unwrap_or_default()] {
        assert!(line.contains(words), "{line}");
    }
    let failed = ("talkbridge_recordings_total", "failed");
    desk.gateway.metric_is(failed.0, failed.1, 1.0).await;

    let [kept] = &disk.files("calls")[..] else {
        panic!("one file: {:?}", disk.files("calls"))
    };
    let name = kept.to_string_lossy();
    assert!(name.ends_with(".wav"), "{name}");
    let [left, right] = channels(kept);
    for (channel, hz) in [(left, CUSTOMER_HZ), (right, PAGE_HZ)] {
        let story = story(&channel, &[CUSTOMER_HZ, PAGE_HZ]);
        let heard_ms: usize = story.iter().map(|(_, ms)| ms).sum();
        assert!(story.iter().any(|(what, _)| *what == Some(hz)), "{story:?}");
        assert!(heard_ms * 2 > holds_ms(KIB as usize), "{story:?}");
    }

    std::fs::remove_file(kept).expect("the disk is the test's");
    record("start").await;
    assert_eq!(recording(), "recording");
    let until = desk.page.state().packets + 20;
    eventually("the call goes on", || desk.page.state().packets >= until).await;
    record("stop").await;
    desk.both_hear().await;
    assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
    desk.ended("remote_hangup").await;
    let record = end_record(&cdr).await;
    let failed: Vec<&Value> = (0..2)
        .map(|nth| &record["recordings"][nth]["failed"])
        .collect();
    assert_eq!(failed, [&json!(true), &json!(false)], "{record}");
    desk.gateway
        .metric_is("talkbridge_recordings_total", "finished", 1.0)
        .await;
}
