//! What a peer may make this crate hold or walk through, each with its reason.

use std::time::Duration;

/// Longest SIP message, octets. A UDP datagram cannot carry more, and on a stream it bounds the
/// memory of one connection.
pub const MESSAGE_BYTES_MAX: usize = 65_535;

/// Longest body, octets. SIP Server sends session descriptions of half a kilobyte and, seldom, a
/// multipart with user data.
pub const BODY_BYTES_MAX: usize = 48 * 1024;

/// Header lines in one message. `longreq` of RFC 4475 has 40; a call that crossed many proxies has
/// a Via and a Record-Route for each.
pub const HEADER_LINES_MAX: usize = 256;

/// Longest header line with all its continuations, octets.
pub const HEADER_LINE_BYTES_MAX: usize = 8 * 1024;

/// Longest start line, octets.
pub const START_LINE_BYTES_MAX: usize = 4 * 1024;

/// Values in one list header (Via, Route, Contact ...), over all its lines.
pub const LIST_VALUES_MAX: usize = 256;

/// Longest URI, octets.
pub const URI_BYTES_MAX: usize = 2 * 1024;

/// Longest method name, octets. The longest registered one has nine.
pub const METHOD_BYTES_MAX: usize = 64;

/// Longest header name, octets.
pub const HEADER_NAME_BYTES_MAX: usize = 128;

/// Longest Call-ID, tag or branch, octets. They are kept as long as a dialog or transaction lives.
pub const IDENTIFIER_BYTES_MAX: usize = 1024;

/// Parameters of one value.
pub const PARAMS_MAX: usize = 64;

/// Largest `CSeq` number (RFC 3261 section 8.1.1.5: less than 2^31).
pub const CSEQ_MAX: u32 = (1 << 31) - 1;

/// Longest nonce of a challenge that is answered, octets: it is sent back in every request.
pub const NONCE_BYTES_MAX: usize = 4 * 1024;

/// Longest realm or opaque of a challenge that is answered, octets.
pub const CHALLENGE_FIELD_BYTES_MAX: usize = 1024;

/// Challenges that are looked at in one response.
pub const CHALLENGES_MAX: usize = 8;

/// Body parts that are looked at in one multipart body.
pub const BODY_PARTS_MAX: usize = 16;

/// Multipart bodies inside multipart bodies.
pub const BODY_DEPTH_MAX: usize = 3;

/// Octets of a `message/sipfrag` body that are looked at: the status line of a REFER's outcome is its first.
pub const SIPFRAG_BYTES_MAX: usize = 512;

/// How often one thing is woken at one moment. More than once is right where something else that fell due at the same moment concerned it, too.
pub const WAKES_A_ROUND_MAX: u32 = 4;

/// How long a thing sleeps that would be woken more often: nothing needs more haste, and whatever goes wrong with its timers, others have their turn.
pub const WAKE_PAUSE_MIN: Duration = Duration::from_millis(1);
