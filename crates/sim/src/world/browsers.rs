//! Model browsers: pages that sign in, answer media offers, and keep the picture they are shown.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use control::{CallState, CallView, GatewayMessage, MessageWaiting, PageMessage, PageRequest};
use rand::RngExt;
use switchboard::{BrowserLegId, BrowserState, Input, MediaCommand, MediaEvent, PageId};

use super::queue::Event;
use super::{Step, World};

/// All pages that ever were; the ones that are open are what counts.
#[derive(Debug, Default)]
pub(super) struct Browsers {
    pages: BTreeMap<PageId, Page>,
    count: u64,
    /// The DN that each leg was offered to.
    legs: BTreeMap<BrowserLegId, String>,
    /// Pages that the shell has let go of, and talkbridge has yet to hear of it: the end of one is told after the end of another.
    let_go: BTreeSet<PageId>,
}

/// One page.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) dn: String,
    pub(super) open: bool,
    /// It takes what it is sent; the queue of one that does not is full.
    reads: bool,
    /// The secret of its `welcome`.
    pub(super) resume: Option<String>,
    /// When its credentials for TURN end, where it was given any.
    pub(super) turn_ends_s: Option<u64>,
    /// The messages that wait, as it shows them.
    pub(super) message_waiting: Option<MessageWaiting>,
    /// What it shows, by call.
    pub(super) calls: BTreeMap<String, CallView>,
}

impl Browsers {
    /// The open page of a DN.
    pub(super) fn of(&self, dn: &str) -> Option<(PageId, &Page)> {
        self.pages
            .iter()
            .find(|(_, page)| page.open && page.dn == dn)
            .map(|(id, page)| (*id, page))
    }

    /// The DN of a page.
    pub(super) fn dn_of(&self, page: PageId) -> Option<&str> {
        self.pages.get(&page).map(|page| page.dn.as_str())
    }

    /// The same, of a page that is still open.
    pub(super) fn dn_of_open(&self, page: PageId) -> Option<&str> {
        let page = self.pages.get(&page).filter(|page| page.open);
        page.map(|page| page.dn.as_str())
    }

    /// The DN of a leg.
    pub(super) fn dn_of_leg(&self, leg: BrowserLegId) -> Option<&str> {
        self.legs.get(&leg).map(String::as_str)
    }

    /// Every open page.
    pub(super) fn open(&self) -> impl Iterator<Item = &Page> {
        self.pages.values().filter(|page| page.open)
    }

    /// How many pages talkbridge can know of.
    pub(super) fn known(&self) -> usize {
        self.open().count() + self.let_go.len()
    }

    /// A page is gone, and talkbridge knows it, or hears of it next.
    pub(super) fn close(&mut self, page: PageId) {
        self.let_go.remove(&page);
        if let Some(page) = self.pages.get_mut(&page) {
            page.open = false;
        }
    }

    /// An open page does not read any more.
    pub(super) fn stop_reading(&mut self, page: PageId) {
        if let Some(page) = self.pages.get_mut(&page) {
            page.reads = false;
        }
    }

    /// Whether the queue of an open page is full: the shell lets go of it, and its socket is closed.
    pub(super) fn lets_go_of(&mut self, page: PageId) -> bool {
        let stuck = self
            .pages
            .get_mut(&page)
            .filter(|page| page.open && !page.reads);
        stuck.is_some_and(|stuck| {
            stuck.open = false;
            self.let_go.insert(page)
        })
    }

    /// The secret of the DN's last page that was welcomed.
    pub(super) fn last_secret(&self, dn: &str) -> Option<String> {
        self.pages
            .values()
            .rev()
            .find(|page| page.dn == dn && page.resume.is_some())?
            .resume
            .clone()
    }
}

impl World {
    pub(super) fn sign_in(&mut self, dn: &str, resume: Option<String>, media_kept: bool) -> Step {
        self.browsers.count += 1;
        let page = PageId(self.browsers.count);
        let model = Page {
            dn: dn.to_owned(),
            open: true,
            reads: true,
            resume: None,
            turn_ends_s: None,
            message_waiting: None,
            calls: BTreeMap::new(),
        };
        self.browsers.pages.insert(page, model);
        self.note(|| format!("page {} signs in on {dn}, kept {media_kept}", page.0));
        self.board_handles(Input::SignIn {
            page,
            dn: dn.to_owned(),
            token_expired: false,
            request_id: None,
            resume,
            media_kept,
        })
    }

    pub(super) fn page_vanishes(&mut self, page: PageId) -> Step {
        self.note(|| format!("page {} vanishes", page.0));
        self.browsers.close(page);
        self.board_handles(Input::PageClosed { page })
    }

    pub(super) fn page_says(&mut self, page: PageId, message: PageMessage) -> Step {
        self.note(|| format!("page {} says {message:?}", page.0));
        self.board_handles(Input::Page {
            page,
            request: PageRequest { id: None, message },
        })
    }

    pub(super) fn page_hears(&mut self, id: PageId, message: GatewayMessage) -> Step {
        let turn = match &message {
            GatewayMessage::Welcome(welcome) => self.credentials_are_fresh(&welcome.ice_servers)?,
            GatewayMessage::IceServers { ice_servers } => {
                self.credentials_are_fresh(ice_servers)?
            }
            _ => None,
        };
        let Some(page) = self.browsers.pages.get_mut(&id) else {
            return Err(format!("{id:?} was never opened"));
        };
        page.turn_ends_s = turn.or(page.turn_ends_s);
        if let GatewayMessage::MediaOffer { sdp, .. } = &message
            && let Ok(leg) = sdp.parse()
        {
            self.browsers
                .legs
                .insert(BrowserLegId(leg), page.dn.clone());
        }
        if !page.open {
            // What was said to a page in the moment in which it vanished is lost, as on a real socket.
            return Ok(());
        }
        match message {
            GatewayMessage::Welcome(welcome) => {
                page.resume = Some(welcome.resume.expose().to_owned());
                page.message_waiting = welcome.message_waiting;
                page.calls.clear();
                for call in welcome.calls {
                    page.calls.insert(call.id.clone(), call);
                }
            }
            GatewayMessage::Call { call } => {
                if call.state == CallState::Ended {
                    if call.end.is_none() {
                        return Err(format!("call {} ended without a cause", call.id));
                    }
                    page.calls.remove(&call.id);
                } else {
                    page.calls.insert(call.id.clone(), call);
                }
            }
            GatewayMessage::MessageWaiting(summary) => page.message_waiting = Some(summary),
            GatewayMessage::MediaOffer { sdp, .. } => {
                let leg: u64 = sdp.parse().map_err(|_| "an offer of no leg".to_owned())?;
                let delay = Duration::from_millis(self.rng.random_range(1..150));
                let event = Event::BrowserAnswers {
                    page: id,
                    leg: BrowserLegId(leg),
                };
                self.queue.at(self.now + delay, event);
            }
            _ => {}
        }
        Ok(())
    }

    /// The page's answer to an offer; a page that is gone by now answers nothing.
    pub(super) fn browser_answers(&mut self, page: PageId, leg: BrowserLegId) -> Step {
        let open = self.browsers.pages.get(&page).is_some_and(|page| page.open);
        if !open || !self.workers.legs.contains_key(&leg) {
            return Ok(());
        }
        self.page_says(
            page,
            PageMessage::MediaAnswer {
                sdp: leg.0.to_string(),
                offer: None,
            },
        )
    }

    pub(super) fn worker_obeys(&mut self, command: &MediaCommand) -> Step {
        self.workers.obey(command)?;
        self.note(|| format!("     worker: {command:?}"));
        match command {
            MediaCommand::OfferBrowser { leg, restart, .. } => {
                let (leg, restart) = (*leg, *restart);
                self.report_later(MediaEvent::BrowserOffer {
                    leg,
                    sdp: leg.0.to_string(),
                    restart,
                });
            }
            // The answer to another offer than the last one has the wrong credentials and the wrong media line.
            MediaCommand::AnswerBrowser { leg, sdp } if *sdp != leg.0.to_string() => {
                let reason = "the answer is for another offer".to_owned();
                self.workers.legs.remove(leg);
                self.report_later(MediaEvent::BrowserRefused { leg: *leg, reason });
            }
            MediaCommand::AnswerBrowser { leg, .. } => {
                let usual = Duration::from_millis(self.rng.random_range(5..200));
                let delay = usual + self.storm.leg_delay(&mut self.rng);
                self.queue
                    .at(self.now + delay, Event::LegConnects { leg: *leg });
                let state = BrowserState::Connecting;
                self.report_later(MediaEvent::BrowserState { leg: *leg, state });
            }
            MediaCommand::OpenPort { call, port } => {
                let (call, port) = (*call, *port);
                let taken = self.rng.random_bool(self.site.ports_taken);
                self.report_later(if taken {
                    MediaEvent::PortFailed {
                        call,
                        port,
                        taken: true,
                    }
                } else {
                    MediaEvent::PortOpened { call, port }
                });
            }
            MediaCommand::CloseCall { call } => {
                let report = switchboard::MediaReport::default();
                self.report_later(MediaEvent::CallClosed {
                    call: *call,
                    report: Box::new(report),
                });
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn leg_connects(&mut self, leg: BrowserLegId) -> Step {
        let Some(connected) = self.workers.legs.get_mut(&leg) else {
            return Ok(());
        };
        *connected = true;
        let state = BrowserState::Connected {
            ice: None,
            dtls: None,
        };
        self.board_handles(Input::Media(MediaEvent::BrowserState { leg, state }))
    }

    /// A worker answers from its own thread: after the turn that asked.
    fn report_later(&mut self, event: MediaEvent) {
        let at = self.now + self.storm.worker_delay(&mut self.rng);
        // In the order in which it did what it was told.
        let at = self.workers.reported_at.map_or(at, |last| last.max(at));
        self.workers.reported_at = Some(at);
        self.queue.at(at, Event::Reported(event));
    }

    /// The browser's network fails for good, or the tab crashes.
    pub(super) fn leg_fails(&mut self, leg: BrowserLegId) -> Step {
        self.note(|| format!("{leg:?} fails"));
        self.workers.legs.insert(leg, false);
        for state in [
            BrowserState::Disconnected,
            BrowserState::Failed(control::MediaFailure::ConsentLost),
        ] {
            self.board_handles(Input::Media(MediaEvent::BrowserState { leg, state }))?;
        }
        Ok(())
    }
}
