//! What Genesys SIP Server and its own endpoint exchange: read, understood, and printed octet for
//! octet.
#![allow(clippy::unwrap_used)]

use sip::{
    HeaderName, Message, Method, Request, Response, StatusCode,
    wire::{Refresher, SessionExpires},
};

fn octets(name: &str) -> Vec<u8> {
    let path = format!(
        "{}/tests/data/sip-server/{name}.sip",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn request(name: &str) -> Request {
    match Message::parse(&octets(name)) {
        Ok(Message::Request(request)) => request,
        other => panic!("{name}: {other:?}"),
    }
}

fn response(name: &str) -> Response {
    match Message::parse(&octets(name)) {
        Ok(Message::Response(response)) => response,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn all_of_them_print_as_they_came() {
    let folder = format!("{}/tests/data/sip-server", env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let message = Message::parse(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert!(message.to_bytes() == bytes, "{}", path.display());
        sip::fuzz::message(&bytes);
        count += 1;
    }
    assert_eq!(count, 29);
}

/// The agent's phone would stay silent if From were taken apart wrongly: the tag of a bare address
/// belongs to the header.
#[test]
fn an_invite_has_bare_addresses_and_via_last() {
    let invite = request("invite");
    assert_eq!(invite.method, Method::Invite);
    assert_eq!(invite.uri.user().unwrap(), b"1002");
    let names: Vec<_> = invite
        .headers
        .iter()
        .map(|(name, _)| name.as_str().to_owned())
        .collect();
    assert_eq!(
        names[..7],
        [
            "From",
            "To",
            "Call-ID",
            "CSeq",
            "Content-Length",
            "Content-Type",
            "Via"
        ]
    );
    let from = invite.headers.from().unwrap();
    assert_eq!(from.uri.to_string(), "sip:1003@192.0.2.81:5060");
    assert_eq!(
        from.tag().unwrap().as_bytes(),
        b"88170A6B-45A8-43AE-9D3C-97CE63DC2C9C-256"
    );
    assert!(invite.headers.to().unwrap().tag().is_none());
    let call_id = invite.headers.call_id().unwrap();
    assert_eq!(
        call_id.to_string(),
        "D6F9763C-E5D5-4C4B-97C3-C0725E0E2E17-56@192.0.2.81"
    );
    let expires = SessionExpires {
        seconds: 1800,
        refresher: Some(Refresher::Uac),
    };
    assert_eq!(invite.headers.session_expires().unwrap(), Some(expires));
    assert_eq!(invite.headers.min_se().unwrap(), Some(90));
    assert_eq!(
        invite.headers.supported(),
        ["uui".into(), "100rel".into(), Box::<str>::from("timer")]
    );
    assert_eq!(invite.headers.allow().len(), 11);
    let uuid = invite
        .headers
        .get_str(&HeaderName::X_GENESYS_CALL_UUID)
        .unwrap();
    assert_eq!(uuid, "UIVB8J6JE91C53UIM3VI59VHQ4000015");
    let sdp = sip::body::sdp(&invite.headers, &invite.body).unwrap();
    assert_eq!((sdp.len(), &sdp[..5]), (410, &b"v=0\r\n"[..]));
    let contact = invite.headers.contact().unwrap().unwrap();
    assert_eq!(contact.uri.to_string(), "sip:1003@192.0.2.81:5060");
}

#[test]
fn an_invite_without_offer_has_no_sdp() {
    for name in ["make-call-invite", "reinvite-without-offer"] {
        let invite = request(name);
        assert_eq!(
            sip::body::sdp(&invite.headers, &invite.body),
            None,
            "{name}"
        );
    }
    assert_eq!(
        request("invite-to-without-port")
            .headers
            .to()
            .unwrap()
            .uri
            .port(),
        None
    );
}

#[test]
fn notify_talk_is_in_the_dialog_of_the_invite() {
    let (invite, ringing) = (request("invite"), response("ringing"));
    let notify = request("notify-talk");
    assert_eq!(notify.method, Method::Notify);
    assert_eq!(&*notify.headers.event().unwrap().unwrap().package, "talk");
    assert_eq!(
        &*notify.headers.subscription_state().unwrap().unwrap().state,
        "active"
    );
    assert_eq!(notify.headers.call_id(), invite.headers.call_id());
    assert_eq!(
        notify.headers.from().unwrap().tag(),
        invite.headers.from().unwrap().tag()
    );
    assert_eq!(
        notify.headers.to().unwrap().tag(),
        ringing.headers.to().unwrap().tag()
    );
    assert_eq!(notify.headers.cseq().unwrap().number, 2);
    assert!(request("notify-talk-without-user").uri.user().is_none());
}

/// SIP Server matches our answers by what it sent: our 200 has its own octets in them.
#[test]
fn our_answer_is_the_one_its_own_endpoint_gives() {
    let mut answer = Response::for_request(&request("notify-talk"), StatusCode::OK);
    answer
        .headers
        .note_source("192.0.2.81:5060".parse().unwrap());
    let theirs = response("notify-talk-200");
    for name in [
        HeaderName::FROM,
        HeaderName::TO,
        HeaderName::CALL_ID,
        HeaderName::CSEQ,
    ] {
        assert_eq!(
            answer.headers.get(&name),
            theirs.headers.get(&name),
            "{name}"
        );
    }
    assert_eq!(
        answer.headers.top_via().unwrap().branch,
        theirs.headers.top_via().unwrap().branch
    );
}

#[test]
fn registrar_answers() {
    let ok = response("register-200");
    assert_eq!(
        ok.headers
            .contact()
            .unwrap()
            .unwrap()
            .params
            .get("expires")
            .unwrap(),
        b"1800"
    );
    assert_eq!(
        ok.headers.top_via().unwrap().received.unwrap().to_string(),
        "198.51.100.3"
    );
    let missing = response("register-404");
    assert_eq!(
        (missing.status, missing.reason.as_slice()),
        (StatusCode::NOT_FOUND, &b"Not Found"[..])
    );
    // rport comes back as it was sent: empty.
    assert_eq!(missing.headers.top_via().unwrap().rport, Some(None));
    let gone = response("unregister-200");
    assert_eq!(gone.headers.expires().unwrap(), Some(0));
    assert_eq!(
        request("register-unknown-dn")
            .headers
            .content_length()
            .unwrap(),
        Some(0)
    );
    let named = request("register").headers.from().unwrap();
    assert_eq!(named.display.unwrap(), b"Genesys Softphone");
}

#[test]
fn acks_and_byes() {
    let echo = request("make-call-ack-echo");
    assert_eq!(echo.headers.max_forwards().unwrap(), None);
    assert!(sip::body::sdp(&echo.headers, &echo.body).is_some());
    let hole = request("make-call-ack-black-hole");
    assert!(
        hole.body
            .windows(16)
            .any(|text| text == b"c=IN IP4 0.0.0.0")
    );
    assert_eq!(
        request("make-call-bye-timeout").headers.reason().unwrap(),
        None
    );
    let reason = request("make-call-bye-reason")
        .headers
        .reason()
        .unwrap()
        .unwrap();
    assert_eq!(
        (reason.cause, reason.text.unwrap()),
        (Some(403), b"Forbidden".to_vec())
    );
    let ack = request("ack-of-487");
    assert_eq!(
        ack.headers.top_via().unwrap().branch,
        request("cancel").headers.top_via().unwrap().branch
    );
}
