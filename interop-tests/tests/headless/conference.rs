//! A conference as SIP Server makes it of a call and a consultation, message by message: the main dialog is led to the Media Server, the other one ends.

use interop_tests::attack::{Dialog, SipPeer, answer, description};
use interop_tests::customer::ANNOUNCEMENT_HZ;
use interop_tests::gateway::PAGE_HZ;
use interop_tests::{Customer, Desk, eventually};
use serde_json::{Value, json};

use crate::mid_call::offers;
use crate::referred::agreed;

/// An agent who talks to a colleague while her caller is on hold.
struct Consultation {
    desk: Desk,
    colleague: Customer,
    main: (SipPeer, Dialog, Value),
    consult: (SipPeer, Dialog, Value),
}

/// SIP Server's end of one call, with a telephone behind it.
async fn end(desk: &Desk, port: u16, telephone: &Customer) -> SipPeer {
    let media = description(telephone.address());
    let server = desk.site.sip_server();
    let contact = format!("Contact: <sip:1003@{server}:{port}>\n");
    SipPeer::with_reflex(&desk.site, server, port, move |request| {
        match request.split(' ').next() {
            Some("INVITE") => vec![agreed(request, &contact, &media)],
            Some("BYE") => vec![answer(request, "200 OK", "")],
            _ => Vec::new(),
        }
    })
    .await
}

impl Consultation {
    /// The desktop's way: hold for the caller, then an INVITE without description, and talk.
    async fn start() -> Self {
        let desk = Desk::start().await;
        let colleague = Customer::start(desk.site.media()).await;
        let main = end(&desk, 5070, &desk.customer).await;
        let mut caller = main.talks("1002", desk.customer.address()).await;
        desk.both_hear().await;
        let caller_on_page = desk.page.call()["id"].clone();
        let hold = caller.request("NOTIFY", "Event: hold\n", "");
        assert_eq!(main.asks(&hold).await, 200);
        desk.page.call_in("held").await;

        let consult = end(&desk, 5071, &colleague).await;
        let mut second = Dialog::new(&consult, "1002");
        let invite = second.invite_without_offer("");
        consult.say(&invite).await;
        let ringing = consult
            .hears("180", |message| message.starts_with("SIP/2.0 180"))
            .await;
        second.heard_tag(&ringing);
        let talk = second.request("NOTIFY", "Event: talk\n", "");
        assert_eq!(consult.asks(&talk).await, 200);
        let offered =
            |message: &str| message.contains("CSeq: 1 INVITE") && message.contains("m=audio");
        consult.hears("the offer", offered).await;
        consult
            .say(&second.ack_with_answer(1, colleague.address()))
            .await;
        colleague.hears(PAGE_HZ).await;
        desk.customer.hears_nothing().await;
        let second_on_page = desk.page.call()["id"].clone();
        Self {
            desk,
            colleague,
            main: (main, caller, caller_on_page),
            consult: (consult, second, second_on_page),
        }
    }

    async fn consult_ends(&mut self) {
        let (server, call, on_page) = &mut self.consult;
        assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
        self.desk.page.call_with_id_in(on_page, "ended").await;
    }

    /// The caller hangs up last.
    async fn main_ends(mut self) {
        let (server, call, on_page) = &mut self.main;
        assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
        self.desk.page.call_with_id_in(on_page, "ended").await;
        let gone = self
            .desk
            .gateway
            .metric_is("talkbridge_calls_active", "", 0.0);
        gone.await;
    }
}

/// The conference comes and goes, the consult dialog ends before it or after it: the agent is heard in it in its own codec, her keys have its number, and
/// when two are left she has her caller again.
async fn conference(consult_first: bool) {
    let mut consultation = Consultation::start().await;
    if consult_first {
        consultation.consult_ends().await;
    }
    let desk = &consultation.desk;
    let mixer = Customer::announcement(desk.site.media()).await;
    let usual = description(mixer.address());
    let other = usual
        .replace("0 8 101", "8 96")
        .replace("rtpmap:101", "rtpmap:96");
    let (server, call, on_page) = &mut consultation.main;
    let answer = offers(server, call, &other).await;
    assert!(answer.contains("RTP/AVP 8 96"), "{answer}");
    mixer.hears(PAGE_HZ).await;
    desk.page.hears(ANNOUNCEMENT_HZ).await;
    consultation.colleague.hears_nothing().await;
    desk.page.call_with_id_in(on_page, "talking").await;
    let press = json!({"type": "dtmf", "call": on_page, "digits": "5"});
    assert_eq!(desk.page.request(press).await["type"], "ok");
    eventually("the key is heard in the conference", || {
        mixer.heard().keys_as == [(96, 5)]
    })
    .await;
    if !consult_first {
        consultation.consult_ends().await;
    }

    // Two are left: an offer of ours leads the dialog back.
    let desk = &consultation.desk;
    let (server, call, on_page) = &mut consultation.main;
    assert_eq!(server.asks(&call.request("INVITE", "", "")).await, 200);
    server
        .say(&call.ack_with_answer(call.cseq, desk.customer.address()))
        .await;
    desk.both_hear().await;
    mixer.hears_nothing().await;
    desk.page.call_with_id_in(on_page, "talking").await;
    consultation.main_ends().await;
}

#[tokio::test]
async fn a_conference_begins_and_the_consultation_ends() {
    conference(false).await;
}

#[tokio::test]
async fn the_consultation_ends_and_a_conference_begins() {
    conference(true).await;
}

/// The Media Server speaks a codec that the agent's endpoint does not: the move is refused, and SIP Server, which rolls back, finds both calls as
/// they were. So does the agent, who alternates to her caller afterwards.
#[tokio::test]
async fn a_conference_that_cannot_be_joined_leaves_both_calls_as_they_were() {
    let mut consultation = Consultation::start().await;
    let desk = &consultation.desk;
    let foreign = description(desk.customer.address()).replace("0 8 101", "18");
    let (server, call, on_page) = &mut consultation.main;
    let lines = "Content-Type: application/sdp\n";
    let offer = call.request("INVITE", lines, &foreign);
    assert_eq!(server.asks(&offer).await, 488);
    let refused = format!("CSeq: {} INVITE", call.cseq);
    let refusal = |message: &str| message.contains("SIP/2.0 488") && message.contains(&refused);
    server.hears("488", refusal).await;
    desk.page.call_with_id_in(on_page, "held").await;
    let (.., second_on_page) = &consultation.consult;
    desk.page.call_with_id_in(second_on_page, "talking").await;
    consultation.colleague.hears(PAGE_HZ).await;
    desk.customer.hears_nothing().await;

    consultation.consult_ends().await;
    let desk = &consultation.desk;
    let (server, call, on_page) = &mut consultation.main;
    let talk = call.request("NOTIFY", "Event: talk\n", "");
    assert_eq!(server.asks(&talk).await, 200);
    desk.page.call_with_id_in(on_page, "talking").await;
    desk.both_hear().await;
    consultation.main_ends().await;
}
