//! Numbers that other threads count, read when somebody asks.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use media::counters::Counters;

use crate::certificate::Expiries;
use crate::edge::cdr::RecordCounters;
use crate::edge::recording::RecordingCounters;
use crate::edge::taps::LiveTaps;

/// Numbers that other threads count; they are read when somebody asks.
#[derive(Default)]
pub struct Sources {
    /// What the media workers counted, one value each.
    pub media: Vec<Box<dyn Fn() -> Counters + Send + Sync>>,
    /// Commands that wait for the media workers, one value each.
    pub media_waiting: Vec<Box<dyn Fn() -> usize + Send + Sync>>,
    /// WebSockets and their closes.
    pub front: Option<Arc<crate::edge::agent_ws::Front>>,
    /// Facts of media workers that the control loop's full queue did not take.
    pub media_events_dropped: Arc<AtomicU64>,
    /// SIP datagrams dropped on the way to the control loop.
    pub sip_dropped: Arc<AtomicU64>,
    /// SIP streams closed unheard.
    pub sip_connections_refused: Arc<AtomicU64>,
    /// HTTP connections closed unheard, agents' listener.
    pub agents_refused: Arc<AtomicU64>,
    /// HTTP connections closed unheard, administrators' listener.
    pub admin_refused: Arc<AtomicU64>,
    /// Browsers' connections (ICE over TCP) that are open.
    pub browser_connections: Arc<AtomicU64>,
    /// Those that were closed unheard, or were nobody's.
    pub browser_connections_refused: Arc<AtomicU64>,
    /// When the certificates end.
    pub certificates: Arc<Expiries>,
    /// What became of call records.
    pub records: Arc<RecordCounters>,
    /// What became of recordings.
    pub recordings: Arc<RecordingCounters>,
    /// Those who listen to calls live.
    pub live_taps: Arc<LiveTaps>,
    /// Log lines that were not taken.
    pub log_dropped: Arc<AtomicU64>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("media", &self.media.len())
            .finish_non_exhaustive()
    }
}

impl Sources {
    /// Where listeners count the connections that they close unheard: agents, administrators, browsers without UDP.
    #[must_use]
    pub fn refused(&self) -> [Arc<AtomicU64>; 3] {
        let all = [
            &self.agents_refused,
            &self.admin_refused,
            &self.browser_connections_refused,
        ];
        all.map(Arc::clone)
    }

    /// What all media workers counted together.
    pub(super) fn media_sum(&self) -> Counters {
        let mut sum = Counters::default();
        for worker in &self.media {
            add(&mut sum, &worker());
        }
        sum
    }
}

/// Adds the counts of one worker to the sum of all. Every field is named, so that a new one cannot be forgotten here.
fn add(sum: &mut Counters, worker: &Counters) {
    let Counters {
        rtp_sip_in,
        rtp_sip_out,
        rtp_browser_in,
        rtp_browser_out,
        rtp_sip_lost,
        rtp_browser_lost,
        rtp_wrong_source,
        rtp_malformed,
        srtp_auth_fail,
        dtls_unvalidated_source,
        stun_bad_integrity,
        unknown_datagrams,
        engine_errors,
        digits_refused,
    } = worker;
    sum.rtp_sip_in += rtp_sip_in;
    sum.rtp_sip_out += rtp_sip_out;
    sum.rtp_browser_in += rtp_browser_in;
    sum.rtp_browser_out += rtp_browser_out;
    sum.rtp_sip_lost += rtp_sip_lost;
    sum.rtp_browser_lost += rtp_browser_lost;
    sum.rtp_wrong_source += rtp_wrong_source;
    sum.rtp_malformed += rtp_malformed;
    sum.srtp_auth_fail += srtp_auth_fail;
    sum.dtls_unvalidated_source += dtls_unvalidated_source;
    sum.stun_bad_integrity += stun_bad_integrity;
    sum.unknown_datagrams += unknown_datagrams;
    sum.engine_errors += engine_errors;
    sum.digits_refused += digits_refused;
}
