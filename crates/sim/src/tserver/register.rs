//! The registrar, and authentication of what endpoints send.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::agenda::Timer;
use super::digest::{self, Credentials};
use super::io::{ConnectionId, EventKind, RegisterMode, Source, Transport};
use super::leg::Destination;
use super::limits::MAX_NONCES_PER_DN;
use super::machine::TServer;
use super::read::Incoming;
use super::text;
use super::transaction::ServerKey;
use super::write::Reply;

/// Granted when a REGISTER asks for nothing.
const DEFAULT_EXPIRES_S: u32 = 3600;

/// Where a DN is.
#[derive(Debug, Clone)]
pub(super) struct Binding {
    /// Contact without its parameters: `<sip:1002@198.51.100.3:5060>`.
    pub(super) contact: String,
    /// URI of To, with or without a port, as the endpoint wrote it.
    pub(super) aor: String,
    pub(super) call_id: String,
    /// Of the REGISTER that made it.
    cseq: u32,
    pub(super) expires_s: u32,
    pub(super) destination: Destination,
    generation: u64,
}

#[derive(Debug, Default)]
pub(super) struct Registrar {
    bindings: BTreeMap<String, Binding>,
    in_service: BTreeSet<String>,
    nonces: BTreeMap<String, VecDeque<String>>,
    generations: u64,
}

impl Registrar {
    pub(super) fn bindings(&self) -> impl Iterator<Item = (&String, &Binding)> {
        self.bindings.iter()
    }

    pub(super) fn binding(&self, dn: &str) -> Option<&Binding> {
        self.bindings.get(dn)
    }

    /// RFC 3261 section 10.3, step 7: an older word of the same registrant, which was kept back on its way. The very same one may come to a backup
    /// that knows no transaction.
    fn has_later_word(&self, dn: &str, message: &Incoming) -> bool {
        let newer = |it: &Binding| it.call_id == message.call_id() && message.cseq < it.cseq;
        message.get("Contact").is_some() && self.binding(dn).is_some_and(newer)
    }

    pub(super) fn forget_connection(&mut self, connection: ConnectionId) {
        for binding in self.bindings.values_mut() {
            if binding.destination.connection == Some(connection) {
                binding.destination.connection = None;
            }
        }
    }

    pub(super) fn expire_nonces(&mut self) {
        self.nonces.clear();
    }

    fn remember_nonce(&mut self, dn: &str, nonce: String) {
        let known = self.nonces.entry(dn.to_owned()).or_default();
        known.push_back(nonce);
        if known.len() > MAX_NONCES_PER_DN {
            known.pop_front();
        }
    }

    fn knows_nonce(&self, dn: &str, nonce: &str) -> bool {
        self.nonces
            .get(dn)
            .is_some_and(|known| known.iter().any(|entry| entry == nonce))
    }
}

/// What Authorization was worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// Right, or nothing is asked for.
    Good,
    /// Missing or not understood.
    Missing,
    /// Right, but for a nonce that is no longer valid.
    Stale,
    /// Wrong.
    Wrong,
}

impl TServer {
    /// The realm of challenges.
    pub(super) fn realm(&self) -> String {
        self.config.advertise.ip().to_string()
    }

    /// Checks the credentials of a request against the password of a DN.
    pub(super) fn prove(&self, dn: &str, method: &str, message: &Incoming) -> Proof {
        let Some(settings) = self.config.dns.get(dn) else {
            return Proof::Wrong;
        };
        let Some(password) = &settings.password else {
            return Proof::Good;
        };
        let credentials = message.get("Authorization").and_then(Credentials::read);
        let Some(credentials) = credentials else {
            return Proof::Missing;
        };
        if !credentials.prove(method, dn, &self.realm(), password, settings.qop) {
            return Proof::Wrong;
        }
        if self.registrar.knows_nonce(dn, credentials.nonce()) {
            Proof::Good
        } else {
            Proof::Stale
        }
    }

    /// The DN of a request: the user of this address, or that of Contact where the DN of that name says so (`use-contact-as-dn`).
    pub(super) fn dn_named_by(&self, message: &Incoming, address: &str) -> String {
        let by_contact = message
            .get("Contact")
            .and_then(|contact| text::user_of(text::uri_of(contact)))
            .filter(|dn| {
                self.config
                    .dns
                    .get(*dn)
                    .is_some_and(|dn| dn.use_contact_as_dn)
            });
        let named = by_contact.or_else(|| text::user_of(address));
        named.unwrap_or_default().to_owned()
    }

    /// 401 with a new nonce.
    pub(super) fn challenge(&mut self, now: Instant, key: &ServerKey, dn: &str, stale: bool) {
        let nonce = self.ids.nonce();
        let qop = self.config.dns.get(dn).is_some_and(|settings| settings.qop);
        let value = digest::challenge(&self.realm(), &nonce, qop, stale);
        self.registrar.remember_nonce(dn, nonce);
        let tag = self.ids.tag();
        self.respond(
            now,
            key,
            Reply {
                status: 401,
                to_tag: Some(&tag),
                lines: vec![("WWW-Authenticate", value)],
                ..Reply::default()
            },
        );
    }

    pub(super) fn take_register(&mut self, now: Instant, source: Source, message: &Incoming) {
        if self.register_mode == RegisterMode::Silent {
            return;
        }
        let Some(key) = self.start_server(source, message, "REGISTER") else {
            return;
        };
        match self.register_mode {
            RegisterMode::Unavailable { retry_after_s } => {
                let lines = vec![("Retry-After", retry_after_s.to_string())];
                self.answer_register(now, &key, 503, lines);
                return;
            }
            RegisterMode::Refuse(status) => {
                self.answer_register(now, &key, status, Vec::new());
                return;
            }
            RegisterMode::Normal | RegisterMode::Silent => {}
        }
        let aor = text::uri_of(message.to()).to_owned();
        let dn = self.dn_named_by(message, &aor);
        let expires_s = requested_expiry(message);
        let Some(settings) = self.config.dns.get(&dn) else {
            // "DN is not configured": Expires and Contact are echoed all the same.
            let lines = echo(message, expires_s);
            self.answer_register(now, &key, 404, lines);
            return;
        };
        if settings.authenticate_register {
            match self.prove(&dn, "REGISTER", message) {
                Proof::Good => {}
                Proof::Missing => return self.challenge(now, &key, &dn, false),
                Proof::Stale => return self.challenge(now, &key, &dn, true),
                Proof::Wrong => return self.answer_register(now, &key, 403, Vec::new()),
            }
        }
        if self.registrar.has_later_word(&dn, message) {
            return self.answer_register(now, &key, 500, Vec::new());
        }
        self.register(now, &key, message, (dn, aor), expires_s);
    }

    fn register(
        &mut self,
        now: Instant,
        key: &ServerKey,
        message: &Incoming,
        (dn, aor): (String, String),
        expires_s: u32,
    ) {
        let Some(contact) = message.get("Contact") else {
            let lines = self
                .registrar
                .binding(&dn)
                .map(|b| vec![("Contact", format!("{};expires={}", b.contact, b.expires_s))]);
            self.answer_register(now, key, 200, lines.unwrap_or_default());
            return;
        };
        let minimum = self.config.registrar.min_expires_s.unwrap_or(0);
        if expires_s == 0 {
            let own = self
                .registrar
                .binding(&dn)
                .is_some_and(|binding| binding.call_id == message.call_id());
            let mut lines = echo(message, 0);
            if !own {
                // Seen: the header is there only if this Call-ID held the binding.
                lines.retain(|(name, _)| *name != "Expires");
            }
            self.answer_register(now, key, 200, lines);
            // The danger: whoever says 0 ends the binding, also a newer one of somebody else.
            self.unbind(&dn);
            return;
        }
        if expires_s < minimum {
            let lines = vec![("Min-Expires", minimum.to_string())];
            self.answer_register(now, key, 423, lines);
            return;
        }
        let uri = text::uri_of(contact);
        let Some(source) = self.servers.get(key).map(|server| server.source) else {
            return;
        };
        let destination = contact_destination(uri, source);
        let contact = format!("<{uri}>");
        let lines = echo(message, expires_s);
        let changed = self
            .registrar
            .binding(&dn)
            .is_none_or(|old| old.contact != contact);
        self.registrar.generations += 1;
        let generation = self.registrar.generations;
        self.registrar.bindings.insert(
            dn.clone(),
            Binding {
                contact,
                aor,
                call_id: message.call_id().to_owned(),
                cseq: message.cseq,
                expires_s,
                destination,
                generation,
            },
        );
        let uri = uri.to_owned();
        self.later(
            now,
            Duration::from_secs(u64::from(expires_s)),
            Timer::BindingExpires {
                dn: dn.clone(),
                generation,
            },
        );
        if changed {
            self.dn_event(&dn, EventKind::ContactChanged { contact: Some(uri) });
        }
        self.answer_register(now, key, 200, lines);
        if self.registrar.in_service.insert(dn.clone()) {
            self.dn_event(&dn, EventKind::InService);
        }
    }

    fn unbind(&mut self, dn: &str) {
        if self.registrar.bindings.remove(dn).is_some() {
            self.dn_event(dn, EventKind::ContactChanged { contact: None });
        }
    }

    pub(super) fn binding_expires(&mut self, dn: &str, generation: u64) {
        let current = self
            .registrar
            .binding(dn)
            .is_some_and(|binding| binding.generation == generation);
        if current {
            self.unbind(dn);
        }
    }

    fn answer_register(
        &mut self,
        now: Instant,
        key: &ServerKey,
        status: u16,
        lines: Vec<(&'static str, String)>,
    ) {
        let tag = self.ids.tag();
        self.respond(
            now,
            key,
            Reply {
                status,
                to_tag: Some(&tag),
                lines,
                ..Reply::default()
            },
        );
    }
}

/// Where calls to a contact go: its address if it is one, else where the REGISTER came from.
pub(super) fn contact_destination(uri: &str, source: Source) -> Destination {
    let transport = match text::transport_of(uri) {
        named @ (Transport::Tcp | Transport::Tls) => named,
        Transport::Udp => source.transport,
    };
    Destination {
        transport,
        to: text::address_of(uri).unwrap_or(source.remote),
        connection: source.connection,
    }
}

fn requested_expiry(message: &Incoming) -> u32 {
    message
        .get("Contact")
        .and_then(|contact| text::header_param(contact, "expires"))
        .or_else(|| message.get("Expires"))
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(DEFAULT_EXPIRES_S)
}

/// `Expires` and `Contact;expires` as they come back.
fn echo(message: &Incoming, expires_s: u32) -> Vec<(&'static str, String)> {
    let mut lines = vec![("Expires", expires_s.to_string())];
    if let Some(contact) = message.get("Contact").filter(|contact| *contact != "*") {
        let uri = text::uri_of(contact);
        lines.push(("Contact", format!("<{uri}>;expires={expires_s}")));
    }
    lines
}
