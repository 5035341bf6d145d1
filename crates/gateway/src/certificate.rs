//! What a certificate says about itself: how long it lives and for whom it stands.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::sign::CertifiedKey;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

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

/// Puts the end of a certificate that comes into use where `/metrics` reads it, and wakes somebody when it is near.
pub fn note_expiry(listener: &'static str, own: &CertifiedKey, now_s: u64, expiry: &AtomicU64) {
    let Some(facts) = own.cert.first().and_then(|der| Facts::read(der)) else {
        return;
    };
    expiry.store(facts.not_after_s, Ordering::Relaxed);
    let left_d = facts.not_after_s.saturating_sub(now_s) / DAY_S;
    if facts.not_after_s <= now_s {
        tracing::warn!(listener, "the certificate has expired: peers refuse it");
    } else if left_d < RENEW_BEFORE_D {
        tracing::warn!(listener, left_d, "the certificate expires soon");
    }
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

    #[test]
    fn what_is_no_certificate_says_nothing() {
        assert_eq!(Facts::read(b""), None);
        assert_eq!(Facts::read(&[0x30, 0x80, 0, 0]), None);
    }
}
