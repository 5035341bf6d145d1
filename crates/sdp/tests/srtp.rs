//! SRTP in offer and answer (RFC 4568, RFC 8643).
#![allow(clippy::unwrap_used)]

mod common;

use common::{BLACK_HOLE, CALLER_OFFER, local, text, version, wire};
use sdp::{Agreed, CryptoSuite, Direction, Negotiation, NegotiationError, SrtpPolicy};

const KEY_30: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
const OTHER_30: &str = "NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj";
/// Of a suite with 44 octets.
const KEY_44: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKis=";

fn with(policy: SrtpPolicy) -> Negotiation {
    Negotiation::new(7, local()).with_srtp(policy, CryptoSuite::ALL.to_vec(), [9; 32])
}

/// The caller's offer by `profile`, with these lines for keys.
fn offer(profile: &str, crypto: &[&str]) -> Vec<u8> {
    let mut offer = CALLER_OFFER.replace("RTP/AVP", profile);
    for line in crypto {
        offer.push_str(&format!("a=crypto:{line}\n"));
    }
    wire(&offer)
}

fn sha1_80(tag: u32, key: &str) -> String {
    format!("{tag} AES_CM_128_HMAC_SHA1_80 inline:{key}")
}

fn answered(
    negotiation: &mut Negotiation,
    offer: &[u8],
) -> Result<(String, Agreed), NegotiationError> {
    let (answer, agreed) = negotiation.answer(offer, Direction::SendRecv)?;
    Ok((text(answer), agreed))
}

/// The `m=` line and those for keys.
fn lines(description: &str) -> Vec<&str> {
    description
        .lines()
        .filter(|line| line.starts_with("m=audio") || line.starts_with("a=crypto"))
        .collect()
}

/// The text of the key on a line.
fn key_of(line: &str) -> &str {
    line.split("inline:").nth(1).unwrap()
}

/// Every policy and every kind of offer: what a caller gets to hear, or why not.
#[test]
fn policies_and_offers() {
    use NegotiationError::{NoCommonSuite, SrtpOff, SrtpRequired};
    use SrtpPolicy::{Off, Optional, Required};
    let line = sha1_80(1, KEY_30);
    let foreign = "1 F8_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
    let (plain, best_effort) = (offer("RTP/AVP", &[]), offer("RTP/AVP", &[&line]));
    let (secured, keyless) = (offer("RTP/SAVP", &[&line]), offer("RTP/SAVP", &[]));
    let unknown = offer("RTP/SAVP", &[foreign]);
    // The profile of the answer, and whether it is secured.
    type Outcome = Result<(&'static str, bool), NegotiationError>;
    let table: [(_, &[u8], Outcome); 15] = [
        (Off, &plain, Ok(("RTP/AVP", false))),
        (Off, &best_effort, Ok(("RTP/AVP", false))),
        (Off, &secured, Err(SrtpOff)),
        (Off, &keyless, Err(SrtpOff)),
        (Off, &unknown, Err(SrtpOff)),
        (Optional, &plain, Ok(("RTP/AVP", false))),
        (Optional, &best_effort, Ok(("RTP/AVP", true))),
        (Optional, &secured, Ok(("RTP/SAVP", true))),
        (Optional, &keyless, Err(NoCommonSuite)),
        (Optional, &unknown, Err(NoCommonSuite)),
        (Required, &plain, Err(SrtpRequired)),
        (Required, &best_effort, Ok(("RTP/AVP", true))),
        (Required, &secured, Ok(("RTP/SAVP", true))),
        (Required, &keyless, Err(NoCommonSuite)),
        (Required, &unknown, Err(NoCommonSuite)),
    ];
    for (policy, offer, expected) in table {
        let mut negotiation = with(policy);
        let outcome = answered(&mut negotiation, offer).map(|(answer, agreed)| {
            let profile = if answer.contains(" RTP/SAVP ") {
                "RTP/SAVP"
            } else {
                "RTP/AVP"
            };
            assert_eq!(answer.contains("a=crypto:1 "), agreed.srtp.is_some());
            (profile, agreed.srtp.is_some())
        });
        let name = String::from_utf8_lossy(offer);
        assert_eq!(outcome, expected, "{policy:?} for {name}");
    }
}

/// The strongest suite that both have, under the tag that the offer gave it.
#[test]
fn the_strongest_common_suite_is_taken_with_its_tag() {
    let gcm = format!("4 AEAD_AES_256_GCM inline:{KEY_44}");
    let offer = offer(
        "RTP/SAVP",
        &[&sha1_80(1, KEY_30), "2 NULL inline:AAAA", &gcm],
    );
    let (answer, agreed) = answered(&mut with(SrtpPolicy::Optional), &offer).unwrap();
    let lines = lines(&answer);
    assert_eq!(lines.len(), 2, "{answer}");
    assert!(lines[0].contains("RTP/SAVP"));
    assert!(lines[1].starts_with("a=crypto:4 AEAD_AES_256_GCM inline:"));
    let srtp = agreed.srtp.unwrap();
    assert_eq!(srtp.suite, CryptoSuite::AeadAes256Gcm);
    assert_eq!(srtp.theirs.as_bytes(), (0..44).collect::<Vec<u8>>());
    assert_eq!(srtp.ours.as_bytes().len(), 44);
    assert_ne!(srtp.ours, srtp.theirs);
}

/// RFC 4568 sections 6.1 and 6.3: what a line may carry beside its key, and what makes it one that we cannot use.
#[test]
fn parameters_of_a_line() {
    let usable = [
        "|2^20",
        "|1048576",
        "|2^31|1:4",
        "|1:1",
        " WSH=64",
        " -EXTENSION=3",
        "|2^20|66051:4 WSH=1024 -x",
    ];
    let refused = [
        "|",
        "|0",
        "|2^49",
        "|2^20|",
        "|2^20|1",
        "|2^20|1:0",
        "|2^20|1:129",
        "|2^20|256:1",
        "|2^20|1:4|2^3",
        ";inline:NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj|2^20|2:4",
        " KDR=1",
        " UNENCRYPTED_SRTP",
        " UNENCRYPTED_SRTCP",
        " UNAUTHENTICATED_SRTP",
        " FEC_ORDER=FEC_SRTP",
        " EXTENSION=3",
        " WSH=x",
        " -",
        "A",
    ];
    let outcome = |parameter: &str| {
        let line = sha1_80(1, KEY_30) + parameter;
        answered(
            &mut with(SrtpPolicy::Optional),
            &offer("RTP/SAVP", &[&line]),
        )
    };
    for parameter in usable {
        assert!(outcome(parameter).is_ok(), "{parameter}");
    }
    for parameter in refused {
        let refusal = outcome(parameter).map(|(answer, _)| answer);
        assert_eq!(refusal, Err(NegotiationError::NoCommonSuite), "{parameter}");
    }
    let (_, agreed) = outcome("|2^20|66051:4").unwrap();
    let identifier = agreed.srtp.unwrap().their_identifier.unwrap();
    assert_eq!((identifier.value, identifier.octets), (66_051, 4));
}

/// A line that breaks the grammar is passed over; of two with one tag the first one counts.
#[test]
fn broken_lines_are_passed_over() {
    let good = sha1_80(5, KEY_30);
    let twin = sha1_80(5, OTHER_30);
    for broken in [
        "",
        "x",
        "1",
        "-1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
        "1234567890 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
        "1 AES_CM_128_HMAC_SHA1_80",
        "1 AES_CM_128_HMAC_SHA1_80 WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
        "1 AES_CM_128_HMAC_SHA1_80 inline:",
        "1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGV",
        "1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVzAA",
        "1 AEAD_AES_256_GCM inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
    ] {
        let offer = offer("RTP/SAVP", &[broken, &good, &twin]);
        let (answer, agreed) = answered(&mut with(SrtpPolicy::Required), &offer).unwrap();
        assert!(
            answer.contains("a=crypto:5 AES_CM_128_HMAC_SHA1_80"),
            "{answer}"
        );
        assert_eq!(agreed.srtp.unwrap().theirs.as_bytes()[..4], *b"YS__");
    }
}

/// Who offers a secured line and a plain one wants one of them, in either order.
#[test]
fn of_two_lines_the_secured_one_is_answered() {
    let plain = "m=audio 8006 RTP/AVP 0\n";
    let secured = format!("m=audio 8008 RTP/SAVP 0\na=crypto:{}\n", sha1_80(1, KEY_30));
    let head = "v=0\no=- 1 1 IN IP4 192.0.2.81\ns=-\nc=IN IP4 192.0.2.81\nt=0 0\n";
    for (body, secured_at) in [
        (format!("{head}{plain}{secured}"), 1),
        (format!("{head}{secured}{plain}"), 0),
    ] {
        let ports = |policy| {
            let (answer, agreed) = answered(&mut with(policy), &wire(&body)).unwrap();
            let ports: Vec<String> = answer
                .lines()
                .filter_map(|line| line.strip_prefix("m=audio "))
                .map(|line| line.split(' ').next().unwrap().to_owned())
                .collect();
            assert_eq!(ports.len(), 2);
            (ports.iter().position(|port| port != "0").unwrap(), agreed)
        };
        let (at, agreed) = ports(SrtpPolicy::Optional);
        assert_eq!(at, secured_at);
        assert_eq!(agreed.remote.unwrap().port(), 8008);
        let (at, agreed) = ports(SrtpPolicy::Off);
        assert_eq!(at, 1 - secured_at);
        assert_eq!(agreed.srtp, None);
    }
}

/// SIP Server repeats the description within milliseconds: the keys stay, and so does the version. With a key of the peer that is new, it may
/// be somebody else: ours is new as well.
#[test]
fn keys_stay_while_the_peer_keeps_its_own() {
    let mut negotiation = with(SrtpPolicy::Optional);
    let first = offer("RTP/SAVP", &[&sha1_80(1, KEY_30)]);
    let (answer, agreed) = answered(&mut negotiation, &first).unwrap();
    let (again, same) = answered(&mut negotiation, &first).unwrap();
    assert_eq!((&again, &same), (&answer, &agreed));
    let held = [&first[..], b"a=sendonly\r\n"].concat();
    let (_, held) = answered(&mut negotiation, &held).unwrap();
    assert_eq!(held.srtp, agreed.srtp);
    let moved = offer("RTP/SAVP", &[&sha1_80(1, OTHER_30)]);
    let (_, moved) = answered(&mut negotiation, &moved).unwrap();
    let (before, after) = (agreed.srtp.unwrap(), moved.srtp.unwrap());
    assert_ne!(before.theirs, after.theirs);
    assert_ne!(before.ours, after.ours);
}

/// SIP Server asks for an offer on a call that is up: it is by the profile of the call, and with the key that is in use.
#[test]
fn our_offers_keep_profile_and_key_of_the_call() {
    for (profile, tag) in [("RTP/SAVP", 1), ("RTP/AVP", 7)] {
        let mut negotiation = with(SrtpPolicy::Optional);
        let line = sha1_80(tag, KEY_30);
        let (answer, agreed) = answered(&mut negotiation, &offer(profile, &[&line])).unwrap();
        let ours = key_of(lines(&answer)[1]).to_owned();
        let next = text(negotiation.offer(Direction::SendRecv));
        let lines = lines(&next);
        assert!(lines[0].contains(&format!(" {profile} ")), "{next}");
        let repeated = lines
            .iter()
            .find(|line| line.contains("AES_CM_128_HMAC_SHA1_80"));
        assert_eq!(key_of(repeated.unwrap()), ours);
        assert!(!next.contains("SHA1_32"), "short tags are asked of nobody");
        let tag = repeated.unwrap()["a=crypto:".len()..]
            .split(' ')
            .next()
            .unwrap();
        let line = sha1_80(tag.parse().unwrap(), KEY_30);
        let accepted = negotiation.accept(&offer(profile, &[&line])).unwrap();
        assert_eq!(accepted.srtp, agreed.srtp);
    }
}

/// RFC 8643: our first offer is plain with keys, and the callee decides.
#[test]
fn an_optional_offer_is_answered_as_the_callee_can() {
    let line = |tag| sha1_80(tag, KEY_30);
    let dialled = || {
        let mut negotiation = with(SrtpPolicy::Optional);
        let offer = text(negotiation.offer(Direction::SendRecv));
        assert!(offer.contains("m=audio 16384 RTP/AVP "), "{offer}");
        assert!(
            offer.contains("a=crypto:4 AES_CM_128_HMAC_SHA1_80"),
            "{offer}"
        );
        negotiation
    };
    let agreed = dialled().accept(&offer("RTP/AVP", &[])).unwrap();
    assert_eq!(agreed.srtp, None);
    let agreed = dialled().accept(&offer("RTP/AVP", &[&line(4)])).unwrap();
    assert_eq!(agreed.srtp.unwrap().suite, CryptoSuite::Aes128CmSha1_80);
    for broken in [
        vec![line(1)],
        vec![line(9)],
        vec![line(4), line(5)],
        vec!["4 AEAD_AES_128_GCM inline:AAAA".to_owned()],
    ] {
        let lines: Vec<&str> = broken.iter().map(String::as_str).collect();
        let refusal = dialled().accept(&offer("RTP/AVP", &lines));
        assert_eq!(refusal, Err(NegotiationError::ForeignKey), "{broken:?}");
    }
}

/// Where SRTP is required our offers are secured, and an answer that is not is none.
#[test]
fn a_required_offer_takes_no_plain_answer() {
    let mut negotiation = with(SrtpPolicy::Required);
    let ours = text(negotiation.offer(Direction::SendRecv));
    assert!(ours.contains("m=audio 16384 RTP/SAVP "), "{ours}");
    let refusal = negotiation.accept(&offer("RTP/AVP", &[]));
    assert_eq!(refusal, Err(NegotiationError::SrtpRequired));
    negotiation.offer(Direction::SendRecv);
    let refusal = negotiation.accept(&offer("RTP/SAVP", &[]));
    assert_eq!(refusal, Err(NegotiationError::NoCommonSuite));
}

/// SIP Server parks a call behind a plain description without an address, and a hold may be a port of 0: neither ends SRTP, and neither is
/// refused. What comes back with the old key goes on with the old counters, so the keys are the same.
#[test]
fn a_description_that_leads_nowhere_changes_no_keys() {
    let mut negotiation = with(SrtpPolicy::Required);
    let secured = offer("RTP/SAVP", &[&sha1_80(1, KEY_30)]);
    let (_, agreed) = answered(&mut negotiation, &secured).unwrap();
    let disabled = wire(&CALLER_OFFER.replace("m=audio 8006", "m=audio 0"));
    for parked in [wire(BLACK_HOLE), disabled] {
        let (answer, parked) = answered(&mut negotiation, &parked).unwrap();
        assert!(answer.contains(" RTP/AVP "), "{answer}");
        assert!(!answer.contains("a=crypto"), "{answer}");
        assert_eq!((parked.remote, &parked.srtp), (None, &agreed.srtp));
    }
    let next = text(negotiation.offer(Direction::SendRecv));
    assert!(next.contains(" RTP/SAVP "));
    // Our own description echoed back by the ACK carries our own keys.
    let echo = negotiation.accept(next.as_bytes()).unwrap();
    assert!(echo.echo);
    assert_eq!(echo.srtp, agreed.srtp);
    let (_, resumed) = answered(&mut negotiation, &secured).unwrap();
    assert_eq!(resumed.srtp, agreed.srtp);
}

/// The conference bridge speaks plain RTP and the caller does not: the call follows, and a key that was dropped is not used again.
#[test]
fn a_call_changes_to_plain_and_back() {
    let mut negotiation = with(SrtpPolicy::Optional);
    let secured = offer("RTP/SAVP", &[&sha1_80(1, KEY_30)]);
    let (_, before) = answered(&mut negotiation, &secured).unwrap();
    let (answer, plain) = answered(&mut negotiation, &offer("RTP/AVP", &[])).unwrap();
    assert_eq!(plain.srtp, None);
    assert!(!answer.contains("a=crypto"));
    let (_, after) = answered(&mut negotiation, &secured).unwrap();
    let (before, after) = (before.srtp.unwrap(), after.srtp.unwrap());
    assert_eq!(before.theirs, after.theirs);
    assert_ne!(before.ours, after.ours, "its indices would begin anew");
}

/// The session is refreshed with our last description, an answer: its one line is what the refresh offers.
#[test]
fn a_refresh_offers_what_was_said_last() {
    let mut negotiation = with(SrtpPolicy::Optional);
    let line = sha1_80(3, KEY_30);
    let (answer, agreed) = answered(&mut negotiation, &offer("RTP/SAVP", &[&line])).unwrap();
    negotiation.offer_again(Direction::SendRecv);
    let refreshed = negotiation.accept(&offer("RTP/SAVP", &[&line])).unwrap();
    assert_eq!(refreshed.srtp, agreed.srtp);
    let (again, _) = answered(&mut negotiation, &offer("RTP/SAVP", &[&line])).unwrap();
    assert_eq!(version(again.as_bytes()), version(answer.as_bytes()));
}

#[test]
fn keys_are_not_printed_for_people() {
    let mut negotiation = with(SrtpPolicy::Required);
    let secured = offer("RTP/SAVP", &[&sha1_80(1, KEY_30)]);
    let (answer, agreed) = answered(&mut negotiation, &secured).unwrap();
    let ours = key_of(lines(&answer)[1]);
    let printed = format!("{negotiation:?} {agreed:?}");
    assert!(
        !printed.contains(ours) && !printed.contains(KEY_30),
        "{printed}"
    );
    assert!(printed.contains("SrtpKey(..)"));
}

/// Our offer was taken by a party with another key: the former one knows ours. What we say next, offer or answer, names another key; what is under way
/// until then, and a refresh that repeats our last description, stays heard.
#[test]
fn a_key_that_a_former_party_knows_is_not_offered_again() {
    let mut negotiation = with(SrtpPolicy::Required);
    let first = text(negotiation.offer(Direction::SendRecv));
    let taken = |key| offer("RTP/SAVP", &[&sha1_80(4, key)]);
    let alone = negotiation.accept(&taken(KEY_30)).unwrap().srtp.unwrap();
    let second = text(negotiation.offer(Direction::SendRecv));
    assert_eq!(lines(&second), lines(&first), "nobody else has come yet");
    let joined = negotiation.accept(&taken(OTHER_30)).unwrap().srtp.unwrap();
    assert_eq!(joined.ours, alone.ours, "the one that was offered");
    negotiation.offer_again(Direction::SendRecv);
    let refreshed = negotiation.accept(&taken(OTHER_30)).unwrap().srtp.unwrap();
    assert_eq!(refreshed, joined);
    let third = text(negotiation.offer(Direction::SendRecv));
    for (before, after) in lines(&second).iter().zip(lines(&third)).skip(1) {
        assert_ne!(key_of(before), key_of(after), "{third}");
    }
    let renewed = negotiation.accept(&taken(OTHER_30)).unwrap().srtp.unwrap();
    assert_ne!(renewed.ours, joined.ours);
    let fourth = text(negotiation.offer(Direction::SendRecv));
    assert_eq!(lines(&fourth), lines(&third), "and that one stays");
}

/// Nothing that the far end said of its keys is ever in a description of ours, and a far end that hands ours back as its own is refused: both ways
/// would be secured with one key.
#[test]
fn no_key_comes_back() {
    let mut negotiation = with(SrtpPolicy::Required);
    let line = format!("{}|2^20|7:4", sha1_80(9, KEY_30));
    let (answer, _) = answered(&mut negotiation, &offer("RTP/SAVP", &[&line])).unwrap();
    let next = text(negotiation.offer(Direction::SendRecv));
    for ours in [&answer, &next] {
        assert!(!ours.contains(KEY_30), "{ours}");
        assert!(!ours.contains('|'), "{ours}");
    }
    let ours = lines(&next);
    let ours = ours
        .iter()
        .find(|line| line.contains("AES_CM_128_HMAC_SHA1_80"));
    let reflected = sha1_80(4, key_of(ours.unwrap()));
    let refusal = negotiation.accept(&offer("RTP/SAVP", &[&reflected]));
    assert!(refusal.is_err(), "{refusal:?}");
    let refusal = answered(&mut negotiation, &offer("RTP/SAVP", &[&reflected]));
    assert_eq!(refusal.unwrap_err(), NegotiationError::NoCommonSuite);
}
