//! SRTP of the SIP side, in the configuration's words.

use schemars::JsonSchema;
use serde::Deserialize;

/// Whether the media of the SIP side is secured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Srtp {
    /// Plain RTP only.
    #[default]
    Off,
    /// With whoever can.
    Optional,
    /// With everybody.
    Required,
}

/// A crypto suite of SRTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
pub enum SrtpSuite {
    /// RFC 7714.
    #[serde(rename = "AEAD_AES_256_GCM")]
    AeadAes256Gcm,
    /// RFC 7714.
    #[serde(rename = "AEAD_AES_128_GCM")]
    AeadAes128Gcm,
    /// RFC 6188.
    #[serde(rename = "AES_256_CM_HMAC_SHA1_80")]
    Aes256CmSha1_80,
    /// RFC 4568.
    #[serde(rename = "AES_CM_128_HMAC_SHA1_80")]
    Aes128CmSha1_80,
    /// RFC 6188.
    #[serde(rename = "AES_256_CM_HMAC_SHA1_32")]
    Aes256CmSha1_32,
    /// RFC 4568.
    #[serde(rename = "AES_CM_128_HMAC_SHA1_32")]
    Aes128CmSha1_32,
}

impl SrtpSuite {
    /// All of them, the strongest first.
    pub(super) fn all() -> Vec<Self> {
        vec![
            Self::AeadAes256Gcm,
            Self::AeadAes128Gcm,
            Self::Aes256CmSha1_80,
            Self::Aes128CmSha1_80,
            Self::Aes256CmSha1_32,
            Self::Aes128CmSha1_32,
        ]
    }
}
