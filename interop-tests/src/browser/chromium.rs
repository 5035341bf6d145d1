//! Chromium, driven by WebDriver.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use super::World;
use super::sound::EARS;
use crate::gateway::PAGE_HZ;
use crate::process::Process;
use crate::tone::Sine;
use crate::wait::eventually_some;
use crate::{Result, http};

/// Long enough that no test hears the microphone's file end.
const MICROPHONE_S: u32 = 120;

#[derive(Debug)]
pub(super) struct Chromium {
    pub(super) client: Client,
    driver_at: SocketAddr,
    // After the client, so that the session is gone before its driver.
    _driver: Process,
}

impl Chromium {
    pub(super) async fn launch(dir: &Path, world: &World<'_>) -> Result<Self> {
        let microphone = dir.join("microphone.wav");
        std::fs::write(&microphone, Sine::wav(PAGE_HZ, MICROPHONE_S))?;
        let mut command = world.program("chromedriver", dir)?;
        // The certificates that Chromium trusts are at home.
        command.arg("--port=0").env("HOME", dir);
        let driver = Process::spawn("chromedriver", &mut command, dir)?;
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
            format!("--user-data-dir={}", dir.join("profile").display()),
        ];
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
        };
        browser.gives_ears().await?;
        Ok(browser)
    }

    /// Whatever the current tab opens from now on has ears, and a microphone that is sent as it is. WebDriver has no word for this: the
    /// browser's own protocol has.
    pub(super) async fn gives_ears(&self) -> Result<()> {
        let session = self.client.session_id().await?.ok_or("no session")?;
        let path = format!("/session/{session}/goog/cdp/execute");
        let command = json!({
            "cmd": "Page.addScriptToEvaluateOnNewDocument",
            "params": {"source": EARS},
        });
        let answer = http::post(self.driver_at, &path, &command).await?;
        match answer.status {
            200 => Ok(()),
            _ => Err(answer.body.into()),
        }
    }

    pub(super) async fn run(&self, script: &str, arguments: Vec<Value>) -> Result<Value> {
        Ok(self.client.execute(script, arguments).await?)
    }

    pub(super) async fn click(&self, css: &str) -> Result<()> {
        Ok(self.client.find(Locator::Css(css)).await?.click().await?)
    }

    pub(super) async fn fill(&self, css: &str, text: &str) -> Result<()> {
        let element = self.client.find(Locator::Css(css)).await?;
        element.clear().await?;
        Ok(element.send_keys(text).await?)
    }

    /// Whether any element that matches can be seen.
    pub(super) async fn shows(&self, css: &str) -> Result<bool> {
        for element in self.client.find_all(Locator::Css(css)).await? {
            if element.is_displayed().await.unwrap_or(false) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) async fn text(&self, css: &str) -> Result<String> {
        Ok(self.client.find(Locator::Css(css)).await?.text().await?)
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
