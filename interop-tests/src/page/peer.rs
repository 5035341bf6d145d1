//! The page's peer connection: `rtc`, a WebRTC stack that shares no line with the gateway's, without
//! sockets or clock of its own.
//!
//! A session is a few buffers and no task, so a load of many pages can be driven from one loop.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::interceptor_registry::configure_rtcp_reports;
use rtc::peer_connection::configuration::media_engine::{
    MIME_TYPE_OPUS, MIME_TYPE_PCMA, MIME_TYPE_PCMU, MIME_TYPE_TELEPHONE_EVENT, MediaEngine,
};
use rtc::peer_connection::configuration::setting_engine::SettingEngineBuilder;
use rtc::peer_connection::event::RTCPeerConnectionEvent;
use rtc::peer_connection::message::{RTCMessage, TaggedRTCMessage};
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::state::RTCPeerConnectionState;
use rtc::peer_connection::transport::RTCDtlsRole;
use rtc::peer_connection::transport::{CandidateConfig, CandidateHostConfig, RTCIceCandidate};
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use rtc::rtp_transceiver::RTCRtpSenderId;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
    RtpCodecKind,
};
use rtc::sansio::Protocol;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};

use crate::Result;
use crate::tone::{FRAME, Sine};

/// Static payload types of G.711, and the dynamic one that the gateway offers for keys.
const PCMU: u8 = 0;
const PCMA: u8 = 8;
const TELEPHONE_EVENT: u8 = 101;

/// What browsers call Opus, until an offer calls it otherwise.
const OPUS: u8 = 111;

/// Opus counts at 48 kHz, whatever is coded (RFC 7587 section 4.1).
const OPUS_PACKET: u32 = 960;

/// 100 ms, which is what a browser makes of a key.
const KEY_DURATION: u16 = 800;

/// What came out of the connection.
#[derive(Debug, Clone)]
pub enum PeerEvent {
    /// A datagram to send.
    Transmit(SocketAddr, Bytes),
    /// The connection's state changed; the string is WebRTC's own word for it.
    State(String),
    /// An RTP packet arrived, decrypted.
    Rtp {
        /// Its payload type.
        payload_type: u8,
        /// Its timestamp.
        timestamp: u32,
        /// Its payload.
        payload: Bytes,
    },
}

/// One peer connection with one audio track of its own.
pub struct Peer {
    pc: RTCPeerConnection,
    local: SocketAddr,
    sender: RTCRtpSenderId,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    tone: Sine,
    /// What Opus is called on this connection, where it speaks that.
    opus: Option<u8>,
    /// The key that sounds, and how long it will have sounded after the next packet.
    key: Option<(u8, u16)>,
    connected: bool,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer")
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}

impl Peer {
    /// A connection that will use the UDP socket at `local` and speak a tone of `tone_hz`.
    ///
    /// # Errors
    /// Those of the stack.
    pub fn new(now: Instant, local: SocketAddr, tone_hz: u32) -> Result<Self> {
        let g711 = [(MIME_TYPE_PCMU, PCMU), (MIME_TYPE_PCMA, PCMA)];
        Self::of(now, local, tone_hz, &g711, RTCDtlsRole::Unspecified)
    }

    /// The same, which begins the DTLS handshake, as browsers do: this stack leaves that to an ICE-lite end.
    ///
    /// # Errors
    /// Those of the stack.
    pub fn active(now: Instant, local: SocketAddr, tone_hz: u32) -> Result<Self> {
        let g711 = [(MIME_TYPE_PCMU, PCMU), (MIME_TYPE_PCMA, PCMA)];
        Self::of(now, local, tone_hz, &g711, RTCDtlsRole::Client)
    }

    /// A connection that speaks Opus only, and what it is given to say.
    ///
    /// # Errors
    /// Those of the stack.
    pub fn with_opus(now: Instant, local: SocketAddr) -> Result<Self> {
        let mut peer = Self::of(
            now,
            local,
            0,
            &[(MIME_TYPE_OPUS, OPUS)],
            RTCDtlsRole::Unspecified,
        )?;
        peer.opus = Some(OPUS);
        Ok(peer)
    }

    fn of(
        now: Instant,
        local: SocketAddr,
        tone_hz: u32,
        codecs: &[(&str, u8)],
        role: RTCDtlsRole,
    ) -> Result<Self> {
        let mut media = MediaEngine::default();
        let keys = (MIME_TYPE_TELEPHONE_EVENT, TELEPHONE_EVENT);
        for (mime, payload_type) in codecs.iter().copied().chain([keys]) {
            let parameters = RTCRtpCodecParameters {
                rtp_codec: codec(mime),
                payload_type,
            };
            media.register_codec(parameters, RtpCodecKind::Audio)?;
        }
        let settings = SettingEngineBuilder::new().with_answering_dtls_role(role);
        let mut pc = RTCPeerConnectionBuilder::new()
            .with_setting_engine(settings.build())
            .with_media_engine(media)
            .with_interceptor_registry(configure_rtcp_reports(rtc::interceptor::Registry::new()))
            .build(now)?;
        // Distinct per socket, which is all that one gateway can see.
        let ssrc = 0x5000_0000 | u32::from(local.port());
        let track = MediaStreamTrack::new(
            "page".to_owned(),
            "microphone".to_owned(),
            "microphone".to_owned(),
            RtpCodecKind::Audio,
            vec![RTCRtpEncodingParameters {
                rtp_coding_parameters: RTCRtpCodingParameters {
                    ssrc: Some(ssrc),
                    ..Default::default()
                },
                codec: codec(codecs.first().map_or(MIME_TYPE_PCMU, |(mime, _)| mime)),
                ..Default::default()
            }],
        );
        let sender = pc.add_track(track)?;
        Ok(Self {
            pc,
            local,
            sender,
            ssrc,
            sequence: 1,
            timestamp: 0,
            tone: Sine::new(tone_hz),
            opus: None,
            key: None,
            connected: false,
        })
    }

    /// The answer to an offer of the gateway, candidates included. Serves the first offer and
    /// every later one (ICE restart) alike.
    ///
    /// # Errors
    /// When the stack refuses the offer.
    pub fn answer(&mut self, now: Instant, offer: &str) -> Result<String> {
        self.pc
            .set_remote_description(now, RTCSessionDescription::offer(offer.to_owned())?)?;
        let candidate = CandidateHostConfig {
            base_config: CandidateConfig {
                network: "udp".to_owned(),
                address: self.local.ip().to_string(),
                port: self.local.port(),
                component: 1,
                ..Default::default()
            },
            ..Default::default()
        }
        .new_candidate_host()?;
        self.pc
            .add_local_candidate(RTCIceCandidate::from(&candidate).to_json()?)?;
        let answer = self.pc.create_answer(None)?;
        self.pc.set_local_description(now, answer)?;
        let local = self.pc.local_description().ok_or("no local description")?;
        if self.opus.is_some() {
            self.opus = opus_type(&local.sdp);
        }
        Ok(local.sdp)
    }

    /// An answer to an ICE restart that the connection knows nothing of: its last one, with credentials that it will never use.
    ///
    /// # Errors
    /// When it has answered nothing yet.
    pub fn pretends(&self) -> Result<String> {
        let local = self.pc.local_description().ok_or("no local description")?;
        let lines = local.sdp.lines().map(|line| {
            let secret = line.starts_with("a=ice-ufrag:") || line.starts_with("a=ice-pwd:");
            format!("{line}{}\r\n", if secret { "another" } else { "" })
        });
        Ok(lines.collect())
    }

    /// Whether ICE and DTLS are done.
    pub fn connected(&self) -> bool {
        self.connected
    }

    /// One datagram from `from`. A refused one is the stack's business: a browser ignores it too.
    pub fn receive(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        drop(self.pc.handle_read(TaggedBytesMut {
            now,
            transport: TransportContext {
                local_addr: self.local,
                peer_addr: from,
                ecn: None,
                transport_protocol: TransportProtocol::UDP,
            },
            message: BytesMut::from(datagram),
        }));
    }

    /// Speaks for 20 ms: its tone when the microphone is `open`, silence when not; a key that is
    /// pressed sounds instead.
    pub fn speak(&mut self, now: Instant, open: bool) {
        if let Some((event, duration)) = self.key.take() {
            self.sound(now, event, duration);
            return;
        }
        let frame = if open {
            self.tone.frame()
        } else {
            [0xff; FRAME]
        };
        self.write(now, PCMU, self.sequence == 1, &frame);
        self.timestamp = self.timestamp.wrapping_add(FRAME as u32);
    }

    /// Says 20 ms that are coded as mu-law already.
    pub fn say(&mut self, now: Instant, frame: &[u8; FRAME]) {
        self.write(now, PCMU, self.sequence == 1, frame);
        self.timestamp = self.timestamp.wrapping_add(FRAME as u32);
    }

    /// Says 20 ms that are coded as Opus already; nothing where the connection has no Opus.
    pub fn say_opus(&mut self, now: Instant, packet: &[u8]) {
        if let Some(payload_type) = self.opus {
            self.write(now, payload_type, self.sequence == 1, packet);
            self.timestamp = self.timestamp.wrapping_add(OPUS_PACKET);
        }
    }

    /// What Opus is called on this connection, where it speaks that.
    pub const fn opus(&self) -> Option<u8> {
        self.opus
    }

    /// Presses a key for the next 100 ms.
    pub fn press(&mut self, event: u8) {
        self.key = Some((event, FRAME as u16));
    }

    /// 20 ms of a key as browsers send it: all packets with one timestamp, growing durations, the
    /// last one three times with the end bit (RFC 4733 section 2.5).
    fn sound(&mut self, now: Instant, event: u8, duration: u16) {
        let ends = duration >= KEY_DURATION;
        let [high, low] = duration.to_be_bytes();
        let payload = [event, if ends { 0x80 | 10 } else { 10 }, high, low];
        for _ in 0..if ends { 3 } else { 1 } {
            self.write(now, TELEPHONE_EVENT, duration == FRAME as u16, &payload);
        }
        if ends {
            self.timestamp = self.timestamp.wrapping_add(u32::from(duration));
        } else {
            self.key = Some((event, duration + FRAME as u16));
        }
    }

    fn write(&mut self, now: Instant, payload_type: u8, marker: bool, payload: &[u8]) {
        if !self.connected {
            return;
        }
        let packet = rtc::rtp::Packet {
            header: rtc::rtp::header::Header {
                version: 2,
                marker,
                payload_type,
                sequence_number: self.sequence,
                timestamp: self.timestamp,
                ssrc: self.ssrc,
                ..Default::default()
            },
            payload: Bytes::copy_from_slice(payload),
        };
        self.sequence = self.sequence.wrapping_add(1);
        if let Some(mut sender) = self.pc.rtp_sender(self.sender) {
            // Refused while the connection goes down; the far end's ear tells.
            drop(sender.write_rtp(now, packet));
        }
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        self.pc.poll_timeout()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        drop(self.pc.handle_timeout(now));
    }

    /// The next thing that happened; drain after every other call.
    pub fn poll(&mut self) -> Option<PeerEvent> {
        if let Some(out) = self.pc.poll_write() {
            return Some(PeerEvent::Transmit(
                out.transport.peer_addr,
                out.message.freeze(),
            ));
        }
        while let Some(event) = self.pc.poll_event() {
            if let RTCPeerConnectionEvent::OnConnectionStateChangeEvent(state) = event {
                self.connected = state == RTCPeerConnectionState::Connected;
                return Some(PeerEvent::State(state.to_string()));
            }
        }
        while let Some(TaggedRTCMessage { message, .. }) = self.pc.poll_read() {
            if let RTCMessage::RtpPacket(_, packet) = message {
                return Some(PeerEvent::Rtp {
                    payload_type: packet.header.payload_type,
                    timestamp: packet.header.timestamp,
                    payload: packet.payload,
                });
            }
        }
        None
    }

    /// Ends the connection with a DTLS close; drain [`Self::poll`] once more afterwards.
    pub fn close(&mut self) {
        drop(self.pc.close());
    }
}

/// The payload type of Opus in a description.
fn opus_type(sdp: &str) -> Option<u8> {
    let maps = sdp
        .lines()
        .filter_map(|line| line.strip_prefix("a=rtpmap:"));
    maps.filter_map(|map| map.split_once(' '))
        .find(|(_, name)| name.to_ascii_lowercase().starts_with("opus/48000"))
        .and_then(|(number, _)| number.parse().ok())
}

fn codec(mime: &str) -> RTCRtpCodec {
    let opus = mime == MIME_TYPE_OPUS;
    RTCRtpCodec {
        mime_type: mime.to_owned(),
        clock_rate: if opus { 48_000 } else { 8000 },
        channels: if opus { 2 } else { 0 },
        sdp_fmtp_line: if opus {
            "minptime=10;useinbandfec=1"
        } else {
            ""
        }
        .to_owned(),
        rtcp_feedback: Vec::new(),
    }
}
