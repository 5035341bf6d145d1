//! The same bytes through another reader, `sdp-types`, which knows nothing of ours; and noise.
#![allow(clippy::unwrap_used)]

mod common;

use common::{BODIES, negotiation, wire};
use proptest::prelude::*;
use sdp::{Direction, SessionDescription};

/// Media lines as both readers see them: media, port, protocol, formats, attributes with their values.
type Seen = Vec<(String, u16, String, String, Vec<(String, String)>)>;

fn ours(body: &[u8]) -> Option<Seen> {
    let utf8 = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let description = SessionDescription::parse(body).ok()?;
    let seen = description.media.iter().map(|media| {
        let attributes = media
            .lines
            .iter()
            .filter(|line| line.kind == b'a')
            .map(|line| {
                let text = utf8(&line.value);
                let (name, value) = text.split_once(':').unwrap_or((text.as_str(), ""));
                (name.to_owned(), value.to_owned())
            });
        let formats: Vec<String> = media.formats.iter().map(|format| utf8(format)).collect();
        (
            utf8(&media.media),
            media.port,
            utf8(&media.protocol),
            formats.join(" "),
            attributes.collect(),
        )
    });
    Some(seen.collect())
}

fn theirs(body: &[u8]) -> Option<Seen> {
    let session = sdp_types::Session::parse(body).ok()?;
    let seen = session.medias.iter().map(|media| {
        let attributes = media.attributes.iter().map(|attribute| {
            (
                attribute.attribute.clone(),
                attribute.value.clone().unwrap_or_default(),
            )
        });
        (
            media.media.to_string(),
            media.port,
            media.proto.to_string(),
            media.fmt.clone(),
            attributes.collect(),
        )
    });
    Some(seen.collect())
}

#[test]
fn another_reader_sees_the_same_lines() {
    for (name, body) in BODIES {
        // The other reader does not take lines of a type that RFC 8866 does not name.
        let body = wire(&body.replace("x=unknown to everybody\n", ""));
        assert_eq!(ours(&body), Some(theirs(&body).expect(name)), "{name}");
    }
}

#[test]
fn another_reader_takes_what_we_print() {
    for (_, body) in BODIES {
        for wanted in Direction::ALL {
            let mut negotiation = negotiation();
            let offer = negotiation.offer(wanted);
            assert_eq!(ours(&offer), Some(theirs(&offer).unwrap()));
            if let Ok((answer, _)) = negotiation.answer(&wire(body), wanted) {
                assert_eq!(ours(&answer), Some(theirs(&answer).unwrap()));
                let offer = negotiation.offer(wanted);
                assert_eq!(ours(&offer), Some(theirs(&offer).unwrap()));
            }
        }
    }
}

/// A body with some octets changed, cut out or doubled: the noise that finds what whole noise does not.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let bodies: Vec<Vec<u8>> = BODIES.iter().map(|(_, body)| wire(body)).collect();
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..8);
    (prop::sample::select(bodies), edits).prop_map(|(mut body, edits)| {
        for (at, octet, kind) in edits {
            let at = at.index(body.len());
            match kind {
                0 => body[at] = octet,
                1 => {
                    body.remove(at);
                }
                _ => body.insert(at, octet),
            }
        }
        body
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_descriptions_break_nothing(body in damaged()) {
        sdp::fuzz(&body);
    }

    #[test]
    fn noise_breaks_nothing(body in prop::collection::vec(any::<u8>(), 0..256)) {
        sdp::fuzz(&body);
    }
}
