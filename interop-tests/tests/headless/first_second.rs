//! The first second of a call: with a leg that is warm, what is said from the answer on is heard whole. What belongs to it is told by content: each packet
//! of 20 ms has a tone of its own ([`scale`]).

use std::net::SocketAddr;

use interop_tests::attack::SipPeer;
use interop_tests::customer::CUSTOMER_HZ;
use interop_tests::gateway::PAGE_HZ;
use interop_tests::page::{Begin, PageOptions};
use interop_tests::scale::{self, STEPS, Telephone};
use interop_tests::sipp::header;
use interop_tests::tone::Sine;
use interop_tests::wait::DEADLINE;
use interop_tests::{Customer, Gateway, Page, Registrar, Site, eventually};
use serde_json::json;

/// Calls one after the other: none is a lucky one.
const CALLS: usize = 4;

struct Warm {
    page: Page,
    server: SipPeer,
    _gateway: Gateway,
    _registrar: Registrar,
    site: Site,
}

/// An agent whose leg is warm, and a gateway with a single pair of ports: a telephone can speak to it before it is told where.
async fn warm(opus: bool) -> Warm {
    let site = Site::new();
    let registrar = Registrar::start(site.server_sip()).await;
    let registrar = registrar.expect("the port is ours");
    let gateway = Gateway::start_with(&site, |config| {
        config["media"]["ports"] = json!("16384-16385");
        config["media"]["quarantine_s"] = json!(0);
        if opus {
            config["webrtc"]["codec_policy"] = json!("opus");
        }
    })
    .await;
    // A decoder that begins in the middle of a voice needs a moment: a page's microphone is closed until the call talks.
    let options = PageOptions {
        opus,
        tone_hz: if opus { 0 } else { PAGE_HZ },
        ..gateway.page("1002")
    };
    let page = Page::start(options).await.expect("the page connects");
    page.ready().await;
    let server = SipPeer::start(&site, site.sip_server(), 5070).await;
    Warm {
        page,
        server,
        _gateway: gateway,
        _registrar: registrar,
        site,
    }
}

impl Warm {
    /// Where the only call that there can be has its media.
    fn port(&self) -> SocketAddr {
        (self.site.gateway(), 16_384).into()
    }

    async fn ends(&self, call: &mut interop_tests::attack::Dialog) {
        let bye = call.request("BYE", "", "");
        assert_eq!(self.server.asks(&bye).await, 200);
        self.page.call_in("ended").await;
    }
}

/// What is heard of a scale: everything from some packet on, each once and in order. Its first packet.
fn first_heard(samples: &[i16], decoded: bool, whose: &str) -> usize {
    let heard = match decoded {
        true => scale::heard_decoded(samples),
        false => scale::heard(samples),
    };
    let first = heard.first().copied();
    let first = first.unwrap_or_else(|| panic!("{whose}: nothing was heard"));
    assert_eq!(heard, (first..STEPS).collect::<Vec<_>>(), "{whose}");
    first
}

/// Where packets are handed over as they are, so is every sample.
fn is_contained(samples: &[i16], first: usize) {
    let said: Vec<i16> = (first..STEPS).flat_map(scale::samples).collect();
    let found = samples.windows(said.len()).filter(|part| *part == said);
    assert_eq!(found.count(), 1, "from packet {first} on, once");
}

/// The caller speaks from the moment at which SIP Server sends talk, before he can know that he is answered. Every packet that he sends after the 200 is
/// heard by the agent.
async fn the_caller_is_heard(opus: bool) {
    let warm = warm(opus).await;
    for _ in 0..CALLS {
        let mut caller = Telephone::at(warm.site.media(), warm.port()).await;
        let mut call = warm.server.rings("1002", "", caller.address()).await;
        warm.page.state().ear.keep();
        let talk = call.request("NOTIFY", "Event: talk\n", "");
        let call_id = call.call_id.clone();
        let answered = |message: &str| {
            message.starts_with("SIP/2.0 200")
                && header(message, "CSeq") == Some("1 INVITE")
                && message.contains(&call_id)
        };
        let mut before_answer = None;
        caller.begins();
        caller.waits().await;
        warm.server.say(&talk).await;
        for step in 0..STEPS {
            if before_answer.is_none() && warm.server.count(answered) > 0 {
                before_answer = Some(step);
            }
            caller.says(&scale::frame(step)).await;
            caller.waits().await;
        }
        warm.server.confirms(&mut call).await;
        goes_on(&mut caller, &warm.page).await;
        let first = {
            let state = warm.page.state();
            let first = first_heard(state.ear.kept(), opus, "the caller");
            if !opus {
                is_contained(state.ear.kept(), first);
            }
            first
        };
        let before_answer = before_answer.expect("the call was answered within 400 ms");
        assert!(first <= before_answer, "{first} > {before_answer}");
        warm.ends(&mut call).await;
    }
}

/// Speaks until that is heard: then all of what came before is.
async fn goes_on(caller: &mut Telephone, page: &Page) {
    let mut tone = Sine::new(CUSTOMER_HZ);
    let heard = async {
        while !page.state().ear.hears(CUSTOMER_HZ) {
            caller.says(&tone.frame()).await;
            caller.waits().await;
        }
    };
    let heard = tokio::time::timeout(DEADLINE, heard).await;
    heard.expect("the caller is heard");
}

#[tokio::test]
async fn a_caller_is_heard_from_the_answer_on() {
    the_caller_is_heard(false).await;
}

#[tokio::test]
async fn a_caller_is_heard_from_the_answer_on_in_opus() {
    the_caller_is_heard(true).await;
}

/// The agent speaks from her click on, in her page or on the desktop. Every packet that leaves after her page is told that the call talks is heard by the
/// caller; and nothing of what she said before the click in her page.
async fn the_agent_is_heard(opus: bool) {
    let warm = warm(opus).await;
    let mut whole = [0; 2];
    for nth in 0..2 * CALLS {
        let by_desktop = nth % 2 == 1;
        let customer = Customer::start(warm.site.media()).await;
        let mut call = warm.server.rings("1002", "", customer.address()).await;
        warm.page.call_in("ringing").await;
        customer.heard().ear.keep();
        if by_desktop {
            warm.page.says_scale(Begin::AtTalk);
            let talk = call.request("NOTIFY", "Event: talk\n", "");
            assert_eq!(warm.server.asks(&talk).await, 200);
        } else {
            warm.page.answers_and_says_scale();
        }
        warm.server.confirms(&mut call).await;
        eventually("the scale is said", || {
            warm.page.state().scale_said == STEPS
        })
        .await;
        match opus {
            true => customer.hears_nothing().await,
            false => customer.hears(PAGE_HZ).await,
        }
        let first = {
            let heard = customer.heard();
            let first = first_heard(heard.ear.kept(), opus, "the agent");
            if !opus {
                is_contained(heard.ear.kept(), first);
                let begins = heard.ear.kept().starts_with(&scale::samples(first));
                assert!(begins || by_desktop, "she was heard before her click");
            }
            first
        };
        let before = warm.page.state().scale_before_talking;
        let before = before.expect("the page was told that the call talks");
        assert!(first <= before, "{first} > {before}");
        whole[usize::from(by_desktop)] += usize::from(first == 0);
        warm.ends(&mut call).await;
    }
    assert!(whole.iter().all(|whole| *whole > 0), "{whole:?}");
}

#[tokio::test]
async fn an_agent_is_heard_from_the_click_on() {
    the_agent_is_heard(false).await;
}

#[tokio::test]
async fn an_agent_is_heard_from_the_click_on_in_opus() {
    the_agent_is_heard(true).await;
}
