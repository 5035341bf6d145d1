//! Firefox, driven by its own remote protocol (Marionette): JSON over TCP, each message behind its length in digits and a colon.

use std::path::Path;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::World;
use super::sound::EARS;
use crate::Result;
use crate::gateway::PAGE_HZ;
use crate::process::Process;
use crate::wait::{DEADLINE, eventually_async, eventually_some};

/// Longest message that is believed to be one.
const MESSAGE_MAX: usize = 1024 * 1024;

/// By which name the protocol hands elements over (WebDriver, section 11).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

#[derive(Debug)]
pub(super) struct Firefox {
    line: Mutex<Line>,
    // After the line, so that nobody speaks to a browser that is gone.
    _process: Process,
}

#[derive(Debug)]
struct Line {
    stream: TcpStream,
    last: u64,
}

impl Firefox {
    pub(super) async fn launch(dir: &Path, profile: &Path, world: &World<'_>) -> Result<Self> {
        std::fs::write(profile.join("user.js"), preferences())?;
        let mut command = world.program("firefox-esr", dir)?;
        command
            .args(["--headless", "--marionette", "--no-remote", "--profile"])
            .arg(profile)
            .env("HOME", dir);
        let process = Process::spawn("firefox", &mut command, dir)?;
        let port = eventually_some("Firefox says its port", || port(profile)).await;
        let stream = eventually_async("Firefox listens", || async {
            TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        let firefox = Self {
            line: Mutex::new(Line { stream, last: 0 }),
            _process: process,
        };
        // Its greeting.
        firefox.line.lock().await.read().await?;
        let session = json!({"capabilities": {"alwaysMatch": {"acceptInsecureCerts": true}}});
        firefox.command("WebDriver:NewSession", session).await?;
        Ok(firefox)
    }

    async fn command(&self, name: &str, parameters: Value) -> Result<Value> {
        let mut line = self.line.lock().await;
        let answer = tokio::time::timeout(DEADLINE, line.command(name, parameters)).await;
        answer.map_err(|_| format!("Firefox does not answer {name}"))?
    }

    pub(super) async fn open(&self, url: &str) -> Result<()> {
        self.command("WebDriver:Navigate", json!({"url": url}))
            .await?;
        self.gives_ears().await
    }

    pub(super) async fn reload(&self) -> Result<()> {
        self.command("WebDriver:Refresh", json!({})).await?;
        self.gives_ears().await
    }

    /// The page that is open gets ears.
    async fn gives_ears(&self) -> Result<()> {
        self.run(EARS, vec![]).await.map(drop)
    }

    /// Runs a script in the page, and waits for what it promises.
    pub(super) async fn run(&self, script: &str, arguments: Vec<Value>) -> Result<Value> {
        // Not in a sandbox of its own: the page's objects are what tests look at.
        let run =
            json!({"script": script, "args": arguments, "scriptTimeout": 10_000, "sandbox": null});
        let mut result = self.command("WebDriver:ExecuteScript", run).await?;
        Ok(result["value"].take())
    }

    /// Elements that match.
    async fn find(&self, css: &str) -> Result<Vec<Value>> {
        let find = json!({"using": "css selector", "value": css});
        let found = self.command("WebDriver:FindElements", find).await?;
        let found = found.as_array().cloned().unwrap_or_default();
        Ok(found
            .into_iter()
            .map(|mut found| found[ELEMENT].take())
            .collect())
    }

    /// Does something with the first element that matches.
    async fn with_first(&self, css: &str, command: &str, text: Option<&str>) -> Result<Value> {
        let found = self.find(css).await?;
        let id = found.first().ok_or_else(|| format!("no {css}"))?;
        let mut parameters = json!({"id": id});
        if let Some(text) = text {
            parameters["text"] = json!(text);
        }
        self.command(command, parameters).await
    }

    pub(super) async fn click(&self, css: &str) -> Result<()> {
        let clicked = self.with_first(css, "WebDriver:ElementClick", None).await;
        clicked.map(drop)
    }

    pub(super) async fn fill(&self, css: &str, text: &str) -> Result<()> {
        self.with_first(css, "WebDriver:ElementClear", None).await?;
        let typed = self.with_first(css, "WebDriver:ElementSendKeys", Some(text));
        typed.await.map(drop)
    }

    /// Whether any element that matches can be seen.
    pub(super) async fn shows(&self, css: &str) -> Result<bool> {
        for id in self.find(css).await? {
            let shown = self.command("WebDriver:IsElementDisplayed", json!({"id": id}));
            if shown.await.is_ok_and(|shown| shown["value"] == true) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) async fn text(&self, css: &str) -> Result<String> {
        let text = self
            .with_first(css, "WebDriver:GetElementText", None)
            .await?;
        let text = text["value"].as_str().ok_or("an element without a text")?;
        Ok(text.to_owned())
    }
}

impl Line {
    async fn command(&mut self, name: &str, parameters: Value) -> Result<Value> {
        self.last += 1;
        let message = json!([0, self.last, name, parameters]).to_string();
        let framed = format!("{}:{message}", message.len());
        self.stream.write_all(framed.as_bytes()).await?;
        loop {
            let answer = self.read().await?;
            if answer[0] == 1 && answer[1] == self.last {
                return match &answer[2] {
                    Value::Null => Ok(answer[3].clone()),
                    error => Err(error.to_string().into()),
                };
            }
        }
    }

    async fn read(&mut self) -> Result<Value> {
        let mut length = 0;
        loop {
            match self.stream.read_u8().await? {
                b':' => break,
                digit @ b'0'..=b'9' => length = length * 10 + usize::from(digit - b'0'),
                other => return Err(format!("no length: {other}").into()),
            }
            if length > MESSAGE_MAX {
                return Err("a message that is too long".into());
            }
        }
        let mut text = vec![0; length];
        self.stream.read_exact(&mut text).await?;
        Ok(serde_json::from_slice(&text)?)
    }
}

/// The port that it has chosen.
fn port(profile: &Path) -> Option<u16> {
    let text = std::fs::read_to_string(profile.join("MarionetteActivePort")).ok()?;
    text.trim().parse().ok()
}

/// A microphone that needs no permission and speaks a tone, and as little as possible of what a browser does by itself.
fn preferences() -> String {
    let all = [
        ("marionette.port", json!(0)),
        ("media.navigator.streams.fake", json!(true)),
        ("media.navigator.permission.disabled", json!(true)),
        ("media.navigator.audio.fake_frequency", json!(PAGE_HZ)),
        // As for a page that was given a real microphone: its addresses are no secret.
        (
            "media.peerconnection.ice.obfuscate_host_addresses",
            json!(false),
        ),
        ("media.autoplay.default", json!(0)),
        ("media.autoplay.blocking_policy", json!(0)),
        ("browser.shell.checkDefaultBrowser", json!(false)),
        ("browser.startup.page", json!(0)),
        ("datareporting.policy.dataSubmissionEnabled", json!(false)),
        ("toolkit.telemetry.reportingpolicy.firstRun", json!(false)),
        ("app.update.enabled", json!(false)),
        ("network.captive-portal-service.enabled", json!(false)),
        ("network.connectivity-service.enabled", json!(false)),
    ];
    let line = |(name, value): &(&str, Value)| format!("user_pref(\"{name}\", {value});\n");
    all.iter().map(line).collect()
}
