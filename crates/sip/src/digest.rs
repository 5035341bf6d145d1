//! Answers to digest challenges (RFC 2617, RFC 7616, RFC 8760): MD5 and SHA-256, with and without
//! `qop`. Whom to answer at all is not decided here.

use std::fmt;

use md5::{Digest, Md5};
use sha2::Sha256;

use crate::{
    limits::{CHALLENGE_FIELD_BYTES_MAX, CHALLENGES_MAX, NONCE_BYTES_MAX},
    wire::{
        Headers, Method,
        lex::{Cursor, push_quoted, split_list, unquote},
    },
};

/// User name and password. Printing it for debugging shows neither length nor content of the
/// password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// For a DN of SIP Server its number.
    pub username: String,
    password: String,
}

impl Credentials {
    /// The two of them.
    #[must_use]
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            username: username.into(),
            password: password.into(),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({:?}, ..)", self.username)
    }
}

/// A hash, and whether the client nonce goes into the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// `MD5`, also when the challenge names none.
    Md5,
    /// `MD5-sess`.
    Md5Sess,
    /// `SHA-256`.
    Sha256,
    /// `SHA-256-sess`.
    Sha256Sess,
}

impl Algorithm {
    const ALL: [Self; 4] = [Self::Md5, Self::Md5Sess, Self::Sha256, Self::Sha256Sess];

    fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|a| a.as_str().as_bytes().eq_ignore_ascii_case(name))
    }

    /// As the registry spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Md5Sess => "MD5-sess",
            Self::Sha256 => "SHA-256",
            Self::Sha256Sess => "SHA-256-sess",
        }
    }

    fn is_sha256(self) -> bool {
        matches!(self, Self::Sha256 | Self::Sha256Sess)
    }

    fn is_session(self) -> bool {
        matches!(self, Self::Md5Sess | Self::Sha256Sess)
    }

    /// The hash of the parts with colons between them, in lower-case hexadecimal.
    fn hash(self, parts: &[&[u8]]) -> String {
        let text = parts.join(&b':');
        if self.is_sha256() {
            hex(&Sha256::digest(&text))
        } else {
            hex(&Md5::digest(&text))
        }
    }
}

fn hex(octets: &[u8]) -> String {
    let digits = octets.iter().flat_map(|octet| [octet >> 4, octet & 15]);
    let digits = digits.filter_map(|digit| char::from_digit(digit.into(), 16));
    digits.collect()
}

/// Why a challenge is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// The scheme is not `Digest`.
    #[error("scheme is not Digest")]
    Scheme,
    /// Realm or nonce is missing, or a parameter is not of its grammar.
    #[error("challenge is malformed")]
    Malformed,
    /// Nonce, realm or opaque is longer than its limit.
    #[error("challenge is too long")]
    TooLong,
    /// An algorithm other than MD5 and SHA-256.
    #[error("algorithm is not supported")]
    Algorithm,
    /// Only `auth-int` or something unknown is offered.
    #[error("quality of protection is not supported")]
    Qop,
}

/// A digest challenge of a 401 or 407.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    // Strings are without quotes and escapes.
    realm: Vec<u8>,
    nonce: Vec<u8>,
    algorithm: Algorithm,
    stale: bool,
    algorithm_named: bool,
    /// Whether `qop=auth` is offered; without it the answer is that of RFC 2069.
    auth: bool,
    opaque: Option<Vec<u8>>,
}

impl Challenge {
    /// One challenge, as a header value that holds no other.
    ///
    /// # Errors
    ///
    /// Why it is not answered.
    pub fn parse(value: &[u8]) -> Result<Self, ChallengeError> {
        let mut found = challenges(value);
        match (found.pop(), found.is_empty()) {
            (Some(only), true) => only,
            _ => Err(ChallengeError::Malformed),
        }
    }

    /// The challenges of one header line that can be answered; others are passed over.
    #[must_use]
    pub fn parse_all(value: &[u8]) -> Vec<Self> {
        challenges(value)
            .into_iter()
            .filter_map(Result::ok)
            .collect()
    }

    /// The one to answer: SHA-256 before MD5, else the first (RFC 8760 section 2.4).
    #[must_use]
    pub fn best(challenges: &[Self]) -> Option<&Self> {
        let strong = challenges
            .iter()
            .find(|challenge| challenge.algorithm.is_sha256());
        strong.or_else(|| challenges.first())
    }

    /// The challenge of a 401 or 407 to answer, of all that its headers hold.
    #[must_use]
    pub fn choose(headers: &Headers) -> Option<Self> {
        let mut found = headers.www_authenticate();
        found.extend(headers.proxy_authenticate());
        Self::best(&found).cloned()
    }

    /// Whose password is asked for, without quotes and escapes.
    #[must_use]
    pub fn realm(&self) -> &[u8] {
        &self.realm
    }

    /// The hash that is used.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether the password was right and only the nonce is too old.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// The value of `Authorization` or `Proxy-Authorization`. `uri` is the Request-URI as it is
    /// sent, `nc` counts the requests with this nonce from 1, and `cnonce` is new for each nonce.
    #[must_use]
    pub fn answer(
        &self,
        credentials: &Credentials,
        method: &Method,
        uri: &[u8],
        cnonce: &str,
        nc: u32,
    ) -> Vec<u8> {
        let nc = format!("{nc:08x}");
        let response = self.response(credentials, method, uri, cnonce, &nc);
        let mut out = b"Digest ".to_vec();
        let mut quoted = |name: &str, value: &[u8]| {
            out.extend_from_slice(name.as_bytes());
            push_quoted(&mut out, value);
        };
        quoted("username=", credentials.username.as_bytes());
        quoted(", realm=", &self.realm);
        quoted(", nonce=", &self.nonce);
        quoted(", uri=", uri);
        quoted(", response=", response.as_bytes());
        if let Some(opaque) = &self.opaque {
            quoted(", opaque=", opaque);
        }
        if self.auth || self.algorithm.is_session() {
            quoted(", cnonce=", cnonce.as_bytes());
        }
        if self.algorithm_named {
            out.extend_from_slice(b", algorithm=");
            out.extend_from_slice(self.algorithm.as_str().as_bytes());
        }
        if self.auth {
            out.extend_from_slice(format!(", qop=auth, nc={nc}").as_bytes());
        }
        out
    }

    /// RFC 7616 section 3.4.1, and RFC 2069 without `qop`.
    fn response(
        &self,
        credentials: &Credentials,
        method: &Method,
        uri: &[u8],
        cnonce: &str,
        nc: &str,
    ) -> String {
        let hash = |parts: &[&[u8]]| self.algorithm.hash(parts);
        let (user, password) = (
            credentials.username.as_bytes(),
            credentials.password.as_bytes(),
        );
        let mut secret = hash(&[user, &self.realm, password]);
        if self.algorithm.is_session() {
            secret = hash(&[secret.as_bytes(), &self.nonce, cnonce.as_bytes()]);
        }
        let request = hash(&[method.as_str().as_bytes(), uri]);
        let (secret, request) = (secret.as_bytes(), request.as_bytes());
        if self.auth {
            hash(&[
                secret,
                &self.nonce,
                nc.as_bytes(),
                cnonce.as_bytes(),
                b"auth",
                request,
            ])
        } else {
            hash(&[secret, &self.nonce, request])
        }
    }

    fn from_parameters(parameters: &[(&[u8], Vec<u8>)]) -> Result<Self, ChallengeError> {
        let get = |name: &str| {
            let mut found = parameters
                .iter()
                .filter(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()));
            found.next().map(|(_, value)| value.as_slice())
        };
        let realm = get("realm").ok_or(ChallengeError::Malformed)?;
        let nonce = get("nonce").ok_or(ChallengeError::Malformed)?;
        let opaque = get("opaque");
        if nonce.len() > NONCE_BYTES_MAX
            || realm.len() > CHALLENGE_FIELD_BYTES_MAX
            || opaque.is_some_and(|opaque| opaque.len() > CHALLENGE_FIELD_BYTES_MAX)
        {
            return Err(ChallengeError::TooLong);
        }
        let algorithm = match get("algorithm") {
            None => Algorithm::Md5,
            Some(name) => Algorithm::parse(name).ok_or(ChallengeError::Algorithm)?,
        };
        let auth = match get("qop") {
            None => false,
            Some(offers) => {
                let auth = split_list(offers).any(|offer| offer.eq_ignore_ascii_case(b"auth"));
                auth.then_some(true).ok_or(ChallengeError::Qop)?
            }
        };
        Ok(Self {
            realm: realm.to_vec(),
            nonce: nonce.to_vec(),
            algorithm,
            stale: get("stale").is_some_and(|stale| stale.eq_ignore_ascii_case(b"true")),
            algorithm_named: get("algorithm").is_some(),
            auth,
            opaque: opaque.map(<[u8]>::to_vec),
        })
    }
}

/// A scheme and its parameters, as they are collected from a line.
struct Group<'a> {
    scheme: &'a [u8],
    parameters: Vec<(&'a [u8], Vec<u8>)>,
    broken: bool,
}

impl Group<'_> {
    fn read(self) -> Result<Challenge, ChallengeError> {
        if !self.scheme.eq_ignore_ascii_case(b"Digest") {
            return Err(ChallengeError::Scheme);
        }
        if self.broken {
            return Err(ChallengeError::Malformed);
        }
        Challenge::from_parameters(&self.parameters)
    }
}

/// Every challenge of one line. Commas stand both between parameters and between challenges; a new
/// one begins where a scheme precedes the parameter.
fn challenges(line: &[u8]) -> Vec<Result<Challenge, ChallengeError>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for element in split_list(line) {
        let mut cursor = Cursor::new(element);
        let Some(mut word) = cursor.token() else {
            continue;
        };
        if !cursor.clone().eat_spaced(b'=') {
            if groups.len() == CHALLENGES_MAX {
                break;
            }
            groups.push(Group {
                scheme: word,
                parameters: Vec::new(),
                broken: false,
            });
            cursor.skip_space();
            let Some(first) = cursor.token() else {
                continue;
            };
            word = first;
        }
        let Some(group) = groups.last_mut() else {
            continue;
        };
        match parameter_value(&mut cursor) {
            Some(value) => group.parameters.push((word, value)),
            None => group.broken = true,
        }
    }
    groups.into_iter().map(Group::read).collect()
}

/// `=value` up to the end of the element, without quotes and escapes.
fn parameter_value(cursor: &mut Cursor<'_>) -> Option<Vec<u8>> {
    if !cursor.eat_spaced(b'=') {
        return None;
    }
    let value = match cursor.peek() {
        Some(b'"') => cursor.quoted()?,
        _ => cursor.take_while(|b| !matches!(b, b' ' | b'\t' | b'"')),
    };
    cursor.skip_space();
    cursor.is_end().then(|| unquote(value))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn mufasa() -> Credentials {
        Credentials::new("Mufasa", "Circle of Life")
    }

    fn answer(challenge: &Challenge, credentials: &Credentials, cnonce: &str) -> String {
        let get = Method::Other("GET".into());
        let value = challenge.answer(credentials, &get, b"/dir/index.html", cnonce, 1);
        String::from_utf8(value).unwrap()
    }

    fn response(answer: &str) -> &str {
        answer
            .split("response=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap()
    }

    #[test]
    fn rfc_2617_section_3_5() {
        let challenge = Challenge::parse(
            b"Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", \
              nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
              opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
        );
        let challenge = challenge.unwrap();
        let text = answer(
            &challenge,
            &Credentials::new("Mufasa", "Circle Of Life"),
            "0a4f113b",
        );
        assert_eq!(
            text,
            "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", \
             nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"/dir/index.html\", \
             response=\"6629fae49393a05397450978507c4ef1\", \
             opaque=\"5ccc069c403ebaf9f0171e9517f40e41\", cnonce=\"0a4f113b\", qop=auth, nc=00000001"
        );
    }

    /// Both challenges of RFC 7616 section 3.9.1 in one header line.
    #[test]
    fn rfc_7616_section_3_9_1() {
        let challenge = |algorithm: &str| {
            format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", \
                 algorithm={algorithm}, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
                 opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            )
        };
        let line = format!(
            "{}, Basic realm=\"x\", {}",
            challenge("MD5"),
            challenge("SHA-256")
        );
        let found = Challenge::parse_all(line.as_bytes());
        assert_eq!(found.len(), 2);
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        assert_eq!(
            response(&answer(&found[0], &mufasa(), cnonce)),
            "8ca523f5e9506fed4657c9700eebdbec"
        );
        let best = Challenge::best(&found).unwrap();
        assert_eq!(best.algorithm, Algorithm::Sha256);
        let text = answer(best, &mufasa(), cnonce);
        assert_eq!(
            response(&text),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
        assert!(text.contains(", algorithm=SHA-256"));
    }

    /// The example of RFC 2069 section 2.4 with its corrected digest (erratum 749).
    #[test]
    fn without_qop_the_older_answer_is_given() {
        let challenge = Challenge::parse(
            br#"digest realm="testrealm@host.com",nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093""#,
        );
        let credentials = Credentials::new("Mufasa", "CircleOfLife");
        let text = answer(&challenge.unwrap(), &credentials, "unused");
        assert_eq!(response(&text), "1949323746fe6a43ef61f9606e7febea");
        assert!(!text.contains("cnonce") && !text.contains("qop") && !text.contains("algorithm"));
    }

    #[test]
    fn escapes_are_resolved_for_the_hash_and_written_again() {
        let challenge =
            Challenge::parse(br#"Digest realm="a\"b",nonce="n\\o\"nce",stale=TRUE"#).unwrap();
        assert_eq!(challenge.nonce, br#"n\o"nce"#);
        assert!(challenge.stale);
        let text = answer(&challenge, &mufasa(), "c");
        assert!(
            text.contains(r#"realm="a\"b", nonce="n\\o\"nce""#),
            "{text}"
        );
    }

    #[test]
    fn what_cannot_be_answered_says_why() {
        let long = format!(
            "Digest realm=\"a\",nonce=\"{}\"",
            "n".repeat(NONCE_BYTES_MAX + 1)
        );
        for (value, error) in [
            ("Basic realm=\"a\"", ChallengeError::Scheme),
            ("Digest realm=\"a\"", ChallengeError::Malformed),
            ("Digest nonce=\"a\"", ChallengeError::Malformed),
            ("Digest realm=\"a\",nonce=\"b", ChallengeError::Malformed),
            ("", ChallengeError::Malformed),
            (long.as_str(), ChallengeError::TooLong),
            (
                "Digest realm=\"a\",nonce=\"b\",algorithm=SHA-512-256",
                ChallengeError::Algorithm,
            ),
            (
                "Digest realm=\"a\",nonce=\"b\",qop=\"auth-int\"",
                ChallengeError::Qop,
            ),
        ] {
            assert_eq!(
                Challenge::parse(value.as_bytes()).unwrap_err(),
                error,
                "{value:.60}"
            );
        }
        let fits = format!(
            "Digest realm=\"a\",nonce=\"{}\"",
            "n".repeat(NONCE_BYTES_MAX)
        );
        assert!(Challenge::parse(fits.as_bytes()).is_ok());
    }

    #[test]
    fn the_number_of_challenges_is_bounded() {
        let line = vec!["Digest realm=\"a\",nonce=\"b\""; 100].join(",");
        assert_eq!(Challenge::parse_all(line.as_bytes()).len(), CHALLENGES_MAX);
    }

    #[test]
    fn passwords_are_not_printed() {
        assert_eq!(format!("{:?}", mufasa()), "Credentials(\"Mufasa\", ..)");
    }
}
