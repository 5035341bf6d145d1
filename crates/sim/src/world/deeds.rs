//! What people do in a storm of one kind, beside what they do in any.

use std::time::Duration;

use control::PageMessage;
use rand::RngExt;
use rand::seq::IndexedRandom;
use switchboard::PageId;

use super::network::Place;
use super::queue::Event;
use super::servers::ServerId;
use super::site::{ANSWERS_AT_ONCE, NEVER_ANSWERS, RINGS_LONG};
use super::storm::Deed;
use super::{Step, World};
use crate::tserver::{Aside, Control, DropWhat, RegisterMode, Request};

/// How long a wire carries one way only.
const ONE_WAY_MS: std::ops::Range<u64> = 200..6_000;

/// So many OPTIONS that nobody sends more.
const ALL: u32 = u32::MAX;

impl World {
    pub(super) fn does(&mut self, deed: Deed) -> Step {
        match deed {
            Deed::CustomerCalls => self.customer_calls(),
            Deed::CustomerHangsUp => self.customer_hangs_up(),
            Deed::CustomerTransfers => self.customer_transfers(),
            Deed::DesktopClicks => self.desktop_clicks(),
            Deed::SomethingIsSaid => self.something_is_said(),
            Deed::PageClicks => self.page_clicks(),
            Deed::PageComesOrGoes => self.page_comes_or_goes(),
            Deed::SomethingBreaks => self.something_breaks(),
            Deed::ServerIsLost => self.server_is_lost(),
            Deed::ServerHangs => self.server_hangs(),
            Deed::ServerRestarts => self.server_goes(Control::Restart),
            Deed::ServerSwitchesOver => self.server_goes(Control::Switchover),
            Deed::TurnsDeaf => self.server_turns_deaf(),
            Deed::LegIsLost => self.leg_is_lost(),
            Deed::SocketRefuses => self.socket_refuses(),
            Deed::SitesHangInTurn => self.sites_hang_in_turn(),
            Deed::RegistrarsWobble => self.registrars_wobble(),
            Deed::OneWay => self.one_way_is_lost(),
            Deed::DesktopDials => {
                let (dn, server) = (self.any_dn(), self.any_server());
                let to = ANSWERS_AT_ONCE.to_owned();
                self.request(server, Request::MakeCall { dn, to })
            }
            Deed::PageDials => self.page_dials(),
            Deed::PageAnswers => self.page_of_a_call(|call| PageMessage::Answer { call }),
            Deed::PageHolds => self.page_holds(),
            Deed::PageTransfers => self.page_transfers(),
            Deed::SomebodyListensIn => self.somebody_listens_in(),
            Deed::KeysArePressed => self.keys_are_pressed(),
            Deed::FirstIsLost => self.first_is_lost(),
            Deed::FirstHangsForACall => self.first_hangs_for_a_call(),
            Deed::MovesOnBeforeItsPort => self.moves_on_before_its_port(),
            Deed::RefusesBetweenConnections => self.refuses_between_connections(),
        }
    }

    /// A SIP Server answers no OPTIONS any more, or does again.
    fn server_turns_deaf(&mut self) -> Step {
        let server = self.any_server();
        self.report.mishaps += 1;
        self.turn_deaf(server, !self.server(server).health.deaf)
    }

    pub(super) fn turn_deaf(&mut self, server: ServerId, deaf: bool) -> Step {
        self.servers[server.0].health.deaf = deaf;
        self.servers[server.0].health.unbroken = false;
        let drop = Control::DropReceived {
            method: "OPTIONS".to_owned(),
            what: DropWhat::Requests,
            count: if deaf { ALL } else { 0 },
        };
        self.control(server, drop)
    }

    /// The preferred site stands still for longer than an INVITE waits, and now and then the other one when the call is tried there; the
    /// first one may die as soon as it goes on.
    fn sites_hang_in_turn(&mut self) -> Step {
        let (first, other) = (ServerId(0), ServerId(1));
        if self.server(first).health.is_silent() {
            return Ok(());
        }
        self.report.mishaps += 1;
        let seconds = |s: f64| Duration::from_secs_f64(s);
        let until = self.now + seconds(self.rng.random_range(40.0..63.0));
        self.hangs(first, until);
        if self.rng.random_bool(0.3) {
            let at = until + seconds(self.rng.random_range(0.0..1.0));
            let server = first;
            self.queue.at(at, Event::GoesAway { server, dead: true });
            let at = at + seconds(40.0);
            self.queue.at(at, Event::ComesBack { server });
        }
        if self.rng.random_bool(0.7) {
            let at = self.now + seconds(self.rng.random_range(0.0..30.0));
            let until = until + seconds(self.rng.random_range(0.0..20.0));
            let server = other;
            self.queue.at(at, Event::Hangs { server, until });
        }
        Ok(())
    }

    /// Registrars refuse for a moment in which agents come and go, and talkbridge stands still: what it was told in that moment comes to it
    /// at once.
    fn registrars_wobble(&mut self) -> Step {
        self.agents_come_and_go()?;
        let both: bool = self.rng.random();
        let chosen = self.any_server();
        let wobble = |server: &ServerId| both || *server == chosen;
        let servers: Vec<ServerId> = self.server_ids().filter(wobble).collect();
        self.registrars_refuse(&servers);
        let pause = Duration::from_millis(self.rng.random_range(80..2_000));
        self.stall_for(pause)
    }

    pub(super) fn agents_come_and_go(&mut self) -> Step {
        for dn in self.site.dns() {
            match self.browsers.of(&dn).map(|(page, _)| page) {
                Some(page) if self.rng.random_bool(0.5) => {
                    self.page_says(page, PageMessage::Bye)?
                }
                Some(_) => {}
                None => self.sign_in(&dn, None, false)?,
            }
        }
        Ok(())
    }

    /// For moments, and not in between.
    pub(super) fn registrars_refuse(&mut self, servers: &[ServerId]) {
        for server in servers.iter().copied() {
            if self.server(server).health.is_silent() {
                continue;
            }
            let mut at = self.now;
            for refuses in [true, false, true, false] {
                let mode = if refuses {
                    RegisterMode::Unavailable { retry_after_s: 1 }
                } else {
                    RegisterMode::Normal
                };
                at += Duration::from_millis(self.rng.random_range(1..400));
                self.queue.at(at, Event::Registrar { server, mode });
            }
        }
    }

    fn one_way_is_lost(&mut self) -> Step {
        let server = self.any_server();
        self.report.mishaps += 1;
        let at = if self.rng.random() {
            Place::Server
        } else {
            Place::Gateway
        };
        let until = self.now + Duration::from_millis(self.rng.random_range(ONE_WAY_MS));
        self.one_way(server, at, until);
        Ok(())
    }

    fn page_dials(&mut self) -> Step {
        let numbers = [
            ANSWERS_AT_ONCE,
            ANSWERS_AT_ONCE,
            RINGS_LONG,
            NEVER_ANSWERS,
            "5550100",
            "5550101",
        ];
        let number = *numbers.choose(&mut self.rng).expect("not empty");
        let dn = self.any_dn();
        let number = number.to_owned();
        match self.browsers.of(&dn).map(|(page, _)| page) {
            Some(page) => self.page_says(page, PageMessage::Dial { number }),
            None => self.sign_in(&dn, None, false),
        }
    }

    /// Any call that a page shows.
    fn shown_call(&mut self) -> Option<(PageId, String, Vec<String>)> {
        let dn = self.any_dn();
        let (page, shown) = self.browsers.of(&dn)?;
        let known: Vec<String> = shown.calls.keys().cloned().collect();
        let call = known.choose(&mut self.rng)?.clone();
        let others = known.into_iter().filter(|other| *other != call).collect();
        Some((page, call, others))
    }

    fn page_of_a_call(&mut self, says: impl FnOnce(String) -> PageMessage) -> Step {
        match self.shown_call() {
            Some((page, call, _)) => self.page_says(page, says(call)),
            None => Ok(()),
        }
    }

    fn page_holds(&mut self) -> Step {
        if self.rng.random_bool(0.7) {
            self.page_of_a_call(|call| PageMessage::Hold { call })
        } else {
            self.page_of_a_call(|call| PageMessage::Retrieve { call })
        }
    }

    fn page_transfers(&mut self) -> Step {
        let to = self.any_number();
        let joins = self.rng.random_bool(0.3);
        let Some((page, call, others)) = self.shown_call() else {
            return Ok(());
        };
        let to_call = others.first().filter(|_| joins).cloned();
        let to = Some(to).filter(|_| to_call.is_none());
        self.page_says(page, PageMessage::Transfer { call, to, to_call })
    }

    /// A supervisor joins: her agent hears a beep.
    fn somebody_listens_in(&mut self) -> Step {
        let dn = self.any_dn();
        match self.any_call() {
            Some((call, _)) => self.request_on(&call.clone(), Request::Supervise { dn, call }),
            None => Ok(()),
        }
    }

    /// The customer's keys, or the desktop's.
    fn keys_are_pressed(&mut self) -> Step {
        if self.rng.random_bool(0.3) {
            return self.a_key_is_in_the_media();
        }
        let Some((call, dn)) = self.any_call() else {
            return Ok(());
        };
        let request = if self.rng.random() {
            let aside = Aside::Keys("4#".to_owned());
            Request::Aside {
                dn,
                call: call.clone(),
                aside,
            }
        } else {
            Request::SendDtmf {
                dn,
                call: call.clone(),
                digits: "12#".to_owned(),
            }
        };
        self.request_on(&call, request)
    }
}
