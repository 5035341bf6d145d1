//! The customers' RTP sockets: one packet each 20 ms, and whatever has come in between.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use sim::audio::{FRAME_SAMPLES, Heard, Speech, Voice};
use sim::tserver::{CallUuid, CustomerMedia};

/// Time between packets.
pub(crate) const TICK: Duration = Duration::from_millis(20);
/// Datagrams taken from one socket in one tick, so that a flood cannot stop the clock.
const MAX_PER_TICK: usize = 64;
/// Reports of ended calls that are kept.
const MAX_ENDED: usize = 1000;

/// The spoken phrase, mu-law at 8 kHz. `docs/tserver-sim.md` says how it was made.
static PHRASE: &[u8] = include_bytes!("../../../assets/customer.ulaw");

/// What one customer said and heard.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) call: CallUuid,
    pub(crate) number: String,
    pub(crate) local: SocketAddr,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) payload_type: u8,
    pub(crate) sent: u64,
    pub(crate) ended: bool,
    pub(crate) heard: Heard,
}

#[derive(Debug)]
struct Leg {
    media: CustomerMedia,
    /// It is a port of the Media Server, which says what everybody else of the call says.
    bridge: bool,
    voice: Voice,
    sent: u64,
}

impl Leg {
    fn report(&self) -> Report {
        Report {
            call: self.media.call.clone(),
            number: self.media.number.clone(),
            local: self.media.local,
            remote: self.media.remote,
            payload_type: self.media.payload_type,
            sent: self.sent,
            ended: self.media.ended,
            heard: self.voice.heard(),
        }
    }
}

/// All customers that are in a call.
#[derive(Debug)]
pub(crate) struct Media {
    sockets: BTreeMap<SocketAddr, UdpSocket>,
    legs: BTreeMap<SocketAddr, Leg>,
    ended: VecDeque<Report>,
    speech: Speech,
    made: u64,
}

impl Media {
    /// Binds `count` sockets, from `first_port` in steps of two or as the system chooses.
    pub(crate) fn bind(
        address: IpAddr,
        first_port: u16,
        count: u16,
        speech: Speech,
    ) -> Result<Self, String> {
        let mut sockets = BTreeMap::new();
        for index in 0..count {
            let port = match first_port {
                0 => 0,
                first => index
                    .checked_mul(2)
                    .and_then(|offset| first.checked_add(offset))
                    .ok_or("media: the ports do not fit below 65536")?,
            };
            let at = SocketAddr::new(address, port);
            let socket = UdpSocket::bind(at)
                .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
                .map_err(|error| format!("media {at}: {error}"))?;
            let bound = socket.local_addr().map_err(|error| error.to_string())?;
            sockets.insert(bound, socket);
        }
        Ok(Self {
            sockets,
            legs: BTreeMap::new(),
            ended: VecDeque::new(),
            speech,
            made: 0,
        })
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.keys().copied().collect()
    }

    /// The machine's word on one customer.
    pub(crate) fn set(&mut self, media: CustomerMedia) {
        self.place(media, false);
    }

    /// The machine's word on one port of the Media Server.
    pub(crate) fn bridge(&mut self, port: CustomerMedia) {
        self.place(port, true);
    }

    fn place(&mut self, media: CustomerMedia, bridge: bool) {
        if media.ended {
            let gone = self.legs.remove(&media.local);
            if let Some(mut leg) = gone.filter(|leg| !leg.bridge) {
                leg.media.ended = true;
                leg.media.remote = None;
                self.ended.push_back(leg.report());
                if self.ended.len() > MAX_ENDED {
                    self.ended.pop_front();
                }
            }
            return;
        }
        match self.legs.get_mut(&media.local) {
            Some(leg) => leg.media = media,
            None => {
                self.made = self.made.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let voice = Voice::new(self.speech.clone(), PHRASE, self.made);
                self.drain(media.local);
                self.legs.insert(
                    media.local,
                    Leg {
                        media,
                        bridge,
                        voice,
                        sent: 0,
                    },
                );
            }
        }
    }

    /// What is left of the call that had the socket before is nobody's.
    fn drain(&self, local: SocketAddr) {
        let mut buffer = [0; 2048];
        if let Some(socket) = self.sockets.get(&local) {
            while socket.recv_from(&mut buffer).is_ok() {}
        }
    }

    /// The customers of a call say something else.
    pub(crate) fn say(&mut self, call: &CallUuid, speech: &Speech) -> bool {
        let mut found = false;
        let of_call = |leg: &&mut Leg| leg.media.call == *call && !leg.bridge;
        for leg in self.legs.values_mut().filter(of_call) {
            leg.voice.say(speech.clone());
            found = true;
        }
        found
    }

    /// 20 ms have passed.
    pub(crate) fn tick(&mut self) {
        let mut buffer = [0; 2048];
        let mut said = Vec::with_capacity(self.legs.len());
        for (local, leg) in &mut self.legs {
            let Some(socket) = self.sockets.get(local) else {
                continue;
            };
            for _ in 0..MAX_PER_TICK {
                let Ok((length, _)) = socket.recv_from(&mut buffer) else {
                    break;
                };
                leg.voice.hear(&buffer[..length], leg.media.telephone_event);
            }
            let heard = leg.voice.tick();
            said.push(Said {
                local: *local,
                call: leg.media.call.clone(),
                bridge: leg.bridge,
                frame: if leg.bridge { heard } else { leg.voice.frame() },
            });
        }
        for own in &said {
            self.let_speak(own, &said);
        }
    }

    /// A customer speaks for himself; a port of the Media Server passes on what all others of its call say, and customers of a bridged
    /// call hear each other and the endpoints.
    fn let_speak(&mut self, own: &Said, said: &[Said]) {
        let Some(leg) = self.legs.get_mut(&own.local) else {
            return;
        };
        let others = || {
            said.iter()
                .filter(|other| other.call == own.call && other.local != own.local)
        };
        let bridged = own.bridge || others().any(|other| other.bridge);
        let mixed = mix(others().map(|other| &other.frame));
        if bridged && !own.bridge {
            leg.voice.overhear(&mixed);
        }
        let frame = if own.bridge { &mixed } else { &own.frame };
        if let (Some(remote), Some(socket)) = (leg.media.remote, self.sockets.get(&own.local)) {
            let packet = leg.voice.packet(leg.media.payload_type, frame);
            if socket.send_to(&packet, remote).is_ok() {
                leg.sent += 1;
            }
        }
    }

    /// What customers of living and of ended calls heard, oldest first.
    pub(crate) fn reports(&self) -> Vec<Report> {
        self.ended
            .iter()
            .cloned()
            .chain(
                self.legs
                    .values()
                    .filter(|leg| !leg.bridge)
                    .map(Leg::report),
            )
            .collect()
    }
}

/// What was said at one socket in 20 ms.
struct Said {
    local: SocketAddr,
    call: CallUuid,
    bridge: bool,
    frame: [i16; FRAME_SAMPLES],
}

fn mix<'a>(frames: impl Iterator<Item = &'a [i16; FRAME_SAMPLES]>) -> [i16; FRAME_SAMPLES] {
    let mut sum = [0_i16; FRAME_SAMPLES];
    for frame in frames {
        for (total, sample) in sum.iter_mut().zip(frame) {
            *total = total.saturating_add(*sample);
        }
    }
    sum
}
