//! The body of the fuzz target: any bytes, and what must hold of them.

use std::net::{IpAddr, Ipv4Addr};

use crate::{
    Codec, CryptoSuite, Direction, LocalMedia, Negotiation, SessionDescription, SrtpPolicy,
};

/// Feeds `data` as a description, as an offer and as an answer.
///
/// # Panics
/// When an invariant is broken: what was read prints to something that reads the same; an answer has as many
/// media lines as its offer and can itself be read; nothing is sent to an address that is not one.
pub fn fuzz(data: &[u8]) {
    if let Ok(description) = SessionDescription::parse(data) {
        let again = SessionDescription::parse(&description.to_bytes());
        // Printing turns LF into CRLF, so a description at the very limit may grow past it.
        if let Ok(again) = again {
            assert_eq!(again, description, "printed and read again");
        }
    }
    let local = LocalMedia {
        address: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 3)),
        port: 16_384,
        codecs: vec![Codec::Pcmu, Codec::Pcma, Codec::Opus],
        telephone_event: true,
    };
    for policy in [SrtpPolicy::Off, SrtpPolicy::Optional, SrtpPolicy::Required] {
        negotiate(data, policy, &local);
    }
}

fn negotiate(data: &[u8], policy: SrtpPolicy, local: &LocalMedia) {
    let fresh =
        || Negotiation::new(1, local.clone()).with_srtp(policy, CryptoSuite::ALL.to_vec(), [3; 32]);
    for wanted in Direction::ALL {
        let mut negotiation = fresh();
        if let Ok((answer, agreed)) = negotiation.answer(data, wanted) {
            let offer = SessionDescription::parse(data).expect("it was answered");
            let answer = SessionDescription::parse(&answer).expect("we read what we write");
            assert_eq!(answer.media.len(), offer.media.len(), "media lines");
            assert_eq!(
                agreed.direction.intersect(wanted),
                agreed.direction,
                "no more than wanted"
            );
            assert!(
                agreed.remote.is_some() || !agreed.direction.sends(),
                "sends to nowhere"
            );
            assert!(
                policy != SrtpPolicy::Required || agreed.srtp.is_some() || agreed.remote.is_none(),
                "sends in the clear"
            );
            let next = negotiation.offer(wanted);
            let next = SessionDescription::parse(&next).expect("we read what we write");
            assert_eq!(
                next.media.len(),
                offer.media.len(),
                "media lines of the next offer"
            );
        }
        let mut negotiation = fresh();
        let offer = negotiation.offer(wanted);
        SessionDescription::parse(&offer).expect("we read what we write");
        if let Ok(agreed) = negotiation.accept(data) {
            assert!(agreed.payload_type <= 127, "payload type");
            assert!(
                agreed.remote.is_some() || !agreed.direction.sends(),
                "sends to nowhere"
            );
        }
    }
}
