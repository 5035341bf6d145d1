//! What the suites differ in.

/// A crypto suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// `AEAD_AES_256_GCM` (RFC 7714).
    AeadAes256Gcm,
    /// `AEAD_AES_128_GCM` (RFC 7714).
    AeadAes128Gcm,
    /// `AES_256_CM_HMAC_SHA1_80` (RFC 6188).
    Aes256CmSha1_80,
    /// `AES_256_CM_HMAC_SHA1_32` (RFC 6188).
    Aes256CmSha1_32,
    /// `AES_CM_128_HMAC_SHA1_80` (RFC 4568 section 6.2.1).
    Aes128CmSha1_80,
    /// `AES_CM_128_HMAC_SHA1_32` (RFC 4568 section 6.2.2).
    Aes128CmSha1_32,
}

impl Suite {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::AeadAes256Gcm,
        Self::AeadAes128Gcm,
        Self::Aes256CmSha1_80,
        Self::Aes256CmSha1_32,
        Self::Aes128CmSha1_80,
        Self::Aes128CmSha1_32,
    ];

    /// Octets of the master key, and of the cipher's own.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::AeadAes256Gcm | Self::Aes256CmSha1_80 | Self::Aes256CmSha1_32 => 32,
            Self::AeadAes128Gcm | Self::Aes128CmSha1_80 | Self::Aes128CmSha1_32 => 16,
        }
    }

    /// Octets of the salt.
    #[must_use]
    pub const fn salt_len(self) -> usize {
        if self.is_aead() { 12 } else { 14 }
    }

    /// Octets of an RTP packet's tag.
    #[must_use]
    pub const fn rtp_tag_len(self) -> usize {
        match self {
            Self::AeadAes256Gcm | Self::AeadAes128Gcm => 16,
            Self::Aes256CmSha1_80 | Self::Aes128CmSha1_80 => 10,
            Self::Aes256CmSha1_32 | Self::Aes128CmSha1_32 => 4,
        }
    }

    /// Octets of an RTCP packet's tag: never the short one (RFC 4568 section 6.2.2).
    #[must_use]
    pub const fn rtcp_tag_len(self) -> usize {
        if self.is_aead() { 16 } else { 10 }
    }

    pub(super) const fn is_aead(self) -> bool {
        matches!(self, Self::AeadAes256Gcm | Self::AeadAes128Gcm)
    }
}
