//! Which rows of the tables an input is about to reach.

use control::PageMessage;
use switchboard::{CallId, Input, MediaEvent, PageId};

use super::{World, coverage, wire};

impl World {
    /// Notes which calls are about to take this, and in which phase.
    pub(super) fn cover(&mut self, input: &Input) {
        let one =
            |call: Option<CallId>, what| call.into_iter().map(move |call| (call, what)).collect();
        let all: Vec<(CallId, Option<&'static str>)> = match input {
            Input::Sip { bytes, .. } => {
                let mut all: Vec<_> = one(
                    self.coverage.last_call_of(bytes),
                    coverage::sip_input(bytes),
                );
                all.extend(one(
                    self.coverage.replaced(bytes),
                    Some("INVITE in its place"),
                ));
                all
            }
            Input::Page { page, request } => match coverage::page_input(&request.message) {
                Some((what, call)) => one(CallId::parse(call), Some(what)),
                None => match request.message {
                    PageMessage::Bye => self.calls_of_page(*page, "page bye"),
                    PageMessage::Dial { .. } => self.calls_of_page(*page, "page dial"),
                    _ => Vec::new(),
                },
            },
            Input::PageClosed { page } => self.calls_of_page(*page, "page gone"),
            Input::Media(MediaEvent::PortFailed { call, .. }) => {
                one(Some(*call), Some("port taken"))
            }
            Input::Media(event) => match coverage::leg_input(event) {
                what @ Some(_) => self.calls_of_all(what),
                None => Vec::new(),
            },
            Input::Timeout => self.calls_of_all(Some("time")),
            _ => Vec::new(),
        };
        self.cover_pages(input);
        for (call, what) in all {
            if let Some(record) = self.board.call(call) {
                self.coverage.note(&record.call, what);
            }
        }
    }

    fn calls_of_page(
        &self,
        page: PageId,
        what: &'static str,
    ) -> Vec<(CallId, Option<&'static str>)> {
        let dn = self.browsers.dn_of(page).unwrap_or_default().to_owned();
        let calls = self.board.calls().into_iter();
        let own = calls.filter(|record| record.dn == dn);
        own.filter_map(|record| Some((CallId::parse(&record.call.id)?, Some(what))))
            .collect()
    }

    fn calls_of_all(&self, what: Option<&'static str>) -> Vec<(CallId, Option<&'static str>)> {
        let calls = self.board.calls().into_iter();
        calls
            .filter_map(|record| Some((CallId::parse(&record.call.id)?, what)))
            .collect()
    }

    /// Notes which sessions are about to take this.
    fn cover_pages(&mut self, input: &Input) {
        let one = |dn: Option<&str>, what: Option<&'static str>| -> Vec<(String, &'static str)> {
            let pair = dn.zip(what).map(|(dn, what)| (dn.to_owned(), what));
            pair.into_iter().collect()
        };
        let all = match input {
            Input::SignIn {
                dn,
                resume,
                media_kept,
                ..
            } => {
                let what = match (resume, media_kept) {
                    (None, _) => "sign in",
                    (Some(_), false) => "resume",
                    (Some(_), true) => "resume, media kept",
                };
                one(Some(dn), Some(what))
            }
            Input::Page { page, request } => one(
                self.browsers.dn_of(*page),
                coverage::page_says(&request.message),
            ),
            Input::PageClosed { page } => one(self.browsers.dn_of(*page), Some("gone")),
            Input::Media(event @ MediaEvent::BrowserState { leg, .. }) => {
                one(self.browsers.dn_of_leg(*leg), coverage::leg_input(event))
            }
            Input::Sip { bytes, .. } => {
                let text = String::from_utf8_lossy(bytes);
                one(wire::target(&text), coverage::outside(&text))
            }
            Input::Timeout => {
                let dns = self.site.dns().into_iter();
                dns.map(|dn| (dn, "time")).collect()
            }
            _ => Vec::new(),
        };
        for (dn, what) in all {
            if let Some(agent) = self.board.agent(&dn) {
                self.coverage.note_page(coverage::shown(&agent), what);
            }
        }
    }
}
