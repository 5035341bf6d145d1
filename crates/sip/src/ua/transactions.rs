//! The transaction layer: keys, octets and timers around the four machines.

use std::time::Instant;

use super::config::Source;
use super::event::{RefusedReason, TransactionId};
use super::tables::{Answered, ClientTransaction, Hop, Owner, ServerTransaction};
use super::{UserAgent, Wake};
use crate::timer::Timer;
use crate::transaction::{
    Action, Client, ClientInvite, ClientKey, ClientMachine, MergeKey, Server, ServerInvite,
    ServerKey, ServerMachine,
};
use crate::wire::Via;
use crate::{Branch, HeaderName, Headers, Message, Method, Request, Response, StatusCode};

impl UserAgent {
    /// Sends a request of ours. `None` when the table has no room for it or no address of ours is known.
    ///
    /// A request of more than 1300 octets stays on UDP, other than RFC 3261 section 18.1.1 wants
    /// it: SIP Server is reached by the transport it is configured for, and a DN whose requests
    /// came by another one would be bound to that one.
    pub(super) fn start_client(
        &mut self,
        now: Instant,
        mut request: Request,
        hop: Hop,
        owner: Owner,
    ) -> Option<TransactionId> {
        if !self.has_room_for_ours(&owner) {
            return None;
        }
        let branch = self.ids.branch();
        let via = self.via(&hop, branch.clone())?;
        request.headers.push_front(HeaderName::VIA, via);
        let reliable = hop.transport.is_reliable();
        let machine = if request.method == Method::Invite {
            ClientMachine::Invite(ClientInvite::new(now, self.config.timers, reliable))
        } else {
            ClientMachine::Other(Client::new(now, self.config.timers, reliable))
        };
        let key = ClientKey::new(branch, &request.method);
        Some(self.file_client(request, hop, owner, machine, key))
    }

    /// Sends the request of a transaction of ours once more, changed or to another host: in a new transaction of the same owner, which knows what the one
    /// before knew.
    pub(super) fn send_again(
        &mut self,
        now: Instant,
        transaction: TransactionId,
        mut request: Request,
        hop: Hop,
    ) -> Option<TransactionId> {
        let client = self.clients.get(&transaction)?;
        let (owner, answered) = (client.owner.clone(), client.answered);
        let (tried, refused_before) = (client.tried.clone(), client.refused_before.clone());
        let may_be_read = client.may_be_read;
        request.headers.remove(&HeaderName::VIA);
        let again = self.start_client(now, request, hop, owner)?;
        if let Some(client) = self.clients.get_mut(&again) {
            client.answered = answered;
            client.tried = tried;
            client.refused_before = refused_before;
            client.may_be_read = may_be_read;
        }
        Some(again)
    }

    /// CANCEL has the Via of its INVITE (RFC 3261 section 9.1).
    pub(super) fn start_cancel(&mut self, now: Instant, request: Request, hop: Hop) {
        let Ok(via) = request.headers.top_via() else {
            return;
        };
        let Some(branch) = via.branch else { return };
        let reliable = hop.transport.is_reliable();
        let machine = ClientMachine::Other(Client::new(now, self.config.timers, reliable));
        let key = ClientKey::new(branch, &Method::Cancel);
        if self.client_keys.contains_key(&key) {
            // The one before is still being repeated.
            return;
        }
        self.file_client(request, hop, Owner::Cancel, machine, key);
    }

    fn file_client(
        &mut self,
        request: Request,
        hop: Hop,
        owner: Owner,
        machine: ClientMachine,
        key: ClientKey,
    ) -> TransactionId {
        let id = TransactionId(self.next_id());
        let bytes = request.to_bytes();
        self.transmit(&hop, bytes.clone());
        let transaction = ClientTransaction {
            key: key.clone(),
            machine,
            request,
            bytes,
            hop,
            owner,
            failure_ack: None,
            acks: Vec::new(),
            answered: Answered::default(),
            sent_again: false,
            heard: false,
            tried: Vec::new(),
            refused_before: None,
            unsent: false,
            may_be_read: false,
        };
        self.client_keys.insert(key, id);
        self.clients.insert(id, transaction);
        self.settle_client(id);
        id
    }

    /// A Via of ours for a request by `hop`.
    pub(super) fn via(&self, hop: &Hop, branch: Branch) -> Option<Vec<u8>> {
        let own = self.config.address(hop.transport)?;
        let (host, port) = (own.ip().into(), Some(own.port()));
        // No rport: SIP Server leaves it empty and answers to the port of sent-by anyhow.
        Some(Via::new(hop.transport.as_str(), host, port, branch, false).to_bytes())
    }

    /// A response has come from the network.
    pub(super) fn on_response(&mut self, now: Instant, source: &Source, response: Response) {
        let key = ClientKey::of_response(&response.headers);
        let Some(id) = key.and_then(|key| self.client_keys.get(&key).copied()) else {
            return self.refused(RefusedReason::NoTransaction, source.remote);
        };
        let allowed = self.peers.hears(source.remote.ip());
        let Some(transaction) = self.clients.get_mut(&id) else {
            return;
        };
        let asked = transaction.hop.to.ip().to_canonical();
        if asked != source.remote.ip().to_canonical() && !allowed {
            return self.refused(RefusedReason::ResponseSource, source.remote);
        }
        if source.transport == transaction.hop.transport && source.connection.is_some() {
            transaction.hop.connection = source.connection;
        }
        transaction.heard = true;
        let actions = transaction.machine.on_response(now, response.status);
        self.run_client(now, id, actions, Some((source, response)));
    }

    pub(super) fn on_client_timer(&mut self, now: Instant, id: TransactionId) {
        // Each of its timers once: one that is due again at once waits for the agenda.
        for _ in Timer::ALL {
            let Some(transaction) = self.clients.get_mut(&id) else {
                break;
            };
            let Some(timer) = transaction.machine.expire(now) else {
                break;
            };
            let actions = transaction.machine.on_timer(now, timer);
            self.run_client(now, id, actions, None);
        }
        self.settle_client(id);
    }

    pub(super) fn run_client(
        &mut self,
        now: Instant,
        id: TransactionId,
        actions: &[Action],
        mut response: Option<(&Source, Response)>,
    ) {
        for action in actions {
            let Some(transaction) = self.clients.get_mut(&id) else {
                return;
            };
            match action {
                Action::Send => {
                    // Whether a connection comes up for it is not known yet.
                    transaction.unsent &= transaction.hop.transport.is_reliable();
                    let (hop, bytes) = (transaction.hop, transaction.bytes.clone());
                    self.transmit(&hop, bytes);
                }
                Action::SendAck => {
                    let failure = response.as_ref().map(|(_, response)| response);
                    if let Some(bytes) = failure_ack(transaction, failure) {
                        let hop = transaction.hop;
                        self.transmit(&hop, bytes);
                    }
                }
                Action::Deliver => {
                    if let Some((source, response)) = response.take() {
                        self.deliver(now, id, source, response);
                    }
                }
                Action::TimedOut => {
                    let (owner, sent) = (transaction.owner.clone(), !transaction.unsent);
                    self.on_no_response(now, id, owner, sent);
                    self.keep_abandoned(id);
                }
                Action::TransportFailed => {
                    let (owner, sent) = (transaction.owner.clone(), transaction.may_be_read);
                    self.on_no_response(now, id, owner, sent);
                    self.keep_abandoned(id);
                }
            }
        }
        self.settle_client(id);
    }

    /// Removes a client transaction that has ended, or agrees on its next timer.
    pub(super) fn settle_client(&mut self, id: TransactionId) {
        let Some(transaction) = self.clients.get_mut(&id) else {
            return;
        };
        if transaction.machine.is_terminated() {
            self.drop_client(id);
        } else {
            let at = transaction.machine.next_timeout();
            self.agenda.set(&Wake::Client(id), at);
        }
    }

    /// Forgets a client transaction at once.
    pub(super) fn drop_client(&mut self, id: TransactionId) {
        if let Some(transaction) = self.clients.remove(&id) {
            self.client_keys.remove(&transaction.key);
        }
        self.abandoned.remove(&id);
        self.agenda.set(&Wake::Client(id), None);
    }

    /// Files a request of the peer as a new transaction.
    pub(super) fn start_server(
        &mut self,
        now: Instant,
        incoming: Incoming,
        dialog: Option<super::DialogId>,
    ) -> TransactionId {
        let Incoming {
            request,
            hop,
            key,
            merge,
            octets,
            ..
        } = incoming;
        let id = TransactionId(self.next_id());
        let machine = if request.method == Method::Invite {
            let reliable = hop.transport.is_reliable();
            ServerMachine::Invite(ServerInvite::new(self.config.timers, reliable))
        } else {
            ServerMachine::Other(Server::new(now, self.config.timers))
        };
        self.server_keys.insert(key.clone(), id);
        if let Some(merge) = &merge {
            self.merge_keys.insert(merge.clone(), id);
        }
        let transaction = ServerTransaction {
            key,
            merge,
            machine,
            request,
            hop,
            last_response: None,
            sent_again: false,
            dialog,
            octets,
        };
        self.held_octets += octets;
        self.servers.insert(id, transaction);
        self.settle_server(id);
        id
    }

    /// Sends a response; whether the transaction still took it.
    pub(super) fn send_response(
        &mut self,
        now: Instant,
        id: TransactionId,
        response: &Response,
    ) -> bool {
        let Some(transaction) = self.servers.get_mut(&id) else {
            return false;
        };
        if !transaction.machine.is_unanswered() {
            return false;
        }
        let actions = transaction.machine.send(now, response.status);
        let bytes = response.to_bytes();
        if response.status.is_final() {
            // Only repetitions may follow, and they get the same octets again. An INVITE is asked for its tag by a late CANCEL.
            let request = &mut transaction.request;
            let to = request.headers.get(&HeaderName::TO).map(<[u8]>::to_vec);
            request.headers = Headers::new();
            if let Some(to) = to.filter(|_| request.method == Method::Invite) {
                request.headers.push(HeaderName::TO, to);
            }
            request.body = Vec::new();
            self.held_octets = self.held_octets - transaction.octets + bytes.len();
            transaction.octets = bytes.len();
        }
        transaction.last_response = Some(bytes);
        transaction.sent_again = false;
        self.run_server(id, actions);
        true
    }

    /// The request of a transaction came again: over a stream, on the connection that its sender uses now.
    pub(super) fn on_repeated_request(&mut self, now: Instant, id: TransactionId, hop: Hop) {
        let Some(transaction) = self.servers.get_mut(&id) else {
            return;
        };
        if hop.transport.is_reliable() && hop.transport == transaction.hop.transport {
            transaction.hop = hop;
            let dialog = transaction.dialog.and_then(|id| self.dialogs.get_mut(&id));
            let accepted = dialog.map(|dialog| dialog.accepted.as_mut_slice());
            for accepted in accepted.unwrap_or_default() {
                if accepted.hop.to == hop.to {
                    accepted.hop = hop;
                }
            }
        }
        let actions = transaction.machine.on_request(now);
        self.run_server(id, actions);
    }

    /// A request within a dialog came again by another way: whoever sent it had no answer, and asked the next host of a proxy (RFC 3263 section 4.3).
    /// It is not obeyed twice. Its transaction goes on by the new way, and what was answered is said there again.
    pub(super) fn on_other_way(&mut self, now: Instant, id: TransactionId, incoming: Incoming) {
        let Some(transaction) = self.servers.get_mut(&id) else {
            return;
        };
        self.server_keys.remove(&transaction.key);
        self.server_keys.insert(incoming.key.clone(), id);
        transaction.key = incoming.key;
        transaction.hop = incoming.hop;
        transaction.sent_again = false;
        let way = &incoming.request.headers;
        transaction.request.headers = transaction.request.headers.by_way_of(way);
        if let Some(bytes) = &mut transaction.last_response {
            *bytes = redirected(bytes, way);
        }
        let cseq = way.cseq().map_or(0, |cseq| cseq.number);
        let of = transaction.dialog;
        if let Some(dialog) = of.and_then(|id| self.dialogs.get_mut(&id)) {
            dialog.seen_at(Hop::to_sender(&incoming.source, incoming.hop));
            let mut accepted = dialog.accepted.iter_mut();
            if let Some(accepted) = accepted.find(|accepted| accepted.cseq == cseq) {
                accepted.hop = incoming.hop;
                accepted.bytes = redirected(&accepted.bytes, way);
                accepted.hurry(now);
            }
        }
        let actions = transaction.machine.on_request(now);
        self.run_server(id, actions);
        if let Some(dialog) = of {
            self.repeat_accepted(now, dialog);
            self.settle_dialog(dialog);
        }
    }

    /// An ACK with the branch of an INVITE came; whether it is for the dialog instead.
    pub(super) fn on_transaction_ack(&mut self, now: Instant, id: TransactionId) -> bool {
        let Some(transaction) = self.servers.get_mut(&id) else {
            return true;
        };
        let actions = transaction.machine.on_ack(now);
        let for_dialog = actions.contains(&Action::Deliver);
        self.run_server(id, actions);
        for_dialog
    }

    pub(super) fn on_server_timer(&mut self, now: Instant, id: TransactionId) {
        // Each of its timers once: one that is due again at once waits for the agenda.
        for _ in Timer::ALL {
            let Some(transaction) = self.servers.get_mut(&id) else {
                break;
            };
            let Some(timer) = transaction.machine.expire(now) else {
                break;
            };
            let actions = transaction.machine.on_timer(now, timer);
            self.run_server(id, actions);
        }
        self.settle_server(id);
    }

    pub(super) fn run_server(&mut self, id: TransactionId, actions: &[Action]) {
        for action in actions {
            let Some(transaction) = self.servers.get_mut(&id) else {
                return;
            };
            match action {
                Action::Send => {
                    let hop = transaction.hop;
                    let bytes = match &transaction.last_response {
                        Some(bytes) => bytes.clone(),
                        // A re-INVITE came again before the application answered it.
                        None => Response::for_request(&transaction.request, StatusCode::TRYING)
                            .to_bytes(),
                    };
                    self.transmit(&hop, bytes);
                }
                // A response that nobody acknowledged, or that the network refused: its request
                // comes again or it does not, and there is nothing else to do.
                Action::SendAck | Action::Deliver | Action::TimedOut | Action::TransportFailed => {}
            }
        }
        self.settle_server(id);
    }

    fn settle_server(&mut self, id: TransactionId) {
        let Some(transaction) = self.servers.get_mut(&id) else {
            return;
        };
        if !transaction.machine.is_terminated() {
            let at = transaction.machine.next_timeout();
            self.agenda.set(&Wake::Server(id), at);
            return;
        }
        let mut heard = None;
        if let Some(transaction) = self.servers.remove(&id) {
            heard = transaction.dialog.map(|_| transaction.hop.to.ip());
            self.server_keys.remove(&transaction.key);
            self.held_octets -= transaction.octets;
            let opened = transaction.dialog.and_then(|id| self.dialogs.get(&id));
            if let Some(merge) = transaction.merge
                && opened.is_none_or(|dialog| dialog.opened_by.as_ref() != Some(&merge))
            {
                self.merge_keys.remove(&merge);
            }
        }
        self.agenda.set(&Wake::Server(id), None);
        self.settle_peers(heard.as_slice());
    }
}

/// A request on its way in, with what was found out about it.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) request: Request,
    /// Its To has a tag: it is of a dialog, if not of one of ours.
    pub(super) in_dialog: bool,
    /// The dialog of ours that it names.
    pub(super) dialog: Option<super::DialogId>,
    pub(super) source: Source,
    /// Where the response goes.
    pub(super) hop: Hop,
    pub(super) key: ServerKey,
    pub(super) merge: Option<MergeKey>,
    /// The size it came in.
    pub(super) octets: usize,
}

/// A response of ours, to be sent back by another way than before.
fn redirected(response: &[u8], way: &Headers) -> Vec<u8> {
    match Message::parse(response) {
        Ok(Message::Response(mut response)) => {
            response.headers = response.headers.by_way_of(way);
            response.to_bytes()
        }
        _ => response.to_vec(),
    }
}

/// The ACK of a failure (RFC 3261 section 17.1.1.3), built at the first and kept for repetitions.
fn failure_ack(transaction: &mut ClientTransaction, failure: Option<&Response>) -> Option<Vec<u8>> {
    if transaction.failure_ack.is_none() {
        let request = &transaction.request;
        let to = failure?.headers.get(&HeaderName::TO)?.to_vec();
        let mut ack = Request::new(Method::Ack, request.uri.clone());
        ack.headers
            .push(HeaderName::VIA, request.headers.get(&HeaderName::VIA)?);
        ack.headers.push(HeaderName::MAX_FORWARDS, "70");
        let copied = [HeaderName::ROUTE, HeaderName::FROM, HeaderName::CALL_ID];
        for name in copied {
            ack.headers
                .copy_from(&request.headers, |line| *line == name);
        }
        ack.headers.push(HeaderName::TO, to);
        let number = request.headers.cseq().ok()?.number;
        ack.headers.push(HeaderName::CSEQ, format!("{number} ACK"));
        transaction.failure_ack = Some(ack.to_bytes());
    }
    transaction.failure_ack.clone()
}
