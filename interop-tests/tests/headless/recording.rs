//! Recordings of calls by the real binary: what is in the files, and that a disk never holds a call up.

use std::path::PathBuf;

use interop_tests::attack::SipPeer;
use interop_tests::customer::CUSTOMER_HZ;
use interop_tests::gateway::PAGE_HZ;
use interop_tests::recordings::{
    are_apart, channels, end_record, holds_apart, longest_silence_ms, opus_channels, recorded,
    story,
};
use interop_tests::tone::RATE_HZ;
use interop_tests::wait::eventually;
use interop_tests::{Desk, Gateway, Page, Site, TserverSim};
use serde_json::{Value, json};
use tempfile::TempDir;

struct Office {
    page: Page,
    gateway: Gateway,
    sim: TserverSim,
    dir: TempDir,
    _site: Site,
}

impl Office {
    async fn open(recording: Value) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let site = Site::new();
        let sim = TserverSim::start(&site).await;
        let gateway = Gateway::start_with(&site, |config| {
            config["recording"] = recording;
            config["recording"]["folder"] = json!(dir.path().join("recordings"));
            config["cdr"] = json!({"file": dir.path().join("cdr.jsonl")});
        })
        .await;
        let page = Page::sign_in(&gateway, "1002").await;
        Self {
            page,
            gateway,
            sim,
            dir,
            _site: site,
        }
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("recordings")
    }

    async fn talks(&self) -> String {
        let call = self.sim.customer_calls("0301234567", "1002").await;
        self.page.call_in("ringing").await;
        self.sim.operate(&call, "Answer").await;
        self.both_hear(&call).await;
        call
    }

    async fn both_hear(&self, call: &str) {
        self.sim.customer_hears(call, PAGE_HZ).await;
        self.page.hears(CUSTOMER_HZ).await;
    }

    async fn goes_on(&self) {
        goes_on(&self.page).await;
    }

    async fn record(&self, action: &str) {
        let id = self.page.call()["id"].clone();
        let request = json!({"type": "record", "call": id, "action": action});
        let reply = self.page.request(request).await;
        assert_eq!(reply["type"], "ok", "{action}: {reply}");
    }

    async fn end_record(&self) -> Value {
        end_record(&self.dir.path().join("cdr.jsonl")).await
    }

    /// The recording that the record of the call names, once it is whole.
    async fn file(&self, recording: &Value) -> PathBuf {
        recorded(&self.folder(), recording).await
    }
}

/// A tone must sound for a while before it can be told from another: 400 ms more of the caller are heard, and so are the agent's.
async fn goes_on(page: &Page) {
    let until = page.state().packets + 20;
    eventually("the call goes on", || page.state().packets >= until).await;
}

/// What the customer says besides [`CUSTOMER_HZ`]: nobody's ear takes one for the other.
const CARD_NUMBER_HZ: u32 = 540;
const LATER_HZ: u32 = 860;

/// Every tone that is spoken here.
const TONES: [u32; 4] = [CUSTOMER_HZ, PAGE_HZ, CARD_NUMBER_HZ, LATER_HZ];

/// What a channel says from beginning to end: each thing once, edges left out.
fn said(channel: &[i16]) -> Vec<Option<u32>> {
    let story = story(channel, &TONES);
    story.into_iter().map(|(what, _)| what).collect()
}

/// Where the last sound before the first long silence is, in milliseconds.
fn falls_silent_ms(channel: &[i16]) -> usize {
    let quiet = |samples: &[i16]| samples.iter().all(|sample| sample.unsigned_abs() < 300);
    let begun = channel
        .iter()
        .position(|sample| sample.unsigned_abs() > 3_000);
    let begun = begun.expect("something is heard");
    let at = channel[begun..].windows(800).position(quiet);
    (begun + at.expect("a silence")) * 1_000 / RATE_HZ as usize
}

/// The caller is left, the agent right, hold and pause are silence on both, nothing is lost between, and both fall silent in the same moment.
#[tokio::test]
async fn both_directions_are_recorded_apart_and_aligned() {
    let office = Office::open(json!({})).await;
    let call = office.talks().await;
    office.record("start").await;
    let recorded = || office.page.call()["recording"].clone();
    assert_eq!(recorded(), "recording");
    office.goes_on().await;
    office.sim.operate(&call, "Hold").await;
    office.sim.sees("1002", &call, "Held").await;
    office.sim.customer_hears_nothing(&call).await;
    office.page.hears_nothing().await;
    office.sim.operate(&call, "Retrieve").await;
    office.both_hear(&call).await;
    office.goes_on().await;
    office.record("pause").await;
    assert_eq!(recorded(), "paused");
    office.both_hear(&call).await;
    office.goes_on().await;
    office.record("resume").await;
    office.goes_on().await;
    let id = office.page.call()["id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let path = format!("/api/v1/calls/{id}/record");
    let stop = json!({"action": "stop"});
    assert_eq!(office.gateway.post(&path, &stop).await.status, 202);
    office.both_hear(&call).await;
    office.sim.operate(&call, "Hangup").await;
    office.page.call_in("ended").await;

    let record = office.end_record().await;
    assert_eq!(record["media"]["to_agent"]["path"], "relay", "{record}");
    assert_eq!(record["recordings"].as_array().map(Vec::len), Some(1));
    let recording = &record["recordings"][0];
    assert!(recording["paused_ms"].as_u64() >= Some(300), "{record}");
    let [left, right] = channels(&office.file(recording).await);
    let twice_silent = |who| [Some(who), None, Some(who), None, Some(who)];
    assert_eq!(said(&left), twice_silent(CUSTOMER_HZ), "left");
    assert_eq!(said(&right), twice_silent(PAGE_HZ), "right");
    let apart = falls_silent_ms(&left).abs_diff(falls_silent_ms(&right));
    assert!(apart <= 20, "{apart} ms between the directions");
    let lasted = |field: &str| recording[field].as_f64().unwrap_or_default();
    let lasted_ms = lasted("ended_ms") - lasted("started_ms");
    let length_ms = left.len() as f64 * 1_000.0 / f64::from(RATE_HZ);
    assert!(
        (length_ms - lasted_ms).abs() < 100.0,
        "{length_ms} of {lasted_ms}"
    );
    office
        .gateway
        .metric_is("talkbridge_recordings_total", "finished", 1.0)
        .await;
    let lost = office
        .gateway
        .metric("talkbridge_recording_lost_frames_total", "");
    assert!(lost.await < 1.0);
}

/// The application that takes the card number pauses the recording by the administrators' interface: the number is heard by the agent and is in no file,
/// and what is said later stands where it was said.
#[tokio::test]
async fn what_is_said_in_a_pause_is_in_no_file() {
    let dir = TempDir::new().expect("a temporary directory");
    let (folder, cdr) = (dir.path().join("recordings"), dir.path().join("cdr.jsonl"));
    let desk = Desk::start_with(|config| {
        config["recording"] = json!({"folder": folder});
        config["cdr"] = json!({"file": cdr});
    })
    .await;
    let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
    let mut call = server.rings("1002", "", desk.customer.address()).await;
    let path = desk.page.call_in("ringing").await["id"].clone();
    let path = format!("/api/v1/calls/{}/record", path.as_str().unwrap_or_default());
    let asks = async |action: &str| {
        let answer = desk.gateway.post(&path, &json!({"action": action})).await;
        answer.status
    };
    let does = async |action: &str, then: &str| {
        assert_eq!(asks(action).await, 202, "{action}");
        eventually(&format!("{action}: {then}"), || {
            desk.page.call()["recording"] == then
        })
        .await;
    };
    assert_eq!(asks("start").await, 409, "nobody has answered");
    let talk = call.request("NOTIFY", "Event: talk\n", "");
    assert_eq!(server.asks(&talk).await, 200);
    server.confirms(&mut call).await;
    desk.both_hear().await;

    does("start", "recording").await;
    goes_on(&desk.page).await;
    does("pause", "paused").await;
    desk.customer.says(CARD_NUMBER_HZ);
    desk.page.hears(CARD_NUMBER_HZ).await;
    desk.customer.hears(PAGE_HZ).await;
    desk.customer.says(LATER_HZ);
    desk.page.hears(LATER_HZ).await;
    goes_on(&desk.page).await;
    does("resume", "recording").await;
    goes_on(&desk.page).await;
    assert_eq!(asks("stop").await, 202);
    eventually("it is off", || desk.page.call()["recording"].is_null()).await;
    desk.customer.says(CUSTOMER_HZ);
    desk.both_hear().await;
    assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
    desk.ended("remote_hangup").await;

    let record = end_record(&cdr).await;
    let recording = &record["recordings"][0];
    let [left, right] = channels(&recorded(&folder, recording).await);
    let expected = [Some(CUSTOMER_HZ), None, Some(LATER_HZ)];
    assert_eq!(said(&left), expected, "left");
    assert_eq!(said(&right), [Some(PAGE_HZ), None, Some(PAGE_HZ)], "right");
    let (begins, ends) = longest_silence_ms(&left);
    let agents = longest_silence_ms(&right);
    let apart = begins.abs_diff(agents.0).max(ends.abs_diff(agents.1));
    assert!(apart <= 20, "{begins} to {ends}, and {agents:?}");
    let ms = |field: &str| usize::try_from(recording[field].as_u64().unwrap_or(0)).unwrap_or(0);
    assert!((ends - begins).abs_diff(ms("paused_ms")) <= 60, "{record}");
    let length_ms = left.len() * 1_000 / RATE_HZ as usize;
    let lasted_ms = ms("ended_ms") - ms("started_ms");
    assert!(length_ms.abs_diff(lasted_ms) < 100, "{length_ms}: {record}");
}

/// Who is recorded is told so: the beep is in the customer's ear as well as in the agent's.
#[tokio::test]
async fn both_are_told_by_a_beep() {
    const BEEP_HZ: u32 = 1_400;
    let dir = TempDir::new().expect("a temporary directory");
    let folder = dir.path().join("recordings");
    let desk = Desk::start_with(|config| {
        config["recording"] = json!({"folder": folder, "when": "always", "beep_s": 5});
    })
    .await;
    desk.customer.heard().ear.await_tone(BEEP_HZ);
    desk.page.state().ear.await_tone(BEEP_HZ);
    let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
    let mut call = server.talks("1002", desk.customer.address()).await;
    eventually("both hear the beep", || {
        desk.customer.heard().ear.noticed(BEEP_HZ) && desk.page.state().ear.noticed(BEEP_HZ)
    })
    .await;
    desk.both_hear().await;
    assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
    desk.ended("remote_hangup").await;
}

/// Where every call is recorded nobody has to ask, pages may not stop it, and the beep is heard by both.
#[tokio::test]
async fn every_call_is_recorded_where_the_site_wants_it() {
    let recording = json!({"when": "always", "agents_may": false, "format": "opus", "rate_hz": 16_000, "beep_s": 5});
    let office = Office::open(recording).await;
    office.page.state().ear.await_tone(1_400);
    let call = office.talks().await;
    assert_eq!(office.page.call()["recording"], "recording");
    let id = office.page.call()["id"].clone();
    let stop = json!({"type": "record", "call": id, "action": "stop"});
    assert_eq!(office.page.request(stop).await["code"], "not_allowed");
    eventually("the agent hears the beep", || {
        office.page.state().ear.noticed(1_400)
    })
    .await;
    eventually("a second is said", || office.page.state().packets > 50).await;
    office.sim.operate(&call, "Hangup").await;
    office.page.call_in("ended").await;
    let record = office.end_record().await;
    let file = office.file(&record["recordings"][0]).await;
    are_apart(&opus_channels(&file), [CUSTOMER_HZ, PAGE_HZ], 4);
    let files = std::fs::read_dir(office.folder()).expect("the folder");
    assert_eq!(files.count(), 1, "no part is left");
}

/// The gateway is killed while it records: the next one completes what had reached the disk, and both are heard in it.
#[tokio::test]
async fn a_recording_survives_a_gateway_that_is_killed() {
    let dir = TempDir::new().expect("a temporary directory");
    for format in ["wav", "opus"] {
        let folder = dir.path().join(format);
        let mut desk = Desk::start_with(|config| {
            config["recording"] = json!({"folder": folder, "when": "always", "format": format});
        })
        .await;
        let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
        server.talks("1002", desk.customer.address()).await;
        desk.both_hear().await;
        let files = || {
            let files = std::fs::read_dir(&folder).expect("the folder");
            files
                .map(|file| file.expect("a file").path())
                .collect::<Vec<PathBuf>>()
        };
        let size = || {
            files()
                .first()
                .and_then(|file| file.metadata().ok())
                .map_or(0, |of| of.len())
        };
        // A second of it is on the disk, whichever the format.
        let enough = if format == "wav" { 48_000 } else { 8_000 };
        eventually("some of it is on the disk", || size() > enough).await;
        let killed = desk.gateway.process().signal("KILL").await;
        killed.expect("kill is a program of every system");
        desk.gateway.process().wait().await.expect("it ends");
        let part = files().pop().expect("what it was writing");
        assert_eq!(
            part.extension().and_then(|kind| kind.to_str()),
            Some("part")
        );

        let _next = Gateway::start_with(&desk.site, |config| {
            config["recording"] = json!({"folder": folder, "when": "always", "format": format});
        })
        .await;
        let whole = part.with_extension("");
        eventually("it is completed", || files() == [whole.clone()]).await;
        match format {
            "wav" => holds_apart(&whole, [CUSTOMER_HZ, PAGE_HZ], 4),
            _ => are_apart(&opus_channels(&whole), [CUSTOMER_HZ, PAGE_HZ], 4),
        }
    }
}

/// The folder is gone: the recording fails and says so, and both go on hearing each other.
#[tokio::test]
async fn a_disk_that_fails_costs_the_recording_and_not_the_call() {
    let office = Office::open(json!({})).await;
    std::fs::remove_dir(office.folder()).expect("nothing is in it yet");
    let call = office.talks().await;
    office.record("start").await;
    eventually("the page knows", || {
        office.page.call()["recording"] == "failed"
    })
    .await;
    office.both_hear(&call).await;
    office.sim.operate(&call, "Hangup").await;
    office.page.call_in("ended").await;
    let record = office.end_record().await;
    assert_eq!(record["recordings"][0]["failed"], true, "{record}");
    office
        .gateway
        .metric_is("talkbridge_recordings_total", "failed", 1.0)
        .await;
}

/// The folder goes while a call is recorded: what fails at the recording's end is on the page and in the record as well.
#[tokio::test]
async fn a_recording_that_fails_at_its_end_is_told() {
    let office = Office::open(json!({})).await;
    let call = office.talks().await;
    let made = || std::fs::read_dir(office.folder()).is_ok_and(|files| files.count() == 1);
    office.record("start").await;
    eventually("a file is begun", made).await;
    std::fs::remove_dir_all(office.folder()).expect("the folder goes");
    office.record("stop").await;
    eventually("the page knows", || {
        office.page.call()["recording"] == "failed"
    })
    .await;
    office.both_hear(&call).await;
    office.record("start").await;
    office.sim.operate(&call, "Hangup").await;
    office.page.call_in("ended").await;
    let record = office.end_record().await;
    let failed = |at: usize| record["recordings"][at]["failed"].clone();
    assert_eq!([failed(0), failed(1)], [true, true], "{record}");
}
