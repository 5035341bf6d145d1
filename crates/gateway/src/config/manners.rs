//! What is answered to requests that a site may want or not, and to strangers, and how digits travel.

use schemars::JsonSchema;
use serde::Deserialize;

/// What OPTIONS for a DN is answered with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Options {
    /// 200.
    #[default]
    #[serde(rename = "always_200")]
    Always200,
    /// 200 while somebody is signed in.
    SignedInOnly,
}

/// What becomes of instant messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Messages {
    /// 405.
    #[default]
    Refuse,
    /// The page shows them.
    Show,
}

/// Which REFERs of SIP Server are obeyed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Refer {
    /// Outside of calls and within them.
    #[default]
    All,
    /// Within calls only.
    WithinCalls,
    /// None.
    None,
}

/// What a stranger hears on the SIP port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Refuse {
    /// Nothing: a scanner learns nothing.
    #[default]
    Silent,
    /// 403: helpful while a site is being set up.
    Forbidden,
}

/// How digits reach a far end that takes no telephone events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DtmfFallback {
    /// INFO.
    #[default]
    Info,
    /// Tones in the audio.
    Inband,
    /// Not at all.
    None,
}
