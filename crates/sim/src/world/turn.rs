//! One thing is told to talkbridge, and everything that it decides is carried out, as the shell does it.

use std::collections::VecDeque;
use std::net::SocketAddr;

use control::{GatewayMessage, PageMessage};
use switchboard::{CallId, CallRef, Cause, Fact, Input, Output, PageId};

use super::network::Place;
use super::reference::Happened;
use super::{OUTPUTS_MAX, Step, World, asides, proxy, wire};

/// An INVITE, and who sent it.
type Invite = (SocketAddr, Vec<u8>);

/// What comes out of one input.
#[derive(Debug, Default)]
struct Turn {
    /// The INVITE that is the input.
    invite: Option<Invite>,
    /// The page that signs in has kept its media, and with it its microphone.
    media_kept: bool,
    /// It is a page's word.
    by_page: bool,
    /// The calls that were offered, and how many others each may be in place of.
    began: Vec<(CallId, usize)>,
    /// Calls whose INVITE is about to leave.
    placed: VecDeque<CallId>,
    /// What was sent to SIP Servers.
    sent: Vec<String>,
    /// What pages were told that is no call's picture.
    told: Vec<GatewayMessage>,
    /// Pages whose queue was full.
    deaf: Vec<PageId>,
}

impl World {
    pub(super) fn board_handles(&mut self, input: Input) -> Step {
        self.cover(&input);
        let mut turn = Turn::default();
        match &input {
            Input::Sip { bytes, source } if bytes.starts_with(b"INVITE ") => {
                turn.invite = Some((source.remote, bytes.clone()));
            }
            Input::Page { .. } => turn.by_page = true,
            Input::SignIn { media_kept, .. } => turn.media_kept = *media_kept,
            _ => {}
        }
        let happened = self.happened(&input);
        self.board.handle(self.now, input);
        let mut outputs = 0;
        while let Some(output) = self.board.poll_output() {
            outputs += 1;
            if outputs > OUTPUTS_MAX {
                return Err("one input, outputs without end".to_owned());
            }
            self.carry_out(output, &mut turn)?;
        }
        self.oracle.turn_is_over(self.now)?;
        self.limits_hold(&turn.began)?;
        self.oracle.check_media(&self.workers, &self.browsers)?;
        self.mute_is_known(&happened)?;
        self.asides_hold(&happened, &turn.sent, &turn.told)?;
        self.reference
            .step(self.now, &happened, &turn.sent, &self.coverage, &self.dns);
        for page in turn.deaf {
            self.note(|| format!("the queue of page {} is full", page.0));
            self.report.overflows += 1;
            self.browsers.close(page);
            self.board_handles(Input::PageClosed { page })?;
        }
        self.shown_as_expected()
    }

    fn carry_out(&mut self, output: Output, turn: &mut Turn) -> Step {
        if let Output::Page { message, .. } = &output {
            turn.told.extend(asides::told(message));
        }
        match output {
            Output::Sip(transmit) => {
                let Some(server) = self.server_at(transmit.to) else {
                    return self.attacker.is_told(&transmit.bytes);
                };
                self.note_message(server, "->", &transmit.bytes);
                if self.coverage.is_new_dialog(&transmit.bytes)
                    && let Some(call) = turn.placed.pop_front()
                {
                    self.coverage.learn(&transmit.bytes, call);
                    self.call_is_at(call, server)?;
                }
                self.oracle
                    .gateway_sends(self.now, server, &transmit.bytes)?;
                let text = String::from_utf8_lossy(&transmit.bytes).into_owned();
                if self.proxy.is_some() {
                    proxy::is_on_its_route(&text, self.site.spoken())?;
                }
                self.goes_first(server, &text);
                turn.sent.push(text);
                match self.streams {
                    Some(_) => self.gateway_streams(transmit, server),
                    None => self.send(server, Place::Server, transmit.bytes),
                }
                Ok(())
            }
            Output::Page { page, .. } if self.browsers.lets_go_of(page) => {
                turn.deaf.push(page);
                Ok(())
            }
            Output::Page { page, message } => self.page_hears(page, message),
            Output::ClosePage { page, .. } => {
                self.browsers.close(page);
                Ok(())
            }
            Output::Media { command, .. } => self.worker_obeys(&command),
            Output::Admin { .. } | Output::SipPeers(_) | Output::Recording(_) => Ok(()),
            Output::Fact(fact) => {
                self.learn_of(&fact, turn)?;
                self.observe(&fact);
                self.follow(&fact)
            }
        }
    }

    /// Which calls and dialogs there are.
    fn learn_of(&mut self, fact: &Fact, turn: &mut Turn) -> Step {
        match fact {
            Fact::CallOffered { call, outbound, .. } => {
                let instead = match &turn.invite {
                    Some((_, bytes)) if !outbound => {
                        let text = String::from_utf8_lossy(bytes);
                        wire::header(&text, "Replaces").is_some()
                    }
                    // A REFER within a call of hers.
                    _ => !turn.by_page,
                };
                turn.began.push((call.call, usize::from(instead)));
                match &turn.invite {
                    Some(invite) if !outbound => self.learn_of_call(call, invite)?,
                    _ => {
                        self.dns.insert(call.call, call.dn.clone());
                        turn.placed.push_back(call.call);
                    }
                }
            }
            Fact::CallRefused { call, .. } => {
                let invite = turn.invite.as_ref().ok_or("a refusal of no INVITE")?;
                self.learn_of_call(call, invite)?;
            }
            Fact::CallMoved { call, .. } => {
                self.gives_up(call);
                turn.placed.push_back(call.call);
            }
            Fact::CallEnded { call, cause, .. } if *cause == Cause::NoResponse => {
                self.gives_up(call);
            }
            Fact::SignedIn { resumed: true, .. } if turn.media_kept => {}
            Fact::SignedIn { dn, .. } | Fact::SignedOut { dn, .. } => {
                self.muted.remove(dn);
            }
            _ => {}
        }
        Ok(())
    }

    /// What the INVITEs of a call have asked until now is given up.
    fn gives_up(&mut self, call: &CallRef) {
        let coverage = &self.coverage;
        let of_call = |call_id: &str| coverage.call_of_dialog(call_id) == Some(call.call);
        self.oracle.gives_up(self.now, of_call);
    }

    /// An INVITE of SIP Server has the number of a call.
    fn learn_of_call(&mut self, call: &CallRef, (from, bytes): &Invite) -> Step {
        self.dns.insert(call.call, call.dn.clone());
        let shared = self.coverage.learn(bytes, call.call);
        self.reference.two_in_one_dialog(shared, &call.dn);
        let server = self.server_at(*from).ok_or("a call of nobody")?;
        self.call_is_at(call.call, server)?;
        if self.oracle.counts_twice(&String::from_utf8_lossy(bytes)) {
            self.journeys.disturb(call.call);
        }
        Ok(())
    }

    /// The administration knows who is muted: whoever said so last, in the session that runs.
    fn mute_is_known(&mut self, happened: &Happened) -> Step {
        if let Happened::Page(dn, PageMessage::Mute { muted }) = happened {
            match muted {
                true => self.muted.insert(dn.clone()),
                false => self.muted.remove(dn),
            };
        }
        for dn in self.site.dns() {
            let shown = self.board.agent(&dn).is_some_and(|agent| agent.muted);
            if shown != self.muted.contains(&dn) {
                return Err(format!("{dn} is shown as muted: {shown}"));
            }
        }
        Ok(())
    }
}
