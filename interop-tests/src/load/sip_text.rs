//! SIP as SIP Server writes it: the forms and the header order of its traces, and the little that has
//! to be read from answers.

use std::net::SocketAddr;

/// What the messages of one call have in common.
#[derive(Debug, Clone)]
pub struct Dialog {
    /// The number of the session, from which the identifiers follow.
    pub session: usize,
    /// The agent's DN.
    pub dn: String,
    /// SIP Server's address.
    pub us: SocketAddr,
    /// The gateway's address.
    pub them: SocketAddr,
    /// Where the caller's telephone takes RTP.
    pub caller: SocketAddr,
    /// The gateway's To tag, once it is known.
    pub their_tag: Option<String>,
}

impl Dialog {
    /// The Call-ID of a session.
    pub fn call_id(&self) -> String {
        format!("{}-load@{}", self.session, self.us.ip())
    }

    /// The session of a Call-ID.
    pub fn session_of(call_id: &str) -> Option<usize> {
        call_id.split_once("-load@")?.0.parse().ok()
    }

    fn head(&self, method: &str, cseq: u32, transaction: u32, more: &str, body: &str) -> String {
        let Self {
            session,
            dn,
            us,
            them,
            ..
        } = self;
        let ip = us.ip();
        let tag = self
            .their_tag
            .as_ref()
            .map_or_else(String::new, |tag| format!(";tag={tag}"));
        let call_id = self.call_id();
        let length = body.len();
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        format!(
            "{method} sip:{dn}@{them} SIP/2.0\r\n\
             From: sip:0301{session:06}@{us};tag=A2BB77D7-EABF-4274-8BD4-{session:012}\r\n\
             To: sip:{dn}@{us}{tag}\r\n\
             Call-ID: {call_id}\r\n\
             CSeq: {cseq} {method}\r\n\
             Content-Length: {length}\r\n\
             {kind}\
             Via: SIP/2.0/UDP {us};branch=z9hG4bKD15025DA-835B-4C9E-9D96-{session:012}-{transaction}\r\n\
             Contact: <sip:0301{session:06}@{ip}:{port}>\r\n\
             {more}\
             Max-Forwards: 70\r\n\
             X-Genesys-CallUUID: UIVB8J6JE91C53UIM3VI{session:012}\r\n",
            port = us.port(),
        )
    }

    /// The INVITE with the caller's offer.
    pub fn invite(&self) -> String {
        let (us, caller) = (self.us.ip(), self.caller);
        let body = format!(
            "v=0\r\n\
             o=Genesys {number} 1 IN IP4 {us}\r\n\
             s=GSept-9.0.022.05\r\n\
             c=IN IP4 {host}\r\n\
             t=0 0\r\n\
             m=audio {port} RTP/AVP 0 8 101\r\n\
             a=rtpmap:0 pcmu/8000\r\n\
             a=rtpmap:8 pcma/8000\r\n\
             a=rtpmap:101 telephone-event/8000\r\n\
             a=fmtp:101 0-15\r\n",
            number = 1_769_469_826 + self.session,
            host = caller.ip(),
            port = caller.port(),
        );
        let allow = "Allow: ACK, BYE, CANCEL, INFO, INVITE, MESSAGE, NOTIFY, OPTIONS, PRACK, REFER, UPDATE\r\n";
        let head = self.head("INVITE", 1, 1, allow, &body);
        format!(
            "{head}Session-Expires: 1800;refresher=uac\r\nMin-SE: 90\r\nSupported: uui,100rel,timer\r\n\r\n{body}"
        )
    }

    /// The desktop's Answer.
    pub fn talk(&self) -> String {
        let event = "Event: talk\r\nSubscription-State: active\r\n";
        self.head("NOTIFY", 2, 2, event, "") + "\r\n"
    }

    /// A NOTIFY of the desktop, or the end of the call, later in the dialog than where the others of their kind stand.
    pub fn later(&self, method: &str, cseq: u32, event: &str) -> String {
        let event = if event.is_empty() {
            String::new()
        } else {
            format!("Event: {event}\r\nSubscription-State: active\r\n")
        };
        self.head(method, cseq, 10 + cseq, &event, "") + "\r\n"
    }

    /// The caller gives up before anybody has answered.
    pub fn cancel(&self) -> String {
        let unanswered = Self {
            their_tag: None,
            ..self.clone()
        };
        unanswered.head("CANCEL", 1, 1, "", "") + "\r\n"
    }

    /// The ACK of a refusal, in the INVITE's own transaction.
    pub fn ack_refusal(&self) -> String {
        self.head("ACK", 1, 1, "", "") + "\r\n"
    }

    /// The answer to a re-INVITE of the gateway.
    pub fn agree(&self, request: &str) -> String {
        let (body, ok) = (self.answer(), ok(request));
        let head = ok.trim_end_matches("Content-Length: 0\r\n\r\n");
        let (ip, port, length) = (self.us.ip(), self.us.port(), body.len());
        format!(
            "{head}Contact: <sip:{ip}:{port}>\r\nContent-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    }

    /// The ACK of a 200.
    pub fn ack(&self) -> String {
        self.head("ACK", 1, 3, "", "") + "\r\n"
    }

    /// The re-INVITE without SDP that follows the answer within milliseconds.
    pub fn reinvite(&self) -> String {
        self.head("INVITE", 3, 5, "Supported: timer\r\n", "") + "\r\n"
    }

    /// The ACK of its 200: the offer of that is answered with the caller's own address.
    pub fn ack_reinvite(&self) -> String {
        let body = self.answer();
        self.head("ACK", 3, 6, "", &body) + "\r\n" + &body
    }

    /// The end of a call that was re-INVITEd.
    pub fn bye_after_reinvite(&self) -> String {
        self.head("BYE", 4, 7, "", "") + "\r\n"
    }

    fn answer(&self) -> String {
        let (us, caller) = (self.us.ip(), self.caller);
        format!(
            "v=0\r\no=Genesys {number} 2 IN IP4 {us}\r\ns=GSept-9.0.022.05\r\nc=IN IP4 {host}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0 101\r\na=rtpmap:0 pcmu/8000\r\na=rtpmap:101 telephone-event/8000\r\n",
            number = 1_769_469_826 + self.session,
            host = caller.ip(),
            port = caller.port(),
        )
    }

    /// The end of the call.
    pub fn bye(&self) -> String {
        self.head("BYE", 3, 4, "", "") + "\r\n"
    }
}

/// The value of a header, first come.
pub fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message
        .lines()
        .skip(1)
        .take_while(|line| !line.is_empty())
        .find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found
                .trim()
                .eq_ignore_ascii_case(name)
                .then(|| value.trim())
        })
}

/// The status of a response; `None` for a request.
pub fn status(message: &str) -> Option<u16> {
    message.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
}

/// The tag of a From or To value.
pub fn tag(value: &str) -> Option<&str> {
    let tag = value.split_once(";tag=")?.1;
    Some(tag.split(';').next().unwrap_or(tag))
}

/// Where a session description wants its audio.
pub fn audio_address(sdp: &str) -> Option<SocketAddr> {
    let ip = sdp
        .lines()
        .find_map(|line| line.strip_prefix("c=IN IP4 "))?;
    let port = sdp.lines().find_map(|line| line.strip_prefix("m=audio "))?;
    let port = port.split(' ').next()?.parse().ok()?;
    Some(SocketAddr::new(ip.trim().parse().ok()?, port))
}

/// 200 to a request of the gateway. A REGISTER is granted the life that it asks for.
pub fn ok(request: &str) -> String {
    let mut answer = String::from("SIP/2.0 200 OK\r\n");
    let expires = header(request, "Expires");
    for line in request.lines().skip(1).take_while(|line| !line.is_empty()) {
        let name = line
            .split(':')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        match name.as_str() {
            "to" if tag(line).is_none() => {
                answer += &format!("{line};tag=88170A6B-45A8-43AE-9D3C-97CE63DC2C9C\r\n");
            }
            "contact" => match expires {
                Some(expires) => answer += &format!("{line};expires={expires}\r\n"),
                None => answer += &format!("{line}\r\n"),
            },
            "via" | "from" | "to" | "call-id" | "cseq" | "expires" => {
                answer += &format!("{line}\r\n");
            }
            _ => {}
        }
    }
    answer + "Content-Length: 0\r\n\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialog() -> Dialog {
        Dialog {
            session: 12,
            dn: "10012".to_owned(),
            us: "127.9.9.2:5060".parse().unwrap(),
            them: "127.9.9.1:5060".parse().unwrap(),
            caller: "127.9.9.3:20024".parse().unwrap(),
            their_tag: Some("abc".to_owned()),
        }
    }

    #[test]
    fn a_call_is_known_by_its_call_id() {
        let invite = dialog().invite();
        let call_id = header(&invite, "call-id").unwrap();
        assert_eq!(Dialog::session_of(call_id), Some(12));
        let (head, body) = invite.split_once("\r\n\r\n").unwrap();
        assert_eq!(
            header(head, "Content-Length"),
            Some(body.len().to_string().as_str())
        );
        assert_eq!(audio_address(body), Some(dialog().caller));
        assert_eq!(tag(header(&dialog().talk(), "To").unwrap()), Some("abc"));
        assert_eq!(status(&ok(&invite)), Some(200));
        assert_eq!(status(&invite), None);
    }

    #[test]
    fn a_registration_is_granted_what_it_asks_for() {
        let register = "REGISTER sip:127.9.9.2 SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\n\
                        To: <sip:1@h>\r\nContact: <sip:1@h>\r\nExpires: 60\r\n\r\n";
        let answer = ok(register);
        assert_eq!(header(&answer, "Contact"), Some("<sip:1@h>;expires=60"));
        assert!(tag(header(&answer, "To").unwrap()).is_some());
    }
}
