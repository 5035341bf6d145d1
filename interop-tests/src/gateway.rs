//! The gateway under test: the real binary with a configuration of its own.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::http::{self, Answer};
use crate::page::PageOptions;
use crate::process::{Process, binary, show_on_failure};
use crate::wait::{eventually_async, eventually_some};
use crate::{ControlGroup, HostClock, Result, Site};

/// The key that signs the tests' tokens.
const TOKEN_SECRET: &str = "a secret of the tests, 32 octets+";

/// Long enough for any test.
const TOKEN_LIFE_S: u64 = 3600;

/// What the page's microphone says unless a test wants otherwise.
pub const PAGE_HZ: u32 = 660;

/// A running talkbridge.
#[derive(Debug)]
pub struct Gateway {
    process: Process,
    dir: TempDir,
    agents: SocketAddr,
    admin: SocketAddr,
    browsers: IpAddr,
}

impl Drop for Gateway {
    /// A failed test tells what the gateway thinks of its calls: states, packets, the browser's own statistics.
    fn drop(&mut self) {
        show_on_failure("talkbridge's calls", || {
            http::last_look(self.admin, "/api/v1/calls")
        });
    }
}

/// Counts the times that the configuration was read again.
const RELOADS: &str = "talkbridge_config_reload_total";

impl Gateway {
    /// Starts it for the DNs 1002 and 1003 and waits until it says that it is ready.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start(site: &Site) -> Self {
        Self::start_with(site, |_| {}).await
    }

    /// The same with changes to the configuration, which has the shape of the TOML file.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start_with(site: &Site, change: impl FnOnce(&mut Value)) -> Self {
        let program = binary("talkbridge").expect("talkbridge is built");
        Self::start_program(&program, site, change).await
    }

    /// The same with another build of it.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start_program(
        program: &Path,
        site: &Site,
        change: impl FnOnce(&mut Value),
    ) -> Self {
        Self::start_by(Command::new(program), site, change).await
    }

    /// The same on a host whose clock is the test's. One that is killed leaves a few octets of libfaketime in the shared memory of the machine.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start_by_clock(
        clock: &HostClock,
        site: &Site,
        change: impl FnOnce(&mut Value),
    ) -> Self {
        let mut command = Command::new(binary("talkbridge").expect("talkbridge is built"));
        clock.rules(&mut command);
        Self::start_by(command, site, change).await
    }

    /// The same in a control group of the test's own.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start_in(
        group: &ControlGroup,
        site: &Site,
        change: impl FnOnce(&mut Value),
    ) -> Self {
        let command = group.command(&binary("talkbridge").expect("talkbridge is built"));
        Self::start_by(command, site, change).await
    }

    async fn start_by(command: Command, site: &Site, change: impl FnOnce(&mut Value)) -> Self {
        let mut config = configuration(site);
        change(&mut config);
        let gateway = Self::spawn(command, site, &config).expect("talkbridge starts");
        gateway.ready().await;
        gateway
    }

    /// The same without waiting for it: it cannot be ready yet.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_unready(site: &Site, change: impl FnOnce(&mut Value)) -> Self {
        let program = binary("talkbridge").expect("talkbridge is built");
        let mut config = configuration(site);
        change(&mut config);
        Self::spawn(Command::new(program), site, &config).expect("talkbridge starts")
    }

    fn spawn(mut command: Command, site: &Site, config: &Value) -> Result<Self> {
        let dir = TempDir::new()?;
        let file = dir.path().join("talkbridge.toml");
        std::fs::write(&file, toml::to_string(config)?)?;
        command.arg("run").arg("--config").arg(&file);
        Ok(Self {
            process: Process::spawn("talkbridge", &mut command, dir.path())?,
            dir,
            agents: address(config, "http")?,
            admin: address(config, "admin")?,
            browsers: site.browsers(),
        })
    }

    /// Waits until it says that it is ready.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn ready(&self) {
        eventually_async("talkbridge is ready", || async {
            let answer = http::get(self.admin, "/readyz").await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await;
    }

    /// Where the pages connect.
    pub fn agents(&self) -> SocketAddr {
        self.agents
    }

    /// Where the administrators connect.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The configuration file it runs with.
    pub fn config_file(&self) -> std::path::PathBuf {
        self.dir.path().join("talkbridge.toml")
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.process.output()
    }

    /// Waits until its log has a line with all of these words, and returns the line: lines are written some milliseconds after what they tell of.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn logs(&self, words: &[&str]) -> String {
        eventually_some(&format!("the log has a line with {words:?}"), || {
            let log = self.log();
            let all = |line: &&str| words.iter().all(|word| line.contains(word));
            log.lines().find(all).map(str::to_owned)
        })
        .await
    }

    /// The process, to look at it or to end it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Ends it as an operator would (SIGTERM), and waits until it has cleaned up after itself.
    ///
    /// # Panics
    /// When it does not end well.
    pub async fn ends(mut self) {
        let asked = self.process.terminate().await;
        asked.expect("kill is a program of every system");
        let status = self.process.wait().await.expect("it is a child of ours");
        assert!(status.success(), "talkbridge: {status}");
    }

    /// Asks it to read its configuration again (SIGHUP), and waits until it has.
    ///
    /// # Panics
    /// When it does not.
    pub async fn reload(&self) {
        self.reload_comes_to("ok").await;
    }

    /// The same for a file that it takes (`ok`) or does not (`failed`).
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn reload_comes_to(&self, result: &str) {
        let before = self.metric(RELOADS, result).await;
        let asked = self.process.signal("HUP").await;
        asked.expect("kill is a program of every system");
        self.metric_is(RELOADS, result, before + 1.0).await;
    }

    /// A token for `dn`, as the site's own login service would sign it.
    pub fn token(dn: &str) -> String {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        Self::token_until(dn, now + TOKEN_LIFE_S)
    }

    /// One that was good until the seventies.
    pub fn expired_token(dn: &str) -> String {
        Self::token_until(dn, TOKEN_LIFE_S)
    }

    fn token_until(dn: &str, exp: u64) -> String {
        let claims = json!({"sub": dn, "exp": exp});
        let key = EncodingKey::from_secret(TOKEN_SECRET.as_bytes());
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
            .expect("HS256 signs any claims")
    }

    /// What a page of `dn` is told at birth.
    pub fn page(&self, dn: &str) -> PageOptions {
        PageOptions {
            gateway: self.agents,
            local: self.browsers,
            token: Self::token(dn),
            resume: None,
            tone_hz: PAGE_HZ,
            sentence: false,
            opus: false,
            port: 0,
            by_tcp: None,
            active: false,
            misnamed: false,
            answer: false,
        }
    }

    /// `GET` on the admin listener.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn get(&self, path: &str) -> Answer {
        http::get(self.admin, path)
            .await
            .expect("the admin listener answers")
    }

    /// `POST` on the admin listener.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        http::post(self.admin, path, body)
            .await
            .expect("the admin listener answers")
    }

    /// The sum of a metric over all its labels that hold `labels`; 0 while it was never counted.
    ///
    /// # Panics
    /// When the admin listener does not answer.
    pub async fn metric(&self, name: &str, labels: &str) -> f64 {
        let page = self.get("/metrics").await.body;
        page.lines()
            .filter_map(|line| line.strip_prefix(name))
            .filter(|rest| rest.starts_with(['{', ' ']) && rest.contains(labels))
            .filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Waits until a metric has a value.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn metric_is(&self, name: &str, labels: &str, value: f64) {
        eventually_async(&format!("{name}{{{labels}}} is {value}"), || async {
            let is = self.metric(name, labels).await;
            ((is - value).abs() < 0.5).then_some(())
        })
        .await;
    }
}

/// The configuration of a deployment as small as it can be, on the addresses of `site`. It refuses no call because the machine has too much
/// to do: that is for the sake of calls that people talk on, and here it would be for what other tests do.
pub fn configuration(site: &Site) -> Value {
    let us = site.gateway();
    let mut config = json!({
        "sip": {
            "listen": [format!("udp:{us}:5060"), format!("tcp:{us}:5060")],
            "advertise": us,
            "servers": [site.server_sip()],
        },
        "webrtc": {"listen": format!("{us}:40000"), "advertise": [us]},
        "media": {"address": us, "ports": "16384-16483", "workers": 1, "quarantine_s": 1},
        "http": {"listen": format!("{us}:8080")},
        "admin": {"listen": site.admin()},
        "auth": {"token_keys": [{"alg": "HS256", "secret": TOKEN_SECRET}]},
        "log": {"level": "debug"},
        "agents": [{"dn": "1002"}, {"dn": "1003"}],
    });
    refuse_nobody(&mut config);
    config
}

/// No media worker refuses calls, however much it has to do.
pub fn refuse_nobody(config: &mut Value) {
    config["limits"]["media_busy_percent"] = json!(100);
    config["limits"]["media_late_percent"] = json!(100);
}

fn address(config: &Value, section: &str) -> Result<SocketAddr> {
    let listen = config[section]["listen"]
        .as_str()
        .ok_or("listen is a string")?;
    Ok(listen.parse()?)
}

/// Runs `talkbridge` with `arguments` to its end: exit code and output.
///
/// # Errors
/// When it cannot be started.
pub async fn talkbridge(arguments: &[&str], dir: &Path) -> Result<(Option<i32>, String)> {
    let mut command = Command::new(binary("talkbridge")?);
    command.args(arguments);
    let mut process = Process::spawn("talkbridge-command", &mut command, dir)?;
    let status = process.wait().await?;
    Ok((status.code(), process.output()))
}
