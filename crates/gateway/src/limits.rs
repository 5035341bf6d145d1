//! Bounds on everything that can grow in the shell, each with its reason. What an administrator may want to move is in
//! `[limits]` of the configuration.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Longest token in octets: a JWT of RS256 with a page of claims fits.
pub const TOKEN_OCTETS_MAX: usize = 8192;

/// How far clocks of the token's maker and ours may be apart, in seconds.
pub const TOKEN_CLOCK_LEEWAY_S: u64 = 30;

/// Largest message of a page, in octets: an SDP with many candidates and a `stats` report fit several times.
pub const PAGE_MESSAGE_OCTETS_MAX: usize = 64 * 1024;

/// A message that is too large is read up to here: a connection that is closed over octets that nobody has read is reset, and the reset
/// overtakes the code that says why.
pub const PAGE_MESSAGE_OCTETS_READ: usize = 4 * PAGE_MESSAGE_OCTETS_MAX;

/// What a page may say up to its `hello`, in octets: that has the longest token and some words. Until then nobody vouches for it, and a message of the
/// largest kind on each of 12,000 WebSockets would be 3 GB.
pub const PAGE_HELLO_OCTETS_MAX: usize = 16 * 1024;

/// Read buffer of a WebSocket: the default of 128 KiB is what a connection costs, this is what it needs.
pub const PAGE_READ_BUFFER_OCTETS: usize = 4096;

/// What may wait inside a WebSocket that does not take it: one message of the largest kind and its frame.
pub const PAGE_WRITE_BUFFER_OCTETS_MAX: usize = 256 * 1024;

/// How long a page may take to say `hello`.
pub const HELLO_WITHIN: Duration = Duration::from_secs(5);

/// Messages that wait for a page that does not read; the next one closes it, with 4408 unless it says why else.
pub const PAGE_QUEUE_MAX: usize = 64;

/// How long one message may take to leave before the page counts as too slow.
pub const PAGE_WRITE_WITHIN: Duration = Duration::from_secs(10);

/// How often a silent page is pinged.
pub const PAGE_PING_EVERY: Duration = Duration::from_secs(20);

/// Pings without any frame after them: the page is gone when it is time for the next. Counted and not timed, since a gateway that stood still has asked nothing.
pub const PAGE_PINGS_UNANSWERED_MAX: u8 = 2;

/// How long a closing WebSocket waits for the page's own close frame.
pub const PAGE_CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Messages of a burst, as a multiple of the rate: trickled candidates come all at once.
pub const PAGE_BURST_FACTOR: u32 = 4;

/// How long the head of an HTTP request may take; also the TLS handshake before it.
pub const HTTP_HEAD_WITHIN: Duration = Duration::from_secs(10);

/// What is read of an HTTP connection ahead of its requests, and written ahead of the peer: the longest token and its neighbours fit. hyper takes 400 KB unasked,
/// which connections that were never signed in could fill.
pub const HTTP_BUFFER_OCTETS_MAX: usize = 16 * 1024;

/// How long a connection may stay HTTP before it takes no further request; what is under way then has as long again. A page and its library are loaded in a moment.
pub const HTTP_CONNECTION_WITHIN: Duration = Duration::from_secs(30);

/// TLS handshakes of the agents' listener between which nobody else has a turn: a millisecond each, so that pages wait for a few milliseconds while a flood lasts.
pub const HTTP_HANDSHAKES_MAX: usize = 4;

/// Largest body of an administrator's request, in octets.
pub const ADMIN_BODY_OCTETS_MAX: usize = 16 * 1024;

/// How long an administrator's request waits for the control loop.
pub const ADMIN_REPLY_WITHIN: Duration = Duration::from_secs(2);

/// HTTP connections beyond the WebSockets that are allowed: page loads, and the administrators' own.
pub const HTTP_CONNECTIONS_SPARE: usize = 512;

/// How many hosts' connections one IPv6 network of 64 bits may have: a campus has one such network for thousands of agents, and an attacker no more than one.
pub const HTTP_NETWORK_HOSTS: usize = 16;

/// Which part of all connections one such network always leaves to others: an eighth.
pub const HTTP_NETWORK_LEAVES_DIVISOR: usize = 8;

/// Characters of a refused page's Origin and Host in the log: as long as a host with its scheme may be.
pub const ORIGIN_SHOWN_MAX: usize = 280;

/// Octets that wait unsent in the system for an administrator who does not read: a quarter of a second of a live tap at 16 kHz.
pub const ADMIN_UNSENT_OCTETS_MAX: u32 = 16 * 1024;

/// Connections of the administration listener.
pub const ADMIN_CONNECTIONS_MAX: usize = 128;

/// How long an administrator's connection may take nothing that it is sent, or not acknowledge it (`TCP_USER_TIMEOUT`): who has vanished, or does not read, gives
/// his place among the subscribers back. Two of the comments that a quiet stream of events has every 15 s.
pub const ADMIN_ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(30);

/// Subscribers of the event stream.
pub const EVENT_SUBSCRIBERS_MAX: usize = 16;

/// Events that are kept for a subscriber who comes back with `Last-Event-ID`.
pub const EVENTS_KEPT_MAX: usize = 1024;

/// Log lines a second about refused SIP messages: a scanner must not fill the disk.
pub const REFUSED_LINES_PER_S: u32 = 1;

/// Lines about refused SIP messages in a burst, as a multiple of the rate.
pub const REFUSED_LINES_BURST: u32 = 10;

/// Refused calls a second that have a log line and a record: more than a busy centre's agents refuse, and some 20 MB an hour where a routing loop asks for it.
pub const REFUSED_CALLS_PER_S: u32 = 10;

/// Lines and records of refused calls in a burst, as a multiple of the rate: a restart of the queues offers each agent's call at once.
pub const REFUSED_CALLS_BURST: u32 = 60;

/// How often one kind of line is written that anybody can cause: bad tokens, foreign pages, messages that cannot leave.
pub const SPARING_LINE_EVERY: Duration = Duration::from_secs(10);

/// Events that wait for a subscriber that does not read; older ones are dropped and counted to him.
pub const EVENT_QUEUE_MAX: usize = 1024;

/// SIP messages that wait for the control loop; more are dropped and counted, and their senders repeat them.
pub const SIP_QUEUE_MAX: usize = 4096;

/// The same in octets: 8 KiB for each message of a full queue, several times what SIP Server's have, and half a thousand of the largest there are.
pub const SIP_QUEUE_OCTETS_MAX: u32 = 32 * 1024 * 1024;

/// Which part of that queue datagrams of strangers may fill: a quarter, so that a flood from anywhere costs SIP Server's messages
/// no place.
pub const SIP_QUEUE_STRANGERS_DIVISOR: usize = 4;

/// Which part of the SIP streams strangers may hold where they are answered with 403: an eighth.
pub const SIP_STREAM_STRANGERS_DIVISOR: usize = 8;

/// SIP streams that we open, beside those that others open: SIP Servers are few, and each is one stream.
pub const SIP_STREAMS_OURS_MAX: usize = 64;

/// Messages of pages that wait for the control loop; then the pages wait.
pub const PAGES_QUEUE_MAX: usize = 1024;

/// Requests of administrators that wait for the control loop.
pub const ADMIN_QUEUE_MAX: usize = 64;

/// Facts of media workers that wait for the control loop. A worker never waits for it: see `control_loop`.
pub const MEDIA_QUEUE_MAX: usize = 65_536;

/// Commands that may wait for a media worker before those that later ones have made needless are left out: a thousand calls in one turn of the loop fit.
pub const MEDIA_COMMANDS_MAX: usize = 8_192;

/// Largest SIP datagram: what UDP can carry.
pub const SIP_DATAGRAM_OCTETS_MAX: usize = 65_535;

/// Receive buffer of the SIP sockets: a start-up of thousands of DNs answers in bursts.
pub const SIP_RECEIVE_BUFFER_OCTETS: usize = 4 * 1024 * 1024;

/// Octets read from a SIP stream at a time.
pub const SIP_STREAM_READ_OCTETS: usize = 8192;

/// How long a SIP stream may hold half a message: one octet a second is an attack.
pub const SIP_STREAM_HALF_MESSAGE_MAX: Duration = Duration::from_secs(20);

/// How long a SIP stream may stay without any message or keep-alive; SIP Server's refreshes and checks come more often.
pub const SIP_STREAM_IDLE_MAX: Duration = Duration::from_secs(3600);

/// How long a SIP stream that never carried a whole message may stay open.
pub const SIP_STREAM_FIRST_MESSAGE_WITHIN: Duration = Duration::from_secs(30);

/// How long connecting a SIP stream may take, TLS included: below Timer B and F (32 s), so that the next server is tried.
pub const SIP_CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// How long a SIP message may take to leave on a stream, and the stream's end: below Timer B and F (32 s), so that it goes on another one in time.
pub const SIP_WRITE_WITHIN: Duration = Duration::from_secs(5);

/// How long the answer to a ping may take (RFC 5626 section 4.4.1).
pub const SIP_PONG_WITHIN: Duration = Duration::from_secs(10);

/// How long what was sent to SIP Server may stay without acknowledgement before the connection is given up: while something is on its way the operating system
/// asks no silent end whether it lives, and repeats for a quarter of an hour. Timer B and F (`patience`, 64*T1) less the time of a new connection, on which the
/// request then goes on; half of them where they are short, and a second where a laboratory has made them shorter than that of TCP itself.
#[must_use]
pub fn tcp_acknowledged_within(patience: Duration) -> Duration {
    let within = patience
        .saturating_sub(SIP_CONNECT_WITHIN)
        .max(patience / 2);
    within.max(Duration::from_secs(1))
}

/// How much longer it takes until what was sent counts as acknowledged: the operating system repeats at its own moments, and gives up half a second after its time
/// on a fast network, some round trips later on a slow one.
pub const TCP_UNACKNOWLEDGED_MARGIN: Duration = Duration::from_secs(3);

/// When the operating system asks a silent end again that has not answered.
pub const TCP_KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// How many questions stay without answer before the connection is given up: a minute after the first, long before a DN's registration expires.
pub const TCP_KEEP_ALIVE_TRIES: u32 = 4;

/// Messages that wait for a SIP stream that does not read; then the connection is given up.
pub const SIP_STREAM_QUEUE_MAX: usize = 1024;

/// How old the beat of the control loop may be before `/livez` says so.
pub const BEAT_MAX_AGE: Duration = Duration::from_secs(5);

/// How often the control loop beats when nothing happens.
pub const BEAT_EVERY: Duration = Duration::from_secs(1);

/// How long BYE, CANCEL and `Expires: 0` may take at the end before the process leaves without the answers, of so many DNs: each is a message or two that a
/// SIP Server has to answer, and none of them is repeated after us.
#[must_use]
pub fn farewell_within(dns: usize) -> Duration {
    let each = FAREWELL_PER_DN.saturating_mul(u32::try_from(dns).unwrap_or(u32::MAX));
    FAREWELL_WITHIN.saturating_add(each)
}

/// The time of a site with one DN.
const FAREWELL_WITHIN: Duration = Duration::from_secs(5);

/// What each DN adds: five thousand have 15 s, half of what the service's unit leaves them.
const FAREWELL_PER_DN: Duration = Duration::from_millis(2);

/// How long the end takes at least, so that the answers to our goodbyes are heard and a lost one is sent again.
pub const FAREWELL_AT_LEAST: Duration = Duration::from_millis(300);

/// How often the end is looked for.
pub const FAREWELL_LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long the end waits for media workers to end and for the disk to have records and recordings: a site's open files take seconds, what hangs takes for
/// ever. Recordings that are left are completed at the next start.
pub const PUT_AWAY_WITHIN: Duration = Duration::from_secs(10);

/// How long recordings wait at the end for what the media workers have heard last: one that is well ends in a moment.
pub const WORKERS_END_WITHIN: Duration = Duration::from_secs(2);

/// How long the end waits for its last log lines to be taken.
pub const LOG_FLUSH_WITHIN: Duration = Duration::from_secs(5);

/// How often a draining process looks whether its last call is over.
pub const DRAIN_LOOK_EVERY: Duration = Duration::from_millis(250);

/// How often it is looked whether the media workers live.
pub const WORKERS_LOOK_EVERY: Duration = Duration::from_secs(1);

/// Descriptors that are taken without being asked for, where the system allows as many: a system that allows a thousand million means no limit.
pub const DESCRIPTORS_MAX: u64 = 1 << 20;

/// Log lines that wait for a target that does not take them; more are dropped and counted, calls go on.
pub const LOG_QUEUE_MAX: usize = 8192;

/// How long log lines gather after some were written. Waking a sleeping thread costs more than the line; under load this is done a few
/// hundred times a second instead of for each line. Half of the queue would take more than two million lines a second.
pub const LOG_GATHER: Duration = Duration::from_millis(2);

/// Octets of log lines that are written at once.
pub const LOG_WRITE_MAX: usize = 64 * 1024;

/// How long credentials for a TURN server may be good for, seconds: shorter ones end while a page still sets its connection up, and longer
/// ones are no secret that ends.
pub const TURN_TTL_S: RangeInclusive<u32> = 60..=7 * 86_400;

/// How long a browser's connection may take to its first check: browsers send it at once.
pub const ICE_TCP_FIRST_CHECK_WITHIN: Duration = Duration::from_secs(5);

/// Octets in which the first check must be: browsers' have about a hundred.
pub const ICE_TCP_FIRST_CHECK_MAX: usize = 1_024;

/// How long a connection may stay that has named a leg and has not proven to be its browser: one check interval, and one more.
pub const ICE_TCP_ADOPTED_WITHIN: Duration = Duration::from_secs(10);

/// How long a connection that was in use may stay without being written to: consent is asked for every few seconds, and answered.
pub const ICE_TCP_SILENCE_MAX: Duration = Duration::from_secs(60);

/// Octets that wait for a browser that does not read, half a second of audio; more are dropped, as on any network that is too slow.
pub const ICE_TCP_OUTBOX_MAX: usize = 8 * 1_024;

/// How often the connections are looked over.
pub const ICE_TCP_LOOK_EVERY: Duration = Duration::from_secs(1);

/// Sites at which each DN is registered at once: Business Continuity has two, and each costs every DN a registration.
pub const SITES_MAX: usize = 4;

/// Records of one DNS answer that are looked at: more than any SIP Server site names, and each may ask for further questions.
pub const DNS_RECORDS_MAX: usize = 16;

/// How long one DNS server may take to answer, and how often all are asked: a question is given up within some seconds, as the
/// servers that are known stay in use.
pub const DNS_ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// See [`DNS_ANSWER_WITHIN`].
pub const DNS_TRIES: usize = 2;

/// How often a name is asked for at most, whatever time to live its records have.
pub const DNS_TTL_MIN: Duration = Duration::from_secs(1);

/// How long an answer is good for at most: a site that moves is noticed within the hour.
pub const DNS_TTL_MAX: Duration = Duration::from_secs(3600);

/// The pause after a question without answer; it doubles with each further one.
pub const DNS_RETRY_FIRST: Duration = Duration::from_secs(1);

/// The longest of those pauses.
pub const DNS_RETRY_MAX: Duration = Duration::from_secs(30);

/// Call records that wait for their file: a minute of the busiest site. A disk that is slower for longer costs records, never calls.
pub const CDR_QUEUE_MAX: usize = 4_096;

/// Frames of 20 ms that wait for the writer of recordings: two hundred calls for a second, or one for three minutes; 6 to 13 MB. What comes then
/// is silence in the file.
pub const RECORDING_FRAMES_MAX: usize = 10_000;

/// Files that wait for their end: as many calls as end within half a minute at the busiest site. Of more the writer waits, and what is recorded meanwhile has gaps.
pub const RECORDINGS_ENDED_MAX: usize = 1_024;

/// Frames of silence that stand for a gap at most: ten minutes. A machine that slept longer does not fill its disk with it.
pub const RECORDING_GAP_FRAMES_MAX: u64 = 30_000;

/// Frames of 20 ms that wait for one live consumer: two seconds. One that is further behind hears what is said now, and is told what it missed.
pub const LIVE_FRAMES_MAX: usize = 100;

/// Changes of a call (held, retrieved, its recording paused) that wait for one live consumer: more than people make in those seconds.
pub const LIVE_MARKS_MAX: usize = 64;

/// Live consumers at a time: each has its calls decoded once more.
pub const LIVE_TAPS_MAX: usize = 64;

/// How long one message may take to a live consumer before its place is given up.
pub const LIVE_WRITE_WITHIN: Duration = Duration::from_secs(10);
