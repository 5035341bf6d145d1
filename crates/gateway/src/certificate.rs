//! What a certificate says about itself: how long it lives and for whom it stands.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use control::admin::ReadyCheck;
use rustls::sign::CertifiedKey;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::calendar;

/// Life and names of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Not valid before, in seconds since 1970.
    pub not_before_s: u64,
    /// Not valid after, in seconds since 1970.
    pub not_after_s: u64,
    /// DNS names of its subject's alternative names (RFC 5280 section 4.2.1.6).
    pub dns_names: Vec<String>,
    /// IP addresses of them.
    pub addresses: Vec<IpAddr>,
}

impl Facts {
    /// Reads a certificate in DER; `None` when it is none.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let certificate = certificate.tbs_certificate();
        let validity = certificate.validity();
        let mut facts = Self {
            not_before_s: validity.not_before.to_unix_duration().as_secs(),
            not_after_s: validity.not_after.to_unix_duration().as_secs(),
            dns_names: Vec::new(),
            addresses: Vec::new(),
        };
        let names = certificate.get_extension::<SubjectAltName>();
        if let Ok(Some((_, SubjectAltName(names)))) = names {
            for name in names {
                match name {
                    GeneralName::DnsName(name) => facts.dns_names.push(name.to_string()),
                    GeneralName::IpAddress(octets) => {
                        facts.addresses.extend(address(octets.as_bytes()));
                    }
                    _ => {}
                }
            }
        }
        Some(facts)
    }
}

/// A certificate that lives shorter than this should have been renewed: time enough for two tries of a monthly job.
pub const RENEW_BEFORE_D: u64 = 21;

/// Seconds of a day.
pub const DAY_S: u64 = 24 * 3600;

/// How long a certificate lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Long enough.
    Long,
    /// So many days: it should have been renewed.
    Short(u64),
    /// Its time is over: peers refuse it.
    Over,
}

impl Life {
    /// Of a certificate that ends then.
    #[must_use]
    pub const fn until(not_after_s: u64, now_s: u64) -> Self {
        let left_d = not_after_s.saturating_sub(now_s) / DAY_S;
        match left_d {
            _ if not_after_s <= now_s => Self::Over,
            left_d if left_d < RENEW_BEFORE_D => Self::Short(left_d),
            _ => Self::Long,
        }
    }
}

/// When the certificates in use end, in seconds since 1970; 0 where there is none.
#[derive(Debug, Default)]
pub struct Expiries {
    /// Of the agents' listener.
    pub agents: AtomicU64,
    /// Of the SIP side.
    pub sip: AtomicU64,
}

impl Expiries {
    /// The certificates in use, by their listeners, and when they end.
    pub fn in_use(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let all = [("agents", &self.agents), ("sip", &self.sip)];
        let ends = all.map(|(listener, end)| (listener, end.load(Ordering::Relaxed)));
        ends.into_iter().filter(|(_, not_after_s)| *not_after_s > 0)
    }

    /// Wakes somebody where the end of one is near.
    pub fn warn(&self, now_s: u64) {
        for (listener, not_after_s) in self.in_use() {
            match Life::until(not_after_s, now_s) {
                Life::Long => {}
                Life::Short(left_d) => {
                    tracing::warn!(listener, left_d, "the certificate expires soon");
                }
                Life::Over => {
                    tracing::warn!(listener, "the certificate has expired: peers refuse it");
                }
            }
        }
    }

    /// Whether peers take the certificates, for whoever asks if agents can be sent here; `None` where there are none.
    #[must_use]
    pub fn check(&self, now_s: u64) -> Option<ReadyCheck> {
        self.in_use().next()?;
        let (mut ok, mut details) = (true, Vec::new());
        for (listener, not_after_s) in self.in_use() {
            match Life::until(not_after_s, now_s) {
                Life::Long => {}
                Life::Short(left_d) => {
                    details.push(format!("{listener}: expires in {left_d} days"))
                }
                Life::Over => {
                    ok = false;
                    details.push(format!("{listener}: has expired"));
                }
            }
        }
        Some(ReadyCheck {
            name: "certificate".to_owned(),
            ok,
            detail: (!details.is_empty()).then(|| details.join("; ")),
        })
    }
}

/// Looks once a day for as long as the process runs: one that was good at the start, and is not renewed, ends in the middle of it.
pub async fn watch(expiries: Arc<Expiries>) {
    let mut look = tokio::time::interval(Duration::from_secs(DAY_S));
    // The first look is that of the start.
    look.tick().await;
    loop {
        look.tick().await;
        expiries.warn(calendar::since_epoch().as_secs());
    }
}

/// When a certificate that comes into use ends; 0 when it cannot be read.
#[must_use]
pub fn end_of(own: &CertifiedKey) -> u64 {
    let facts = own.cert.first().and_then(|der| Facts::read(der));
    facts.map_or(0, |facts| facts.not_after_s)
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(octets).ok().map(IpAddr::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    #[test]
    fn life_and_names_are_read() {
        let mut params = CertificateParams::new(vec!["desk.example.com".to_owned()]).unwrap();
        params
            .subject_alt_names
            .push(SanType::IpAddress(IpAddr::from([192, 0, 2, 10])));
        params.not_before = rcgen::date_time_ymd(2024, 2, 29);
        params.not_after = rcgen::date_time_ymd(2024, 3, 1);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(
            Facts::read(certificate.der()),
            Some(Facts {
                not_before_s: 1_709_164_800,
                not_after_s: 1_709_251_200,
                dns_names: vec!["desk.example.com".to_owned()],
                addresses: vec![IpAddr::from([192, 0, 2, 10])],
            })
        );
    }

    /// Nobody renewed it: it is told three weeks before, and a load balancer sends agents elsewhere when browsers refuse it.
    #[test]
    fn the_end_of_a_certificate_is_told() {
        let now_s = 1_700_000_000;
        let expiries = Expiries::default();
        assert_eq!(expiries.check(now_s), None);
        expiries
            .agents
            .store(now_s + RENEW_BEFORE_D * DAY_S, Ordering::Relaxed);
        let told = |now_s| {
            let check = expiries.check(now_s).unwrap();
            (check.ok, check.detail)
        };
        assert_eq!(told(now_s), (true, None));
        let near = Some("agents: expires in 20 days".to_owned());
        assert_eq!(told(now_s + 1), (true, near));
        expiries.sip.store(now_s, Ordering::Relaxed);
        let over = Some("agents: expires in 20 days; sip: has expired".to_owned());
        assert_eq!(told(now_s + 1), (false, over));
    }

    #[test]
    fn what_is_no_certificate_says_nothing() {
        assert_eq!(Facts::read(b""), None);
        assert_eq!(Facts::read(&[0x30, 0x80, 0, 0]), None);
    }
}
