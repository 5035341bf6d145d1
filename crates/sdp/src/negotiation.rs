//! The offer/answer state of one dialog (RFC 3264).

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::audio::{Choice, Meaning, Profile, RemoteAudio};
use crate::base64;
use crate::crypto::{AgreedSrtp, CryptoLine, CryptoSuite, Keyring, SrtpKey, SrtpPolicy};
use crate::error::NegotiationError;
use crate::{
    Agreed, Codec, Direction, LocalMedia, MediaDescription, Numbers, SessionDescription,
    TelephoneEvent,
};

/// Packet time of ours in ms: what the browser's 20 ms frames become without being cut.
const PTIME_MS: u16 = 20;
/// Events of ours: digits, A to D and hook flash (RFC 4733 section 3.2).
const EVENTS: &str = "0-16";
/// Payload type of telephone events in our offers unless the peer has given that number a meaning.
const TELEPHONE_EVENT: u8 = 101;
/// The same for Opus.
const OPUS: u8 = 111;
/// Payload types that have no meaning of their own (RFC 3551 section 6).
const DYNAMIC: std::ops::RangeInclusive<u8> = 96..=127;

/// The offer/answer state of one dialog: our `o=` identity and version, the order of the media lines, the
/// meaning of payload types, an open offer of ours, and what was last agreed.
#[derive(Clone, Debug)]
pub struct Negotiation {
    session_id: u64,
    version: u64,
    local: LocalMedia,
    payload_types: PayloadTypes,
    /// The `m=` lines of this session. They never get fewer and never change places (RFC 3264 section 8).
    slots: Vec<Slot>,
    /// What was last printed, without the version.
    printed: Option<Printed>,
    open_offer: Option<Direction>,
    agreed: Option<Agreed>,
    keyring: Keyring,
    /// The profile of the last exchange that led somewhere.
    profile: Profile,
}

/// A description of ours, without its version. It may hold keys, so it is not printed for people.
#[derive(Clone, PartialEq, Eq)]
struct Printed {
    text: String,
    /// Tags and suites of its keys.
    keys: Vec<(u32, CryptoSuite)>,
}

impl std::fmt::Debug for Printed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Printed").finish_non_exhaustive()
    }
}

/// A line for our audio: its profile, and the keys that go with it.
struct Secured {
    profile: Profile,
    keys: Vec<(u32, CryptoSuite, SrtpKey)>,
}

/// One `m=` line of the session.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Slot {
    /// Ours.
    Audio,
    /// Refused with port 0; repeated as it was. The text is `<media> 0 <protocol> <format>`.
    Refused(String),
}

impl Negotiation {
    /// A dialog without any description yet. `session_id` goes into `o=` and must differ from dialog to
    /// dialog; it is printed in decimal and should stay below 2^62 for peers that read it as a signed number.
    #[must_use]
    pub fn new(session_id: u64, local: LocalMedia) -> Self {
        Self {
            session_id,
            version: 0,
            local,
            payload_types: PayloadTypes::default(),
            slots: vec![Slot::Audio],
            printed: None,
            open_offer: None,
            agreed: None,
            keyring: Keyring::off(),
            profile: Profile::AVP,
        }
    }

    /// The same with SRTP (RFC 4568) by one of `suites`, the preferred one first. Our keys come from `seed`, which must be random and nobody
    /// else's.
    #[must_use]
    pub fn with_srtp(
        mut self,
        policy: SrtpPolicy,
        suites: Vec<CryptoSuite>,
        seed: [u8; 32],
    ) -> Self {
        self.keyring = Keyring::new(policy, suites, seed);
        self
    }

    /// Our end as it is now.
    #[must_use]
    pub const fn local(&self) -> &LocalMedia {
        &self.local
    }

    /// Changes our end. It is told to the peer with the next offer or answer.
    pub fn set_local(&mut self, local: LocalMedia) {
        self.local = local;
    }

    /// What the last complete exchange came to.
    #[must_use]
    pub const fn agreed(&self) -> Option<&Agreed> {
        self.agreed.as_ref()
    }

    /// Whether an offer of ours waits for its answer.
    #[must_use]
    pub const fn has_open_offer(&self) -> bool {
        self.open_offer.is_some()
    }

    /// An offer of all our codecs. It stays open until [`Self::accept`] or [`Self::abandon_offer`]; a second
    /// offer takes the place of the first.
    pub fn offer(&mut self, direction: Direction) -> Vec<u8> {
        self.open_offer = Some(direction);
        let mut formats: Vec<(u8, Codec)> = Vec::new();
        for codec in self.local.codecs() {
            let number = self.payload_types.of(*codec);
            if !formats.iter().any(|(_, known)| known == codec) {
                formats.push((number, *codec));
            }
        }
        let telephone_event = self.local.telephone_event.then(|| TelephoneEvent {
            payload_type: self.payload_types.telephone_event(),
            clock_rate_hz: 8_000,
        });
        let secured = self.offered_keys();
        let audio = self.audio_lines(
            self.local.port,
            &formats,
            telephone_event,
            direction,
            (&secured, true),
        );
        self.print(&audio, &secured)
    }

    /// Our last description was sent again, as an offer: a refresh of the session. It is open like one of [`Self::offer`].
    pub const fn offer_again(&mut self, direction: Direction) {
        self.open_offer = Some(direction);
    }

    /// The keys of an offer of ours. Whether a peer knows SRTP at all is only known from its answer, so a plain line carries them where that is
    /// enough (RFC 8643); a call that is secured by its profile stays so.
    fn offered_keys(&mut self) -> Secured {
        let profile = match self.keyring.policy {
            SrtpPolicy::Off => {
                return Secured {
                    profile: self.profile.with_keys(false),
                    keys: Vec::new(),
                };
            }
            SrtpPolicy::Optional => self.profile,
            SrtpPolicy::Required => self.profile.with_keys(true),
        };
        self.keyring.freshen();
        let suites = self.keyring.offered();
        let keys = (1..)
            .zip(suites)
            .map(|(tag, suite)| (tag, suite, self.keyring.key(suite)))
            .collect();
        Secured { profile, keys }
    }

    /// Answers an offer of the peer; `wanted` is the most that we want to do. Whoever answers an active
    /// offer while the call is held here passes what it wants now. An open offer of ours is dropped: whether
    /// two offers crossed is a question of the SIP transactions (RFC 3261 section 14.2), decided before.
    ///
    /// # Errors
    /// Says why the offer cannot be answered; the state is then as before.
    pub fn answer(
        &mut self,
        remote_offer: &[u8],
        wanted: Direction,
    ) -> Result<(Vec<u8>, Agreed), NegotiationError> {
        let description = SessionDescription::parse(remote_offer)?;
        let audio = RemoteAudio::find(&description, &self.local, &self.keyring)?;
        let chosen = self.keyring.choose(&audio.crypto).cloned();
        let choice = self.choice_of(&audio);
        let srtp = self.answered_srtp(&audio, chosen.as_ref());
        let secured = Secured {
            profile: audio.profile,
            keys: chosen
                .zip(srtp.as_ref())
                .map(|(line, srtp)| (line.tag, line.suite, srtp.ours.clone()))
                .into_iter()
                .collect(),
        };
        let agreed = self.outcome(&audio, choice, choice.numbers(), srtp, wanted);
        self.open_offer = None;
        self.slots = description
            .media
            .iter()
            .enumerate()
            .map(|(index, media)| {
                if index == audio.index {
                    Slot::Audio
                } else {
                    Slot::Refused(refused(media))
                }
            })
            .collect();
        self.payload_types.learn(&audio, choice);
        let port = if audio.disabled { 0 } else { self.local.port };
        let lines = self.audio_lines(
            port,
            &[(choice.payload_type, choice.codec)],
            choice.telephone_event,
            agreed.direction,
            (&secured, audio.voip_metrics),
        );
        let answer = self.print(&lines, &secured);
        self.agreed = Some(agreed.clone());
        Ok((answer, agreed))
    }

    /// Takes the answer to our open offer.
    ///
    /// # Errors
    /// Says why the answer cannot be used. The offer is closed then too, and [`Self::agreed`] is as before.
    pub fn accept(&mut self, remote_answer: &[u8]) -> Result<Agreed, NegotiationError> {
        let offered = self.open_offer.take().ok_or(NegotiationError::NoOffer)?;
        let description = SessionDescription::parse(remote_answer)?;
        let ours = self.slots.iter().position(|slot| *slot == Slot::Audio);
        // An answer has our lines in our order (RFC 3264 section 6); one that leaves the refused ones out
        // is understood all the same.
        let audio = match ours {
            Some(index) if description.media.len() == self.slots.len() => {
                RemoteAudio::read(&description, index, &self.local, &self.keyring)?
            }
            _ => RemoteAudio::find(&description, &self.local, &self.keyring)?,
        };
        let srtp = self.accepted_srtp(&audio)?;
        let choice = self.choice_of(&audio);
        let agreed = self.outcome(&audio, choice, self.offered(choice), srtp, offered);
        self.agreed = Some(agreed.clone());
        Ok(agreed)
    }

    /// Our offer was refused: what was agreed before goes on (RFC 3261 section 14.1). The version of the
    /// refused offer is not used again.
    pub const fn abandon_offer(&mut self) {
        self.open_offer = None;
    }

    /// Our offer was taken, but its answer is missing or of no use: codec, addresses and keys stay as they were agreed, in the direction that was
    /// offered. `None` while nothing has been agreed.
    pub fn keep_agreed(&mut self, offered: Direction) -> Option<Agreed> {
        self.open_offer = None;
        let agreed = self.agreed.as_mut()?;
        agreed.held_by_remote = agreed.remote.is_none();
        agreed.direction = match agreed.remote {
            Some(_) => offered,
            None => offered.intersect(Direction::RecvOnly),
        };
        Some(agreed.clone())
    }

    /// SRTP that our answer agrees to. A peer that goes on with its key hears ours further too; with a new one it may be another peer, which our
    /// present key is not for.
    fn answered_srtp(
        &mut self,
        audio: &RemoteAudio,
        chosen: Option<&CryptoLine>,
    ) -> Option<AgreedSrtp> {
        let before = self.agreed.as_ref().and_then(|agreed| agreed.srtp.clone());
        if audio.leads_nowhere(&self.local) && chosen.is_none() {
            return before;
        }
        self.profile = audio.profile;
        self.keyring.freshen();
        let Some(line) = chosen else {
            self.keyring.renew();
            return None;
        };
        let goes_on = |srtp: &AgreedSrtp| srtp.suite == line.suite && srtp.theirs == line.key;
        if !before.as_ref().is_some_and(goes_on) {
            self.keyring.renew();
        }
        Some(self.agreed_by(line))
    }

    /// SRTP that the answer to our offer agrees to.
    fn accepted_srtp(
        &mut self,
        audio: &RemoteAudio,
    ) -> Result<Option<AgreedSrtp>, NegotiationError> {
        if audio.leads_nowhere(&self.local) {
            return Ok(self.agreed.as_ref().and_then(|agreed| agreed.srtp.clone()));
        }
        if audio.crypto_lines == 0 {
            self.profile = audio.profile;
            self.keyring.outdate();
            return Ok(None);
        }
        let offered = self.printed.as_ref().map(|printed| printed.keys.as_slice());
        let line = match audio.crypto.as_slice() {
            [line] if audio.crypto_lines == 1 => line,
            _ => return Err(NegotiationError::ForeignKey),
        };
        if !offered.is_some_and(|keys| keys.contains(&(line.tag, line.suite))) {
            return Err(NegotiationError::ForeignKey);
        }
        self.profile = audio.profile;
        let srtp = self.agreed_by(line);
        let before = self.agreed.as_ref().and_then(|agreed| agreed.srtp.as_ref());
        if before.is_some_and(|before| before.theirs != line.key) {
            // Another peer may have taken our offer, with the key that the former one knows: the next description names others.
            self.keyring.outdate();
        }
        Ok(Some(srtp))
    }

    /// What is wanted of SRTP here from the next description on.
    pub const fn set_srtp_policy(&mut self, policy: SrtpPolicy) {
        self.keyring.policy = policy;
    }

    /// What is wanted of SRTP here.
    #[must_use]
    pub const fn srtp_policy(&self) -> SrtpPolicy {
        self.keyring.policy
    }

    fn agreed_by(&mut self, line: &CryptoLine) -> AgreedSrtp {
        AgreedSrtp {
            suite: line.suite,
            ours: self.keyring.key(line.suite),
            theirs: line.key.clone(),
            their_identifier: line.identifier,
        }
    }

    /// The common codec; for a line that is switched off and has none, what was spoken last.
    fn choice_of(&self, audio: &RemoteAudio) -> Choice {
        audio.choice.unwrap_or_else(|| match &self.agreed {
            Some(agreed) => Choice {
                codec: agreed.codec,
                payload_type: agreed.payload_type,
                telephone_event: agreed.telephone_event,
            },
            None => {
                let codec = self.local.codecs().first().copied().unwrap_or(Codec::Pcmu);
                Choice {
                    codec,
                    payload_type: codec.static_payload_type().unwrap_or(OPUS),
                    telephone_event: None,
                }
            }
        })
    }

    /// The numbers that our offer gave what was chosen from it.
    fn offered(&self, choice: Choice) -> Numbers {
        Numbers {
            codec: self.payload_types.of(choice.codec),
            telephone_event: choice
                .telephone_event
                .map(|_| self.payload_types.telephone_event()),
        }
    }

    fn outcome(
        &self,
        audio: &RemoteAudio,
        choice: Choice,
        ours: Numbers,
        srtp: Option<AgreedSrtp>,
        wanted: Direction,
    ) -> Agreed {
        let echo = audio.is_echo_of(&self.local);
        let silent = audio.disabled || audio.is_black_hole();
        let most = if audio.disabled || echo {
            Direction::Inactive
        } else if silent {
            // Nothing may be sent to `0.0.0.0`; what comes from there is heard.
            Direction::RecvOnly
        } else {
            Direction::SendRecv
        };
        let reachable =
            |address: Option<std::net::SocketAddr>| address.filter(|_| !silent && !echo);
        Agreed {
            codec: choice.codec,
            payload_type: choice.payload_type,
            telephone_event: choice.telephone_event,
            ours,
            remote: reachable(audio.rtp),
            remote_rtcp: reachable(audio.rtcp),
            srtp,
            direction: audio.direction.answer(wanted).intersect(most),
            voip_metrics: audio.voip_metrics,
            dtx: audio.dtx,
            ptime_ms: audio.ptime_ms,
            maxptime_ms: audio.maxptime_ms,
            echo,
            held_by_remote: !echo && (silent || !audio.direction.receives()),
        }
    }

    /// The lines of our audio, without `m=`'s neighbours.
    fn audio_lines(
        &self,
        port: u16,
        formats: &[(u8, Codec)],
        telephone_event: Option<TelephoneEvent>,
        direction: Direction,
        (secured, voip_metrics): (&Secured, bool),
    ) -> String {
        let mut lines = format!("m=audio {port} {}", secured.profile.as_str());
        let numbers = formats.iter().map(|(number, _)| *number);
        for number in numbers.chain(telephone_event.map(|event| event.payload_type)) {
            push(&mut lines, format_args!(" {number}"));
        }
        lines.push_str("\r\n");
        for (number, codec) in formats {
            let (name, clock) = (codec.encoding_name(), codec.clock_rate_hz());
            push(&mut lines, format_args!("a=rtpmap:{number} {name}/{clock}"));
            if let Some(channels) = codec.channels() {
                push(&mut lines, format_args!("/{channels}"));
            }
            lines.push_str("\r\n");
            if *codec == Codec::Opus {
                // RFC 7587 section 6.1: what we can decode, so that the peer repeats what may be lost.
                push(
                    &mut lines,
                    format_args!("a=fmtp:{number} useinbandfec=1\r\n"),
                );
            }
        }
        if let Some(TelephoneEvent {
            payload_type: number,
            clock_rate_hz: clock,
        }) = telephone_event
        {
            push(
                &mut lines,
                format_args!(
                    "a=rtpmap:{number} telephone-event/{clock}\r\na=fmtp:{number} {EVENTS}\r\n"
                ),
            );
        }
        for (tag, suite, key) in &secured.keys {
            push(&mut lines, format_args!("a=crypto:{tag} {suite} inline:"));
            base64::encode(key.as_bytes(), &mut lines);
            lines.push_str("\r\n");
        }
        if voip_metrics {
            // We read what the peer says of our audio. An answer asks for it only where the offer knows of it.
            lines.push_str("a=rtcp-xr:voip-metrics\r\n");
        }
        push(
            &mut lines,
            format_args!("a=ptime:{PTIME_MS}\r\na={direction}\r\n"),
        );
        lines
    }

    /// The whole description. The version rises when, and only when, something else changed (RFC 3264
    /// section 8).
    fn print(&mut self, audio: &str, secured: &Secured) -> Vec<u8> {
        let address = self.local.address;
        let family = match address {
            IpAddr::V4(_) => "IP4",
            IpAddr::V6(_) => "IP6",
        };
        let mut rest =
            format!("IN {family} {address}\r\ns=-\r\nc=IN {family} {address}\r\nt=0 0\r\n");
        for slot in &self.slots {
            match slot {
                Slot::Audio => rest.push_str(audio),
                Slot::Refused(line) => push(&mut rest, format_args!("m={line}\r\n")),
            }
        }
        if self.printed.as_ref().map(|printed| &printed.text) != Some(&rest) {
            self.version += 1;
        }
        let head = format!("v=0\r\no=talkbridge {} {} ", self.session_id, self.version);
        let description = [head.as_str(), rest.as_str()].concat().into_bytes();
        self.printed = Some(Printed {
            text: rest,
            keys: secured
                .keys
                .iter()
                .map(|(tag, suite, _)| (*tag, *suite))
                .collect(),
        });
        description
    }
}

/// Payload types that have got a meaning in this dialog. A number keeps its meaning to the end of the
/// session (RFC 3264 section 8.3.2), so our offers must not give 101 to telephone events after the peer
/// called something else 101.
#[derive(Clone, Debug, Default)]
struct PayloadTypes {
    telephone_event: Option<u8>,
    opus: Option<u8>,
    /// One bit for each number that means something we do not speak.
    foreign: u128,
}

impl PayloadTypes {
    fn learn(&mut self, audio: &RemoteAudio, choice: Choice) {
        for format in &audio.formats {
            let number = format.payload_type;
            match format.meaning {
                Meaning::Audio(Codec::Opus) => self.opus = Some(number),
                Meaning::TelephoneEvent { .. }
                    if choice.telephone_event.map(|event| event.payload_type) == Some(number) =>
                {
                    self.telephone_event = Some(number);
                }
                Meaning::Foreign | Meaning::TelephoneEvent { .. } => {
                    self.foreign |= 1_u128.checked_shl(number.into()).unwrap_or(0);
                }
                Meaning::Audio(_) => {}
            }
        }
    }

    fn of(&self, codec: Codec) -> u8 {
        codec.static_payload_type().unwrap_or_else(|| self.opus())
    }

    fn telephone_event(&self) -> u8 {
        self.telephone_event
            .unwrap_or_else(|| self.free(TELEPHONE_EVENT, self.opus()))
    }

    fn opus(&self) -> u8 {
        self.opus
            .unwrap_or_else(|| self.free(OPUS, self.telephone_event.unwrap_or(TELEPHONE_EVENT)))
    }

    /// `preferred`, or the first number that nobody uses.
    fn free(&self, preferred: u8, taken: u8) -> u8 {
        std::iter::once(preferred)
            .chain(DYNAMIC)
            .find(|number| *number != taken && self.foreign >> number & 1 == 0)
            .unwrap_or(preferred)
    }
}

/// `<media> 0 <protocol> <format>` of a line that we refuse. One format is enough (RFC 3264 section 6: the
/// list of a refused stream is ignored).
fn refused(media: &MediaDescription) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let format = media
        .formats
        .first()
        .map_or_else(|| "0".to_owned(), |format| text(format));
    format!(
        "{} 0 {} {format}",
        text(&media.media),
        text(&media.protocol)
    )
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes every text");
}
