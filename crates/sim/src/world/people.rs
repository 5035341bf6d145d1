//! What agents, customers and desktops do: anything, at any time, twice, too early, too late.

use control::PageMessage;
use rand::RngExt;
use rand::seq::IndexedRandom;
use switchboard::PageId;

use super::{Step, World, site};
use crate::tserver::{self, CallUuid, Control, Request};

/// What a page may be asked to show as its call although it never was one.
const NO_CALL: &str = "c0";

impl World {
    pub(super) fn somebody_does_something(&mut self) -> Step {
        match self.rng.random_range(0..100) {
            0..25 => self.customer_calls(),
            25..32 => self.customer_hangs_up(),
            32..70 => self.desktop_clicks(),
            70..84 => self.page_clicks(),
            84..97 => self.page_comes_or_goes(),
            97..99 => self.tserver_handles(tserver::Input::Control(Control::ExpireNonces)),
            _ => self.leg_is_lost(),
        }
    }

    fn any_dn(&mut self) -> String {
        let dns = self.site.dns();
        dns.choose(&mut self.rng).expect("a site has a DN").clone()
    }

    fn any_number(&mut self) -> String {
        let others = [
            "5550100",
            "5550101",
            site::NEVER_ANSWERS,
            site::BUSY,
            "1001",
            "1002",
        ];
        (*others.choose(&mut self.rng).expect("not empty")).to_owned()
    }

    fn request(&mut self, request: Request) -> Step {
        self.note(|| format!("request {request:?}"));
        self.tserver_handles(tserver::Input::Request(request))
    }

    fn customer_calls(&mut self) -> Step {
        let to = self.any_dn();
        let from = format!("55502{:02}", self.rng.random_range(0..100));
        self.request(Request::CustomerCall { from, to })
    }

    /// A call and one of its DNs, as a desktop would show it.
    fn any_call(&mut self) -> Option<(CallUuid, String)> {
        let mut all = Vec::new();
        for call in self.tserver.calls() {
            for party in &call.parties {
                if party.leg.is_some() {
                    all.push((call.call.clone(), party.number.clone()));
                }
            }
        }
        all.choose(&mut self.rng).cloned()
    }

    fn customer_hangs_up(&mut self) -> Step {
        match self.any_call() {
            Some((call, _)) => self.request(Request::CustomerHangup { call }),
            None => Ok(()),
        }
    }

    fn desktop_clicks(&mut self) -> Step {
        let choice = self.rng.random_range(0..100);
        if choice < 15 {
            let (dn, to) = (self.any_dn(), self.any_number());
            return if dn == to {
                Ok(())
            } else {
                self.request(Request::MakeCall { dn, to })
            };
        }
        let Some((call, dn)) = self.any_call() else {
            return Ok(());
        };
        let request = match choice {
            15..55 => Request::AnswerCall { dn, call },
            55..70 => Request::HoldCall { dn, call },
            70..85 => Request::RetrieveCall { dn, call },
            85..92 => Request::ReleaseCall { dn, call },
            _ => Request::SendDtmf {
                dn,
                call,
                digits: "12#".to_owned(),
            },
        };
        if self.rng.random_bool(0.1) {
            self.request(request.clone())?;
        }
        self.request(request)
    }

    fn page_clicks(&mut self) -> Step {
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
            86..96 => PageMessage::Dial {
                number: self.any_number(),
            },
            96..98 => PageMessage::MediaRestart,
            _ => PageMessage::Mute {
                muted: self.rng.random(),
            },
        };
        self.page_says(page, message)
    }

    fn page_comes_or_goes(&mut self) -> Step {
        let dn = self.any_dn();
        let open = self.browsers.of(&dn).map(|(page, _)| page);
        let secret = self.browsers.last_secret(&dn);
        match (open, self.rng.random_range(0..100)) {
            (Some(page), 0..45) => self.page_vanishes(page),
            (Some(page), 45..75) => self.reload(page, &dn, secret),
            (Some(_), 75..90) => self.sign_in(&dn, None, false),
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

    fn leg_is_lost(&mut self) -> Step {
        let legs: Vec<_> = self.workers.legs.keys().copied().collect();
        match legs.choose(&mut self.rng) {
            Some(leg) => self.leg_fails(*leg),
            None => Ok(()),
        }
    }
}
