//! Calls whose SIP side is secured, in virtual time.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::time::Duration;

use media::bridge::Missing;
use media::g711::Law;
use media::ids::{CallId, LegId};
use media::limits::FORMER_KEY_LIFE;
use media::packet::{self, Fields, Header};
use media::patchbay::Event;
use media::rtcp::{self, Rtcp};
use media::srtp::{Keys, MasterKey, RTCP_OVERHEAD, RTP_OVERHEAD, Receiver, Sender, Suite};
use support::worker::{Worker, peer, peer_rtcp, plan};
use support::{SECOND, stranger};

const SUITE: Suite = Suite::Aes128CmSha1_80;

fn key(suite: Suite, octet: u8) -> MasterKey {
    MasterKey::new(suite, &vec![octet; suite.key_len() + suite.salt_len()]).unwrap()
}

fn keys(suite: Suite, ours: u8, theirs: u8) -> Keys {
    Keys {
        send: key(suite, ours),
        receive: key(suite, theirs),
        receive_mki: None,
    }
}

/// A telephone with keys: the SIP side of call 1.
struct Phone {
    sender: Sender,
    receiver: Receiver,
    sequence: u16,
    ssrc: u32,
}

impl Phone {
    fn new(suite: Suite, ours: u8, theirs: u8) -> Self {
        Self {
            sender: Sender::new(&key(suite, theirs)),
            receiver: Receiver::new(&key(suite, ours), None),
            sequence: 100,
            ssrc: 0xabc,
        }
    }

    fn says(&mut self, octet: u8) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let fields = Fields {
            marker: false,
            payload_type: 0,
            sequence: self.sequence,
            timestamp: u32::from(self.sequence) * 160,
            ssrc: self.ssrc,
        };
        let mut buffer = [0; 172 + RTP_OVERHEAD];
        let len = packet::write(&mut buffer, &fields, &[octet; 160], None).unwrap();
        let len = self.sender.protect_rtp(&mut buffer, len).unwrap();
        buffer[..len].to_vec()
    }

    /// What reached it since the last time: sources and first octets of audio that passed, and how many did not.
    fn hears(&mut self, worker: &mut Worker) -> (Vec<(u32, u8)>, usize) {
        let (mut heard, mut refused) = (Vec::new(), 0);
        for (_, to, mut datagram) in worker.net.rtp.drain(..) {
            assert_eq!(to, peer(1));
            match self.receiver.unprotect_rtp(&mut datagram) {
                Ok(len) => {
                    let header = Header::parse(&datagram[..len]).unwrap();
                    heard.push((header.ssrc, datagram[12]));
                }
                Err(_) => refused += 1,
            }
        }
        (heard, refused)
    }
}

fn worker(keys: Option<Keys>) -> Worker {
    let mut worker = Worker::with_browsers(1);
    worker.open(1);
    set(&mut worker, keys);
    worker
}

fn set(worker: &mut Worker, keys: Option<Keys>) {
    let plan = media::patchbay::Plan {
        keys,
        ..plan(1, Some(0), true)
    };
    worker.replan(1, plan);
}

/// Both sides speak for `count` packets.
fn talk(worker: &mut Worker, phone: &mut Phone, octet: u8, count: u16) {
    for _ in 0..count {
        let datagram = phone.says(octet);
        worker.rtp_from(1, peer(1), &datagram);
        worker.talk(&[], 1);
    }
}

/// A call by SRTP is heard both ways, whatever the suite; on the wire there is nothing to read.
#[test]
fn a_secured_call_is_heard_both_ways() {
    for suite in Suite::ALL {
        let mut worker = worker(Some(keys(suite, 1, 2)));
        let mut phone = Phone::new(suite, 1, 2);
        talk(&mut worker, &mut phone, 7, 30);
        assert_eq!(worker.heard(), [[7]], "{suite:?}");
        assert_eq!(worker.net.rtp.len(), 30);
        for (_, _, datagram) in &worker.net.rtp {
            assert_eq!(datagram.len(), 172 + suite.rtp_tag_len());
            assert!(!datagram.windows(8).any(|octets| octets == [0x80; 8]));
        }
        let (heard, refused) = phone.hears(&mut worker);
        assert!(heard.iter().all(|(_, octet)| *octet == 0x80), "{heard:?}");
        assert_eq!((heard.len(), refused), (30, 0));
    }
}

/// ES2021-09 and ES2025-01: garbage, plain RTP and replays from the caller's own address, by the thousand. Nobody hears them, the call goes on,
/// and what was learned from them is nothing.
#[test]
fn bad_packets_end_no_call_and_teach_nothing() {
    let mut worker = worker(Some(keys(SUITE, 1, 2)));
    let mut phone = Phone::new(SUITE, 1, 2);
    talk(&mut worker, &mut phone, 7, 20);
    let advisory = [
        0x80, 0, 0x70, 0x28, 0x09, 0xcd, 0x2d, 0x15, 0xfd, 0x3e, 0x5c, 0x86, 0x41,
    ];
    let good = phone.says(9);
    let bent = |at: usize| {
        let mut bent = good.clone();
        bent[at] ^= 1;
        bent
    };
    let plain = support::worker::rtp(0, 121, 121 * 160, &[0x55; 160]);
    let mut jumped = plain.clone();
    jumped[2] ^= 0x80;
    worker.rtp_from(1, peer(1), &good);
    worker.talk(&[], 1);
    assert_eq!(worker.heard(), [[7, 9]]);
    let before = *worker.bay.counters();
    let mut count = 0;
    for _ in 0..200 {
        for bad in [
            &advisory[..],
            &bent(20),
            &bent(3),
            &bent(181),
            &plain,
            &jumped,
            &good,
        ] {
            worker.rtp_from(1, peer(1), bad);
            count += 1;
        }
    }
    worker.talk(&[], 5);
    let after = *worker.bay.counters();
    assert_eq!(after.srtp_auth_fail - before.srtp_auth_fail, count);
    assert_eq!(after.rtp_sip_in, before.rtp_sip_in);
    assert_eq!(worker.heard(), [Vec::<u8>::new()]);
    // From elsewhere it is not even tried.
    let good = phone.says(9);
    worker.rtp_from(1, stranger(), &good);
    assert_eq!(worker.bay.counters().srtp_auth_fail, after.srtp_auth_fail);
    assert_eq!(
        worker.bay.counters().rtp_wrong_source,
        after.rtp_wrong_source + 1
    );
    talk(&mut worker, &mut phone, 8, 20);
    assert_eq!(worker.heard(), [[8]]);
    let (heard, refused) = phone.hears(&mut worker);
    assert_eq!((heard.len(), refused), (46, 0));
}

/// A re-INVITE brings other keys: for a moment both fit, and nobody misses a packet; later only the new ones do.
#[test]
fn keys_change_without_a_gap() {
    let mut worker = worker(Some(keys(SUITE, 1, 2)));
    let mut phone = Phone::new(SUITE, 1, 2);
    talk(&mut worker, &mut phone, 7, 20);
    let (first, _) = phone.hears(&mut worker);
    set(&mut worker, Some(keys(Suite::AeadAes256Gcm, 3, 4)));
    talk(&mut worker, &mut phone, 8, 10);
    assert_eq!(worker.heard(), [[7, 8]]);
    let mut changed = Phone::new(Suite::AeadAes256Gcm, 3, 4);
    changed.sequence = phone.sequence;
    talk(&mut worker, &mut changed, 9, 10);
    assert_eq!(worker.heard(), [[9]]);
    let (heard, refused) = changed.hears(&mut worker);
    assert_eq!((heard.len(), refused), (20, 0));
    assert_ne!(
        heard[0].0, first[0].0,
        "a stream of its own, whose counter begins"
    );
    worker.run(FORMER_KEY_LIFE);
    talk(&mut worker, &mut phone, 7, 5);
    assert_eq!(worker.heard(), [Vec::<u8>::new()], "the former key is over");
    talk(&mut worker, &mut changed, 9, 5);
    assert_eq!(worker.heard(), [[9]]);
}

/// The same description again: the stream and its counters go on, over the turn of the sequence number as well.
#[test]
fn keys_that_are_repeated_change_nothing() {
    let mut worker = worker(Some(keys(SUITE, 1, 2)));
    let mut phone = Phone::new(SUITE, 1, 2);
    phone.sequence = 65_500;
    let mut sources = Vec::new();
    for _ in 0..5 {
        talk(&mut worker, &mut phone, 7, 20);
        set(&mut worker, Some(keys(SUITE, 1, 2)));
        // Hold: nothing passes, but the counter has to follow.
        worker.replan(
            1,
            media::patchbay::Plan {
                keys: Some(keys(SUITE, 1, 2)),
                ..plan(1, None, false)
            },
        );
        talk(&mut worker, &mut phone, 6, 5);
        set(&mut worker, Some(keys(SUITE, 1, 2)));
        let (heard, refused) = phone.hears(&mut worker);
        assert_eq!((heard.len(), refused), (20, 0));
        sources.extend(heard.iter().map(|(ssrc, _)| *ssrc));
        assert_eq!(worker.heard(), [[7, Law::Mu.silence()]], "it fades");
    }
    sources.dedup();
    assert_eq!(sources.len(), 1);
    assert!(phone.sequence < 1_000, "it has turned");
    assert_eq!(worker.bay.counters().srtp_auth_fail, 0);
}

/// While nothing is said to it a telephone takes another key for itself, and leaves us ours: the counter of our reports goes on. One that began again would
/// use a key stream twice (RFC 3711 section 9.1).
#[test]
fn a_phone_that_changes_its_own_key_sees_no_counter_twice() {
    let mut worker = Worker::with_browsers(1);
    worker.open(1);
    let mut indices = Vec::new();
    for theirs in [2, 4, 6] {
        let listening = media::patchbay::Plan {
            keys: Some(keys(SUITE, 1, theirs)),
            ..plan(1, None, false)
        };
        worker.replan(1, listening);
        let mut phone = Phone::new(SUITE, 1, theirs);
        talk(&mut worker, &mut phone, 7, 20);
        worker.run(SECOND * 6);
        for (_, _, report) in worker.net.rtcp.drain(..) {
            let at = report.len() - SUITE.rtcp_tag_len() - 4;
            let octets = report[at..at + 4].try_into().unwrap();
            indices.push((report[4..8].to_vec(), u32::from_be_bytes(octets)));
        }
    }
    let all = indices.len();
    assert!(all >= 3);
    indices.sort_unstable();
    indices.dedup();
    assert_eq!(indices.len(), all, "one source, each index once");
}

/// On a long call the sequence number has turned. A telephone that forgets the counter at a re-INVITE, though the key is the old one, hears us all the
/// same: we go on as another stream.
#[test]
fn a_long_call_begins_anew_at_a_change() {
    let mut worker = worker(Some(keys(SUITE, 1, 2)));
    let mut phone = Phone::new(SUITE, 1, 2);
    let mut sources = Vec::new();
    for _ in 0..30 {
        // Losses on the browser's network.
        worker.browsers[0].next_sequence += 2_900;
        worker.talk(&[], 1);
        let (heard, refused) = phone.hears(&mut worker);
        assert_eq!((heard.len(), refused), (1, 0));
        sources.extend(heard.iter().map(|(ssrc, _)| *ssrc));
    }
    sources.dedup();
    assert_eq!(sources.len(), 1, "it turns without a change");
    set(&mut worker, Some(keys(SUITE, 1, 2)));
    let mut forgetful = Phone::new(SUITE, 1, 2);
    worker.talk(&[], 20);
    let (heard, refused) = forgetful.hears(&mut worker);
    assert_eq!((heard.len(), refused), (20, 0));
}

/// An answer brings another peer with another key while ours stays: it does not know our counter, so it gets a stream of its own.
#[test]
fn another_peer_gets_a_stream_of_its_own() {
    let mut worker = worker(Some(keys(SUITE, 1, 2)));
    let mut phone = Phone::new(SUITE, 1, 2);
    talk(&mut worker, &mut phone, 7, 10);
    let (first, _) = phone.hears(&mut worker);
    set(&mut worker, Some(keys(SUITE, 1, 5)));
    let mut other = Phone::new(SUITE, 1, 5);
    talk(&mut worker, &mut other, 8, 10);
    let (heard, refused) = other.hears(&mut worker);
    assert_eq!((heard.len(), refused), (10, 0));
    assert_ne!(heard[0].0, first[0].0);
}

/// The conference bridge speaks plain RTP: the call follows there and back. What is still under way by the old rule is never played as noise.
#[test]
fn a_call_changes_to_plain_and_back() {
    let mut worker = worker(Some(keys(SUITE, 1, 2)));
    let mut phone = Phone::new(SUITE, 1, 2);
    talk(&mut worker, &mut phone, 7, 10);
    phone.hears(&mut worker);
    set(&mut worker, None);
    let late = phone.says(8);
    worker.rtp_from(1, peer(1), &late);
    worker.talk(&[1], 10);
    assert_eq!(worker.heard(), [[7, 8, 1]]);
    assert_eq!(worker.spoken(), [(peer(1), 0x80)]);
    set(&mut worker, Some(keys(SUITE, 3, 2)));
    worker.talk(&[1], 1);
    assert_eq!(worker.heard(), [Vec::<u8>::new()], "plain is over at once");
    phone = Phone::new(SUITE, 3, 2);
    worker.net.rtp.clear();
    talk(&mut worker, &mut phone, 9, 10);
    assert_eq!(worker.heard(), [[9]]);
    assert_eq!(phone.hears(&mut worker).0.len(), 10);
}

/// Reports are secured like audio: theirs are read when they pass, ours can be read by them only.
#[test]
fn reports_are_secured() {
    for suite in Suite::ALL {
        let mut worker = worker(Some(keys(suite, 1, 2)));
        let mut phone = Phone::new(suite, 1, 2);
        talk(&mut worker, &mut phone, 7, 10);
        worker.run(8 * SECOND);
        let (_, to, datagram) = worker.net.rtcp.pop().unwrap();
        assert_eq!(to, peer_rtcp(1));
        assert!(rtcp::parse(&datagram).all(|packet| !matches!(packet, Rtcp::SourceDescription)));
        let mut opened = datagram.clone();
        let len = phone.receiver.unprotect_rtcp(&mut opened).unwrap();
        assert_eq!(rtcp::parse(&opened[..len]).count(), 2, "{suite:?}");
        let bad = worker.bay.counters().srtp_auth_fail;
        let mut report = [0; 8 + RTCP_OVERHEAD];
        report[..8].copy_from_slice(&[0x80, 201, 0, 1, 0, 0, 0xa, 0xbc]);
        for forged in [&mut report[..8], &mut datagram.clone()] {
            worker
                .bay
                .receive_rtcp(worker.now, CallId(1), peer_rtcp(1), forged);
        }
        assert_eq!(worker.bay.counters().srtp_auth_fail, bad + 2);
        let len = phone.sender.protect_rtcp(&mut report, 8).unwrap();
        worker
            .bay
            .receive_rtcp(worker.now, CallId(1), peer_rtcp(1), &mut report[..len]);
        assert_eq!(worker.bay.counters().srtp_auth_fail, bad + 2);
        assert_eq!(worker.bay.counters().rtp_malformed, 0);
    }
}

/// Whoever looks for the reason of a silence is told that packets come, and that their key is the wrong one.
#[test]
fn a_wrong_key_is_named_as_the_reason_of_silence() {
    let mut worker = worker(Some(keys(SUITE, 1, 2)));
    let mut stray = Phone::new(SUITE, 1, 9);
    talk(&mut worker, &mut stray, 7, 600);
    let named = worker.events.iter().any(|event| {
        let missing = Some(Missing::OtherKey);
        matches!(event, Event::OneWay { change, .. } if change.missing == missing)
    });
    assert!(named);
    assert_eq!(worker.heard(), [Vec::<u8>::new()]);
}

/// What was sent is counted over all keys.
#[test]
fn a_change_of_keys_loses_no_count() {
    let mut worker = worker(Some(keys(SUITE, 1, 2)));
    let mut phone = Phone::new(SUITE, 1, 2);
    for (ours, theirs) in [(1, 2), (3, 4), (5, 6)] {
        set(&mut worker, Some(keys(SUITE, ours, theirs)));
        talk(&mut worker, &mut phone, 7, 20);
    }
    worker.close(1);
    worker.collect();
    let sent = worker.events.iter().find_map(|event| match event {
        Event::CallClosed { report, .. } => Some(report.to_caller.sent),
        _ => None,
    });
    assert_eq!(sent, Some(60));
}

/// Digits and decoded speech leave secured as well.
#[test]
fn digits_are_secured() {
    let mut worker = worker(Some(keys(SUITE, 1, 2)));
    let mut phone = Phone::new(SUITE, 1, 2);
    worker
        .bay
        .send_digits(worker.now, CallId(1), "5", None, &mut worker.net);
    worker.run(SECOND);
    let sent = worker.net.rtp.len();
    assert!(sent > 5);
    let (heard, refused) = phone.hears(&mut worker);
    assert_eq!((heard.len(), refused), (sent, 0));
    assert!(heard.iter().all(|(_, octet)| *octet == 5));
    let closed = worker.now + Duration::from_secs(1);
    worker.bay.close_browser(closed, LegId(0), &mut worker.net);
}
