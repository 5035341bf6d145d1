//! From signalling to media: one value per call that says which ends are joined and which way media goes.

use crate::Switchboard;
use crate::call::{Call, Phase};
use crate::ids::{BrowserLegId, CallId};
use crate::io::{MediaCommand, MediaPlan, Path, SipMedia};

impl Switchboard {
    /// Tells the worker the call's plan, if it changed.
    pub(crate) fn update_media(&mut self, id: CallId) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let leg = self
            .agents
            .get(&call.dn)
            .and_then(|agent| agent.session.as_ref()?.leg)
            .map(|leg| leg.id);
        let Some(plan) = plan(call, leg) else { return };
        if call.plan.as_ref() == Some(&plan) {
            return;
        }
        let worker = call.worker;
        if let Some(call) = self.calls.get_mut(&id) {
            call.plan = Some(plan.clone());
        }
        self.tell_worker(worker, MediaCommand::Plan(plan));
    }
}

/// The plan of a call as it stands; `None` while no media is agreed.
fn plan(call: &Call, leg: Option<BrowserLegId>) -> Option<MediaPlan> {
    let agreed = call.negotiation.agreed()?;
    let open = matches!(call.phase, Phase::Up { .. }) && call.hold.local.is_none();
    // Our own description echoed back is SIP Server's way of ending flow 1: joining it would loop the agent to herself.
    let remote = agreed.remote.filter(|_| !agreed.echo);
    let heard = open && agreed.direction.receives() && remote.is_some();
    let sent = open && agreed.direction.sends() && remote.is_some();
    Some(MediaPlan {
        call: call.id,
        sip: SipMedia {
            remote,
            remote_rtcp: agreed.remote_rtcp.filter(|_| remote.is_some()),
            codec: agreed.codec,
            payload_type: agreed.payload_type,
            telephone_event: agreed.telephone_event,
            ptime_ms: agreed.ptime_ms,
        },
        browser: leg.filter(|_| heard || sent),
        path: Path::Relay,
        to_agent: heard,
        to_caller: sent,
    })
}
