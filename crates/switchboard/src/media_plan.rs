//! From signalling to media: one value per call that says which ends are joined and which way media goes.

use crate::Switchboard;
use crate::call::{Call, Phase, Proof};
use crate::ids::{BrowserLegId, CallId};
use crate::io::{MediaCommand, MediaPlan, SipMedia};

impl Switchboard {
    /// Tells the worker the plans of the agent's calls, those that changed. The call with the voice comes last: two calls of
    /// one agent are never open at once.
    pub(crate) fn update_media(&mut self, dn: &str) {
        let voice = self.voice(dn);
        let leg = self
            .agents
            .get(dn)
            .and_then(|agent| agent.session.as_ref()?.leg)
            .map(|leg| leg.id);
        let mut calls = self.calls_of(dn);
        calls.sort_by_key(|id| voice == Some(*id));
        for id in calls {
            let Some(call) = self.calls.get_mut(&id).filter(|call| !call.media_closed) else {
                continue;
            };
            let Some(plan) = plan(call, leg, voice == Some(id)) else {
                continue;
            };
            if plan.sip.remote.is_some() {
                call.srtp = Some(plan.sip.srtp.as_ref().map(|srtp| srtp.suite));
            }
            if call.plan.as_ref() != Some(&plan) {
                call.plan = Some(plan.clone());
                let worker = call.worker;
                self.tell_worker(worker, MediaCommand::Plan(plan));
            }
        }
    }

    /// The same for the agent whose call this is.
    pub(crate) fn update_media_of(&mut self, id: CallId) {
        if let Some(dn) = self.calls.get(&id).map(|call| call.dn.clone()) {
            self.update_media(&dn);
        }
    }

    /// The one call of the agent that may be heard: the active one, else the newest that only its peer holds (which may play
    /// music to her).
    fn voice(&self, dn: &str) -> Option<CallId> {
        let calls = self.calls_of(dn);
        let heard = |id: &&CallId| {
            let call = self.calls.get(id);
            call.is_some_and(|call| call.is_up() || call.early().is_some())
        };
        let active = |id: &&CallId| self.calls.get(id).is_some_and(Call::has_voice);
        let ours = |id: &&CallId| {
            self.calls
                .get(id)
                .is_some_and(|call| call.hold.local.is_none())
        };
        let newest = || calls.iter().rev().filter(heard);
        newest()
            .find(active)
            .or_else(|| newest().find(ours))
            .copied()
    }
}

/// The plan of a call as it stands; `None` while no media is agreed.
fn plan(call: &Call, leg: Option<BrowserLegId>, has_voice: bool) -> Option<MediaPlan> {
    let agreed = call.agreed()?;
    let answered = matches!(call.phase, Phase::Up { .. });
    let open = has_voice && (answered || call.early().is_some()) && call.hold.local.is_none();
    // Our own description echoed back is SIP Server's way of ending flow 1: joining it would loop the agent to herself.
    let remote = agreed.remote.filter(|_| !agreed.echo);
    let heard = open && agreed.direction.receives() && remote.is_some();
    let sent = open && call.proof != Proof::Owed && agreed.direction.sends() && remote.is_some();
    Some(MediaPlan {
        call: call.id,
        sip: SipMedia {
            remote,
            remote_rtcp: agreed.remote_rtcp.filter(|_| remote.is_some()),
            codec: agreed.codec,
            payload_type: agreed.payload_type,
            telephone_event: agreed.telephone_event,
            ours: agreed.ours,
            srtp: agreed.srtp.clone().map(Box::new),
            voip_metrics: agreed.voip_metrics,
            dtx: agreed.dtx,
            ptime_ms: agreed.ptime_ms,
            maxptime_ms: agreed.maxptime_ms,
        },
        browser: leg.filter(|_| heard || sent),
        to_agent: heard,
        to_caller: sent,
    })
}
