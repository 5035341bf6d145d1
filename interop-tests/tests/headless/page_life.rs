//! The life of a page's session: lost and resumed, taken over, refused, signed out.

use interop_tests::gateway::{PAGE_HZ, talkbridge};
use interop_tests::page::PageOptions;
use interop_tests::{Desk, Gateway, Page, eventually};
use serde_json::json;

async fn resume(desk: &Gateway, resume: String) -> Page {
    let options = PageOptions {
        resume: Some(resume),
        ..desk.page("1002")
    };
    Page::start(options).await.expect("the page connects")
}

/// A desk whose call is up and heard, with SIPp waiting to see the agent hang up.
async fn in_a_call(desk: &Desk) -> interop_tests::Sipp {
    let sipp = desk.calling("uac-invite-agent-hangs-up").start();
    desk.both_hear().await;
    sipp
}

#[tokio::test]
async fn a_page_that_comes_back_finds_its_call() {
    let Desk {
        page,
        customer,
        gateway,
        registrar,
        site,
    } = Desk::start().await;
    let mut sipp = interop_tests::SippOptions::calling(&site, "uac-invite-agent-hangs-up")
        .media(customer.address())
        .start();
    customer.hears(PAGE_HZ).await;
    let id = page.call()["id"].clone();
    let secret = page.vanish().await;
    customer.hears_nothing().await;
    let page = resume(&gateway, secret).await;
    page.ready().await;
    assert_eq!(
        (&page.call()["id"], &page.call()["state"]),
        (&id, &json!("talking"))
    );
    customer.hears(PAGE_HZ).await;
    page.hears(interop_tests::customer::CUSTOMER_HZ).await;
    assert_eq!(
        registrar.expiry("1002"),
        Some(1800),
        "it was never unregistered"
    );
    sipp.cue().await;
    page.control("hangup").await;
    sipp.passes().await;
}

/// Her page is loaded anew in mid-call, and something breaks its encryption; the gateway still believes in the connection before. The page is told each time and offered another, and
/// when nothing is in the way any more she is back in her call.
#[tokio::test]
async fn a_page_whose_fresh_connection_fails_is_offered_another() {
    let desk = Desk::start().await;
    let mut sipp = in_a_call(&desk).await;
    let (gateway, customer) = (&desk.gateway, &desk.customer);
    let options = PageOptions {
        misnamed: true,
        resume: Some(desk.page.vanish().await),
        ..gateway.page("1002")
    };
    let page = Page::start(options).await.expect("the page connects");
    eventually("it is told of each that fails", || {
        let told = page.messages("media_state");
        let causes = told.iter().filter(|told| told["state"] == "failed");
        causes
            .filter(|told| told["cause"] == "wrong_certificate")
            .count()
            >= 2
    })
    .await;
    assert!(page.messages("media_offer").len() >= 2);
    let page = resume(gateway, page.vanish().await).await;
    page.ready().await;
    assert_eq!(page.call()["state"], "talking");
    customer.hears(PAGE_HZ).await;
    page.hears(interop_tests::customer::CUSTOMER_HZ).await;
    sipp.cue().await;
    page.control("hangup").await;
    sipp.passes().await;
}

/// The agent's token was good for the beginning of her shift, and her socket drops in mid-call: the session is there, and takes her back. Without it the token is
/// worth nothing.
#[tokio::test]
async fn a_page_whose_token_has_expired_comes_back_to_its_call() {
    let desk = Desk::start().await;
    let mut sipp = in_a_call(&desk).await;
    let token = Gateway::expired_token("1002");
    let page = |resume| PageOptions {
        token: token.clone(),
        resume,
        ..desk.gateway.page("1002")
    };
    let Desk {
        page: lost,
        customer,
        ..
    } = &desk;
    let welcome = lost.messages("welcome").remove(0);
    let secret = welcome["resume"].as_str().expect("a secret").to_owned();
    for resume in [None, Some("a guess".to_owned())] {
        let stranger = Page::start(page(resume)).await.expect("the socket opens");
        assert!(matches!(stranger.closed().await, 4403 | 4409));
    }
    assert!(lost.connected());
    let back = Page::start(page(Some(secret))).await.expect("it connects");
    back.ready().await;
    assert_eq!(back.call()["state"], "talking");
    customer.hears(PAGE_HZ).await;
    back.hears(interop_tests::customer::CUSTOMER_HZ).await;
    sipp.cue().await;
    back.control("hangup").await;
    sipp.passes().await;
}

#[tokio::test]
async fn a_page_that_does_not_come_back_is_signed_out() {
    let Desk {
        page,
        customer,
        gateway,
        registrar,
        site,
    } = Desk::start_with(|config| config["limits"]["resume_grace_s"] = json!(1)).await;
    let mut sipp = interop_tests::SippOptions::calling(&site, "uac-invite-agent-hangs-up")
        .media(customer.address())
        .start();
    customer.hears(PAGE_HZ).await;
    sipp.cue().await;
    let secret = page.vanish().await;
    sipp.passes().await;
    gateway
        .metric_is("talkbridge_calls_ended_total", "browser_gone", 1.0)
        .await;
    interop_tests::eventually("the DN is unregistered", || {
        registrar.expiry("1002") == Some(0)
    })
    .await;
    // Too late: a new session begins, without the call.
    let page = resume(&gateway, secret).await;
    page.ready().await;
    assert!(page.call().is_null());
}

#[tokio::test]
async fn a_second_page_takes_the_call_over() {
    let desk = Desk::start().await;
    let mut sipp = in_a_call(&desk).await;
    let second = Page::sign_in(&desk.gateway, "1002").await;
    assert_eq!(desk.page.closed().await, 4409);
    assert_eq!(desk.page.messages("replaced").len(), 1);
    assert_eq!(second.call()["state"], "talking");
    desk.customer.hears(PAGE_HZ).await;
    second.hears(interop_tests::customer::CUSTOMER_HZ).await;
    sipp.cue().await;
    second.control("hangup").await;
    sipp.passes().await;
}

/// The agent's laptop wakes up while she talks at a desk: its page comes back by itself, and the caller stays where she is.
#[tokio::test]
async fn a_page_that_wakes_up_leaves_the_call_at_the_other() {
    let desk = Desk::start().await;
    let mut sipp = in_a_call(&desk).await;
    let welcome = desk.page.messages("welcome").remove(0);
    let stale = welcome["resume"].as_str().expect("a secret").to_owned();
    let second = Page::sign_in(&desk.gateway, "1002").await;
    assert_eq!(desk.page.closed().await, 4409);
    second.hears(interop_tests::customer::CUSTOMER_HZ).await;
    let woken = resume(&desk.gateway, stale).await;
    assert_eq!(woken.closed().await, 4409);
    assert!(woken.messages("welcome").is_empty());
    assert_eq!(second.call()["state"], "talking");
    desk.customer.hears(PAGE_HZ).await;
    sipp.cue().await;
    second.control("hangup").await;
    sipp.passes().await;
}

#[tokio::test]
async fn signing_out_ends_the_call() {
    let Desk {
        page,
        customer,
        gateway,
        registrar,
        site,
    } = Desk::start().await;
    let mut sipp = interop_tests::SippOptions::calling(&site, "uac-invite-agent-hangs-up")
        .media(customer.address())
        .start();
    customer.hears(PAGE_HZ).await;
    sipp.cue().await;
    page.sign_out().await;
    sipp.passes().await;
    gateway
        .metric_is("talkbridge_calls_ended_total", "agent_sign_out", 1.0)
        .await;
    interop_tests::eventually("the DN is unregistered", || {
        registrar.expiry("1002") == Some(0)
    })
    .await;
}

#[tokio::test]
async fn an_ice_restart_does_not_interrupt_the_call() {
    let desk = Desk::start().await;
    let mut sipp = in_a_call(&desk).await;
    let reply = desk.page.request(json!({"type": "media_restart"})).await;
    assert_eq!(reply["type"], "ok", "{reply}");
    interop_tests::eventually("a new offer", || {
        desk.page.messages("media_offer").len() == 2
    })
    .await;
    let packets = desk.customer.heard().packets;
    interop_tests::eventually("the voice goes on", || {
        desk.customer.heard().packets > packets + 50
    })
    .await;
    desk.both_hear().await;
    sipp.cue().await;
    desk.page.control("hangup").await;
    sipp.passes().await;
}

#[tokio::test]
async fn keys_of_the_page_reach_the_far_end() {
    let desk = Desk::start().await;
    let mut sipp = in_a_call(&desk).await;
    // The browser's own keypad (RTCDTMFSender) sends events in its RTP.
    desk.page.press(9);
    interop_tests::eventually("the far end hears 9", || desk.customer.heard().keys == [9]).await;
    let digits = json!({"type": "dtmf", "call": desk.page.call()["id"], "digits": "12#"});
    let reply = desk.page.request(digits).await;
    assert_eq!(reply["type"], "ok", "{reply}");
    interop_tests::eventually("the far end hears 1, 2 and #", || {
        desk.customer.heard().keys == [9, 1, 2, 11]
    })
    .await;
    sipp.cue().await;
    desk.page.control("hangup").await;
    sipp.passes().await;
}

#[tokio::test]
async fn a_token_that_is_not_ours_signs_nobody_in() {
    let desk = Desk::start().await;
    for (token, code) in [("not a token", 4403), (&Gateway::token("4711"), 4403)] {
        let options = PageOptions {
            token: token.to_owned(),
            ..desk.gateway.page("1002")
        };
        let page = Page::start(options).await.expect("the socket opens");
        assert_eq!(page.closed().await, code);
    }
    assert!(desk.page.connected());
}

#[tokio::test]
async fn the_commands_own_token_signs_in() {
    let desk = Desk::start().await;
    let dir = tempfile::TempDir::new().expect("a directory");
    let config = desk.gateway.config_file();
    let config = config.to_str().expect("a path of ours");
    let (code, output) = talkbridge(&["token", "--config", config, "--dn", "1003"], dir.path())
        .await
        .expect("it runs");
    assert_eq!(code, Some(0), "{output}");
    let options = PageOptions {
        token: output.trim().to_owned(),
        ..desk.gateway.page("1003")
    };
    let page = Page::start(options).await.expect("the page connects");
    page.ready().await;
}
