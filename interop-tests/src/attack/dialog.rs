//! The words of one call, as the peer of talkbridge writes them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use super::peer::SipPeer;
use crate::sipp::header;

/// Counts branches, tags and Call-IDs of this process.
static LAST: AtomicU32 = AtomicU32::new(0);

fn unique(what: &str) -> String {
    let nth = LAST.fetch_add(1, Ordering::Relaxed);
    format!("{what}{}-{nth}", std::process::id())
}

/// A dialog with talkbridge. Every field may be changed, to lie.
#[derive(Debug, Clone)]
pub struct Dialog {
    /// The called DN.
    pub dn: String,
    /// Whom Via and Contact name.
    pub us: SocketAddr,
    /// The gateway.
    pub gateway: SocketAddr,
    /// Call-ID.
    pub call_id: String,
    /// The peer's own tag.
    pub from_tag: String,
    /// The gateway's tag, once it is known.
    pub to_tag: Option<String>,
    /// The last `CSeq` of the peer.
    pub cseq: u32,
    /// The branch of the INVITE, which its CANCEL repeats.
    pub invite_branch: String,
}

impl Dialog {
    /// Nothing has been said yet.
    pub fn new(peer: &SipPeer, dn: &str) -> Self {
        Self::between(peer.local(), peer.gateway(), dn)
    }

    /// The same for whoever speaks by another socket.
    pub fn between(us: SocketAddr, gateway: SocketAddr, dn: &str) -> Self {
        Self {
            dn: dn.to_owned(),
            us,
            gateway,
            call_id: format!("{}@{}", unique("call"), us.ip()),
            from_tag: unique("tag"),
            to_tag: None,
            cseq: 0,
            invite_branch: String::new(),
        }
    }

    /// Takes the gateway's tag from its answer.
    pub fn heard_tag(&mut self, answer: &str) {
        let to = header(answer, "To").unwrap_or_default();
        self.to_tag = to.split("tag=").nth(1).map(str::to_owned);
    }

    /// An INVITE with the description of a telephone at `media`.
    pub fn invite(&mut self, lines: &str, media: SocketAddr) -> String {
        self.invite_with(lines, &description(media))
    }

    /// The same with this description.
    pub fn invite_with(&mut self, lines: &str, description: &str) -> String {
        let lines = format!("Content-Type: application/sdp\n{lines}");
        let invite = self.request("INVITE", &lines, description);
        super::peer::branch(&invite).clone_into(&mut self.invite_branch);
        invite
    }

    /// The next request; `lines` and `body` are added to it.
    pub fn request(&mut self, method: &str, lines: &str, body: &str) -> String {
        self.cseq += 1;
        self.text(method, self.cseq, &unique("z9hG4bK"), lines, body)
    }

    /// An INVITE that leaves the offer to the other side.
    pub fn invite_without_offer(&mut self, lines: &str) -> String {
        let invite = self.request("INVITE", lines, "");
        super::peer::branch(&invite).clone_into(&mut self.invite_branch);
        invite
    }

    /// The ACK of a 2xx to the INVITE numbered `cseq`.
    pub fn ack(&self, cseq: u32) -> String {
        self.text("ACK", cseq, &unique("z9hG4bK"), "", "")
    }

    /// The same with the answer of a telephone at `media`.
    pub fn ack_with_answer(&self, cseq: u32, media: SocketAddr) -> String {
        self.ack_with(cseq, &description(media))
    }

    /// The same with this description.
    pub fn ack_with(&self, cseq: u32, description: &str) -> String {
        let lines = "Content-Type: application/sdp\n";
        self.text("ACK", cseq, &unique("z9hG4bK"), lines, description)
    }

    /// CANCEL of the first INVITE, before any answer.
    pub fn cancel(&self) -> String {
        let fresh = Self {
            to_tag: None,
            ..self.clone()
        };
        fresh.text("CANCEL", 1, &self.invite_branch, "", "")
    }

    /// The ACK of a refusal of the first INVITE.
    pub fn ack_refusal(&self) -> String {
        self.text("ACK", 1, &self.invite_branch, "", "")
    }

    fn text(&self, method: &str, cseq: u32, branch: &str, lines: &str, body: &str) -> String {
        let to_tag = self.to_tag.as_ref();
        let to_tag = to_tag.map_or_else(String::new, |tag| format!(";tag={tag}"));
        let Self { us, gateway, .. } = self;
        let length = crlf(body).len();
        format!(
            "{method} sip:{dn}@{gateway} SIP/2.0\nVia: SIP/2.0/UDP {us};branch={branch}\n\
             From: <sip:1003@{us}>;tag={from}\nTo: <sip:{dn}@{gateway}>{to_tag}\n\
             Call-ID: {call}\nCSeq: {cseq} {method}\nContact: <sip:1003@{us}>\n\
             Max-Forwards: 70\n{lines}Content-Length: {length}\n\n{body}",
            dn = self.dn,
            from = self.from_tag,
            call = self.call_id,
        )
    }
}

/// What a telephone at `media` offers.
pub fn description(media: SocketAddr) -> String {
    format!(
        "v=0\no=- 1 1 IN {family} {ip}\ns=-\nc=IN {family} {ip}\nt=0 0\n\
         m=audio {port} RTP/AVP 0 8 101\na=rtpmap:101 telephone-event/8000\na=sendrecv\n",
        family = if media.is_ipv6() { "IP6" } else { "IP4" },
        ip = media.ip(),
        port = media.port(),
    )
}

/// Line feeds as whole line ends.
pub fn crlf(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\n', "\r\n")
}
