//! Offer and answer beyond what SIP Server sends every day (RFC 3264).
#![allow(clippy::unwrap_used)]

mod common;

use common::{
    BROWSER_OFFER, CALLER_ANSWER, CALLER_OFFER, MANY_LINES, address, local, negotiation, text, wire,
};
use sdp::{Codec, Direction, LocalMedia, Negotiation, NegotiationError, SessionDescription};

/// RFC 3264 sections 6.1 and 8.4 through whole descriptions: what the peer offers, what we want, what our
/// answer says and whether the peer holds us. The table is written out so that a change shows.
#[test]
fn directions_by_the_table() {
    let mut table = String::new();
    for place in ["address", "0.0.0.0", "port 0"] {
        for offered in Direction::ALL {
            for wanted in Direction::ALL {
                let offer = match place {
                    "0.0.0.0" => CALLER_OFFER.replace("c=IN IP4 192.0.2.81", "c=IN IP4 0.0.0.0"),
                    "port 0" => CALLER_OFFER.replace("m=audio 8006", "m=audio 0"),
                    _ => CALLER_OFFER.to_owned(),
                };
                let offer = wire(&format!("{offer}a={offered}\n"));
                let (answer, agreed) = negotiation().answer(&offer, wanted).unwrap();
                let answer = text(answer);
                assert!(
                    answer.ends_with(&format!("a={}\r\n", agreed.direction)),
                    "{answer}"
                );
                let sends = if agreed.remote.is_some() { "yes" } else { "no" };
                let held = if agreed.held_by_remote { "held" } else { "-" };
                table.push_str(&format!(
                    "{place:<8} {offered:<9} {wanted:<9} {:<9} {sends:<3} {held}\n",
                    agreed.direction
                ));
            }
        }
    }
    // place, offered, wanted, answered, has an address, held by the remote
    let expected = include_str!("directions.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write("tests/directions.txt", &table).unwrap();
    } else {
        assert_eq!(table, expected);
    }
}

#[test]
fn only_the_first_usable_audio_line_is_taken_and_the_answer_keeps_the_order() {
    let mut negotiation = negotiation();
    let (answer, agreed) = negotiation
        .answer(&wire(MANY_LINES), Direction::SendRecv)
        .unwrap();
    let answer = text(answer);
    let media: Vec<&str> = answer
        .lines()
        .filter(|line| line.starts_with("m="))
        .collect();
    assert_eq!(
        media,
        [
            "m=video 0 RTP/AVP 99",
            "m=audio 0 RTP/SAVP 0",
            "m=audio 16384 RTP/AVP 8 96",
            "m=image 0 udptl t38",
        ]
    );
    assert_eq!(agreed.codec, Codec::Pcma);
    assert_eq!(
        agreed.telephone_event.map(|event| event.payload_type),
        Some(96)
    );
    assert_eq!(
        agreed.remote,
        address("203.0.113.8:49170"),
        "media level before session level"
    );
    assert_eq!(agreed.remote_rtcp, address("203.0.113.8:53020"), "a=rtcp");
    assert_eq!(
        agreed.direction,
        Direction::SendRecv,
        "media level before session level"
    );
    assert_eq!(agreed.ptime_ms, Some(30));
    let offer = text(negotiation.offer(Direction::SendRecv));
    let media: Vec<&str> = offer
        .lines()
        .filter(|line| line.starts_with("m="))
        .collect();
    assert_eq!(media.len(), 4, "lines never get fewer: {offer}");
    assert_eq!(media[2], "m=audio 16384 RTP/AVP 0 8 96");
    let full = offer
        .replace("16384", "49170")
        .replace("198.51.100.3", "203.0.113.8");
    assert_eq!(
        negotiation.accept(full.as_bytes()).unwrap().remote,
        address("203.0.113.8:49170")
    );
    negotiation.offer(Direction::SendRecv);
    let agreed = negotiation.accept(&wire(CALLER_ANSWER)).unwrap();
    assert_eq!(
        agreed.remote,
        address("192.0.2.81:8006"),
        "an answer that leaves the refused lines out"
    );
}

#[test]
fn a_direction_at_session_level_holds_for_lines_without_one() {
    let offer = CALLER_OFFER.replace("t=0 0", "t=0 0\na=sendonly");
    let (_, agreed) = negotiation()
        .answer(&wire(&offer), Direction::SendRecv)
        .unwrap();
    assert_eq!(agreed.direction, Direction::RecvOnly);
    assert!(agreed.held_by_remote);
}

#[test]
fn static_payload_types_need_no_rtpmap_and_an_rtpmap_counts_before_them() {
    let bare = "v=0\nc=IN IP4 192.0.2.81\nm=audio 8000 RTP/AVP 3 8";
    let (_, agreed) = negotiation()
        .answer(bare.as_bytes(), Direction::SendRecv)
        .unwrap();
    assert_eq!((agreed.codec, agreed.telephone_event), (Codec::Pcma, None));
    let remapped = format!("{bare}\na=rtpmap:8 L16/8000");
    assert_eq!(
        negotiation().answer(remapped.as_bytes(), Direction::SendRecv),
        Err(NegotiationError::NoCommonCodec)
    );
}

#[test]
fn opus_keeps_the_number_of_the_peer_and_a_fitting_clock_for_events() {
    let local = LocalMedia {
        codecs: vec![Codec::Opus, Codec::Pcmu],
        ..local()
    };
    let offer = "v=0\nc=IN IP4 192.0.2.81\nm=audio 8000 RTP/AVP 101 110 126 0\n\
        a=rtpmap:101 opus/48000/2\na=rtpmap:110 telephone-event/48000\na=rtpmap:126 telephone-event/8000\n";
    let mut negotiation = Negotiation::new(1, local.clone());
    let (answer, agreed) = negotiation
        .answer(offer.as_bytes(), Direction::SendRecv)
        .unwrap();
    assert_eq!((agreed.codec, agreed.payload_type), (Codec::Opus, 101));
    assert_eq!(
        agreed.telephone_event.map(|event| event.payload_type),
        Some(110)
    );
    let answer = text(answer);
    assert!(answer.contains("a=rtpmap:101 opus/48000/2\r\n"), "{answer}");
    assert!(
        answer.contains("a=rtpmap:110 telephone-event/48000\r\n"),
        "{answer}"
    );

    let (answer, agreed) = Negotiation::new(1, local)
        .answer(offer.replace(" 110", "").as_bytes(), Direction::SendRecv)
        .unwrap();
    assert_eq!(
        agreed.telephone_event.map(|event| event.payload_type),
        Some(126),
        "8000 is better than none"
    );
    assert!(text(answer).contains("a=rtpmap:126 telephone-event/8000\r\n"));
}

/// RFC 3264 section 8.3.2: a number keeps its meaning to the end of the session.
#[test]
fn a_number_that_the_peer_gave_away_is_not_given_another_meaning() {
    let offer = "v=0\nc=IN IP4 192.0.2.81\nm=audio 8000 RTP/AVP 0 101 96\na=rtpmap:101 speex/8000\na=rtpmap:96 ilbc/8000\n";
    let mut negotiation = negotiation();
    let (_, agreed) = negotiation
        .answer(offer.as_bytes(), Direction::SendRecv)
        .unwrap();
    assert_eq!(agreed.telephone_event, None);
    let offer = text(negotiation.offer(Direction::SendRecv));
    assert!(
        offer.contains("m=audio 16384 RTP/AVP 0 8 97\r\n"),
        "{offer}"
    );
}

#[test]
fn port_0_switches_the_line_off_and_our_answer_says_so_too() {
    let mut negotiation = negotiation();
    negotiation
        .answer(&wire(CALLER_OFFER), Direction::SendRecv)
        .unwrap();
    let off = "v=0\nc=IN IP4 192.0.2.81\nm=audio 0 RTP/AVP";
    let (answer, agreed) = negotiation
        .answer(off.as_bytes(), Direction::SendRecv)
        .unwrap();
    assert!(text(answer).contains("m=audio 0 RTP/AVP 0 101\r\n"));
    assert_eq!(
        (agreed.remote, agreed.direction),
        (None, Direction::Inactive)
    );
    assert_eq!(agreed.codec, Codec::Pcmu, "what was spoken last");
    let offer = text(negotiation.offer(Direction::SendRecv));
    assert!(
        offer.contains("m=audio 16384 "),
        "our next offer opens it again: {offer}"
    );
    let refused = CALLER_ANSWER.replace("m=audio 8006", "m=audio 0");
    let agreed = negotiation.accept(&wire(&refused)).unwrap();
    assert_eq!((agreed.remote, agreed.held_by_remote), (None, true));
}

/// With feedback or without (RFC 4585): the answer has the name of the offer, and so have our own offers from then on.
#[test]
fn a_profile_with_feedback_is_answered_by_its_name() {
    let mut negotiation = negotiation();
    let offer = CALLER_OFFER.replace("RTP/AVP ", "RTP/AVPF ");
    let (answer, agreed) = negotiation
        .answer(&wire(&offer), Direction::SendRecv)
        .unwrap();
    assert!(text(answer).contains(" RTP/AVPF 0 "));
    assert!(agreed.remote.is_some());
    assert!(text(negotiation.offer(Direction::SendRecv)).contains(" RTP/AVPF 0 "));
    let (answer, _) = negotiation
        .answer(&wire(CALLER_OFFER), Direction::SendRecv)
        .unwrap();
    assert!(text(answer).contains(" RTP/AVP 0 "));
}

#[test]
fn refusals_have_causes_and_change_nothing() {
    let offer = |from: &str, to: &str| wire(&CALLER_OFFER.replace(from, to));
    let cases = [
        (wire(BROWSER_OFFER), NegotiationError::UnsupportedProfile),
        (offer("RTP/AVP", "RTP/SAVP"), NegotiationError::SrtpOff),
        (offer("RTP/AVP", "RTP/SAVPF"), NegotiationError::SrtpOff),
        (offer("m=audio", "m=video"), NegotiationError::NoAudio),
        (offer("0 8 9 102", "9 102"), NegotiationError::NoCommonCodec),
        (
            offer("0 8 9 102 103 104 18 120 101", "101"),
            NegotiationError::NoCommonCodec,
        ),
        (
            offer("c=IN IP4 192.0.2.81\n", ""),
            NegotiationError::NoAddress,
        ),
        (
            offer("c=IN IP4 192.0.2.81", "c=IN IP4 media.example.com"),
            NegotiationError::UnusableAddress,
        ),
        (
            offer("c=IN IP4 192.0.2.81", "c=ATM NSAP 1"),
            NegotiationError::UnusableAddress,
        ),
        (
            offer("c=IN IP4 192.0.2.81", "c=IN IP4 224.2.1.1/127"),
            NegotiationError::NotUnicast,
        ),
        (
            offer("c=IN IP4 192.0.2.81", "c=IN IP4 255.255.255.255"),
            NegotiationError::NotUnicast,
        ),
        (
            offer("c=IN IP4 192.0.2.81", "c=IN IP6 2001:db8::1"),
            NegotiationError::AddressFamily,
        ),
    ];
    for (body, cause) in cases {
        let mut negotiation = negotiation();
        let (_, before) = negotiation
            .answer(&wire(CALLER_OFFER), Direction::SendRecv)
            .unwrap();
        assert_eq!(negotiation.answer(&body, Direction::SendRecv), Err(cause));
        assert_eq!(negotiation.agreed(), Some(&before));
        negotiation.offer(Direction::SendRecv);
        assert_eq!(negotiation.accept(&body), Err(cause));
        assert_eq!(negotiation.agreed(), Some(&before));
        assert!(!negotiation.has_open_offer());
    }
    assert_eq!(
        negotiation().accept(&wire(CALLER_ANSWER)),
        Err(NegotiationError::NoOffer)
    );
    assert!(matches!(
        negotiation().answer(b"hello", Direction::SendRecv),
        Err(NegotiationError::Parse(_))
    ));
}

#[test]
fn ipv6_is_printed_and_read() {
    let local = LocalMedia {
        address: "2001:db8::3".parse().unwrap(),
        ..local()
    };
    let offer = CALLER_OFFER.replace("c=IN IP4 192.0.2.81", "c=IN IP6 2001:db8::81");
    let (answer, agreed) = Negotiation::new(1, local)
        .answer(&wire(&offer), Direction::SendRecv)
        .unwrap();
    assert!(text(answer).contains("c=IN IP6 2001:db8::3\r\n"));
    assert_eq!(agreed.remote, address("[2001:db8::81]:8006"));
}

#[test]
fn values_that_cannot_be_believed_count_as_absent() {
    for line in [
        "a=ptime:0",
        "a=ptime:70000",
        "a=ptime:x",
        "a=ptime:201",
        "a=ptime:-20",
    ] {
        let offer = format!("{CALLER_OFFER}{line}\n");
        let (_, agreed) = negotiation()
            .answer(&wire(&offer), Direction::SendRecv)
            .unwrap();
        assert_eq!(agreed.ptime_ms, None, "{line}");
    }
    for line in [
        "a=rtcp:0",
        "a=rtcp:x",
        "a=rtcp:9000 IN IP4 224.0.0.1",
        "a=rtcp:9000 IN IP6 ::1",
        "a=rtcp:",
    ] {
        let offer = format!("{CALLER_OFFER}{line}\n");
        let (_, agreed) = negotiation()
            .answer(&wire(&offer), Direction::SendRecv)
            .unwrap();
        assert_eq!(agreed.remote_rtcp, address("192.0.2.81:8007"), "{line}");
    }
    let top = CALLER_OFFER.replace("m=audio 8006", "m=audio 65535");
    let (_, agreed) = negotiation()
        .answer(&wire(&top), Direction::SendRecv)
        .unwrap();
    assert_eq!(agreed.remote_rtcp, None, "there is no port above 65535");
}

#[test]
fn without_telephone_events_of_ours_none_are_offered_or_accepted() {
    let local = LocalMedia {
        telephone_event: false,
        ..local()
    };
    let mut negotiation = Negotiation::new(1, local);
    assert!(!text(negotiation.offer(Direction::SendRecv)).contains("telephone-event"));
    let (answer, agreed) = negotiation
        .answer(&wire(CALLER_OFFER), Direction::SendRecv)
        .unwrap();
    assert_eq!(agreed.telephone_event, None);
    assert!(!text(answer).contains("telephone-event"));
}

#[test]
fn what_we_print_is_a_description() {
    let mut negotiation = negotiation();
    for direction in Direction::ALL {
        let offer = negotiation.offer(direction);
        let parsed = SessionDescription::parse(&offer).unwrap();
        assert_eq!(parsed.to_bytes(), offer);
        assert_eq!(parsed.to_string().into_bytes(), offer);
    }
}

/// How long packets may be that the peer gets: both lines, each where it makes sense.
#[test]
fn the_longest_packet_is_read_too() {
    for (line, expected) in [
        ("a=maxptime:40", Some(40)),
        ("a=maxptime:0", None),
        ("a=maxptime:201", None),
        ("a=maxptime:forty", None),
        ("a=ptime:30", None),
    ] {
        let offer = wire(&format!("{CALLER_OFFER}{line}\n"));
        let (_, agreed) = negotiation().answer(&offer, Direction::SendRecv).unwrap();
        assert_eq!(agreed.maxptime_ms, expected, "{line}");
    }
}

/// Who receives Opus may prefer that silence is not sent (RFC 7587 section 6.1). Of another codec, or another format, it says nothing.
#[test]
fn a_preference_for_unsent_silence_is_read() {
    for (formats, lines, wanted) in [
        ("120", "a=fmtp:120 useinbandfec=1;usedtx=1\n", true),
        ("120", "a=fmtp:120 usedtx=1 ; stereo=0\n", true),
        ("120", "a=fmtp:120 usedtx=0\n", false),
        ("120", "a=fmtp:120 nousedtx=1\n", false),
        ("120", "a=fmtp:121 usedtx=1\n", false),
        ("120", "", false),
        ("0", "a=fmtp:0 usedtx=1\n", false),
    ] {
        let offer = format!(
            "v=0\no=- 1 1 IN IP4 192.0.2.82\ns=-\nc=IN IP4 192.0.2.82\nt=0 0\nm=audio 20000 RTP/AVP {formats}\n\
             a=rtpmap:120 opus/48000/2\n{lines}"
        );
        let local = LocalMedia {
            codecs: vec![Codec::Opus, Codec::Pcmu],
            ..local()
        };
        let mut negotiation = Negotiation::new(1, local);
        let answered = negotiation.answer(&wire(&offer), Direction::SendRecv);
        assert_eq!(answered.unwrap().1.dtx, wanted, "{formats} {lines}");
    }
}

/// Our offers ask how we sound (RFC 3611 section 5.2). An answer asks only who has shown that it knows of it, on either level.
#[test]
fn metrics_are_asked_for_and_told_to_who_asks() {
    let asks = |description: Vec<u8>| text(description).contains("a=rtcp-xr:voip-metrics\r\n");
    assert!(asks(negotiation().offer(Direction::SendRecv)));
    for (line, wanted) in [
        ("a=rtcp-xr:voip-metrics", true),
        (
            "a=rtcp-xr:rcvr-rtt=all:10 VoIP-Metrics stat-summary=loss",
            true,
        ),
        ("a=rtcp-xr:pkt-loss-rle", false),
        ("a=rtcp-xr", false),
        ("a=x-rtcp-xr:voip-metrics", false),
    ] {
        let at_media = format!("{CALLER_OFFER}{line}\n");
        let at_session = CALLER_OFFER.replacen("t=0 0\n", &format!("t=0 0\n{line}\n"), 1);
        for offer in [at_media, at_session] {
            let answered = negotiation().answer(&wire(&offer), Direction::SendRecv);
            let (answer, agreed) = answered.unwrap();
            assert_eq!(
                (agreed.voip_metrics, asks(answer)),
                (wanted, wanted),
                "{offer}"
            );
        }
        let mut negotiation = negotiation();
        negotiation.offer(Direction::SendRecv);
        let answer = wire(&format!("{CALLER_ANSWER}{line}\n"));
        assert_eq!(negotiation.accept(&answer).unwrap().voip_metrics, wanted);
    }
    // Media level before session level.
    let both = CALLER_OFFER.replacen("t=0 0\n", "t=0 0\na=rtcp-xr:voip-metrics\n", 1);
    let both = wire(&format!("{both}a=rtcp-xr\n"));
    let (_, agreed) = negotiation().answer(&both, Direction::SendRecv).unwrap();
    assert!(!agreed.voip_metrics, "switched off for this line");
}
