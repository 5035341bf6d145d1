//! Bounds on everything that can grow here, each with its reason.

use std::time::Duration;

/// Digits that one `dtmf` request or NOTIFY may carry: a card number and its checks fit, a novel does not.
pub(crate) const DIGITS_MAX: usize = 64;

/// How long a key that was told to go down may be told of again or go up: gateways that relay keys send the next message of one within
/// 3 s (`notify telephone-event max-duration` of Cisco's), and it travels.
pub(crate) const KEY_DOWN_MAX: Duration = Duration::from_secs(4);

/// Octets of a header value that is shown to a page (caller, reason): a display name fits, a payload does not.
pub(crate) const SHOWN_TEXT_MAX: usize = 128;

/// Attached data and passed headers of one call, a pair each: more than a desktop shows at a glance. Those that come first are kept.
pub(crate) const PAIRS_MAX: usize = 32;

/// Characters of one value of attached data: what fits on a line of a desktop, and a link.
pub(crate) const PAIR_TEXT_MAX: usize = 512;

/// Octets of all attached data and passed headers of one call. Every picture of the call carries them, and so does its record.
pub(crate) const PAIRS_BYTES_MAX: usize = 8_192;

/// Characters of `User-to-User`: twice the 128 octets that ISDN carries (RFC 7434), in hexadecimal digits, and some for its kin.
pub(crate) const USER_TO_USER_MAX: usize = 512;

/// `User-to-User` headers of one call: one for each application on the way; nobody has more than a few.
pub(crate) const USER_TO_USERS_MAX: usize = 8;

/// Characters of a MESSAGE that is shown: RFC 3428 section 8 keeps the whole request below 1,300 octets.
pub(crate) const MESSAGE_TEXT_MAX: usize = 1_300;

/// Lines of a MESSAGE that is shown, so that none of them pushes the calls off the page.
pub(crate) const MESSAGE_LINES_MAX: usize = 20;

/// By how much the time of day has to leave the monotonic clock before it counts as a jump: the two are never read at one moment, and no time
/// that is shown has to be better.
pub(crate) const CLOCK_STEP_MIN: Duration = Duration::from_secs(1);

/// Ended calls that are remembered for the administration interface, oldest forgotten first.
pub(crate) const ENDED_CALLS_KEPT: usize = 200;

/// Ended calls that wait for the last word of their media worker, and of the disk; a worker answers within a turn of its loop.
pub(crate) const LAST_WORDS_MAX: usize = 4_096;

/// How long the record of a call waits for that word: a worker that takes longer has not been told, or is not alive. And how long it waits after that for the
/// disk to have its recordings; both together end before a shutdown does.
pub(crate) const LAST_WORD_WITHIN: Duration = Duration::from_secs(2);

/// How long BYE, or the answer to SIP Server's, waits for that word where it is to tell it: far less than the 500 ms (T1) after which a BYE is
/// said again, and far more than a worker takes that has time for its calls.
pub(crate) const FAREWELL_WITHIN: Duration = Duration::from_millis(200);

/// Agents that a shutdown says goodbye for at once: as many BYEs and REGISTERs as the send buffer of a socket takes (208 KiB on Linux unless set, each
/// datagram counts for about two), at two sites.
pub(crate) const LEAVE_AT_ONCE: usize = 50;

/// How long the next ones wait: SIP Server, and our own sockets, hear the answers meanwhile. Five thousand have left after two seconds.
pub(crate) const LEAVE_EVERY: Duration = Duration::from_millis(20);

/// Ports tried for one call before it fails: more means that the range is occupied by somebody else.
pub(crate) const PORT_TRIES_MAX: u8 = 8;

/// `answer-after` of `Call-Info` beyond this is taken for no wish at all: SIP Server's no-answer timers are shorter.
pub(crate) const ANSWER_AFTER_MAX: Duration = Duration::from_secs(60);

/// How long a call may ring, in either direction. SIP Server gives up far earlier; this is for one that vanished without a CANCEL
/// or a final answer.
pub(crate) const RINGING_MAX: Duration = Duration::from_secs(300);

/// Answers of a page in a row that cannot be used before it is offered no further leg: a page that cannot do better
/// must not keep a worker busy.
pub(crate) const REFUSED_ANSWERS_MAX: u8 = 3;

/// Of the legs that a page is offered because the one before failed, the second and later ones are so far apart, from offer to offer: what cannot be had
/// fails within milliseconds, and would be tried again as fast.
pub(crate) const LEG_DISTANCE_MIN: Duration = Duration::from_secs(1);

/// The distance doubles with each that fails as soon, up to this: a call that waits for its audio ([`LEG_RECOVERY_MAX`]) still sees some.
pub(crate) const LEG_DISTANCE_MAX: Duration = Duration::from_secs(8);

/// Fresh offers of one wish to hold or retrieve after the peer's own change of the session came first, each of which the user agent
/// has tried several times: no peer that keeps to RFC 3261 section 14.1 comes so far.
pub(crate) const COLLISIONS_MAX: u8 = 3;

/// The pause before a peer that could not take a hold for the moment is told again: one request in ten seconds burdens nobody, and
/// a switch-over of SIP Server is over by then.
pub(crate) const HOLD_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// How long a call may stay in `ending` before it is forgotten: 64*T1 for a BYE, and the same for a 2xx without ACK before it.
pub(crate) const ENDING_MAX: Duration = Duration::from_secs(70);

/// How long a transfer may take from the agent's click to its outcome: longer than a site lets a target ring before the call is
/// treated as not answered. Then the agent gets the call back.
pub(crate) const TRANSFER_MAX: Duration = Duration::from_secs(120);

/// How long after a transfer's success we wait for SIP Server to end the agent's part of it before we do: its BYE follows the
/// NOTIFY within a round trip, and two BYEs that cross do no harm.
pub(crate) const TRANSFERRED_BYE_AFTER: Duration = Duration::from_secs(2);

/// Life of the subscription to what becomes of a REFER of SIP Server, seconds: longer than any call of ours may ring, so that it is
/// never to be refreshed.
pub(crate) const REFERRAL_EXPIRES_S: u64 = RINGING_MAX.as_secs() + 60;

/// How long a lost browser leg may try to come back before its calls end, while the page itself is connected.
pub(crate) const LEG_RECOVERY_MAX: Duration = Duration::from_secs(30);

/// How long the first DN that goes back to a preferred SIP Server may look around there: its REGISTER ends after 64*T1 at the latest,
/// and the answer to a challenge takes as long again.
pub(crate) const SCOUT_MAX: Duration = Duration::from_secs(70);

/// Longest pause before the next DN looks whether a preferred SIP Server that answers takes registrations.
pub(crate) const SCOUT_HOLD_MAX: Duration = Duration::from_secs(600);

/// DNs that begin to move to another SIP Server in one turn: a tenth of a millisecond each, so that calls wait for a few milliseconds.
pub(crate) const RELOCATED_A_TURN_MAX: usize = 50;

/// The pause between two such turns. The rate of REGISTERs is kept behind it, so this is only the longer of the two for rates that no
/// SIP Server takes.
pub(crate) const RELOCATION_PAUSE: Duration = Duration::from_millis(10);

/// SIP Servers of one site: a pair, its other pair and the proxies in front have eight. Each is probed, and tried in its turn; DNS may name
/// more.
pub(crate) const SERVERS_A_SITE_MAX: usize = 16;

/// Bad seconds of a media worker in a row before it gets no further calls: a telephone's buffer bridges one, and a caller who hears three hangs up.
pub(crate) const OVERLOAD_AFTER_REPORTS: u8 = 3;

/// Good seconds in a row before it gets calls again: longer than a burst of sign-ins, and no call is lost by the wait.
pub(crate) const OVERLOAD_OVER_REPORTS: u8 = 5;

/// Agents of one media worker: it has 8,192 browser legs, one for each of them, and a second one for some while they come back.
pub(crate) const SESSIONS_A_WORKER_MAX: usize = 7_168;

/// How often it is looked whether the media workers say something: as often as they do.
pub(crate) const WORKERS_LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks in a row without a report that a worker may have before it counts as hanging: two to three seconds, as for a worker that is too busy. A caller who
/// is not heard for longer hangs up.
pub(crate) const SILENT_AFTER_LOOKS: u8 = 2;

/// From how many calls on the time that a worker was busy says what one of them takes; with fewer it is mostly spent on agents without a call.
pub(crate) const FORECAST_CALLS_MIN: usize = 10;

/// How far below the limit of its time a worker must be for a second to count as good, percent: the share of some dozens of calls, so that
/// those that come next do not shut it again.
pub(crate) const OVERLOAD_MARGIN_PERCENT: u8 = 10;

/// Recordings of one call, one after the other: an agent who begins and ends them by hand does so a few times.
pub(crate) const RECORDINGS_A_CALL_MAX: usize = 32;

/// Consumers that listen to one call live: transcription, assistance, a supervisor. With a recording they are as many as a media worker takes.
pub(crate) const LIVE_TAPS_A_CALL_MAX: usize = 3;
