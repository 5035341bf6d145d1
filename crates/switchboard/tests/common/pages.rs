//! The agents' pages: what they ask, and what they are shown.

use control::{CallState, CallView, GatewayMessage, PageMessage, PageRequest};
use switchboard::{Input, PageId};

use super::World;

impl World {
    pub fn sign_in(&mut self, dn: &str, resume: Option<String>) -> u64 {
        self.sign_in_with(dn, resume, false)
    }

    pub fn sign_in_with(&mut self, dn: &str, resume: Option<String>, media_kept: bool) -> u64 {
        self.sign_in_by(dn, (resume, media_kept), false)
    }

    /// With a token whose time is over.
    pub fn sign_in_late(&mut self, dn: &str, resume: Option<String>) -> u64 {
        self.sign_in_by(dn, (resume, true), true)
    }

    fn sign_in_by(
        &mut self,
        dn: &str,
        (resume, media_kept): (Option<String>, bool),
        token_expired: bool,
    ) -> u64 {
        self.next_page += 1;
        let page = self.next_page;
        self.pages.insert(page, vec![]);
        self.input(Input::SignIn {
            page: PageId(page),
            dn: dn.into(),
            token_expired,
            request_id: Some("hello".into()),
            resume,
            media_kept,
        });
        page
    }

    pub fn say(&mut self, page: u64, message: PageMessage) {
        let request = PageRequest {
            id: Some("r".into()),
            message,
        };
        self.input(Input::Page {
            page: PageId(page),
            request,
        });
    }

    /// The agent hands a call on: to a number, or `call ` and the id of another one of hers.
    pub fn transfer(&mut self, page: u64, call: &str, to: &str) {
        let (to, to_call) = match to.strip_prefix("call ") {
            Some(other) => (None, Some(other.to_owned())),
            None => (Some(to.to_owned()), None),
        };
        let call = call.to_owned();
        self.say(page, PageMessage::Transfer { call, to, to_call });
    }

    pub fn lose_page(&mut self, page: u64) {
        self.input(Input::PageClosed { page: PageId(page) });
    }

    pub fn resume_secret(&self, page: u64) -> String {
        self.pages[&page]
            .iter()
            .find_map(|message| match message {
                GatewayMessage::Welcome(welcome) => Some(welcome.resume.expose().to_owned()),
                _ => None,
            })
            .expect("the page was welcomed")
    }

    /// The last picture of each call that the page has.
    pub fn calls(&self, page: u64) -> Vec<CallView> {
        let mut calls: Vec<CallView> = vec![];
        for message in &self.pages[&page] {
            let views = match message {
                GatewayMessage::Call { call } => vec![call.clone()],
                GatewayMessage::Welcome(welcome) => welcome.calls.clone(),
                _ => vec![],
            };
            for view in views {
                match calls.iter_mut().find(|known| known.id == view.id) {
                    Some(known) => *known = view,
                    None => calls.push(view),
                }
            }
        }
        calls
    }

    pub fn call(&self, page: u64) -> CallView {
        self.calls(page)
            .last()
            .expect("the page was shown a call")
            .clone()
    }

    pub fn states(&self, page: u64) -> Vec<CallState> {
        self.pages[&page]
            .iter()
            .filter_map(|message| match message {
                GatewayMessage::Call { call } => Some(call.state),
                _ => None,
            })
            .collect()
    }

    pub fn last_error(&self, page: u64) -> Option<control::ErrorCode> {
        self.pages[&page]
            .iter()
            .rev()
            .find_map(|message| match message {
                GatewayMessage::Error { code, .. } => Some(*code),
                _ => None,
            })
    }
}
