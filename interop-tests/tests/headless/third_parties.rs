//! What the desk does with a third party, through the real gateway: consultation, transfer, conference, recording.

use interop_tests::customer::CUSTOMER_HZ;
use interop_tests::gateway::PAGE_HZ;
use interop_tests::sipp::header;
use interop_tests::{Gateway, Page, Site, TserverSim, eventually, eventually_async};
use serde_json::{Value, json};

/// What the consulted party says.
const SECOND_HZ: u32 = 1_320;

/// What a customer says later, so that what was heard of him before counts for nothing.
const LATER_HZ: [u32; 2] = [880, 1_100];

struct Office {
    page: Page,
    _gateway: Gateway,
    sim: TserverSim,
    _site: Site,
}

/// An agent who talks to a customer.
async fn talking(dn: Value) -> (Office, String) {
    let site = Site::new();
    let sim = TserverSim::start_with(&site, |sim| sim["dns"] = json!([dn])).await;
    let gateway = Gateway::start(&site).await;
    let page = Page::sign_in(&gateway, "1002").await;
    let call = sim.customer_calls("0301234567", "1002").await;
    page.call_in("ringing").await;
    sim.operate(&call, "Answer").await;
    sim.sees("1002", &call, "Established").await;
    sim.customer_hears(&call, PAGE_HZ).await;
    page.hears(CUSTOMER_HZ).await;
    let office = Office {
        page,
        _gateway: gateway,
        sim,
        _site: site,
    };
    (office, call)
}

impl Office {
    /// The desk consults a second customer, who answers and says something of his own.
    async fn consult(&self, call: &str) -> String {
        let path = format!("/api/v2/me/calls/{call}");
        let body = json!({
            "operationName": "InitiateTransfer",
            "dn": "1002",
            "destination": {"phoneNumber": "0309876543"},
        });
        let answer = self.sim.post(&path, &body).await.json();
        let consult = answer["id"].as_str().expect("a consult call").to_owned();
        self.sim.sees("1002", &consult, "Established").await;
        let speech = json!({"tone_hz": SECOND_HZ});
        self.sim
            .post(&format!("/sim/calls/{consult}/speech"), &speech)
            .await;
        self.page.hears(SECOND_HZ).await;
        consult
    }

    /// The customers of a call say `hz` from now on.
    async fn says(&self, call: &str, hz: u32) {
        let speech = json!({"tone_hz": hz});
        self.sim
            .post(&format!("/sim/calls/{call}/speech"), &speech)
            .await;
    }

    /// The RTP addresses of the first customer of a call: his own, and that of whom he speaks to. In a bridged call that is nobody, since the Media
    /// Server carries what he says.
    async fn customer_media(&self, call: &str) -> (String, Value) {
        let report = self.sim.report(call).await;
        let local = report["media"][0]["local"].as_str();
        let local = local.unwrap_or_default().to_owned();
        (local, report["media"][0]["remote"].clone())
    }

    /// Waits until talkbridge has answered a re-INVITE that led its audio to the Media Server: to another port than the customer's.
    async fn media_server_is_agreed(&self, call: &str) {
        let (customer, _) = self.customer_media(call).await;
        let (_, port) = customer.rsplit_once(':').expect("host and port");
        let customer = format!("m=audio {port} ");
        eventually_async("a re-INVITE to the Media Server is answered", || async {
            let trace = self.sim.get("/sim/trace").await.json();
            let messages = trace["messages"].as_array()?;
            let texts = |direction: &'static str, start: &'static str| {
                let these = messages
                    .iter()
                    .filter(move |it| it["direction"] == direction);
                let texts = these.filter_map(|it| it["text"].as_str());
                texts.filter(move |text| text.starts_with(start))
            };
            let mut led = texts("out", "INVITE ")
                .filter(|text| text.contains("m=audio ") && !text.contains(&customer));
            led.any(|invite| {
                texts("in", "SIP/2.0 200").any(|answer| {
                    let same = |name| header(answer, name) == header(invite, name);
                    same("Call-ID") && same("CSeq")
                })
            })
            .then_some(())
        })
        .await;
    }
}

/// The desk's Hold and Retrieve by each way that its options choose: NOTIFY, a re-INVITE with 0.0.0.0, one with a direction.
#[tokio::test]
async fn the_desk_holds_by_whichever_way_is_configured() {
    for (control, by_direction, by) in [
        (json!(["talk", "hold"]), false, "talk_control"),
        (json!(["talk"]), false, "remote"),
        (json!(["talk"]), true, "remote"),
    ] {
        let dn = json!({"dn": "1002", "cti_control": control, "hold_rfc3264": by_direction});
        let (office, call) = talking(dn).await;
        office.sim.operate(&call, "Hold").await;
        office.sim.sees("1002", &call, "Held").await;
        let held = office.page.call_in("held").await;
        assert_eq!(held["held_by"], by, "{held}");
        office.sim.customer_hears_nothing(&call).await;
        office.page.hears_nothing().await;
        office.sim.operate(&call, "Retrieve").await;
        office.sim.sees("1002", &call, "Established").await;
        office.page.call_in("talking").await;
        office.sim.customer_hears(&call, PAGE_HZ).await;
        office.page.hears(CUSTOMER_HZ).await;
        office.sim.operate(&call, "Hangup").await;
        office.sim.released("1002", &call).await;
        office.page.call_in("ended").await;
    }
}

/// The desk's Consult, Alternate, Reconnect: the agent hears whom she talks to and nobody else, in two dialogs and in one.
#[tokio::test]
async fn a_consultation_goes_to_and_fro() {
    for dual_dialog in [true, false] {
        let dn = json!({"dn": "1002", "dual_dialog": dual_dialog});
        let (office, call) = talking(dn).await;
        let consult = office.consult(&call).await;
        office.sim.sees("1002", &call, "Held").await;
        office.sim.customer_hears_nothing(&call).await;
        let path = format!("/api/v2/me/calls/{consult}");
        let swap = json!({
            "operationName": "SwapCalls",
            "dn": "1002",
            "otherCallUri": format!("/api/v2/me/calls/{call}"),
        });
        office.sim.post(&path, &swap).await;
        office.page.hears(CUSTOMER_HZ).await;
        office.sim.customer_hears(&call, PAGE_HZ).await;
        office.sim.operate(&consult, "Reconnect").await;
        office.sim.released("1002", &consult).await;
        office.says(&call, LATER_HZ[0]).await;
        office.page.hears(LATER_HZ[0]).await;
        office.sim.customer_hears(&call, PAGE_HZ).await;
    }
}

/// Conference: the Media Server takes the agent's dialog over with another codec, the consult dialog gets BYE, and the agent
/// hears both and is heard by both. Without the third party she is connected to the first again.
#[tokio::test]
async fn a_conference_is_heard_by_all() {
    let (office, call) = talking(json!({"dn": "1002"})).await;
    let consult = office.consult(&call).await;
    office.sim.operate(&consult, "CompleteConference").await;
    office.sim.released("1002", &consult).await;
    let speech = format!("/sim/calls/{call}/speech");
    let both = json!({"tone_hz": SECOND_HZ});
    office.sim.post(&speech, &both).await;
    office.page.hears(SECOND_HZ).await;
    office
        .sim
        .post(&speech, &json!({"speech": "silence"}))
        .await;
    office.sim.customer_hears(&call, PAGE_HZ).await;
    let path = format!("/api/v2/me/calls/{call}");
    let delete = json!({
        "operationName": "DeleteFromConference",
        "dn": "1002",
        "destination": {"phoneNumber": "0309876543"},
    });
    office.sim.post(&path, &delete).await;
    office.sim.customer_hears(&call, PAGE_HZ).await;
    let alone = json!({"tone_hz": CUSTOMER_HZ});
    office.sim.post(&speech, &alone).await;
    office.page.hears(CUSTOMER_HZ).await;
}

/// A supervisor listens in from her own page: agent and customer go on as before, the agent hears that somebody has come (beep).
#[tokio::test]
async fn a_supervisor_listens_in() {
    let site = Site::new();
    let control = json!(["talk", "hold", "beep"]);
    let sim = TserverSim::start_with(&site, |sim| {
        sim["dns"] = json!([{"dn": "1002", "cti_control": control}, {"dn": "1003"}]);
    })
    .await;
    let gateway = Gateway::start(&site).await;
    let agent = Page::sign_in(&gateway, "1002").await;
    let supervisor = Page::sign_in(&gateway, "1003").await;
    let call = sim.customer_calls("0301234567", "1002").await;
    sim.sees("1002", &call, "Ringing").await;
    sim.operate(&call, "Answer").await;
    sim.sees("1002", &call, "Established").await;
    sim.customer_hears(&call, PAGE_HZ).await;
    let listen = json!({"operationName": "ListenIn", "dn": "1003"});
    sim.post(&format!("/api/v2/me/calls/{call}"), &listen).await;
    sim.sees("1003", &call, "Ringing").await;
    sim.operate(&call, "Answer").await;
    supervisor.call_in("talking").await;
    eventually("the agent is told of the beep", || {
        agent.remote_control().contains(&"beep".to_owned())
    })
    .await;
    let speech = format!("/sim/calls/{call}/speech");
    sim.post(&speech, &json!({"speech": "silence"})).await;
    supervisor.hears(PAGE_HZ).await;
    sim.customer_hears(&call, PAGE_HZ).await;
}

/// A personal greeting is played to the agent by the Media Server after her answer: talkbridge follows the re-INVITE that leads there and the one that
/// leads back, and then the customer is there.
#[tokio::test]
async fn a_greeting_comes_before_the_caller() {
    let (office, call) = talking(json!({"dn": "1002", "greeting_ms": 300})).await;
    office.media_server_is_agreed(&call).await;
    eventually_async("the Media Server has stepped out", || async {
        let (_, remote) = office.customer_media(&call).await;
        (!remote.is_null()).then_some(())
    })
    .await;
    office.says(&call, LATER_HZ[0]).await;
    office.page.hears(LATER_HZ[0]).await;
    office.sim.customer_hears(&call, PAGE_HZ).await;
    office.sim.operate(&call, "Hold").await;
    office.sim.customer_hears_nothing(&call).await;
    office.sim.operate(&call, "Retrieve").await;
    office.sim.customer_hears(&call, PAGE_HZ).await;
    office.says(&call, LATER_HZ[1]).await;
    office.page.hears(LATER_HZ[1]).await;
}

/// Recording puts the Media Server between agent and customer and takes it out again: what both say goes through it meanwhile, and neither notices.
#[tokio::test]
async fn a_recording_is_not_heard() {
    let (office, call) = talking(json!({"dn": "1002"})).await;
    for (operation, hz) in ["StartRecording", "StopRecording"]
        .into_iter()
        .zip(LATER_HZ)
    {
        office.sim.operate(&call, operation).await;
        office.says(&call, hz).await;
        office.page.hears(hz).await;
        office.sim.customer_hears(&call, PAGE_HZ).await;
        // Whoever refused the re-INVITE would be connected to the customer again, and hear him all the same.
        let (_, remote) = office.customer_media(&call).await;
        let between = operation == "StartRecording";
        assert_eq!(remote.is_null(), between, "{operation}: {remote}");
    }
    office.media_server_is_agreed(&call).await;
}

/// The page joins two callers by REFER with Replaces: both calls of the agent end as transferred, and what is left at SIP Server is one
/// call, in which the two customers hear each other.
#[tokio::test]
async fn the_page_joins_two_callers() {
    let (office, first) = talking(json!({"dn": "1002"})).await;
    let page = &office.page;
    let first_on_page = page.call()["id"].clone();
    let dial = json!({"type": "dial", "number": "0309876543"});
    assert_eq!(page.request(dial).await["type"], "ok");
    let second_on_page = page.call_in("talking").await["id"].clone();
    let calls = office.sim.get("/api/v2/me/calls?dn=1002").await.json();
    let mut calls = calls["calls"].as_array().expect("calls").iter();
    let second = calls.find(|call| call["id"] != first.as_str());
    let second = second.expect("a second call")["id"].clone();
    office
        .says(second.as_str().expect("an id"), SECOND_HZ)
        .await;
    page.hears(SECOND_HZ).await;
    office.sim.customer_hears_nothing(&first).await;

    let join = json!({"type": "transfer", "call": first_on_page, "to_call": second_on_page});
    let reply = page.request(join).await;
    assert_eq!(reply["type"], "ok", "{reply}");
    for call in [&first_on_page, &second_on_page] {
        let ended = page.call_with_id_in(call, "ended").await;
        assert_eq!(ended["end"]["cause"], "transferred", "{ended}");
    }
    page.hears_nothing().await;
    let left = office.sim.get("/api/v2/me/calls?dn=1002").await.json();
    assert_eq!(left["calls"], json!([]), "the agent is in no call any more");
    eventually_async("one call is left, of two who hear each other", || async {
        let all = office.sim.get("/sim/calls").await.json();
        let calls = all["calls"].as_array()?.iter();
        let alive: Vec<&Value> = calls.filter(|call| call["ended"] == false).collect();
        let [call] = alive.as_slice() else {
            return None;
        };
        let hears = |number: &str, hz: u32| {
            let mut media = call["media"].as_array().into_iter().flatten();
            let ear = media.find(|ear| ear["number"] == number && ear["ended"] == false);
            ear.and_then(|ear| ear["heard_hz"].as_f64())
                .is_some_and(|heard| (heard - f64::from(hz)).abs() < 15.0)
        };
        (hears("0301234567", SECOND_HZ) && hears("0309876543", CUSTOMER_HZ)).then_some(())
    })
    .await;
}
