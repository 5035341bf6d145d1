//! Whose SIP connections are taken, and how long they may take.

use std::sync::Arc;
use std::time::Duration;

use super::sip_peers::SipPeers;
use crate::limits::{
    SIP_STREAM_FIRST_MESSAGE_WITHIN, SIP_STREAM_HALF_MESSAGE_MAX, SIP_STREAM_IDLE_MAX,
    SIP_WRITE_WITHIN,
};

/// Whose connections are taken.
#[derive(Debug, Clone)]
pub struct Admission {
    /// The hosts of SIP Servers.
    pub servers: Arc<SipPeers>,
    /// Connections that everybody else may hold together, to be answered with 403; 0 closes them unheard.
    pub strangers_max: usize,
}

/// How long a connection may take over its next step.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Until its first whole message.
    pub first_message: Duration,
    /// From the first octet of a message to its last.
    pub half_message: Duration,
    /// Between two messages.
    pub idle: Duration,
    /// For one message of ours to leave.
    pub write: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            first_message: SIP_STREAM_FIRST_MESSAGE_WITHIN,
            half_message: SIP_STREAM_HALF_MESSAGE_MAX,
            idle: SIP_STREAM_IDLE_MAX,
            write: SIP_WRITE_WITHIN,
        }
    }
}
