//! From the switchboard's words to the patch bay's and back.

use std::time::Duration;

use control::{MediaFailure, MediaPath};
use media::bridge::{BridgePlan, DirectionReport, Missing, Numbers, Path, Report, SipFormat};
use media::browser_leg::{Failure, LegState, Preference};
use media::codec::{Codec, Rate};
use media::g711::Law;
use media::ids::{CallId, LegId, TapId};
use media::patchbay::{Direction, Event, Plan};
use media::srtp::{Keys, MasterKey, Mki, Suite};
use media::stream::TICKS_PER_MS;
use media::tap::TapSettings;
use media::xr::VoipMetrics;
use switchboard::{
    BrowserLegId, BrowserState, CodecPolicy, MediaDirection, MediaEvent, MediaPlan, MediaReport,
    MissingAudio,
};

pub(super) const fn leg_id(leg: BrowserLegId) -> LegId {
    LegId(leg.0)
}

pub(super) const fn call_id(call: switchboard::CallId) -> CallId {
    CallId(call.0)
}

pub(super) const fn tap_id(tap: switchboard::TapId) -> TapId {
    TapId(tap.0)
}

/// How a tap is to be.
pub(super) const fn tap(rate_hz: u32, beep: Option<Duration>, paused: bool) -> TapSettings {
    let rate = if rate_hz == Rate::Narrow.hz() {
        Rate::Narrow
    } else {
        Rate::Wide
    };
    TapSettings { rate, beep, paused }
}

const fn leg_of(leg: LegId) -> BrowserLegId {
    BrowserLegId(leg.0)
}

const fn call_of(call: CallId) -> switchboard::CallId {
    switchboard::CallId(call.0)
}

/// A codec in the patch bay's words.
pub const fn codec(codec: sdp::Codec) -> Codec {
    match codec {
        sdp::Codec::Pcmu => Codec::G711(Law::Mu),
        sdp::Codec::Pcma => Codec::G711(Law::A),
        sdp::Codec::G722 => Codec::G722,
        sdp::Codec::Opus => Codec::Opus,
    }
}

const fn codec_of(codec: Codec) -> sdp::Codec {
    match codec {
        Codec::G711(Law::Mu) => sdp::Codec::Pcmu,
        Codec::G711(Law::A) => sdp::Codec::Pcma,
        Codec::G722 => sdp::Codec::G722,
        Codec::Opus => sdp::Codec::Opus,
    }
}

/// What the browser of a leg is to speak.
pub(super) const fn preference(policy: CodecPolicy) -> Preference {
    match policy {
        CodecPolicy::RelayFirst => Preference::Relay,
        CodecPolicy::Opus => Preference::Opus,
    }
}

const fn suite(suite: sdp::CryptoSuite) -> Suite {
    match suite {
        sdp::CryptoSuite::AeadAes256Gcm => Suite::AeadAes256Gcm,
        sdp::CryptoSuite::AeadAes128Gcm => Suite::AeadAes128Gcm,
        sdp::CryptoSuite::Aes256CmSha1_80 => Suite::Aes256CmSha1_80,
        sdp::CryptoSuite::Aes256CmSha1_32 => Suite::Aes256CmSha1_32,
        sdp::CryptoSuite::Aes128CmSha1_80 => Suite::Aes128CmSha1_80,
        sdp::CryptoSuite::Aes128CmSha1_32 => Suite::Aes128CmSha1_32,
    }
}

fn keys(srtp: &sdp::AgreedSrtp) -> Keys {
    let key = |key: &sdp::SrtpKey| {
        MasterKey::new(suite(srtp.suite), key.as_bytes())
            .expect("the description's reader wants the suite's own length")
    };
    let identifier = srtp.their_identifier.map(|identifier| {
        Mki::new(identifier.value, identifier.octets)
            .expect("the description's reader wants one that fits")
    });
    Keys {
        send: key(&srtp.ours),
        receive: key(&srtp.theirs),
        receive_mki: identifier,
    }
}

/// The numbers of what comes in, where they are not those of what is sent.
fn ours(sip: &switchboard::SipMedia) -> Option<Numbers> {
    let theirs = sdp::Numbers {
        codec: sip.payload_type,
        telephone_event: sip.telephone_event.map(|event| event.payload_type),
    };
    (sip.ours != theirs).then_some(Numbers {
        speech: sip.ours.codec,
        telephone_event: sip.ours.telephone_event,
    })
}

/// The plan of a call.
pub(super) fn plan(plan: &MediaPlan) -> Plan {
    let format = SipFormat {
        codec: codec(plan.sip.codec),
        payload_type: plan.sip.payload_type,
        ours: ours(&plan.sip),
        packet_ms: codec(plan.sip.codec).packet_ms(plan.sip.ptime_ms, plan.sip.maxptime_ms),
        dtx: plan.sip.dtx,
        telephone_event: plan.sip.telephone_event.map(|event| event.payload_type),
        event_ticks_per_ms: plan
            .sip
            .telephone_event
            .map_or(TICKS_PER_MS, |event| event.clock_rate_hz / 1_000),
    };
    let bridge = BridgePlan {
        remote: plan.sip.remote,
        remote_rtcp: plan.sip.remote_rtcp,
        format,
        to_agent: plan.to_agent,
        to_caller: plan.to_caller,
        voip_metrics: plan.sip.voip_metrics,
    };
    Plan {
        bridge,
        keys: plan.sip.srtp.as_deref().map(keys),
        leg: plan.browser.map(leg_id),
    }
}

/// Why a leg failed, in the agent protocol's words.
const fn failure_of(failure: Failure) -> MediaFailure {
    match failure {
        Failure::Unanswered => MediaFailure::Unanswered,
        Failure::NoPath => MediaFailure::NoPath,
        Failure::Handshake => MediaFailure::DtlsTimeout,
        Failure::Disturbed => MediaFailure::DtlsDisturbed,
        Failure::Certificate => MediaFailure::WrongCertificate,
        Failure::Engine => MediaFailure::DtlsFailed,
        Failure::Consent => MediaFailure::ConsentLost,
        Failure::Description => MediaFailure::Refused,
        Failure::AddressChanges => MediaFailure::AddressChanges,
    }
}

/// A fact of the patch bay in the switchboard's words.
pub(super) fn fact(event: Event) -> Option<MediaEvent> {
    Some(match event {
        Event::BrowserOffer { leg, sdp, restart } => MediaEvent::BrowserOffer {
            leg: leg_of(leg),
            sdp,
            restart,
        },
        Event::BrowserState { leg, state, times } => {
            let state = match state {
                LegState::Connecting => BrowserState::Connecting,
                LegState::Connected => BrowserState::Connected {
                    ice: times.ice,
                    dtls: times.dtls,
                },
                LegState::Disconnected => BrowserState::Disconnected,
                LegState::Failed(failure) => BrowserState::Failed(failure_of(failure)),
                LegState::New | LegState::Offered | LegState::Closed => return None,
            };
            MediaEvent::BrowserState {
                leg: leg_of(leg),
                state,
            }
        }
        Event::BrowserRefused { leg, reason } => MediaEvent::BrowserRefused {
            leg: leg_of(leg),
            reason,
        },
        Event::BrowserClosed { leg } => MediaEvent::BrowserClosed { leg: leg_of(leg) },
        Event::FirstPacket { call, direction } => MediaEvent::FirstPacket {
            call: call_of(call),
            direction: way(direction),
        },
        Event::OneWay { call, change } => MediaEvent::OneWay {
            call: call_of(call),
            direction: way(change.direction),
            missing: change.missing.map(|missing| match missing {
                Missing::OtherAddress => MissingAudio::OtherAddress,
                Missing::OtherKey => MissingAudio::OtherKey,
                Missing::OtherFormat => MissingAudio::OtherFormat,
                Missing::Nothing => MissingAudio::Nothing,
            }),
        },
        Event::Digit { call, digit } => MediaEvent::Digit {
            call: call_of(call),
            digit,
        },
        Event::Quality { call, report } => MediaEvent::Quality {
            call: call_of(call),
            report: Box::new(measured(&report)),
        },
        Event::CallClosed { call, report, .. } => MediaEvent::CallClosed {
            call: call_of(call),
            report: Box::new(measured(&report)),
        },
    })
}

const fn way(direction: Direction) -> MediaDirection {
    match direction {
        Direction::ToAgent => MediaDirection::ToAgent,
        Direction::ToCaller => MediaDirection::ToCaller,
    }
}

fn measured(report: &Report) -> MediaReport {
    MediaReport {
        to_agent: direction(&report.to_agent),
        to_caller: direction(&report.to_caller),
    }
}

fn direction(report: &DirectionReport) -> switchboard::DirectionReport {
    let milliseconds = |span: std::time::Duration| span.as_secs_f64() * 1_000.0;
    let far = report.far_end.filter(|far| far.of > 0);
    switchboard::DirectionReport {
        packets: report.packets,
        octets: report.octets,
        lost: report.lost,
        jitter_ms: report.jitter.map(milliseconds),
        rtt_ms: report.round_trip.map(milliseconds),
        late: report.late,
        relay_lost: report.relay_lost,
        concealed_ms: report.concealed.map(milliseconds),
        concealed: report.concealed_share,
        playout_ms: report.playout_delay.map(milliseconds),
        one_way_ms: report
            .score
            .and_then(|score| score.inputs.one_way)
            .map(milliseconds),
        r: report.score.map(|score| score.r),
        mos: report.score.map(|score| score.mos),
        far_loss: report.far_loss,
        scored_loss: report.score.and_then(|score| score.inputs.loss),
        burst_ratio: report.score.and_then(|score| score.inputs.burst_ratio),
        duplicates: report.duplicates,
        path: report.path.map(|path| match path {
            Path::Relay => MediaPath::Relay,
            Path::Transcode => MediaPath::Transcode,
            Path::Both => MediaPath::Both,
        }),
        codecs: report
            .codecs
            .map(|(came, left)| (codec_of(came), codec_of(left))),
        sent: report.sent,
        sent_octets: report.sent_octets,
        far_lost: far.map(|far| far.lost),
        far_lost_of: far.map(|far| far.of),
        far_jitter_ms: report.far_end.and_then(|far| far.jitter).map(milliseconds),
        far_voip: report.far_voip.as_ref().map(voip).map(Box::new),
    }
}

fn voip(metrics: &VoipMetrics) -> control::VoipMetrics {
    let milliseconds = |span: Duration| span.as_secs_f64() * 1_000.0;
    control::VoipMetrics {
        loss: metrics.loss,
        discard: metrics.discard,
        burst_density: metrics.burst_density,
        gap_density: metrics.gap_density,
        burst_ms: milliseconds(metrics.burst),
        gap_ms: milliseconds(metrics.gap),
        rtt_ms: metrics.round_trip.map(milliseconds),
        end_system_ms: metrics.end_system.map(milliseconds),
        signal_dbm: metrics.signal_dbm,
        noise_dbm: metrics.noise_dbm,
        echo_loss_db: metrics.echo_loss_db,
        r: metrics.r,
        mos_lq: metrics.mos_lq,
        mos_cq: metrics.mos_cq,
        jitter_buffer_ms: milliseconds(metrics.jitter_buffer),
    }
}
