//! The sections about what is kept of a call.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Records of calls that are over.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cdr {
    /// The file that takes one JSON line for each call that is over ([end-record.md](end-record.md)). None is written unless set. Opened anew on
    /// SIGHUP, so that it can be rotated.
    pub file: Option<PathBuf>,
    /// Whether the records name the other party, and the number that a call was transferred to.
    pub numbers: bool,
}

/// Recordings of calls.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Recording {
    /// The folder that takes a file for each recording ([recording.md](recording.md)). Nothing is recorded unless set.
    pub folder: Option<PathBuf>,
    /// Which calls are recorded: `on_request` (those that the page or an administrator asks for) or `always` (every one, from its answer on).
    pub when: RecordWhen,
    /// Whether pages may begin and end recordings; administrators always may, and to pause is always the agent's.
    pub agents_may: bool,
    /// What is in a file: `wav` (16 bits) or `opus` (in Ogg). Two channels, left the caller and right the agent.
    pub format: RecordFormat,
    /// Samples per second of each channel: `8000` or `16000`.
    pub rate_hz: u32,
    /// Seconds between two beeps that tell both parties, from the beginning of a recording on; 0 for none.
    pub beep_s: u32,
}

impl Default for Recording {
    fn default() -> Self {
        Self {
            folder: None,
            when: RecordWhen::OnRequest,
            agents_may: true,
            format: RecordFormat::Wav,
            rate_hz: 8_000,
            beep_s: 0,
        }
    }
}

/// Which calls are recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordWhen {
    /// Those that somebody asks for.
    #[default]
    OnRequest,
    /// Every one.
    Always,
}

/// What is in a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RecordFormat {
    /// Samples.
    #[default]
    Wav,
    /// Opus in Ogg.
    Opus,
}
