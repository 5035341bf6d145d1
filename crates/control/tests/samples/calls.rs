//! Calls in their states, as the messages show them.

use std::sync::Arc;

use control::{
    AnsweredBy, AudioDirection, AudioMissing, CallDetails, CallDirection, CallEnd, CallState,
    CallView, DivertedFrom, EndedBy, HeldBy, MissingReason, RecordingState, Remote, Ring,
    TransferState, TransferView, UserToUser, UserToUserEncoding,
};

use super::{CALL, UUID};

pub fn ringing() -> CallView {
    CallView {
        id: CALL.to_owned(),
        call_uuid: Some(UUID.to_owned()),
        direction: CallDirection::Inbound,
        state: CallState::Ringing,
        remote: Remote {
            number: "1003".to_owned(),
            name: Some("Zoë <b>Miller</b>".to_owned()),
            privacy: false,
        },
        early_media: false,
        details: Arc::default(),
        held_by: None,
        answered_by: None,
        created_ms: 1_700_000_000_000,
        talking_ms: None,
        transfer: None,
        audio_missing: None,
        recording: None,
        listened: false,
        paused: false,
        end: None,
    }
}

pub fn unheard() -> CallView {
    CallView {
        state: CallState::Talking,
        answered_by: Some(AnsweredBy::Talk),
        talking_ms: Some(1_700_000_004_000),
        audio_missing: Some(AudioMissing {
            direction: AudioDirection::ToAgent,
            reason: MissingReason::OtherAddress,
        }),
        ..ringing()
    }
}

pub fn recorded() -> CallView {
    CallView {
        state: CallState::Talking,
        answered_by: Some(AnsweredBy::Auto),
        talking_ms: Some(1_700_000_004_000),
        recording: Some(RecordingState::Paused),
        listened: true,
        paused: true,
        ..ringing()
    }
}

pub fn early() -> CallView {
    CallView {
        direction: CallDirection::Outbound,
        call_uuid: None,
        early_media: true,
        ..ringing()
    }
}

/// A call that says all it can about itself.
pub fn detailed() -> CallView {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    CallView {
        remote: Remote {
            number: "anonymous".to_owned(),
            name: None,
            privacy: true,
        },
        details: Arc::new(CallDetails {
            diverted_from: Some(DivertedFrom {
                number: "+4930123456".to_owned(),
                name: Some("Sales".to_owned()),
                reason: Some("no-answer".to_owned()),
            }),
            user_to_user: Some(UserToUser {
                data: "0441636374".to_owned(),
                encoding: UserToUserEncoding::Hex,
                text: Some("Acct".to_owned()),
                purpose: None,
                content: None,
            }),
            more_user_to_user: vec![UserToUser {
                data: "ticket 42".to_owned(),
                encoding: UserToUserEncoding::Text,
                text: None,
                purpose: Some("tickets".to_owned()),
                content: Some("text".to_owned()),
            }],
            ring: Some(Ring::External),
            attached: [pair("Segment", "gold")].into(),
            headers: [pair("X-Site", "Berlin")].into(),
        }),
        ..ringing()
    }
}

pub fn held() -> CallView {
    CallView {
        state: CallState::Held,
        held_by: Some(HeldBy::TalkControl),
        answered_by: Some(AnsweredBy::Talk),
        talking_ms: Some(1_700_000_004_000),
        ..ringing()
    }
}

pub fn handed_over() -> CallView {
    CallView {
        transfer: Some(TransferView {
            state: TransferState::Ringing,
            to: Some("1005".to_owned()),
            to_call: None,
            sip_status: None,
            reason: None,
        }),
        held_by: Some(HeldBy::Agent),
        ..held()
    }
}

pub fn kept() -> CallView {
    CallView {
        state: CallState::Talking,
        held_by: None,
        transfer: Some(TransferView {
            state: TransferState::Failed,
            to: None,
            to_call: Some("c-42".to_owned()),
            sip_status: Some(603),
            reason: Some("Decline".to_owned()),
        }),
        ..held()
    }
}

pub fn ended() -> CallView {
    CallView {
        direction: CallDirection::Outbound,
        state: CallState::Ended,
        call_uuid: None,
        remote: Remote {
            number: "1099".to_owned(),
            ..Remote::default()
        },
        end: Some(CallEnd {
            by: EndedBy::Remote,
            sip_status: Some(403),
            reason: Some("Forbidden".to_owned()),
            cause: "remote_rejected".to_owned(),
        }),
        ..ringing()
    }
}
