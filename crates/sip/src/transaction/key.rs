//! How messages find their transaction (RFC 3261 sections 17.1.3, 17.2.3 and 8.2.2.2).

use crate::wire::Via;
use crate::{Branch, CallId, Headers, Method, Request, Tag};

/// A response belongs to the request with its branch and the method of its `CSeq`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClientKey {
    branch: Branch,
    method: String,
}

impl ClientKey {
    pub(crate) fn new(branch: Branch, method: &Method) -> Self {
        Self {
            branch,
            method: method.as_str().to_owned(),
        }
    }

    /// `None` when the response lacks what names a transaction, or has Vias of others below ours:
    /// then it was routed to us by mistake (section 8.1.3.3).
    pub(crate) fn of_response(headers: &Headers) -> Option<Self> {
        let vias = headers.vias().ok()?;
        let [via] = vias.as_slice() else { return None };
        Some(Self::new(via.branch.clone()?, &headers.cseq().ok()?.method))
    }
}

/// What names a server transaction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ServerKey {
    /// The branch has the magic cookie: it is unique within its sent-by.
    Rfc3261 {
        branch: Branch,
        sent_by: String,
        method: String,
    },
    /// A client of RFC 2543: several fields together. The To tag is left out, since the ACK of a
    /// failure has one and its INVITE has none; Call-ID and `CSeq` tell dialogs apart anyhow.
    Rfc2543 {
        uri: Vec<u8>,
        from: Option<Tag>,
        call_id: CallId,
        cseq: u32,
        via: Vec<u8>,
        method: String,
    },
}

impl ServerKey {
    /// `method` is that of the request looked for: INVITE for an ACK.
    pub(crate) fn new(request: &Request, via: &Via, method: &Method) -> Option<Self> {
        let method = method.as_str().to_owned();
        if let Some(branch) = via.branch.clone().filter(Branch::is_rfc3261) {
            let host = via.host.to_string().to_ascii_lowercase();
            let sent_by = format!("{host}:{}", via.port.unwrap_or(0));
            return Some(Self::Rfc3261 {
                branch,
                sent_by,
                method,
            });
        }
        Some(Self::Rfc2543 {
            uri: request.uri.to_bytes(),
            from: request.headers.from().ok()?.tag(),
            call_id: request.headers.call_id().ok()?,
            cseq: request.headers.cseq().ok()?.number,
            via: via.to_bytes(),
            method,
        })
    }
}

/// The same request by two ways: equal here, yet not the same transaction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MergeKey {
    call_id: CallId,
    from: Option<Tag>,
    /// Our own, within a dialog.
    to: Option<Tag>,
    cseq: u32,
    method: String,
}

impl MergeKey {
    pub(crate) fn new(request: &Request) -> Option<Self> {
        Some(Self {
            call_id: request.headers.call_id().ok()?,
            from: request.headers.from().ok()?.tag(),
            to: request.headers.to_tag(),
            cseq: request.headers.cseq().ok()?.number,
            method: request.method.as_str().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Message;

    fn request(start: &str, via: &str, to: &str) -> Request {
        let text = format!(
            "{start} SIP/2.0\r\nFrom: sip:1003@h;tag=f\r\nTo: {to}\r\nCall-ID: c\r\nCSeq: 1 {}\r\n\
             Via: {via}\r\n\r\n",
            start.split(' ').next().unwrap()
        );
        match Message::parse(text.as_bytes()).unwrap() {
            Message::Request(request) => request,
            Message::Response(_) => unreachable!("a request line was written"),
        }
    }

    fn key(request: &Request, method: Method) -> ServerKey {
        ServerKey::new(request, &request.headers.top_via().unwrap(), &method).unwrap()
    }

    #[test]
    fn branch_sent_by_and_method_name_a_transaction_and_ack_finds_its_invite() {
        let invite = request(
            "INVITE sip:a@h",
            "SIP/2.0/UDP Host:5060;branch=z9hG4bKa",
            "sip:a@h",
        );
        let ack = request(
            "ACK sip:a@h",
            "SIP/2.0/UDP host:5060;branch=z9hG4bKa",
            "sip:a@h;tag=t",
        );
        let other = request(
            "INVITE sip:a@h",
            "SIP/2.0/UDP host:5061;branch=z9hG4bKa",
            "sip:a@h",
        );
        assert_eq!(key(&invite, Method::Invite), key(&ack, Method::Invite));
        assert_ne!(key(&invite, Method::Invite), key(&invite, Method::Cancel));
        assert_ne!(key(&invite, Method::Invite), key(&other, Method::Invite));
    }

    #[test]
    fn without_the_cookie_the_fields_of_rfc_2543_name_a_transaction() {
        let via = "SIP/2.0/UDP host;branch=1";
        let invite = request("INVITE sip:a@h", via, "sip:a@h");
        let ack = request("ACK sip:a@h", via, "sip:a@h;tag=t");
        let other = request("INVITE sip:b@h", via, "sip:a@h");
        assert_eq!(key(&invite, Method::Invite), key(&ack, Method::Invite));
        assert_ne!(key(&invite, Method::Invite), key(&other, Method::Invite));
    }

    #[test]
    fn the_way_does_not_tell_requests_apart() {
        let a = request("INVITE sip:a@h", "SIP/2.0/UDP x;branch=z9hG4bKa", "sip:a@h");
        let b = request("INVITE sip:a@h", "SIP/2.0/UDP y;branch=z9hG4bKb", "sip:a@h");
        let inside = request(
            "INVITE sip:a@h",
            "SIP/2.0/UDP y;branch=z9hG4bKb",
            "sip:a@h;tag=t",
        );
        assert_eq!(MergeKey::new(&a), MergeKey::new(&b));
        assert_ne!(MergeKey::new(&a), MergeKey::new(&inside));
    }
}
