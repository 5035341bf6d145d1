//! `talkbridge doctor`: live checks before the first agent signs in, in the words of SIP Server's administrator.
//!
//! Nothing that is asked changes anything: ports are bound and let go, SIP Server is asked by OPTIONS and by REGISTER without
//! Contact (RFC 3261 section 10.2.3), so that no binding of a running gateway or of a telephone is touched.

mod addresses;
mod certificates;
mod dns;
mod finding;
mod http_date;
mod line;
mod ports;
mod request;
mod running;
mod servers;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

pub use finding::{Area, Finding, Report, Verdict};

use switchboard::Server;

use crate::config::{self, Agent, Config, Loaded};
use crate::run::RunError;
use crate::{assemble, control_thread, edge, process};
use servers::Round;

/// Examines the configuration at `file`. `only` names the DNs to ask for; none means all.
///
/// # Errors
///
/// When the operating system gives no runtime or no randomness.
pub fn examine(file: &Path, only: &[String]) -> Result<Report, RunError> {
    let mut report = Report::default();
    let loaded = match config::load(file, &|name| std::env::var(name).ok()) {
        Ok(loaded) => loaded,
        Err(errors) => {
            report.add(errors.0.iter().map(|error| {
                let advice = "docs/configuration.md has every key; `talkbridge check` looks at the file alone";
                Finding::fail(Area::Configuration, error.to_string(), advice)
            }));
            return Ok(report);
        }
    };
    let Loaded { config, warnings } = loaded;
    report.add(
        warnings
            .iter()
            .map(|warning| Finding::new(Verdict::Warn, Area::Configuration, warning.to_string())),
    );
    report.add([Finding::ok(
        Area::Configuration,
        format!(
            "configuration {}: {} DNs",
            file.display(),
            config.agents.len()
        ),
    )]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| RunError::Start {
            what: "runtime",
            error,
        })?;
    runtime.block_on(live(&config, only, &mut report))?;
    Ok(report)
}

async fn live(config: &Config, only: &[String], report: &mut Report) -> Result<(), RunError> {
    let now_s = crate::calendar::since_epoch().as_secs();
    let (known, names) = look_up(config, report).await?;
    let addresses: Vec<SocketAddr> = known.iter().map(|server| server.address).collect();
    let (running, findings) = running::examine(config).await;
    report.add(findings);
    report.add([descriptors(config)]);
    report.add(tokens(config, now_s));
    report.add(certificates::examine(config, now_s));
    report.add(addresses::examine(config, &addresses));
    report.add(ports::examine(config, running));
    let agents = chosen(&config.agents, only, report);
    let round = Round {
        config,
        names: &names,
        agents: &agents,
        running,
        now_s: i64::try_from(now_s).unwrap_or(i64::MAX),
    };
    for server in &known {
        servers::ask(&round, server, control_thread::seed()?, report).await;
    }
    Ok(())
}

/// Every SIP Server, and the names by which those were found that are not written as addresses.
async fn look_up(
    config: &Config,
    report: &mut Report,
) -> Result<(Vec<Server>, BTreeMap<SocketAddr, String>), RunError> {
    let sites = assemble::switchboard(config, 1).sites;
    let mut servers: Vec<Vec<Server>> = sites.into_iter().map(|site| site.servers).collect();
    let mut names = BTreeMap::new();
    let sip = Arc::new(config.sip.clone());
    for site in edge::dns::sites_with_names(&sip) {
        let resolved = edge::dns::once(Arc::clone(&sip), site, edge::dns::seed()?).await;
        report.add(resolved.findings().into_iter().map(|finding| match finding {
            Ok(found) => Finding::ok(Area::Server, format!("name {found}")),
            Err(problem) => Finding::fail(
                Area::Server,
                format!("name {problem}"),
                "see [sip] servers and resolvers: a domain needs SRV records (_sip._udp, _sip._tcp or _sips._tcp), a host an address; \
                 `dig` shows what DNS says",
            ),
        }));
        if let Some(of_site) = servers.get_mut(usize::from(site.0)) {
            of_site.clone_from(&resolved.servers);
        }
        names.extend(resolved.names);
    }
    Ok((servers.into_iter().flatten().collect(), names))
}

/// The agents to ask for.
fn chosen(agents: &[Agent], only: &[String], report: &mut Report) -> Vec<Agent> {
    if only.is_empty() {
        return agents.to_vec();
    }
    let configured: BTreeSet<&str> = agents.iter().map(|agent| agent.dn.as_str()).collect();
    report.add(
        only.iter()
            .filter(|dn| !configured.contains(dn.as_str()))
            .map(|dn| {
                let what = format!("DN {dn}: no [[agents]] here");
                Finding::fail(Area::Dn, what, format!("add [[agents]] with dn = \"{dn}\"")).of(dn)
            }),
    );
    let wanted = |agent: &&Agent| only.contains(&agent.dn);
    agents.iter().filter(wanted).cloned().collect()
}

/// File descriptors: a call takes two sockets, a page one connection.
fn descriptors(config: &Config) -> Finding {
    let needed = process::descriptors_needed(config);
    match process::descriptors_allowed() {
        Some(allowed) if allowed < needed => Finding::warn(
            Area::Limit,
            format!(
                "file descriptors: {allowed} allowed, {needed} needed when [limits] are reached"
            ),
            format!("LimitNOFILE={needed} in the unit, or lower [limits] calls and web_sockets"),
        ),
        Some(allowed) => Finding::ok(
            Area::Limit,
            format!("file descriptors: {allowed} allowed, {needed} needed"),
        ),
        None => Finding::ok(Area::Limit, "file descriptors: no limit"),
    }
}

/// Keys of tokens: a token made with each shared secret must be good here and now.
fn tokens(config: &Config, now_s: u64) -> Vec<Finding> {
    let keys = match crate::token::TokenKeys::new(&config.auth) {
        Ok(keys) => keys,
        Err(why) => {
            let advice = "the public key, PEM, of the service that signs agents in";
            return vec![Finding::fail(
                Area::Token,
                format!("token keys: {why}"),
                advice,
            )];
        }
    };
    if config.auth.token_keys.is_empty() {
        let advice = "[auth] token_keys holds the key of the service that signs agents in";
        return vec![Finding::fail(
            Area::Token,
            "token keys: none, so no page can sign in",
            advice,
        )];
    }
    let name = |index: usize| {
        format!(
            "token key {} of {}",
            index + 1,
            config.auth.token_keys.len()
        )
    };
    let trial = |(index, key): (usize, &config::TokenKey)| {
        let alg = match key.alg {
            config::TokenAlgorithm::Hs256 => "HS256",
            config::TokenAlgorithm::Rs256 => "RS256",
            config::TokenAlgorithm::Es256 => "ES256",
        };
        let Some(secret) = &key.secret else {
            return Finding::ok(Area::Token, format!("{} ({alg}): readable", name(index)));
        };
        let verified = crate::token::issue(key, secret, "doctor", 60, now_s)
            .and_then(|token| keys.verify(&token, now_s));
        match verified {
            Ok(_) => Finding::ok(
                Area::Token,
                format!("{} ({alg}): a token made with it is good", name(index)),
            ),
            Err(error) => Finding::fail(
                Area::Token,
                format!(
                    "{} ({alg}): a token made with it is refused: {error}",
                    name(index)
                ),
                "two keys with the same kid, or an issuer or audience that nothing matches",
            ),
        }
    };
    config
        .auth
        .token_keys
        .iter()
        .enumerate()
        .map(trial)
        .collect()
}
