//! What is going to happen, in the order of its time.

use std::collections::BTreeMap;
use std::time::Instant;

use switchboard::{BrowserLegId, MediaEvent, PageId};

use super::network::Place;
use super::servers::ServerId;
use super::streams::StreamId;
use crate::tserver::{RegisterMode, TrunkCall};

/// Something that happens later.
#[derive(Debug)]
pub(super) enum Event {
    /// A datagram between talkbridge and a SIP Server reaches its end.
    Arrive {
        server: ServerId,
        at: Place,
        bytes: Vec<u8>,
    },
    /// A piece of what was written to a connection reaches its end.
    Octets {
        stream: StreamId,
        at: Place,
        piece: u64,
        octets: Vec<u8>,
    },
    /// An end learns that its connection is gone.
    StreamLost { stream: StreamId, at: Place },
    /// A connection does not come up.
    StreamRefused { stream: StreamId, by: Place },
    /// Nothing passes any more between a SIP Server and talkbridge.
    GoesAway { server: ServerId, dead: bool },
    /// It does again.
    ComesBack { server: ServerId },
    /// A call comes to a SIP Server over the trunk from its peer site.
    Forwarded { server: ServerId, call: TrunkCall },
    /// A registrar answers like this from now on.
    Registrar {
        server: ServerId,
        mode: RegisterMode,
    },
    /// A SIP Server stands still until then.
    Hangs { server: ServerId, until: Instant },
    /// A SIP Server that stood still goes on.
    GoesOn { server: ServerId },
    /// A DN goes first to the preferred server, which is back.
    GoesFirst,
    /// The backup of a SIP Server takes over.
    Forgets { server: ServerId },
    /// A page answers the media offer of a leg.
    BrowserAnswers { page: PageId, leg: BrowserLegId },
    /// A media worker reports.
    Reported(MediaEvent),
    /// ICE and DTLS of a leg are done.
    LegConnects { leg: BrowserLegId },
}

impl Event {
    /// Whether talkbridge has to be running for it.
    pub(super) const fn is_for_gateway(&self) -> bool {
        !matches!(
            self,
            Self::Arrive {
                at: Place::Server,
                ..
            } | Self::Octets {
                at: Place::Server,
                ..
            } | Self::StreamLost {
                at: Place::Server,
                ..
            } | Self::StreamRefused {
                by: Place::Server,
                ..
            } | Self::GoesAway { .. }
                | Self::ComesBack { .. }
                | Self::Registrar { .. }
                | Self::Hangs { .. }
                | Self::GoesOn { .. }
                | Self::GoesFirst
                | Self::Forgets { .. }
                | Self::Forwarded { .. }
        )
    }
}

/// Events by time; those of one instant in the order in which they were put in.
#[derive(Debug, Default)]
pub(super) struct Queue {
    events: BTreeMap<(Instant, u64), Event>,
    count: u64,
}

impl Queue {
    pub(super) fn at(&mut self, at: Instant, event: Event) {
        self.count += 1;
        self.events.insert((at, self.count), event);
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.events.first_key_value().map(|((at, _), _)| *at)
    }

    /// Nobody is there to hear what is on its way to a SIP Server.
    pub(super) fn lose(&mut self, lost: ServerId) {
        self.events.retain(|_, event| {
            !matches!(event, Event::Arrive { server, at: Place::Server, .. } if *server == lost)
        });
    }

    pub(super) fn due(&mut self, now: Instant) -> Option<Event> {
        let entry = self.events.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }
}
