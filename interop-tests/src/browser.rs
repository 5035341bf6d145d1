//! A real Chromium with a microphone that speaks a tone, driven by WebDriver.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fantoccini::wd::WindowHandle;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::process::{Process, output_dir};
use crate::tone::Sine;
use crate::wait::{DEADLINE, eventually_some};
use crate::{Gateway, Result, gateway::PAGE_HZ};

mod sound;

/// Long enough that no test hears the microphone's file end.
const MICROPHONE_S: u32 = 120;

/// A browser with one or more tabs.
#[derive(Debug)]
pub struct Chromium {
    client: Client,
    driver_at: SocketAddr,
    // After the client, so that the session is gone before its driver.
    _driver: Process,
    dir: TempDir,
}

impl Drop for Chromium {
    /// chromedriver is killed with its test, and would leave the browser running: a dozen of those choke the machine.
    fn drop(&mut self) {
        kill_everything_of(self.dir.path());
    }
}

/// Ends every process whose command line names this directory: the browser, its renderers, its helpers.
pub(crate) fn kill_everything_of(dir: &std::path::Path) {
    signal_everything_of(dir, "KILL");
}

fn signal_everything_of(dir: &std::path::Path, signal: &str) {
    let dir = dir.to_string_lossy().into_owned();
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return;
    };
    let all: Vec<String> = processes
        .flatten()
        .filter(|entry| {
            std::fs::read(entry.path().join("cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&dir))
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
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

impl Chromium {
    /// Starts Chromium whose microphone speaks [`PAGE_HZ`].
    ///
    /// # Panics
    /// When chromedriver or Chromium are not installed.
    pub async fn start() -> Self {
        Self::launch()
            .await
            .expect("chromedriver and Chromium start")
    }

    /// As [`Self::start`], for callers that report errors.
    ///
    /// # Errors
    /// When chromedriver or Chromium are not installed.
    pub async fn launch() -> Result<Self> {
        Self::launch_with(&[]).await
    }

    /// As [`Self::start`], for tests whose servers have certificates that no browser trusts.
    ///
    /// # Panics
    /// When chromedriver or Chromium are not installed.
    pub async fn trusting_everybody() -> Self {
        let browser = Self::launch_with(&["--ignore-certificate-errors"]).await;
        browser.expect("chromedriver and Chromium start")
    }

    async fn launch_with(more: &[&str]) -> Result<Self> {
        let dir = TempDir::new()?;
        let microphone = dir.path().join("microphone.wav");
        std::fs::write(&microphone, Sine::wav(PAGE_HZ, MICROPHONE_S))?;
        let mut command = Command::new("chromedriver");
        command.arg("--port=0");
        let driver = Process::spawn("chromedriver", &mut command, dir.path())?;
        let driver_at = SocketAddr::from(([127, 0, 0, 1], driver_port(&driver).await?));
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--use-fake-ui-for-media-stream".to_owned(),
            "--use-fake-device-for-media-stream".to_owned(),
            format!("--use-file-for-fake-audio-capture={}", microphone.display()),
            "--autoplay-policy=no-user-gesture-required".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            // Tabs in the background must go on as if they were in front.
            "--disable-background-timer-throttling".to_owned(),
            "--disable-renderer-backgrounding".to_owned(),
            "--no-first-run".to_owned(),
            "--window-size=1000,800".to_owned(),
            format!("--user-data-dir={}", dir.path().join("profile").display()),
        ];
        let more = more.iter().map(|argument| (*argument).to_owned());
        let arguments: Vec<String> = arguments.into_iter().chain(more).collect();
        let mut capabilities = serde_json::Map::new();
        capabilities.insert("browserName".to_owned(), json!("chrome"));
        capabilities.insert("goog:chromeOptions".to_owned(), json!({"args": arguments}));
        capabilities.insert("goog:loggingPrefs".to_owned(), json!({"browser": "ALL"}));
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://{driver_at}"))
            .await?;
        let browser = Self {
            client,
            driver_at,
            _driver: driver,
            dir,
        };
        browser.gives_ears().await?;
        Ok(browser)
    }

    /// The machine sleeps: nothing of the browser runs.
    pub fn sleeps(&self) {
        signal_everything_of(self.dir.path(), "STOP");
    }

    /// It wakes up.
    pub fn wakes(&self) {
        signal_everything_of(self.dir.path(), "CONT");
    }

    /// The WebDriver client, for what is not below.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Opens an address in the current tab.
    ///
    /// # Panics
    /// When it cannot be loaded.
    pub async fn open(&self, url: &str) {
        self.client
            .goto(url)
            .await
            .unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// Opens the agent page in the current tab, and signs an agent in.
    ///
    /// # Panics
    /// When the page is not there, or has no place for her token.
    pub async fn sign_in(&self, agents: SocketAddr, dn: &str) {
        self.open(&format!("http://{agents}/agent")).await;
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
        let tab = self
            .client
            .new_window(true)
            .await
            .expect("a new tab")
            .handle;
        self.client
            .switch_to_window(tab.clone())
            .await
            .expect("the new tab is there");
        self.gives_ears().await.expect("the new tab is open");
        self.open(url).await;
        tab
    }

    /// The current tab.
    ///
    /// # Panics
    /// When the browser is gone.
    pub async fn tab(&self) -> WindowHandle {
        self.client.window().await.expect("a tab")
    }

    /// Makes a tab the current one.
    ///
    /// # Panics
    /// When it is gone.
    pub async fn switch(&self, tab: &WindowHandle) {
        self.client
            .switch_to_window(tab.clone())
            .await
            .expect("the tab is there");
    }

    /// Runs a script in the page.
    ///
    /// # Panics
    /// When it throws.
    pub async fn eval(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.client
            .execute(script, arguments)
            .await
            .unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Waits until an element that matches is there and can be seen, and clicks it.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn click(&self, css: &str) {
        self.until(&format!("{css} can be clicked"), || async {
            let element = self.client.find(Locator::Css(css)).await.ok()?;
            element.click().await.ok()
        })
        .await;
    }

    /// Types into an element.
    ///
    /// # Panics
    /// When there is none.
    pub async fn type_into(&self, css: &str, text: &str) {
        self.until(&format!("{css} can be typed into"), || async {
            let element = self.client.find(Locator::Css(css)).await.ok()?;
            element.clear().await.ok()?;
            element.send_keys(text).await.ok()
        })
        .await;
    }

    /// Waits until an element that matches is visible.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn sees(&self, css: &str) {
        self.until(&format!("{css} is seen"), || async {
            let element = self.client.find(Locator::Css(css)).await.ok()?;
            element.is_displayed().await.ok()?.then_some(())
        })
        .await;
    }

    /// Waits until no element that matches is visible.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn sees_no(&self, css: &str) {
        self.until(&format!("{css} is not seen"), || async {
            for element in self.client.find_all(Locator::Css(css)).await.ok()? {
                if element.is_displayed().await.unwrap_or(false) {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }

    /// Waits until the text of an element holds `part`.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn reads(&self, css: &str, part: &str) {
        self.until(&format!("{css} reads {part:?}"), || async {
            let element = self.client.find(Locator::Css(css)).await.ok()?;
            element.text().await.ok()?.contains(part).then_some(())
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
        if let (Ok(picture), Ok(dir)) = (self.client.screenshot().await, output_dir()) {
            // A lost picture is no reason to fail in another way.
            drop(std::fs::write(dir.join("browser-failed.png"), picture));
        }
        let text = self
            .client
            .execute("return document.body.innerText", Vec::new())
            .await;
        text.ok()
            .and_then(|text| text.as_str().map(str::to_owned))
            .unwrap_or_default()
    }

    /// Takes a picture of the current tab into `target/test-output/name.png`.
    ///
    /// # Panics
    /// When it is empty.
    pub async fn screenshot(&self, name: &str) -> PathBuf {
        let picture = self.client.screenshot().await.expect("a picture");
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

    /// Ends the browser.
    pub async fn close(self) {
        // What does not go by itself goes when this is dropped.
        drop(self.client.clone().close().await);
    }
}

async fn driver_port(driver: &Process) -> Result<u16> {
    const STARTED: &str = "started successfully on port ";
    let port = eventually_some("chromedriver names its port", || {
        let output = driver.output();
        let rest = output.split(STARTED).nth(1)?;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        (digits.len() < rest.len()).then_some(digits)
    });
    Ok(tokio::time::timeout(Duration::from_secs(20), port)
        .await?
        .parse()?)
}
