//! The server side of digest authentication (RFC 2617, MD5), with and without `qop`.

use std::collections::BTreeMap;

use md5::{Digest, Md5};

/// What a client sent in Authorization.
#[derive(Debug)]
pub(super) struct Credentials {
    fields: BTreeMap<String, String>,
}

impl Credentials {
    /// Reads `Digest a="b", c=d`; commas inside quotes do not separate.
    pub(super) fn read(value: &str) -> Option<Self> {
        let (scheme, rest) = value.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let mut fields = BTreeMap::new();
        let mut quoted = false;
        for part in rest.split(|c: char| {
            quoted ^= c == '"';
            c == ',' && !quoted
        }) {
            let (key, value) = part.split_once('=')?;
            fields.insert(
                key.trim().to_ascii_lowercase(),
                value.trim().trim_matches('"').to_owned(),
            );
        }
        Some(Self { fields })
    }

    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    pub(super) fn nonce(&self) -> &str {
        self.field("nonce")
    }

    /// Does the response prove `password` of `user`? A challenge with qop wants qop in the answer.
    pub(super) fn prove(
        &self,
        method: &str,
        user: &str,
        realm: &str,
        password: &str,
        qop: bool,
    ) -> bool {
        if self.field("username") != user || self.field("realm") != realm {
            return false;
        }
        let secret = hash(&format!("{user}:{realm}:{password}"));
        let what = hash(&format!("{method}:{}", self.field("uri")));
        let nonce = self.nonce();
        let expected = match (qop, self.field("qop")) {
            (true, "auth") => {
                let (nc, cnonce) = (self.field("nc"), self.field("cnonce"));
                if nc.len() != 8 || cnonce.is_empty() {
                    return false;
                }
                hash(&format!("{secret}:{nonce}:{nc}:{cnonce}:auth:{what}"))
            }
            (false, "") => hash(&format!("{secret}:{nonce}:{what}")),
            _ => return false,
        };
        self.field("response") == expected
    }
}

/// Value of WWW-Authenticate.
pub(super) fn challenge(realm: &str, nonce: &str, qop: bool, stale: bool) -> String {
    let mut text = format!("Digest realm=\"{realm}\",nonce=\"{nonce}\",algorithm=MD5");
    if stale {
        text.push_str(",stale=true");
    }
    if qop {
        text.push_str(",qop=\"auth\"");
    }
    text
}

fn hash(text: &str) -> String {
    use std::fmt::Write as _;
    Md5::digest(text.as_bytes())
        .iter()
        .fold(String::with_capacity(32), |mut out, byte| {
            // Writing to a String cannot fail.
            let _ = write!(out, "{byte:02x}");
            out
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_example_of_rfc_2617_proves() {
        let value = "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", \
            nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"/dir/index.html\", qop=auth, \
            nc=00000001, cnonce=\"0a4f113b\", response=\"6629fae49393a05397450978507c4ef1\"";
        let credentials = Credentials::read(value).unwrap();
        let prove =
            |password, qop| credentials.prove("GET", "Mufasa", "testrealm@host.com", password, qop);
        assert!(prove("Circle Of Life", true));
        assert!(!prove("Circle Of Live", true));
        assert!(!prove("Circle Of Life", false));
    }

    #[test]
    fn without_qop_the_older_form_proves() {
        let response = hash(&format!("{}:n:{}", hash("u:r:p"), hash("REGISTER:sip:a")));
        let value = format!(
            "Digest username=\"u\",realm=\"r\",nonce=\"n\",uri=\"sip:a\",response=\"{response}\""
        );
        let credentials = Credentials::read(&value).unwrap();
        assert!(credentials.prove("REGISTER", "u", "r", "p", false));
        assert!(!credentials.prove("INVITE", "u", "r", "p", false));
        assert!(Credentials::read("Basic abc").is_none());
    }
}
