//! What a parser makes of some octets, reduced to what a transaction and a dialog are made of.

use rsip::{
    headers::{ToTypedHeader, UntypedHeader},
    message::HeadersExt,
};
use rvoip_sip_core::parser::message::{ParseMode, parse_message_with_mode};
use sip::{Message, ParseFault, wire::HeaderFault};

/// The other parsers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// `rsip`, with the typed headers we compare.
    Rsip,
    /// `rvoip-sip-core` in its strict mode.
    Rvoip,
}

/// A message as one parser sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    method: Option<String>,
    call_id: Option<Vec<u8>>,
    cseq: Option<u32>,
    from_tag: Option<Vec<u8>>,
    body_len: usize,
}

/// Read, or refused for this cause.
pub(crate) enum View {
    Read(Fields),
    Refused(String),
}

/// How two parsers disagree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    /// We read it, the other refuses.
    OnlyWeRead,
    /// The other reads it, we refuse it for this cause.
    OnlyTheyRead(String),
    /// Both read it and see another value here.
    Field(&'static str),
}

impl Difference {
    pub(crate) fn between(ours: &View, theirs: &View) -> Option<Self> {
        match (ours, theirs) {
            (View::Refused(_), View::Refused(_)) => None,
            (View::Read(_), View::Refused(_)) => Some(Self::OnlyWeRead),
            (View::Refused(cause), View::Read(_)) => Some(Self::OnlyTheyRead(cause.clone())),
            (View::Read(a), View::Read(b)) => {
                let fields = [
                    ("method", a.method == b.method),
                    ("Call-ID", a.call_id == b.call_id),
                    ("CSeq", a.cseq == b.cseq),
                    ("body length", a.body_len == b.body_len),
                    ("From tag", a.from_tag == b.from_tag),
                ];
                fields
                    .into_iter()
                    .find(|(_, same)| !same)
                    .map(|(name, _)| Self::Field(name))
            }
        }
    }
}

impl View {
    pub(crate) fn ours(octets: &[u8]) -> Self {
        let message = match Message::parse(octets) {
            Ok(message) => message,
            Err(error) => return Self::Refused(cause(error.fault())),
        };
        let headers = message.headers();
        let cseq = headers.cseq().unwrap();
        let method = match &message {
            Message::Request(request) => request.method.as_str().to_owned(),
            Message::Response(_) => String::new(),
        };
        Self::Read(Fields {
            method: Some(method),
            call_id: Some(headers.call_id().unwrap().as_bytes().to_vec()),
            cseq: Some(cseq.number),
            from_tag: headers
                .from()
                .unwrap()
                .tag()
                .map(|tag| tag.as_bytes().to_vec()),
            body_len: message.body().len(),
        })
    }
}

/// The cause without what varies from input to input.
fn cause(fault: &ParseFault) -> String {
    match fault {
        ParseFault::HeaderLine(_) => "header line".into(),
        ParseFault::RequestUri(_) => "Request-URI".into(),
        ParseFault::Header(error) => match error.fault {
            HeaderFault::Missing => "header missing".into(),
            HeaderFault::Repeated => "header repeated".into(),
            HeaderFault::Malformed => format!("{} malformed", error.name),
        },
        ParseFault::MethodMismatch { .. } => "method mismatch".into(),
        other => format!("{other:?}"),
    }
}

impl Peer {
    pub(crate) fn view(self, octets: &[u8]) -> View {
        match self {
            Self::Rsip => rsip_view(octets),
            Self::Rvoip => rvoip_view(octets),
        }
    }
}

fn rsip_view(octets: &[u8]) -> View {
    let read = || -> Result<Fields, rsip::Error> {
        let message = rsip::SipMessage::try_from(octets)?;
        let method = match &message {
            rsip::SipMessage::Request(request) => request.method.to_string(),
            rsip::SipMessage::Response(_) => String::new(),
        };
        let from = message.from_header()?.clone().into_typed()?;
        message.to_header()?.clone().into_typed()?;
        message.via_header()?.clone().into_typed()?;
        Ok(Fields {
            method: Some(method),
            call_id: Some(message.call_id_header()?.value().as_bytes().to_vec()),
            cseq: Some(message.cseq_header()?.clone().into_typed()?.seq),
            from_tag: from.tag().map(|tag| tag.value().as_bytes().to_vec()),
            body_len: message.body().len(),
        })
    };
    read().map_or_else(|error| View::Refused(error.to_string()), View::Read)
}

fn rvoip_view(octets: &[u8]) -> View {
    let message = match parse_message_with_mode(octets, ParseMode::Strict) {
        Ok(message) => message,
        Err(error) => return View::Refused(error.to_string()),
    };
    let request_method = message
        .method()
        .map(|method| method.to_string())
        .unwrap_or_default();
    let cseq = match &message {
        rvoip_sip_core::Message::Request(request) => request.cseq(),
        rvoip_sip_core::Message::Response(response) => response.cseq(),
    };
    let cseq = cseq.map(|cseq| cseq.seq);
    View::Read(Fields {
        method: Some(request_method),
        call_id: message.call_id().map(|id| id.value().as_bytes().to_vec()),
        cseq,
        from_tag: message
            .from()
            .and_then(|from| from.tag().map(|tag| tag.as_bytes().to_vec())),
        body_len: message.body().len(),
    })
}
