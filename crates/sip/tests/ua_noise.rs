//! Broken messages from SIP Server's own address, in the middle of a call: no panic, no leak, and
//! the user agent goes on.
#![allow(clippy::unwrap_used)]

mod support;

use sip::IdSource;
use sip::ua::{DialogId, Event};
use support::{Call, OFFER, OUR_SDP, World, invite, reply};

/// One message, changed in up to four places.
fn broken(text: &str, chance: &mut IdSource) -> Vec<u8> {
    let mut bytes = text.replace('\n', "\r\n").into_bytes();
    for _ in 0..chance.next_u64() % 5 {
        let length = u64::try_from(bytes.len()).unwrap();
        let at = usize::try_from(chance.next_u64() % length.max(1)).unwrap();
        let octet = chance.next_u64().to_le_bytes()[0];
        match chance.next_u64() % 4 {
            0 => bytes.truncate(at),
            1 => bytes.insert(at.min(bytes.len()), octet),
            2 if at < bytes.len() => {
                bytes.remove(at);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = octet;
                }
            }
        }
    }
    bytes
}

#[test]
fn broken_messages_leave_nothing_behind() {
    for seed in 0..40 {
        let mut chance = IdSource::new([seed; 32]);
        let mut world = World::new();
        let call = Call::up(&mut world);
        let dialog = call.dialog;
        world.act(|ua, now| ua.reinvite(now, dialog, Some(OUR_SDP.to_vec())));
        let ours = world.only("INVITE");
        let mut corpus = vec![
            invite("a@b", &call.from, "z9hG4bKnoise", OFFER),
            reply(
                &ours,
                "200 OK",
                "",
                "Contact: <sip:1003@192.0.2.81>\n",
                OFFER,
            ),
            reply(
                &ours,
                "401 Unauthorized",
                "",
                "WWW-Authenticate: Digest realm=\"r\",nonce=\"n\"\n",
                "",
            ),
            reply(&ours, "491 Request Pending", "", "", ""),
        ];
        for (cseq, method) in [
            (2, "INVITE"),
            (3, "NOTIFY"),
            (4, "UPDATE"),
            (5, "CANCEL"),
            (6, "ACK"),
        ] {
            let lines = "Event: talk\nSession-Expires: 1800;refresher=uas\nSupported: timer\n";
            corpus.push(call.request_text(&mut world, cseq, method, lines, OFFER));
        }
        world.noisy = true;
        let mut alive: Vec<DialogId> = vec![dialog];
        for _ in 0..400 {
            let count = u64::try_from(corpus.len()).unwrap();
            let pick = usize::try_from(chance.next_u64() % count).unwrap();
            let bytes = broken(&corpus[pick], &mut chance);
            let source = world.source;
            world.act(|ua, now| ua.receive(now, &source, &bytes));
            world.advance_ms(chance.next_u64() % 200);
            for event in world.events() {
                if let Event::Invite { dialog, .. } = event {
                    alive.push(dialog);
                }
            }
        }
        for dialog in alive {
            world.act(|ua, now| ua.bye(now, dialog, None));
        }
        world.advance_s(200);
        world.assert_quiet();
    }
}
