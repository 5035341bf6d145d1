//! What a peer may grow, and why it stops there.

/// Longest description that is read, in bytes. A soft phone with a dozen codecs sends 600; a browser that
/// lists everything it has sends 8,000.
pub const MAX_BYTES: usize = 16 * 1024;

/// Longest line in bytes, the type and `=` included. The longest lines seen are ICE candidates and
/// certificate fingerprints, below 300.
pub const MAX_LINE_BYTES: usize = 2 * 1024;

/// Lines in one description, all levels together.
pub const MAX_LINES: usize = 512;

/// `m=` lines in one description. An answer repeats every one of them (RFC 3264 section 6), so this bounds
/// the answer too. Audio, video, application and a fax line are four.
pub const MAX_MEDIA: usize = 16;

/// Formats in one `m=` line. The payload type is a seven-bit number and no phone lists half of them.
pub const MAX_FORMATS: usize = 64;

/// `a=crypto` lines of one media description that are looked at. There are fewer suites than that.
pub const MAX_CRYPTO_LINES: usize = 16;

/// Longest packet time in ms that is believed. A larger one would make a packet that no network carries
/// whole: 200 ms of G.711 are 1,600 bytes.
pub const MAX_PTIME_MS: u16 = 200;

/// Longest word of an `m=` line in bytes. `UDP/TLS/RTP/SAVPF` has 17; answers repeat these words.
pub const MAX_TOKEN_BYTES: usize = 64;
