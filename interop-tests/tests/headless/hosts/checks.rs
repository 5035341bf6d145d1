//! ICE and DTLS of a page that lies, and of others who would be a page.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use interop_tests::attack::forged::forged_hellos;
use interop_tests::page::PageOptions;
use interop_tests::wait::eventually_some;
use interop_tests::{Gateway, Host, Lan, Page, Registrar, Site, on_hosts};
use rtc::crypto::default_provider;
use rtc::stun::attributes::{ATTR_PRIORITY, ATTR_USERNAME, RawAttribute};
use rtc::stun::fingerprint::FINGERPRINT;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{BINDING_REQUEST, Message, Setter, TransactionId};
use rtc::stun::textattrs::TextAttribute;
use serde_json::json;

/// How long a host that got nothing has waited: a page that is up hears so many packets of its call meanwhile, or signs in.
const SILENT_FOR: Duration = Duration::from_millis(300);

struct Office {
    gateway: Gateway,
    stranger: Host,
    site: Site,
    _registrar: Registrar,
}

async fn office(site: Site, lan: &Lan) -> Office {
    let stranger = lan.host(&[site.stranger()]);
    let registrar = Registrar::start(site.server_sip()).await;
    let registrar = registrar.expect("a host of our own");
    let gateway = Gateway::start(&site).await;
    Office {
        gateway,
        stranger,
        site,
        _registrar: registrar,
    }
}

impl Office {
    fn media(&self) -> SocketAddr {
        SocketAddr::new(self.site.gateway(), 40_000)
    }
}

/// What a description says behind this name.
fn attribute<'s>(sdp: &'s str, name: &str) -> &'s str {
    let mut lines = sdp.lines();
    let value = lines.find_map(|line| line.strip_prefix(name));
    value.unwrap_or_else(|| panic!("no {name} in {sdp}"))
}

/// A check (RFC 8445 section 7.2.2) by somebody who has this password; with its fingerprint or without.
fn check(username: &str, password: &str, marked: bool) -> Vec<u8> {
    let crypto = default_provider().expect("a provider");
    let integrity = MessageIntegrity::new_short_term_integrity_with_provider(
        password.to_owned(),
        crypto.crypto(),
    );
    let mut parts: Vec<Box<dyn Setter>> = vec![
        Box::new(TransactionId::new()),
        Box::new(BINDING_REQUEST),
        Box::new(TextAttribute::new(ATTR_USERNAME, username.to_owned())),
        Box::new(RawAttribute {
            typ: ATTR_PRIORITY,
            length: 4,
            value: vec![0x6e, 0, 1, 0xff],
        }),
        Box::new(integrity),
    ];
    if marked {
        parts.push(Box::new(FINGERPRINT));
    }
    let mut message = Message::new();
    message.build(&parts).expect("a check");
    message.raw
}

/// What comes back to a check from this socket.
fn answer(socket: &UdpSocket, to: SocketAddr, check: &[u8]) -> Option<Vec<u8>> {
    socket.send_to(check, to).expect("it leaves");
    let mut buffer = [0; 2_048];
    let len = socket.recv(&mut buffer).ok()?;
    Some(buffer[..len].to_vec())
}

/// A stranger who knows the user names of a leg, as whoever sees one check does, and not its password gets nothing back, however he writes his check; with the
/// password he gets the answer of a browser.
#[test]
fn a_check_takes_the_password_and_its_own_form() {
    let site = Site::alone();
    let addresses = site.with_sip_server();
    on_hosts(site, &addresses, |site, lan| async move {
        let office = office(site, &lan).await;
        let page = Page::sign_in(&office.gateway, "1002").await;
        let offer = page.messages("media_offer").remove(0);
        let offer = offer["sdp"].as_str().unwrap_or_default();
        let answered = page.state().answer.clone();
        let ours = attribute(offer, "a=ice-ufrag:");
        let theirs = attribute(&answered, "a=ice-ufrag:");
        let (username, password) = (format!("{ours}:{theirs}"), attribute(offer, "a=ice-pwd:"));
        let nobody = format!("{ours}nobody:{theirs}");

        let from = SocketAddr::new(office.site.stranger(), 0);
        let socket = office
            .stranger
            .at(|| UdpSocket::bind(from).expect("a host of its own"));
        let waits = socket.set_read_timeout(Some(SILENT_FOR));
        waits.expect("a socket can wait");
        let good = check(&username, password, true);
        let unsigned = |mut check: Vec<u8>| {
            // Without what follows the user name and the priority.
            let end = check.len() - 32;
            check.truncate(end);
            check[2..4].copy_from_slice(&u16::try_from(end - 20).expect("short").to_be_bytes());
            check
        };
        let patched = |at: usize, octets: &[u8]| {
            let mut check = good.clone();
            check[at..at + octets.len()].copy_from_slice(octets);
            check
        };
        let long = [&good[..], &[0; 1_000]].concat();
        let unsound = "talkbridge_stun_bad_integrity_total";
        let before = office.gateway.metric(unsound, "").await;
        for (what, check) in [
            (
                "a wrong password",
                check(&username, "of nobody at all, 22 c", true),
            ),
            (
                "no fingerprint and a wrong password",
                check(&username, "", false),
            ),
            ("no signature", unsigned(good.clone())),
            ("another user", check(&nobody, password, true)),
            ("an attribute of 64 KiB", patched(22, &[0xff, 0xff])),
            ("a message of 64 KiB", patched(2, &[0xff, 0xfc])),
            ("a message of no length", patched(2, &[0, 0])),
            ("half a check", good[..good.len() / 2].to_vec()),
            ("more behind it", long),
            ("another magic", patched(4, &[1, 2, 3, 4])),
            ("a bent signature", patched(good.len() - 20, &[0, 1, 2, 3])),
        ] {
            let answer = answer(&socket, office.media(), &check);
            assert_eq!(answer, None, "{what}");
        }
        // The wrong passwords and the bent signature; what is no whole check of this leg, or has no signature, is none with a wrong one.
        let gateway = &office.gateway;
        gateway.metric_is(unsound, "", before + 3.0).await;
        let answer = answer(&socket, office.media(), &good).expect("the answer to a good one");
        assert_eq!(answer[..2], [1, 1], "{answer:02x?}");
        // But for the address in it.
        assert!(answer.len() <= good.len() + 20, "{}", answer.len());
        assert!(page.connected());
        page.sign_out().await;
    });
}

/// A page names addresses inside, dozens of them, the stranger's among them: nobody gets a datagram, and its own leg is up all the same.
#[test]
fn candidates_of_a_page_lead_nowhere() {
    let site = Site::alone();
    let addresses = site.with_sip_server();
    on_hosts(site, &addresses, |site, lan| async move {
        let office = office(site, &lan).await;
        let before = office.stranger.datagrams();
        let page = Page::start(office.gateway.page("1002")).await;
        let page = page.expect("the page connects");
        let stranger = office.site.stranger().to_string();
        for nth in 0..15 {
            for target in [
                &*stranger,
                "169.254.169.254",
                "10.0.0.1",
                "metadata.google.internal",
            ] {
                let port = 1_024 + nth;
                let candidate =
                    format!("candidate:{nth} 1 udp 2130706431 {target} {port} typ host");
                let said =
                    json!({"type": "media_candidate", "candidate": candidate, "sdp_mid": "0"});
                let reply = page.request(said).await;
                assert!(["ok", "error"].contains(&reply["type"].as_str().unwrap_or_default()));
            }
        }
        page.ready().await;
        assert_eq!(
            office.stranger.datagrams(),
            before,
            "it was named, and not asked"
        );
        page.sign_out().await;
    });
}

/// Somebody in the middle has another certificate than the page has named: the leg fails, the page, the log, the metrics and the administrators are told why, and no
/// call is put on it.
#[test]
fn a_certificate_that_was_not_named_fails() {
    let site = Site::alone();
    let addresses = site.with_sip_server();
    on_hosts(site, &addresses, |site, lan| async move {
        let office = office(site, &lan).await;
        let options = PageOptions {
            misnamed: true,
            ..office.gateway.page("1002")
        };
        let page = Page::start(options).await.expect("the page connects");
        eventually_some("the page is told", || {
            let told = page.messages("media_state");
            told.into_iter().find(|told| told["state"] == "failed")
        })
        .await;
        let told = page.messages("media_state");
        assert!(
            told.iter().all(|told| told["state"] != "connected"),
            "{told:?}"
        );
        let failed = told.iter().find(|told| told["state"] == "failed");
        assert_eq!(failed.expect("it was told")["cause"], "wrong_certificate");
        let gateway = &office.gateway;
        gateway
            .logs(&["\"1002\"", "browser media failed", "wrong_certificate"])
            .await;
        let agent = gateway.get("/api/v1/agents/1002").await.json();
        assert_eq!(agent["media_failure"], "wrong_certificate", "{agent}");
        let failures = "talkbridge_browser_legs_failed_total";
        assert!(gateway.metric(failures, "wrong_certificate").await >= 1.0);
    });
}

/// Another host says ClientHellos that could be the browser's, under the browser's own address, two hundred times a second: it brings no cookie, and each leg comes up at the
/// first try.
#[test]
fn a_leg_comes_up_beside_forged_hellos() {
    let done = forged_hellos(Duration::ZERO);
    assert!(done.starts_with("3 of 3 legs"), "{done}");
}
