//! What a page may grow, and why it stops there.

/// Longest message in bytes; a longer one closes the connection with 4413. The largest honest message is a
/// media answer or a report of the browser's statistics, both below 16,000.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// Longest `id` of a request. It is echoed, so it is kept until the reply.
pub const MAX_ID_BYTES: usize = 64;

/// Longest call id. Ours are far shorter; the bound keeps a foreign one out of logs and replies.
pub const MAX_CALL_ID_BYTES: usize = 64;

/// Longest token. A JWT signed with a 4096-bit RSA key and a dozen claims has 1,500 bytes.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Longest resume secret. Ours have 32 to 64 characters.
pub const MAX_RESUME_BYTES: usize = 256;

/// Longest `client.name` and `client.version`.
pub const MAX_CLIENT_BYTES: usize = 64;

/// Longest name of a microphone. Systems name devices in 130 characters at most, and a page cuts a name at 128.
pub const MAX_LABEL_BYTES: usize = 512;

/// Longest session description of a page.
pub const MAX_SDP_BYTES: usize = 32 * 1024;

/// Longest ICE candidate line. The longest seen, IPv6 over TCP with all extensions, has 250 bytes.
pub const MAX_CANDIDATE_BYTES: usize = 1024;

/// Longest media identification tag (`sdp_mid`).
pub const MAX_MID_BYTES: usize = 64;

/// Longest number that is dialled, separators included. An international number has 15 digits (ITU-T
/// E.164); the rest is for access codes, account codes and names.
pub const MAX_NUMBER_BYTES: usize = 64;

/// Most digits in one `dtmf`. At 100 ms a digit and 100 ms of pause they keep the line busy for 6 s.
pub const MAX_DIGITS: usize = 32;

/// Longest `report` of `stats`, as JSON text. It is kept with the call's record.
pub const MAX_REPORT_BYTES: usize = 16 * 1024;

/// Longest name of a codec in a `report`: media types have 40 bytes at most.
pub const MAX_CODEC_BYTES: usize = 40;

/// The longest time that a page can have measured on a connection that is up, in ms; more is made up.
pub const MAX_MILLISECONDS: f64 = 60_000.0;
