//! What the administration shows of an agent's session, and what a page does to it.

use control::admin::AgentStatus;
use control::{MediaState, PageMessage};

/// The session of an agent.
pub(in crate::world) fn shown(agent: &AgentStatus) -> &'static str {
    let media = agent.media == Some(MediaState::Connected);
    match (agent.signed_in, agent.away, media) {
        (false, ..) => "nobody",
        (true, false, false) => "here, without media",
        (true, false, true) => "here, with media",
        (true, true, false) => "away, without media",
        (true, true, true) => "away, with media",
    }
}

/// What a page says that is no call's matter.
pub(in crate::world) const fn page_says(message: &PageMessage) -> Option<&'static str> {
    Some(match message {
        PageMessage::Bye => "bye",
        PageMessage::MediaAnswer { .. } => "media answer",
        PageMessage::MediaRestart => "media restart",
        PageMessage::Mute { .. } => "mute",
        PageMessage::Dial { .. } => "dial",
        _ => return None,
    })
}
