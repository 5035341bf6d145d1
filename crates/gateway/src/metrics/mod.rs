//! Metrics: fixed names, closed label sets, text on request. What was never measured is absent.

mod buckets;
mod catalogue;
mod kept;
mod labels;
mod quality;
mod sources;
mod tables;
#[cfg(test)]
mod tests;
mod workers;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use control::MediaFailure;
use control::admin::ReadyCheck;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};
use sip::ua::RegistrationFault;
use switchboard::{
    Cause, Gauges, MediaDirection, MissingAudio, TalkResult, TransferKind, TransferResult,
};

use self::kept::Kept;
use self::quality::Quality;
use self::tables::Tables;
use self::workers::Workers;
use buckets::{SECONDS, TURN_SECONDS};
use labels::{
    CauseLabel, Code, Dir, DirReason, KindResult, Leg, LegDir, Listener, Reason,
    RegistrationFailure, ResultLabel, SiteState, State, Version, close_label, code_label,
};
pub(crate) use labels::{
    direction_label, missing_label, talk_label, transfer_kind, transfer_result,
};

pub use catalogue::{CATALOGUE, Entry, Kind};
pub use sources::Sources;

/// Content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Counters<L> = Family<L, Counter>;
type Gauges64<L> = Family<L, Gauge>;
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    sources: Sources,
    dns_registered: Gauge,
    dns_missing: Gauge,
    dns_configured: Gauge,
    sip_servers: Gauges64<SiteState>,
    register: Counters<Code>,
    calls_active: Gauges64<State>,
    calls_ended: Counters<CauseLabel>,
    talk: Counters<ResultLabel>,
    one_way_audio: Counters<DirReason>,
    transfers: Counters<KindResult>,
    sign_ins_refused: Counters<Reason>,
    registration_failures: Counters<RegistrationFailure>,
    talk_to_ok: Histogram,
    talk_to_audio: Histograms<Dir>,
    invite_to_ringing: Histogram,
    ws_connections: Gauge,
    pages: Gauge,
    ws_closed: Counters<Code>,
    ws_origin_refused: Counter,
    ice_connect: Histogram,
    dtls_connect: Histogram,
    legs_failed: Counters<CauseLabel>,
    rtp_packets: Counters<LegDir>,
    rtp_lost: Counters<Leg>,
    quality: Quality,
    rtp_wrong_source: Counter,
    rtp_malformed: Counter,
    digits_refused: Counter,
    srtp_auth_fail: Counter,
    dtls_unvalidated_source: Counter,
    stun_bad_integrity: Counter,
    webrtc_unknown: Counter,
    sip_refused: Counters<Reason>,
    sip_dropped: Counter,
    sip_connections: Gauge,
    sip_connections_refused: Counter,
    ice_tcp_connections: Gauge,
    ice_tcp_refused: Counter,
    http_connections_refused: Counters<Listener>,
    admin_refused: Counters<Reason>,
    media_messages_dropped: Counters<Dir>,
    ports_in_use: Gauge,
    ports_quarantined: Gauge,
    draining: Gauge,
    config_reload: Counters<ResultLabel>,
    log_lines_dropped: Counter,
    certificate_not_after: Family<Listener, Gauge>,
    loop_turn: Histogram,
    kept: Kept,
    tables: Tables,
    workers: Workers,
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

impl Metrics {
    /// All metrics at zero, or absent.
    #[must_use]
    pub fn new(sources: Sources) -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            sources,
            dns_registered: Gauge::default(),
            dns_missing: Gauge::default(),
            dns_configured: Gauge::default(),
            sip_servers: Family::default(),
            register: Family::default(),
            calls_active: Family::default(),
            calls_ended: Family::default(),
            talk: Family::default(),
            one_way_audio: Family::default(),
            transfers: Family::default(),
            sign_ins_refused: Family::default(),
            registration_failures: Family::default(),
            talk_to_ok: seconds(),
            talk_to_audio: Family::new_with_constructor(seconds),
            invite_to_ringing: seconds(),
            ws_connections: Gauge::default(),
            pages: Gauge::default(),
            ws_closed: Family::default(),
            ws_origin_refused: Counter::default(),
            ice_connect: seconds(),
            dtls_connect: seconds(),
            legs_failed: Family::default(),
            rtp_packets: Family::default(),
            rtp_lost: Family::default(),
            quality: Quality::default(),
            rtp_wrong_source: Counter::default(),
            rtp_malformed: Counter::default(),
            digits_refused: Counter::default(),
            srtp_auth_fail: Counter::default(),
            dtls_unvalidated_source: Counter::default(),
            stun_bad_integrity: Counter::default(),
            webrtc_unknown: Counter::default(),
            sip_refused: Family::default(),
            sip_dropped: Counter::default(),
            sip_connections: Gauge::default(),
            sip_connections_refused: Counter::default(),
            ice_tcp_connections: Gauge::default(),
            ice_tcp_refused: Counter::default(),
            http_connections_refused: Family::default(),
            admin_refused: Family::default(),
            media_messages_dropped: Family::default(),
            ports_in_use: Gauge::default(),
            ports_quarantined: Gauge::default(),
            draining: Gauge::default(),
            config_reload: Family::default(),
            log_lines_dropped: Counter::default(),
            certificate_not_after: Family::default(),
            loop_turn: Histogram::new(TURN_SECONDS),
            kept: Kept::default(),
            tables: Tables::default(),
            workers: Workers::default(),
        };
        metrics.register_signalling();
        metrics.register_media();
        metrics.register_process();
        metrics.register_kept();
        metrics.register_tables();
        metrics.register_workers();
        metrics
    }

    fn register(&mut self, name: &'static str, metric: impl Metric) {
        let entry = catalogue::entry(name);
        // The text format puts `_total` behind a counter's name by itself.
        let bare = if entry.kind == Kind::Counter {
            name.strip_suffix("_total")
                .expect("a counter's name ends so")
        } else {
            name
        };
        self.registry.register(bare, entry.meaning, metric);
    }

    fn register_signalling(&mut self) {
        self.register("talkbridge_dns_registered", self.dns_registered.clone());
        self.register("talkbridge_dns_missing", self.dns_missing.clone());
        self.register("talkbridge_dns_configured", self.dns_configured.clone());
        self.register("talkbridge_sip_servers", self.sip_servers.clone());
        self.register("talkbridge_register_total", self.register.clone());
        self.register(
            "talkbridge_registration_failures_total",
            self.registration_failures.clone(),
        );
        self.register("talkbridge_calls_active", self.calls_active.clone());
        self.register("talkbridge_calls_ended_total", self.calls_ended.clone());
        self.register("talkbridge_talk_total", self.talk.clone());
        self.register("talkbridge_one_way_audio_total", self.one_way_audio.clone());
        self.register("talkbridge_transfers_total", self.transfers.clone());
        let refused = self.sign_ins_refused.clone();
        self.register("talkbridge_sign_ins_refused_total", refused);
        self.register("talkbridge_talk_to_ok_seconds", self.talk_to_ok.clone());
        self.register(
            "talkbridge_talk_to_audio_seconds",
            self.talk_to_audio.clone(),
        );
        self.register(
            "talkbridge_invite_to_ringing_seconds",
            self.invite_to_ringing.clone(),
        );
        self.register("talkbridge_ws_connections", self.ws_connections.clone());
        self.register("talkbridge_pages_signed_in", self.pages.clone());
        self.register("talkbridge_ws_closed_total", self.ws_closed.clone());
        self.register(
            "talkbridge_ws_origin_refused_total",
            self.ws_origin_refused.clone(),
        );
        self.register("talkbridge_sip_refused_total", self.sip_refused.clone());
        self.register("talkbridge_sip_dropped_total", self.sip_dropped.clone());
        self.register("talkbridge_sip_connections", self.sip_connections.clone());
        let refused = self.sip_connections_refused.clone();
        self.register("talkbridge_sip_connections_refused_total", refused);
        let open = self.ice_tcp_connections.clone();
        self.register("talkbridge_ice_tcp_connections", open);
        let refused = self.ice_tcp_refused.clone();
        self.register("talkbridge_ice_tcp_refused_total", refused);
    }

    fn register_media(&mut self) {
        self.register("talkbridge_ice_connect_seconds", self.ice_connect.clone());
        self.register("talkbridge_dtls_connect_seconds", self.dtls_connect.clone());
        self.register(
            "talkbridge_browser_legs_failed_total",
            self.legs_failed.clone(),
        );
        self.register("talkbridge_rtp_packets_total", self.rtp_packets.clone());
        self.register("talkbridge_rtp_lost_total", self.rtp_lost.clone());
        let quality = self.quality.clone();
        self.register("talkbridge_mos", quality.mos);
        self.register("talkbridge_jitter_seconds", quality.jitter);
        self.register("talkbridge_loss_ratio", quality.loss);
        self.register("talkbridge_rtt_seconds", quality.round_trip);
        self.register("talkbridge_concealed_ratio", quality.concealed);
        self.register(
            "talkbridge_rtp_wrong_source_total",
            self.rtp_wrong_source.clone(),
        );
        self.register("talkbridge_rtp_malformed_total", self.rtp_malformed.clone());
        self.register(
            "talkbridge_digits_refused_total",
            self.digits_refused.clone(),
        );
        self.register(
            "talkbridge_srtp_auth_fail_total",
            self.srtp_auth_fail.clone(),
        );
        let unvalidated = self.dtls_unvalidated_source.clone();
        self.register("talkbridge_dtls_unvalidated_source_total", unvalidated);
        self.register(
            "talkbridge_stun_bad_integrity_total",
            self.stun_bad_integrity.clone(),
        );
        self.register(
            "talkbridge_webrtc_unknown_total",
            self.webrtc_unknown.clone(),
        );
        let dropped = self.media_messages_dropped.clone();
        self.register("talkbridge_media_messages_dropped_total", dropped);
        self.register("talkbridge_ports_in_use", self.ports_in_use.clone());
        self.register(
            "talkbridge_ports_quarantined",
            self.ports_quarantined.clone(),
        );
    }

    fn register_process(&mut self) {
        let refused = self.http_connections_refused.clone();
        self.register("talkbridge_http_connections_refused_total", refused);
        self.register("talkbridge_admin_refused_total", self.admin_refused.clone());
        self.register("talkbridge_draining", self.draining.clone());
        self.register("talkbridge_config_reload_total", self.config_reload.clone());
        self.register(
            "talkbridge_log_lines_dropped_total",
            self.log_lines_dropped.clone(),
        );
        self.register(
            "talkbridge_certificate_not_after_seconds",
            self.certificate_not_after.clone(),
        );
        self.register("talkbridge_loop_turn_seconds", self.loop_turn.clone());
        let build = Gauges64::<Version>::default();
        build
            .get_or_create(&Version {
                version: env!("CARGO_PKG_VERSION"),
            })
            .set(1);
        self.register("talkbridge_build_info", build);
    }

    /// A registration failed.
    pub fn registration_failure(&self, fault: RegistrationFault) {
        let label = RegistrationFailure {
            fault: fault.as_str(),
        };
        self.registration_failures.get_or_create(&label).inc();
    }

    /// A registration came to a new state. `sip_status` is `None` when no answer came.
    pub fn registration(&self, sip_status: Option<u16>) {
        self.register
            .get_or_create(&Code {
                code: code_label(sip_status),
            })
            .inc();
    }

    /// 180 left, or came.
    pub fn ringing(&self, after: Duration) {
        self.invite_to_ringing.observe(after.as_secs_f64());
    }

    /// A page was not signed in.
    pub fn sign_in_refused(&self, code: control::ErrorCode) {
        let reason = code.as_str();
        self.sign_ins_refused
            .get_or_create(&Reason { reason })
            .inc();
    }

    /// A transfer came to its end.
    pub fn transfer(&self, kind: TransferKind, result: TransferResult) {
        let label = KindResult {
            kind: transfer_kind(kind),
            result: transfer_result(result),
        };
        self.transfers.get_or_create(&label).inc();
    }

    /// A call has audio one way only.
    pub fn one_way_audio(&self, direction: MediaDirection, missing: MissingAudio) {
        let label = DirReason {
            dir: direction_label(direction),
            reason: missing_label(missing),
        };
        self.one_way_audio.get_or_create(&label).inc();
    }

    /// A NOTIFY talk or hold was obeyed, or not.
    pub fn talk(&self, result: TalkResult) {
        self.talk
            .get_or_create(&ResultLabel {
                result: talk_label(result),
            })
            .inc();
    }

    /// A call was answered.
    pub fn answered(&self, talk_to_ok: Option<Duration>) {
        if let Some(after) = talk_to_ok {
            self.talk_to_ok.observe(after.as_secs_f64());
        }
    }

    /// The first packet went one way.
    pub fn audible(&self, direction: MediaDirection, after_talk: Option<Duration>) {
        if let Some(after) = after_talk {
            let dir = direction_label(direction);
            self.talk_to_audio
                .get_or_create(&Dir { dir })
                .observe(after.as_secs_f64());
        }
    }

    /// A call is over.
    pub fn ended(&self, cause: Cause) {
        self.calls_ended
            .get_or_create(&CauseLabel {
                cause: cause.outcome().cause,
            })
            .inc();
    }

    /// A browser leg is connected.
    pub fn connected(&self, ice: Option<Duration>, dtls: Option<Duration>) {
        if let Some(ice) = ice {
            self.ice_connect.observe(ice.as_secs_f64());
        }
        if let Some(dtls) = dtls {
            self.dtls_connect.observe(dtls.as_secs_f64());
        }
    }

    /// A browser leg failed.
    pub fn leg_failed(&self, failure: MediaFailure) {
        let cause = failure.as_str();
        self.legs_failed.get_or_create(&CauseLabel { cause }).inc();
    }

    /// A call is over, and its record complete.
    pub fn call_recorded(&self, record: &control::EndRecord) {
        if let Some(media) = &record.media {
            self.quality.observe(media);
        }
    }

    /// A request of somebody who may not ask was refused at the administrators' listener.
    pub fn admin_refused(&self, reason: &'static str) {
        self.admin_refused.get_or_create(&Reason { reason }).inc();
    }

    /// A SIP message was refused.
    pub fn sip_refused(&self, reason: sip::ua::RefusedReason) {
        self.sip_refused
            .get_or_create(&Reason {
                reason: reason.as_str(),
            })
            .inc();
    }

    /// The configuration was read again.
    pub fn reloaded(&self, ok: bool) {
        let result = if ok { "ok" } else { "failed" };
        self.config_reload
            .get_or_create(&ResultLabel { result })
            .inc();
    }

    /// A media worker is not told of so many commands.
    pub fn media_commands_dropped(&self, commands: usize) {
        self.media_messages_dropped
            .get_or_create(&Dir { dir: "to_worker" })
            .inc_by(commands as u64);
    }

    /// The control loop took one turn.
    pub fn turn(&self, took: Duration) {
        self.loop_turn.observe(took.as_secs_f64());
    }

    /// Whether peers take the certificates; `None` where there are none.
    #[must_use]
    pub fn check_certificates(&self) -> Option<ReadyCheck> {
        let now_s = crate::calendar::since_epoch().as_secs();
        self.sources.certificates.check(now_s)
    }

    /// The text of all metrics. `now` is the switchboard's own count; without it (the control loop did not answer) the gauges
    /// keep their last values.
    #[must_use]
    pub fn text(&self, now: Option<&(Gauges, usize)>) -> String {
        if let Some((gauges, sip_connections)) = now {
            self.set_gauges(gauges, *sip_connections);
        }
        self.collect_media();
        self.collect_edges();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)
            .expect("a String takes everything");
        text
    }

    fn set_gauges(&self, gauges: &Gauges, sip_connections: usize) {
        set(&self.dns_registered, gauges.dns_registered);
        set(&self.dns_missing, gauges.dns_missing);
        set(&self.dns_configured, gauges.dns_configured);
        for (site, up, down) in &gauges.sip_servers {
            let site = site.as_deref().unwrap_or("default");
            for (state, count) in [("up", *up), ("down", *down)] {
                let label = SiteState::new(site, state);
                set(&self.sip_servers.get_or_create(&label), count);
            }
        }
        for (state, count) in &gauges.calls {
            set(
                &self.calls_active.get_or_create(&State {
                    state: state.as_str(),
                }),
                *count,
            );
        }
        set(&self.ports_in_use, gauges.ports_in_use);
        set(&self.ports_quarantined, gauges.ports_quarantined);
        set(&self.pages, gauges.pages);
        set(&self.draining, usize::from(gauges.draining));
        self.tables.collect(&gauges.tables);
        self.workers.collect(&gauges.workers);
        set(&self.sip_connections, sip_connections);
    }

    fn collect_media(&self) {
        let sum = self.sources.media_sum();
        let packets = [
            ("sip", "in", sum.rtp_sip_in),
            ("sip", "out", sum.rtp_sip_out),
            ("browser", "in", sum.rtp_browser_in),
            ("browser", "out", sum.rtp_browser_out),
        ];
        for (leg, dir, count) in packets {
            raise(&self.rtp_packets.get_or_create(&LegDir { leg, dir }), count);
        }
        raise(
            &self.rtp_lost.get_or_create(&Leg { leg: "sip" }),
            sum.rtp_sip_lost,
        );
        raise(
            &self.rtp_lost.get_or_create(&Leg { leg: "browser" }),
            sum.rtp_browser_lost,
        );
        raise(&self.rtp_wrong_source, sum.rtp_wrong_source);
        raise(&self.rtp_malformed, sum.rtp_malformed);
        raise(&self.digits_refused, sum.digits_refused);
        raise(&self.srtp_auth_fail, sum.srtp_auth_fail);
        raise(&self.dtls_unvalidated_source, sum.dtls_unvalidated_source);
        raise(&self.stun_bad_integrity, sum.stun_bad_integrity);
        raise(&self.webrtc_unknown, sum.unknown_datagrams);
        self.workers.collect_waiting(&self.sources.media_waiting);
    }

    fn collect_edges(&self) {
        let sources = &self.sources;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        raise(&self.sip_dropped, read(&sources.sip_dropped));
        raise(
            &self.sip_connections_refused,
            read(&sources.sip_connections_refused),
        );
        let open = read(&sources.browser_connections);
        self.ice_tcp_connections
            .set(i64::try_from(open).unwrap_or(i64::MAX));
        let refused = read(&sources.browser_connections_refused);
        raise(&self.ice_tcp_refused, refused);
        let from_worker = read(&sources.media_events_dropped);
        raise(
            &self
                .media_messages_dropped
                .get_or_create(&Dir { dir: "from_worker" }),
            from_worker,
        );
        raise(&self.log_lines_dropped, read(&sources.log_dropped));
        self.kept.collect(sources);
        let listeners = [
            ("agents", &sources.agents_refused),
            ("admin", &sources.admin_refused),
        ];
        for (listener, refused) in listeners {
            let counter = self
                .http_connections_refused
                .get_or_create(&Listener { listener });
            raise(&counter, read(refused));
        }
        for (listener, not_after_s) in sources.certificates.in_use() {
            let label = Listener { listener };
            let gauge = self.certificate_not_after.get_or_create(&label);
            gauge.set(i64::try_from(not_after_s).unwrap_or(i64::MAX));
        }
        let Some(front) = &sources.front else { return };
        let counters = &front.counters;
        set(&self.ws_connections, counters.open.load(Ordering::Relaxed));
        raise(&self.ws_origin_refused, read(&counters.origin_refused));
        for (index, code) in control::CloseCode::ALL.iter().enumerate() {
            let closed = read(&counters.closed[index]);
            if closed > 0 {
                let label = Code {
                    code: close_label(*code),
                };
                raise(&self.ws_closed.get_or_create(&label), closed);
            }
        }
    }
}

fn set(gauge: &Gauge, value: usize) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

/// Brings a counter up to a total that is counted elsewhere.
fn raise(counter: &Counter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}
