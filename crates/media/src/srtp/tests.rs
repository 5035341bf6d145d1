//! The vectors of the RFCs, and what a peer may do with indices.

use aws_lc_rs::cipher::EncryptingKey;

use super::derive::{Label, apply, counter_mode, derive};
use super::index::{Window, estimate};
use super::transform::{Frame, Kind, Transform};
use super::{MasterKey, Mki, RTCP_OVERHEAD, RTP_OVERHEAD, Receiver, Refused, Sender, Suite};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|octet| !octet.is_ascii_whitespace())
        .collect();
    let (pairs, rest) = digits.as_chunks::<2>();
    assert!(rest.is_empty());
    pairs
        .iter()
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn key(suite: Suite) -> MasterKey {
    let octets: Vec<u8> = (0..46).map(|octet| octet * 5 + 3).collect();
    MasterKey::new(suite, &octets[..suite.key_len() + suite.salt_len()]).unwrap()
}

fn rtp(sequence: u16, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 1, 2]);
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(&[0x5a; 160]);
    packet
}

fn sealed(sender: &mut Sender, packet: &[u8]) -> Vec<u8> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + RTP_OVERHEAD, 0);
    let len = sender.protect_rtp(&mut buffer, packet.len()).unwrap();
    buffer.truncate(len);
    buffer
}

fn sealed_rtcp(sender: &mut Sender, packet: &[u8]) -> Vec<u8> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + RTCP_OVERHEAD, 0);
    let len = sender.protect_rtcp(&mut buffer, packet.len()).unwrap();
    buffer.truncate(len);
    buffer
}

fn opened(receiver: &mut Receiver, packet: &[u8]) -> Result<Vec<u8>, Refused> {
    let mut buffer = packet.to_vec();
    match receiver.unprotect_rtp(&mut buffer) {
        Ok(len) => Ok(buffer[..len].to_vec()),
        Err(refused) => {
            assert_eq!(buffer, packet, "a refused packet is unchanged");
            Err(refused)
        }
    }
}

fn block(key: &EncryptingKey, counter: &str) -> Vec<u8> {
    let mut zeros = [0; 16];
    apply(key, hex(counter).try_into().unwrap(), &mut zeros);
    zeros.to_vec()
}

/// RFC 3711 appendix B.2 and RFC 6188 section 7.1 and 7.2: the key streams of AES-128 and AES-256.
#[test]
fn key_streams() {
    let narrow = counter_mode(&hex("2B7E151628AED2A6ABF7158809CF4F3C"));
    let wide = counter_mode(&hex(
        "57f82fe3613fd170a85ec93c40b1f0922ec4cb0dc025b58272147cc438944a98",
    ));
    for (counter, first, second) in [
        (
            "F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000",
            "E03EAD0935C95E80E166B16DD92B4EB4",
            "92bdd28a93c3f52511c677d08b5515a4",
        ),
        (
            "F0F1F2F3F4F5F6F7F8F9FAFBFCFD0001",
            "D23513162B02D0F72A43A2FE4A5F97AB",
            "9da71b2378a854f67050756ded165bac",
        ),
        (
            "F0F1F2F3F4F5F6F7F8F9FAFBFCFDFEFF",
            "EC8CDF7398607CB0F2D21675EA9EA1E4",
            "cea518c90fd91ced9cbb18c078a54711",
        ),
        (
            "F0F1F2F3F4F5F6F7F8F9FAFBFCFDFF01",
            "6A2CC3787889374FBEB4C81B17BA6C44",
            "6eb246913062a16891433e97dd01a57f",
        ),
    ] {
        assert_eq!(block(&narrow, counter), hex(first));
        assert_eq!(block(&wide, counter), hex(second));
    }
}

/// RFC 3711 appendix B.3.
#[test]
fn session_keys_of_aes_128() {
    let master = hex("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6");
    let master = MasterKey::new(Suite::Aes128CmSha1_80, &master).unwrap();
    let cipher: [u8; 16] = derive(&master, Label::RtpCipher);
    let salt: [u8; 14] = derive(&master, Label::RtpSalt);
    let tag: [u8; 20] = derive(&master, Label::RtpTag);
    assert_eq!(cipher.to_vec(), hex("C61E7A93744F39EE10734AFE3FF7A087"));
    assert_eq!(salt.to_vec(), hex("30CBBC08863D8C85D49DB34A9AE1"));
    assert_eq!(
        tag.to_vec(),
        hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4")
    );
}

/// RFC 6188 section 7.4.
#[test]
fn session_keys_of_aes_256() {
    let master = hex(
        "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6 3b04803de51ee7c96423ab5b78d2",
    );
    let master = MasterKey::new(Suite::Aes256CmSha1_80, &master).unwrap();
    let cipher: [u8; 32] = derive(&master, Label::RtpCipher);
    let salt: [u8; 14] = derive(&master, Label::RtpSalt);
    let tag: [u8; 20] = derive(&master, Label::RtpTag);
    assert_eq!(
        cipher.to_vec(),
        hex("5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4")
    );
    assert_eq!(salt.to_vec(), hex("fa31791685ca444a9e07c6c64e93"));
    assert_eq!(
        tag.to_vec(),
        hex("fd9c32d39ed5fbb5a9dc96b30818454d1313dc05")
    );
}

const GCM_SALT: &[u8; 12] = b"Quid pro quo";
const GCM_RTP: &str = "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e6973206469766973612069
    6e207061727465732074726573";
const GCM_RTCP: &str = "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61
    deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";

/// RFC 7714 sections 16.1 and 16.2: RTP.
#[test]
fn gcm_of_rtp() {
    let octets: Vec<u8> = (0..32).collect();
    for (suite, key, expected) in [
        (
            Suite::AeadAes128Gcm,
            &octets[..16],
            "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce",
        ),
        (
            Suite::AeadAes256Gcm,
            &octets[..],
            "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13",
        ),
    ] {
        let transform = Transform::gcm_of(suite, key, GCM_SALT);
        let frame = Frame {
            kind: Kind::Rtp,
            head: 12,
            ssrc: 0x5501_a0b2,
            index: 0xf17b,
            tail: [0; 4],
            encrypted: true,
        };
        let mut packet = hex(GCM_RTP);
        let tag = transform.seal(&mut packet, &frame).unwrap();
        let whole = [&packet[..], &tag[..16]].concat();
        assert_eq!(whole, hex(expected), "{suite:?}");
        transform.open(&mut packet, &tag[..16], &frame).unwrap();
        assert_eq!(packet, hex(GCM_RTP));
    }
}

/// RFC 7714 sections 17.1 to 17.4: RTCP, encrypted and with a tag only.
#[test]
fn gcm_of_rtcp() {
    let octets: Vec<u8> = (0..32).collect();
    for (suite, key, sealed, tagged) in [
        (
            Suite::AeadAes128Gcm,
            &octets[..16],
            "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade",
            "841dd9683dd78ec92ae58790125f62b3",
        ),
        (
            Suite::AeadAes256Gcm,
            &octets[..],
            "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de0476f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be",
            "91db4afbfeee5a978fab4393ed2615fe",
        ),
    ] {
        let transform = Transform::gcm_of(suite, key, GCM_SALT);
        let mut frame = Frame {
            kind: Kind::Rtcp,
            head: 8,
            ssrc: 0x4d61_7273,
            index: 0x5d4,
            tail: 0x8000_05d4_u32.to_be_bytes(),
            encrypted: true,
        };
        let mut packet = hex(GCM_RTCP);
        let tag = transform.seal(&mut packet, &frame).unwrap();
        assert_eq!([&packet[..], &tag[..16]].concat(), hex(sealed), "{suite:?}");
        transform.open(&mut packet, &tag[..16], &frame).unwrap();
        frame.encrypted = false;
        frame.tail = 0x5d4_u32.to_be_bytes();
        transform.open(&mut packet, &hex(tagged), &frame).unwrap();
        assert_eq!(packet, hex(GCM_RTCP));
    }
}

/// What is sealed is opened, once; every suite, RTP and RTCP, over the turn of the sequence number.
#[test]
fn there_and_back_over_the_turn() {
    for suite in Suite::ALL {
        let mut sender = Sender::new(&key(suite));
        let mut receiver = Receiver::new(&key(suite), None);
        for step in 0..70_000_u32 {
            // Every seventh hundred is enough to see each side of the turn.
            if step % 700 > 2 {
                continue;
            }
            let packet = rtp(20_000_u16.wrapping_add(step as u16), 7);
            let sealed = sealed(&mut sender, &packet);
            assert_eq!(sealed.len(), packet.len() + suite.rtp_tag_len());
            assert_ne!(sealed[12..172], packet[12..]);
            assert_eq!(
                opened(&mut receiver, &sealed),
                Ok(packet),
                "{suite:?} {step}"
            );
            assert_eq!(opened(&mut receiver, &sealed), Err(Refused::Replay));
        }
        let report = hex(GCM_RTCP);
        let sealed = sealed_rtcp(&mut sender, &report);
        assert_eq!(sealed.len(), report.len() + 4 + suite.rtcp_tag_len());
        let mut copy = sealed.clone();
        assert_eq!(receiver.unprotect_rtcp(&mut copy), Ok(report.len()));
        assert_eq!(copy[..report.len()], report);
        assert_eq!(
            receiver.unprotect_rtcp(&mut sealed.clone()),
            Err(Refused::Replay)
        );
    }
}

/// The advisory on FreeSWITCH sent 13 octets without a tag; so short, cut and bent packets, RTP and RTCP, change nothing.
#[test]
fn what_does_not_pass_changes_nothing() {
    for suite in Suite::ALL {
        let mut sender = Sender::new(&key(suite));
        let mut receiver = Receiver::new(&key(suite), None);
        let good = sealed(&mut sender, &rtp(100, 7));
        let report = sealed_rtcp(&mut sender, &hex(GCM_RTCP));
        for len in 0..good.len() {
            assert!(
                opened(&mut receiver, &good[..len]).is_err(),
                "{suite:?} {len}"
            );
        }
        for len in 0..report.len() {
            assert!(
                receiver
                    .unprotect_rtcp(&mut report[..len].to_vec())
                    .is_err()
            );
        }
        // A roll-over, or a window, that moved would refuse the good ones at the end.
        for at in 0..good.len() {
            let mut bent = good.clone();
            bent[at] ^= 0x40;
            assert!(
                opened(&mut receiver, &bent).is_err(),
                "{suite:?} octet {at}"
            );
        }
        for at in 0..report.len() {
            let mut bent = report.clone();
            bent[at] ^= 0x40;
            assert!(
                receiver.unprotect_rtcp(&mut bent).is_err(),
                "{suite:?} octet {at}"
            );
        }
        let advisory = hex("8000702809cd2d15fd3e5c8641");
        assert!(opened(&mut receiver, &advisory).is_err());
        assert!(receiver.unprotect_rtcp(&mut hex("80c80000")).is_err());
        assert!(opened(&mut receiver, &rtp(101, 7)).is_err(), "plain RTP");
        assert_eq!(opened(&mut receiver, &good), Ok(rtp(100, 7)));
        assert!(receiver.unprotect_rtcp(&mut report.clone()).is_ok());
    }
}

/// A far end that is put on hold by music comes back with its first SSRC: its roll-over counter is still known.
#[test]
fn a_stream_that_returns_keeps_its_counter() {
    let suite = Suite::Aes128CmSha1_80;
    let (mut first, mut second) = (Sender::new(&key(suite)), Sender::new(&key(suite)));
    let mut receiver = Receiver::new(&key(suite), None);
    for sequence in [65_000_u16, 65_530, 10] {
        let packet = sealed(&mut first, &rtp(sequence, 7));
        assert_eq!(opened(&mut receiver, &packet), Ok(rtp(sequence, 7)));
    }
    for sequence in 500..510 {
        let packet = sealed(&mut second, &rtp(sequence, 8));
        assert_eq!(opened(&mut receiver, &packet), Ok(rtp(sequence, 8)));
    }
    let packet = sealed(&mut first, &rtp(900, 7));
    assert_eq!(opened(&mut receiver, &packet), Ok(rtp(900, 7)));
}

/// A long call gets another key: whether its peer begins the roll-over counter anew or goes on with it, it is heard.
#[test]
fn a_new_key_may_come_with_either_counter() {
    for suite in Suite::ALL {
        let other = vec![0x77; suite.key_len() + suite.salt_len()];
        let other = MasterKey::new(suite, &other).unwrap();
        for keeps in [true, false] {
            let mut receiver = Receiver::new(&key(suite), None);
            let mut sender = Sender::new(&key(suite));
            let mut next = Sender::new(&other);
            for sequence in [65_000_u16, 65_535, 0, 20_000] {
                let packet = sealed(&mut sender, &rtp(sequence, 7));
                assert!(opened(&mut receiver, &packet).is_ok());
                if keeps {
                    sealed(&mut next, &rtp(sequence, 7));
                }
            }
            let mut after = Receiver::new(&other, None);
            after.follow(&receiver);
            for sequence in [20_001_u16, 20_002, 50_000, 65_534, 3] {
                let packet = sealed(&mut next, &rtp(sequence, 7));
                let plain = Ok(rtp(sequence, 7));
                assert_eq!(
                    opened(&mut after, &packet),
                    plain,
                    "{suite:?} {keeps} {sequence}"
                );
                assert_eq!(opened(&mut after, &packet), Err(Refused::Replay));
            }
        }
    }
}

/// More SSRCs than are remembered: the latest ones are.
#[test]
fn streams_are_bounded() {
    let suite = Suite::AeadAes128Gcm;
    let mut receiver = Receiver::new(&key(suite), None);
    for ssrc in 0..100 {
        let packet = sealed(&mut Sender::new(&key(suite)), &rtp(9, ssrc));
        assert_eq!(opened(&mut receiver, &packet), Ok(rtp(9, ssrc)));
        assert_eq!(opened(&mut receiver, &packet), Err(Refused::Replay));
    }
}

/// Microsoft's servers put an identifier beside the tag.
#[test]
fn a_key_identifier_is_read_and_compared() {
    for suite in Suite::ALL {
        let tag_len = suite.rtp_tag_len();
        let packet = sealed(&mut Sender::new(&key(suite)), &rtp(9, 7));
        let (text, tag) = packet.split_at(packet.len() - tag_len);
        let with = |mki: [u8; 4]| {
            if suite.is_aead() {
                [text, tag, &mki].concat()
            } else {
                [text, &mki, tag].concat()
            }
        };
        let mut receiver = Receiver::new(&key(suite), Mki::new(1, 4));
        assert_eq!(
            opened(&mut receiver, &with([0, 0, 0, 2])),
            Err(Refused::Tag)
        );
        assert_eq!(opened(&mut receiver, &with([0, 0, 0, 1])), Ok(rtp(9, 7)));
    }
    assert_eq!(Mki::new(256, 1), None);
    assert_eq!(Mki::new(1, 0), None);
    assert_eq!(Mki::new(1, 129), None);
    assert!(Mki::new(u64::MAX, 8).is_some());
    let long = Mki::new(3, 12).unwrap();
    assert!(long.is(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3]));
    assert!(!long.is(&[0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 3]));
}

/// RFC 3711 section 3.3.1, at each side of the turn.
#[test]
fn indices() {
    let at = |roc: u64, sequence: u64| roc << 16 | sequence;
    for (highest, sequence, index) in [
        (None, 60_000, at(0, 60_000)),
        (Some(at(0, 100)), 99, at(0, 99)),
        (Some(at(0, 100)), 60_000, at(0, 60_000)),
        (Some(at(0, 65_535)), 0, at(1, 0)),
        (Some(at(1, 5)), 65_530, at(0, 65_530)),
        (Some(at(7, 40_000)), 39_000, at(7, 39_000)),
        (Some(at(7, 40_000)), 3, at(8, 3)),
        (Some(at(7, 3)), 40_000, at(6, 40_000)),
    ] {
        assert_eq!(estimate(highest, sequence), index, "{highest:?} {sequence}");
    }
}

#[test]
fn a_window_takes_each_index_once() {
    let mut window = Window::new(1_000);
    for index in [1_001, 1_003, 999, 1_002, 2_000, 1_990, 1_873] {
        assert_eq!(window.check(index), Ok(()), "{index}");
        window.note(index);
        assert_eq!(window.check(index), Err(Refused::Replay), "{index}");
    }
    assert_eq!(window.check(1_872), Err(Refused::Replay), "too old");
    assert_eq!(window.check(1_874), Ok(()));
}

#[test]
fn keys_are_not_printed() {
    let key = key(Suite::Aes128CmSha1_80);
    assert_eq!(
        format!("{key:?}"),
        "MasterKey { suite: Aes128CmSha1_80, .. }"
    );
    let printed = format!("{:?} {:?}", Sender::new(&key), Receiver::new(&key, None));
    assert_eq!(printed, "Sender { .. } Receiver { .. }");
}
