//! Real browsers with a microphone that speaks a tone: Chromium, driven by WebDriver, and Firefox, by its own remote protocol.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fantoccini::Client;
use fantoccini::wd::WindowHandle;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use self::chromium::Chromium;
use self::firefox::Firefox;
use crate::process::output_dir;
use crate::wait::DEADLINE;
use crate::{Gateway, Result};

mod chromium;
mod firefox;
mod sound;

pub use sound::Played;

/// Whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Google's.
    Chromium,
    /// Mozilla's. It speaks to no loopback address.
    Firefox,
}

/// What a browser knows of the world besides what it comes with.
#[derive(Debug, Default)]
pub struct World<'a> {
    /// Who vouches for servers: a certificate, PEM.
    pub authority: Option<&'a Path>,
    /// A name that its machine knows by itself. To give it one takes root.
    pub host: Option<(&'a str, IpAddr)>,
}

impl World<'_> {
    /// A program that runs in it.
    fn program(&self, program: &str, dir: &Path) -> Result<Command> {
        let Some((name, at)) = self.host else {
            return Ok(Command::new(program));
        };
        let hosts = dir.join("hosts");
        std::fs::write(&hosts, format!("127.0.0.1 localhost\n{at} {name}\n"))?;
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c"])
            .arg(r#"mount --bind "$0" /etc/hosts && exec "$@""#)
            .args([hosts.as_os_str(), program.as_ref()]);
        Ok(command)
    }
}

/// A browser with one or more tabs.
#[derive(Debug)]
pub struct Browser {
    driver: Driver,
    dir: TempDir,
}

#[derive(Debug)]
enum Driver {
    Chromium(Chromium),
    Firefox(Firefox),
}

impl Drop for Browser {
    /// Who drives it is killed with its test, and would leave the browser running: a dozen of those choke the machine.
    fn drop(&mut self) {
        signal_everything_of(self.dir.path(), "KILL");
    }
}

/// Signals every process whose command line names this directory, and whatever those have started: the browser, its renderers, its helpers.
fn signal_everything_of(dir: &Path, signal: &str) {
    let dir = dir.to_string_lossy().into_owned();
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return;
    };
    let read = |pid: &str, file: &str| {
        let read = std::fs::read(format!("/proc/{pid}/{file}"));
        String::from_utf8_lossy(&read.unwrap_or_default()).into_owned()
    };
    let (mut all, mut others): (Vec<String>, Vec<String>) = processes
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .partition(|pid| read(pid, "cmdline").contains(&dir));
    loop {
        let (children, rest): (Vec<String>, Vec<String>) = others.into_iter().partition(|pid| {
            // Behind the name, which may hold anything: the state, and then the parent.
            let stat = read(pid, "stat");
            let behind = stat.rsplit(')').next().unwrap_or_default();
            let parent = behind.split_whitespace().nth(1);
            parent.is_some_and(|parent| all.iter().any(|known| known == parent))
        });
        if children.is_empty() {
            break;
        }
        all.extend(children);
        others = rest;
    }
    if !all.is_empty() {
        // A process that has ended meanwhile needs no signal.
        drop(
            std::process::Command::new("kill")
                .arg(format!("-{signal}"))
                .args(all)
                .status(),
        );
    }
}

/// Makes a store of certificates, as both browsers keep them, with an authority that may vouch for servers.
async fn trust(store: &Path, authority: &Path) -> Result<()> {
    std::fs::create_dir_all(store)?;
    let database = format!("sql:{}", store.display());
    let made: &[&str] = &["-N", "--empty-password"];
    let filled: &[&str] = &["-A", "-n", "authority of a test", "-t", "C,,", "-i"];
    for (arguments, file) in [(made, None), (filled, Some(authority))] {
        let mut command = Command::new("certutil");
        command.args(["-d", &database]).args(arguments).args(file);
        let output = command.output().await?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
    }
    Ok(())
}

/// Asks whoever drives the browser.
macro_rules! driver {
    ($browser:expr, $driver:ident => $ask:expr) => {
        match &$browser.driver {
            Driver::Chromium($driver) => $ask,
            Driver::Firefox($driver) => $ask,
        }
    };
}

impl Browser {
    /// Starts Chromium whose microphone speaks [`PAGE_HZ`](crate::gateway::PAGE_HZ).
    ///
    /// # Panics
    /// When chromedriver or Chromium are not installed.
    pub async fn start() -> Self {
        Self::start_of(Engine::Chromium).await
    }

    /// Starts a browser whose microphone speaks [`PAGE_HZ`](crate::gateway::PAGE_HZ).
    ///
    /// # Panics
    /// When it is not installed, or does not come up.
    pub async fn start_of(engine: Engine) -> Self {
        Self::start_in(engine, &World::default()).await
    }

    /// The same in a world of the test's.
    ///
    /// # Panics
    /// When it is not installed, or does not come up.
    pub async fn start_in(engine: Engine, world: &World<'_>) -> Self {
        let started = match engine {
            Engine::Chromium => Self::launch_chromium(world).await,
            Engine::Firefox => Self::launch_firefox(world).await,
        };
        started.unwrap_or_else(|error| panic!("{engine:?} does not start: {error}"))
    }

    /// As [`Self::start`], for callers that report errors.
    ///
    /// # Errors
    /// When chromedriver or Chromium are not installed.
    pub async fn launch() -> Result<Self> {
        Self::launch_chromium(&World::default()).await
    }

    async fn launch_chromium(world: &World<'_>) -> Result<Self> {
        let dir = TempDir::new()?;
        if let Some(authority) = world.authority {
            trust(&dir.path().join(".pki/nssdb"), authority).await?;
        }
        let driver = Driver::Chromium(Chromium::launch(dir.path(), world).await?);
        Ok(Self { driver, dir })
    }

    async fn launch_firefox(world: &World<'_>) -> Result<Self> {
        let dir = TempDir::new()?;
        let profile = dir.path().join("profile");
        std::fs::create_dir(&profile)?;
        if let Some(authority) = world.authority {
            trust(&profile, authority).await?;
        }
        let driver = Driver::Firefox(Firefox::launch(dir.path(), &profile, world).await?);
        Ok(Self { driver, dir })
    }

    /// The machine sleeps: nothing of the browser runs.
    pub fn sleeps(&self) {
        signal_everything_of(self.dir.path(), "STOP");
    }

    /// It wakes up.
    pub fn wakes(&self) {
        signal_everything_of(self.dir.path(), "CONT");
    }

    /// The WebDriver client of Chromium, for its tabs.
    fn client(&self) -> &Client {
        match &self.driver {
            Driver::Chromium(chromium) => &chromium.client,
            Driver::Firefox(_) => panic!("Firefox has one tab here"),
        }
    }

    /// Opens an address in the current tab.
    ///
    /// # Panics
    /// When it cannot be loaded.
    pub async fn open(&self, url: &str) {
        let opened = match &self.driver {
            Driver::Chromium(chromium) => chromium.client.goto(url).await.map_err(Into::into),
            Driver::Firefox(firefox) => firefox.open(url).await,
        };
        opened.unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// Loads the page of the current tab again.
    ///
    /// # Panics
    /// When it cannot be loaded.
    pub async fn reload(&self) {
        let loaded = match &self.driver {
            Driver::Chromium(chromium) => chromium.client.refresh().await.map_err(Into::into),
            Driver::Firefox(firefox) => firefox.reload().await,
        };
        loaded.expect("the page can be loaded again");
    }

    /// Opens the agent page in the current tab.
    ///
    /// # Panics
    /// When it cannot be loaded.
    pub async fn open_agent(&self, agents: SocketAddr) {
        self.open(&format!("http://{agents}/agent")).await;
    }

    /// Opens the agent page in the current tab, and signs an agent in.
    ///
    /// # Panics
    /// When the page is not there, or has no place for her token.
    pub async fn sign_in(&self, agents: SocketAddr, dn: &str) {
        self.open_agent(agents).await;
        self.enter(dn).await;
    }

    /// Signs an agent in on the page that is open.
    ///
    /// # Panics
    /// When it has no place for her token.
    pub async fn enter(&self, dn: &str) {
        self.type_into("#token", &Gateway::token(dn)).await;
        self.click("#sign-in").await;
    }

    /// Opens an address in a new tab, which becomes the current one.
    ///
    /// # Panics
    /// When it cannot be loaded.
    pub async fn open_tab(&self, url: &str) -> WindowHandle {
        let tab = self.client().new_window(true).await;
        let tab = tab.expect("a new tab").handle;
        self.switch(&tab).await;
        if let Driver::Chromium(chromium) = &self.driver {
            chromium.gives_ears().await.expect("the new tab is open");
        }
        self.open(url).await;
        tab
    }

    /// The current tab.
    ///
    /// # Panics
    /// When the browser is gone.
    pub async fn tab(&self) -> WindowHandle {
        self.client().window().await.expect("a tab")
    }

    /// Makes a tab the current one.
    ///
    /// # Panics
    /// When it is gone.
    pub async fn switch(&self, tab: &WindowHandle) {
        let there = self.client().switch_to_window(tab.clone()).await;
        there.expect("the tab is there");
    }

    /// Runs a script in the page.
    ///
    /// # Panics
    /// When it throws.
    pub async fn eval(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.run(script, arguments)
            .await
            .unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    async fn run(&self, script: &str, arguments: Vec<Value>) -> Result<Value> {
        driver!(self, driver => driver.run(script, arguments).await)
    }

    /// Waits until an element that matches is there and can be seen, and clicks it.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn click(&self, css: &str) {
        self.until(&format!("{css} can be clicked"), || async {
            driver!(self, driver => driver.click(css).await).ok()
        })
        .await;
    }

    /// Types into an element.
    ///
    /// # Panics
    /// When there is none.
    pub async fn type_into(&self, css: &str, text: &str) {
        self.until(&format!("{css} can be typed into"), || async {
            driver!(self, driver => driver.fill(css, text).await).ok()
        })
        .await;
    }

    /// Waits until an element that matches is visible.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn sees(&self, css: &str) {
        self.until(&format!("{css} is seen"), || async {
            self.shows(css).await.ok()?.then_some(())
        })
        .await;
    }

    /// Waits until no element that matches is visible.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn sees_no(&self, css: &str) {
        self.until(&format!("{css} is not seen"), || async {
            (!self.shows(css).await.ok()?).then_some(())
        })
        .await;
    }

    async fn shows(&self, css: &str) -> Result<bool> {
        driver!(self, driver => driver.shows(css).await)
    }

    /// Waits until the text of an element holds `part`.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn reads(&self, css: &str, part: &str) {
        self.until(&format!("{css} reads {part:?}"), || async {
            let text = driver!(self, driver => driver.text(css).await).ok()?;
            text.contains(part).then_some(())
        })
        .await;
    }

    /// Waits for a condition of the page; when it does not come about, the panic shows the page.
    async fn until<T, F>(&self, what: &str, mut probe: impl FnMut() -> F) -> T
    where
        F: Future<Output = Option<T>>,
    {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(value) = probe().await {
                return value;
            }
            if Instant::now() > deadline {
                panic!(
                    "{what}: not within {DEADLINE:?}\n{}the page reads:\n{}",
                    self.sounds().await,
                    self.text().await
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What a person reads on the page, with a picture of it in `target/test-output`.
    async fn text(&self) -> String {
        if let (Ok(picture), Ok(dir)) = (self.picture().await, output_dir()) {
            // A lost picture is no reason to fail in another way.
            drop(std::fs::write(dir.join("browser-failed.png"), picture));
        }
        let text = self.run("return document.body.innerText", vec![]).await;
        text.ok()
            .and_then(|text| text.as_str().map(str::to_owned))
            .unwrap_or_default()
    }

    /// Takes a picture of the current tab into `target/test-output/name.png`.
    ///
    /// # Panics
    /// When it is empty.
    pub async fn screenshot(&self, name: &str) -> PathBuf {
        let picture = self.picture().await.expect("a picture");
        assert!(
            picture.starts_with(b"\x89PNG") && picture.len() > 5_000,
            "an empty picture"
        );
        let file = output_dir()
            .expect("target can be written")
            .join(name)
            .with_extension("png");
        std::fs::write(&file, picture).expect("target can be written");
        file
    }

    /// Chromium's; Firefox shows its text.
    async fn picture(&self) -> Result<Vec<u8>> {
        match &self.driver {
            Driver::Chromium(chromium) => Ok(chromium.client.screenshot().await?),
            Driver::Firefox(_) => Err("no pictures of Firefox".into()),
        }
    }

    /// Ends the browser.
    pub async fn close(self) {
        // What does not go by itself goes when this is dropped.
        if let Driver::Chromium(chromium) = &self.driver {
            drop(chromium.client.clone().close().await);
        }
    }
}
