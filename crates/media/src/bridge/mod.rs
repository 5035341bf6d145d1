//! The two sides of one call, joined: RTP of the SIP side to the browser and back.
//!
//! Order of judgement for what comes from the SIP side: source address first, then the header, then the payload type, then
//! whether the plan lets it through. The only source is the address in the session description; nothing is learnt from
//! packets. A direction that the plan closes is silent: nothing is sent in its place.
//!
//! Each direction takes one of two ways. Where both ends have the codec, packets are *relayed*: the payload is handed over, the header
//! rewritten, nothing waits. Else speech is *decoded*: packets wait in a jitter buffer, and a clock of the bridge plays, mixes and
//! encodes a frame every 20 ms. Which way it is follows from every packet's own codec, so nobody has to be told.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use self::fade::LastHeard;
use self::measured::{Played, Traffic};
use self::notices::Notices;
use self::packer::{Packer, Target};
use self::reports::{Loss, Reception, Used};
use self::secure::Secure;
use self::transcoder::Transcoder;
use self::watch::{Seen, Watch};
use crate::browser_leg::BrowserFormats;
use crate::codec::Codec;
use crate::g711::{self, Law};
use crate::insertion::Insertion;
use crate::limits::RTP_PAYLOAD_MAX;
use crate::packet::{self, Fields, Header};
use crate::rtcp::SentAtReports;
use crate::stats::ReceiveStats;
use crate::stream::{Incoming, OutgoingStream, Stamp};
use crate::tap::Tap;
use crate::telephone_event::{KeyPace, Receiver, Sender};
use crate::xr::VoipMetrics;

/// The SIP side's formats, as offer and answer left them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SipFormat {
    /// What we send. Both laws of G.711 are taken: either costs nothing, and peers switch without saying so.
    pub codec: Codec,
    /// Its payload type in what we send.
    pub payload_type: u8,
    /// The payload types of what we are sent, where they are not those of what we send (RFC 3264 section 6.1). The peer's are understood too,
    /// unless ours give them another meaning.
    pub ours: Option<Numbers>,
    /// How long packets are that are made here, in milliseconds ([`Codec::packet_ms`]); those that are handed over stay as they are.
    pub packet_ms: usize,
    /// It prefers that nothing is sent while nobody speaks (`usedtx=1`, RFC 7587 section 6.1); of Opus.
    pub dtx: bool,
    /// The payload type of telephone-event in what we send, when it was agreed.
    pub telephone_event: Option<u8>,
    /// Ticks of its clock in a millisecond.
    pub event_ticks_per_ms: u32,
}

/// Payload types, as one side numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// That of the codec.
    pub speech: u8,
    /// That of telephone-event, when it was agreed.
    pub telephone_event: Option<u8>,
}

/// What a call's media may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BridgePlan {
    /// Where RTP is sent, and the only address it is taken from.
    pub remote: Option<SocketAddr>,
    /// The same for RTCP.
    pub remote_rtcp: Option<SocketAddr>,
    /// Formats of the SIP side.
    pub format: SipFormat,
    /// The agent hears the SIP side.
    pub to_agent: bool,
    /// The SIP side hears the agent.
    pub to_caller: bool,
    /// The SIP side wants to be told how it sounds here (RFC 3611 section 5).
    pub voip_metrics: bool,
}

/// How the browser's end of a bridge stands to the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patch {
    /// It is the same.
    Same,
    /// There is none now; or it is back, and has heard nothing else meanwhile.
    Paused,
    /// It is another one, or has heard another call.
    Another,
}

/// Why a packet went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Not from the address in the session description.
    WrongSource,
    /// From the right address, but not secured with the key of the session description.
    Unauthentic,
    /// No RTP, or larger than an audio packet can be.
    Malformed,
    /// A payload type that was not agreed.
    PayloadType,
    /// The plan closes this direction, or nobody is there to hear.
    Closed,
    /// A repetition, or later than can be placed.
    Late,
    /// Audio while a digit or notice of ours sounds in its place.
    Replaced,
    /// Nothing is dropped: it waits to be decoded, and leaves by the clock.
    Decoded,
    /// Comfort noise (RFC 3389), or another packet that says that nobody speaks.
    Silence,
    /// The codec library has no memory.
    NoCoder,
}

/// A packet for the browser: its payload is `payload` of the datagram, through `map`.
#[derive(Clone, Debug)]
pub struct Forward {
    /// The browser's payload type.
    pub payload_type: u8,
    /// Its numbers.
    pub stamp: Stamp,
    /// Where the payload lies.
    pub payload: Range<usize>,
    /// Conversion of the law.
    pub map: Option<&'static [u8; 256]>,
    /// What is sent instead of the payload, and needs no conversion: the caller, and a notice over him.
    pub instead: Option<Vec<u8>>,
    /// The first one since this direction was opened.
    pub first: bool,
}

/// What a packet of the SIP side comes to.
#[derive(Clone, Debug)]
pub struct FromSip {
    /// It begins a digit.
    pub digit: Option<char>,
    /// It begins one that comes faster than anybody presses keys, and is none.
    pub is_key_flood: bool,
    /// It goes to the browser, or why not.
    pub forward: Result<Forward, Dropped>,
}

/// A packet of the browser.
#[derive(Clone, Copy, Debug)]
pub struct FromBrowser<'a> {
    /// Its numbers.
    pub incoming: Incoming,
    /// Its payload type.
    pub payload_type: u8,
    /// Its payload.
    pub payload: &'a [u8],
}

/// A datagram for the SIP side, written to the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToSip {
    /// Octets of it.
    pub len: usize,
    /// To whom.
    pub to: SocketAddr,
    /// The first audio since this direction was opened.
    pub first: bool,
}

/// The browser's end of a bridge: what it takes, and the stream it hears.
#[derive(Debug)]
pub struct BrowserEnd<'a> {
    /// Payload types the browser agreed to.
    pub formats: BrowserFormats,
    /// The stream it hears; it outlives the call.
    pub stream: &'a mut OutgoingStream,
}

/// Octets of the largest RTP packet that is written.
pub const PACKET_MAX: usize = packet::HEADER_LEN + RTP_PAYLOAD_MAX;

/// Places of what there is for each direction.
const TO_AGENT: usize = 0;
const TO_CALLER: usize = 1;

/// The bridge of one call.
#[derive(Debug)]
pub struct Bridge {
    plan: Option<BridgePlan>,
    from_sip: ReceiveStats,
    from_browser: ReceiveStats,
    to_sip: OutgoingStream,
    /// The last SSRC that another one replaced, and until when it is barred.
    former: Option<(u32, Instant)>,
    digits_in: Receiver,
    key_pace: KeyPace,
    digits_out: Sender,
    /// Keys that the browser itself sends where they cannot be handed over.
    browser_digits: Receiver,
    /// What decodes and encodes, where speech is not handed over: to the agent, to the caller.
    transcoders: [Option<Box<Transcoder>>; 2],
    /// Encoders that pause, on hold: to the agent, to the caller.
    resting: [Option<Box<Packer>>; 2],
    /// Digits in band, where the SIP side takes no events.
    keys_out: Insertion,
    /// Makes packets of them, and of notices, where nothing else is encoded.
    keys_packer: Option<Box<Packer>>,
    /// Notices: for the agent, for the caller.
    notices: [Notices; 2],
    /// Timestamp of the digit that sounds.
    digit_timestamp: u32,
    /// The next packet of this direction is its first.
    first_to_agent: bool,
    first_to_caller: bool,
    secure: Secure,
    watch: Watch,
    other_address: u64,
    other_format: u64,
    /// The source of the last sender report, the middle of its time, and when it came.
    last_sender_report: Option<(u32, (u32, Instant))>,
    round_trip: Option<Duration>,
    browser_round_trip: Option<Duration>,
    /// Packets that came too late to be handed over, or twice: to the agent, to the caller.
    unplaced: [u64; 2],
    /// What decoders that are gone have played: to the agent, to the caller.
    played: [Played; 2],
    /// Which way packets went: to the agent, to the caller.
    traffic: [Traffic; 2],
    /// What receivers say: the browser, the SIP side.
    far_end: [Option<FarEnd>; 2],
    /// What they lose, for Opus to make good for.
    losses: [Loss; 2],
    /// What the SIP side's end says in its extended reports.
    far_voip: Option<VoipMetrics>,
    sent_to_agent: u64,
    /// How many that were when the browser reported last.
    sent_at_told: u64,
    /// What the present caller has lost of the stream to the SIP side.
    reception: Reception,
    /// What was handed over to the browser last.
    last_heard: LastHeard,
    /// The law that the browser is sent, since this direction was opened and as long as packets are handed over.
    law_sent: Option<Law>,
    /// Where the caller was last.
    sent_to: Option<SocketAddr>,
    /// Who listens.
    taps: Vec<Tap>,
    sent_at_reports: SentAtReports,
}

impl Bridge {
    /// A bridge without a plan: it passes nothing.
    #[must_use]
    pub fn new(to_sip: OutgoingStream) -> Self {
        Self {
            plan: None,
            from_sip: ReceiveStats::default(),
            from_browser: ReceiveStats::default(),
            to_sip,
            former: None,
            digits_in: Receiver::default(),
            key_pace: KeyPace::default(),
            digits_out: Sender::default(),
            browser_digits: Receiver::default(),
            transcoders: [None, None],
            resting: [None, None],
            keys_out: Insertion::default(),
            keys_packer: None,
            notices: [Notices::default(), Notices::default()],
            digit_timestamp: 0,
            first_to_agent: true,
            first_to_caller: true,
            secure: Secure::default(),
            watch: Watch::default(),
            other_address: 0,
            other_format: 0,
            last_sender_report: None,
            round_trip: None,
            browser_round_trip: None,
            unplaced: [0; 2],
            played: [Played::default(); 2],
            traffic: [Traffic::default(); 2],
            far_end: [None; 2],
            losses: [Loss::default(); 2],
            far_voip: None,
            sent_to_agent: 0,
            sent_at_told: 0,
            reception: Reception::default(),
            last_heard: LastHeard::default(),
            law_sent: None,
            sent_to: None,
            taps: Vec::new(),
            sent_at_reports: SentAtReports::default(),
        }
    }

    /// The present plan.
    #[must_use]
    pub const fn plan(&self) -> Option<&BridgePlan> {
        self.plan.as_ref()
    }

    /// Replaces the plan.
    pub fn set_plan(&mut self, plan: BridgePlan, patch: Patch) {
        let repatched = patch != Patch::Same;
        let (to_agent, to_caller) = self
            .plan
            .map_or((false, false), |old| (old.to_agent, old.to_caller));
        let moved = self
            .plan
            .is_none_or(|old| old.remote != plan.remote || old.format != plan.format);
        self.first_to_agent |= plan.to_agent && (!to_agent || repatched);
        self.first_to_caller |= plan.to_caller && (!to_caller || repatched);
        if moved || repatched || (plan.to_caller && !to_caller) {
            self.to_sip.interrupt();
        }
        if self.plan != Some(plan) || repatched {
            self.watch.interrupt();
        }
        if moved {
            self.former = None;
            self.keys_packer = None;
            self.to_sip.set_clock(plan.format.codec.ticks_per_ms());
            self.digits_out.set_clock(plan.format.event_ticks_per_ms);
        }
        let elsewhere = self.plan.is_some_and(|old| old.remote != plan.remote);
        if elsewhere {
            self.from_sip.set_open(false);
        }
        self.from_sip
            .set_open(plan.to_agent && plan.remote.is_some());
        if repatched {
            self.from_browser.interrupt();
            self.browser_round_trip = None;
        }
        self.interrupt_speech(&plan, patch);
        // Keys that wait when the call is put on hold are not pressed into what it has become by its retrieve.
        let closes = to_caller && !plan.to_caller;
        if closes || plan.format.telephone_event.is_none() {
            self.digits_out.clear();
        }
        if closes || plan.format.telephone_event.is_some() {
            self.keys_out.clear();
        }
        self.interrupt_taps(&plan, repatched || moved);
        self.plan = Some(plan);
    }

    /// Somebody else is the caller from now on: what was meant for the former one, or was known of him, is neither for this one nor of him.
    fn meet_another(&mut self, caller: SocketAddr) {
        self.forget(TO_CALLER);
        self.losses[TO_CALLER] = Loss::default();
        self.far_end[TO_CALLER] = None;
        self.reception.meet(caller, Used::of(&self.to_sip));
        self.far_voip = None;
        self.round_trip = None;
        self.digits_out.clear();
        self.keys_out.clear();
    }

    /// Ends what is decoded and encoded, as far as this plan is another than the one before.
    fn interrupt_speech(&mut self, plan: &BridgePlan, patch: Patch) {
        let repatched = patch != Patch::Same;
        // What waits belongs to a conversation that is over.
        if repatched || !plan.to_agent {
            self.retire(TO_AGENT);
            self.law_sent = None;
        }
        if repatched || !plan.to_caller {
            self.retire(TO_CALLER);
        }
        // Whoever hears from now on has heard nothing yet, and lost nothing.
        if patch == Patch::Another {
            self.resting[TO_AGENT] = None;
            self.losses[TO_AGENT] = Loss::default();
        }
        if let Some(remote) = plan.remote
            && self.sent_to.replace(remote) != Some(remote)
        {
            self.meet_another(remote);
        }
        let target = Target::of(&plan.format);
        if let Some(mouth) = &mut self.transcoders[TO_CALLER]
            && !mouth.turns(mouth.from(), target)
        {
            self.retire(TO_CALLER);
        }
    }

    fn fields(&self, stamp: Stamp, payload_type: u8) -> Fields {
        Fields {
            marker: stamp.marker,
            payload_type,
            // The wire carries the low 16 bits.
            sequence: stamp.sequence as u16,
            timestamp: stamp.timestamp,
            ssrc: self.to_sip.ssrc(),
        }
    }

    /// Looks for one-way audio, once in [`WATCH_INTERVAL`](crate::patchbay::WATCH_INTERVAL); what has changed since the last time.
    pub fn watch(&mut self, now: Instant) -> Option<Change> {
        let open = self
            .plan
            .is_some_and(|plan| plan.to_agent && plan.to_caller && plan.remote.is_some());
        let seen = Seen {
            from_sip: self.from_sip.packets(),
            from_browser: self.from_browser.packets(),
            other_address: self.other_address,
            other_key: self.secure.refused,
            other_format: self.other_format,
        };
        self.watch.look(now, open, seen)
    }
}

/// How a payload is handed over.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// As it is, or through a table of laws.
    Relay(Option<&'static [u8; 256]>),
    /// Through samples.
    Decode,
}

const fn way(from: Codec, to: Codec) -> Way {
    match (from, to) {
        (Codec::G711(from), Codec::G711(to)) => Way::Relay(g711::conversion(from, to)),
        (Codec::G722, Codec::G722) | (Codec::Opus, Codec::Opus) => Way::Relay(None),
        _ => Way::Decode,
    }
}

/// What a header says of its packet.
#[must_use]
pub const fn incoming(header: &Header) -> Incoming {
    Incoming {
        ssrc: header.ssrc,
        sequence: header.sequence,
        timestamp: header.timestamp,
        marker: header.marker,
    }
}

mod fade;
mod from_browser;
mod from_sip;
mod measured;
mod notices;
mod own;
mod packer;
mod reports;
mod secure;
mod speech;
mod tapped;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod transcode_tests;
mod transcoder;
mod watch;

pub use measured::{DirectionReport, FarEnd, Path, Report};
pub use notices::Notice;
pub use secure::{SEALED_MAX, SEALED_RTCP_MAX};
pub use speech::{BrowserReport, Speech};
pub use transcoder::SPEECH_MAX;
pub use watch::{Change, Direction, Missing};
