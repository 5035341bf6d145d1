//! Every metric there is, with its meaning. `docs/metrics.md` is printed from here.

/// What kind of metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

impl Kind {
    /// The word in the documentation.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The name as it is scraped.
    pub name: &'static str,
    /// What kind of metric.
    pub kind: Kind,
    /// The labels, each of a closed set.
    pub labels: &'static [&'static str],
    /// What it says.
    pub meaning: &'static str,
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    meaning: &'static str,
) -> Entry {
    Entry {
        name,
        kind: Kind::Counter,
        labels,
        meaning,
    }
}

const fn gauge(
    name: &'static str,
    labels: &'static [&'static str],
    meaning: &'static str,
) -> Entry {
    Entry {
        name,
        kind: Kind::Gauge,
        labels,
        meaning,
    }
}

const fn histogram(
    name: &'static str,
    labels: &'static [&'static str],
    meaning: &'static str,
) -> Entry {
    Entry {
        name,
        kind: Kind::Histogram,
        labels,
        meaning,
    }
}

/// Every metric, in the order of the documentation: registration, calls, talk, pages, media, defence, process.
pub const CATALOGUE: &[Entry] = &[
    gauge(
        "talkbridge_dns_registered",
        &[],
        "DNs that SIP Server has registered for us",
    ),
    gauge(
        "talkbridge_dns_missing",
        &[],
        "DNs that are to be registered, always or for their signed-in agent, and are not; `talkbridge_registration_failures_total` and the log say why",
    ),
    gauge("talkbridge_dns_configured", &[], "DNs in the configuration"),
    gauge(
        "talkbridge_sip_servers",
        &["site", "state"],
        "SIP Servers by site of the configuration (`default` where there is one without a name), `up` while they answer as far as is known, \
         else `down`; which ones they are is in the log",
    ),
    counter(
        "talkbridge_register_total",
        &["code"],
        "Registrations that came to a new state, by the final SIP status; `none` when no answer came, `other` for rare ones",
    ),
    counter(
        "talkbridge_registration_failures_total",
        &["fault"],
        "Registrations that failed, by what is wrong: `not_configured`, `wrong_password`, `no_password`, `forbidden`, `interval_too_brief`, `unavailable`, `silent_behind`, `declined`, `refused`, `silent`, `unreachable`, `taken_over`, `impossible`, `no_server`",
    ),
    gauge(
        "talkbridge_calls_active",
        &["state"],
        "Calls that are up, by state of the agent protocol",
    ),
    counter(
        "talkbridge_calls_ended_total",
        &["cause"],
        "Calls that are over, by cause of the failure table in docs/talk-and-hold.md",
    ),
    counter(
        "talkbridge_talk_total",
        &["result"],
        "NOTIFY talk and hold in dialogs of ours, by what they did: answered, waiting, retrieved, held, no_op, failed",
    ),
    counter(
        "talkbridge_one_way_audio_total",
        &["dir", "reason"],
        "Times that a call's audio was missing one way, `to_agent` or `to_caller`, for at least 5 s while the other way flowed: `other_address` (packets come from an address that SIP Server did not name), `other_key` (packets come that the key of the description does not fit, [SRTP](srtp.md)), `other_format`, `nothing`",
    ),
    counter(
        "talkbridge_transfers_total",
        &["kind", "result"],
        "Transfers that came to their end, `blind` or `attended` by the agent, `referred` by SIP Server, by what came of them: done, failed, abandoned (the call ended first)",
    ),
    histogram(
        "talkbridge_talk_to_ok_seconds",
        &[],
        "From NOTIFY talk to the 200 of the INVITE",
    ),
    histogram(
        "talkbridge_talk_to_audio_seconds",
        &["dir"],
        "From NOTIFY talk to the first packet that went on: `to_agent` or `to_caller`",
    ),
    histogram(
        "talkbridge_invite_to_ringing_seconds",
        &[],
        "From SIP Server's INVITE to our 180",
    ),
    gauge(
        "talkbridge_ws_connections",
        &[],
        "Agent WebSockets that are open",
    ),
    gauge(
        "talkbridge_pages_signed_in",
        &[],
        "Pages that are signed in",
    ),
    counter(
        "talkbridge_ws_closed_total",
        &["code"],
        "Agent WebSockets closed by us, by close code",
    ),
    counter(
        "talkbridge_sign_ins_refused_total",
        &["reason"],
        "Pages with a valid token that were not signed in: `overload` (no media worker takes agents now), `draining` (the gateway goes down) or \
         `unknown_dn`",
    ),
    counter(
        "talkbridge_ws_origin_refused_total",
        &[],
        "WebSocket upgrades refused for their Origin",
    ),
    histogram(
        "talkbridge_ice_connect_seconds",
        &[],
        "From the page's answer to ICE connected",
    ),
    histogram(
        "talkbridge_dtls_connect_seconds",
        &[],
        "From ICE connected to DTLS finished",
    ),
    counter(
        "talkbridge_browser_legs_failed_total",
        &["cause"],
        "Media connections of browsers that failed or were closed by the browser, by [cause](networks.md#why-a-browser-has-no-audio)",
    ),
    counter(
        "talkbridge_rtp_packets_total",
        &["leg", "dir"],
        "RTP packets accepted (`in`) and sent (`out`), on the `sip` and the `browser` leg",
    ),
    counter(
        "talkbridge_rtp_lost_total",
        &["leg"],
        "RTP packets that never came, counted when their call ends",
    ),
    histogram(
        "talkbridge_mos",
        &["leg", "dir"],
        "Mean opinion score of calls that are over, by the E-model (ITU-T G.107) from the delay and what both legs lost, named for the leg that the \
         packets came over; where the far end of the other leg sends no RTCP its loss is not in it. Calls without these measurements are not in it",
    ),
    histogram(
        "talkbridge_jitter_seconds",
        &["leg", "dir"],
        "Interarrival jitter of calls that are over: of what came over a leg (`in`), and as the leg's far end reports it by RTCP of what it \
         was sent (`out`)",
    ),
    histogram(
        "talkbridge_loss_ratio",
        &["leg", "dir"],
        "Share of packets that never came, of calls that are over: over a leg (`in`), and by its far end's RTCP of what it was sent (`out`)",
    ),
    histogram(
        "talkbridge_rtt_seconds",
        &["leg", "dir"],
        "Round trip of each leg by RTCP, of calls that are over; `dir` is always `in`",
    ),
    histogram(
        "talkbridge_concealed_ratio",
        &["leg", "dir"],
        "Share of speech that was guessed, of calls that are over: here, where it is decoded (`in`), and by the browser, where its page tells \
         (`browser`, `out`)",
    ),
    counter(
        "talkbridge_rtp_wrong_source_total",
        &[],
        "RTP and RTCP from addresses that no session description names",
    ),
    counter(
        "talkbridge_rtp_malformed_total",
        &[],
        "RTP and RTCP that could not be read or was not agreed, and keys that come faster than anybody presses them",
    ),
    counter(
        "talkbridge_digits_refused_total",
        &[],
        "Digits that could not be sent because telephone-event was not agreed, or too many waited",
    ),
    counter(
        "talkbridge_srtp_auth_fail_total",
        &[],
        "SRTP and SRTCP from the right address, of a browser or the SIP side, that did not authenticate",
    ),
    counter(
        "talkbridge_dtls_unvalidated_source_total",
        &[],
        "DTLS from addresses that no authenticated ICE check came from, and of those who have not shown that they hear us",
    ),
    counter(
        "talkbridge_stun_bad_integrity_total",
        &[],
        "STUN checks for a session of ours with a wrong signature",
    ),
    counter(
        "talkbridge_webrtc_unknown_total",
        &[],
        "Datagrams on WebRTC ports that belong to no session",
    ),
    counter(
        "talkbridge_sip_refused_total",
        &["reason"],
        "SIP messages refused before they reached a call: source, response_source, parse, method, ...",
    ),
    counter(
        "talkbridge_sip_dropped_total",
        &[],
        "SIP datagrams dropped because the control loop was behind",
    ),
    gauge(
        "talkbridge_sip_connections",
        &[],
        "SIP streams (TCP and TLS) that are open",
    ),
    counter(
        "talkbridge_sip_connections_refused_total",
        &[],
        "SIP streams closed unheard: a stranger's, or one too many",
    ),
    gauge(
        "talkbridge_ice_tcp_connections",
        &[],
        "Connections of browsers that have no UDP (ICE over TCP) and that a media worker has taken",
    ),
    counter(
        "talkbridge_ice_tcp_refused_total",
        &[],
        "Connections at that port closed because there were too many, or because their first message was not for an agent who is signed in",
    ),
    counter(
        "talkbridge_http_connections_refused_total",
        &["listener"],
        "HTTP connections closed unheard because there were too many: `agents` or `admin`",
    ),
    counter(
        "talkbridge_media_messages_dropped_total",
        &["dir"],
        "Messages between the control loop and the media workers that were lost: facts that a full queue did not take (`from_worker`), and digits for \
         a worker that was far behind (`to_worker`); each is a fault worth an alarm",
    ),
    gauge(
        "talkbridge_media_busy_ratio",
        &["worker"],
        "Share of the last second in which a media worker ran, or waited for a processor to run on",
    ),
    gauge(
        "talkbridge_media_late_ratio",
        &["worker"],
        "Share of the last second in which a packet would have waited for 20 ms and more before a media worker came to it",
    ),
    gauge(
        "talkbridge_media_quota_ratio",
        &["worker"],
        "What the whole process took of the processor time that a control group (a container's limit, `CPUQuota=`) let it have in the last second of a \
         media worker; absent where none limits it",
    ),
    gauge(
        "talkbridge_media_overloaded",
        &["worker"],
        "1 while a media worker has too much to do and calls of its agents are refused (`overload`, 503)",
    ),
    gauge(
        "talkbridge_media_silent",
        &["worker"],
        "1 while a media worker that reported every second says nothing: it hangs, nobody on it is heard, and calls of its agents are refused \
         (`overload`, 503)",
    ),
    gauge(
        "talkbridge_media_commands_waiting",
        &["worker"],
        "Commands that wait for a media worker: what happens to its calls meanwhile, all of it obeyed as soon as it comes to it",
    ),
    gauge("talkbridge_ports_in_use", &[], "RTP port pairs in use"),
    gauge(
        "talkbridge_ports_quarantined",
        &[],
        "RTP port pairs that rest after use",
    ),
    counter(
        "talkbridge_admin_refused_total",
        &["reason"],
        "Requests refused at the administrators' listener: `token` (none, or a wrong one, 401), `origin` (a page of another site) and `host` (another name than loopback's), both 403",
    ),
    gauge("talkbridge_draining", &[], "1 while new calls are refused"),
    counter(
        "talkbridge_config_reload_total",
        &["result"],
        "Reloads on SIGHUP: `ok` or `failed`; a failed one changes nothing",
    ),
    counter(
        "talkbridge_log_lines_dropped_total",
        &[],
        "Log lines that the log's target did not take in time",
    ),
    gauge(
        "talkbridge_table_entries",
        &["table"],
        "What the control loop holds: `calls`, `dialogs`, `last_words` (ended calls whose media worker has yet to report), `legs` (browsers' connections), `pages`, \
         `recording_files` (being written, or on their way to the disk), `referrals`, `registrations`, `sessions`, `sip_dialogs`, `sip_transactions`, `taps`; what stays when everybody is gone is a leak",
    ),
    gauge(
        "talkbridge_tasks",
        &[],
        "Tasks of the runtime: one or two for each connection, and some that stay",
    ),
    histogram(
        "talkbridge_loop_turn_seconds",
        &[],
        "How long one turn of the control loop takes",
    ),
    gauge(
        "talkbridge_certificate_not_after_seconds",
        &["listener"],
        "When the certificate in use ends, in seconds since 1970: of the `agents`' listener or of the `sip` side; absent where there \
         is none",
    ),
    counter(
        "talkbridge_cdr_written_total",
        &[],
        "Records of calls in the file of `[cdr]`",
    ),
    counter(
        "talkbridge_cdr_lost_total",
        &["reason"],
        "Records of calls that are not in that file because the disk was too slow (`queue`) or did not take them (`disk`), or because calls were refused faster than ten a second (`refused`)",
    ),
    gauge(
        "talkbridge_recordings_active",
        &[],
        "Recordings that are being written",
    ),
    counter(
        "talkbridge_recordings_total",
        &["result"],
        "Recordings that came to their end: `finished`, or `failed` because the disk did not take them",
    ),
    counter(
        "talkbridge_recording_lost_frames_total",
        &[],
        "Frames of 20 ms that are silence in recordings because the disk was too slow, or the machine stood still",
    ),
    gauge(
        "talkbridge_live_taps",
        &[],
        "Consumers that listen to calls live",
    ),
    counter(
        "talkbridge_live_tap_dropped_frames_total",
        &[],
        "Frames of 20 ms that live consumers were too slow for",
    ),
    gauge(
        "talkbridge_build_info",
        &["version"],
        "Always 1; the label says what runs",
    ),
];

/// The entry of a metric of ours.
pub(super) fn entry(name: &str) -> &'static Entry {
    CATALOGUE
        .iter()
        .find(|entry| entry.name == name)
        .expect("every registered metric is catalogued")
}
