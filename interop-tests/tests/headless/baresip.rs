//! baresip as the far end, without anybody between: a customer who calls in, and one who is called.

use interop_tests::baresip::Manner;
use interop_tests::wait::eventually_some;
use interop_tests::{Baresip, Gateway, Page, Registrar, Site};
use serde_json::json;

struct Peers {
    page: Page,
    telephone: Baresip,
    gateway: Gateway,
    _registrar: Registrar,
    site: Site,
}

/// talkbridge takes SIP from the telephone as it takes it from SIP Server.
async fn peers(manner: Manner) -> Peers {
    speaking(manner, "pcmu,pcma", &["pcmu", "pcma"]).await
}

/// The same with the codecs of the telephone, in its words, and of the gateway's SIP side.
async fn speaking(manner: Manner, theirs: &str, ours: &[&str]) -> Peers {
    let site = Site::new();
    let registrar = Registrar::start(site.server_sip())
        .await
        .expect("the port is ours");
    let telephone = Baresip::speaking(&site, "customer", manner, theirs).await;
    let gateway = Gateway::start_with(&site, |config| {
        config["sip"]["servers"] = json!([site.server_sip(), telephone.address()]);
        config["media"]["codecs"] = json!(ours);
    })
    .await;
    let page = Page::sign_in(&gateway, "1002").await;
    Peers {
        page,
        telephone,
        gateway,
        _registrar: registrar,
        site,
    }
}

impl Peers {
    async fn rings(&self) {
        let gateway = self.site.gateway_sip();
        self.telephone.dial(&format!("sip:1002@{gateway}")).await;
        self.page.call_in("ringing").await;
    }

    async fn over(&self) {
        self.page.call_in("ended").await;
        self.gateway
            .metric_is("talkbridge_calls_active", "", 0.0)
            .await;
    }
}

#[tokio::test]
async fn a_baresip_calls_is_held_and_retrieved_by_the_agent_and_hangs_up() {
    let all = peers(Manner::Rings).await;
    all.rings().await;
    all.page.control("answer").await;
    all.telephone.is_held_and_retrieved(&all.page).await;
    all.telephone.hang_up().await;
    all.over().await;
}

#[tokio::test]
async fn a_baresip_that_is_refused_is_told() {
    let all = peers(Manner::Rings).await;
    all.rings().await;
    all.page.control("reject").await;
    all.telephone.tells("session closed: 603 Decline").await;
    all.over().await;
}

/// The agent's browser has G.711 only: between it and another codec stand a jitter buffer, a decoder and an encoder, both ways. The far
/// end's codecs are spandsp's and libopus behind baresip's own buffers.
async fn a_telephone_that_speaks(theirs: &str, ours: &str) {
    let all = speaking(Manner::Rings, theirs, &[ours]).await;
    all.rings().await;
    all.page.control("answer").await;
    all.telephone.is_held_and_retrieved(&all.page).await;
    all.telephone.hang_up().await;
    all.over().await;
}

/// Both legs report by RTCP, so the call is scored, and the decoder says what it had to guess.
#[tokio::test]
async fn a_decoded_call_is_measured_both_ways() {
    let all = speaking(Manner::Rings, "g722/16000/1", &["g722"]).await;
    all.rings().await;
    all.page.control("answer").await;
    all.telephone.talks_with(&all.page).await;
    let quality = eventually_some("the call is scored", || {
        let messages = &all.page.state().messages;
        let quality = messages
            .iter()
            .rfind(|message| message["type"] == "quality")?;
        let scored = ["to_agent", "to_caller"]
            .iter()
            .all(|way| quality[way]["mos"].is_number());
        scored.then(|| quality.clone())
    })
    .await;
    for way in ["to_agent", "to_caller"] {
        let direction = &quality[way];
        let number = |field: &str| {
            direction[field]
                .as_f64()
                .unwrap_or_else(|| panic!("{field} of {way}: {direction}"))
        };
        assert!(number("packets") > 100.0, "{direction}");
        assert!((1.0..=4.5).contains(&number("mos")), "{direction}");
        assert!(number("one_way_ms") >= number("playout_ms"), "{direction}");
        number("concealed_ms");
        number("rtt_ms");
    }
    all.telephone.hang_up().await;
    all.over().await;
}

#[tokio::test]
async fn a_telephone_that_speaks_g722_is_heard_and_hears() {
    a_telephone_that_speaks("g722/16000/1", "g722").await;
}

#[tokio::test]
async fn a_telephone_that_speaks_opus_is_heard_and_hears() {
    a_telephone_that_speaks("opus/48000/2", "opus").await;
}
