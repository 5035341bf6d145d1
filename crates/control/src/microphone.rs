//! A page's microphone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What becomes of a page's microphone, as the page says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MicrophoneView {
    /// What it is now.
    pub state: MicrophoneState,
    /// Name of the device that is open: text to show, never markup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// What becomes of a page's microphone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MicrophoneState {
    /// The browser is asked for it.
    Asking,
    /// It is open.
    Open,
    /// It is open and gives silence: the system mutes it, or a key of the headset. The page's own mute is another matter.
    Muted,
    /// The agent, or the browser's settings, do not allow it.
    Denied,
    /// There is none.
    Missing,
    /// Another program has it.
    Busy,
    /// The page did not come by HTTPS.
    Insecure,
    /// The browser has given it up, as it does when a device is unplugged.
    Ended,
}
