//! Typed access to header fields, parsed from their lines on demand.

use std::net::SocketAddr;

use super::{
    CSeq, HeaderError, HeaderFault, HeaderName, Headers, Method, NameAddr, Params, Via,
    lex::{is_token, number, number_saturating, value_end},
    values::{ContentType, EventPackage, Reason, Replaces, SessionExpires, SubscriptionState},
};
use crate::{
    digest::Challenge,
    ids::{CallId, Tag},
    limits::{CHALLENGES_MAX, IDENTIFIER_BYTES_MAX},
};

fn fault(name: &HeaderName, fault: HeaderFault) -> HeaderError {
    HeaderError {
        name: name.clone(),
        fault,
    }
}

impl Headers {
    /// The value of a header that may stand once.
    fn single(&self, name: &HeaderName) -> Result<Option<&[u8]>, HeaderError> {
        let mut lines = self.lines(name);
        let first = lines.next();
        if lines.next().is_some() {
            return Err(fault(name, HeaderFault::Repeated));
        }
        Ok(first)
    }

    fn optional<T>(
        &self,
        name: &HeaderName,
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, HeaderError> {
        match self.single(name)? {
            None => Ok(None),
            Some(value) => parse(value)
                .map(Some)
                .ok_or_else(|| fault(name, HeaderFault::Malformed)),
        }
    }

    fn mandatory<T>(
        &self,
        name: &HeaderName,
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<T, HeaderError> {
        self.optional(name, parse)?
            .ok_or_else(|| fault(name, HeaderFault::Missing))
    }

    fn all<T>(
        &self,
        name: &HeaderName,
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>, HeaderError> {
        // Lists that may be empty (Supported, Allow) are not read here: a blank line is a fault.
        let blank = self.lines(name).any(<[u8]>::is_empty);
        let parsed: Option<Vec<T>> = if blank {
            None
        } else {
            self.list(name).map(parse).collect()
        };
        parsed.ok_or_else(|| fault(name, HeaderFault::Malformed))
    }

    /// The topmost Via.
    ///
    /// # Errors
    ///
    /// When there is none or it is malformed.
    pub fn top_via(&self) -> Result<Via, HeaderError> {
        let name = &HeaderName::VIA;
        let line = self
            .get(name)
            .ok_or_else(|| fault(name, HeaderFault::Missing))?;
        let top = line.get(..value_end(line)).unwrap_or_default();
        Via::parse(top).ok_or_else(|| fault(name, HeaderFault::Malformed))
    }

    /// All Vias, topmost first.
    ///
    /// # Errors
    ///
    /// When one is malformed.
    pub fn vias(&self) -> Result<Vec<Via>, HeaderError> {
        self.all(&HeaderName::VIA, Via::parse)
    }

    /// `From`.
    ///
    /// # Errors
    ///
    /// When it is missing, repeated or malformed.
    pub fn from(&self) -> Result<NameAddr, HeaderError> {
        self.mandatory(&HeaderName::FROM, NameAddr::parse)
    }

    /// `To`.
    ///
    /// # Errors
    ///
    /// When it is missing, repeated or malformed.
    pub fn to(&self) -> Result<NameAddr, HeaderError> {
        self.mandatory(&HeaderName::TO, NameAddr::parse)
    }

    /// The tag of `To`: of the callee, or none yet.
    pub(crate) fn to_tag(&self) -> Option<Tag> {
        self.to().ok()?.tag()
    }

    /// `Call-ID`.
    ///
    /// # Errors
    ///
    /// When it is missing, repeated, empty, too long or has white space in it.
    pub fn call_id(&self) -> Result<CallId, HeaderError> {
        self.mandatory(&HeaderName::CALL_ID, |value| {
            let word = |b: &u8| *b > b' ' && !matches!(b, b',' | b';' | 0x7f);
            let fits = !value.is_empty() && value.len() <= IDENTIFIER_BYTES_MAX;
            (fits && value.iter().all(word)).then(|| CallId::new(value))
        })
    }

    /// `CSeq`.
    ///
    /// # Errors
    ///
    /// When it is missing, repeated or malformed.
    pub fn cseq(&self) -> Result<CSeq, HeaderError> {
        self.mandatory(&HeaderName::CSEQ, CSeq::parse)
    }

    /// The first Contact; `None` when there is none or it is `*`.
    ///
    /// # Errors
    ///
    /// When one of the contacts is malformed.
    pub fn contact(&self) -> Result<Option<NameAddr>, HeaderError> {
        Ok(self.contacts()?.into_iter().next())
    }

    /// All contacts; none when the value is `*`.
    ///
    /// # Errors
    ///
    /// When one is malformed.
    pub fn contacts(&self) -> Result<Vec<NameAddr>, HeaderError> {
        if self
            .single(&HeaderName::CONTACT)
            .is_ok_and(|only| only == Some(b"*"))
        {
            return Ok(Vec::new());
        }
        self.all(&HeaderName::CONTACT, NameAddr::parse)
    }

    /// `Max-Forwards`.
    ///
    /// # Errors
    ///
    /// When it is repeated or no number up to 255.
    pub fn max_forwards(&self) -> Result<Option<u8>, HeaderError> {
        self.optional(&HeaderName::MAX_FORWARDS, |value| {
            u8::try_from(number(value, 255)?).ok()
        })
    }

    /// `Expires`, seconds. A number that does not fit counts as the largest one.
    ///
    /// # Errors
    ///
    /// When it is repeated or no number.
    pub fn expires(&self) -> Result<Option<u32>, HeaderError> {
        self.optional(&HeaderName::EXPIRES, number_saturating)
    }

    /// `Min-Expires`, seconds.
    ///
    /// # Errors
    ///
    /// When it is repeated or no number.
    pub fn min_expires(&self) -> Result<Option<u32>, HeaderError> {
        self.optional(&HeaderName::MIN_EXPIRES, number_saturating)
    }

    /// `Retry-After`, seconds, without its comment and parameters.
    ///
    /// # Errors
    ///
    /// When it is repeated or does not begin with a number.
    pub fn retry_after(&self) -> Result<Option<u32>, HeaderError> {
        self.optional(&HeaderName::RETRY_AFTER, |value| {
            let end = value
                .iter()
                .position(|b| !b.is_ascii_digit())
                .unwrap_or(value.len());
            let behind = value.get(end).copied();
            let ends = behind.is_none_or(|b| matches!(b, b' ' | b'\t' | b';' | b'('));
            number_saturating(value.get(..end)?).filter(|_| ends)
        })
    }

    /// `Content-Length`, octets.
    ///
    /// # Errors
    ///
    /// When it is repeated or no number.
    pub fn content_length(&self) -> Result<Option<usize>, HeaderError> {
        self.optional(&HeaderName::CONTENT_LENGTH, |value| {
            number(value, u32::MAX).and_then(|n| usize::try_from(n).ok())
        })
    }

    /// `Content-Type`.
    ///
    /// # Errors
    ///
    /// When it is repeated or malformed.
    pub fn content_type(&self) -> Result<Option<ContentType>, HeaderError> {
        self.optional(&HeaderName::CONTENT_TYPE, ContentType::parse)
    }

    /// `Event`.
    ///
    /// # Errors
    ///
    /// When it is repeated or malformed.
    pub fn event(&self) -> Result<Option<EventPackage>, HeaderError> {
        self.optional(&HeaderName::EVENT, EventPackage::parse)
    }

    /// `Subscription-State`.
    ///
    /// # Errors
    ///
    /// When it is repeated or malformed.
    pub fn subscription_state(&self) -> Result<Option<SubscriptionState>, HeaderError> {
        self.optional(&HeaderName::SUBSCRIPTION_STATE, SubscriptionState::parse)
    }

    /// The `Reason` of the protocol SIP, else the first (RFC 3326: one for each protocol).
    ///
    /// # Errors
    ///
    /// When one of the reasons is malformed.
    pub fn reason(&self) -> Result<Option<Reason>, HeaderError> {
        let mut reasons = self.all(&HeaderName::REASON, Reason::parse)?;
        let sip = reasons.iter().position(Reason::is_sip).unwrap_or(0);
        Ok((sip < reasons.len()).then(|| reasons.swap_remove(sip)))
    }

    /// `Session-Expires`.
    ///
    /// # Errors
    ///
    /// When it is repeated or malformed.
    pub fn session_expires(&self) -> Result<Option<SessionExpires>, HeaderError> {
        self.optional(&HeaderName::SESSION_EXPIRES, SessionExpires::parse)
    }

    /// `Min-SE`, seconds.
    ///
    /// # Errors
    ///
    /// When it is repeated or no number.
    pub fn min_se(&self) -> Result<Option<u32>, HeaderError> {
        self.optional(&HeaderName::MIN_SE, |value| {
            let end = value.iter().position(|&b| b == b';').unwrap_or(value.len());
            Params::parse(value.get(end..)?)?;
            number(super::lex::trim(value.get(..end)?), u32::MAX)
        })
    }

    /// `Replaces`.
    ///
    /// # Errors
    ///
    /// When it is repeated or malformed.
    pub fn replaces(&self) -> Result<Option<Replaces>, HeaderError> {
        self.optional(&HeaderName::REPLACES, Replaces::parse)
    }

    /// `Refer-To`.
    ///
    /// # Errors
    ///
    /// When it is repeated or malformed.
    pub fn refer_to(&self) -> Result<Option<NameAddr>, HeaderError> {
        self.optional(&HeaderName::REFER_TO, NameAddr::parse)
    }

    /// `Referred-By`.
    ///
    /// # Errors
    ///
    /// When it is repeated or malformed.
    pub fn referred_by(&self) -> Result<Option<NameAddr>, HeaderError> {
        self.optional(&HeaderName::REFERRED_BY, NameAddr::parse)
    }

    /// `P-Asserted-Identity`, one `sip:` and one `tel:` at most (RFC 3325 section 9.1).
    ///
    /// # Errors
    ///
    /// When one is malformed.
    pub fn asserted_identities(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.all(&HeaderName::P_ASSERTED_IDENTITY, NameAddr::parse)
    }

    /// `Record-Route`, topmost first.
    ///
    /// # Errors
    ///
    /// When one is malformed.
    pub fn record_route(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.all(&HeaderName::RECORD_ROUTE, NameAddr::parse)
    }

    /// `Route`, topmost first.
    ///
    /// # Errors
    ///
    /// When one is malformed.
    pub fn route(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.all(&HeaderName::ROUTE, NameAddr::parse)
    }

    /// The option tags of `Require`, in lower case.
    #[must_use]
    pub fn require(&self) -> Vec<Box<str>> {
        self.tokens(&HeaderName::REQUIRE)
    }

    /// The option tags of `Supported`, in lower case.
    #[must_use]
    pub fn supported(&self) -> Vec<Box<str>> {
        self.tokens(&HeaderName::SUPPORTED)
    }

    /// The packages of `Allow-Events`, in lower case.
    #[must_use]
    pub fn allow_events(&self) -> Vec<Box<str>> {
        self.tokens(&HeaderName::ALLOW_EVENTS)
    }

    /// The methods of `Allow`; what is no token is passed over. An absent header gives none.
    #[must_use]
    pub fn allow(&self) -> Vec<Method> {
        self.list(&HeaderName::ALLOW)
            .filter_map(Method::parse)
            .collect()
    }

    fn tokens(&self, name: &HeaderName) -> Vec<Box<str>> {
        let words = self.list(name).filter(|word| is_token(word));
        words
            .filter_map(|w| str::from_utf8(w).ok())
            .map(|w| w.to_ascii_lowercase().into())
            .collect()
    }

    /// The digest challenges of `WWW-Authenticate`; other schemes and malformed ones are passed
    /// over, since one good challenge is enough.
    #[must_use]
    pub fn www_authenticate(&self) -> Vec<Challenge> {
        self.challenges(&HeaderName::WWW_AUTHENTICATE)
    }

    /// The digest challenges of `Proxy-Authenticate`.
    #[must_use]
    pub fn proxy_authenticate(&self) -> Vec<Challenge> {
        self.challenges(&HeaderName::PROXY_AUTHENTICATE)
    }

    fn challenges(&self, name: &HeaderName) -> Vec<Challenge> {
        let lines = self.lines(name).take(CHALLENGES_MAX);
        lines
            .flat_map(Challenge::parse_all)
            .take(CHALLENGES_MAX)
            .collect()
    }

    /// Gives `To` this tag when it has none; its other octets stay.
    pub fn add_to_tag(&mut self, tag: &Tag) {
        if self.to().is_ok_and(|to| to.tag().is_none()) {
            self.append_to_first(&HeaderName::TO, &[b";tag=", tag.as_bytes()].concat());
        }
    }

    /// Notes in the topmost Via where the request came from: `received` when sent-by is another
    /// address or `rport` was asked for, and the port into an `rport` that asks (RFC 3261 section
    /// 18.2.1, RFC 3581 section 4).
    pub fn note_source(&mut self, source: SocketAddr) {
        let Ok(via) = self.top_via() else { return };
        let Some(line) = self.get(&HeaderName::VIA) else {
            return;
        };
        let address = source.ip().to_canonical();
        let asks = via.rport == Some(None);
        if via.host.ip() == Some(address) && !asks {
            return;
        }
        let (top, others) = line.split_at(value_end(line));
        let sent_by_end = top.iter().position(|&b| b == b';').unwrap_or(top.len());
        let mut params = via.params;
        params.remove("received");
        if asks {
            params.fill_flag("rport", source.port());
        }
        params.push("received", address.to_string());
        let changed = [&top[..sent_by_end], params.as_bytes(), others].concat();
        self.replace_first(&HeaderName::VIA, &changed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn headers(lines: &[(HeaderName, &str)]) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in lines {
            headers.push(name.clone(), *value);
        }
        headers
    }

    #[test]
    fn single_headers_may_not_repeat() {
        let twice = headers(&[(HeaderName::FROM, "sip:a@h"), (HeaderName::FROM, "sip:a@h")]);
        assert_eq!(twice.from().unwrap_err().fault, HeaderFault::Repeated);
        assert_eq!(twice.to().unwrap_err().fault, HeaderFault::Missing);
    }

    #[test]
    fn numbers_have_bounds() {
        let it = headers(&[
            (HeaderName::MAX_FORWARDS, "300"),
            (HeaderName::EXPIRES, "10000000000000000000"),
            (HeaderName::CONTENT_LENGTH, "-999"),
            (HeaderName::RETRY_AFTER, "18000 (busy);duration=3600"),
            (HeaderName::MIN_SE, "90"),
        ]);
        assert!(it.max_forwards().is_err());
        assert_eq!(it.expires().unwrap(), Some(u32::MAX));
        assert!(it.content_length().is_err());
        assert_eq!(it.retry_after().unwrap(), Some(18000));
        assert_eq!(it.min_se().unwrap(), Some(90));
    }

    #[test]
    fn star_is_no_contact() {
        assert!(
            headers(&[(HeaderName::CONTACT, "*")])
                .contacts()
                .unwrap()
                .is_empty()
        );
        let mixed = headers(&[
            (HeaderName::CONTACT, "*"),
            (HeaderName::CONTACT, "<sip:a@h>"),
        ]);
        assert!(mixed.contacts().is_err());
    }

    #[test]
    fn a_to_tag_is_added_once_and_the_form_stays() {
        let mut it = headers(&[(HeaderName::TO, "sip:1002@192.0.2.81:5060")]);
        it.add_to_tag(&Tag::new("7"));
        it.add_to_tag(&Tag::new("8"));
        assert_eq!(
            it.get(&HeaderName::TO).unwrap(),
            b"sip:1002@192.0.2.81:5060;tag=7"
        );
    }

    #[test]
    fn the_source_is_noted_in_the_topmost_via_only() {
        let source = "198.51.100.9:5071".parse().unwrap();
        let mut it = headers(&[(
            HeaderName::VIA,
            "SIP/2.0/UDP h:5060;rport;branch=z9hG4bKa, SIP/2.0/UDP i;rport",
        )]);
        it.note_source(source);
        assert_eq!(
            it.get_str(&HeaderName::VIA).unwrap(),
            "SIP/2.0/UDP h:5060;rport=5071;branch=z9hG4bKa;received=198.51.100.9, SIP/2.0/UDP i;rport"
        );
        let mut same = headers(&[(HeaderName::VIA, "SIP/2.0/UDP 198.51.100.9;branch=b")]);
        same.note_source(source);
        assert_eq!(
            same.get_str(&HeaderName::VIA).unwrap(),
            "SIP/2.0/UDP 198.51.100.9;branch=b"
        );
    }

    #[test]
    fn a_blank_via_is_none() {
        let it = headers(&[(HeaderName::VIA, ""), (HeaderName::VIA, "SIP/2.0/UDP h")]);
        assert_eq!(it.top_via().unwrap_err().fault, HeaderFault::Malformed);
        assert_eq!(it.vias().unwrap_err().fault, HeaderFault::Malformed);
        assert!(headers(&[(HeaderName::CONTACT, "")]).contacts().is_err());
    }

    #[test]
    fn token_lists() {
        let it = headers(&[
            (HeaderName::SUPPORTED, "uui,100rel, Timer"),
            (HeaderName::ALLOW, "INVITE, ACK, FOO"),
            (HeaderName::REQUIRE, ""),
        ]);
        assert_eq!(
            it.supported(),
            ["uui".into(), "100rel".into(), Box::<str>::from("timer")]
        );
        assert_eq!(
            it.allow(),
            [Method::Invite, Method::Ack, Method::Other("FOO".into())]
        );
        assert!(it.require().is_empty());
    }
}
