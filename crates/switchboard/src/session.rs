//! A page's time with us: sign-in, loss and return within the grace time, take-over, sign-out.

use std::time::{Duration, Instant};

use control::{AgentView, CloseCode, ErrorCode, GatewayMessage, Welcome};

use crate::Switchboard;
use crate::agent::{Agent, CameWith, Presence, Session};
use crate::call::End;
use crate::config::{AgentConfig, RegisterPolicy};
use crate::failure::Cause;
use crate::ids::{PageId, WorkerId};
use crate::io::{Fact, MediaCommand, Output, SignOutCause};
use crate::limits::{LEAVE_AT_ONCE, LEAVE_EVERY, LEG_RECOVERY_MAX, SESSIONS_A_WORKER_MAX};

/// A verified `hello`.
#[derive(Debug)]
pub(crate) struct Hello {
    pub(crate) page: PageId,
    pub(crate) token_expired: bool,
    pub(crate) request_id: Option<String>,
    pub(crate) resume: Option<String>,
    pub(crate) media_kept: bool,
}

/// Why nobody is signed in: what the page is told, and how its connection is closed.
type Refusal = (ErrorCode, &'static str, CloseCode);

impl Switchboard {
    /// A page becomes the DN's agent: new, back to its kept session, or in the place of another page.
    pub(crate) fn sign_in(&mut self, now: Instant, dn: &str, hello: Hello) {
        let found = self.agent_for(dn, hello.resume.as_ref());
        let resumed = found.is_some_and(|(_, resumed)| resumed);
        let is_taken = found.is_some_and(|(agent, _)| agent.page().is_some());
        if hello.resume.is_some() && !resumed && is_taken && !self.shutting_down {
            return self.refuse_former_page(hello);
        }
        let agent = found.map(|(agent, _)| agent);
        let is_own = is_proven(agent, hello.resume.as_ref());
        let worker = match self.admit_page(agent, hello.token_expired && !is_own) {
            Ok(worker) => worker,
            Err(refusal) => return self.refuse_sign_in(hello, dn, refusal),
        };
        let came_with = hello.resume.map(|secret| CameWith { secret, is_own });
        let replaced = self.turn_out_former_page(dn, hello.page);
        if agent_has_session(&self.agents, dn) {
            let secret = self.secret();
            let session = self.session_mut(dn).expect("seen above");
            session.presence = Presence::Here(hello.page);
            session.resume = secret;
            session.came_with = came_with;
            // A page that was away could bring no leg.
            session.leg_lost_deadline = session.leg_lost_deadline.map(|_| now + LEG_RECOVERY_MAX);
            // A page that did not keep its media has opened the microphone anew.
            session.muted &= resumed && hello.media_kept;
            let kept = session.microphone.take();
            session.microphone = kept.filter(|_| resumed && hello.media_kept);
        } else {
            self.begin_session(dn, hello.page, worker, came_with);
        }
        self.pages.insert(hello.page, dn.to_owned());
        self.fact(Fact::SignedIn {
            dn: dn.to_owned(),
            resumed,
            replaced,
        });
        // Also when the last goodbye is still on its way to SIP Server.
        self.register(now, dn);
        if let Some(id) = hello.request_id {
            self.emit(Output::Page {
                page: hello.page,
                message: GatewayMessage::Ok { id: Some(id) },
            });
        }
        self.welcome(now, dn, hello.page);
        self.bring_media(dn, resumed && hello.media_kept);
        self.arm_agent(dn);
    }

    /// The agent whom a page may become, and whether it comes back to its session with `resume`. One who was removed may only come back, to her call.
    fn agent_for(&self, dn: &str, resume: Option<&String>) -> Option<(&Agent, bool)> {
        let agent = self.agents.get(dn)?;
        let session = agent.session.as_ref().zip(resume);
        let resumed = session.is_some_and(|(session, secret)| session.is_resumed_by(secret));
        (resumed || !agent.removed).then_some((agent, resumed))
    }

    /// The worker of the page's session, of the one that is there or of the one that begins.
    fn admit_page(&self, agent: Option<&Agent>, is_late: bool) -> Result<WorkerId, Refusal> {
        if self.shutting_down {
            // Registered now, the DN would stay bound to a process that is gone.
            let message = "the gateway goes down";
            return Err((ErrorCode::Draining, message, CloseCode::GoingAway));
        }
        let Some(agent) = agent else {
            let message = "this dn is not configured at the gateway";
            return Err((ErrorCode::UnknownDn, message, CloseCode::NotAllowed));
        };
        // An open socket outlives its token, and so does the session of one that was lost: the secret is the session's own, and who has it had the socket.
        if is_late {
            let message = "the token has expired";
            return Err((ErrorCode::NotAllowed, message, CloseCode::NotAllowed));
        }
        let worker = match &agent.session {
            Some(session) => Some(session.worker),
            None => self.least_busy_worker(),
        };
        let message = "the gateway has too much to do: come back later";
        worker.ok_or((ErrorCode::Overload, message, CloseCode::TooMany))
    }

    fn refuse_sign_in(&mut self, hello: Hello, dn: &str, (code, message, close): Refusal) {
        self.fact(Fact::SignInRefused {
            dn: dn.to_owned(),
            code,
        });
        let message = GatewayMessage::Error {
            id: hello.request_id,
            code,
            message: message.to_owned(),
        };
        self.emit(Output::Page {
            page: hello.page,
            message,
        });
        self.emit(Output::ClosePage {
            page: hello.page,
            code: close,
        });
    }

    /// A page whose session another one has by now comes back by itself, as one does when its laptop wakes up: nobody has asked for it, and the agent,
    /// perhaps with a caller, is at the other page.
    fn refuse_former_page(&mut self, hello: Hello) {
        let page = hello.page;
        let message = "another page has taken the dn over";
        self.emit(Output::Page {
            page,
            message: GatewayMessage::Error {
                id: hello.request_id,
                code: ErrorCode::NotAllowed,
                message: message.to_owned(),
            },
        });
        self.turn_out(page);
    }

    /// One DN has one page: a valid token for the same DN takes over, calls included.
    fn turn_out_former_page(&mut self, dn: &str, page: PageId) -> bool {
        let Some(former) = self.agents.get(dn).and_then(Agent::page) else {
            return false;
        };
        if former == page {
            return false;
        }
        self.pages.remove(&former);
        self.turn_out(former);
        true
    }

    fn turn_out(&mut self, page: PageId) {
        self.emit(Output::Page {
            page,
            message: GatewayMessage::Replaced,
        });
        self.emit(Output::ClosePage {
            page,
            code: CloseCode::Replaced,
        });
    }

    fn begin_session(
        &mut self,
        dn: &str,
        page: PageId,
        worker: WorkerId,
        came_with: Option<CameWith>,
    ) {
        let session = Session {
            id: self.secret(),
            resume: self.secret(),
            came_with,
            presence: Presence::Here(page),
            worker,
            leg: None,
            next_leg: None,
            muted: false,
            microphone: None,
            browser_counts: control::BrowserCounts::default(),
            offers: 0,
            refused_answers: 0,
            leg_distance: Duration::ZERO,
            leg_offered_at: None,
            next_leg_at: None,
            leg_lost_deadline: None,
            leg_failure: None,
            turn_renewal: None,
        };
        self.agents
            .get_mut(dn)
            .expect("the caller looked the agent up")
            .session = Some(session);
    }

    /// A session and all its calls live on one worker. `None` while none takes further agents.
    fn least_busy_worker(&self) -> Option<WorkerId> {
        let mut load = vec![0_usize; self.config.media.workers.max(1)];
        for session in self
            .agents
            .values()
            .filter_map(|agent| agent.session.as_ref())
        {
            load[session.worker.0] += 1;
        }
        let workers = load.iter().enumerate();
        let least = workers
            .filter(|(index, sessions)| {
                **sessions < SESSIONS_A_WORKER_MAX && !self.is_shut_to_agents(WorkerId(*index))
            })
            .min_by_key(|(_, sessions)| **sessions);
        least.map(|(index, _)| WorkerId(index))
    }

    fn welcome(&mut self, now: Instant, dn: &str, page: PageId) {
        let ice_servers = self.ice_servers(now, dn);
        let registration = self.registration_view(dn);
        let agent = &self.agents[dn];
        let session = agent.session.as_ref().expect("the caller made or found it");
        let calls: Vec<_> = agent.calls.clone();
        let welcome = Welcome {
            agent: AgentView {
                dn: dn.to_owned(),
                name: agent.config.name.clone(),
            },
            session: session.id.clone(),
            resume: session.resume.as_str().into(),
            registration,
            ice_servers,
            message_waiting: agent.message_waiting,
            may_record: self
                .config
                .policy
                .recording
                .as_ref()
                .is_some_and(|recording| recording.agents_may),
            calls: Vec::new(),
        };
        let mut views = Vec::with_capacity(calls.len());
        for id in calls {
            if let Some(call) = self.calls.get_mut(&id) {
                let view = call.view();
                call.shown = Some(view.clone());
                views.push(view);
            }
        }
        let welcome = Welcome {
            calls: views,
            ..welcome
        };
        self.emit(Output::Page {
            page,
            message: GatewayMessage::Welcome(welcome),
        });
        let session = self.agents[dn].session.as_ref();
        if session.is_some_and(|session| self.is_overloaded(session.worker)) {
            let message = crate::overload::admission(true);
            self.emit(Output::Page { page, message });
        }
    }

    /// The page's connection is gone; everything is kept for the grace time.
    pub(crate) fn on_page_closed(&mut self, now: Instant, page: PageId) {
        let Some(dn) = self.pages.remove(&page) else {
            return;
        };
        let until = now + self.resume_grace();
        let Some(session) = self.session_mut(&dn) else {
            return;
        };
        if session.presence != Presence::Here(page) {
            return;
        }
        session.presence = Presence::Away(until);
        self.fact(Fact::PageAway { dn: dn.clone() });
        self.arm_agent(&dn);
    }

    /// The agent's own deadline has come: the grace time is over, the lost leg did not come back, or it is time to offer another.
    pub(crate) fn agent_due(&mut self, now: Instant, dn: &str) {
        let Some(session) = self.session_mut(dn) else {
            return;
        };
        if matches!(session.presence, Presence::Away(until) if until <= now) {
            return self.end_session(now, dn, SignOutCause::GraceOver);
        }
        let here = session.page().is_some();
        let lost = session.leg_lost_deadline.filter(|_| here);
        if lost.is_some_and(|deadline| deadline <= now) {
            session.leg_lost_deadline = None;
            self.end_calls_without_media(now, dn);
        }
        self.offer_next_leg(now, dn);
        self.renew_turn(now, dn);
        self.arm_agent(dn);
    }

    /// The session is over: calls end, legs close, the DN is unregistered unless it is registered always.
    pub(crate) fn end_session(&mut self, now: Instant, dn: &str, cause: SignOutCause) {
        let Some(agent) = self.agents.get_mut(dn) else {
            return;
        };
        let Some(session) = agent.session.take() else {
            return;
        };
        let calls = agent.calls.clone();
        let register = agent.config.register;
        let end = match cause {
            SignOutCause::Bye | SignOutCause::Removed => Cause::AgentSignOut,
            SignOutCause::GraceOver => Cause::BrowserGone,
            SignOutCause::Shutdown => Cause::Shutdown,
        };
        let code = match cause {
            SignOutCause::Bye | SignOutCause::GraceOver => CloseCode::Normal,
            SignOutCause::Removed => CloseCode::NotAllowed,
            SignOutCause::Shutdown => CloseCode::GoingAway,
        };
        if let Some(page) = session.page() {
            self.pages.remove(&page);
            self.emit(Output::ClosePage { page, code });
        }
        for call in calls {
            self.end_call(now, call, End::from(end));
        }
        for leg in [session.leg, session.next_leg].into_iter().flatten() {
            self.legs.remove(&leg.id);
            self.tell_worker(session.worker, MediaCommand::CloseBrowser { leg: leg.id });
        }
        if register == RegisterPolicy::OnSignIn
            || cause != SignOutCause::Bye && cause != SignOutCause::GraceOver
        {
            self.ua.unregister(now, dn);
        }
        self.fact(Fact::SignedOut {
            dn: dn.to_owned(),
            cause,
        });
    }

    /// The configuration was read again: agents that are gone are signed out, those in a call after it; new ones may sign in, the others keep
    /// their session.
    pub(crate) fn reload(&mut self, now: Instant, agents: Vec<AgentConfig>) {
        if self.shutting_down {
            return;
        }
        let wanted: std::collections::BTreeSet<&str> =
            agents.iter().map(|agent| agent.dn.as_str()).collect();
        let mut removed = 0;
        for (dn, agent) in &mut self.agents {
            if !agent.removed && !wanted.contains(dn.as_str()) {
                removed += 1;
                agent.removed = true;
                self.leaving.push_back(dn.clone());
            }
        }
        let mut added = 0;
        for config in agents {
            let dn = config.dn.clone();
            let always = config.register == RegisterPolicy::Always;
            let signed_in = match self.agents.get_mut(&dn) {
                Some(agent) => {
                    agent.removed = false;
                    agent.config = config;
                    agent.session.is_some()
                }
                None => {
                    added += 1;
                    self.agents.insert(dn.clone(), Agent::new(config));
                    false
                }
            };
            // A registration that goes on unchanged is left alone; a new password is used from now on.
            if always || signed_in {
                self.register(now, &dn);
            } else {
                self.ua.unregister(now, &dn);
            }
        }
        self.some_leave(now);
        self.fact(Fact::Reloaded { added, removed });
    }

    /// A DN that is no longer in the configuration goes, unless it still has calls.
    pub(crate) fn leave_if_removed(&mut self, now: Instant, dn: &str) {
        let agent = self.agents.get(dn);
        if agent.is_some_and(|agent| agent.removed && agent.calls.is_empty()) {
            self.end_session(now, dn, SignOutCause::Removed);
            self.ua.unregister(now, dn);
            self.agents.remove(dn);
        }
    }

    /// New calls are refused; those that are up go on.
    pub(crate) fn drain(&mut self) {
        if !self.draining {
            self.draining = true;
            self.fact(Fact::Draining {
                calls: self.calls.len(),
            });
        }
    }

    /// Everything ends now, each in its proper way; who talks comes first, as a BYE that is lost leaves a caller with silence.
    pub(crate) fn shutdown(&mut self, now: Instant) {
        self.drain();
        if self.shutting_down {
            return;
        }
        self.shutting_down = true;
        let mut agents: Vec<&Agent> = self.agents.values().collect();
        agents.sort_by_key(|agent| (agent.calls.is_empty(), agent.session.is_none()));
        self.leaving = agents
            .into_iter()
            .map(|agent| agent.config.dn.clone())
            .collect();
        self.some_leave(now);
    }

    /// The next agents of a shutdown, or of those that were removed, leave: thousands at once would be more than a socket takes.
    pub(crate) fn some_leave(&mut self, now: Instant) {
        for _ in 0..LEAVE_AT_ONCE {
            let Some(dn) = self.leaving.pop_front() else {
                return;
            };
            if self.shutting_down {
                self.end_session(now, &dn, SignOutCause::Shutdown);
                self.ua.unregister(now, &dn);
            } else {
                self.leave_if_removed(now, &dn);
            }
        }
        self.arm_leave(now + LEAVE_EVERY);
    }

    pub(crate) fn session_mut(&mut self, dn: &str) -> Option<&mut Session> {
        self.agents.get_mut(dn)?.session.as_mut()
    }
}

/// Whether `resume` is a secret of the session that the agent has.
fn is_proven(agent: Option<&Agent>, resume: Option<&String>) -> bool {
    let session = agent.and_then(|agent| agent.session.as_ref());
    let named = session.zip(resume);
    named.is_some_and(|(session, secret)| session.is_proven_by(secret))
}

fn agent_has_session(agents: &std::collections::BTreeMap<String, Agent>, dn: &str) -> bool {
    agents.get(dn).is_some_and(|agent| agent.session.is_some())
}
