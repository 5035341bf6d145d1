//! The requests of the examination. None of them changes anything at SIP Server.

use std::net::SocketAddr;

use sip::digest::{Challenge, Credentials};
use sip::{HeaderName, Host, IdSource, Method, Request, Response, StatusCode, Uri, Via};

use crate::config::SipTransport;

/// Writes requests for one line.
pub(super) struct Writer {
    ids: IdSource,
    own: SocketAddr,
    transport: SipTransport,
    /// Host and port of the addresses of record.
    domain: String,
    user_agent: String,
}

impl Writer {
    pub(super) fn new(
        seed: [u8; 32],
        own: SocketAddr,
        transport: SipTransport,
        domain: &str,
        user_agent: &str,
    ) -> Self {
        Self {
            ids: IdSource::new(seed),
            own,
            transport,
            domain: domain.to_owned(),
            user_agent: user_agent.to_owned(),
        }
    }

    /// OPTIONS to SIP Server itself (RFC 3261 section 11.1); `None` when the domain makes no URI.
    pub(super) fn options(&mut self) -> Option<Request> {
        let server = Uri::parse(format!("sip:{}", self.domain).as_bytes()).ok()?;
        self.request(Method::Options, server.clone(), &server, &server)
    }

    /// REGISTER without Contact: it asks for the bindings of a DN and changes none (RFC 3261 section 10.2.3). With one it
    /// would take the DN away from whoever holds it now.
    pub(super) fn query(&mut self, dn: &str) -> Option<Request> {
        let domain = Uri::parse(format!("sip:{}", self.domain).as_bytes()).ok()?;
        let dn = Uri::sip(Some(dn.as_bytes()), domain.host()?, domain.port()).ok()?;
        self.request(Method::Register, domain, &dn, &dn)
    }

    /// The same request with the proof of a password; `None` when the answer asks for none that can be given.
    pub(super) fn prove(
        &mut self,
        request: &Request,
        answer: &Response,
        credentials: &Credentials,
    ) -> Option<Request> {
        let header = if answer.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            HeaderName::PROXY_AUTHORIZATION
        } else {
            HeaderName::AUTHORIZATION
        };
        let challenge = Challenge::choose(&answer.headers)?;
        let mut again = request.clone();
        again.headers.set(HeaderName::VIA, self.via());
        let method = again.method.clone();
        again
            .headers
            .set(HeaderName::CSEQ, format!("2 {}", method.as_str()));
        let uri = again.uri.as_bytes().to_vec();
        let cnonce = self.ids.cnonce();
        let value = challenge.answer(credentials, &method, &uri, &cnonce, 1);
        again.headers.push(header, value);
        Some(again)
    }

    fn via(&mut self) -> Vec<u8> {
        let transport = self.transport.as_str().to_ascii_uppercase();
        let host = Host::from(self.own.ip());
        // No rport: SIP Server leaves it empty and answers to the port of sent-by anyhow.
        Via::new(
            &transport,
            host,
            Some(self.own.port()),
            self.ids.branch(),
            false,
        )
        .to_bytes()
    }

    fn request(&mut self, method: Method, uri: Uri, from: &Uri, to: &Uri) -> Option<Request> {
        let cseq = format!("1 {}", method.as_str());
        let mut request = Request::new(method, uri);
        let via = self.via();
        let (tag, call_id) = (self.ids.tag(), self.ids.call_id(&self.own.ip().into()));
        let headers = &mut request.headers;
        headers.push(HeaderName::VIA, via);
        headers.push(HeaderName::MAX_FORWARDS, "70");
        headers.push(HeaderName::FROM, format!("<{from}>;tag={tag}"));
        headers.push(HeaderName::TO, format!("<{to}>"));
        headers.push(HeaderName::CALL_ID, call_id.as_bytes());
        headers.push(HeaderName::CSEQ, cseq);
        if !self.user_agent.is_empty() {
            headers.push(HeaderName::USER_AGENT, self.user_agent.as_str());
        }
        Some(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer() -> Writer {
        let own = "192.0.2.10:5060".parse().expect("an address");
        Writer::new(
            [7; 32],
            own,
            SipTransport::Udp,
            "192.0.2.81",
            "talkbridge/1",
        )
    }

    #[test]
    fn the_probe_of_a_dn_names_no_contact() {
        let query = writer().query("1002").expect("a URI");
        let text = String::from_utf8(query.to_bytes()).expect("ASCII");
        assert!(
            text.starts_with("REGISTER sip:192.0.2.81 SIP/2.0\r\n"),
            "{text}"
        );
        assert!(text.contains("\r\nTo: <sip:1002@192.0.2.81>\r\n"), "{text}");
        assert!(
            !text.contains("Contact") && !text.contains("Expires"),
            "{text}"
        );
    }

    #[test]
    fn a_challenge_is_answered_in_the_same_call_id_with_the_next_number() {
        let mut writer = writer();
        let query = writer.query("1002").expect("a URI");
        let mut answer = Response::for_request(&query, StatusCode::UNAUTHORIZED);
        let challenge = "Digest realm=\"genesys\", nonce=\"n\", qop=\"auth\"";
        answer.headers.push(HeaderName::WWW_AUTHENTICATE, challenge);
        let credentials = Credentials::new("1002", "secret");
        let again = writer
            .prove(&query, &answer, &credentials)
            .expect("a challenge that can be answered");
        assert_eq!(again.headers.call_id(), query.headers.call_id());
        assert_eq!(again.headers.get_str(&HeaderName::CSEQ), Some("2 REGISTER"));
        assert_ne!(
            again.headers.get(&HeaderName::VIA),
            query.headers.get(&HeaderName::VIA)
        );
        let given = again.headers.get_str(&HeaderName::AUTHORIZATION);
        assert!(given.is_some_and(|value| value.contains("username=\"1002\"")));
    }
}
