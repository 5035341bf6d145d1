//! A real Firefox with a microphone that speaks a tone, driven by its own remote protocol (Marionette): JSON over TCP, each message behind its
//! length in digits and a colon.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::gateway::PAGE_HZ;
use crate::process::Process;
use crate::wait::{eventually_async, eventually_some};
use crate::{Result, browser};

/// Longest message that is believed to be one.
const MESSAGE_MAX: usize = 1024 * 1024;

/// A browser with one tab.
#[derive(Debug)]
pub struct Firefox {
    line: Mutex<Line>,
    // After the line, so that nobody speaks to a browser that is gone.
    _process: Process,
    dir: TempDir,
}

#[derive(Debug)]
struct Line {
    stream: TcpStream,
    last: u64,
}

impl Drop for Firefox {
    /// The process that was started is only the first of many.
    fn drop(&mut self) {
        browser::kill_everything_of(self.dir.path());
    }
}

impl Firefox {
    /// Starts Firefox whose microphone speaks [`PAGE_HZ`].
    ///
    /// # Panics
    /// When it is not installed or does not come up.
    pub async fn start() -> Self {
        Self::launch().await.expect("Firefox starts")
    }

    async fn launch() -> Result<Self> {
        let dir = TempDir::new()?;
        let profile = dir.path().join("profile");
        std::fs::create_dir(&profile)?;
        std::fs::write(profile.join("user.js"), preferences())?;
        let mut command = Command::new("firefox-esr");
        command
            .args(["--headless", "--marionette", "--no-remote", "--profile"])
            .arg(&profile)
            .env("HOME", dir.path());
        let process = Process::spawn("firefox", &mut command, dir.path())?;
        let port = eventually_some("Firefox says its port", || port(&profile)).await;
        let stream = eventually_async("Firefox listens", || async {
            TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        let firefox = Self {
            line: Mutex::new(Line { stream, last: 0 }),
            _process: process,
            dir,
        };
        // Its greeting.
        firefox.line.lock().await.read().await?;
        let session = json!({"capabilities": {"alwaysMatch": {"acceptInsecureCerts": true}}});
        firefox.command("WebDriver:NewSession", session).await?;
        Ok(firefox)
    }

    async fn command(&self, name: &str, parameters: Value) -> Result<Value> {
        self.line.lock().await.command(name, parameters).await
    }

    /// Opens an address.
    ///
    /// # Panics
    /// When it cannot be loaded.
    pub async fn open(&self, url: &str) {
        let opened = self.command("WebDriver:Navigate", json!({"url": url}));
        opened
            .await
            .unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// Runs a script in the page, and waits for what it promises.
    ///
    /// # Panics
    /// When it throws.
    pub async fn eval(&self, script: &str) -> Value {
        let run = json!({"script": script, "args": [], "scriptTimeout": 10_000});
        let result = self.command("WebDriver:ExecuteScript", run).await;
        let result = result.unwrap_or_else(|error| panic!("{script}: {error}"));
        result["value"].clone()
    }

    /// Waits until a script gives true.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn until(&self, script: &str) {
        eventually_async(script, || async {
            (self.eval(script).await == true).then_some(())
        })
        .await;
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
