//! What the gateway says of a session before there are calls.

use control::{
    AdmissionReason, AgentView, GatewayMessage, IceServer, MediaFailure, MediaState, Welcome,
};

use super::calls::held;
use super::*;

fn turn_server() -> IceServer {
    IceServer {
        urls: vec!["turns:turn.example.com".to_owned()],
        username: Some("1700003600:1002".to_owned()),
        credential: Some("c2VjcmV0".into()),
    }
}

pub(super) fn gateway_session() -> Vec<(&'static str, GatewayMessage)> {
    vec![
        (
            "welcome",
            GatewayMessage::Welcome(Welcome {
                agent: AgentView {
                    dn: "1002".to_owned(),
                    name: Some("Ada".to_owned()),
                },
                session: "s-7".to_owned(),
                resume: "3f1c9a".into(),
                registration: registered(),
                ice_servers: vec![turn_server()],
                message_waiting: None,
                may_record: true,
                calls: vec![held()],
            }),
        ),
        (
            "admission_closed",
            GatewayMessage::Admission {
                open: false,
                reason: Some(AdmissionReason::Overload),
            },
        ),
        (
            "admission_open",
            GatewayMessage::Admission {
                open: true,
                reason: None,
            },
        ),
        (
            "ice_servers",
            GatewayMessage::IceServers {
                ice_servers: vec![turn_server()],
            },
        ),
        ("registration", GatewayMessage::Registration(registered())),
        (
            "registration_sites",
            GatewayMessage::Registration(registered_at_one_site()),
        ),
        (
            "registration_failed",
            GatewayMessage::Registration(not_registered()),
        ),
    ]
}

/// The same of the media connection.
pub(super) fn gateway_media() -> Vec<(&'static str, GatewayMessage)> {
    vec![
        (
            "media_offer",
            GatewayMessage::MediaOffer {
                sdp: "v=0\r\n".to_owned(),
                restart: false,
                offer: Some(1),
            },
        ),
        (
            "media_offer_restart",
            GatewayMessage::MediaOffer {
                sdp: "v=0\r\n".to_owned(),
                restart: true,
                offer: Some(2),
            },
        ),
        (
            "media_state",
            GatewayMessage::MediaState {
                state: MediaState::Connected,
                cause: None,
            },
        ),
        (
            "media_state_failed",
            GatewayMessage::MediaState {
                state: MediaState::Failed,
                cause: Some(MediaFailure::NoPath),
            },
        ),
    ]
}
