//! Model media workers: they keep what they are told, and know who could hear whom.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use switchboard::{BrowserLegId, CallId, MediaCommand, MediaPlan};

/// What the workers hold.
#[derive(Debug, Default)]
pub(super) struct Workers {
    /// Legs that exist, and whether they are connected.
    pub(super) legs: BTreeMap<BrowserLegId, bool>,
    /// Ports that are open, by call.
    pub(super) ports: BTreeMap<CallId, u16>,
    /// The plan of each call.
    pub(super) plans: BTreeMap<CallId, MediaPlan>,
    closed: BTreeSet<CallId>,
    /// When the last report comes of what was done.
    pub(super) reported_at: Option<Instant>,
}

impl Workers {
    /// Takes a command; an order that makes no sense is a violation.
    pub(super) fn obey(&mut self, command: &MediaCommand) -> Result<(), String> {
        match command {
            MediaCommand::OfferBrowser {
                leg,
                restart: false,
                ..
            } => {
                if self.legs.insert(*leg, false).is_some() {
                    return Err(format!("{leg:?} was offered twice"));
                }
            }
            MediaCommand::OfferBrowser {
                leg, restart: true, ..
            } => {
                if !self.legs.contains_key(leg) {
                    return Err(format!("ICE restart on {leg:?}, which does not exist"));
                }
            }
            MediaCommand::CloseBrowser { leg } => {
                self.legs.remove(leg);
            }
            MediaCommand::OpenPort { call, port } => {
                if self.ports.values().any(|other| other == port) {
                    return Err(format!("port {port} was given to two calls"));
                }
                self.ports.insert(*call, *port);
            }
            MediaCommand::Plan(plan) => {
                if self.closed.contains(&plan.call) || !self.ports.contains_key(&plan.call) {
                    return Err(format!("a plan for call {} without a port", plan.call));
                }
                self.plans.insert(plan.call, plan.clone());
            }
            MediaCommand::CloseCall { call } => {
                if self.ports.remove(call).is_none() {
                    return Err(format!("call {call} was closed without a port"));
                }
                self.plans.remove(call);
                self.closed.insert(*call);
            }
            MediaCommand::SendDigits { call, .. }
            | MediaCommand::OpenTap { call, .. }
            | MediaCommand::Beep { call } => {
                if !self.plans.contains_key(call) {
                    return Err(format!("digits for call {call} without media"));
                }
            }
            MediaCommand::AnswerBrowser { .. }
            | MediaCommand::PauseTap { .. }
            | MediaCommand::CloseTap { .. }
            | MediaCommand::CandidateBrowser { .. } => {}
        }
        Ok(())
    }

    /// Calls whose media a leg carries, either way.
    pub(super) fn patched(&self, leg: BrowserLegId) -> Vec<CallId> {
        self.plans
            .values()
            .filter(|plan| plan.browser == Some(leg) && (plan.to_agent || plan.to_caller))
            .map(|plan| plan.call)
            .collect()
    }

    /// The call whose media is at this port.
    pub(super) fn call_at(&self, port: u16) -> Option<CallId> {
        self.ports
            .iter()
            .find(|(_, other)| **other == port)
            .map(|(call, _)| *call)
    }
}
