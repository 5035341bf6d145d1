//! Descriptions as SIP Server and the phones behind it send them, in the order of a call.
#![allow(clippy::unwrap_used)]

mod common;

use common::{
    BLACK_HOLE, CALLER_ANSWER, CALLER_OFFER, address, local, negotiation, text, version, wire,
};
use sdp::{Codec, Direction, LocalMedia, Negotiation, Numbers};

#[test]
fn an_offer_is_answered_with_its_first_codec_and_its_numbers() {
    let mut negotiation = negotiation();
    let (answer, agreed) = negotiation
        .answer(&wire(CALLER_OFFER), Direction::SendRecv)
        .unwrap();
    assert_eq!(
        text(answer),
        "v=0\r\n\
         o=talkbridge 7 1 IN IP4 198.51.100.3\r\n\
         s=-\r\n\
         c=IN IP4 198.51.100.3\r\n\
         t=0 0\r\n\
         m=audio 16384 RTP/AVP 0 101\r\n\
         a=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\n\
         a=fmtp:101 0-16\r\n\
         a=ptime:20\r\n\
         a=sendrecv\r\n"
    );
    assert_eq!(agreed.codec, Codec::Pcmu);
    assert_eq!(agreed.payload_type, 0);
    assert_eq!(
        agreed.telephone_event.map(|event| event.payload_type),
        Some(101)
    );
    assert_eq!(agreed.remote, address("192.0.2.81:8006"));
    assert_eq!(agreed.remote_rtcp, address("192.0.2.81:8007"));
    assert_eq!(agreed.direction, Direction::SendRecv);
    assert_eq!(agreed.ptime_ms, None);
    assert!(!agreed.echo && !agreed.held_by_remote);
    assert_eq!(negotiation.agreed(), Some(&agreed));
}

#[test]
fn an_invite_without_offer_gets_ours_and_the_ack_brings_the_answer() {
    let mut negotiation = negotiation();
    let offer = negotiation.offer(Direction::SendRecv);
    assert_eq!(
        text(offer),
        "v=0\r\n\
         o=talkbridge 7 1 IN IP4 198.51.100.3\r\n\
         s=-\r\n\
         c=IN IP4 198.51.100.3\r\n\
         t=0 0\r\n\
         m=audio 16384 RTP/AVP 0 8 101\r\n\
         a=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\n\
         a=fmtp:101 0-16\r\n\
         a=rtcp-xr:voip-metrics\r\n\
         a=ptime:20\r\n\
         a=sendrecv\r\n"
    );
    assert!(negotiation.has_open_offer());
    let agreed = negotiation.accept(&wire(CALLER_ANSWER)).unwrap();
    assert!(!negotiation.has_open_offer());
    assert_eq!(agreed.codec, Codec::Pcmu);
    assert_eq!(agreed.remote, address("192.0.2.81:8006"));
    assert_eq!(agreed.direction, Direction::SendRecv);
}

/// The phone behind SIP Server answers our offer with its own numbers: we send by those, and are sent ours (RFC 3264 section 6.1). Ours stay ours.
#[test]
fn an_answer_may_number_otherwise_than_our_offer() {
    let opus_first = LocalMedia {
        codecs: vec![Codec::Opus, Codec::Pcmu],
        ..local()
    };
    let mut negotiation = Negotiation::new(7, opus_first);
    let offer = text(negotiation.offer(Direction::SendRecv));
    assert!(offer.contains("RTP/AVP 111 0 101\r\n"), "{offer}");
    let answer = CALLER_ANSWER
        .replace("AVP 0 101", "AVP 96 97")
        .replace("rtpmap:0 pcmu/8000", "rtpmap:96 opus/48000/2")
        .replace(":101 ", ":97 ");
    let agreed = negotiation.accept(&wire(&answer)).unwrap();
    let event = agreed.telephone_event.map(|event| event.payload_type);
    assert_eq!((agreed.payload_type, event), (96, Some(97)));
    let ours = Numbers {
        codec: 111,
        telephone_event: Some(101),
    };
    assert_eq!(agreed.ours, ours);
    let again = text(negotiation.offer(Direction::SendRecv));
    assert!(again.contains("RTP/AVP 111 0 101\r\n"), "{again}");
    // An answer of ours takes over the numbers of the offer.
    let (_, agreed) = negotiation
        .answer(&wire(&answer), Direction::SendRecv)
        .unwrap();
    let theirs = Numbers {
        codec: 96,
        telephone_event: Some(97),
    };
    assert_eq!(agreed.ours, theirs);
}

/// SIP Server sends an offerless re-INVITE 12 ms after the ACK, and may send several.
#[test]
fn offers_after_an_answer_keep_address_port_and_numbers() {
    let mut negotiation = negotiation();
    let (answer, _) = negotiation
        .answer(&wire(CALLER_OFFER), Direction::SendRecv)
        .unwrap();
    let first = negotiation.offer(Direction::SendRecv);
    assert_eq!(
        version(&answer) + 1,
        version(&first),
        "the offer lists more codecs than the answer"
    );
    let second = negotiation.offer(Direction::SendRecv);
    assert_eq!(first, second, "nothing changed, so the version stays");
    let agreed = negotiation.accept(&wire(CALLER_ANSWER)).unwrap();
    assert_eq!(agreed.remote, address("192.0.2.81:8006"));
}

#[test]
fn a_black_hole_is_a_hold_and_events_listed_first_are_no_codec() {
    let mut negotiation = negotiation();
    negotiation.offer(Direction::SendRecv);
    let agreed = negotiation.accept(&wire(BLACK_HOLE)).unwrap();
    assert_eq!(
        agreed.codec,
        Codec::Pcma,
        "the first real codec of 101 8 0 ..."
    );
    assert_eq!(agreed.payload_type, 8);
    assert_eq!(
        agreed.telephone_event.map(|event| event.payload_type),
        Some(101)
    );
    assert_eq!(agreed.remote, None);
    assert_eq!(agreed.remote_rtcp, None);
    assert_eq!(agreed.direction, Direction::RecvOnly);
    assert!(agreed.held_by_remote);
}

#[test]
fn a_black_hole_as_offer_is_a_hold_too_and_an_active_offer_ends_it() {
    let mut negotiation = negotiation();
    negotiation
        .answer(&wire(CALLER_OFFER), Direction::SendRecv)
        .unwrap();
    for nowhere in ["c=IN IP4 0.0.0.0", "c=IN IP6 ::", "c=IN IP6 ::ffff:0.0.0.0"] {
        let offer = CALLER_OFFER.replace("c=IN IP4 192.0.2.81", nowhere);
        let (answer, agreed) = negotiation
            .answer(&wire(&offer), Direction::SendRecv)
            .unwrap();
        assert_eq!(agreed.remote, None, "{nowhere}");
        assert!(agreed.held_by_remote, "{nowhere}");
        assert!(
            text(answer).contains("m=audio 16384 RTP/AVP 0 101\r\n"),
            "our port stays"
        );
    }
    let (_, agreed) = negotiation
        .answer(&wire(CALLER_OFFER), Direction::SendRecv)
        .unwrap();
    assert_eq!(agreed.remote, address("192.0.2.81:8006"));
    assert!(!agreed.held_by_remote);
}

/// SIP Server holds with `NOTIFY Event: hold` and resumes with its own active re-INVITE.
#[test]
fn a_call_held_here_is_active_again_when_the_peer_offers_so_and_we_want_it() {
    let mut negotiation = negotiation();
    negotiation
        .answer(&wire(CALLER_OFFER), Direction::SendRecv)
        .unwrap();
    let hold = negotiation.offer(Direction::SendOnly);
    assert!(text(hold).ends_with("a=sendonly\r\n"));
    let recvonly = format!("{CALLER_ANSWER}a=recvonly\n");
    let held = negotiation.accept(&wire(&recvonly)).unwrap();
    assert_eq!(held.direction, Direction::SendOnly);
    assert!(!held.held_by_remote, "the peer still hears us");
    let (answer, agreed) = negotiation
        .answer(&wire(CALLER_OFFER), Direction::SendRecv)
        .unwrap();
    assert_eq!(agreed.direction, Direction::SendRecv);
    assert!(text(answer).ends_with("a=sendrecv\r\n"));
}

#[test]
fn the_answer_to_our_hold_may_be_recvonly_inactive_nothing_or_a_black_hole() {
    let black_hole = CALLER_ANSWER.replace("c=IN IP4 192.0.2.81", "c=IN IP4 0.0.0.0");
    let cases = [
        (format!("{CALLER_ANSWER}a=recvonly\n"), Direction::SendOnly),
        (format!("{CALLER_ANSWER}a=inactive\n"), Direction::Inactive),
        (CALLER_ANSWER.to_owned(), Direction::SendOnly),
        (black_hole, Direction::Inactive),
    ];
    for (answer, expected) in cases {
        let mut negotiation = negotiation();
        negotiation.offer(Direction::SendOnly);
        assert_eq!(
            negotiation.accept(&wire(&answer)).unwrap().direction,
            expected,
            "{answer}"
        );
    }
}

/// When the other side refuses, SIP Server's ACK brings our own offer back, and a BYE follows.
#[test]
fn our_own_description_echoed_is_recognised_and_nothing_is_sent() {
    let mut negotiation = negotiation();
    let offer = negotiation.offer(Direction::SendRecv);
    let agreed = negotiation.accept(&offer).unwrap();
    assert!(agreed.echo);
    assert!(!agreed.held_by_remote);
    assert_eq!(agreed.remote, None);
    assert_eq!(agreed.direction, Direction::Inactive);
}

/// Two agents of one gateway talk to each other: the same address, another port.
#[test]
fn another_port_of_our_own_address_is_no_echo() {
    let mut other = Negotiation::new(
        8,
        sdp::LocalMedia {
            port: 16_386,
            ..local()
        },
    );
    let mut negotiation = negotiation();
    let (_, agreed) = negotiation
        .answer(&other.offer(Direction::SendRecv), Direction::SendRecv)
        .unwrap();
    assert!(!agreed.echo);
    assert_eq!(agreed.remote, address("198.51.100.3:16386"));
}

#[test]
fn peer_address_port_codec_and_numbers_may_change_in_mid_call() {
    let mut negotiation = negotiation();
    negotiation
        .answer(&wire(CALLER_OFFER), Direction::SendRecv)
        .unwrap();
    let media_server = "v=0\no=Genesys 1 2 IN IP4 192.0.2.81\ns=-\nt=0 0\n\
        m=audio 20000 RTP/AVP 8 0 96\nc=IN IP4 192.0.2.82\na=rtpmap:96 telephone-event/8000\na=ptime:30\n";
    let (answer, agreed) = negotiation
        .answer(&wire(media_server), Direction::SendRecv)
        .unwrap();
    assert_eq!(agreed.codec, Codec::Pcma);
    assert_eq!(
        agreed.telephone_event.map(|event| event.payload_type),
        Some(96)
    );
    assert_eq!(agreed.remote, address("192.0.2.82:20000"));
    assert_eq!(agreed.ptime_ms, Some(30));
    assert!(text(answer).contains("m=audio 16384 RTP/AVP 8 96\r\n"));
    assert!(
        text(negotiation.offer(Direction::SendRecv))
            .contains("a=rtpmap:96 telephone-event/8000\r\n")
    );
}

#[test]
fn a_refused_offer_leaves_the_old_agreement_and_its_version_is_not_used_again() {
    let mut negotiation = negotiation();
    let (_, before) = negotiation
        .answer(&wire(CALLER_OFFER), Direction::SendRecv)
        .unwrap();
    let refused = negotiation.offer(Direction::Inactive);
    negotiation.abandon_offer();
    assert!(!negotiation.has_open_offer());
    assert_eq!(negotiation.agreed(), Some(&before));
    let (answer, _) = negotiation
        .answer(&wire(CALLER_OFFER), Direction::SendRecv)
        .unwrap();
    assert_eq!(version(&answer), version(&refused) + 1);
}

#[test]
fn the_version_counts_changes_and_the_id_never_changes() {
    let mut negotiation = negotiation();
    let wanted = [
        (Direction::SendRecv, 1),
        (Direction::SendRecv, 1),
        (Direction::SendOnly, 2),
        (Direction::SendRecv, 3),
    ];
    for (direction, expected) in wanted {
        let (answer, _) = negotiation.answer(&wire(CALLER_OFFER), direction).unwrap();
        assert_eq!(version(&answer), expected);
        assert!(text(answer).contains("o=talkbridge 7 "));
    }
    negotiation.set_local(sdp::LocalMedia {
        port: 16_390,
        ..local()
    });
    let (answer, _) = negotiation
        .answer(&wire(CALLER_OFFER), Direction::SendRecv)
        .unwrap();
    assert_eq!(version(&answer), 4);
}
