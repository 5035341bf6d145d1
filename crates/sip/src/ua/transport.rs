//! What the network reports: a message that cannot leave, and a connection that is gone (RFC 3261 section 18.4).

use std::net::SocketAddr;
use std::time::Instant;

use super::event::TransactionId;
use super::{ConnectionId, Transport, UserAgent, Wake};
use crate::transaction::Action;

impl UserAgent {
    /// No message can leave for `to`: the system refuses datagrams for it, or no connection to it comes up. What went by a connection that is up is not
    /// meant.
    ///
    /// A datagram that is refused counts as lost within a dialog: a route that is gone for a moment ends no call, since what is repeated leaves by the
    /// next one. So does a connection that does not come up: it is tried again until the request's time is over, where no other host takes it. What
    /// stands alone has another host to go to, and fails at once (RFC 3263 section 4.3).
    pub fn transmit_failed(&mut self, now: Instant, transport: Transport, to: SocketAddr) {
        let hit = self.clients.iter().filter(|(_, transaction)| {
            transaction.hop.transport == transport
                && transaction.hop.to == to
                && transaction.hop.connection.is_none()
                && transaction.machine.is_unanswered()
                && (transport.is_reliable() || transaction.owner.stands_alone())
        });
        let hit: Vec<TransactionId> = hit.map(|(id, _)| *id).collect();
        for id in hit {
            self.fail_or_repeat(now, id);
        }
        if transport.is_reliable() {
            return self.repeat_refusals(now, transport, to);
        }
        let hit = self.servers.iter().filter(|(_, transaction)| {
            transaction.hop.transport == transport && transaction.hop.to == to
        });
        let hit: Vec<TransactionId> = hit.map(|(id, _)| *id).collect();
        for id in hit {
            let Some(transaction) = self.servers.get_mut(&id) else {
                continue;
            };
            let actions = transaction.machine.on_transport_error(now);
            self.run_server(id, actions);
        }
    }

    /// The stream to `peer` is gone. Nobody knows what of the last octets was read at the other end, and neither side repeats anything on a stream; so
    /// what waits for an answer that can not come this way is sent once more on a new connection, with the same branch, as SIP Server does
    /// too: who has it already takes it for a repetition. Later messages go to the address behind the stream.
    pub fn connection_lost(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        transport: Transport,
        peer: SocketAddr,
    ) {
        self.send_requests_again(now, connection, transport, peer);
        self.send_responses_again(connection, transport, peer);
        for dialog in self.dialogs.values_mut() {
            dialog.peer.connection = dialog.peer.connection.filter(|c| *c != connection);
        }
        self.on_registrar_connection_lost(now, connection);
    }

    /// No connection for a request of ours.
    fn fail_or_repeat(&mut self, now: Instant, id: TransactionId) {
        let elsewhere = self.next_host(id).is_some();
        let Some(transaction) = self.clients.get_mut(&id) else {
            return;
        };
        transaction.unsent = !transaction.may_be_read;
        let waits = transaction.hop.transport.is_reliable() && !elsewhere;
        if waits && !transaction.owner.stands_alone() {
            transaction.machine.repeat(now);
            return self.settle_client(id);
        }
        let actions = transaction.machine.on_transport_error(now);
        self.run_client(now, id, actions, None);
    }

    /// A refusal of an INVITE finds no connection: it is said again, as over UDP, until it is acknowledged; else the caller hears a telephone that nobody lets
    /// ring. A 2xx is repeated by its dialog, and any other answer is given when its request comes again.
    fn repeat_refusals(&mut self, now: Instant, transport: Transport, to: SocketAddr) {
        for (id, transaction) in &mut self.servers {
            let hop = &transaction.hop;
            if hop.transport == transport && hop.to == to && hop.connection.is_none() {
                transaction.machine.repeat(now);
                let at = transaction.machine.next_timeout();
                self.agenda.set(&Wake::Server(*id), at);
            }
        }
    }

    /// A request whose second connection is gone as well is treated as one that got none.
    fn send_requests_again(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        transport: Transport,
        peer: SocketAddr,
    ) {
        let waiting = self
            .clients
            .iter()
            .filter(|(_, client)| client.hop.went_by(connection, transport, peer));
        let waiting: Vec<TransactionId> = waiting.map(|(id, _)| *id).collect();
        for id in waiting {
            let Some(transaction) = self.clients.get_mut(&id) else {
                continue;
            };
            transaction.hop.connection = None;
            if !transaction.machine.is_pending() {
                continue;
            }
            transaction.unsent = false;
            transaction.may_be_read = true;
            if std::mem::replace(&mut transaction.sent_again, true) {
                self.fail_or_repeat(now, id);
            } else {
                self.run_client(now, id, &[Action::Send], None);
            }
        }
    }

    /// Responses go to the address that the request named when its connection is gone (RFC 3261 section 18.2.2). What answers an INVITE
    /// and is not acknowledged goes there once more; a 2xx is repeated by its dialog, and any other answer when its request comes again.
    fn send_responses_again(
        &mut self,
        connection: ConnectionId,
        transport: Transport,
        peer: SocketAddr,
    ) {
        let asked = self
            .servers
            .iter()
            .filter(|(_, server)| server.hop.went_by(connection, transport, peer));
        let asked: Vec<TransactionId> = asked.map(|(id, _)| *id).collect();
        for id in asked {
            let Some(transaction) = self.servers.get_mut(&id) else {
                continue;
            };
            transaction.hop.connection = None;
            let answered = transaction.last_response.is_some();
            if answered && transaction.machine.awaits_ack() && !transaction.sent_again {
                transaction.sent_again = true;
                self.run_server(id, &[Action::Send]);
            }
        }
    }
}
