//! SIP Server as a script: what it says in which dialog, right or wrong, and what it has heard.

use std::collections::VecDeque;

use sip::wire::{HeaderName, Headers, Method, Request};
use sip::{Message, Response};

use super::Octets;

/// Dialogs that the script remembers; the oldest is forgotten first.
const DIALOGS_MAX: usize = 12;
/// Requests of talkbridge's that the script remembers and may answer.
const REQUESTS_MAX: usize = 24;

/// Descriptions that SIP Server may send; the last choice is talkbridge's own, echoed.
const DESCRIPTIONS: [&str; 9] = [
    "m=audio 8006 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n",
    "m=audio 8008 RTP/AVP 8\r\n",
    "m=audio 8006 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendonly\r\n",
    "m=audio 8006 RTP/AVP 0\r\na=inactive\r\n",
    "m=audio 8006 RTP/AVP 0\r\na=recvonly\r\n",
    "c=IN IP4 0.0.0.0\r\nm=audio 10000 RTP/AVP 101 8 0\r\na=rtpmap:101 telephone-event/8000\r\n",
    "m=audio 0 RTP/AVP 0\r\n",
    "m=audio 8006 RTP/AVP 18\r\na=rtpmap:18 g729/8000\r\n",
    "m=video nonsense\r\n",
];

/// News of a REFER of ours, or of none.
const REFER_NEWS: &str = "Event: refer\r\nSubscription-State: active\r\n";

/// In-dialog requests: method, and whole header lines.
const REQUESTS: [(&str, &str); 21] = [
    ("NOTIFY", "Event: talk\r\n"),
    ("NOTIFY", "Event: hold\r\n"),
    ("NOTIFY", "Event: talk\r\n"),
    ("NOTIFY", "Event: dtmf;digits=12#\r\n"),
    ("NOTIFY", "Event: dtmf\r\n"),
    ("NOTIFY", "Event: beep\r\n"),
    ("NOTIFY", "Event: presence\r\n"),
    ("NOTIFY", REFER_NEWS),
    ("INVITE", ""),
    (
        "INVITE",
        "Session-Expires: 90;refresher=uas\r\nSupported: timer\r\n",
    ),
    ("UPDATE", ""),
    ("INFO", ""),
    ("BYE", ""),
    ("BYE", "Reason: SIP;cause=403;text=\"Forbidden\"\r\n"),
    ("REFER", "Refer-To: <sip:1004@192.0.2.81>\r\n"),
    ("OPTIONS", ""),
    ("SUBSCRIBE", "Event: talk\r\n"),
    ("MESSAGE", ""),
    ("PRACK", "RAck: 1 1 INVITE\r\n"),
    ("REGISTER", ""),
    ("NONSENSE", ""),
];

/// Header lines of an INVITE.
const WISHES: [&str; 6] = [
    "",
    "Session-Expires: 1800;refresher=uac\r\nMin-SE: 90\r\nSupported: timer,100rel\r\n",
    "Alert-Info: <http://192.0.2.81>;info=alert-autoanswer\r\n",
    "Call-Info: <sip:192.0.2.81>;answer-after=3\r\n",
    "Require: 100rel\r\n",
    "Session-Expires: 30\r\nSupported: timer\r\n",
];

const STATUSES: [&str; 16] = [
    "100 Trying",
    "180 Ringing",
    "183 Session Progress",
    "200 OK",
    "200 OK",
    "200 OK",
    "202 Accepted",
    "302 Moved Temporarily",
    "401 Unauthorized",
    "404 Not Found",
    "408 Request Timeout",
    "423 Interval Too Brief",
    "481 Call/Transaction Does Not Exist",
    "486 Busy Here",
    "491 Request Pending",
    "503 Service Unavailable",
];

/// One dialog as SIP Server keeps it.
#[derive(Clone, Debug, Default)]
struct Dialog {
    call_id: String,
    dn: String,
    our_tag: String,
    their_tag: String,
    cseq: u32,
    invite_branch: String,
    invite_cseq: u32,
}

/// SIP Server.
#[derive(Debug, Default)]
pub(super) struct Script {
    dialogs: VecDeque<Dialog>,
    /// What talkbridge has asked and nobody has answered.
    requests: VecDeque<Request>,
    /// The last description that talkbridge sent.
    echo: Vec<u8>,
    count: u32,
}

impl Script {
    /// Takes note of what talkbridge says.
    pub(super) fn hears(&mut self, message: Message) {
        match message {
            Message::Request(request) => self.hears_request(request),
            Message::Response(response) => self.hears_response(&response),
        }
    }

    fn hears_request(&mut self, request: Request) {
        self.keep_description(&request.body);
        let call_id = value(&request.headers, &HeaderName::CALL_ID);
        let known = self.dialogs.iter().any(|dialog| dialog.call_id == call_id);
        if request.method == Method::Invite && !known {
            self.count += 1;
            let dialog = Dialog {
                call_id,
                dn: "1001".to_owned(),
                our_tag: format!("callee-{}", self.count),
                their_tag: tag(&request.headers, &HeaderName::FROM),
                ..Dialog::default()
            };
            self.remember(dialog);
        }
        if request.method != Method::Ack {
            self.requests.push_back(request);
            if self.requests.len() > REQUESTS_MAX {
                self.requests.pop_front();
            }
        }
    }

    fn hears_response(&mut self, response: &Response) {
        self.keep_description(&response.body);
        let call_id = value(&response.headers, &HeaderName::CALL_ID);
        let their_tag = tag(&response.headers, &HeaderName::TO);
        if let Some(dialog) = self.dialogs.iter_mut().find(|d| d.call_id == call_id)
            && dialog.their_tag.is_empty()
        {
            dialog.their_tag = their_tag;
        }
    }

    fn keep_description(&mut self, body: &[u8]) {
        if body.starts_with(b"v=0") {
            body.clone_into(&mut self.echo);
        }
    }

    fn remember(&mut self, dialog: Dialog) {
        self.dialogs.push_back(dialog);
        if self.dialogs.len() > DIALOGS_MAX {
            self.dialogs.pop_front();
        }
    }

    fn branch(&mut self) -> String {
        self.count += 1;
        format!("z9hG4bKserver{}", self.count)
    }

    /// The newest dialog more often than the others.
    fn choose(&self, octets: &mut Octets<'_>) -> Option<usize> {
        let back = octets.below(2 * DIALOGS_MAX).saturating_sub(DIALOGS_MAX);
        let last = self.dialogs.len().checked_sub(1)?;
        Some(last.saturating_sub(back))
    }

    /// A description, or none: the content headers and the body.
    fn description(&self, octets: &mut Octets<'_>) -> (&'static str, Vec<u8>) {
        let choice = octets.below(DESCRIPTIONS.len() + 3);
        let body = match DESCRIPTIONS.get(choice) {
            Some(lines) => format!(
                "v=0\r\no=Genesys 1 {} IN IP4 192.0.2.81\r\ns=-\r\nc=IN IP4 192.0.2.82\r\nt=0 0\r\n{lines}",
                choice + 1
            )
            .into_bytes(),
            None if choice == DESCRIPTIONS.len() => self.echo.clone(),
            None => return ("", Vec::new()),
        };
        ("Content-Type: application/sdp\r\n", body)
    }

    /// A new call.
    pub(super) fn invites(&mut self, octets: &mut Octets<'_>) -> Vec<u8> {
        let branch = self.branch();
        let dn = super::DNS[octets.below(super::DNS.len())].to_owned();
        let dialog = Dialog {
            call_id: format!("call-{}@192.0.2.81", self.count),
            dn,
            our_tag: format!("caller-{}", self.count),
            their_tag: String::new(),
            cseq: 1,
            invite_branch: branch.clone(),
            invite_cseq: 1,
        };
        let (content, body) = self.description(octets);
        let wish = WISHES[octets.below(WISHES.len())];
        let text = message(
            &dialog,
            "INVITE",
            (1, &branch),
            &format!("{wish}{content}"),
            &body,
        );
        self.remember(dialog);
        text
    }

    /// A request in a dialog, in order or out of it.
    pub(super) fn asks(&mut self, octets: &mut Octets<'_>) -> Option<Vec<u8>> {
        let branch = self.branch();
        let index = self.choose(octets)?;
        let (method, lines) = REQUESTS[octets.below(REQUESTS.len())];
        let (content, body) = match (method, lines) {
            ("INVITE" | "UPDATE" | "INFO" | "MESSAGE", _) => self.description(octets),
            ("NOTIFY", REFER_NEWS) => (
                "Content-Type: message/sipfrag\r\n",
                ["SIP/2.0 100", "SIP/2.0 200 OK", "SIP/2.0 486 Busy", "x"][octets.below(4)].into(),
            ),
            ("NOTIFY", "Event: dtmf\r\n") => (
                "Content-Type: application/dtmf-relay\r\n",
                b"Signal=5\r\n".to_vec(),
            ),
            _ => ("", Vec::new()),
        };
        let (order, stranger) = (octets.next(), octets.next());
        let dialog = &mut self.dialogs[index];
        let cseq = match order {
            255 => dialog.cseq,
            254 => dialog.cseq.saturating_sub(1),
            253 => dialog.cseq.saturating_add(1_000),
            252 => u32::MAX >> 1,
            _ => {
                dialog.cseq += 1;
                dialog.cseq
            }
        };
        if method == "INVITE" {
            (dialog.invite_branch, dialog.invite_cseq) = (branch.clone(), cseq);
        }
        let mut speaker = dialog.clone();
        match stranger {
            255 => speaker.their_tag = "nobody".to_owned(),
            254 => speaker.their_tag.clear(),
            253 => "somebody".clone_into(&mut speaker.our_tag),
            _ => {}
        }
        let head = format!("{lines}{content}");
        Some(message(&speaker, method, (cseq, &branch), &head, &body))
    }

    /// ACK of the dialog's last INVITE: of a 2xx with a branch of its own, else with the INVITE's.
    pub(super) fn acknowledges(&mut self, octets: &mut Octets<'_>) -> Option<Vec<u8>> {
        let fresh = self.branch();
        let dialog = self.dialogs.get(self.choose(octets)?)?;
        let refused = octets.next() > 200;
        let branch = if refused {
            &dialog.invite_branch
        } else {
            &fresh
        };
        let (content, body) = self.description(octets);
        let number = (dialog.invite_cseq, branch.as_str());
        Some(message(dialog, "ACK", number, content, &body))
    }

    /// CANCEL of the dialog's last INVITE.
    pub(super) fn cancels(&self, octets: &mut Octets<'_>) -> Option<Vec<u8>> {
        let mut dialog = self.dialogs.get(self.choose(octets)?)?.clone();
        if dialog.invite_cseq == 1 {
            dialog.their_tag.clear();
        }
        let number = (dialog.invite_cseq, dialog.invite_branch.as_str());
        Some(message(&dialog, "CANCEL", number, "", &[]))
    }

    /// An answer to something that talkbridge asked.
    pub(super) fn answers(&mut self, octets: &mut Octets<'_>) -> Option<Vec<u8>> {
        let back = octets.below(2 * REQUESTS_MAX).saturating_sub(REQUESTS_MAX);
        let index = self.requests.len().checked_sub(1 + back)?;
        let status = STATUSES[octets.below(STATUSES.len())];
        let request = if octets.next() > 200 {
            self.requests.remove(index)?
        } else {
            self.requests.get(index)?.clone()
        };
        let (content, body) = self.description(octets);
        Some(self.response(&request, status, content, &body))
    }

    /// What an honest registrar answers to the oldest REGISTER that waits.
    pub(super) fn registers(&mut self) -> Option<Vec<u8>> {
        let waits = |request: &Request| request.method == Method::Register;
        let index = self.requests.iter().position(waits)?;
        let request = self.requests.remove(index)?;
        Some(self.response(&request, "200 OK", "", &[]))
    }

    fn response(&self, request: &Request, status: &str, content: &str, body: &[u8]) -> Vec<u8> {
        let headers = &request.headers;
        let call_id = value(headers, &HeaderName::CALL_ID);
        let mut to = value(headers, &HeaderName::TO);
        if !to.contains(";tag=") {
            let dialog = self.dialogs.iter().find(|d| d.call_id == call_id);
            let our_tag = dialog.map_or("registrar", |dialog| dialog.our_tag.as_str());
            to.push_str(";tag=");
            to.push_str(our_tag);
        }
        let extra = match (&request.method, status.get(..3)) {
            (Method::Register, Some("200")) => format!(
                "Contact: {};expires=600\r\n",
                value(headers, &HeaderName::CONTACT)
            ),
            (_, Some("401")) => {
                "WWW-Authenticate: Digest realm=\"site\", nonce=\"n\"\r\n".to_owned()
            }
            (_, Some("423")) => "Min-Expires: 900\r\n".to_owned(),
            _ => "Contact: <sip:5550100@192.0.2.81:5060>\r\n".to_owned(),
        };
        let mut text = format!(
            "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {}\r\n\
             {extra}{content}Content-Length: {}\r\n\r\n",
            value(headers, &HeaderName::VIA),
            value(headers, &HeaderName::FROM),
            value(headers, &HeaderName::CSEQ),
            body.len()
        )
        .into_bytes();
        text.extend(body);
        text
    }
}

/// A request in SIP Server's form: bare addr-specs, Via late.
fn message(
    dialog: &Dialog,
    method: &str,
    (cseq, branch): (u32, &str),
    lines: &str,
    body: &[u8],
) -> Vec<u8> {
    let Dialog {
        dn,
        call_id,
        our_tag,
        ..
    } = dialog;
    let their_tag = match dialog.their_tag.as_str() {
        "" => String::new(),
        tag => format!(";tag={tag}"),
    };
    let mut text = format!(
        "{method} sip:{dn}@192.0.2.10:5060 SIP/2.0\r\nFrom: sip:1003@192.0.2.81:5060;tag={our_tag}\r\n\
         To: sip:{dn}@192.0.2.81{their_tag}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n\
         Content-Length: {}\r\nVia: SIP/2.0/UDP 192.0.2.81:5060;branch={branch}\r\n\
         Contact: <sip:1003@192.0.2.81:5060>\r\nMax-Forwards: 70\r\n{lines}\r\n",
        body.len()
    )
    .into_bytes();
    text.extend(body);
    text
}

fn value(headers: &Headers, name: &HeaderName) -> String {
    String::from_utf8_lossy(headers.get(name).unwrap_or_default()).into_owned()
}

fn tag(headers: &Headers, name: &HeaderName) -> String {
    let value = value(headers, name);
    value
        .split_once("tag=")
        .map(|(_, tag)| tag.split(';').next().unwrap_or(tag).to_owned())
        .unwrap_or_default()
}
