//! Numbers of this moment, for whoever watches the gateway.

/// Numbers at this moment, for gauges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// DNs that are registered.
    pub dns_registered: usize,
    /// DNs that are to be registered, always or for their signed-in agent, and are not.
    pub dns_missing: usize,
    /// DNs in the configuration.
    pub dns_configured: usize,
    /// Each site in order of preference: its name, where it has one, the SIP Servers that answer as far as is known, and those that do
    /// not.
    pub sip_servers: Vec<(Option<String>, usize, usize)>,
    /// Calls by state, in the order of the agent protocol's states.
    pub calls: Vec<(control::CallState, usize)>,
    /// RTP port pairs in use.
    pub ports_in_use: usize,
    /// RTP port pairs that rest after use.
    pub ports_quarantined: usize,
    /// Pages that are signed in.
    pub pages: usize,
    /// New calls are refused.
    pub draining: bool,
    /// Entries of the tables behind all this, by their names: what a leak would fill.
    pub tables: Vec<(&'static str, usize)>,
    /// The media workers, in the order of their numbers.
    pub workers: Vec<crate::overload::WorkerGauge>,
}
