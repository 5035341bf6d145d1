//! SRTP on the SIP side: which calls are taken, by which keys, and when these change (`docs/srtp.md`).
#![allow(clippy::unwrap_used)]

mod common;

use common::{ANSWER, BLACK_HOLE, Dialog, OFFER, World, config, site, text};
use control::{CallState, PageMessage};
use sdp::{CryptoSuite, SrtpPolicy};
use sip::HeaderName;

const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
const OTHER_KEY: &str = "NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj";

fn world(policy: SrtpPolicy) -> (World, u64) {
    let mut config = config(&["1002"]);
    config.media.srtp.policy = policy;
    let mut world = World::with_config(config);
    let page = world.sign_in("1002", None);
    (world, page)
}

/// A description by `profile`, with this key under this tag.
fn with_key(description: &str, profile: &str, tag: u32, key: &str) -> String {
    let description = description.replace("RTP/AVP", profile);
    format!("{description}a=crypto:{tag} AES_CM_128_HMAC_SHA1_80 inline:{key}|2^20\r\n")
}

fn secured(description: &str, key: &str) -> String {
    with_key(description, "RTP/SAVP", 1, key)
}

/// The key that a description of ours names for the suite that the tests speak, with its tag.
fn our_key(description: &str) -> Option<(u32, String)> {
    description.lines().find_map(|line| {
        let line = line.strip_prefix("a=crypto:")?;
        let (tag, line) = line.split_once(' ')?;
        let key = line.strip_prefix("AES_CM_128_HMAC_SHA1_80 inline:")?;
        Some((tag.parse().ok()?, key.to_owned()))
    })
}

/// The keys of the present plan: ours and theirs.
fn planned(world: &World) -> Option<(sdp::SrtpKey, sdp::SrtpKey)> {
    world.plan().sip.srtp.map(|srtp| {
        let srtp = *srtp;
        assert_eq!(srtp.suite, CryptoSuite::Aes128CmSha1_80);
        (srtp.ours, srtp.theirs)
    })
}

fn talking(world: &mut World, offer: &str) -> Dialog {
    let mut dialog = world.invite("1002", Some(offer));
    world.notify(&mut dialog, "talk");
    world.ack(&dialog, 1, None);
    dialog
}

fn warning(world: &World, dialog: &Dialog, cseq: u32) -> String {
    let refusal = world.responses(dialog, cseq, "INVITE").pop().unwrap();
    text(refusal.headers.get(&HeaderName::WARNING))
}

/// Every policy and every kind of offer: the call rings and its media is as it says, or it is refused before it rings and whoever looks at the
/// 488 reads why.
#[test]
fn policies_and_offers() {
    use SrtpPolicy::{Off, Optional, Required};
    let best_effort = with_key(OFFER, "RTP/AVP", 1, KEY);
    let savp = secured(OFFER, KEY);
    let foreign = savp.replace("AES_CM_128_HMAC_SHA1_80", "F8_128_HMAC_SHA1_80");
    let cases = [
        (Off, OFFER, Ok(false)),
        (Off, &best_effort, Ok(false)),
        (Off, &savp, Err("SRTP is off here")),
        (Optional, OFFER, Ok(false)),
        (Optional, &best_effort, Ok(true)),
        (Optional, &savp, Ok(true)),
        (Optional, &foreign, Err("SRTP needs a suite in common")),
        (Required, OFFER, Err("SRTP is required here")),
        (Required, &best_effort, Ok(true)),
        (Required, &savp, Ok(true)),
    ];
    for (policy, offer, expected) in cases {
        let (mut world, page) = world(policy);
        match expected {
            Ok(is_secured) => {
                let mut dialog = talking(&mut world, offer);
                assert_eq!(world.call(page).state, CallState::Talking);
                assert_eq!(planned(&world).is_some(), is_secured, "{policy:?} {offer}");
                let answer = world.our_sdp(&dialog, 1);
                assert_eq!(our_key(&answer).is_some(), is_secured);
                assert_eq!(answer.contains("RTP/SAVP"), offer.contains("RTP/SAVP"));
                world.in_dialog(&mut dialog, "BYE", "", None);
            }
            Err(words) => {
                let dialog = world.invite("1002", Some(offer));
                assert_eq!(world.statuses(&dialog, 1, "INVITE"), [100, 488]);
                let expected = format!("302 talkbridge \"{words}\"");
                assert_eq!(warning(&world, &dialog, 1), expected);
                world.ack_refusal(&dialog);
                assert_eq!(world.causes(), ["srtp_mismatch"]);
            }
        }
        world.assert_quiet();
    }
}

/// SIP Server re-INVITEs some milliseconds after its ACK, without a description and with the old one: the keys, and with them the counters of
/// every stream, stay as they are.
#[test]
fn the_series_of_reinvites_keeps_the_keys() {
    let (mut world, page) = world(SrtpPolicy::Optional);
    let offer = secured(OFFER, KEY);
    let mut dialog = talking(&mut world, &offer);
    let keys = planned(&world);
    let (_, first) = our_key(&world.our_sdp(&dialog, 1)).unwrap();
    let cseq = world.reinvite(&mut dialog, None);
    let ours = world.our_sdp(&dialog, cseq);
    assert!(ours.contains(" RTP/SAVP "), "{ours}");
    let (tag, again) = our_key(&ours).unwrap();
    assert_eq!(again, first);
    world.ack(&dialog, cseq, Some(&with_key(ANSWER, "RTP/SAVP", tag, KEY)));
    assert_eq!(planned(&world), keys);
    for direction in ["sendonly", "sendrecv"] {
        let cseq = world.reinvite(&mut dialog, Some(&format!("{offer}a={direction}\r\n")));
        assert_eq!(
            our_key(&world.our_sdp(&dialog, cseq)),
            Some((1, first.clone()))
        );
        world.ack(&dialog, cseq, None);
        assert_eq!(planned(&world), keys);
    }
    assert_eq!(world.call(page).state, CallState::Talking);
    // Parked behind no address, in plain words: nothing is sent, and the keys wait.
    let cseq = world.reinvite(&mut dialog, Some(BLACK_HOLE));
    world.ack(&dialog, cseq, None);
    assert_eq!(
        (world.plan().sip.remote, planned(&world)),
        (None, keys.clone())
    );
    let cseq = world.reinvite(&mut dialog, Some(&offer));
    world.ack(&dialog, cseq, None);
    assert_eq!(planned(&world), keys);
}

/// Another party comes with its own key: ours changes as well, so that the former one cannot listen.
#[test]
fn another_key_of_the_peer_changes_ours() {
    let (mut world, _) = world(SrtpPolicy::Required);
    let mut dialog = talking(&mut world, &secured(OFFER, KEY));
    let (ours, theirs) = planned(&world).unwrap();
    let cseq = world.reinvite(&mut dialog, Some(&secured(OFFER, OTHER_KEY)));
    world.ack(&dialog, cseq, None);
    let after = planned(&world).unwrap();
    assert_ne!(after.0, ours);
    assert_ne!(after.1, theirs);
}

/// A conference bridge that speaks plain RTP: the call follows it where SRTP is optional, and stays as it was where it is required.
#[test]
fn a_plain_bridge_is_followed_or_refused() {
    let (mut world, page) = world(SrtpPolicy::Optional);
    let mut dialog = talking(&mut world, &secured(OFFER, KEY));
    let cseq = world.reinvite(&mut dialog, Some(OFFER));
    world.ack(&dialog, cseq, None);
    assert_eq!(planned(&world), None);
    assert_eq!(world.call(page).state, CallState::Talking);
    let (mut world, page) = self::world(SrtpPolicy::Required);
    let mut dialog = talking(&mut world, &secured(OFFER, KEY));
    let keys = planned(&world);
    let cseq = world.reinvite(&mut dialog, Some(OFFER));
    assert_eq!(world.statuses(&dialog, cseq, "INVITE"), [488]);
    assert!(warning(&world, &dialog, cseq).contains("SRTP is required here"));
    assert_eq!(planned(&world), keys);
    assert_eq!(world.call(page).state, CallState::Talking);
}

/// The agent holds and retrieves: our own re-INVITEs are by the profile of the call.
#[test]
fn hold_and_retrieve_keep_the_keys() {
    let (mut world, page) = world(SrtpPolicy::Optional);
    talking(&mut world, &secured(OFFER, KEY));
    let keys = planned(&world);
    for (hold, direction) in [(true, "recvonly"), (false, "sendrecv")] {
        let call = world.call(page).id;
        world.say(
            page,
            if hold {
                PageMessage::Hold { call }
            } else {
                PageMessage::Retrieve { call }
            },
        );
        let invite = world.requests("INVITE").pop().unwrap();
        let ours = String::from_utf8_lossy(&invite.body).into_owned();
        assert!(ours.contains(" RTP/SAVP "), "{ours}");
        let (tag, _) = our_key(&ours).unwrap();
        let answer = with_key(ANSWER, "RTP/SAVP", tag, KEY) + &format!("a={direction}\r\n");
        world.respond(&invite, "200 OK", Some(&answer));
        assert_eq!(planned(&world), keys);
        let state = if hold {
            CallState::Held
        } else {
            CallState::Talking
        };
        assert_eq!(world.call(page).state, state);
    }
}

/// The agent dials: the callee secures the call or does not where that is optional, and an answer that takes up no key of ours ends it.
#[test]
fn dialled_calls() {
    let outcome = |policy, answer: &dyn Fn(&str) -> String| {
        let (mut world, page) = world(policy);
        let number = "5550100".into();
        world.say(page, PageMessage::Dial { number });
        let invite = world.requests("INVITE").pop().unwrap();
        let ours = String::from_utf8_lossy(&invite.body).into_owned();
        let size = invite.body.len();
        assert!(
            size < 800,
            "an INVITE of ours stays within a datagram: {size}"
        );
        world.respond(&invite, "200 OK", Some(&answer(&ours)));
        let profile = if ours.contains("RTP/SAVP") {
            "RTP/SAVP"
        } else {
            "RTP/AVP"
        };
        let up = world.call(page).state == CallState::Talking;
        (profile, up.then(|| planned(&world).is_some()))
    };
    let taken = |profile: &'static str| {
        move |ours: &str| with_key(ANSWER, profile, our_key(ours).unwrap().0, KEY)
    };
    let plain = |_: &str| ANSWER.to_owned();
    let foreign = |_: &str| with_key(ANSWER, "RTP/SAVP", 77, KEY);
    use SrtpPolicy::{Off, Optional, Required};
    assert_eq!(outcome(Off, &plain), ("RTP/AVP", Some(false)));
    assert_eq!(outcome(Optional, &plain), ("RTP/AVP", Some(false)));
    assert_eq!(
        outcome(Optional, &taken("RTP/AVP")),
        ("RTP/AVP", Some(true))
    );
    assert_eq!(outcome(Optional, &foreign), ("RTP/AVP", None));
    assert_eq!(
        outcome(Required, &taken("RTP/SAVP")),
        ("RTP/SAVP", Some(true))
    );
    assert_eq!(outcome(Required, &plain), ("RTP/SAVP", None));
    assert_eq!(outcome(Required, &foreign), ("RTP/SAVP", None));
}

/// SIP Server makes the agent call without a description of its own, and gives up with a plain one that leads nowhere.
#[test]
fn a_call_that_is_made_for_the_agent() {
    let (mut world, page) = world(SrtpPolicy::Required);
    let mut dialog = world.invite("1002", None);
    world.notify(&mut dialog, "talk");
    let (tag, _) = our_key(&world.our_sdp(&dialog, 1)).unwrap();
    world.ack(&dialog, 1, Some(&with_key(ANSWER, "RTP/SAVP", tag, KEY)));
    assert!(planned(&world).is_some());
    assert!(world.plan().to_agent && world.plan().to_caller);
    world.in_dialog(&mut dialog, "BYE", "", None);
    let mut dialog = world.invite("1002", None);
    world.notify(&mut dialog, "talk");
    world.ack(&dialog, 1, Some(BLACK_HOLE));
    assert_eq!(world.call(page).state, CallState::Held);
    world.in_dialog(&mut dialog, "BYE", "", None);
    // Our own description echoed back holds all our keys: the agent must not hear herself, and the call ends like any other.
    let mut dialog = world.invite("1002", None);
    world.notify(&mut dialog, "talk");
    let ours = world.our_sdp(&dialog, 1);
    world.ack(&dialog, 1, Some(&ours));
    assert!(!world.plan().to_agent && !world.plan().to_caller);
    world.in_dialog(&mut dialog, "BYE", "", None);
    world.assert_quiet();
}

/// Keys are in the descriptions and nowhere else: not on the page, and not in what is printed for people.
#[test]
fn keys_stay_where_they_belong() {
    let (mut world, page) = world(SrtpPolicy::Optional);
    let dialog = talking(&mut world, &secured(OFFER, KEY));
    let (_, ours) = our_key(&world.our_sdp(&dialog, 1)).unwrap();
    let told = format!(
        "{:?} {:?} {:?}",
        world.calls(page),
        world.media,
        world.facts
    );
    assert!(told.contains("SrtpKey(..)"));
    assert!(!told.contains(&ours) && !told.contains(KEY), "{told}");
}

/// A site whose telephones know SRTP requires it; the other one, whose media servers do not, gets plain RTP. Each call is by the wish of the site
/// that it comes from or goes to.
#[test]
fn each_site_has_a_wish_of_its_own() {
    let world = |of_sites: [SrtpPolicy; 2], policy| {
        let mut config = config(&["1002"]);
        config.sip.allowed.push("198.51.100.81".parse().unwrap());
        let sites = [("north", "192.0.2.81"), ("south", "198.51.100.81")];
        config.sites = sites
            .map(|(name, server)| site(Some(name), &[server]))
            .into();
        config.media.srtp.policy = policy;
        config.media.srtp.of_sites = (0..).map(sip::ua::SiteId).zip(of_sites).collect();
        let mut world = World::with_config(config);
        let page = world.sign_in("1002", None);
        (world, page)
    };
    use SrtpPolicy::{Off, Optional, Required};
    for (of_sites, general, expected) in [
        ([Required, Off], Off, "RTP/SAVP"),
        ([Off, Required], Required, "RTP/AVP"),
    ] {
        let (mut world, page) = world(of_sites, general);
        let dialog = world.invite("1002", Some(OFFER));
        let is_refused = expected == "RTP/SAVP";
        let status = if is_refused { 488 } else { 180 };
        assert_eq!(world.statuses(&dialog, 1, "INVITE"), [100, status]);
        if is_refused {
            assert!(warning(&world, &dialog, 1).contains("SRTP is required here"));
            world.ack_refusal(&dialog);
        }
        let number = "4711".to_owned();
        world.say(page, PageMessage::Dial { number });
        let invite = world.requests("INVITE").pop().unwrap();
        let offer = String::from_utf8_lossy(&invite.body).into_owned();
        assert!(offer.contains(&format!(" {expected} ")), "{offer}");
        // The first site shuts down: the call goes to the other one, by its wish.
        world.respond(&invite, "603 Decline", None);
        let invite = world.requests("INVITE").pop().unwrap();
        let offer = String::from_utf8_lossy(&invite.body).into_owned();
        assert!(!offer.contains(&format!(" {expected} ")), "{offer}");
    }
    let (mut world, _) = world([Optional, Off], Off);
    talking(&mut world, &secured(OFFER, KEY));
    assert!(planned(&world).is_some());
}

/// Whoever looks at a call, while it is up or when it is over, reads whether its audio was secured and by what; before anything is agreed nobody knows.
#[test]
fn how_a_call_was_secured_is_told() {
    for (offer, expected) in [
        (OFFER.to_owned(), "none"),
        (secured(OFFER, KEY), "AES_CM_128_HMAC_SHA1_80"),
    ] {
        let (mut world, page) = world(SrtpPolicy::Optional);
        let mut dialog = world.invite("1002", Some(&offer));
        let call = switchboard::CallId::parse(&world.call(page).id).unwrap();
        let shown = |world: &World| world.board.call(call).unwrap().srtp;
        assert_eq!(shown(&world), None, "it rings");
        world.notify(&mut dialog, "talk");
        world.ack(&dialog, 1, None);
        assert_eq!(shown(&world).as_deref(), Some(expected));
        let cseq = world.reinvite(&mut dialog, Some(BLACK_HOLE));
        world.ack(&dialog, cseq, None);
        world.in_dialog(&mut dialog, "BYE", "", None);
        assert_eq!(shown(&world).as_deref(), Some(expected), "parked and ended");
        world.assert_quiet();
        let record = world.facts.iter().find_map(|fact| match fact {
            switchboard::Fact::EndRecord { record } => Some(record.srtp.clone()),
            _ => None,
        });
        assert_eq!(record.unwrap().as_deref(), Some(expected));
    }
}
