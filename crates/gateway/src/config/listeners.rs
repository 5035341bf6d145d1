//! What the types of `[http]` and `[admin]` cannot say.

use secrecy::ExposeSecret;

use super::load::Findings;
use super::sections::Config;
use super::validate::{at, readable};
use crate::edge::origin::as_browsers_write;

pub(super) fn validate(config: &Config, findings: &mut Findings<'_>) {
    http(config, findings);
    admin(config, findings);
}

fn http(config: &Config, findings: &mut Findings<'_>) {
    let http = &config.http;
    match (&http.certificate_file, &http.key_file) {
        (Some(certificate), Some(key)) => {
            readable(certificate, &["http", "certificate_file"], findings);
            readable(key, &["http", "key_file"], findings);
        }
        (None, None) => {
            if !http.listen.ip().is_loopback() && !http.insecure_http {
                findings.warning(
                    &at(&["http", "listen"]),
                    "plain HTTP beyond loopback: tokens cross the network in the open and browsers give no microphone; \
                     set certificate_file and key_file, or insecure_http = true behind a proxy that speaks TLS",
                );
            }
        }
        (Some(_), None) => {
            findings.error(
                &at(&["http", "certificate_file"]),
                "expected `key_file` beside it",
            );
        }
        (None, Some(_)) => {
            findings.error(
                &at(&["http", "key_file"]),
                "expected `certificate_file` beside it",
            );
        }
    }
    for (index, origin) in http.allowed_origins.iter().enumerate() {
        if origin != "*" && as_browsers_write(origin).is_none() {
            let path = ["http".into(), "allowed_origins".into(), index.into()];
            findings.error(
                &path,
                format!("expected an origin such as `https://desk.example.com` (no path), found `{origin}`"),
            );
        }
    }
    proxied(config, findings);
}

/// Behind a proxy all agents have its address.
fn proxied(config: &Config, findings: &mut Findings<'_>) {
    let (agents, limits) = (config.agents.len(), &config.limits);
    let per_source = limits.http_connections_per_source;
    let is_plain = config.http.certificate_file.is_none();
    if is_plain && agents > per_source {
        findings.warning(
            &at(&["limits", "http_connections_per_source"]),
            format!(
                "behind a proxy all {agents} agents come from one address, and {per_source} connections of one are taken: \
                 set it to the agents and some for the pages they load"
            ),
        );
    }
}

fn admin(config: &Config, findings: &mut Findings<'_>) {
    let admin = &config.admin;
    if !admin.listen.ip().is_loopback() && admin.token.is_none() {
        findings.error(
            &at(&["admin", "listen"]),
            format!(
                "expected a loopback address, or `token`, `token_file` or TALKBRIDGE_ADMIN_TOKEN, for `{}`",
                admin.listen
            ),
        );
    }
    if !admin.listen.ip().is_loopback() && !admin.insecure_http {
        findings.warning(
            &at(&["admin", "listen"]),
            "plain HTTP beyond loopback: the token, and with it the audio of calls (live taps), cross the network in the open; \
             listen on loopback behind a proxy that speaks TLS, or set insecure_http = true where that network is nobody else's",
        );
    }
    if admin
        .token
        .as_ref()
        .is_some_and(|token| token.expose_secret().len() < 8)
    {
        findings.error(
            &at(&["admin", "token"]),
            "expected a token of 8 characters or more",
        );
    }
}
