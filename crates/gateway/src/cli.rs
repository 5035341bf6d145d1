//! The command line.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};

use crate::config::{self, Config, Loaded, TokenAlgorithm};
use crate::edge::dns;
use crate::run::RunError;

/// Longest life of a token made here, in seconds: a year. Tokens of a site are made by its own login service.
const TTL_MAX_S: u64 = 366 * 24 * 3600;

/// Exit code of `doctor` when something does not work, itself included.
const DOCTOR_FAILED: u8 = 2;

#[derive(Debug, Parser)]
#[command(
    name = "talkbridge",
    version,
    about = "The WebRTC end of Genesys SIP Server: agents hear and speak in a browser"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM or SIGINT. SIGHUP reads the configuration again.
    Run {
        /// The configuration file.
        #[arg(long, short, value_name = "FILE")]
        config: PathBuf,
    },
    /// Check a configuration without binding anything: exit code 0, or 1 with file, line and what was expected. Names of SIP Servers
    /// are looked up and shown.
    Check {
        /// The configuration file.
        #[arg(long, short, value_name = "FILE")]
        config: PathBuf,
    },
    /// Look at everything the gateway needs, live: ports, certificates, clock, each SIP Server and each DN there. Changes
    /// nothing. Exit code 0 when all is well, 1 with warnings, 2 when something does not work.
    Doctor {
        /// The configuration file.
        #[arg(long, short, value_name = "FILE")]
        config: PathBuf,
        /// Ask for this DN only; may be repeated. All of [[agents]] unless given.
        #[arg(long, value_name = "DN")]
        dn: Vec<String>,
        /// Print JSON for scripts.
        #[arg(long)]
        json: bool,
    },
    /// Print a token for a DN, signed with the first HS256 key of the configuration: for demonstrations and scripts.
    Token {
        /// The configuration file.
        #[arg(long, short, value_name = "FILE")]
        config: PathBuf,
        /// The DN that the token is for.
        #[arg(long)]
        dn: String,
        /// How long it is good for, in seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 8 * 3600, value_parser = clap::value_parser!(u64).range(1..=TTL_MAX_S))]
        ttl: u64,
    },
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    crate::tls::install_provider();
    match Cli::parse().command {
        Command::Run { config } => run(&config),
        Command::Check { config } => check(&config),
        Command::Doctor { config, dn, json } => doctor(&config, &dn, json),
        Command::Token { config, dn, ttl } => token(&config, &dn, ttl),
    }
}

fn run(file: &Path) -> ExitCode {
    let Some(Loaded { config, warnings }) = load(file) else {
        return ExitCode::FAILURE;
    };
    match crate::run::run(file, config, &warnings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

fn check(file: &Path) -> ExitCode {
    let Some(Loaded { config, warnings }) = load(file) else {
        return ExitCode::FAILURE;
    };
    for warning in &warnings {
        complain(&format!("{warning} (warning)"));
    }
    match look_names_up(&config) {
        Ok(()) => {}
        Err(error) => return fail(&format!("{}: {error}", file.display())),
    }
    // Certificates and keys are read as they will be, without anything being bound.
    match crate::run::read_certificates(&config) {
        Ok(_) => say(&format!("{}: ok", file.display())),
        Err(error) => fail(&format!("{}: {error}", file.display())),
    }
}

/// Says what the names of SIP Servers mean at this moment. That DNS does not know or answer is no fault of the file.
fn look_names_up(config: &Config) -> Result<(), RunError> {
    let sip = Arc::new(config.sip.clone());
    let sites = dns::sites_with_names(&sip);
    if sites.is_empty() {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| RunError::Start {
            what: "runtime",
            error,
        })?;
    let seed = dns::seed()?;
    for site in sites {
        let resolved = runtime.block_on(dns::once(Arc::clone(&sip), site, seed));
        for finding in resolved.findings() {
            match finding {
                Ok(found) => drop(say(&found)),
                Err(problem) => complain(&format!("{problem} (warning)")),
            }
        }
    }
    Ok(())
}

fn doctor(file: &Path, only: &[String], json: bool) -> ExitCode {
    let report = match crate::doctor::examine(file, only) {
        Ok(report) => report,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::from(DOCTOR_FAILED);
        }
    };
    say(&if json { report.json() } else { report.text() });
    ExitCode::from(report.exit_code())
}

fn token(file: &Path, dn: &str, ttl_s: u64) -> ExitCode {
    let Some(Loaded { config, .. }) = load(file) else {
        return ExitCode::FAILURE;
    };
    if !config.agents.iter().any(|agent| agent.dn == dn) {
        complain(&format!(
            "{}: no [[agents]] with dn = \"{dn}\" (warning)",
            file.display()
        ));
    }
    let key = config
        .auth
        .token_keys
        .iter()
        .find(|key| key.alg == TokenAlgorithm::Hs256);
    let Some((key, secret)) = key.and_then(|key| Some((key, key.secret.as_ref()?))) else {
        return fail(&format!(
            "{}: expected an HS256 key in [auth] token_keys: others are signed where their private key is",
            file.display()
        ));
    };
    match crate::token::issue(
        key,
        secret,
        dn,
        ttl_s,
        crate::calendar::since_epoch().as_secs(),
    ) {
        Ok(token) => say(&token),
        Err(error) => fail(&error.to_string()),
    }
}

fn load(file: &Path) -> Option<Loaded> {
    match config::load(file, &|name| std::env::var(name).ok()) {
        Ok(loaded) => Some(loaded),
        Err(errors) => {
            complain(&errors.to_string());
            None
        }
    }
}

fn say(text: &str) -> ExitCode {
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(text: &str) {
    // Nothing can be said about a standard error that takes nothing.
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn fail(text: &str) -> ExitCode {
    complain(text);
    ExitCode::FAILURE
}
