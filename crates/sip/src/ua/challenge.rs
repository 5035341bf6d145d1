//! Challenges to requests other than REGISTER: answered to the DN's own SIP Server and nobody else.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use super::UserAgent;
use super::config::{SiteId, Source};
use super::event::{DialogId, RefusedReason, TransactionId};
use super::tables::{Answered, Owner, RegistrationKey};
use crate::digest::{Challenge, Credentials};
use crate::registration::Registration;
use crate::{HeaderName, Request, Response, StatusCode};

impl UserAgent {
    /// Sends the request of `transaction` again with an answer to the challenge in `response`, and
    /// gives the transaction of the new request. `None` when the response is no challenge, or when
    /// it is not to be answered, which is counted.
    pub(super) fn answer_challenge(
        &mut self,
        now: Instant,
        transaction: TransactionId,
        source: &Source,
        response: &Response,
    ) -> Option<TransactionId> {
        let name = match response.status {
            StatusCode::UNAUTHORIZED => HeaderName::AUTHORIZATION,
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => HeaderName::PROXY_AUTHORIZATION,
            _ => return None,
        };
        let again = self.authorized(transaction, source, response, &name);
        let Some((request, answered)) = again else {
            self.refused(RefusedReason::Challenge, source.remote);
            return None;
        };
        let hop = self.clients.get(&transaction)?.hop;
        let id = self.send_again(now, transaction, request, hop)?;
        if let Some(client) = self.clients.get_mut(&id) {
            client.answered = answered;
        }
        Some(id)
    }

    /// The request with credentials, under the next `CSeq` (RFC 3261 section 22.2).
    fn authorized(
        &mut self,
        transaction: TransactionId,
        source: &Source,
        response: &Response,
        name: &HeaderName,
    ) -> Option<(Request, Answered)> {
        let client = self.clients.get(&transaction)?;
        let server = client.hop.to;
        if source.remote.ip().to_canonical() != server.ip().to_canonical() {
            return None;
        }
        let id = client.owner.dialog()?;
        // Where a call begins is our choice; within one somebody else may have brought the other host in.
        let begins = matches!(client.owner, Owner::Invite(_));
        let mut offered = response.headers.www_authenticate();
        offered.extend(response.headers.proxy_authenticate());
        offered.retain(|challenge| {
            self.credentials_for((id, begins), server, challenge.realm())
                .is_some()
        });
        let challenge = Challenge::best(&offered)?;
        let credentials = self.credentials_for((id, begins), server, challenge.realm());
        let credentials = credentials?.clone();
        let answered = client.answered.next(challenge.is_stale())?;

        let mut request = client.request.clone();
        request.headers.remove(name);
        let dialog = self.dialogs.get_mut(&id)?;
        dialog.local_cseq = dialog.local_cseq.saturating_add(1);
        let cseq = format!("{} {}", dialog.local_cseq, request.method);
        request.headers.set(HeaderName::CSEQ, cseq);
        let cnonce = self.ids.cnonce();
        let value = challenge.answer(
            &credentials,
            &request.method,
            request.uri.as_bytes(),
            &cnonce,
            1,
        );
        request.headers.push(name.clone(), value);
        Some((request, answered))
    }

    /// What answers a challenge in `realm` by `server` to a request of this dialog, or to the one that begins it: the rule at [`UserAgent`].
    fn credentials_for(
        &self,
        (id, begins): (DialogId, bool),
        server: SocketAddr,
        realm: &[u8],
    ) -> Option<&Credentials> {
        let dialog = self.dialogs.get(&id)?;
        let learned = of_dn(&self.registrations, &dialog.account)
            .filter(|(_, known)| {
                let registrar = known.order().server;
                registrar == server || begins && self.are_of_one_site(registrar, server)
            })
            .find_map(|(_, known)| known.credentials_for(realm));
        let configured = self.config.realm.as_deref().map(str::as_bytes) == Some(realm);
        let told = dialog.credentials.as_ref();
        let told = told.filter(|(callee, _)| configured && *callee == server);
        learned.or(told.map(|(_, credentials)| credentials))
    }
}

/// The registration of the DN at that very server.
pub(super) fn registered_at<'a>(
    registrations: &'a BTreeMap<RegistrationKey, Registration>,
    dn: &str,
    server: SocketAddr,
) -> Option<&'a Registration> {
    of_dn(registrations, dn)
        .map(|(_, registration)| registration)
        .find(|registration| registration.order().server == server)
}

/// The registrations of a DN, in the order of the sites.
pub(super) fn of_dn<'a>(
    registrations: &'a BTreeMap<RegistrationKey, Registration>,
    dn: &str,
) -> impl Iterator<Item = (&'a RegistrationKey, &'a Registration)> {
    let site = |site| RegistrationKey {
        dn: dn.to_owned(),
        site: SiteId(site),
    };
    registrations.range(site(0)..=site(u16::MAX))
}

impl Answered {
    /// At most one answer, and one more when the server says that only the nonce was old: a server
    /// with a new nonce in each challenge would keep us busy for ever.
    pub(crate) fn next(self, stale: bool) -> Option<Self> {
        match (self.once, self.stale) {
            (false, _) => Some(Self {
                once: true,
                stale: false,
            }),
            (true, false) if stale => Some(Self {
                once: true,
                stale: true,
            }),
            _ => None,
        }
    }
}
