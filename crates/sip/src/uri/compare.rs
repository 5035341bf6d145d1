//! When two URIs mean the same (RFC 3261 section 19.1.4).

use super::{Scheme, Uri, parse::unescape};

/// Parameters that count even when only one of the two URIs has them.
const DECISIVE: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];

impl Uri {
    /// Whether the two are equal by the rules of RFC 3261 section 19.1.4. URIs of other schemes are
    /// equal octet by octet.
    #[must_use]
    pub fn equivalent(&self, other: &Self) -> bool {
        // A parameter may be there twice, with two values: such a URI is still itself.
        if self.text == other.text {
            return true;
        }
        if self.scheme != other.scheme {
            return false;
        }
        match self.scheme {
            Scheme::Other(_) => self.text == other.text,
            Scheme::Tel => {
                bare_number(self) == bare_number(other) && self.params_agree(other, true)
            }
            Scheme::Sip | Scheme::Sips => {
                self.user_unescaped() == other.user_unescaped()
                    && self.password().map(unescape) == other.password().map(unescape)
                    && self.host == other.host
                    && self.port == other.port
                    && self.params_agree(other, false)
                    && self.headers_agree(other)
            }
        }
    }

    /// A parameter of both has the same value; one of [`DECISIVE`] (with `all`: any) is in both or
    /// in neither.
    fn params_agree(&self, other: &Self, all: bool) -> bool {
        let one_way = |from: &Self, to: &Self| {
            from.params().all(|(name, value)| {
                let decisive = all
                    || DECISIVE
                        .iter()
                        .any(|d| name.eq_ignore_ascii_case(d.as_bytes()));
                let mut found = to.params().filter(|(n, _)| n.eq_ignore_ascii_case(name));
                match found.next() {
                    None => !decisive,
                    Some((_, theirs)) => same_text(value, theirs),
                }
            })
        };
        one_way(self, other) && one_way(other, self)
    }

    /// Headers are never ignored: each is in both with the same value.
    fn headers_agree(&self, other: &Self) -> bool {
        let one_way = |from: &Self, to: &Self| {
            from.headers().all(|(name, value)| {
                to.headers()
                    .any(|(n, v)| n.eq_ignore_ascii_case(name) && unescape(v) == unescape(value))
            })
        };
        one_way(self, other) && one_way(other, self)
    }
}

fn same_text(a: Option<&[u8]>, b: Option<&[u8]>) -> bool {
    let plain = |text: Option<&[u8]>| unescape(text.unwrap_or_default()).to_ascii_lowercase();
    plain(a) == plain(b)
}

/// The number without the separators that only please the eye (RFC 3966 section 3).
fn bare_number(uri: &Uri) -> Vec<u8> {
    let number = uri.user().unwrap_or_default();
    let digits = number
        .iter()
        .filter(|b| !matches!(b, b'-' | b'.' | b'(' | b')'));
    digits.map(u8::to_ascii_lowercase).collect()
}
