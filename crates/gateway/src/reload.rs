//! SIGHUP: what can change while calls are up is changed; the log says what needs a restart. A bad file changes nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use secrecy::ExposeSecret;
use tokio::task::{JoinError, JoinHandle};

use crate::assemble;
use crate::certificate::Expiries;
use crate::config::{self, Config, ConfigError, Loaded};
use crate::edge::agent_ws::Front;
use crate::edge::cdr::RecordSink;
use crate::logging::Logging;
use crate::requests::{Asker, Request};
use crate::run::{CertificatesRead, note_expiries, read_certificates};
use crate::tls::{Certificates, SipTls};
use crate::token::TokenKeys;

/// What a reload reads and where it puts it.
#[derive(Debug)]
pub struct Reloader {
    /// The configuration file.
    pub file: PathBuf,
    /// The configuration that runs; sections that need a restart stay as they were at the start.
    pub running: Config,
    /// The way to the control loop.
    pub asker: Asker,
    /// Takes the token keys.
    pub front: Arc<Front>,
    /// Takes the certificate of the agents' listener.
    pub http: Option<Arc<Certificates>>,
    /// Takes the certificates of the SIP side.
    pub sip: Option<Arc<SipTls>>,
    /// Takes the ends of the certificates.
    pub expiries: Arc<Expiries>,
    /// The file of call records, where there is one.
    pub records: Option<RecordSink>,
}

/// What the disk holds now: everything could be read.
#[derive(Debug)]
pub struct Fresh {
    config: Config,
    warnings: Vec<ConfigError>,
    keys: TokenKeys,
    certificates: CertificatesRead,
}

/// A reading of the disk that is under way.
pub type Reading = JoinHandle<Result<Fresh, String>>;

/// Reads the configuration at `file`, with its keys and certificates.
fn read(file: &Path) -> Result<Fresh, String> {
    let environment = |name: &str| std::env::var(name).ok();
    let Loaded { config, warnings } =
        config::load(file, &environment).map_err(|errors| errors.to_string())?;
    Ok(Fresh {
        keys: TokenKeys::new(&config.auth)?,
        certificates: read_certificates(&config).map_err(|error| error.to_string())?,
        config,
        warnings,
    })
}

impl Reloader {
    /// Begins to read the configuration again, on a thread that may wait: a disk that hangs keeps nothing else.
    #[must_use]
    pub fn begin(&self) -> Reading {
        let file = self.file.clone();
        tokio::task::spawn_blocking(move || read(&file))
    }

    /// Applies what can be applied of what was read, or says in the log why nothing is.
    pub async fn finish(
        &mut self,
        read: Result<Result<Fresh, String>, JoinError>,
        logging: &Logging,
    ) {
        let result = match read.unwrap_or_else(|fault| Err(fault.to_string())) {
            Ok(fresh) => self.apply(fresh, logging).await,
            Err(why) => Err(why),
        };
        if let Err(error) = &result {
            tracing::error!(%error, "configuration not read again; the former one stays");
        }
        // Without the control loop the process is ending: there is nobody to count for.
        let _ = self.asker.tell(Request::Reloaded(result.is_ok())).await;
    }

    async fn apply(&mut self, fresh: Fresh, logging: &Logging) -> Result<(), String> {
        let Fresh {
            config,
            warnings,
            keys,
            certificates,
        } = fresh;
        let gone = removed(&self.running, &config);
        if gone >= REMOVED_AT_ONCE && gone * 2 > self.running.agents.len() {
            return Err(format!(
                "{gone} of {} agents are missing in {}: a file that was cut short looks like this. Where it is meant, remove them in steps of less than half, or restart",
                self.running.agents.len(),
                self.file.display()
            ));
        }
        // From here on nothing fails.
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        *self
            .front
            .keys
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        note_expiries(&certificates, &self.expiries);
        if let (Some(shown), Some(fresh)) = (&self.http, certificates.http) {
            shown.replace(fresh);
        }
        if let (Some(shown), Some(fresh)) = (&self.sip, certificates.sip) {
            shown.replace(fresh);
        }
        logging.set_level(config.log.level);
        if let Some(records) = &self.records {
            records.reopen();
        }
        let restart = needs_restart(&self.running, &config);
        if restart.is_empty() {
            tracing::info!("configuration read again");
        } else {
            let sections = restart.join(" ");
            tracing::warn!(
                sections,
                "configuration read again; these sections change with a restart only"
            );
        }
        self.running.agents.clone_from(&config.agents);
        let agents = assemble::agents(&config);
        self.asker
            .tell(Request::Reload(agents))
            .await
            .map_err(|error| error.to_string())
    }
}

/// How many agents may be missing at once where they are more than half of all: small sites change as they like.
const REMOVED_AT_ONCE: usize = 10;

/// How many agents are no longer there.
fn removed(running: &Config, fresh: &Config) -> usize {
    let kept: BTreeSet<&str> = fresh.agents.iter().map(|agent| agent.dn.as_str()).collect();
    let gone = running.agents.iter();
    gone.filter(|agent| !kept.contains(agent.dn.as_str()))
        .count()
}

/// The sections that differ from what runs and are only read at the start.
#[must_use]
pub fn needs_restart(running: &Config, fresh: &Config) -> Vec<&'static str> {
    // The debug form shows every field but secrets, which are compared apart.
    let differs =
        |a: &dyn std::fmt::Debug, b: &dyn std::fmt::Debug| format!("{a:?}") != format!("{b:?}");
    let admin_token = |config: &Config| {
        config
            .admin
            .token
            .as_ref()
            .map(|token| token.expose_secret().to_owned())
    };
    let credentials = |config: &Config| {
        let all = config.webrtc.ice_servers.iter();
        let turn = config.webrtc.turn.as_ref();
        all.map(|server| server.credential.as_ref())
            .chain([turn.and_then(|turn| turn.secret.as_ref())])
            .map(|secret| secret.map(|secret| secret.expose_secret().to_owned()))
            .collect::<Vec<_>>()
    };
    let sip = |config: &Config| {
        // The table's files are read again; that TLS is there at all is decided at the start.
        let mut sip = config.sip.clone();
        let tls = sip.tls.take().is_some();
        (sip, tls)
    };
    let webrtc = |config: &Config| {
        // The agents have it, each her own.
        let mut webrtc = config.webrtc.clone();
        webrtc.codec_policy = running.webrtc.codec_policy;
        webrtc
    };
    let sections = [
        ("[sip]", differs(&sip(running), &sip(fresh))),
        (
            "[webrtc]",
            differs(&webrtc(running), &webrtc(fresh)) || credentials(running) != credentials(fresh),
        ),
        ("[media]", differs(&running.media, &fresh.media)),
        ("[http]", differs(&running.http, &fresh.http)),
        (
            "[admin]",
            differs(&running.admin, &fresh.admin) || admin_token(running) != admin_token(fresh),
        ),
        ("[limits]", differs(&running.limits, &fresh.limits)),
        ("[cdr]", differs(&running.cdr, &fresh.cdr)),
        ("[recording]", differs(&running.recording, &fresh.recording)),
        ("[log] format", running.log.format != fresh.log.format),
    ];
    sections
        .into_iter()
        .filter(|(_, differs)| *differs)
        .map(|(name, _)| name)
        .collect()
}
