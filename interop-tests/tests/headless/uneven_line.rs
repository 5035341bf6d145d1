//! A line that is silent between words, or brings packets out of their order, twice, and late: what the agent hears of it, and what she is told.

use interop_tests::attack::{Dialog, SipPeer, description};
use interop_tests::customer::CUSTOMER_HZ;
use interop_tests::gateway::PAGE_HZ;
use interop_tests::page::PageOptions;
use interop_tests::recordings::end_record;
use interop_tests::tone::Ear;
use interop_tests::wait::eventually_some;
use interop_tests::{Customer, Gateway, Page, Registrar, Site, eventually, scale};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::line::{Line, Manner};

/// Words, each behind a pause.
const WORDS: usize = 8;

/// Packets of all of them, at the least.
const PACKETS_OF_WORDS: u64 = (WORDS * scale::STEPS) as u64;

struct Desk {
    page: Page,
    customer: Customer,
    line: Line,
    call: Dialog,
    /// What the customer was answered.
    answer: String,
    server: SipPeer,
    _gateway: Gateway,
    dir: TempDir,
    _site: Site,
    _registrar: Registrar,
}

/// A call over a line of this manner, decoded for a browser that speaks Opus, or handed over to one that speaks G.711.
async fn desk(opus: bool, manner: Manner, describe: impl Fn(String) -> String) -> Desk {
    let site = Site::new();
    let dir = TempDir::new().expect("a temporary directory");
    let registrar = Registrar::start(site.server_sip()).await;
    let gateway = Gateway::start_with(&site, |config| {
        config["cdr"] = json!({"file": dir.path().join("cdr.jsonl")});
        if opus {
            config["webrtc"]["codec_policy"] = json!("opus");
        }
    })
    .await;
    let options = PageOptions {
        opus,
        ..gateway.page("1002")
    };
    let page = Page::start(options).await.expect("the page connects");
    page.ready().await;
    let server = SipPeer::start(&site, site.sip_server(), 5070).await;
    let customer = Customer::start(site.media()).await;
    let line = Line::of(&customer, site.media(), manner).await;
    let offer = describe(description(line.address()));
    let (call, answer) = server.talks_by("1002", &offer).await;
    customer.hears(PAGE_HZ).await;
    page.hears(CUSTOMER_HZ).await;
    Desk {
        page,
        customer,
        line,
        call,
        answer,
        server,
        _gateway: gateway,
        dir,
        _site: site,
        _registrar: registrar.expect("the port is ours"),
    }
}

impl Desk {
    /// What the page is told of what its agent hears, once it knows of so many packets.
    async fn quality(&self, packets: u64) -> Value {
        eventually_some("the quality of the call is told", || {
            let told = self.page.messages("quality").pop()?;
            let counted = told["to_agent"]["packets"].as_u64()?;
            (counted >= packets).then(|| told["to_agent"].clone())
        })
        .await
    }

    /// Ends the call; what the record of it says of what came for the agent.
    async fn ends(&mut self) -> Value {
        let bye = self.call.request("BYE", "", "");
        assert_eq!(self.server.asks(&bye).await, 200);
        self.page.call_in("ended").await;
        let record = end_record(&self.dir.path().join("cdr.jsonl")).await;
        record["media"]["to_agent"].clone()
    }
}

fn number(of: &Value) -> f64 {
    of.as_f64().unwrap_or_else(|| panic!("no number: {of}"))
}

/// A caller whose line says between words what the noise in the room is like (RFC 3389), and nothing else: each word is heard from its first packet on, no
/// pause counts for loss, and the browser gets no comfort noise, which it has not agreed to.
async fn the_word_behind_a_pause_is_heard(opus: bool) {
    let with_noise = |sdp: String| {
        let sdp = sdp.replace("0 8 101", "0 8 13 101");
        format!("{sdp}a=rtpmap:13 CN/8000\n")
    };
    let mut desk = desk(opus, Manner::Plain, with_noise).await;
    assert!(
        desk.answer.contains("RTP/AVP 0 101\r\n"),
        "it is not agreed"
    );
    let mut words = Vec::new();
    for _ in 0..WORDS {
        desk.customer.pauses();
        desk.page.hears_nothing().await;
        desk.page.state().ear.keep();
        desk.customer.says_scale();
        desk.page.hears(CUSTOMER_HZ).await;
        words.push(desk.page.state().ear.kept().to_vec());
    }
    let told = desk.quality(PACKETS_OF_WORDS).await;
    let types = desk.page.state().payload_types.clone();
    let record = desk.ends().await;

    // Listening takes long: everybody in this process would wait for it.
    for (nth, word) in words.iter().enumerate() {
        let heard = match opus {
            true => scale::heard_decoded(word),
            false => scale::heard(word),
        };
        assert_eq!(heard, (0..scale::STEPS).collect::<Vec<_>>(), "word {nth}");
    }
    for received in [&told, &record["received"]] {
        assert_eq!(received["lost"], 0, "{received}");
        assert_eq!(received["duplicates"], 0, "{received}");
        assert_eq!(received["late"], 0, "{received}");
    }
    assert_eq!(told["loss"], 0.0, "{told}");
    assert_eq!(told["far_loss"], 0.0, "{told}");
    // A telephone that says nothing of its pauses makes 60 ms of each.
    let guessed = [&told["concealed_ms"], &record["concealed_ms"]];
    let guessed = guessed.map(|ms| ms.as_f64().unwrap_or_default());
    let little = guessed.iter().all(|ms| *ms < 30.0 * WORDS as f64);
    assert!(little, "{told}, {record}");
    assert_eq!(
        types.len(),
        1,
        "speech alone reaches the browser: {types:?}"
    );
    assert!(!types.contains(&13));
}

#[tokio::test]
async fn the_word_behind_comfort_noise_is_handed_over_whole() {
    the_word_behind_a_pause_is_heard(false).await;
}

#[tokio::test]
async fn the_word_behind_comfort_noise_is_decoded_whole() {
    the_word_behind_a_pause_is_heard(true).await;
}

/// Of ten packets one is overtaken, one comes twice and one is held up for 50 ms, and of fifty one for longer than anybody waits: what came twice is counted, what came too
/// late as well where its time is known here, and the tone goes on.
async fn an_uneven_line_is_told_and_heard(opus: bool) {
    let mut desk = desk(opus, Manner::Shaken, |sdp| sdp).await;
    desk.page.state().ear.keep();
    let until = desk.line.passed().said + 300;
    eventually("it is shaken for long", || desk.line.passed().said >= until).await;
    desk.page.hears(CUSTOMER_HZ).await;
    let kept = desk.page.state().ear.kept().to_vec();
    let (doubled, forgotten) = {
        let passed = desk.line.passed();
        (passed.doubled as f64, passed.forgotten as f64)
    };
    let told = desk.quality(until).await;
    let record = desk.ends().await;

    for received in [&told, &record["received"]] {
        assert!(number(&received["duplicates"]) >= doubled, "{received}");
        assert!(number(&received["jitter_ms"]) > 5.0, "{received}");
        if opus {
            assert!(number(&received["late"]) >= forgotten, "{received}");
        }
    }
    if !opus {
        // A browser puts them into their order; each comes to it once, and then the two by which the sound fades.
        let said = desk.line.passed().said as f64;
        assert!(number(&record["sent"]["packets"]) <= said + 2.0, "{record}");
        return;
    }
    let heard = kept.chunks_exact(1_600).filter(|part| {
        let mut ear = Ear::default();
        ear.hear(part.iter().copied());
        ear.hears(CUSTOMER_HZ)
    });
    let (heard, all) = (heard.count(), kept.len() / 1_600);
    assert!(all >= 20 && heard * 10 >= all * 9, "{heard} of {all} parts");
}

#[tokio::test]
async fn an_uneven_line_is_told_where_packets_are_handed_over() {
    an_uneven_line_is_told_and_heard(false).await;
}

#[tokio::test]
async fn an_uneven_line_is_told_where_speech_is_decoded() {
    an_uneven_line_is_told_and_heard(true).await;
}
