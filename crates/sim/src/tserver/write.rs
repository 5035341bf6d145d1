//! Messages are sent from templates in the form that live SIP Servers send: From, To, Call-ID, CSeq
//! and Content-Length before Via, bare addr-specs, no User-Agent.

use std::fmt::Write as _;

use super::io::Transport;
use super::read::Incoming;

/// `Allow` of an initial INVITE.
const ALLOW_INITIAL: &str =
    "ACK, BYE, CANCEL, INFO, INVITE, MESSAGE, NOTIFY, OPTIONS, PRACK, REFER, UPDATE";
/// `Allow` of a re-INVITE: another order, and no UPDATE.
const ALLOW_REINVITE: &str =
    "INVITE, ACK, PRACK, CANCEL, BYE, REFER, INFO, MESSAGE, NOTIFY, OPTIONS";

/// What every request of a dialog shares.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// Request-URI.
    pub(super) uri: String,
    /// Value of From, tag included.
    pub(super) from: String,
    /// Value of To, tag included once known.
    pub(super) to: String,
    pub(super) call_id: String,
    pub(super) transport: Transport,
    /// Route values, nearest proxy first.
    pub(super) routes: Vec<String>,
    /// Our address as written into Via.
    pub(super) sent_by: String,
    /// Value of Contact.
    pub(super) contact: String,
    /// Value of `X-Genesys-CallUUID`.
    pub(super) call_uuid: String,
    /// Value of `Session-Expires` in our INVITEs.
    pub(super) session: String,
    /// The INVITE that calls the endpoint requires reliable provisional responses.
    pub(super) reliable: bool,
    /// Value of `Replaces` in the INVITE that calls the endpoint; empty without one.
    pub(super) replaces: String,
    /// How the INVITE that calls the endpoint wants to ring: a header and its value.
    pub(super) alert: Option<(&'static str, String)>,
}

/// A body and its type.
#[derive(Debug, Clone, Copy)]
pub(super) struct Body<'a> {
    pub(super) kind: &'a str,
    pub(super) text: &'a str,
}

impl<'a> Body<'a> {
    pub(super) fn sdp(text: &'a str) -> Self {
        Self {
            kind: "application/sdp",
            text,
        }
    }
}

/// Which INVITE it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InviteForm {
    /// To the destination of a call.
    Destination,
    /// To the originator of a TMakeCall.
    Originator,
    /// Inside a dialog.
    Again,
}

impl Frame {
    fn head(&self, method: &str, cseq: u32, body: Option<Body<'_>>) -> String {
        let length = body.map_or(0, |body| body.text.len());
        let mut text = format!(
            "{method} {} SIP/2.0\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n\
             Content-Length: {length}\r\n",
            self.uri, self.from, self.to, self.call_id
        );
        if let Some(body) = body {
            line(&mut text, "Content-Type", body.kind);
        }
        text + &self.route_lines()
    }

    fn route_lines(&self) -> String {
        let mut text = String::new();
        for route in &self.routes {
            line(&mut text, "Route", route);
        }
        text
    }

    fn via(&self, branch: &str) -> String {
        format!(
            "SIP/2.0/{} {};branch={branch}",
            self.transport.via_name(),
            self.sent_by
        )
    }

    fn finish(mut text: String, body: Option<Body<'_>>) -> Vec<u8> {
        text.push_str("\r\n");
        if let Some(body) = body {
            text.push_str(body.text);
        }
        text.into_bytes()
    }

    pub(super) fn invite(
        &self,
        form: InviteForm,
        cseq: u32,
        branch: &str,
        sdp: Option<&str>,
    ) -> Vec<u8> {
        let body = sdp.map(Body::sdp);
        let mut text = self.head("INVITE", cseq, body);
        line(&mut text, "Via", &self.via(branch));
        line(&mut text, "Contact", &self.contact);
        let (allow, supported) = match form {
            InviteForm::Destination => (ALLOW_INITIAL, "uui,100rel,timer"),
            InviteForm::Originator => (ALLOW_INITIAL, "timer"),
            InviteForm::Again => (ALLOW_REINVITE, "timer"),
        };
        line(&mut text, "Allow", allow);
        line(&mut text, "Max-Forwards", "70");
        line(&mut text, "X-Genesys-CallUUID", &self.call_uuid);
        line(&mut text, "Session-Expires", &self.session);
        line(&mut text, "Min-SE", "90");
        line(&mut text, "Supported", supported);
        if self.reliable && form == InviteForm::Destination {
            line(&mut text, "Require", "100rel");
        }
        if let Some((name, value)) = self.alert.as_ref().filter(|_| form != InviteForm::Again) {
            line(&mut text, name, value);
        }
        if !self.replaces.is_empty() && form == InviteForm::Destination {
            line(&mut text, "Require", "replaces");
            line(&mut text, "Replaces", &self.replaces);
        }
        Self::finish(text, body)
    }

    /// REFER to the endpoint that shall call.
    pub(super) fn refer(&self, cseq: u32, branch: &str, refer_to: &str) -> Vec<u8> {
        let mut text = self.head("REFER", cseq, None);
        line(&mut text, "Via", &self.via(branch));
        line(&mut text, "Contact", &self.contact);
        line(&mut text, "Refer-To", refer_to);
        line(&mut text, "Referred-By", &self.contact);
        line(&mut text, "Max-Forwards", "70");
        line(&mut text, "X-Genesys-CallUUID", &self.call_uuid);
        Self::finish(text, None)
    }

    /// PRACK of a provisional response (RFC 3262 section 4).
    pub(super) fn prack(&self, cseq: u32, branch: &str, rack: &str) -> Vec<u8> {
        let mut text = self.head("PRACK", cseq, None);
        line(&mut text, "Via", &self.via(branch));
        line(&mut text, "RAck", rack);
        line(&mut text, "Max-Forwards", "70");
        line(&mut text, "X-Genesys-CallUUID", &self.call_uuid);
        Self::finish(text, None)
    }

    pub(super) fn notify(
        &self,
        event: &str,
        cseq: u32,
        branch: &str,
        body: Option<Body<'_>>,
    ) -> Vec<u8> {
        let mut text = self.head("NOTIFY", cseq, body);
        line(&mut text, "Via", &self.via(branch));
        line(&mut text, "Contact", &self.contact);
        line(&mut text, "Event", event);
        line(&mut text, "Subscription-State", "active");
        line(&mut text, "Max-Forwards", "70");
        line(&mut text, "X-Genesys-CallUUID", &self.call_uuid);
        Self::finish(text, body)
    }

    pub(super) fn info(&self, cseq: u32, branch: &str, body: Body<'_>) -> Vec<u8> {
        let mut text = self.head("INFO", cseq, Some(body));
        line(&mut text, "Via", &self.via(branch));
        line(&mut text, "Contact", &self.contact);
        line(&mut text, "Max-Forwards", "70");
        line(&mut text, "X-Genesys-CallUUID", &self.call_uuid);
        Self::finish(text, Some(body))
    }

    /// Any other request, with the lines that it needs of its own.
    pub(super) fn other(
        &self,
        method: &str,
        cseq: u32,
        branch: &str,
        lines: &[(&str, &str)],
        body: Option<Body<'_>>,
    ) -> Vec<u8> {
        let mut text = self.head(method, cseq, body);
        line(&mut text, "Via", &self.via(branch));
        line(&mut text, "Contact", &self.contact);
        for (name, value) in lines {
            line(&mut text, name, value);
        }
        line(&mut text, "Max-Forwards", "70");
        if !self.call_uuid.is_empty() {
            line(&mut text, "X-Genesys-CallUUID", &self.call_uuid);
        }
        Self::finish(text, body)
    }

    /// ACK of a 2xx. The one that echoes the endpoint's own SDP has no Max-Forwards.
    pub(super) fn ack(
        &self,
        cseq: u32,
        branch: &str,
        sdp: Option<&str>,
        max_forwards: bool,
    ) -> Vec<u8> {
        let body = sdp.map(Body::sdp);
        let mut text = self.head("ACK", cseq, body);
        line(&mut text, "Via", &self.via(branch));
        if max_forwards {
            line(&mut text, "Max-Forwards", "70");
        }
        line(&mut text, "X-Genesys-CallUUID", &self.call_uuid);
        Self::finish(text, body)
    }

    pub(super) fn bye(&self, cseq: u32, branch: &str, reason: Option<&str>) -> Vec<u8> {
        let mut text = self.head("BYE", cseq, None);
        line(&mut text, "Via", &self.via(branch));
        if let Some(reason) = reason {
            line(&mut text, "Reason", reason);
        }
        line(&mut text, "Max-Forwards", "70");
        line(&mut text, "X-Genesys-CallUUID", &self.call_uuid);
        Self::finish(text, None)
    }

    pub(super) fn cancel(&self, cseq: u32, branch: &str) -> Vec<u8> {
        let mut text = self.head("CANCEL", cseq, None);
        line(&mut text, "Via", &self.via(branch));
        line(&mut text, "Max-Forwards", "70");
        Self::finish(text, None)
    }

    /// ACK of a final answer other than 2xx: Via first, no CallUUID. `to` is the answer's To.
    pub(super) fn ack_refusal(&self, cseq: u32, branch: &str, to: &str) -> Vec<u8> {
        format!(
            "ACK {} SIP/2.0\r\nVia: {}\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\n\
             CSeq: {cseq} ACK\r\n{}Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
            self.uri,
            self.via(branch),
            self.from,
            self.call_id,
            self.route_lines()
        )
        .into_bytes()
    }

    /// OPTIONS of the out-of-service check; its exact form is not known from a trace.
    pub(super) fn options(&self, cseq: u32, branch: &str) -> Vec<u8> {
        let mut text = self.head("OPTIONS", cseq, None);
        line(&mut text, "Via", &self.via(branch));
        line(&mut text, "Contact", &self.contact);
        line(&mut text, "Max-Forwards", "70");
        Self::finish(text, None)
    }
}

fn line(text: &mut String, name: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = write!(text, "{name}: {value}\r\n");
}

/// What an answer adds to the headers that it copies.
#[derive(Debug, Default)]
pub(super) struct Reply<'a> {
    pub(super) status: u16,
    /// Tag for a To that has none.
    pub(super) to_tag: Option<&'a str>,
    /// `received` of the topmost Via.
    pub(super) received: Option<std::net::IpAddr>,
    /// Further lines, between the copied ones and Content-Length.
    pub(super) lines: Vec<(&'static str, String)>,
    pub(super) sdp: Option<&'a str>,
}

impl Reply<'_> {
    /// The answer to `request`: Via, From, To, Call-ID and CSeq in the order of the request.
    pub(super) fn to(&self, request: &Incoming) -> Vec<u8> {
        let mut text = format!("SIP/2.0 {} {}\r\n", self.status, reason(self.status));
        let mut first_via = true;
        // An answer that may form a dialog shows the proxies on the way (RFC 3261 section 12.1.1).
        let forms_dialog = request.cseq_method == "INVITE" && (101..300).contains(&self.status);
        for (name, value) in request.lines() {
            match name.to_ascii_lowercase().as_str() {
                "via" => {
                    let mut value = value.to_owned();
                    if let (true, Some(ip)) = (first_via, self.received) {
                        value = with_received(&value, ip);
                    }
                    first_via = false;
                    line(&mut text, "Via", &value);
                }
                "to" => {
                    let mut value = value.to_owned();
                    if let (None, Some(tag)) = (request.to_tag(), self.to_tag) {
                        let _ = write!(value, ";tag={tag}");
                    }
                    line(&mut text, "To", &value);
                }
                "from" | "call-id" | "cseq" => line(&mut text, name, value),
                "record-route" if forms_dialog => line(&mut text, name, value),
                _ => {}
            }
        }
        for (name, value) in &self.lines {
            line(&mut text, name, value);
        }
        if self.sdp.is_some() {
            line(&mut text, "Content-Type", "application/sdp");
        }
        let body = self.sdp.unwrap_or_default();
        line(&mut text, "Content-Length", &body.len().to_string());
        text.push_str("\r\n");
        text.push_str(body);
        text.into_bytes()
    }
}

/// `;rport` stays as it came; `received` goes to the end of the topmost value.
fn with_received(value: &str, ip: std::net::IpAddr) -> String {
    match value.split_once(',') {
        Some((top, rest)) => format!("{top};received={ip},{rest}"),
        None => format!("{value};received={ip}"),
    }
}

/// The reason phrase of RFC 3261 section 21, for the codes in use.
pub(super) fn reason(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        302 => "Moved Temporarily",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        415 => "Unsupported Media Type",
        423 => "Interval Too Brief",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        600 => "Busy Everywhere",
        603 => "Decline",
        _ => match status / 100 {
            1 => "Session Progress",
            2 => "OK",
            3 => "Moved Temporarily",
            4 => "Bad Request",
            5 => "Server Internal Error",
            _ => "Decline",
        },
    }
}
