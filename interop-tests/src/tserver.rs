//! The simulated SIP Server behind its sockets, as a process.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::customer::CUSTOMER_HZ;
use crate::http::{self, Answer};
use crate::process::{Process, binary, show_on_failure};
use crate::wait::{eventually_async, lastingly};
use crate::{Host, Result, Site};

/// How long an agent waits before the next click on the same button: longer than a request that is lost twice takes.
const CLICK_AGAIN: Duration = Duration::from_secs(3);

/// A running tserver-sim at the site's SIP Server address.
#[derive(Debug)]
pub struct TserverSim {
    _process: Process,
    _dir: TempDir,
    http: SocketAddr,
}

impl Drop for TserverSim {
    /// A failed test tells what SIP Server thinks of its calls: parties, descriptions, what customers hear.
    fn drop(&mut self) {
        show_on_failure("tserver-sim's calls", || {
            http::last_look(self.http, "/sim/calls")
        });
    }
}

impl TserverSim {
    /// Starts it with the DNs 1002 and 1003 and customers who speak a tone.
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
        let command = Command::new(binary("tserver-sim").expect("it is built"));
        Self::start_by(command, site, change).await
    }

    /// The same at another host, which has its addresses.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start_at(host: &Host, site: &Site, change: impl FnOnce(&mut Value)) -> Self {
        let program = binary("tserver-sim").expect("it is built");
        Self::start_by(host.program(&program), site, change).await
    }

    async fn start_by(command: Command, site: &Site, change: impl FnOnce(&mut Value)) -> Self {
        let mut config = configuration(site);
        change(&mut config);
        let sim = Self::spawn(command, &config).expect("tserver-sim starts");
        eventually_async("tserver-sim is ready", || async {
            http::get(sim.http, "/sim/ready").await.ok()
        })
        .await;
        sim
    }

    fn spawn(mut command: Command, config: &Value) -> Result<Self> {
        let dir = TempDir::new()?;
        let file = dir.path().join("tserver-sim.toml");
        std::fs::write(&file, toml::to_string(config)?)?;
        command.arg("--config").arg(&file);
        let http = config["http"]["listen"]
            .as_str()
            .unwrap_or_default()
            .parse()?;
        Ok(Self {
            _process: Process::spawn("tserver-sim", &mut command, dir.path())?,
            _dir: dir,
            http,
        })
    }

    /// Where its HTTP is: the desk, the desktop's API and the controls of tests.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// A customer calls a DN; returns the call's id, which is its CallUUID.
    ///
    /// # Panics
    /// When the simulator refuses.
    pub async fn customer_calls(&self, from: &str, to: &str) -> String {
        let answer = self
            .post("/sim/calls", &json!({"from": from, "to": to}))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["id"].as_str().unwrap_or_default().to_owned()
    }

    /// A DN's desktop dials; returns the call's id.
    ///
    /// # Panics
    /// When the simulator refuses.
    pub async fn dials(&self, dn: &str, number: &str) -> String {
        let body = json!({"operationName": "Dial", "destination": {"phoneNumber": number}});
        let answer = self
            .post(&format!("/api/v2/me/devices/{dn}/calls"), &body)
            .await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["id"].as_str().unwrap_or_default().to_owned()
    }

    /// A click on the desktop: `Answer`, `Hold`, `Retrieve`, `Hangup`. The page may ring, and the customer be heard, before the desk knows: nobody
    /// could click then, and the click is repeated.
    ///
    /// # Panics
    /// When the simulator refuses.
    pub async fn operate(&self, call: &str, operation: &str) {
        let body = json!({"operationName": operation});
        let path = format!("/api/v2/me/calls/{call}");
        let answer = eventually_async(&format!("the desk shows {operation}"), || async {
            let answer = self.post(&path, &body).await;
            let early = answer.status == 409 && answer.body.contains("invalid call state");
            (!early).then_some(answer)
        })
        .await;
        assert_eq!(answer.status, 200, "{operation}: {}", answer.body);
    }

    /// Waits until SIP Server sees a call of a DN in `state` (`Ringing`, `Established`, ...).
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn sees(&self, dn: &str, call: &str, state: &str) {
        eventually_async(&format!("SIP Server sees {dn} {state}"), || async {
            self.is(dn, call, state).await.then_some(())
        })
        .await;
    }

    /// Clicks, and clicks again as an agent does whose click came to nothing, until SIP Server sees the call in `state`. On a wire that
    /// loses packets a NOTIFY may be overtaken by a later request of its dialog: then it is refused (RFC 3261 section 12.2.2).
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn brings(&self, dn: &str, call: &str, operation: &str, state: &str) {
        let clicked = Cell::new(None::<Instant>);
        let path = format!("/api/v2/me/calls/{call}");
        eventually_async(&format!("{operation} brings {dn} {state}"), || async {
            if self.is(dn, call, state).await {
                return Some(());
            }
            if clicked.get().is_none_or(|at| at.elapsed() >= CLICK_AGAIN) {
                // What is refused has come too early or too late: its state is looked at again.
                let answer = self.post(&path, &json!({"operationName": operation})).await;
                if answer.status == 200 {
                    clicked.set(Some(Instant::now()));
                }
            }
            None
        })
        .await;
    }

    async fn is(&self, dn: &str, call: &str, state: &str) -> bool {
        let calls = self.get(&format!("/api/v2/me/calls?dn={dn}")).await.json();
        let found = calls["calls"]
            .as_array()
            .and_then(|calls| calls.iter().find(|one| one["id"] == call));
        found.is_some_and(|call| call["state"] == state)
    }

    /// Waits until the call is over for SIP Server.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn released(&self, dn: &str, call: &str) {
        eventually_async(&format!("SIP Server has released {call}"), || async {
            let calls = self.get(&format!("/api/v2/me/calls?dn={dn}")).await.json();
            let calls = calls["calls"].as_array()?;
            (!calls.iter().any(|one| one["id"] == call)).then_some(())
        })
        .await;
    }

    /// Waits until the customer of a call hears a tone of `hz`.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn customer_hears(&self, call: &str, hz: u32) {
        eventually_async(&format!("the customer hears {hz} Hz"), || async {
            let heard = self.report(call).await["heard_hz"].as_f64()?;
            ((heard - f64::from(hz)).abs() < 15.0).then_some(())
        })
        .await;
    }

    /// Waits until the customer of a call hears nothing.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn customer_hears_nothing(&self, call: &str) {
        lastingly("the customer hears nothing", || async {
            let report = self.report(call).await;
            report["heard_hz"].is_null() && report["rms"].as_f64().unwrap_or(0.0) < 100.0
        })
        .await;
    }

    /// What the simulator knows of a call and its customers.
    pub async fn report(&self, call: &str) -> Value {
        self.get(&format!("/sim/calls/{call}")).await.json()
    }

    /// Whether a DN is registered.
    pub async fn registered(&self, dn: &str) -> bool {
        let all = self.get("/sim/registrations").await.json();
        let all = all["registrations"].as_array().cloned().unwrap_or_default();
        all.iter().any(|one| one["dn"] == dn)
    }

    /// `GET`.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn get(&self, path: &str) -> Answer {
        http::get(self.http, path)
            .await
            .expect("tserver-sim answers")
    }

    /// `POST`.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        http::post(self.http, path, body)
            .await
            .expect("tserver-sim answers")
    }
}

/// A SIP Server as small as it can be, on the addresses of `site`.
pub fn configuration(site: &Site) -> Value {
    let us = site.sip_server();
    json!({
        "sip": {"listen": [format!("udp:{us}:5060"), format!("tcp:{us}:5060")]},
        "http": {"listen": format!("{us}:8090")},
        "media": {"address": site.media(), "sockets": 8},
        "customer": {"speech": "tone", "tone_hz": CUSTOMER_HZ, "ring_ms": 200},
        "dns": [{"dn": "1002"}, {"dn": "1003"}],
    })
}
