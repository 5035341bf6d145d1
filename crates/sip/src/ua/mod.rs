//! The user agent: transactions, dialogs and registrations as one machine.
//!
//! Whoever drives it feeds [`UserAgent::receive`] and the orders of the application, drains
//! [`UserAgent::poll_output`] after each, and calls [`UserAgent::handle_timeout`] at
//! [`UserAgent::poll_timeout`].
//!
//! Handled here without the application: malformed and unknown requests (400, 405, 413, 416, 420,
//! 501, 505 ...), requests for dialogs that do not exist (481), merged requests (482),
//! repetitions, stray messages, strangers. 483 is not among them: a request that has arrived has
//! hops enough, whatever its `Max-Forwards` says (RFC 3261 section 8.2).
//!
//! **Credentials** belong to a DN, the SIP Server that registers it or takes its call, and the realm of that
//! server's challenge to REGISTER or of the configuration. A challenge to any other request is answered only when the
//! request went to that server, the response came from it and the realm is that one octet for
//! octet; one to the INVITE of a call that we begin, at another host of that server's site, too. Everybody else who asks gets nothing, so that no digest leaks.

mod ack;
mod bye;
mod calls;
mod cancel;
mod challenge;
mod config;
mod event;
mod incoming;
mod invite;
pub mod limits;
mod next_host;
mod outcome;
mod peers;
mod prack;
mod probe;
mod receive;
mod refer;
mod refresh;
mod registrar;
mod reinvite;
mod request;
mod respond;
mod room;
mod tables;
mod transactions;
mod transport;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

pub use config::{
    ConnectionId, OutgoingInvite, Refusal, RegisterDn, RegistrationPolicy, SiteHost, SiteId,
    Source, Transmit, Transport, UaConfig,
};
pub use event::{
    Counts, DialogId, Event, Outcome, Output, RefusedInvite, RefusedReason, RegistrationState,
    RegistrationStatus, TransactionId,
};
pub(crate) use tables::{Answered, Hop};

pub use refer::Replaced;

pub use crate::registration::RegistrationFault;
pub use crate::timer::Timers;
pub use crate::wire::Reason;

use crate::agenda::Agenda;
use crate::dialog::{Dialog, DialogKey};
use crate::ids::IdSource;
use crate::registration::{Pacer, Registration, Series};
use crate::transaction::{ClientKey, MergeKey, ServerKey};
use next_host::Site;
use peers::Peers;
use probe::Probes;
use tables::{ClientTransaction, RegistrationKey, ServerTransaction};

/// The methods we answer otherwise than by 405, as our `Allow` says.
const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, NOTIFY, INFO, UPDATE, PRACK, OPTIONS, REFER";

/// The same where the application takes MESSAGE as well (RFC 3428 section 9).
const ALLOW_MESSAGE: &str =
    "INVITE, ACK, CANCEL, BYE, NOTIFY, INFO, UPDATE, PRACK, OPTIONS, REFER, MESSAGE";

/// The extensions we understand in every dialog (RFC 3261 section 20.37); one line, as peers read no second.
const SUPPORTED: &str = "replaces, timer";

/// The same where a provisional response may ask to be acknowledged (RFC 3262).
const SUPPORTED_RELIABLE: &str = "replaces, timer, 100rel";

/// The packages SIP Server may send within the dialog of a call, without subscription.
const ALLOW_EVENTS: &str = "talk, hold";

/// Whom a wake-up is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Wake {
    Client(TransactionId),
    Server(TransactionId),
    Dialog(DialogId),
    Registration(RegistrationKey),
    /// The next registration may start.
    Pace,
    /// Hosts that are no SIP Servers any more may be done with.
    FormerPeers,
}

/// One SIP endpoint with many DNs.
#[derive(Debug)]
pub struct UserAgent {
    config: UaConfig,
    ids: IdSource,
    outputs: VecDeque<Output>,
    agenda: Agenda<Wake>,
    clients: BTreeMap<TransactionId, ClientTransaction>,
    client_keys: BTreeMap<ClientKey, TransactionId>,
    /// Those of [`Self::clients`] whose INVITE was given up, while they wait for late responses.
    abandoned: BTreeSet<TransactionId>,
    servers: BTreeMap<TransactionId, ServerTransaction>,
    server_keys: BTreeMap<ServerKey, TransactionId>,
    /// Requests that were the first of their kind, for as long as their transaction or the dialog that they opened lives.
    merge_keys: BTreeMap<MergeKey, TransactionId>,
    dialogs: BTreeMap<DialogId, Dialog>,
    dialog_keys: BTreeMap<DialogKey, DialogId>,
    registrations: BTreeMap<RegistrationKey, Registration>,
    /// Those of DNs that are not registered now, by the registrar's domain: a DN that goes from one to the other and back may be overtaken by what it said there
    /// last. Twice as many as there may be registrations; should there be more, all are begun anew, which matters only to copies that are on their way.
    former_series: BTreeMap<(RegistrationKey, String), Series>,
    pacer: Pacer<RegistrationKey>,
    probes: Probes,
    peers: Peers,
    sites: Vec<Site>,
    last_id: u64,
    /// Octets of all server transactions.
    held_octets: usize,
    capacity: limits::Capacity,
    /// The answer to a BYE in a call that is up is the application's.
    leaves_byes: bool,
    /// What our `Allow` says.
    allow: &'static str,
}

impl UserAgent {
    /// A user agent that draws all chance from `seed`: the same inputs give the same outputs.
    #[must_use]
    pub fn new(config: UaConfig, seed: [u8; 32]) -> Self {
        let pacer = Pacer::new(config.registration.start_rate_per_s);
        let peers = Peers::new(&config.allowed);
        Self {
            config,
            ids: IdSource::new(seed),
            outputs: VecDeque::new(),
            agenda: Agenda::new(),
            clients: BTreeMap::new(),
            client_keys: BTreeMap::new(),
            abandoned: BTreeSet::new(),
            servers: BTreeMap::new(),
            server_keys: BTreeMap::new(),
            merge_keys: BTreeMap::new(),
            dialogs: BTreeMap::new(),
            dialog_keys: BTreeMap::new(),
            registrations: BTreeMap::new(),
            former_series: BTreeMap::new(),
            pacer,
            probes: Probes::default(),
            peers,
            sites: Vec::new(),
            last_id: 0,
            held_octets: 0,
            capacity: limits::Capacity::default(),
            leaves_byes: false,
            allow: ALLOW,
        }
    }

    /// The same, but a BYE of the peer in a call that is up waits for [`Self::answer_bye`], so that its answer may say what is known
    /// only when the call has ended.
    #[must_use]
    pub fn leaving_byes(mut self) -> Self {
        self.leaves_byes = true;
        self
    }

    /// The same, but `Allow` names MESSAGE: the application answers it otherwise than by 405.
    #[must_use]
    pub fn taking_messages(mut self) -> Self {
        self.allow = ALLOW_MESSAGE;
        self
    }

    /// The same with smaller tables than [`limits`] allow.
    #[must_use]
    pub fn with_capacity(mut self, capacity: limits::Capacity) -> Self {
        self.capacity = capacity;
        self
    }

    /// Does everything that is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(wake) = self.agenda.expire(now) {
            match wake {
                Wake::Client(id) => self.on_client_timer(now, id),
                Wake::Server(id) => self.on_server_timer(now, id),
                Wake::Dialog(id) => self.on_dialog_timer(now, id),
                Wake::Registration(key) => self.on_registration_timer(now, key),
                Wake::Pace => self.start_registrations(now),
                Wake::FormerPeers => self.on_former_peers_due(now),
            }
        }
    }

    /// When [`Self::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.agenda.next_timeout()
    }

    /// The next thing to do; call until `None` after every other call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// How much is held.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            transactions: self.clients.len() + self.servers.len(),
            dialogs: self.dialogs.len(),
            registrations: self.registrations.len(),
            queued_outputs: self.outputs.len(),
        }
    }

    /// Whether nothing at all is held of any call: no transaction, no dialog, and no entry of an
    /// index that would outlive them.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.clients.is_empty()
            && self.client_keys.is_empty()
            && self.abandoned.is_empty()
            && self.servers.is_empty()
            && self.server_keys.is_empty()
            && self.merge_keys.is_empty()
            && self.dialogs.is_empty()
            && self.dialog_keys.is_empty()
            && self.held_octets == 0
            && (!self.registrations.is_empty() || self.agenda.next_timeout().is_none())
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn emit(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn tell(&mut self, dialog: DialogId, outcome: Outcome) {
        self.emit(Event::Outcome { dialog, outcome });
    }

    fn transmit(&mut self, hop: &Hop, bytes: Vec<u8>) {
        self.outputs
            .push_back(Output::Transmit(hop.transmit(bytes)));
    }

    fn refused(&mut self, reason: RefusedReason, peer: std::net::SocketAddr) {
        self.emit(Event::Refused { reason, peer });
    }
}
