//! Typed values of the smaller headers.

use super::{
    lex::{Cursor, is_token, number, trim},
    params::Params,
};
use crate::ids::{CallId, Tag};

/// Splits `first;params`, with `first` trimmed.
fn head_and_params(value: &[u8]) -> Option<(&[u8], Params)> {
    let mut cursor = Cursor::new(trim(value));
    let head = trim(cursor.take_while(|b| b != b';'));
    Some((head, Params::parse(cursor.rest())?))
}

/// `Content-Type` (RFC 3261 section 20.15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentType {
    /// Type and subtype in lower case, as in `application/sdp`.
    pub essence: Box<str>,
    /// The parameters, `boundary` among them.
    pub params: Params,
}

impl ContentType {
    /// `None` when the value is not `token/token` and parameters.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(trim(value));
        let main = cursor.token()?;
        let sub = cursor.eat_spaced(b'/').then(|| cursor.token())??;
        let text = [main, b"/", sub].concat().to_ascii_lowercase();
        let params = Params::parse(cursor.rest())?;
        Some(Self {
            essence: String::from_utf8(text).ok()?.into(),
            params,
        })
    }
}

/// `Event` (RFC 6665 section 8.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPackage {
    /// Package and templates as they are spelt; packages are compared octet by octet.
    pub package: Box<str>,
    /// The `id` parameter.
    pub id: Option<Vec<u8>>,
    /// All parameters.
    pub params: Params,
}

impl EventPackage {
    /// `None` when the value does not begin with a token. Parameters that are malformed are none: what is asked for is the package.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(trim(value));
        let package = str::from_utf8(trim(cursor.take_while(|b| b != b';')))
            .ok()
            .filter(|p| is_token(p.as_bytes()))?;
        let params = Params::parse(cursor.rest()).unwrap_or_default();
        Some(Self {
            package: package.into(),
            id: params.unquoted("id"),
            params,
        })
    }
}

/// `Subscription-State` (RFC 6665 section 8.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionState {
    /// `active`, `pending`, `terminated` or another token, in lower case.
    pub state: Box<str>,
    /// Seconds.
    pub expires: Option<u32>,
    /// All parameters.
    pub params: Params,
}

impl SubscriptionState {
    /// `None` when the value does not begin with a token.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (state, params) = head_and_params(value)?;
        let state = str::from_utf8(state)
            .ok()
            .filter(|s| is_token(s.as_bytes()))?;
        let expires = params
            .get("expires")
            .and_then(|digits| number(digits, u32::MAX));
        Some(Self {
            state: state.to_ascii_lowercase().into(),
            expires,
            params,
        })
    }
}

/// `Reason` (RFC 3326): why a request was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// `SIP`, `Q.850` or another token, as it is spelt.
    pub protocol: Box<str>,
    /// The code of that protocol.
    pub cause: Option<u16>,
    /// Text for people, without quotes.
    pub text: Option<Vec<u8>>,
}

impl Reason {
    /// Whether its cause is a SIP status.
    #[must_use]
    pub fn is_sip(&self) -> bool {
        self.protocol.eq_ignore_ascii_case("SIP")
    }

    /// A reason of the protocol `SIP` with a status code.
    #[must_use]
    pub fn sip(cause: u16, text: &str) -> Self {
        Self {
            protocol: "SIP".into(),
            cause: Some(cause),
            text: Some(text.into()),
        }
    }

    /// `None` when the value does not begin with a token or `cause` is no number.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (protocol, params) = head_and_params(value)?;
        let protocol = str::from_utf8(protocol)
            .ok()
            .filter(|p| is_token(p.as_bytes()))?;
        let cause = match params.get("cause") {
            None => None,
            Some(digits) => Some(u16::try_from(number(digits, u32::from(u16::MAX))?).ok()?),
        };
        Some(Self {
            protocol: protocol.into(),
            cause,
            text: params.unquoted("text"),
        })
    }

    /// As it is sent.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut params = Params::new();
        if let Some(cause) = self.cause {
            params.push("cause", cause.to_string());
        }
        if let Some(text) = &self.text {
            params.push_quoted("text", text);
        }
        [self.protocol.as_bytes(), params.as_bytes()].concat()
    }
}

/// Who sends the refreshes of a session timer (RFC 4028 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresher {
    /// The client of the transaction.
    Uac,
    /// The server of the transaction.
    Uas,
}

/// `Session-Expires` (RFC 4028 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionExpires {
    /// Seconds.
    pub seconds: u32,
    /// `None` leaves the choice to the server.
    pub refresher: Option<Refresher>,
}

impl SessionExpires {
    /// `None` when the value is no number of seconds or names another refresher.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (seconds, params) = head_and_params(value)?;
        let refresher = match params.get("refresher") {
            None => None,
            Some(who) if who.eq_ignore_ascii_case(b"uac") => Some(Refresher::Uac),
            Some(who) if who.eq_ignore_ascii_case(b"uas") => Some(Refresher::Uas),
            Some(_) => return None,
        };
        Some(Self {
            seconds: number(seconds, u32::MAX)?,
            refresher,
        })
    }

    /// As it is sent.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let refresher = match self.refresher {
            None => "",
            Some(Refresher::Uac) => ";refresher=uac",
            Some(Refresher::Uas) => ";refresher=uas",
        };
        format!("{}{refresher}", self.seconds).into_bytes()
    }
}

/// `Replaces` (RFC 3891), also as a URI header of Refer-To.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaces {
    /// Call-ID of the dialog that is replaced.
    pub call_id: CallId,
    /// Tag of the receiver in that dialog.
    pub to_tag: Tag,
    /// Tag of its peer in that dialog.
    pub from_tag: Tag,
    /// Only an early dialog may be replaced.
    pub early_only: bool,
}

impl Replaces {
    /// `None` when Call-ID or one of the two tags is missing.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (call_id, params) = head_and_params(value)?;
        let tag = |name| params.get(name).filter(|tag| !tag.is_empty()).map(Tag::new);
        if call_id.is_empty() || call_id.iter().any(|&b| b <= b' ') {
            return None;
        }
        Some(Self {
            call_id: CallId::new(call_id),
            to_tag: tag("to-tag")?,
            from_tag: tag("from-tag")?,
            early_only: params.has("early-only"),
        })
    }

    /// As it is sent in a header; in a URI it has to be escaped.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let early: &[u8] = if self.early_only { b";early-only" } else { b"" };
        let (to, from) = (self.to_tag.as_bytes(), self.from_tag.as_bytes());
        [
            self.call_id.as_bytes(),
            b";to-tag=",
            to,
            b";from-tag=",
            from,
            early,
        ]
        .concat()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn content_type() {
        let it = ContentType::parse(b"Multipart/Mixed ; boundary=\"a b\"").unwrap();
        assert_eq!(&*it.essence, "multipart/mixed");
        assert_eq!(it.params.unquoted("boundary").unwrap(), b"a b");
        // A backtick is a token octet, so this is an odd parameter and no boundary.
        let odd = ContentType::parse(b"multipart/mixed;`boundary=++").unwrap();
        assert!(!odd.params.has("boundary"));
        assert!(ContentType::parse(b"sdp").is_none());
    }

    #[test]
    fn event_and_subscription_state() {
        let it = EventPackage::parse(b"talk").unwrap();
        assert_eq!((&*it.package, it.id), ("talk", None));
        let it = EventPackage::parse(b"refer;id=93809824").unwrap();
        assert_eq!(it.id.unwrap(), b"93809824");
        for value in [&b"talk;"[..], b"talk;id", b"talk ; id=a b"] {
            let it = EventPackage::parse(value).unwrap();
            assert_eq!(&*it.package, "talk", "{}", value.escape_ascii());
        }
        assert!(EventPackage::parse(b";id=1").is_none());
        let it = SubscriptionState::parse(b"Active;expires=60").unwrap();
        assert_eq!((&*it.state, it.expires), ("active", Some(60)));
    }

    #[test]
    fn reason_prints_and_parses_back() {
        let it = Reason::parse(br#"SIP;cause=403;text="Forbidden""#).unwrap();
        assert_eq!(it, Reason::sip(403, "Forbidden"));
        assert_eq!(it.to_bytes(), br#"SIP;cause=403;text="Forbidden""#);
        let it = Reason::parse(b"Q.850;cause=21").unwrap();
        assert_eq!((it.cause, it.text), (Some(21), None));
        assert!(Reason::parse(b"SIP;cause=99999").is_none());
    }

    #[test]
    fn session_expires() {
        let it = SessionExpires::parse(b"1800;refresher=uac").unwrap();
        assert_eq!(
            it,
            SessionExpires {
                seconds: 1800,
                refresher: Some(Refresher::Uac)
            }
        );
        assert_eq!(it.to_bytes(), b"1800;refresher=uac");
        assert!(SessionExpires::parse(b"-1").is_none());
        assert!(SessionExpires::parse(b"4294967296").is_none());
        assert!(SessionExpires::parse(b"90;refresher=me").is_none());
    }

    #[test]
    fn replaces() {
        let value = b"425928@h;to-tag=7743;from-tag=6472;early-only";
        let it = Replaces::parse(value).unwrap();
        assert_eq!(it.to_bytes(), value);
        assert!(Replaces::parse(b"425928@h;to-tag=7743").is_none());
    }
}
