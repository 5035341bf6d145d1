//! One value of every message.
#![allow(unreachable_pub)]

mod calls;
mod records;
mod session;

use control::admin::{
    Accepted, CallQuality, DialRequest, DtmfRequest, Event, ReadyCheck, RecordRequest, TapMessage,
    TransferRequest,
};
use control::{
    AgentStatus, ApiError, CallDirection, CallRecord, CallState, Client, DirectionQuality,
    DrainStatus, ErrorCode, EventRecord, GatewayMessage, HeardBadly, HeldBy, MediaFailure,
    MediaState, MessageWaiting, MicrophoneState, MicrophoneView, PageMessage, PageRequest,
    ReadyReport, RecordAction, RecordingState, RegistrationState, RegistrationView, Remote,
    RemoteEvent, SiteRegistration,
};
use serde_json::{Value, json};

use self::calls::{detailed, early, ended, handed_over, held, kept, recorded, ringing, unheard};
use self::records::{browser, end_record};
use self::session::{gateway_media, gateway_session};

const CALL: &str = "c-41";
const UUID: &str = "UIVB8J6JE91C53UIM3VI59VHQ4000015";

/// Everything a page says.
pub fn page() -> Vec<(&'static str, PageRequest)> {
    [page_session(), page_calls(), page_rest()].concat()
}

fn call() -> String {
    CALL.to_owned()
}

fn with_id(id: &str, message: PageMessage) -> PageRequest {
    PageRequest {
        id: Some(id.to_owned()),
        message,
    }
}

fn bare(message: PageMessage) -> PageRequest {
    PageRequest { id: None, message }
}

fn page_session() -> Vec<(&'static str, PageRequest)> {
    vec![
        (
            "hello",
            with_id(
                "1",
                PageMessage::Hello {
                    token: "eyJhbGciOiJIUzI1NiJ9.e30.c2ln".into(),
                    resume: None,
                    client: Some(Client {
                        name: "agent page".to_owned(),
                        version: Some("1".to_owned()),
                    }),
                    media_kept: false,
                },
            ),
        ),
        (
            "hello_resume",
            with_id(
                "1",
                PageMessage::Hello {
                    token: "eyJhbGciOiJIUzI1NiJ9.e30.c2ln".into(),
                    resume: Some("3f1c9a".into()),
                    client: None,
                    media_kept: true,
                },
            ),
        ),
        (
            "media_answer",
            bare(PageMessage::MediaAnswer {
                sdp: "v=0\r\n".to_owned(),
                offer: Some(2),
            }),
        ),
        (
            "media_candidate",
            bare(PageMessage::MediaCandidate {
                candidate: Some(
                    "candidate:1 1 udp 2122260223 203.0.113.9 50000 typ host".to_owned(),
                ),
                sdp_mid: Some("0".to_owned()),
                sdp_mline_index: Some(0),
            }),
        ),
        (
            "media_candidate_end",
            bare(PageMessage::MediaCandidate {
                candidate: None,
                sdp_mid: None,
                sdp_mline_index: None,
            }),
        ),
        ("media_restart", with_id("2", PageMessage::MediaRestart)),
    ]
}

fn page_calls() -> Vec<(&'static str, PageRequest)> {
    vec![
        ("answer", with_id("3", PageMessage::Answer { call: call() })),
        ("reject", with_id("4", PageMessage::Reject { call: call() })),
        ("hangup", with_id("5", PageMessage::Hangup { call: call() })),
        ("hold", with_id("6", PageMessage::Hold { call: call() })),
        (
            "retrieve",
            with_id("7", PageMessage::Retrieve { call: call() }),
        ),
        (
            "dial",
            with_id(
                "8",
                PageMessage::Dial {
                    number: "+15550101234".to_owned(),
                },
            ),
        ),
        (
            "dtmf",
            with_id(
                "9",
                PageMessage::Dtmf {
                    call: call(),
                    digits: "12*#A".to_owned(),
                },
            ),
        ),
        (
            "transfer",
            with_id(
                "10",
                PageMessage::Transfer {
                    call: call(),
                    to: Some("1003".to_owned()),
                    to_call: None,
                },
            ),
        ),
        (
            "transfer_attended",
            with_id(
                "11",
                PageMessage::Transfer {
                    call: call(),
                    to: None,
                    to_call: Some("c-42".to_owned()),
                },
            ),
        ),
    ]
}

fn page_rest() -> Vec<(&'static str, PageRequest)> {
    vec![
        (
            "record",
            with_id(
                "12",
                PageMessage::Record {
                    call: call(),
                    action: RecordAction::Pause,
                },
            ),
        ),
        ("mute", bare(PageMessage::Mute { muted: true })),
        ("microphone", bare(PageMessage::Microphone(microphone()))),
        (
            "microphone_busy",
            bare(PageMessage::Microphone(MicrophoneView {
                state: MicrophoneState::Busy,
                label: None,
            })),
        ),
        (
            "stats",
            bare(PageMessage::Stats {
                report: json!({"call": CALL, "jitter_ms": 3.5, "lost": 2, "received": 1500}),
            }),
        ),
        ("bye", with_id("12", PageMessage::Bye)),
    ]
}

fn registered() -> RegistrationView {
    RegistrationView {
        state: RegistrationState::Registered,
        sip_status: Some(200),
        reason: None,
        server: Some("192.0.2.81".to_owned()),
        expires_s: Some(1800),
        sites: Vec::new(),
    }
}

/// One of two sites does not answer.
fn registered_at_one_site() -> RegistrationView {
    let site = |site: &str, of: RegistrationView| SiteRegistration {
        site: site.to_owned(),
        state: of.state,
        sip_status: of.sip_status,
        reason: of.reason,
        server: of.server,
        expires_s: of.expires_s,
    };
    RegistrationView {
        sites: vec![site("east", not_registered()), site("west", registered())],
        ..registered()
    }
}

fn not_registered() -> RegistrationView {
    RegistrationView {
        state: RegistrationState::Failed,
        sip_status: Some(404),
        reason: Some("DN is not configured".to_owned()),
        server: Some("192.0.2.81".to_owned()),
        expires_s: None,
        sites: Vec::new(),
    }
}

fn measured() -> DirectionQuality {
    DirectionQuality {
        packets: Some(996),
        lost: Some(4),
        loss: Some(0.004),
        far_loss: Some(0.01),
        late: Some(1),
        duplicates: Some(2),
        jitter_ms: Some(3.5),
        rtt_ms: Some(41.0),
        concealed_ms: Some(100.0),
        playout_ms: Some(31.5),
        one_way_ms: Some(80.0),
        r: Some(90.1),
        mos: Some(4.3),
    }
}

/// Everything the gateway says.
pub fn gateway() -> Vec<(&'static str, GatewayMessage)> {
    [
        gateway_session(),
        gateway_media(),
        gateway_calls(),
        gateway_replies(),
    ]
    .concat()
}

fn gateway_calls() -> Vec<(&'static str, GatewayMessage)> {
    vec![
        ("call_ringing", GatewayMessage::Call { call: ringing() }),
        ("call_early_media", GatewayMessage::Call { call: early() }),
        ("call_unheard", GatewayMessage::Call { call: unheard() }),
        ("call_recorded", GatewayMessage::Call { call: recorded() }),
        ("call_detailed", GatewayMessage::Call { call: detailed() }),
        ("call_held", GatewayMessage::Call { call: held() }),
        (
            "call_transfer",
            GatewayMessage::Call {
                call: handed_over(),
            },
        ),
        (
            "call_transfer_failed",
            GatewayMessage::Call { call: kept() },
        ),
        ("call_ended", GatewayMessage::Call { call: ended() }),
        (
            "remote_control",
            GatewayMessage::RemoteControl {
                call: CALL.to_owned(),
                event: RemoteEvent::Talk,
                digits: None,
            },
        ),
        (
            "remote_control_dtmf",
            GatewayMessage::RemoteControl {
                call: CALL.to_owned(),
                event: RemoteEvent::Dtmf,
                digits: Some("5".to_owned()),
            },
        ),
        (
            "message_waiting",
            GatewayMessage::MessageWaiting(MessageWaiting {
                waiting: true,
                new: Some(2),
                old: Some(8),
            }),
        ),
        (
            "instant_message",
            GatewayMessage::InstantMessage {
                call: None,
                from: Remote {
                    number: "1003".to_owned(),
                    ..Remote::default()
                },
                text: "Lunch?".to_owned(),
            },
        ),
        (
            "dtmf_received",
            GatewayMessage::DtmfReceived {
                call: CALL.to_owned(),
                digit: "5".to_owned(),
            },
        ),
        ("quality", gateway_quality()),
    ]
}

fn gateway_quality() -> GatewayMessage {
    GatewayMessage::Quality {
        call: CALL.to_owned(),
        to_agent: Box::new(measured()),
        to_caller: Box::default(),
        browser: Some(Box::new(browser())),
        heard_badly: Some(heard_badly()),
    }
}

fn gateway_replies() -> Vec<(&'static str, GatewayMessage)> {
    vec![
        ("replaced", GatewayMessage::Replaced),
        (
            "ok",
            GatewayMessage::Ok {
                id: Some("3".to_owned()),
            },
        ),
        (
            "error",
            GatewayMessage::Error {
                id: Some("3".to_owned()),
                code: ErrorCode::UnknownCall,
                message: "no such call".to_owned(),
            },
        ),
        (
            "error_without_id",
            GatewayMessage::Error {
                id: None,
                code: ErrorCode::UnknownType,
                message: "the gateway does not know this type of message".to_owned(),
            },
        ),
    ]
}

fn value(of: impl serde::Serialize) -> Value {
    serde_json::to_value(of).unwrap()
}

fn event(event: Event) -> Value {
    value(EventRecord {
        seq: 12,
        at_ms: 1_700_000_000_000,
        event,
    })
}
/// The types of the administration interface.
pub fn admin() -> Vec<(&'static str, Value)> {
    [admin_state(), admin_events(), admin_commands(), taps()].concat()
}

fn dn() -> String {
    "1002".to_owned()
}

fn heard_badly() -> HeardBadly {
    HeardBadly {
        to_agent: true,
        to_caller: false,
    }
}

fn quality() -> CallQuality {
    CallQuality {
        to_agent: measured(),
        to_caller: DirectionQuality::default(),
        browser: Some(Box::new(browser())),
    }
}

fn microphone() -> MicrophoneView {
    MicrophoneView {
        state: MicrophoneState::Open,
        label: Some("Headset (USB)".to_owned()),
    }
}

fn admin_state() -> Vec<(&'static str, Value)> {
    vec![
        (
            "agent_status",
            value(AgentStatus {
                dn: dn(),
                name: Some("Ada".to_owned()),
                signed_in: true,
                away: false,
                registration: registered(),
                media: Some(MediaState::Connecting),
                media_failure: Some(MediaFailure::NoPath),
                muted: false,
                microphone: Some(microphone()),
                calls: vec![held()],
            }),
        ),
        (
            "call_record",
            value(CallRecord {
                dn: dn(),
                call: ended(),
                srtp: Some("none".to_owned()),
                quality: Some(quality()),
                browser_stats: Some(json!({"jitter_ms": 3.5})),
            }),
        ),
        ("end_record", value(end_record())),
        (
            "api_error",
            value(ApiError {
                code: ErrorCode::WrongState,
                message: "the call is not held".to_owned(),
            }),
        ),
        (
            "ready_report",
            value(ReadyReport {
                ready: false,
                checks: vec![ReadyCheck {
                    name: "sip_server".to_owned(),
                    ok: false,
                    detail: Some("192.0.2.81:5060 is silent".to_owned()),
                }],
            }),
        ),
        (
            "drain_status",
            value(DrainStatus {
                draining: true,
                calls: 3,
                pages: 12,
            }),
        ),
    ]
}

fn admin_events() -> Vec<(&'static str, Value)> {
    vec![
        (
            "event_call",
            event(Event::Call {
                dn: dn(),
                call: ringing(),
            }),
        ),
        (
            "event_signed_in",
            event(Event::SignedIn {
                dn: dn(),
                resumed: true,
                replaced: false,
            }),
        ),
        (
            "event_registration",
            event(Event::Registration {
                dn: dn(),
                registration: not_registered(),
            }),
        ),
        (
            "event_dtmf_received",
            event(Event::DtmfReceived {
                dn: dn(),
                call: CALL.to_owned(),
                digit: "5".to_owned(),
            }),
        ),
        (
            "event_heard_badly",
            event(Event::HeardBadly {
                dn: dn(),
                call: CALL.to_owned(),
                badly: heard_badly(),
            }),
        ),
        (
            "event_quality",
            event(Event::Quality {
                dn: dn(),
                call: CALL.to_owned(),
                quality: quality(),
            }),
        ),
        ("event_missed", event(Event::Missed { events: Some(40) })),
    ]
}

fn admin_commands() -> Vec<(&'static str, Value)> {
    vec![
        (
            "dial_request",
            value(DialRequest {
                number: "1003".to_owned(),
            }),
        ),
        (
            "dtmf_request",
            value(DtmfRequest {
                digits: "1".to_owned(),
            }),
        ),
        (
            "record_request",
            value(RecordRequest {
                action: RecordAction::Start,
            }),
        ),
        (
            "transfer_request",
            value(TransferRequest {
                to: Some("1003".to_owned()),
                to_call: None,
            }),
        ),
        (
            "accepted",
            value(Accepted {
                call: Some(CALL.to_owned()),
            }),
        ),
    ]
}

fn taps() -> Vec<(&'static str, Value)> {
    vec![
        (
            "tap_start",
            value(TapMessage::Start {
                call: call(),
                call_uuid: Some(UUID.to_owned()),
                dn: dn(),
                direction: CallDirection::Inbound,
                state: CallState::Talking,
                rate_hz: 16_000,
            }),
        ),
        (
            "tap_mark",
            value(TapMessage::Mark {
                at_ms: 12_340,
                state: CallState::Held,
                held_by: Some(HeldBy::TalkControl),
                recording: Some(RecordingState::Recording),
                paused: false,
            }),
        ),
        (
            "tap_mark_paused",
            value(TapMessage::Mark {
                at_ms: 12_340,
                state: CallState::Talking,
                held_by: None,
                recording: None,
                paused: true,
            }),
        ),
        (
            "tap_dropped",
            value(TapMessage::Dropped {
                at_ms: 12_340,
                ms: 480,
            }),
        ),
        ("tap_stop", value(TapMessage::Stop)),
    ]
}
