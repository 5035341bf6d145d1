//! What peers may make a [`super::UserAgent`] hold, each with its reason.

use std::time::Duration;

/// Transactions of both kinds. A call costs about ten over half a minute, a registration one for
/// five seconds: enough for 10,000 DNs, and a flood stops at some 100 MiB. REGISTER, BYE, CANCEL and probes are let through beyond it:
/// there is one at a time for each registration, dialog and SIP Server.
pub const TRANSACTIONS_MAX: usize = 50_000;

/// How many eighths of the transactions requests may fill that belong to no call (OPTIONS, NOTIFY, a DN's scan ...): a flood of
/// them leaves the rest to calls.
pub const ROOM_EIGHTHS_FOR_REST: usize = 5;

/// How many eighths may be full when a new call still comes in.
pub const ROOM_EIGHTHS_FOR_NEW_CALLS: usize = 6;

/// How many eighths may be full when a call that is up may still be changed or ended by its peer. The last eighth is ours.
pub const ROOM_EIGHTHS_FOR_CALLS_UP: usize = 7;

/// Octets of all requests that wait for our answer, and of the answers that wait to be repeated, at the least. SIP Server's have
/// about one kilobyte, so the count of transactions is reached first; 50,000 messages of the largest kind would be 3 GB.
pub const HELD_OCTETS_MAX: usize = 96 * 1024 * 1024;

/// The same for each transaction where [`Capacity::transactions`] is larger than [`TRANSACTIONS_MAX`].
pub const HELD_OCTETS_PER_TRANSACTION: usize = HELD_OCTETS_MAX / TRANSACTIONS_MAX;

/// Dialogs. Two calls for each of 10,000 DNs.
pub const DIALOGS_MAX: usize = 20_000;

/// Registrations, one for each DN and site.
pub const REGISTRATIONS_MAX: usize = 50_000;

/// How much a user agent may hold at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Transactions of both kinds.
    pub transactions: usize,
    /// Dialogs.
    pub dialogs: usize,
    /// Registrations.
    pub registrations: usize,
}

impl Capacity {
    /// Octets of all requests that wait for our answer, and of the answers that wait to be repeated.
    pub(crate) fn held_octets(self) -> usize {
        HELD_OCTETS_MAX.max(
            self.transactions
                .saturating_mul(HELD_OCTETS_PER_TRANSACTION),
        )
    }
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            transactions: TRANSACTIONS_MAX,
            dialogs: DIALOGS_MAX,
            registrations: REGISTRATIONS_MAX,
        }
    }
}

/// One transaction in this many may be an INVITE of ours that was given up unanswered and waits for what may still come of it: all agents of a
/// large site may dial within the minute in which their SIP Server hangs, and the calls that are up still find room.
pub const ABANDONED_ONE_IN: usize = 8;

/// Outputs that wait for the shell. It drains them after every input; beyond this new requests
/// are dropped unanswered, as their sender will repeat them.
pub const QUEUED_OUTPUTS_MAX: usize = 100_000;

/// Re-INVITEs of the application that wait for their turn in one dialog.
pub const QUEUED_REINVITES_MAX: usize = 4;

/// How often a re-INVITE is tried again after 491 before the application is told: five times is
/// ten seconds of glare, and no peer that keeps to RFC 3261 section 14.1 comes so far.
pub const REINVITE_RETRIES_MAX: u32 = 5;

/// How long a re-INVITE waits for the next response after a provisional one: a server that needs longer repeats its provisional
/// response every minute (RFC 3261 section 13.3.1.1).
pub const REINVITE_PROGRESS_MAX: Duration = Duration::from_secs(90);

/// How often the session interval of one dialog is raised after 422: a second hop on the way may want more than the first.
pub const SESSION_RAISES_MAX: u8 = 2;

/// When a refresh that was refused for the moment (491, 500, 503 ...) is tried again: several times before the shortest session
/// ends, and no burden where the peer stays busy.
pub const SESSION_REFRESH_RETRY: Duration = Duration::from_secs(5);

/// How many T1 the BYE of a peer that does not know the dialog any more is waited for: it is sent again after T1 and after 3 * T1.
pub const BYE_AWAITED_T1S: u32 = 4;

/// Early dialogs and forked answers of one INVITE of ours. SIP Server does not fork.
pub const FORKS_MAX: usize = 8;

/// 2xx of ours in one dialog that wait for their ACK.
pub const UNACKED_MAX: usize = 4;

/// The first pause after which an 18x over UDP is said again; it doubles up to [`PROVISIONAL_REPEAT`]. One that is lost is missed by nobody:
/// SIP Server has its 100, and the agent's desktop would show no call for a minute.
pub const PROVISIONAL_REPEAT_FIRST: Duration = Duration::from_secs(2);

/// An unanswered INVITE repeats its 18x so that proxies keep it (RFC 3261 section 13.3.1.1).
pub const PROVISIONAL_REPEAT: Duration = Duration::from_secs(60);

/// `Retry-After` sent with 503 when a table is full, seconds.
pub const FULL_RETRY_AFTER_S: u32 = 5;

/// Shortest registration that is asked for or believed, seconds: a forged or odd `expires=1` costs
/// a REGISTER every six seconds, and over all DNs the rate of registrations holds as well.
pub const REGISTRATION_EXPIRES_S_MIN: u32 = 10;

/// Longest registration that is asked for, seconds, whatever `Min-Expires` wants.
pub const REGISTRATION_EXPIRES_S_MAX: u32 = 86_400;

/// Longest `Retry-After` that is honoured, seconds.
pub const RETRY_AFTER_S_MAX: u32 = 3_600;

/// Longest text of a peer that goes into a status, octets.
pub const REASON_BYTES_MAX: usize = 200;

/// How often it is looked whether a host that is no SIP Server any more still has a dialog, beside each end of one: everything is looked through.
pub const FORMER_PEERS_EVERY: Duration = Duration::from_secs(60);
