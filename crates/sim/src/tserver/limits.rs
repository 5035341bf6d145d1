//! What a peer can make grow, and how far.

/// Calls alive at one time. A load test of the gateway stays below this; a loop of INVITEs does not.
pub const MAX_CALLS: usize = 20_000;

/// Server transactions alive at one time (RFC 3261 keeps each for 32 s after its final answer).
pub const MAX_SERVER_TRANSACTIONS: usize = 200_000;

/// Largest message that is read. A UDP datagram cannot be larger; on TCP this bounds the buffer.
pub const MAX_MESSAGE_BYTES: usize = 65_535;

/// Retries of a re-INVITE that met 491 before the attempt counts as failed.
pub const MAX_GLARE_RETRIES: u32 = 8;

/// Parties of one conference.
pub const MAX_PARTIES: usize = 6;

/// Longest digit string of one DTMF request; a keypad does not send more.
pub const MAX_DTMF_DIGITS: usize = 64;

/// Digest nonces remembered for one DN.
pub const MAX_NONCES_PER_DN: usize = 8;

/// ACKs remembered for one dialog: the 2xx of an older re-INVITE is not repeated any more.
pub const MAX_ACKS_PER_LEG: usize = 4;
