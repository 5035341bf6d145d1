//! Business Continuity: a call for a DN that this site does not serve goes on to the peer site (`dr-forward`), over the trunk between them
//! (`dr-peer-trunk`).
//!
//! The trunk is no part of any endpoint's wire. A caller from outside is handed over as a whole. The call of an endpoint keeps its half here, with
//! the trunk as its other party, and the other half is a call of its own at the peer: what one half does is not told to the other.

use super::config::DrForward;
use super::machine::TServer;

/// The prefix of the trunk DN: what stands before the number of a DN at the peer.
pub(super) const TRUNK_PREFIX: &str = "99";

/// A call on its way to the peer site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrunkCall {
    /// The caller's number.
    pub from: String,
    /// The DN.
    pub to: String,
}

impl TServer {
    /// Whether calls to a DN go to the peer site. What came from there stays here.
    pub(super) fn forwards(&self, dn: &str) -> bool {
        let wanted = self.config.dns.get(dn).map(|dn| dn.dr_forward);
        self.config.peer_site.is_some()
            && match wanted {
                None | Some(DrForward::Off) => false,
                Some(DrForward::OutOfService) => self.registrar.binding(dn).is_none(),
                Some(DrForward::NoAgent) => !self.is_logged_in(dn),
            }
    }
}
