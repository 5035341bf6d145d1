//! The registrar answers as live SIP Servers were seen to answer.

#![allow(clippy::unwrap_used)]

mod bench;

use bench::{A, B, Bench, config, config_with, field, has, register};
use sim::tserver::{Control, EventKind, RegisterMode};

#[test]
fn a_registration_is_answered_byte_for_byte_as_traced() {
    let mut bench = Bench::new(config());
    bench.put(
        A,
        "REGISTER sip:192.0.2.81:5060;transport=UDP SIP/2.0\r\n\
         From: \"Genesys Softphone\" <sip:1002@192.0.2.81:5060>;tag=BA00A7C0-2\r\n\
         To: <sip:1002@192.0.2.81:5060>\r\n\
         Call-ID: 2993C505-3FDD-4193-8002-91C6ECFDF695-2@kk81\r\n\
         CSeq: 1 REGISTER\r\n\
         Content-Length: 0\r\n\
         Via: SIP/2.0/UDP 198.51.100.3:5060;branch=z9hG4bK1ACA746D-2\r\n\
         User-Agent: Genesys-Softphone/9.0.014.13 (Windows 10.0.26100)\r\n\
         Max-Forwards: 70\r\n\
         Contact: <sip:1002@198.51.100.3:5060>\r\n\
         Expires: 1800\r\n\r\n",
    );
    let ok = bench.take();
    let tag = bench::param(&field(&ok, "To"), "tag");
    assert_eq!(
        ok,
        format!(
            "SIP/2.0 200 OK\r\n\
             From: \"Genesys Softphone\" <sip:1002@192.0.2.81:5060>;tag=BA00A7C0-2\r\n\
             To: <sip:1002@192.0.2.81:5060>;tag={tag}\r\n\
             Call-ID: 2993C505-3FDD-4193-8002-91C6ECFDF695-2@kk81\r\n\
             CSeq: 1 REGISTER\r\n\
             Via: SIP/2.0/UDP 198.51.100.3:5060;branch=z9hG4bK1ACA746D-2;received=198.51.100.3\r\n\
             Expires: 1800\r\n\
             Contact: <sip:1002@198.51.100.3:5060>;expires=1800\r\n\
             Content-Length: 0\r\n\r\n"
        )
    );
    let kinds: Vec<_> = bench.kinds().into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(
        kinds,
        [
            EventKind::ContactChanged {
                contact: Some("sip:1002@198.51.100.3:5060".to_owned())
            },
            EventKind::InService
        ]
    );
}

/// What a proxy kept back for a while, and delivers when the endpoint has said something else since.
#[test]
fn an_older_register_of_the_same_registrant_is_refused() {
    let mut bench = Bench::new(config());
    let later = register("1002", A, "one", 1800).replace("CSeq: 1 ", "CSeq: 3 ");
    bench.put(A, &later);
    bench.expect("SIP/2.0 200");
    bench.put(A, &register("1002", A, "one", 0));
    bench.expect("SIP/2.0 500");
    assert_eq!(bench.server.registrations().len(), 1);
}

#[test]
fn an_unknown_dn_gets_404_with_expires_and_contact_and_an_empty_rport() {
    let mut bench = Bench::new(config());
    bench.put(
        B,
        "REGISTER sip:192.0.2.81 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 198.51.100.54:5061;rport;branch=z9hG4bKPjdc02088d5\r\n\
         From: <sip:5003@192.0.2.81>;tag=aeb00dc9\r\n\
         To: <sip:5003@192.0.2.81>\r\n\
         Call-ID: cb944417\r\n\
         CSeq: 43784 REGISTER\r\n\
         Contact: <sip:5003@198.51.100.54:5061>\r\n\
         Expires: 3600\r\n\
         Content-Length:  0\r\n\r\n",
    );
    let refusal = bench.take();
    let tag = bench::param(&field(&refusal, "To"), "tag");
    assert_eq!(
        refusal,
        format!(
            "SIP/2.0 404 Not Found\r\n\
             Via: SIP/2.0/UDP 198.51.100.54:5061;rport;branch=z9hG4bKPjdc02088d5;received=198.51.100.54\r\n\
             From: <sip:5003@192.0.2.81>;tag=aeb00dc9\r\n\
             To: <sip:5003@192.0.2.81>;tag={tag}\r\n\
             Call-ID: cb944417\r\n\
             CSeq: 43784 REGISTER\r\n\
             Expires: 3600\r\n\
             Contact: <sip:5003@198.51.100.54:5061>;expires=3600\r\n\
             Content-Length: 0\r\n\r\n"
        )
    );
    assert!(bench.server.registrations().is_empty());
}

#[test]
fn the_last_register_wins_and_an_old_zero_ends_the_newer_binding() {
    let mut bench = Bench::new(config());
    bench.put(A, &register("1002", A, "old", 1800));
    bench.put(B, &register("1002", B, "new", 1800));
    assert_eq!(
        bench.server.registrations()[0].contact,
        "sip:1002@198.51.100.54:5061"
    );
    bench.sent.clear();
    bench.put(A, &register("1002", A, "old", 0));
    let ok = bench.take();
    assert!(!has(&ok, "Expires"), "another Call-ID held the binding");
    assert_eq!(
        field(&ok, "Contact"),
        "<sip:1002@198.51.100.3:5060>;expires=0"
    );
    assert!(bench.server.registrations().is_empty());
}

#[test]
fn its_own_zero_is_answered_with_expires() {
    let mut bench = Bench::new(config());
    bench.put(A, &register("1002", A, "one", 600));
    bench.take();
    bench.put(A, &register("1002", A, "one", 0));
    assert_eq!(field(&bench.take(), "Expires"), "0");
}

#[test]
fn a_binding_expires_unless_renewed() {
    let mut bench = Bench::new(config());
    bench.put(A, &register("1002", A, "one", 60));
    bench.pass(50_000);
    bench.put(A, &register("1002", A, "one", 61));
    bench.pass(59_000);
    assert_eq!(bench.server.registrations().len(), 1);
    bench.pass(2_000);
    assert!(bench.server.registrations().is_empty());
}

#[test]
fn a_repeated_register_gets_the_same_answer_again() {
    let mut bench = Bench::new(config());
    let text = register("1002", A, "one", 60);
    bench.put(A, &text);
    bench.put(A, &text);
    let first = bench.take();
    assert_eq!(first, bench.take());
    bench.pass(33_000);
    bench.put(A, &text);
    assert_ne!(first, bench.take(), "a new transaction after Timer J");
}

#[test]
fn modes_of_the_registrar() {
    let mut settings = config();
    settings.registrar.min_expires_s = Some(300);
    let mut bench = Bench::new(settings);
    bench.put(A, &register("1002", A, "a", 60));
    let brief = bench.expect("SIP/2.0 423 Interval Too Brief\r\n");
    assert_eq!(field(&brief, "Min-Expires"), "300");
    bench.control(Control::RegisterMode(RegisterMode::Unavailable {
        retry_after_s: 7,
    }));
    bench.put(A, &register("1002", A, "b", 600));
    let busy = bench.expect("SIP/2.0 503 ");
    assert_eq!(field(&busy, "Retry-After"), "7");
    bench.control(Control::RegisterMode(RegisterMode::Silent));
    bench.put(A, &register("1002", A, "c", 600));
    bench.nothing();
    bench.control(Control::RegisterMode(RegisterMode::Normal));
    bench.put(A, &register("1002", A, "c", 600));
    bench.expect("SIP/2.0 200 ");
}

#[test]
fn a_dn_with_a_password_is_challenged_and_stale_nonces_are_renewed() {
    let settings = config_with(|dn| {
        dn.password = Some("secret".to_owned());
        dn.qop = false;
    });
    let mut bench = Bench::new(settings);
    bench.put(A, &register("1002", A, "a", 600));
    let challenge = bench.expect("SIP/2.0 401 Unauthorized\r\n");
    let value = field(&challenge, "WWW-Authenticate");
    let nonce = value.split("nonce=\"").nth(1).unwrap();
    let nonce = nonce.split('"').next().unwrap().to_owned();
    // md5(1002:192.0.2.81:secret) and md5(REGISTER:sip:x) are computed outside the machine.
    let answer = |password: &str| {
        let ha1 = md5_hex(&format!("1002:192.0.2.81:{password}"));
        let ha2 = md5_hex("REGISTER:sip:x");
        md5_hex(&format!("{ha1}:{nonce}:{ha2}"))
    };
    let with = |call_id: &str, password: &str| {
        let line = format!(
            "Authorization: Digest username=\"1002\",realm=\"192.0.2.81\",nonce=\"{nonce}\",\
             uri=\"sip:x\",response=\"{}\"\r\nMax-Forwards",
            answer(password)
        );
        register("1002", A, call_id, 600).replace("Max-Forwards", &line)
    };
    bench.put(A, &with("b", "wrong"));
    bench.expect("SIP/2.0 403 ");
    bench.put(A, &with("c", "secret"));
    bench.expect("SIP/2.0 200 ");
    bench.control(Control::ExpireNonces);
    bench.put(A, &with("d", "secret"));
    let stale = bench.expect("SIP/2.0 401 ");
    assert!(field(&stale, "WWW-Authenticate").contains("stale=true"));
}

fn md5_hex(text: &str) -> String {
    use md5::{Digest, Md5};
    use std::fmt::Write as _;
    let mut out = String::new();
    for byte in Md5::digest(text.as_bytes()) {
        write!(out, "{byte:02x}").unwrap();
    }
    out
}
