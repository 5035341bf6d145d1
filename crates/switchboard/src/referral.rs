//! REFER from SIP Server: the agent's endpoint is asked to call somebody, out of the blue (`refer-enabled`) or from within a call
//! that the new one takes the place of (RFC 3515; `docs/transfer.md#sip-server-asks-us-to-call`).
//!
//! The INVITE goes to the SIP Server that asks, or its site's, whatever host the `Refer-To` names: a REFER says whom to call, never where our
//! calls and our passwords go.

use std::time::Instant;

use sip::ua::{DialogId, SiteId, TransactionId};
use sip::wire::{HeaderName, Method, Replaces, Request};
use sip::{Scheme, StatusCode, Uri, sipfrag};

use crate::Switchboard;
use crate::call::{Call, End, Proof};
use crate::failure::Cause;
use crate::headers;
use crate::ids::CallId;
use crate::io::{AdminRefusal, Fact, TransferKind, TransferResult};
use crate::limits::{REFERRAL_EXPIRES_S, TRANSFERRED_BYE_AFTER};

/// A call that SIP Server has asked for, and what it was told of it.
#[derive(Debug)]
pub(crate) struct Referral {
    /// Where the NOTIFYs go.
    /// `None` where nobody wants to hear, or is left to.
    subscription: Option<DialogId>,
    /// `id` of `Event`: the `CSeq` of a REFER within a call, which may not be the only one there.
    event_id: Option<u32>,
    /// The call that the new one takes the place of.
    instead_of: Option<Instead>,
    /// NOTIFY goes out one at a time, so that none overtakes another.
    in_flight: Option<TransactionId>,
    /// What has not been told yet; only the newest counts.
    next: Option<StatusCode>,
    /// The outcome was told, or is under way.
    over: bool,
    /// Its sender has taken news of it.
    is_owned: bool,
}

#[derive(Debug, Clone, Copy)]
struct Instead {
    call: CallId,
    /// The new call put it on hold, and its failure takes it off again.
    held: bool,
}

/// What a REFER asks for, checked.
struct Order {
    dn: String,
    /// The site of whoever asks: the call is made there.
    site: Option<SiteId>,
    number: String,
    headers: Vec<(HeaderName, Vec<u8>)>,
    /// `Refer-Sub: false` (RFC 4488): nobody wants to hear the outcome.
    silent: bool,
}

impl Switchboard {
    /// A REFER, within the call `within` or outside of any, of a SIP Server of `site`.
    pub(crate) fn on_refer(
        &mut self,
        now: Instant,
        transaction: TransactionId,
        request: &Request,
        (within, site): (Option<CallId>, Option<SiteId>),
    ) {
        let order = match self.refer_order(request, within, site) {
            Ok(order) => order,
            Err(status) => return self.reply(now, transaction, status, &[]),
        };
        let subscription = match within.and_then(|id| self.calls.get(&id)) {
            _ if order.silent => None,
            Some(call) => Some(call.dialog),
            None => self.ua.subscribe_referrer(transaction),
        };
        if subscription.is_none() && !order.silent {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return self.reply(now, transaction, status, &[]);
        }
        let no_news: &[(HeaderName, Vec<u8>)] =
            &[(HeaderName::other("Refer-Sub"), b"false".to_vec())];
        let headers = if order.silent { no_news } else { &[] };
        self.reply(now, transaction, StatusCode::ACCEPTED, headers);
        let event_id = within.and_then(|_| request.headers.cseq().ok().map(|cseq| cseq.number));
        let mut referral = Referral {
            subscription,
            event_id,
            instead_of: None,
            in_flight: None,
            next: Some(StatusCode::TRYING),
            over: false,
            is_owned: false,
        };
        // The news of the beginning leaves before the INVITE does (RFC 3515 section 2.4.4).
        self.notify_referrer(now, &mut referral);
        match self.place_referred_call(now, order, within) {
            Ok((id, instead_of)) => {
                referral.instead_of = instead_of;
                self.referrals.insert(id, referral);
            }
            Err(_) => {
                let id = self.next_call();
                self.referrals.insert(id, referral);
                self.tell_referrer(now, id, StatusCode::SERVICE_UNAVAILABLE);
            }
        }
    }

    /// What is asked for, or the status that refuses it.
    fn refer_order(
        &self,
        request: &Request,
        within: Option<CallId>,
        site: Option<SiteId>,
    ) -> Result<Order, StatusCode> {
        if !self.config.policy.refer.obeys(within.is_some()) {
            return Err(StatusCode::DECLINE);
        }
        let bad = StatusCode::BAD_REQUEST;
        let refer_to = request.headers.refer_to().map_err(|_| bad)?.ok_or(bad)?.uri;
        if !matches!(refer_to.scheme(), Scheme::Sip | Scheme::Sips) {
            return Err(StatusCode::UNSUPPORTED_URI_SCHEME);
        }
        let method = refer_to.param("method").unwrap_or(b"INVITE");
        if Method::parse(method) != Some(Method::Invite) {
            return Err(StatusCode::DECLINE);
        }
        let number = number_of(&refer_to).ok_or(bad)?;
        let mut headers = Vec::new();
        // Of the headers that a URI may smuggle in only this one is taken (RFC 3261 section 19.1.5).
        if let Some(replaces) = replaces_of(&refer_to).map_err(|()| bad)? {
            headers.push((HeaderName::REQUIRE, b"replaces".to_vec()));
            headers.push((HeaderName::REPLACES, replaces.to_bytes()));
        }
        if let Some(by) = request.headers.referred_by().ok().flatten() {
            headers.push((HeaderName::REFERRED_BY, by.to_bytes()));
        }
        let dn = match within.and_then(|id| self.calls.get(&id)) {
            Some(call) => {
                if !call.is_up() || self.is_moving(call) {
                    return Err(StatusCode::REQUEST_PENDING);
                }
                call.dn.clone()
            }
            None => headers::dn_of(request).ok_or(StatusCode::NOT_FOUND)?,
        };
        self.may_dial(&dn, usize::from(within.is_some()))
            .map_err(|why| status_of(&why))?;
        // Outside of a call the news is sent all the same (RFC 4488 section 4): the answer to it shows whether the REFER was SIP Server's.
        let silent = within.is_some()
            && request
                .headers
                .get(&HeaderName::other("Refer-Sub"))
                .is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(b"false"));
        Ok(Order {
            dn,
            site,
            number,
            headers,
            silent,
        })
    }

    /// The call that ends when this one, which a REFER within it asked for, is answered.
    pub(crate) fn referred_away_by(&self, id: CallId) -> Option<CallId> {
        let instead_of = self.referrals.get(&id)?.instead_of?;
        Some(instead_of.call)
    }

    /// A call within which a REFER is being obeyed.
    pub(crate) fn is_referred_away(&self, id: CallId) -> bool {
        let away = |referral: &Referral| {
            !referral.over && referral.instead_of.is_some_and(|old| old.call == id)
        };
        self.referrals.values().any(away)
    }

    fn place_referred_call(
        &mut self,
        now: Instant,
        order: Order,
        within: Option<CallId>,
    ) -> Result<(CallId, Option<Instead>), AdminRefusal> {
        let free = within.filter(|id| {
            let call = self.calls.get(id);
            call.is_some_and(|call| call.hold.local.is_none())
        });
        let Order {
            dn,
            site,
            number,
            headers,
            ..
        } = order;
        let id = self.place_call(now, (&dn, site), &number, headers)?;
        if within.is_some() {
            self.turn_to(now, id);
        } else if let Some(call) = self.calls.get_mut(&id) {
            // Anybody may have written it under SIP Server's address: who answers to the news of it has read it.
            call.proof = Proof::Owed;
        }
        if let Some(free) = free.and_then(|free| self.calls.get_mut(&free)) {
            free.hold.for_now = free.hold.local.is_some();
        }
        let instead_of = within.map(|call| Instead {
            call,
            held: free.is_some(),
        });
        Ok((id, instead_of))
    }

    /// The new call has come to `status`: SIP Server is told, and the call that it takes the place of ends, or is the agent's
    /// again.
    pub(crate) fn tell_referrer(&mut self, now: Instant, id: CallId, status: StatusCode) {
        if self.referrals.get(&id).is_none_or(|referral| referral.over) {
            return;
        }
        let Some(mut referral) = self.referrals.remove(&id) else {
            return;
        };
        referral.next = Some(status);
        referral.over = !status.is_provisional();
        let instead_of = referral.instead_of;
        self.notify_referrer(now, &mut referral);
        let over = referral.over;
        self.keep_referral(id, referral);
        if !over {
            return;
        }
        let result = match status.is_success() {
            true => TransferResult::Done,
            false => TransferResult::Failed,
        };
        let reference = self.calls.get(&id).map(Call::reference);
        if let Some(call) = reference {
            self.fact(Fact::TransferEnded {
                call,
                kind: TransferKind::Referred,
                result,
                sip_status: Some(status.as_u16()),
            });
        }
        if let Some(old) = instead_of {
            self.settle_replaced_call(now, old, status.is_success());
        }
    }

    fn settle_replaced_call(&mut self, now: Instant, old: Instead, succeeded: bool) {
        if succeeded {
            // SIP Server's BYE follows the news; ours comes where it does not.
            if let Some(call) = self.calls.get_mut(&old.call) {
                call.leaves_at = Some(now + TRANSFERRED_BYE_AFTER);
            }
            self.arm_call(old.call);
        } else if old.held {
            self.retrieve_if_for_now(now, old.call);
        }
    }

    /// The time for SIP Server's own BYE is over.
    pub(crate) fn leave_replaced_call(&mut self, now: Instant, id: CallId) {
        let due = |call: &Call| call.leaves_at.is_some_and(|at| at <= now);
        if self.calls.get(&id).is_some_and(due) {
            self.end_call(now, id, End::from(Cause::Replaced));
        }
    }

    /// Sends the next NOTIFY when its turn has come.
    fn notify_referrer(&mut self, now: Instant, referral: &mut Referral) {
        if referral.in_flight.is_some() {
            return;
        }
        let (Some(status), Some(dialog)) = (referral.next.take(), referral.subscription) else {
            return;
        };
        let event = match referral.event_id {
            Some(id) => format!("refer;id={id}"),
            None => "refer".to_owned(),
        };
        let state = match status.is_provisional() {
            true => format!("active;expires={REFERRAL_EXPIRES_S}"),
            false => "terminated;reason=noresource".to_owned(),
        };
        let headers = [
            (HeaderName::EVENT, event.into_bytes()),
            (HeaderName::SUBSCRIPTION_STATE, state.into_bytes()),
        ];
        let body = Some(("message/sipfrag;version=2.0", sipfrag::of_status(status)));
        let notify = self.ua.request(now, dialog, Method::Notify, &headers, body);
        referral.in_flight = Some(notify);
    }

    /// A NOTIFY is answered, or not: the next one may go. A referrer who refuses it hears nothing more (RFC 6665 section 4.1.2.2); one outside of
    /// a call who knows of no REFER never sent one, and what was forged under its address is not obeyed.
    pub(crate) fn on_notify_answered(
        &mut self,
        now: Instant,
        transaction: TransactionId,
        status: Option<StatusCode>,
    ) {
        let mut found = self.referrals.iter();
        let Some(id) = found
            .find_map(|(id, referral)| (referral.in_flight == Some(transaction)).then_some(*id))
        else {
            return;
        };
        let Some(mut referral) = self.referrals.remove(&id) else {
            return;
        };
        referral.in_flight = None;
        let heard = status.is_some_and(StatusCode::is_success);
        if !heard {
            referral.next = None;
        }
        referral.is_owned |= heard;
        let unknown = status == Some(StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST);
        let forged = unknown && !referral.is_owned && referral.event_id.is_none() && !referral.over;
        referral.over |= forged;
        self.notify_referrer(now, &mut referral);
        self.keep_referral(id, referral);
        if forged {
            self.end_call(now, id, End::from(Cause::RemoteCancel));
        } else {
            self.prove_now(now, id);
        }
    }

    /// Keeps a referral until its outcome was told.
    fn keep_referral(&mut self, id: CallId, referral: Referral) {
        if !referral.over || referral.in_flight.is_some() {
            self.referrals.insert(id, referral);
        } else if let Some(dialog) = referral.subscription {
            self.ua.end_subscription(dialog);
        }
    }

    /// The dialog of a subscription is gone and nobody is there to be told. A call that waits for the outcome waits on.
    pub(crate) fn on_subscription_gone(&mut self, dialog: DialogId) {
        self.referrals.retain(|_, referral| {
            if referral.subscription != Some(dialog) {
                return true;
            }
            referral.subscription = None;
            referral.in_flight = None;
            referral.instead_of.is_some() && !referral.over
        });
    }
}

/// The number in a `Refer-To`: its user part and nothing else.
fn number_of(refer_to: &Uri) -> Option<String> {
    let number = String::from_utf8(refer_to.number()?).ok()?;
    control::dial_number(&number).ok()
}

/// The one `Replaces` among the headers of a `Refer-To`.
fn replaces_of(refer_to: &Uri) -> Result<Option<Replaces>, ()> {
    let named = |name: &[u8]| name.eq_ignore_ascii_case(b"Replaces");
    match refer_to.headers().filter(|(name, _)| named(name)).count() {
        0 => Ok(None),
        1 => {
            let value = refer_to.header("Replaces").unwrap_or_default();
            Replaces::parse(&value).map(Some).ok_or(())
        }
        _ => Err(()),
    }
}

/// The status of a REFER for a call that cannot be made.
fn status_of(why: &AdminRefusal) -> StatusCode {
    match why {
        AdminRefusal::UnknownDn => StatusCode::NOT_FOUND,
        AdminRefusal::Busy => StatusCode::BUSY_HERE,
        AdminRefusal::Draining
        | AdminRefusal::NoPort
        | AdminRefusal::NoRoom
        | AdminRefusal::Overload => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::TEMPORARILY_UNAVAILABLE,
    }
}
