//! Names of header fields: any case, the compact forms, and unknown ones as they are spelt.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use super::lex::is_token;
use crate::limits::HEADER_NAME_BYTES_MAX;

/// The name of a header field. Two names are equal when they mean the same field: `v`, `VIA` and
/// `Via` are one (RFC 3261 section 7.3.3).
#[derive(Clone)]
pub struct HeaderName(Repr);

#[derive(Clone)]
enum Repr {
    Known(Known),
    Other(Box<str>),
}

macro_rules! names {
    ($($konst:ident $variant:ident $text:literal $($compact:literal)?;)*) => {
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        enum Known { $($variant),* }

        impl Known {
            const ALL: &'static [Self] = &[$(Self::$variant),*];

            const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            const fn compact(self) -> Option<u8> {
                match self {
                    $($(Self::$variant => Some($compact),)?)*
                    #[allow(unreachable_patterns)]
                    _ => None,
                }
            }
        }

        impl HeaderName {
            $(#[doc = concat!("`", $text, "`.")]
            pub const $konst: Self = Self(Repr::Known(Known::$variant));)*
        }
    };
}

names! {
    ACCEPT Accept "Accept";
    ACCEPT_CONTACT AcceptContact "Accept-Contact" b'a';
    ACCEPT_ENCODING AcceptEncoding "Accept-Encoding";
    ACCEPT_LANGUAGE AcceptLanguage "Accept-Language";
    ALERT_INFO AlertInfo "Alert-Info";
    ALLOW Allow "Allow";
    ALLOW_EVENTS AllowEvents "Allow-Events" b'u';
    ANSWER_MODE AnswerMode "Answer-Mode";
    AUTHENTICATION_INFO AuthenticationInfo "Authentication-Info";
    AUTHORIZATION Authorization "Authorization";
    CALL_ID CallId "Call-ID" b'i';
    CALL_INFO CallInfo "Call-Info";
    CONTACT Contact "Contact" b'm';
    CONTENT_DISPOSITION ContentDisposition "Content-Disposition";
    CONTENT_ENCODING ContentEncoding "Content-Encoding" b'e';
    CONTENT_LANGUAGE ContentLanguage "Content-Language";
    CONTENT_LENGTH ContentLength "Content-Length" b'l';
    CONTENT_TYPE ContentType "Content-Type" b'c';
    CSEQ CSeq "CSeq";
    DATE Date "Date";
    DIVERSION Diversion "Diversion";
    ERROR_INFO ErrorInfo "Error-Info";
    EVENT Event "Event" b'o';
    EXPIRES Expires "Expires";
    FROM From "From" b'f';
    HISTORY_INFO HistoryInfo "History-Info";
    IDENTITY Identity "Identity" b'y';
    IDENTITY_INFO IdentityInfo "Identity-Info" b'n';
    IN_REPLY_TO InReplyTo "In-Reply-To";
    MAX_FORWARDS MaxForwards "Max-Forwards";
    MIME_VERSION MimeVersion "MIME-Version";
    MIN_EXPIRES MinExpires "Min-Expires";
    MIN_SE MinSe "Min-SE";
    ORGANIZATION Organization "Organization";
    P_ASSERTED_IDENTITY PAssertedIdentity "P-Asserted-Identity";
    PATH Path "Path";
    PRIORITY Priority "Priority";
    PRIVACY Privacy "Privacy";
    PROXY_AUTHENTICATE ProxyAuthenticate "Proxy-Authenticate";
    PROXY_AUTHORIZATION ProxyAuthorization "Proxy-Authorization";
    PROXY_REQUIRE ProxyRequire "Proxy-Require";
    RACK RAck "RAck";
    REASON Reason "Reason";
    RECORD_ROUTE RecordRoute "Record-Route";
    REFERRED_BY ReferredBy "Referred-By" b'b';
    REFER_SUB ReferSub "Refer-Sub";
    REFER_TO ReferTo "Refer-To" b'r';
    REJECT_CONTACT RejectContact "Reject-Contact" b'j';
    REPLACES Replaces "Replaces";
    REPLY_TO ReplyTo "Reply-To";
    REQUEST_DISPOSITION RequestDisposition "Request-Disposition" b'd';
    REQUIRE Require "Require";
    RETRY_AFTER RetryAfter "Retry-After";
    ROUTE Route "Route";
    RSEQ RSeq "RSeq";
    SERVER Server "Server";
    SERVICE_ROUTE ServiceRoute "Service-Route";
    SESSION_EXPIRES SessionExpires "Session-Expires" b'x';
    SUBJECT Subject "Subject" b's';
    SUBSCRIPTION_STATE SubscriptionState "Subscription-State";
    SUPPORTED Supported "Supported" b'k';
    TIMESTAMP Timestamp "Timestamp";
    TO To "To" b't';
    UNSUPPORTED Unsupported "Unsupported";
    USER_AGENT UserAgent "User-Agent";
    USER_TO_USER UserToUser "User-to-User";
    VIA Via "Via" b'v';
    WARNING Warning "Warning";
    WWW_AUTHENTICATE WwwAuthenticate "WWW-Authenticate";
    X_GENESYS_CALL_UUID XGenesysCallUuid "X-Genesys-CallUUID";
}

impl HeaderName {
    /// The name of these octets, without white space around them; `None` when they are no token or
    /// too many.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if let [letter] = bytes {
            let letter = letter.to_ascii_lowercase();
            if let Some(known) = Known::ALL.iter().find(|k| k.compact() == Some(letter)) {
                return Some(Self(Repr::Known(*known)));
            }
        }
        let same = |k: &&Known| k.text().as_bytes().eq_ignore_ascii_case(bytes);
        if let Some(known) = Known::ALL.iter().find(same) {
            return Some(Self(Repr::Known(*known)));
        }
        if bytes.len() > HEADER_NAME_BYTES_MAX || !is_token(bytes) {
            return None;
        }
        Some(Self(Repr::Other(str::from_utf8(bytes).ok()?.into())))
    }

    /// A name that the program itself spells.
    ///
    /// # Panics
    ///
    /// When the name is not a token: it is a constant of the caller.
    #[must_use]
    pub fn other(name: &'static str) -> Self {
        Self::parse(name.as_bytes()).expect("a header name written in the program is a token")
    }

    /// The name as it is printed: the long form for known fields.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Known(known) => known.text(),
            Repr::Other(name) => name,
        }
    }
}

impl PartialEq for HeaderName {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Repr::Known(a), Repr::Known(b)) => a == b,
            (Repr::Other(a), Repr::Other(b)) => a.eq_ignore_ascii_case(b),
            _ => false,
        }
    }
}

impl Eq for HeaderName {}

impl Hash for HeaderName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.0 {
            Repr::Known(known) => known.hash(state),
            Repr::Other(name) => {
                for byte in name.bytes() {
                    state.write_u8(byte.to_ascii_lowercase());
                }
            }
        }
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn compact_and_long_names_are_one_in_any_case() {
        for (compact, long) in [
            ("v", "Via"),
            ("F", "from"),
            ("i", "CALL-ID"),
            ("l", "Content-length"),
            ("x", "Session-Expires"),
            ("u", "Allow-Events"),
        ] {
            assert_eq!(
                HeaderName::parse(compact.as_bytes()).unwrap(),
                HeaderName::parse(long.as_bytes()).unwrap()
            );
        }
    }

    #[test]
    fn unknown_names_compare_without_case() {
        assert_eq!(
            HeaderName::other("X-Bypass"),
            HeaderName::parse(b"x-bypass").unwrap()
        );
        assert_ne!(
            HeaderName::other("X-Bypass"),
            HeaderName::other("X-Bypass-Me")
        );
        assert_eq!(HeaderName::other("z").as_str(), "z");
    }

    #[test]
    fn a_name_is_a_token() {
        assert!(HeaderName::parse(b"").is_none());
        assert!(HeaderName::parse(b"X Bypass").is_none());
        assert!(HeaderName::parse("Grüße".as_bytes()).is_none());
    }
}
