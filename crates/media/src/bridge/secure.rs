//! SRTP between the SIP side and the rest of the bridge: what comes in is opened behind the source check and before anything else, what goes
//! out is sealed last. Without keys nothing here costs anything.

use std::net::SocketAddr;
use std::time::Instant;

use super::reports::Used;
use super::{Bridge, Dropped, PACKET_MAX};
use crate::limits::FORMER_KEY_LIFE;
use crate::rtcp::{self, SentAtReports};
use crate::srtp::{self, Keys, Receiver, Refused, Sender};
use crate::stream::OutgoingStream;

/// Octets of the largest RTP packet with its tag.
pub const SEALED_MAX: usize = PACKET_MAX + srtp::RTP_OVERHEAD;

/// Octets of the largest compound of RTCP with its tag.
pub const SEALED_RTCP_MAX: usize = rtcp::COMPOUND_MAX + srtp::RTCP_OVERHEAD;

/// Keys of a call, and what became of packets that no key fits.
#[derive(Debug, Default)]
pub(super) struct Secure {
    current: Option<Box<Current>>,
    former: Option<Box<Former>>,
    /// Packets from the right address that did not pass.
    pub(super) refused: u64,
    /// Packets, and octets of their payloads, that were sent as streams which are over.
    pub(super) sent_before: (u64, u64),
}

#[derive(Debug)]
struct Current {
    keys: Keys,
    sender: Sender,
    receiver: Receiver,
}

/// The keys before these: the peer's packets overtake and are overtaken by the description that changes them.
#[derive(Debug)]
struct Former {
    receiver: Receiver,
    /// Set by the first packet after the change.
    until: Option<Instant>,
}

impl Former {
    fn lives(&mut self, now: Instant) -> bool {
        now < *self.until.get_or_insert(now + FORMER_KEY_LIFE)
    }
}

/// RTP or RTCP.
type Open = fn(&mut Receiver, &mut [u8]) -> Result<usize, Refused>;

impl Secure {
    /// Opens what the peer sent. Whatever is still secured by the former keys passes too, for a moment.
    fn open(&mut self, now: Instant, datagram: &mut [u8], open: Open) -> Result<usize, Dropped> {
        let opened = match &mut self.current {
            Some(current) => open(&mut current.receiver, datagram).ok(),
            None => None,
        };
        if self
            .former
            .as_mut()
            .is_some_and(|former| !former.lives(now))
        {
            self.former = None;
        }
        let former = self.former.as_mut();
        let opened = opened
            .or_else(|| former.and_then(|former| open(&mut former.receiver, datagram).ok()))
            .or_else(|| self.current.is_none().then_some(datagram.len()));
        if opened.is_none() {
            self.refused += 1;
        }
        opened.ok_or(Dropped::Unauthentic)
    }
}

impl Bridge {
    /// Secures the SIP side with these keys, or not any longer. Keys that are there already stay as they are, with their roll-over counters.
    /// With others the stream to the SIP side goes on as `fresh`: its receiver knows no roll-over counter, and no index is ever used twice.
    pub fn set_keys(&mut self, keys: Option<&Keys>, fresh: OutgoingStream) {
        if self.secure.current.as_ref().map(|current| &current.keys) == keys {
            // Some telephones forget the counter at each re-INVITE. A stream of its own begins at 0 for them and for everybody.
            let turned = |current: &Current| current.sender.has_turned();
            if self.secure.current.as_deref().is_some_and(turned) {
                self.begin_anew(fresh);
            }
            return;
        }
        let receive = |keys: &Keys| Receiver::new(&keys.receive, keys.receive_mki);
        let current = keys.map(|keys| {
            Box::new(Current {
                keys: keys.clone(),
                sender: Sender::new(&keys.send),
                receiver: receive(keys),
            })
        });
        if let Some(mut before) = std::mem::replace(&mut self.secure.current, current) {
            if let Some(after) = &mut self.secure.current
                && after.keys.send == before.keys.send
            {
                // Our key is the same: an index that was used once is never used again with it (RFC 3711 section 9.1).
                std::mem::swap(&mut after.sender, &mut before.sender);
            }
            let same = keys.is_some_and(|keys| {
                keys.receive == before.keys.receive && keys.receive_mki == before.keys.receive_mki
            });
            let after = self.secure.current.as_mut().filter(|_| same);
            match after {
                Some(after) => after.receiver = before.receiver,
                None => {
                    let receiver = before.receiver;
                    if let Some(current) = &mut self.secure.current {
                        current.receiver.follow(&receiver);
                    }
                    let until = None;
                    self.secure.former = Some(Box::new(Former { receiver, until }));
                }
            }
        }
        if keys.is_some() {
            self.begin_anew(fresh);
        }
    }

    /// What is sent from here on is another stream.
    fn begin_anew(&mut self, fresh: OutgoingStream) {
        let (packets, octets) = self.to_sip.sent();
        if packets == 0 {
            return;
        }
        self.to_sip = fresh;
        self.reception
            .begin_anew(self.sent_to, Used::of(&self.to_sip));
        let before = &mut self.secure.sent_before;
        *before = (before.0 + packets, before.1 + octets);
        self.sent_at_reports = SentAtReports::default();
        if let Some(plan) = self.plan {
            self.to_sip.set_clock(plan.format.codec.ticks_per_ms());
        }
    }

    /// Opens an RTP packet of the SIP side in place; returns its octets then. A packet of another source is left as it is, for
    /// [`Self::from_sip`] to drop.
    ///
    /// # Errors
    /// When it is not secured with the peer's key: then it has changed nothing.
    pub fn open_rtp(
        &mut self,
        now: Instant,
        source: SocketAddr,
        datagram: &mut [u8],
    ) -> Result<usize, Dropped> {
        if self.plan.is_none_or(|plan| plan.remote != Some(source)) {
            return Ok(datagram.len());
        }
        self.secure.open(now, datagram, Receiver::unprotect_rtp)
    }

    /// The same for RTCP and [`Self::receive_rtcp`].
    ///
    /// # Errors
    /// When it is not secured with the peer's key: then it has changed nothing.
    pub fn open_rtcp(
        &mut self,
        now: Instant,
        source: SocketAddr,
        datagram: &mut [u8],
    ) -> Result<usize, Dropped> {
        if self
            .plan
            .is_none_or(|plan| plan.remote_rtcp != Some(source))
        {
            return Ok(datagram.len());
        }
        self.secure.open(now, datagram, Receiver::unprotect_rtcp)
    }

    /// Seals the packet in the first `len` octets, where there are keys; returns its octets then. `None`: it must not be sent.
    pub fn seal_rtp(&mut self, buffer: &mut [u8; SEALED_MAX], len: usize) -> Option<usize> {
        match &mut self.secure.current {
            Some(current) => current.sender.protect_rtp(buffer, len),
            None => Some(len),
        }
    }

    /// The same for a compound of RTCP.
    pub fn seal_rtcp(&mut self, buffer: &mut [u8; SEALED_RTCP_MAX], len: usize) -> Option<usize> {
        match &mut self.secure.current {
            Some(current) => current.sender.protect_rtcp(buffer, len),
            None => Some(len),
        }
    }
}
