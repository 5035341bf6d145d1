//! Reading the file: syntax and types by serde, secrets from files and the environment, then meaning by `validate`.

use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::locate::{Step, is_written, line_at, line_of};
use super::sections::{Config, TokenAlgorithm};
use super::validate;

/// Looks an environment variable up; a function, so that tests need no process environment.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Environment variable with the administrators' bearer token.
const ADMIN_TOKEN_VARIABLE: &str = "TALKBRIDGE_ADMIN_TOKEN";

/// Environment variable with the shared secret of HS256 tokens.
const TOKEN_SECRET_VARIABLE: &str = "TALKBRIDGE_TOKEN_SECRET";

/// Environment variable with the secret that is shared with the TURN server.
const TURN_SECRET_VARIABLE: &str = "TALKBRIDGE_TURN_SECRET";

/// Prefix of the environment variables with the passwords of DNs.
const PASSWORD_VARIABLE_PREFIX: &str = "TALKBRIDGE_PASSWORD_";

/// One thing wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong and what was expected.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.message)
    }
}

/// Everything that is wrong with a configuration; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(
    /// In the order of their lines.
    pub Vec<ConfigError>,
);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// A configuration that can be run, with all secrets in place.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration. Every `*_file` and environment secret is in the field beside it.
    pub config: Config,
    /// What is legal, but likely not meant.
    pub warnings: Vec<ConfigError>,
}

/// Reads and checks the file at `path`.
///
/// # Errors
///
/// Everything that is wrong, each with its line.
pub fn load(path: &Path, environment: Environment<'_>) -> Result<Loaded, ConfigErrors> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let message = format!("expected a readable configuration file: {error}");
        ConfigErrors(vec![ConfigError {
            file: path.to_owned(),
            line: 1,
            message,
        }])
    })?;
    parse(path, &text, environment)
}

/// Checks the text of a configuration file; `path` names it in errors and is the base of relative paths in it.
///
/// # Errors
///
/// Everything that is wrong, each with its line.
pub fn parse(
    path: &Path,
    text: &str,
    environment: Environment<'_>,
) -> Result<Loaded, ConfigErrors> {
    let mut config: Config = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_at(text, span.start));
        let message = error.message().to_owned();
        ConfigErrors(vec![ConfigError {
            file: path.to_owned(),
            line,
            message,
        }])
    })?;
    let mut findings = Findings {
        file: path,
        text,
        errors: Vec::new(),
        warnings: Vec::new(),
    };
    resolve_paths(&mut config, path.parent().unwrap_or_else(|| Path::new("")));
    resolve_secrets(&mut config, environment, &mut findings);
    validate::validate(&config, &mut findings);
    let Findings {
        mut errors,
        mut warnings,
        ..
    } = findings;
    warnings.sort_by_key(|warning| warning.line);
    if errors.is_empty() {
        return Ok(Loaded { config, warnings });
    }
    errors.sort_by_key(|error| error.line);
    Err(ConfigErrors(errors))
}

/// Collects what is wrong, so that an administrator hears everything at once.
pub(super) struct Findings<'a> {
    file: &'a Path,
    text: &'a str,
    errors: Vec<ConfigError>,
    warnings: Vec<ConfigError>,
}

impl Findings<'_> {
    pub(super) fn error(&mut self, at: &[Step<'_>], message: impl Into<String>) {
        let error = self.finding(at, message.into());
        self.errors.push(error);
    }

    pub(super) fn warning(&mut self, at: &[Step<'_>], message: impl Into<String>) {
        let warning = self.finding(at, message.into());
        self.warnings.push(warning);
    }

    /// Whether the file has the key, so that its value is no default.
    pub(super) fn is_written(&self, at: &[Step<'_>]) -> bool {
        is_written(self.text, at)
    }

    fn finding(&self, at: &[Step<'_>], message: String) -> ConfigError {
        ConfigError {
            file: self.file.to_owned(),
            line: line_of(self.text, at),
            message,
        }
    }
}

/// Relative paths count from the configuration file, not from wherever the process was started.
fn resolve_paths(config: &mut Config, base: &Path) {
    let resolve = |path: &mut PathBuf| *path = base.join(&*path);
    if let Some(tls) = &mut config.sip.tls {
        for path in [
            &mut tls.certificate_file,
            &mut tls.key_file,
            &mut tls.ca_file,
        ] {
            resolve(path);
        }
    }
    let optional = [
        &mut config.http.certificate_file,
        &mut config.http.key_file,
        &mut config.admin.token_file,
        &mut config.cdr.file,
        &mut config.recording.folder,
    ];
    optional.into_iter().flatten().for_each(resolve);
    if let Some(turn) = &mut config.webrtc.turn {
        turn.secret_file.as_mut().into_iter().for_each(resolve);
    }
    for key in &mut config.auth.token_keys {
        [&mut key.secret_file, &mut key.public_key_file]
            .into_iter()
            .flatten()
            .for_each(resolve);
    }
    config
        .agents
        .iter_mut()
        .filter_map(|a| a.password_file.as_mut())
        .for_each(resolve);
}

/// Puts each secret into the field that says it in the clear: written there, from its file, or from the environment, in
/// this order.
fn resolve_secrets(config: &mut Config, environment: Environment<'_>, findings: &mut Findings<'_>) {
    let mut resolve = |secret: &mut Option<SecretString>,
                       file: Option<&Path>,
                       variable: &str,
                       at: &[Step<'_>]| {
        if secret.is_some() && file.is_some() {
            findings.error(
                at,
                "expected the secret itself or a file that holds it, found both",
            );
        } else if let Some(file) = file {
            match read_secret(file) {
                Ok(read) => *secret = Some(read),
                Err(why) => findings.error(at, why),
            }
        } else if secret.is_none() {
            *secret = environment(variable)
                .filter(|v| !v.is_empty())
                .map(SecretString::from);
        }
    };
    let admin = &mut config.admin;
    resolve(
        &mut admin.token,
        admin.token_file.as_deref(),
        ADMIN_TOKEN_VARIABLE,
        &["admin".into(), "token_file".into()],
    );
    if let Some(turn) = &mut config.webrtc.turn {
        resolve(
            &mut turn.secret,
            turn.secret_file.as_deref(),
            TURN_SECRET_VARIABLE,
            &["webrtc".into(), "turn".into(), "secret_file".into()],
        );
    }
    for (index, key) in config.auth.token_keys.iter_mut().enumerate() {
        if key.alg == TokenAlgorithm::Hs256 {
            let at = [
                "auth".into(),
                "token_keys".into(),
                index.into(),
                "secret_file".into(),
            ];
            let file = key.secret_file.as_deref();
            resolve(&mut key.secret, file, TOKEN_SECRET_VARIABLE, &at);
        }
    }
    for (index, agent) in config.agents.iter_mut().enumerate() {
        let variable = password_variable(&agent.dn);
        let at = ["agents".into(), index.into(), "password_file".into()];
        resolve(
            &mut agent.password,
            agent.password_file.as_deref(),
            &variable,
            &at,
        );
    }
}

/// `TALKBRIDGE_PASSWORD_<DN>`, where every character that a variable's name cannot hold is `_`.
fn password_variable(dn: &str) -> String {
    let name = dn
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    PASSWORD_VARIABLE_PREFIX.chars().chain(name).collect()
}

fn read_secret(file: &Path) -> Result<SecretString, String> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        format!(
            "expected a readable file with a secret: {}: {error}",
            file.display()
        )
    })?;
    // Editors and `echo` end a file with a line break that nobody means.
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(format!(
            "expected a secret in {}, found an empty file",
            file.display()
        ));
    }
    Ok(SecretString::from(secret))
}
