//! What agents, customers and desktops do: anything, at any time, twice, too early, too late.

use control::PageMessage;
use rand::RngExt;
use rand::seq::IndexedRandom;
use switchboard::PageId;

use super::servers::ServerId;
use super::{Step, World, site};
use crate::tserver::{self, CallUuid, PartyState, Request};

/// What a page may be asked to show as its call although it never was one.
const NO_CALL: &str = "c0";

/// How often, of all that happens, one of two SIP Servers is lost.
const SERVER_LOST: f64 = 0.03;

impl World {
    pub(super) fn somebody_does_something(&mut self) -> Step {
        if let Some(deed) = self.storm.deed(&mut self.rng) {
            return self.does(deed);
        }
        if self.servers.len() > 1 && self.rng.random_bool(SERVER_LOST) {
            return self.server_is_lost();
        }
        match self.rng.random_range(0..100) {
            0..24 => self.customer_calls(),
            24..32 => self.customer_hangs_up(),
            32..35 => self.customer_transfers(),
            35..70 => self.desktop_clicks(),
            70..74 => self.something_is_said(),
            74..86 => self.page_clicks(),
            86..93 => self.page_comes_or_goes(),
            93..97 => self.somebody_attacks(),
            _ => self.something_breaks(),
        }
    }

    pub(super) fn any_dn(&mut self) -> String {
        let dns = self.site.dns();
        dns.choose(&mut self.rng).expect("a site has a DN").clone()
    }

    pub(super) fn any_number(&mut self) -> String {
        let others = [
            "5550100",
            "5550101",
            site::NEVER_ANSWERS,
            site::BUSY,
            "1001",
            "1002",
        ];
        if !self.storm.is_usual() && self.rng.random_bool(0.3) {
            return site::ANSWERS_AT_ONCE.to_owned();
        }
        (*others.choose(&mut self.rng).expect("not empty")).to_owned()
    }

    /// SIP Server says something that moves no call.
    pub(super) fn something_is_said(&mut self) -> Step {
        match self.any_call().filter(|_| self.rng.random_bool(0.7)) {
            Some((call, dn)) => {
                let aside = self.any_aside();
                self.request_on(&call.clone(), Request::Aside { dn, call, aside })
            }
            None => self.somebody_remarks(),
        }
    }

    pub(super) fn any_server(&mut self) -> ServerId {
        ServerId(self.rng.random_range(0..self.servers.len()))
    }

    /// A desktop or a customer asks a SIP Server, unless that is dead.
    pub(super) fn request(&mut self, server: ServerId, request: Request) -> Step {
        if self.is_asleep(server) {
            return Ok(());
        }
        self.note(|| format!("request to SIP Server {}: {request:?}", server.0));
        self.server_handles(server, tserver::Input::Request(request))
    }

    /// The same of a call, which is at one SIP Server or at none any more.
    pub(super) fn request_on(&mut self, call: &CallUuid, request: Request) -> Step {
        let server = self.server_of(call).unwrap_or(ServerId(0));
        self.request(server, request)
    }

    pub(super) fn customer_calls(&mut self) -> Step {
        let to = self.any_dn();
        let from = format!("55502{:02}", self.rng.random_range(0..100));
        let holds = |id: &ServerId| self.holder(*id, &to).is_some();
        let holding: Vec<ServerId> = self.server_ids().filter(holds).collect();
        // Calls come by a site that has the agent, and now and then by one that has not.
        let server = match holding.choose(&mut self.rng) {
            Some(server) if self.rng.random_bool(self.site.calls_where_she_is) => *server,
            _ => self.any_server(),
        };
        self.request(server, Request::CustomerCall { from, to })
    }

    /// A call and one of its DNs, as a desktop would show it.
    pub(super) fn any_call(&mut self) -> Option<(CallUuid, String)> {
        let mut all = Vec::new();
        for (_, call) in self.server_calls() {
            for party in &call.parties {
                if party.leg.is_some() {
                    all.push((call.call.clone(), party.number.clone()));
                }
            }
        }
        all.choose(&mut self.rng).cloned()
    }

    pub(super) fn customer_hangs_up(&mut self) -> Step {
        match self.any_call() {
            Some((call, _)) => self.request_on(&call.clone(), Request::CustomerHangup { call }),
            None => Ok(()),
        }
    }

    pub(super) fn customer_transfers(&mut self) -> Step {
        let to = self.any_number();
        match self.any_call() {
            Some((call, _)) => {
                self.request_on(&call.clone(), Request::CustomerTransfers { call, to })
            }
            None => Ok(()),
        }
    }

    pub(super) fn desktop_clicks(&mut self) -> Step {
        let choice = self.rng.random_range(0..100);
        if choice < 2 {
            return self.desktop_moves();
        }
        if choice < 4 {
            return self.agent_pauses();
        }
        if choice < 12 {
            let (dn, to) = (self.any_dn(), self.any_number());
            return if dn == to {
                Ok(())
            } else {
                let server = self.any_server();
                self.request(server, Request::MakeCall { dn, to })
            };
        }
        let Some((call, dn)) = self.any_call() else {
            return Ok(());
        };
        // Mostly what a desktop offers in the state of the call; a click may be older than the state.
        let request = if choice < 75 {
            self.offered(dn, call.clone())
        } else {
            self.anything(dn, call.clone())
        };
        if self.rng.random_bool(0.1) {
            self.request_on(&call, request.clone())?;
        }
        self.request_on(&call, request)
    }

    /// What a desktop offers in the state in which the call is.
    fn offered(&mut self, dn: String, call: CallUuid) -> Request {
        let view = self
            .server_of(&call)
            .and_then(|server| self.machine(server).call(&call));
        let parties = view.iter().flat_map(|view| view.parties.iter());
        let party = parties.clone().find(|party| party.number == dn);
        let state = party.map(|party| party.state);
        let other = parties.clone().find(|party| party.number != dn);
        let other = other.map(|party| party.number.clone());
        let conference = parties.count() > 2;
        let consults = self.other_call(&dn, &call);
        let choice = self.rng.random_range(0..100);
        match (state, consults, other) {
            (Some(PartyState::Ringing), ..) => Request::AnswerCall { dn, call },
            (Some(PartyState::Established), Some(held), _) if choice < 60 => match choice {
                0..15 => Request::AlternateCall { dn, call, held },
                15..25 => Request::ReconnectCall { dn, call },
                25..42 => Request::CompleteTransfer { dn, call },
                _ => Request::CompleteConference { dn, call },
            },
            (Some(PartyState::Established), _, Some(number)) if conference && choice < 30 => {
                Request::DeleteFromConference { dn, call, number }
            }
            (Some(PartyState::Established), ..) => match choice {
                0..40 => Request::HoldCall { dn, call },
                40..70 => Request::InitiateTransfer {
                    dn,
                    call,
                    to: self.any_number(),
                },
                70..80 => Request::SendDtmf {
                    dn,
                    call,
                    digits: "12#".to_owned(),
                },
                80..85 => Request::ReleaseCall { dn, call },
                _ => self.another_party(dn, call),
            },
            (Some(PartyState::Held), Some(_), _) if choice < 30 => {
                Request::ReconnectCall { dn, call }
            }
            (Some(PartyState::Held), ..) => Request::RetrieveCall { dn, call },
            _ => Request::ReleaseCall { dn, call },
        }
    }

    /// Any click, in whatever state.
    fn anything(&mut self, dn: String, call: CallUuid) -> Request {
        match self.rng.random_range(0..7) {
            0 => Request::AnswerCall { dn, call },
            1 => Request::HoldCall { dn, call },
            2 => Request::RetrieveCall { dn, call },
            3 => Request::ReleaseCall { dn, call },
            4 => Request::SendDtmf {
                dn,
                call,
                digits: "12#".to_owned(),
            },
            _ => self.another_party(dn, call),
        }
    }

    /// Consultation, transfer, conference, supervision, recording: whatever brings in a third party, or is over with it.
    fn another_party(&mut self, dn: String, call: CallUuid) -> Request {
        let to = self.any_number();
        match self.rng.random_range(0..9) {
            0 => Request::InitiateTransfer { dn, call, to },
            1 => match self.other_call(&dn, &call) {
                Some(held) => Request::AlternateCall { dn, call, held },
                None => Request::InitiateTransfer { dn, call, to },
            },
            2 => Request::ReconnectCall { dn, call },
            3 => Request::CompleteTransfer { dn, call },
            4 => Request::SingleStepTransfer { dn, call, to },
            5 => Request::CompleteConference { dn, call },
            6 => Request::SingleStepConference { dn, call, to },
            7 => Request::Supervise {
                dn: self.any_dn(),
                call,
            },
            _ => Request::RecordCall {
                dn,
                call,
                on: self.rng.random(),
            },
        }
    }

    /// Another call of the DN.
    fn other_call(&self, dn: &str, call: &CallUuid) -> Option<CallUuid> {
        let calls = self.machine(self.server_of(call)?).calls();
        let mut others = calls.iter().filter(|other| other.call != *call);
        let other = others.find(|other| other.parties.iter().any(|party| party.number == dn));
        other.map(|other| other.call.clone())
    }

    pub(super) fn page_clicks(&mut self) -> Step {
        let dn = self.any_dn();
        let Some((page, shown)) = self.browsers.of(&dn) else {
            return Ok(());
        };
        let known: Vec<String> = shown.calls.keys().cloned().collect();
        let call = known
            .choose(&mut self.rng)
            .cloned()
            .unwrap_or_else(|| NO_CALL.to_owned());
        let message = match self.rng.random_range(0..100) {
            0..30 => PageMessage::Answer { call },
            30..36 => PageMessage::Reject { call },
            36..50 => PageMessage::Hangup { call },
            50..65 => PageMessage::Hold { call },
            65..80 => PageMessage::Retrieve { call },
            80..86 => PageMessage::Dtmf {
                call,
                digits: "5".to_owned(),
            },
            86..90 => PageMessage::Transfer {
                call,
                to: Some(self.any_number()).filter(|_| known.len() < 2),
                to_call: known.get(1).cloned(),
            },
            90..96 => PageMessage::Dial {
                number: self.any_number(),
            },
            96..98 => PageMessage::MediaRestart,
            _ => PageMessage::Mute {
                muted: self.rng.random(),
            },
        };
        self.page_says(page, message)
    }

    pub(super) fn page_comes_or_goes(&mut self) -> Step {
        let dn = self.any_dn();
        let open = self.browsers.of(&dn).map(|(page, _)| page);
        let secret = self.browsers.last_secret(&dn);
        match (open, self.rng.random_range(0..100)) {
            (Some(page), 0..45) => self.page_vanishes(page),
            (Some(page), 45..75) => self.reload(page, &dn, secret),
            (Some(_), 75..85) => self.sign_in(&dn, None, false),
            // Its connection is lost, and it is back before anybody here has noticed.
            (Some(_), 85..90) => {
                let kept = self.rng.random();
                self.sign_in(&dn, secret, kept)
            }
            (Some(page), _) => self.page_says(page, PageMessage::Bye),
            (None, 0..60) => {
                let kept = self.rng.random();
                self.sign_in(&dn, secret, kept)
            }
            (None, _) => self.sign_in(&dn, None, false),
        }
    }

    fn reload(&mut self, page: PageId, dn: &str, secret: Option<String>) -> Step {
        self.page_vanishes(page)?;
        self.sign_in(dn, secret, false)
    }
}
