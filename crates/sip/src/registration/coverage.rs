//! What a registration is, and what happens to it, in the words of the simulation's tables.

use super::{Phase, Registration};
use crate::ua::RegistrationState;
use crate::{Response, StatusCode};

impl Registration {
    /// Something is about to happen to it.
    pub(super) fn cover(&self, input: &str) {
        let words = match self.phase {
            Phase::InFlight(..) => match (self.farewell, self.leaving) {
                (true, true) => "gives back",
                (true, false) => "gives back, is to stay",
                (false, true) => "asks, is to go",
                (false, false) if self.status.state == RegistrationState::Registered => "refreshes",
                (false, false) => "asks",
            },
            _ if self.leaving => "is to go",
            Phase::Queued => "waits for its turn",
            Phase::Resting => match self.status.state {
                RegistrationState::Registered => "registered",
                _ => "refused",
            },
        };
        crate::coverage::note_words("registration", words.to_owned(), input);
    }

    pub(super) fn answer(&self, response: &Response) -> &'static str {
        match response.status {
            StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => "401",
            StatusCode::INTERVAL_TOO_BRIEF => "423",
            StatusCode::SERVICE_UNAVAILABLE => "503",
            status if !status.is_success() => "403, 404",
            _ if self.farewell || self.granted_s(response).is_some() => "200",
            _ => "200 without us",
        }
    }
}
