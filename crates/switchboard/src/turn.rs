//! Credentials for the site's TURN server, made for one agent and a short time: a name that says when it ends, and a password that only who
//! knows the shared secret can make of it (draft-uberti-behave-turn-rest-00; `use-auth-secret` of coturn). What leaks from a page is
//! worthless soon, and the secret itself never leaves the gateway.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use control::{GatewayMessage, IceServer};
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha1::Sha1;

use crate::Switchboard;
use crate::agent::Presence;

/// A TURN server that shares a secret with us.
#[derive(Clone, Debug)]
pub struct TurnConfig {
    /// `turn:` and `turns:` addresses of one server.
    pub urls: Vec<String>,
    /// Known to the TURN server as well.
    pub secret: SecretString,
    /// How long credentials are good for.
    pub life: Duration,
}

impl TurnConfig {
    /// What the page of this DN needs from `now_ms` on.
    fn ice_server(&self, dn: &str, now_ms: u64) -> IceServer {
        let ends_s = (now_ms / 1000).saturating_add(self.life.as_secs());
        let username = format!("{ends_s}:{dn}");
        let mut code = Hmac::<Sha1>::new_from_slice(self.secret.expose_secret().as_bytes())
            .expect("HMAC takes keys of every length");
        code.update(username.as_bytes());
        let credential = STANDARD.encode(code.finalize().into_bytes());
        IceServer {
            urls: self.urls.clone(),
            username: Some(username),
            credential: Some(credential.as_str().into()),
        }
    }
}

impl Switchboard {
    /// The helpers of the peer connection of this DN's page. Credentials among them are made anew when half of their life is over, so that a
    /// connection that is begun at any time has the other half.
    pub(crate) fn ice_servers(&mut self, now: Instant, dn: &str) -> Vec<IceServer> {
        let now_ms = self.clock.ms(now);
        let mut servers = self.config.ice_servers.clone();
        let Some(turn) = &self.config.turn else {
            return servers;
        };
        servers.push(turn.ice_server(dn, now_ms));
        let renewal = now + turn.life / 2;
        if let Some(session) = self.session_mut(dn) {
            session.turn_renewal = Some(renewal);
        }
        servers
    }

    /// The calendar has jumped: by it, credentials are so much older, and a TURN server goes by nothing else. Where it jumped back they are good
    /// for longer, and are made anew no later than before.
    pub(crate) fn age_turn(&mut self, now: Instant, by: Duration) {
        if by.is_zero() {
            return;
        }
        for agent in self.agents.values_mut() {
            let session = agent.session.as_mut();
            if let Some(renewal) = session.and_then(|session| session.turn_renewal.as_mut()) {
                let left = renewal.saturating_duration_since(now).saturating_sub(by);
                *renewal = now + left;
            }
        }
        let dns: Vec<String> = self.agents.keys().cloned().collect();
        for dn in dns {
            self.arm_agent(&dn);
        }
    }

    /// The credentials of a page that is there have aged. One that is away gets others when it comes back.
    pub(crate) fn renew_turn(&mut self, now: Instant, dn: &str) {
        let Some(session) = self.session_mut(dn) else {
            return;
        };
        if session.turn_renewal.is_none_or(|at| at > now) {
            return;
        }
        session.turn_renewal = None;
        if matches!(session.presence, Presence::Here(_)) {
            let ice_servers = self.ice_servers(now, dn);
            self.tell_agent(dn, GatewayMessage::IceServers { ice_servers });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The code of openssl: `printf 1700003600:1002 | openssl dgst -sha1 -hmac "a shared secret" -binary | base64`.
    #[test]
    fn a_password_is_the_code_of_its_name() {
        let turn = TurnConfig {
            urls: vec!["turn:turn.example.com".to_owned()],
            secret: "a shared secret".into(),
            life: Duration::from_secs(3_600),
        };
        let server = turn.ice_server("1002", 1_700_000_000_999);
        assert_eq!(server.username.as_deref(), Some("1700003600:1002"));
        assert_eq!(
            server.credential,
            Some("krVyaom9IHqsITiKajeuNIrN2pY=".into())
        );
    }
}
