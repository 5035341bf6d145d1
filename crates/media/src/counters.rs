//! What one worker counts. Plain numbers: the shell copies them to where metrics are read, once per turn of its loop.

use crate::bridge::Dropped;
use crate::browser_leg::Refusal;

/// Totals since the worker began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// RTP packets accepted from SIP sides.
    pub rtp_sip_in: u64,
    /// RTP packets sent to SIP sides.
    pub rtp_sip_out: u64,
    /// RTP packets accepted from browsers.
    pub rtp_browser_in: u64,
    /// RTP packets sent to browsers.
    pub rtp_browser_out: u64,
    /// Packets that never came from SIP sides, of calls that have ended.
    pub rtp_sip_lost: u64,
    /// Packets that never came from browsers, of calls that have ended.
    pub rtp_browser_lost: u64,
    /// RTP or RTCP from another address than the session description names, and SRTP from no browser of ours.
    pub rtp_wrong_source: u64,
    /// RTP and RTCP that could not be read, of a payload type that was not agreed, or too large; and keys that come faster than anybody presses them.
    pub rtp_malformed: u64,
    /// SRTP and SRTCP from the right address, of a browser or a SIP side, that did not pass: wrong tag, replay, unknown stream, not secured.
    pub srtp_auth_fail: u64,
    /// DTLS from an address that no authenticated check came from.
    pub dtls_unvalidated_source: u64,
    /// STUN checks for one of our user fragments that were not signed with its password.
    pub stun_bad_integrity: u64,
    /// STUN for a user fragment that is not ours, and other datagrams that belong to nobody.
    pub unknown_datagrams: u64,
    /// Errors of the WebRTC engine that did not end a leg.
    pub engine_errors: u64,
    /// Digits that could not be sent because telephone-event was not agreed, or too many waited.
    pub digits_refused: u64,
}

impl Counters {
    /// Counts what a bridge did not take from the SIP side.
    pub(crate) const fn refuse(&mut self, dropped: Dropped) {
        let counter = match dropped {
            Dropped::WrongSource => &mut self.rtp_wrong_source,
            Dropped::Unauthentic => &mut self.srtp_auth_fail,
            _ => &mut self.rtp_malformed,
        };
        *counter += 1;
    }

    /// Counts what a leg did not take.
    pub(crate) const fn refuse_browser(&mut self, refusal: Refusal) {
        let counter = match refusal {
            Refusal::BadIntegrity => &mut self.stun_bad_integrity,
            Refusal::UnvalidatedDtls => &mut self.dtls_unvalidated_source,
            Refusal::UnknownSource => &mut self.rtp_wrong_source,
            Refusal::Srtp => &mut self.srtp_auth_fail,
            Refusal::Over | Refusal::Malformed => &mut self.unknown_datagrams,
        };
        *counter += 1;
    }
}
