//! SIP Server as the stories' script: what it says, in the form of its traces.

use std::net::SocketAddr;

use sip::Request;
use sip::ua::{Source, Transport};
use switchboard::Input;

use super::{Binding, Dialog, SIP_SERVER, UUID, World};

impl World {
    /// A SIP Server that runs answers REGISTER and OPTIONS at once, and keeps what it was told.
    pub(super) fn registrar(&mut self, to: SocketAddr, request: &Request) {
        let server = to.ip();
        let options = request.method == sip::Method::Options;
        if self.is_lost() {
            return;
        }
        if self.silent.contains(&server) || options && self.deaf_to_options.contains(&server) {
            return;
        }
        let echo = |name: &sip::HeaderName| super::text(request.headers.get(name));
        if self
            .unheard
            .contains(&super::user(&echo(&sip::HeaderName::TO)))
        {
            return;
        }
        let (mut status, mut lines) = ("200 OK", String::new());
        if request.method == sip::Method::Register {
            let expires = echo(&sip::HeaderName::EXPIRES);
            let contact = echo(&sip::HeaderName::CONTACT);
            lines = format!("Expires: {expires}\r\nContact: {contact};expires={expires}\r\n");
            match self.refusing.get(&server) {
                Some(refusal) => status = refusal,
                None => {
                    let call_id = echo(&sip::HeaderName::CALL_ID);
                    let request = (call_id.clone(), echo(&sip::HeaderName::CSEQ));
                    if self.accepted.insert(request) {
                        self.bindings.push(Binding {
                            at: self.now,
                            server,
                            dn: super::user(&echo(&sip::HeaderName::TO)),
                            expires_s: expires.parse().unwrap(),
                            call_id,
                        });
                    }
                }
            }
        }
        let text = format!(
            "SIP/2.0 {status}\r\nVia: {};received=192.0.2.10\r\nFrom: {}\r\nTo: {};tag=reg\r\nCall-ID: {}\r\nCSeq: {}\r\n\
             {lines}Content-Length: 0\r\n\r\n",
            echo(&sip::HeaderName::VIA),
            echo(&sip::HeaderName::FROM),
            echo(&sip::HeaderName::TO),
            echo(&sip::HeaderName::CALL_ID),
            echo(&sip::HeaderName::CSEQ),
        );
        if !self.is_lost() {
            self.receive_from(&to.to_string(), &text);
        }
    }

    /// What becomes of a datagram on a wire that loses some.
    fn is_lost(&mut self) -> bool {
        if self.loss_one_in == 0 {
            return false;
        }
        // Knuth's generator; its upper bits are good enough.
        self.chance = self
            .chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.chance >> 33).is_multiple_of(self.loss_one_in)
    }

    pub fn receive(&mut self, text: &str) {
        self.receive_from(SIP_SERVER, text);
    }

    pub fn receive_from(&mut self, from: &str, text: &str) {
        self.receive_bytes_from(from, text.as_bytes());
    }

    /// For what is no UTF-8.
    pub fn receive_bytes(&mut self, bytes: &[u8]) {
        self.receive_bytes_from(SIP_SERVER, bytes);
    }

    fn receive_bytes_from(&mut self, from: &str, bytes: &[u8]) {
        let source = Source {
            transport: Transport::Udp,
            remote: from.parse().unwrap(),
            connection: None,
        };
        self.input(Input::Sip {
            source,
            bytes: bytes.to_vec(),
        });
    }

    pub fn branch(&mut self) -> String {
        self.branches += 1;
        format!(
            "z9hG4bKF9D1A146-A651-43A6-8A12-32F3EB33637E-{}",
            self.branches
        )
    }

    /// A call as SIP Server rings it.
    pub fn invite(&mut self, dn: &str, offer: Option<&str>) -> Dialog {
        self.invite_with(dn, offer, "")
    }

    pub fn invite_with(&mut self, dn: &str, offer: Option<&str>, headers: &str) -> Dialog {
        self.calls += 1;
        let dialog = Dialog {
            call_id: format!(
                "D6F9763C-E5D5-4C4B-97C3-C0725E0E2E17-{}@192.0.2.81",
                self.calls
            ),
            dn: dn.into(),
            from_tag: format!("88170A6B-45A8-43AE-9D3C-97CE63DC2C9C-{}", self.calls),
            cseq: 1,
            invite_branch: self.branch(),
        };
        let text = self.invite_text(&dialog, offer, headers);
        self.receive(&text);
        dialog
    }

    pub fn invite_text(&self, dialog: &Dialog, offer: Option<&str>, headers: &str) -> String {
        let (content_type, body) = body(offer);
        format!(
            "INVITE sip:{dn}@192.0.2.10:5060 SIP/2.0\r\nFrom: sip:1003@192.0.2.81:5060;tag={tag}\r\n\
             To: sip:{dn}@192.0.2.81\r\nCall-ID: {call_id}\r\nCSeq: 1 INVITE\r\nContent-Length: {len}\r\n{content_type}\
             Via: SIP/2.0/UDP 192.0.2.81:5060;branch={branch}\r\nContact: <sip:1003@192.0.2.81:5060>\r\n\
             Allow: ACK, BYE, CANCEL, INFO, INVITE, MESSAGE, NOTIFY, OPTIONS, PRACK, REFER, UPDATE\r\n\
             Max-Forwards: 70\r\nX-Genesys-CallUUID: {UUID}\r\nSession-Expires: 1800;refresher=uac\r\nMin-SE: 90\r\n\
             {headers}Supported: uui,100rel,timer\r\n\r\n{body}",
            dn = dialog.dn,
            tag = dialog.from_tag,
            call_id = dialog.call_id,
            len = body.len(),
            branch = dialog.invite_branch,
        )
    }

    /// An in-dialog request in SIP Server's form. `extra` are whole header lines.
    pub fn in_dialog(
        &mut self,
        dialog: &mut Dialog,
        method: &str,
        extra: &str,
        body_text: Option<&str>,
    ) -> String {
        dialog.cseq += 1;
        let branch = self.branch();
        let cseq = dialog.cseq;
        let text = self.in_dialog_text(dialog, method, cseq, &branch, extra, body_text);
        self.receive(&text);
        text
    }

    /// The same with a body of any type, named in `extra`.
    pub fn in_dialog_with(&mut self, dialog: &mut Dialog, method: &str, extra: &str, body: &str) {
        dialog.cseq += 1;
        let branch = self.branch();
        let text = self.in_dialog_text(dialog, method, dialog.cseq, &branch, extra, None);
        let length = format!("Content-Length: {}\r\n", body.len());
        let text = text.replace("Content-Length: 0\r\n", &length);
        self.receive(&format!("{text}{body}"));
    }

    pub fn in_dialog_text(
        &self,
        dialog: &Dialog,
        method: &str,
        cseq: u32,
        branch: &str,
        extra: &str,
        sdp: Option<&str>,
    ) -> String {
        let (content_type, body) = body(sdp);
        let to_tag = self.our_tag(dialog);
        format!(
            "{method} sip:{dn}@192.0.2.10:5060 SIP/2.0\r\nFrom: sip:1003@192.0.2.81:5060;tag={tag}\r\n\
             To: sip:{dn}@192.0.2.81;tag={to_tag}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n\
             Content-Length: {len}\r\n{content_type}Via: SIP/2.0/UDP 192.0.2.81:5060;branch={branch}\r\n\
             Contact: <sip:1003@192.0.2.81:5060>\r\n{extra}Max-Forwards: 70\r\nX-Genesys-CallUUID: {UUID}\r\n\r\n{body}",
            dn = dialog.dn,
            tag = dialog.from_tag,
            call_id = dialog.call_id,
            len = body.len(),
        )
    }

    pub fn notify(&mut self, dialog: &mut Dialog, event: &str) -> String {
        let extra = format!("Event: {event}\r\nSubscription-State: active\r\n");
        self.in_dialog(dialog, "NOTIFY", &extra, None)
    }

    pub fn reinvite(&mut self, dialog: &mut Dialog, offer: Option<&str>) -> u32 {
        let extra = "Session-Expires: 1800;refresher=uac\r\nMin-SE: 90\r\nSupported: timer\r\n";
        self.in_dialog(dialog, "INVITE", extra, offer);
        dialog.cseq
    }

    /// ACK of the 2xx with this CSeq.
    pub fn ack(&mut self, dialog: &Dialog, cseq: u32, answer: Option<&str>) {
        let branch = self.branch();
        let text = self.in_dialog_text(dialog, "ACK", cseq, &branch, "", answer);
        self.receive(&text);
    }

    pub fn cancel(&mut self, dialog: &Dialog) {
        let text = format!(
            "CANCEL sip:{dn}@192.0.2.10:5060 SIP/2.0\r\nFrom: sip:1003@192.0.2.81:5060;tag={tag}\r\n\
             To: sip:{dn}@192.0.2.81\r\nCall-ID: {call_id}\r\nCSeq: 1 CANCEL\r\nContent-Length: 0\r\n\
             Via: SIP/2.0/UDP 192.0.2.81:5060;branch={branch}\r\nMax-Forwards: 70\r\n\r\n",
            dn = dialog.dn,
            tag = dialog.from_tag,
            call_id = dialog.call_id,
            branch = dialog.invite_branch,
        );
        self.receive(&text);
    }

    /// Answers a request of talkbridge's with this status.
    pub fn respond(&mut self, request: &Request, status: &str, sdp: Option<&str>) {
        self.respond_by("server", request, status, "", sdp);
    }

    /// The same by one branch of a forked call, with more header lines.
    pub fn respond_by(
        &mut self,
        tag: &str,
        request: &Request,
        status: &str,
        headers: &str,
        sdp: Option<&str>,
    ) {
        let (content_type, body) = body(sdp);
        let echo = |name: &sip::HeaderName| {
            String::from_utf8_lossy(request.headers.get(name).unwrap()).into_owned()
        };
        let mut to = echo(&sip::HeaderName::TO);
        if !to.contains("tag=") {
            to += &format!(";tag={tag}");
        }
        let text = format!(
            "SIP/2.0 {status}\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\nVia: {};received=192.0.2.10\r\n\
             Contact: <sip:1003@192.0.2.81:5060>\r\n{headers}{content_type}Content-Length: {}\r\n\r\n{body}",
            echo(&sip::HeaderName::FROM),
            echo(&sip::HeaderName::CALL_ID),
            echo(&sip::HeaderName::CSEQ),
            echo(&sip::HeaderName::VIA),
            body.len(),
        );
        // Whoever was asked answers.
        let asked = self.sent.iter().rev().find(|sent| {
            matches!(&sent.message, sip::Message::Request(asked) if asked.headers.get(&sip::HeaderName::VIA)
                == request.headers.get(&sip::HeaderName::VIA))
        });
        let from = asked.map_or_else(|| SIP_SERVER.to_owned(), |sent| sent.to.to_string());
        self.receive_from(&from, &text);
    }

    /// Refuses a call and names other places, in whole header lines.
    pub fn redirect(&mut self, request: &Request, status: &str, contacts: &str) {
        let echo = |name: &sip::HeaderName| {
            String::from_utf8_lossy(request.headers.get(name).unwrap()).into_owned()
        };
        let text = format!(
            "SIP/2.0 {status}\r\nFrom: {}\r\nTo: {};tag=moved\r\nCall-ID: {}\r\nCSeq: {}\r\n\
             Via: {};received=192.0.2.10\r\n{contacts}Content-Length: 0\r\n\r\n",
            echo(&sip::HeaderName::FROM),
            echo(&sip::HeaderName::TO),
            echo(&sip::HeaderName::CALL_ID),
            echo(&sip::HeaderName::CSEQ),
            echo(&sip::HeaderName::VIA),
        );
        self.receive(&text);
    }

    /// UPDATE with an offer, by one branch of a call that talkbridge makes.
    pub fn update_by(&mut self, tag: &str, invite: &Request, cseq: u32, offer: &str) {
        let branch = self.branch();
        let echo = |name: &sip::HeaderName| {
            String::from_utf8_lossy(invite.headers.get(name).unwrap()).into_owned()
        };
        let text = format!(
            "UPDATE sip:1002@192.0.2.10:5060 SIP/2.0\r\nFrom: {};tag={tag}\r\nTo: {}\r\nCall-ID: {}\r\n\
             CSeq: {cseq} UPDATE\r\nVia: SIP/2.0/UDP 192.0.2.81:5060;branch={branch}\r\n\
             Contact: <sip:1003@192.0.2.81:5060>\r\nMax-Forwards: 70\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{offer}",
            echo(&sip::HeaderName::TO),
            echo(&sip::HeaderName::FROM),
            echo(&sip::HeaderName::CALL_ID),
            offer.len(),
        );
        self.receive(&text);
    }

    /// SIP Server's ACK of a final answer that is no 2xx: Via first, no CallUUID.
    pub fn ack_refusal(&mut self, dialog: &Dialog) {
        let to_tag = self.our_tag(dialog);
        let text = format!(
            "ACK sip:{dn}@192.0.2.10:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.81:5060;branch={branch}\r\n\
             From: sip:1003@192.0.2.81:5060;tag={tag}\r\nTo: <sip:{dn}@192.0.2.81>;tag={to_tag}\r\n\
             Call-ID: {call_id}\r\nCSeq: 1 ACK\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
            dn = dialog.dn,
            branch = dialog.invite_branch,
            tag = dialog.from_tag,
            call_id = dialog.call_id,
        );
        self.receive(&text);
    }
}

fn body(sdp: Option<&str>) -> (&'static str, &str) {
    match sdp {
        Some(sdp) => ("Content-Type: application/sdp\r\n", sdp),
        None => ("", ""),
    }
}

impl World {
    /// REFER outside of any call, as `refer-enabled` makes it for a call that the agent dials on the desktop.
    pub fn refer(&mut self, dn: &str, lines: &str) -> Dialog {
        self.refer_by("192.0.2.81", dn, lines)
    }

    /// The same of the SIP Server at this address.
    pub fn refer_by(&mut self, server: &str, dn: &str, lines: &str) -> Dialog {
        self.calls += 1;
        let dialog = Dialog {
            call_id: format!("2A6F55D1-REFER-{}@192.0.2.81", self.calls),
            dn: dn.into(),
            from_tag: format!("5B0C77A1-{}", self.calls),
            cseq: 1,
            invite_branch: self.branch(),
        };
        let text = format!(
            "REFER sip:{dn}@192.0.2.10:5060 SIP/2.0\r\nFrom: sip:gcti@{server}:5060;tag={tag}\r\n\
             To: sip:{dn}@{server}\r\nCall-ID: {call_id}\r\nCSeq: 1 REFER\r\nContent-Length: 0\r\n\
             Via: SIP/2.0/UDP {server}:5060;branch={branch}\r\nContact: <sip:gcti@{server}:5060>\r\n\
             {lines}Max-Forwards: 70\r\n\r\n",
            tag = dialog.from_tag,
            call_id = dialog.call_id,
            branch = dialog.invite_branch,
        );
        self.receive_from(&format!("{server}:5060"), &text);
        dialog
    }

    /// Header lines of an INVITE that takes the place of `old`. SIP Server names the dialog as the receiver knows it: `to-tag` is ours.
    pub fn replaces(&self, old: &Dialog, flag: &str) -> String {
        let (to_tag, from_tag) = (self.our_tag(old), &old.from_tag);
        let call_id = &old.call_id;
        format!(
            "Replaces: {call_id};to-tag={to_tag};from-tag={from_tag}{flag}\r\nRequire: replaces\r\n"
        )
    }
}
