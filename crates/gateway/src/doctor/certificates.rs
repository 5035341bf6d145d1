//! Certificates: readable, with their key, alive, and for whom.

use std::net::IpAddr;
use std::path::Path;

use super::finding::{Area, Finding};
use crate::certificate::{DAY_S, Facts, RENEW_BEFORE_D};
use crate::config::Config;
use crate::tls;

/// Looks at every certificate of the configuration at the time `now_s` (seconds since 1970).
pub(super) fn examine(config: &Config, now_s: u64) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let (Some(certificate), Some(key)) = (&config.http.certificate_file, &config.http.key_file) {
        match read("[http]", certificate, key) {
            Ok(facts) => {
                findings.push(life("[http]", certificate, &facts, now_s));
                findings.push(for_pages(&facts));
            }
            Err(finding) => findings.push(finding),
        }
    }
    if let Some(tls) = &config.sip.tls {
        match read("[sip.tls]", &tls.certificate_file, &tls.key_file) {
            Ok(facts) => {
                findings.push(life("[sip.tls]", &tls.certificate_file, &facts, now_s));
                findings.push(for_sip_server(&facts, config.sip.advertise));
            }
            Err(finding) => findings.push(finding),
        }
        findings.push(authorities(&tls.ca_file, now_s));
    }
    findings
}

fn read(section: &str, certificate: &Path, key: &Path) -> Result<Facts, Finding> {
    let pair = tls::read(certificate, key).map_err(|why| {
        Finding::fail(
            Area::Certificate,
            format!("{section} certificate: {why}"),
            "certificate_file is the chain, ours first; key_file the private key that belongs to it",
        )
    })?;
    let first = pair.cert.first();
    first.and_then(|der| Facts::read(der)).ok_or_else(|| {
        Finding::warn(
            Area::Certificate,
            format!(
                "{section} certificate: {} cannot be read for its life",
                certificate.display()
            ),
            "`openssl x509 -text` shows what is in it",
        )
    })
}

/// How long it still lives.
fn life(section: &str, file: &Path, facts: &Facts, now_s: u64) -> Finding {
    let key = format!("{section} certificate {}", file.display());
    if now_s < facts.not_before_s {
        return Finding::fail(
            Area::Certificate,
            format!(
                "{key}: not valid yet, for another {}",
                days(facts.not_before_s - now_s)
            ),
            "compare this machine's clock with the certificate's dates",
        );
    }
    if now_s > facts.not_after_s {
        return Finding::fail(
            Area::Certificate,
            format!("{key}: expired {} ago", days(now_s - facts.not_after_s)),
            "renew it, then send SIGHUP",
        );
    }
    let left_s = facts.not_after_s - now_s;
    let what = format!("{key}: valid for {}", days(left_s));
    if left_s < RENEW_BEFORE_D * DAY_S {
        return Finding::warn(Area::Certificate, what, "renew it, then send SIGHUP");
    }
    Finding::ok(Area::Certificate, what)
}

fn for_pages(facts: &Facts) -> Finding {
    if facts.dns_names.is_empty() && facts.addresses.is_empty() {
        return Finding::fail(
            Area::Certificate,
            "[http] certificate: names nobody",
            "browsers want the page's host among the subject's alternative names; the common name does not count",
        );
    }
    Finding::ok(
        Area::Certificate,
        format!("[http] certificate: good for pages from {}", names(facts)),
    )
}

fn for_sip_server(facts: &Facts, advertise: IpAddr) -> Finding {
    let what = format!("[sip.tls] certificate: names {}", names(facts));
    if facts.addresses.contains(&advertise) {
        return Finding::ok(Area::Certificate, what);
    }
    Finding::warn(
        Area::Certificate,
        format!("{what}, and not [sip] advertise {advertise}"),
        "a SIP Server that checks the name of its peer refuses connections to us",
    )
}

fn authorities(file: &Path, now_s: u64) -> Finding {
    let key = format!("[sip.tls] ca_file {}", file.display());
    let read = match tls::certificates_of(file) {
        Ok(read) => read,
        Err(why) => {
            return Finding::fail(
                Area::Certificate,
                format!("{key}: {why}"),
                "it holds the authorities that sign SIP Server's certificate",
            );
        }
    };
    let facts: Vec<Facts> = read.iter().filter_map(|der| Facts::read(der)).collect();
    let expired = facts
        .iter()
        .filter(|facts| facts.not_after_s < now_s)
        .count();
    if expired > 0 {
        return Finding::warn(
            Area::Certificate,
            format!(
                "{key}: {expired} of {} authorities have expired",
                read.len()
            ),
            "a certificate that one of them has signed is refused",
        );
    }
    Finding::ok(
        Area::Certificate,
        format!("{key}: {} authorities", read.len()),
    )
}

fn names(facts: &Facts) -> String {
    let addresses = facts.addresses.iter().map(ToString::to_string);
    let all: Vec<String> = facts.dns_names.iter().cloned().chain(addresses).collect();
    if all.is_empty() {
        "nobody".to_owned()
    } else {
        all.join(", ")
    }
}

fn days(seconds: u64) -> String {
    match seconds / DAY_S {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            not_before_s: 100 * DAY_S,
            not_after_s: 190 * DAY_S,
            dns_names: vec!["desk.example.com".to_owned()],
            addresses: Vec::new(),
        }
    }

    #[test]
    fn a_certificate_is_told_to_be_renewed_before_it_expires() {
        let at = |day: u64| life("[http]", Path::new("c.pem"), &facts(), day * DAY_S).line();
        assert_eq!(at(120), "ok   [http] certificate c.pem: valid for 70 days");
        assert_eq!(
            at(189),
            "warn [http] certificate c.pem: valid for 1 day - renew it, then send SIGHUP"
        );
        assert!(at(192).starts_with("FAIL [http] certificate c.pem: expired 2 days ago"));
        assert!(
            at(98).starts_with("FAIL [http] certificate c.pem: not valid yet, for another 2 days")
        );
    }

    #[test]
    fn names_are_compared_with_what_others_call_us() {
        let ours = IpAddr::from([192, 0, 2, 10]);
        assert!(for_sip_server(&facts(), ours).line().starts_with(
            "warn [sip.tls] certificate: names desk.example.com, and not [sip] advertise 192.0.2.10"
        ));
        assert!(
            for_pages(&facts())
                .line()
                .ends_with("good for pages from desk.example.com")
        );
    }
}
