//! The server side of digest authentication (RFC 2617, RFC 7616), for a registrar that asks for the password of its DNs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;

use clap::ValueEnum;
use md5::{Digest, Md5};
use serde::Serialize;
use sha2::Sha256;

use crate::sipp::header;

/// How often a nonce is good. The next proof made with it is answered `stale=true`.
pub const NONCE_USES_MAX: u32 = 10;

/// Whose password is asked for.
const REALM: &str = "sip-server.test";

/// The hash of a challenge, and with it its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
pub enum Algorithm {
    /// MD5 without `qop` (RFC 2069), the oldest form.
    Md5,
    /// SHA-256 with `qop=auth`, which counts the uses of a nonce.
    #[value(name = "sha-256")]
    Sha256,
}

impl Algorithm {
    fn hash(self, text: &str) -> String {
        match self {
            Self::Md5 => hex(&Md5::digest(text)),
            Self::Sha256 => hex(&Sha256::digest(text)),
        }
    }
}

impl std::fmt::Display for Algorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        })
    }
}

/// How the requests of all DNs fared so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Proofs {
    /// They had none, and were challenged.
    pub missing: u64,
    /// Right, but for a nonce that was used up: challenged with `stale=true`.
    pub stale: u64,
    /// Wrong: refused by 403.
    pub wrong: u64,
}

impl Proofs {
    /// Those since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            missing: self.missing - earlier.missing,
            stale: self.stale - earlier.stale,
            wrong: self.wrong - earlier.wrong,
        }
    }
}

/// Asks every DN for the same password.
#[derive(Debug)]
pub struct Challenger {
    algorithm: Algorithm,
    password: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    proofs: Proofs,
    /// The nonce of each DN.
    nonces: BTreeMap<String, Nonce>,
    /// How many there have been.
    last: u32,
}

#[derive(Debug)]
struct Nonce {
    value: String,
    uses: u32,
}

impl Challenger {
    /// Nobody has been asked yet.
    pub fn new(algorithm: Algorithm, password: &str) -> Self {
        Self {
            algorithm,
            password: password.to_owned(),
            state: Mutex::default(),
        }
    }

    /// How all requests so far fared.
    pub fn proofs(&self) -> Proofs {
        self.state.lock().expect("no panic while held").proofs
    }

    /// Status and further header lines of the answer to a request of `dn` that proves nothing; `None` for one that does.
    pub fn refusal(&self, request: &str, dn: &str) -> Option<(&'static str, String)> {
        let mut state = self.state.lock().expect("no panic while held");
        let Some(proof) = header(request, "Authorization").map(Proof::read) else {
            state.proofs.missing += 1;
            return Some(self.challenge(&mut state, dn, false));
        };
        let method = request.split(' ').next().unwrap_or_default();
        if !self.holds(&proof, method, dn) {
            state.proofs.wrong += 1;
            return Some(("403 Forbidden", String::new()));
        }
        let nonce = state.nonces.get_mut(dn);
        let nonce = nonce.filter(|nonce| nonce.value == proof.field("nonce"));
        if let Some(nonce) = nonce.filter(|nonce| nonce.uses < NONCE_USES_MAX) {
            nonce.uses += 1;
            return None;
        }
        state.proofs.stale += 1;
        Some(self.challenge(&mut state, dn, true))
    }

    fn challenge(&self, state: &mut State, dn: &str, stale: bool) -> (&'static str, String) {
        state.last += 1;
        let nonce = format!("{:032x}", state.last);
        let mut line = format!(
            "WWW-Authenticate: Digest realm=\"{REALM}\",nonce=\"{nonce}\",algorithm={}",
            self.algorithm
        );
        if self.algorithm == Algorithm::Sha256 {
            line += ",qop=\"auth\"";
        }
        if stale {
            line += ",stale=true";
        }
        // DNs that all come at once are each at another point of their nonce's life, as after days: what is stale is a share of any hour.
        let uses = match stale {
            true => 0,
            false => (state.last - 1) % NONCE_USES_MAX,
        };
        let value = nonce;
        let fresh = Nonce { value, uses };
        state.nonces.insert(dn.to_owned(), fresh);
        ("401 Unauthorized", line + "\r\n")
    }

    /// Whether the proof is that of the password, whatever nonce it was made with.
    fn holds(&self, proof: &Proof<'_>, method: &str, dn: &str) -> bool {
        let hash = |text: &str| self.algorithm.hash(text);
        let secret = hash(&format!("{dn}:{REALM}:{}", self.password));
        let request = hash(&format!("{method}:{}", proof.field("uri")));
        let nonce = proof.field("nonce");
        let expected = match self.algorithm {
            Algorithm::Md5 => hash(&format!("{secret}:{nonce}:{request}")),
            Algorithm::Sha256 => {
                let (nc, cnonce) = (proof.field("nc"), proof.field("cnonce"));
                hash(&format!("{secret}:{nonce}:{nc}:{cnonce}:auth:{request}"))
            }
        };
        proof.field("username") == dn && proof.field("response") == expected
    }
}

/// The fields of an Authorization.
struct Proof<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Proof<'a> {
    /// Reads `Digest a="b", c=d`, no value of which has a comma of its own.
    fn read(value: &'a str) -> Self {
        let fields = value.trim_start_matches("Digest ").split(',');
        let pairs = fields.filter_map(|field| field.split_once('='));
        Self(
            pairs
                .map(|(name, value)| (name.trim(), value.trim().trim_matches('"')))
                .collect(),
        )
    }

    fn field(&self, name: &str) -> &'a str {
        self.0.get(name).copied().unwrap_or_default()
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{octet:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: &str = "REGISTER sip:a SIP/2.0\r\n\r\n";

    /// What a telephone of 1002 answers to the line of a challenge, by the book.
    fn answer(challenge: &str, algorithm: Algorithm, password: &str) -> String {
        let nonce = challenge.split("nonce=\"").nth(1);
        let nonce = nonce.and_then(|rest| rest.split('"').next()).unwrap();
        let hash = |text: String| algorithm.hash(&text);
        let secret = hash(format!("1002:{REALM}:{password}"));
        let request = hash("REGISTER:sip:a".to_owned());
        let (response, counted) = match algorithm {
            Algorithm::Md5 => (hash(format!("{secret}:{nonce}:{request}")), ""),
            Algorithm::Sha256 => (
                hash(format!("{secret}:{nonce}:00000001:c:auth:{request}")),
                ", cnonce=\"c\", qop=auth, nc=00000001",
            ),
        };
        format!(
            "REGISTER sip:a SIP/2.0\r\nAuthorization: Digest username=\"1002\", realm=\"{REALM}\", \
             nonce=\"{nonce}\", uri=\"sip:a\", response=\"{response}\"{counted}\r\n\r\n"
        )
    }

    #[test]
    fn a_nonce_is_good_for_some_requests_and_then_stale() {
        for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
            let challenger = Challenger::new(algorithm, "secret");
            let (status, challenge) = challenger.refusal(QUESTION, "1002").unwrap();
            assert_eq!(status, "401 Unauthorized");
            let good = answer(&challenge, algorithm, "secret");
            for _ in 0..NONCE_USES_MAX {
                assert_eq!(challenger.refusal(&good, "1002"), None, "{algorithm}");
            }
            let (status, again) = challenger.refusal(&good, "1002").unwrap();
            assert_eq!(status, "401 Unauthorized");
            assert!(again.contains("stale=true"), "{again}");
            let fresh = answer(&again, algorithm, "secret");
            assert_eq!(challenger.refusal(&fresh, "1002"), None);
            let wrong = answer(&again, algorithm, "guess");
            assert_eq!(
                challenger.refusal(&wrong, "1002").unwrap().0,
                "403 Forbidden"
            );
            assert_eq!(
                challenger.refusal(&fresh, "1003").unwrap().0,
                "403 Forbidden"
            );
            let proofs = Proofs {
                missing: 1,
                stale: 1,
                wrong: 2,
            };
            assert_eq!(challenger.proofs(), proofs);
        }
    }
}
