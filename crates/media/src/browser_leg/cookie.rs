//! Who asks for a handshake must show that he hears us (RFC 6347 section 4.2.1).
//!
//! Whoever can forge the browser's address could say a ClientHello of his own before the browser's: the engine answers the first one that comes, and the browser takes
//! the answer for the answer to its own and gives up. So a ClientHello gets a HelloVerifyRequest with a cookie, and the engine sees
//! the one that brings it back, and what comes behind that, alone. A forger does not hear what goes to the address that he writes under.
//!
//! The cookie is the leg's, and not bound to the ClientHello that asked for it: a browser takes any HelloVerifyRequest that comes for the answer to its own, also
//! one that a forged ClientHello has asked for, and whichever it takes has to be good. For the same reason all of them have the record number that the engine
//! leaves free: repetitions are dropped by the browser's replay protection.

use aws_lc_rs::hmac;

use super::hello::{Hello, RANDOM_LEN};

/// Octets of a cookie: what the engine takes.
pub(super) const COOKIE_LEN: usize = 32;

/// A cookie.
pub(super) type Cookie = [u8; COOKIE_LEN];

/// Octets of a HelloVerifyRequest in its record. A ClientHello as far as its cookie is longer, so nothing is amplified.
pub(super) const QUESTION_LEN: usize = 13 + 12 + 3 + COOKIE_LEN;

/// What to do with a datagram of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the engine's.
    Pass,
    /// It asks for a handshake: answer by [`Doorkeeper::question`].
    Ask,
    /// Nobody has shown that he hears us, or somebody else has.
    Drop,
}

/// Lets the ClientHello through that brings the cookie, and what comes behind it.
#[derive(Debug)]
pub(super) struct Doorkeeper {
    cookie: Cookie,
    /// The random of the ClientHello that brought it.
    admitted: Option<[u8; RANDOM_LEN]>,
}

impl Doorkeeper {
    /// `secret` is what nobody knows but the page and we: the password of our checks.
    pub(super) fn new(secret: &str) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag = hmac::sign(&key, b"cookie of the DTLS handshake");
        let cookie = tag.as_ref().try_into().expect("SHA-256 has 32 octets");
        Self {
            cookie,
            admitted: None,
        }
    }

    /// What becomes of a datagram that came from a checked address, by the ClientHello that it begins with.
    pub(super) fn judge(&mut self, hello: Option<Hello<'_>>) -> Verdict {
        let Some(hello) = hello else {
            return match self.admitted {
                Some(_) => Verdict::Pass,
                None => Verdict::Drop,
            };
        };
        let brings_it = hello.cookie == self.cookie;
        match self.admitted {
            Some(random) if brings_it && random == hello.random => Verdict::Pass,
            Some(_) => Verdict::Drop,
            None if brings_it && hello.number == 1 => {
                self.admitted = Some(hello.random);
                Verdict::Pass
            }
            None if hello.number == 0 => Verdict::Ask,
            None => Verdict::Drop,
        }
    }

    /// The HelloVerifyRequest.
    pub(super) fn question(&self) -> Vec<u8> {
        const BODY_LEN: u8 = 3 + COOKIE_LEN as u8;
        let mut record = Vec::with_capacity(QUESTION_LEN);
        // A handshake record of DTLS 1.2, epoch and number 0, and its length.
        record.extend([22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12 + BODY_LEN]);
        // hello_verify_request, its length, number 0, and all of it in one fragment.
        record.extend([3, 0, 0, BODY_LEN, 0, 0, 0, 0, 0, 0, 0, BODY_LEN]);
        // DTLS 1.0, whatever will be agreed on.
        record.extend([0xfe, 0xff, COOKIE_LEN as u8]);
        record.extend(self.cookie);
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ClientHello as far as the gate reads it, and a suite.
    fn hello(number: u8, random: u8, cookie: &[u8]) -> Vec<u8> {
        let mut body = vec![0xfe, 0xfd];
        body.extend([random; RANDOM_LEN]);
        body.extend([0, cookie.len() as u8]);
        body.extend(cookie);
        body.extend([0, 2, 0xc0, 0x2b, 1, 0]);
        let len = body.len() as u8;
        let mut bytes = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12 + len];
        bytes.extend([1, 0, 0, len, 0, number, 0, 0, 0, 0, 0, len]);
        bytes.extend(body);
        bytes
    }

    #[test]
    fn who_brings_the_cookie_is_let_in_and_nobody_else() {
        let mut door = Doorkeeper::new("password");
        let cookie = door.cookie;
        let certificate = [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 11];
        let bent = [&cookie[..31], &[cookie[31] ^ 1]].concat();
        for (datagram, verdict) in [
            (&certificate[..], Verdict::Drop),
            (&hello(0, 1, &[]), Verdict::Ask),
            (&hello(0, 2, &[]), Verdict::Ask),
            (&hello(0, 1, &bent), Verdict::Ask),
            (&hello(1, 1, &bent), Verdict::Drop),
            (&hello(1, 1, &[]), Verdict::Drop),
            (&certificate, Verdict::Drop),
            (&hello(1, 1, &cookie), Verdict::Pass),
            (&hello(1, 1, &cookie), Verdict::Pass),
            (&certificate, Verdict::Pass),
            (&hello(1, 2, &cookie), Verdict::Drop),
            (&hello(0, 1, &[]), Verdict::Drop),
        ] {
            assert_eq!(
                door.judge(Hello::first_of(datagram)),
                verdict,
                "{datagram:?}"
            );
        }
    }

    /// Each leg has a cookie of its own, and asking for it brings a forger no more octets than it costs him.
    #[test]
    fn a_question_is_shorter_than_what_asks_for_it() {
        let door = Doorkeeper::new("password");
        let question = door.question();
        assert_eq!(question.len(), QUESTION_LEN);
        assert!(question.ends_with(&door.cookie));
        let shortest = (0..200)
            .find(|len| {
                let hello = hello(0, 1, &[]);
                let cut = hello.get(..*len).and_then(Hello::first_of);
                Doorkeeper::new("password").judge(cut) == Verdict::Ask
            })
            .expect("a whole one is answered");
        assert!(shortest >= QUESTION_LEN, "{shortest}");
        assert_ne!(door.cookie, Doorkeeper::new("another").cookie);
    }
}
