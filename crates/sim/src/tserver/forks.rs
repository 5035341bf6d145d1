//! A number that rings at two phones: an endpoint that calls it gets the 18x of two branches, and the 2xx of one.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::call::{CallKey, Customer, Party};
use super::machine::TServer;
use super::sdp::Audio;
use super::view::LegState;
use super::write::Reply;

/// Where the phone that nobody answers has its media.
const MEDIA_PORT: u16 = 29_998;

impl TServer {
    /// 180 and 183 of the branch that nobody answers, unreliable: that branch never gets anything.
    pub(super) fn other_branch_rings(&mut self, now: Instant, key: CallKey) {
        let leg = self.calls.get(&key).and_then(|call| call.parties.first());
        let leg = leg.and_then(Party::leg).and_then(|leg| self.legs.get(&leg));
        let Some(entry) = leg.filter(|leg| !leg.ours && leg.state == LegState::Early) else {
            return;
        };
        let (Some(server), Some(offer)) = (entry.invited.clone(), entry.remote_sdp.clone()) else {
            return;
        };
        let uuid = entry.frame.call_uuid.clone();
        let address = self.config.customer_media.first().map(SocketAddr::ip);
        let address = address.unwrap_or_else(|| self.config.advertise.ip());
        let answer = early_answer(address, &offer);
        let tag = self.ids.tag();
        let contact = format!("<sip:fork@{}>", self.config.advertise);
        for (status, sdp) in [(180, None), (183, answer.as_deref())] {
            let lines = vec![
                ("Contact", contact.clone()),
                ("X-Genesys-CallUUID", uuid.clone()),
            ];
            let reply = Reply {
                status,
                to_tag: Some(&tag),
                lines,
                sdp,
                ..Reply::default()
            };
            self.respond(now, &server, reply);
        }
    }
}

fn early_answer(address: IpAddr, offer: &str) -> Option<String> {
    let mut phone = Customer::new(SocketAddr::new(address, MEDIA_PORT), true);
    phone.answer(&Audio::read(offer)?)
}
