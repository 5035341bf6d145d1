//! Bounds on everything that a peer can grow or stretch, each with its reason.

use std::time::Duration;

/// Octets of one RTP payload that is relayed: an Ethernet MTU less IP, UDP, RTP and SRTP overhead. Whatever is larger
/// is no audio packet, and the SRTP layer below asserts on packets beyond its own buffer.
pub const RTP_PAYLOAD_MAX: usize = 1_400;

/// Octets of one datagram that is looked at; a longer one is cut by the receive buffer and refused.
pub const DATAGRAM_MAX: usize = 2_048;

/// Octets of a session description from a browser: an audio-only answer of Chromium or Firefox is 1-3 KiB.
pub const BROWSER_SDP_MAX: usize = 16 * 1_024;

/// Lines of a session description from a browser.
pub const BROWSER_SDP_LINES_MAX: usize = 256;

/// Candidates that one browser may name: interfaces times protocols, with room for relays.
pub const REMOTE_CANDIDATES_MAX: usize = 32;

/// Octets of one trickled candidate line.
pub const CANDIDATE_LINE_MAX: usize = 512;

/// DTLS datagrams kept per leg because they came before their address was checked: one flight of a client.
pub const EARLY_DATAGRAMS_MAX: usize = 6;

/// How long such a datagram is worth keeping: two of a browser's check intervals.
pub const EARLY_DATAGRAM_AGE_MAX: Duration = Duration::from_secs(5);

/// Address changes of one browser between two ICE restarts. A roaming phone makes a few an hour; each costs an entry in
/// the ICE agent's list, so a peer that makes hundreds is ended.
pub const ADDRESS_CHANGES_MAX: usize = 256;

/// A browser that has spoken from a checked address for this long, and has been silent at the one that it nominated since, has been moved by a NAT that it knows
/// nothing of. Who overhears it can say its packets again from elsewhere, and its own come next.
pub const MOVED_SPEECH_AFTER: Duration = Duration::from_secs(1);

/// The same where only checks come from there, as between calls: two of a browser's intervals for consent (RFC 7675: 5 s, and a fifth).
pub const MOVED_CHECKS_AFTER: Duration = Duration::from_secs(12);

/// How long a warm leg may wait for the browser's answer. The page may still be asking for the
/// microphone, so this is a human's time.
pub const WARM_CONNECT_MAX: Duration = Duration::from_secs(120);

/// How long ICE may take from the browser's answer on, restarts included: longer than browsers try (15 s in Chromium, less in Firefox), so that the page has
/// asked for a restart at least once. Then the leg fails with words, and another one is offered.
pub const PATH_MAX: Duration = Duration::from_secs(30);

/// How long DTLS may take once ICE is up: four repetitions of a flight (1, 2, 4, 8 s).
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(15);

/// Octets of one message of a handshake: a browser's certificate is its own, and has some hundred; a chain of a few would fit.
pub const HANDSHAKE_MESSAGE_MAX: u32 = 16_384;

/// How long a handshake may go on after a sign that somebody else has a hand in it: enough for what a browser repeats once or twice, and the agent waits no
/// longer for her next one.
pub const SPOILED_HANDSHAKE_MAX: Duration = Duration::from_secs(3);

/// How long a leg may stay without consent before it counts as failed: longer than the grace time in which a page may
/// come back, so that the switchboard decides first.
pub const DISCONNECTED_MAX: Duration = Duration::from_secs(60);

/// Turns of the ICE/DTLS/SRTP engine without time moving on; more means that it asks for the same timeout again.
pub const ENGINE_TURNS_MAX: usize = 64;

/// Digits waiting to be sent on one call: two full requests of the switchboard.
pub const DIGITS_QUEUED_MAX: usize = 128;

/// Sounds waiting to be played into one direction of a call: the digits above, each with its pause.
pub const SOUNDS_QUEUED_MAX: usize = 2 * DIGITS_QUEUED_MAX;

/// The shortest digit that is sent: what a receiver must hear (ITU-T Q.24 Annex A).
pub const TONE_MIN: Duration = Duration::from_millis(40);

/// Time between two keys of a peer, on average: he is believed to press them twice as fast as a receiver can tell them apart (40 ms of tone and 40 ms of
/// pause, ITU-T Q.24 Annex A), and no faster. Each key is a message to the page and to whoever watches.
pub const KEY_INTERVAL_MIN: Duration = Duration::from_millis(40);

/// How much earlier than that keys may come: those that a network held back for a second, at once.
pub const KEYS_EARLY_MAX: Duration = Duration::from_secs(1);

/// The longest digit that is sent. Longer ones are asked for by nobody but to keep a call busy.
pub const TONE_MAX: Duration = Duration::from_secs(10);

/// Blocks read from one RTCP packet (its count field has 5 bits).
pub const RTCP_BLOCKS_MAX: usize = 31;

/// Packets of one RTCP datagram that are read: SR, SDES and BYE are three; the rest is not for us.
pub const RTCP_PACKETS_MAX: usize = 16;

/// Parties of one call of whom it is known that our stream has gone to them: the caller, music, whoever is consulted. Of one beyond those the first report is
/// where his count begins.
pub const PARTIES_MET_MAX: usize = 8;

/// Jitter that a peer reports beyond this is none: its clock was set, or it writes whatever it likes.
pub const JITTER_REPORTED_MAX: Duration = Duration::from_secs(10);

/// A sequence number this far ahead starts the stream anew instead of being a loss (RFC 3550 A.1 `MAX_DROPOUT`).
pub const SEQUENCE_DROPOUT_MAX: i32 = 3_000;

/// A sequence number this far behind starts the stream anew instead of being late (RFC 3550 A.1 `MAX_MISORDER`).
pub const SEQUENCE_MISORDER_MAX: i32 = 100;

/// Speech of one packet beyond this is none: timestamps jumped (talk-spurts, another clock).
pub const PACKET_TIME_MAX: Duration = Duration::from_millis(200);

/// How long packets of a former SSRC are dropped after another one took over, so that two of them never alternate.
pub const FORMER_SSRC_BARRED: Duration = Duration::from_millis(500);

/// Browser legs of one worker, far above what one core carries.
pub const LEGS_MAX: usize = 8_192;

/// Calls of one worker.
pub const CALLS_MAX: usize = 16_384;

/// Packets that wait to be played in one direction of a decoded call: the burst behind a second's gap of a network.
pub const PLAYOUT_PACKETS_MAX: usize = 64;

/// Audio that waits to be played, in milliseconds. Beyond it two people cannot talk, and the oldest is dropped.
pub const PLAYOUT_WAITING_MS_MAX: usize = 600;

/// The most delay that is made to wait for slow packets, in milliseconds. What is slower than that is concealed: more would cost the conversation
/// more than it gives (ITU-T G.114).
pub const PLAYOUT_TARGET_MS_MAX: i64 = 200;

/// How long packets that are secured with the former key pass after another one took over: as long as a re-INVITE may be under way.
pub const FORMER_KEY_LIFE: Duration = Duration::from_secs(5);

/// Streams of one peer whose roll-over counters and replay windows are kept under one key. A far end that is changed in mid-call brings a new one;
/// the latest are kept.
pub const SRTP_STREAMS_MAX: usize = 16;

/// Taps of one call: a recording and those who listen for transcription and assistance. Each decodes both directions once more.
pub const TAPS_A_CALL_MAX: usize = 4;
