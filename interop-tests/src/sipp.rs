//! SIPp with one scenario of `scenarios/`: it passes when SIPp says so.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;
use tokio::net::UdpSocket;
use tokio::process::Command;

use crate::process::{Process, output_dir, root, show_on_failure};
use crate::wait::eventually_some;
use crate::{Result, Site};

/// SIPp gives up after this, unless told otherwise. Longer than nearly every scenario's own waits on a busy machine.
const TIMEOUT_S: u32 = 50;

/// Calls in this process, so that each has its own Call-ID.
static CALLS: AtomicU32 = AtomicU32::new(1);

/// How a scenario is run.
#[derive(Debug, Clone)]
pub struct SippOptions {
    scenario: String,
    remote: SocketAddr,
    local: SocketAddr,
    keys: Vec<(String, String)>,
    call_id: String,
    calls: u32,
    rate: u32,
    tcp: bool,
    timeout_s: u32,
}

/// A running SIPp.
#[derive(Debug)]
pub struct Sipp {
    options: SippOptions,
    process: Process,
    dir: TempDir,
}

impl SippOptions {
    /// SIP Server calls: from its address, from a port beside that of its registrar.
    pub fn calling(site: &Site, scenario: &str) -> Self {
        let nth = CALLS.fetch_add(1, Ordering::Relaxed);
        // The form of SIP Server's Call-IDs: GUID, counter, address.
        let call_id = format!(
            "640476ED-F320-46F0-975D-{:012X}-{nth}@{}",
            std::process::id(),
            site.sip_server()
        );
        Self {
            scenario: scenario.to_owned(),
            remote: site.gateway_sip(),
            local: SocketAddr::new(site.sip_server(), 5070 + nth as u16 % 900),
            keys: Vec::new(),
            call_id,
            calls: 1,
            rate: 10,
            tcp: false,
            timeout_s: TIMEOUT_S,
        }
        .key("dn", "1002")
        .key("caller", "1003")
        .key("customer_host", site.media())
        .key("customer_port", 20_000)
        .key("mark", "Alert-Info: ring answer")
    }

    /// SIP Server is registered at: on its own address and port.
    pub fn registrar(site: &Site, scenario: &str) -> Self {
        Self {
            local: site.server_sip(),
            ..Self::calling(site, scenario)
        }
    }

    /// The called DN; 1002 unless set.
    pub fn dn(self, dn: &str) -> Self {
        self.key("dn", dn)
    }

    /// A `[name]` of the scenario.
    pub fn key(mut self, name: &str, value: impl ToString) -> Self {
        self.keys.retain(|(known, _)| known != name);
        self.keys.push((name.to_owned(), value.to_string()));
        self
    }

    /// The customer's RTP address, for the SDP.
    pub fn media(self, at: SocketAddr) -> Self {
        self.key("customer_host", at.ip())
            .key("customer_port", at.port())
    }

    /// Another source address.
    pub fn from(mut self, ip: IpAddr) -> Self {
        self.local.set_ip(ip);
        self
    }

    /// Another source port.
    pub fn from_port(mut self, port: u16) -> Self {
        self.local.set_port(port);
        self
    }

    /// Another destination than the gateway.
    pub fn to(mut self, remote: SocketAddr) -> Self {
        self.remote = remote;
        self
    }

    /// A Call-ID that is known already.
    pub fn call_id(mut self, call_id: &str) -> Self {
        call_id.clone_into(&mut self.call_id);
        self
    }

    /// Many calls of the scenario, `rate` a second.
    pub fn calls(mut self, calls: u32, rate: u32) -> Self {
        // A counter in front makes each Call-ID unique.
        self.call_id = format!("%u-{}", self.call_id);
        self.calls = calls;
        self.rate = rate;
        self
    }

    /// TCP instead of UDP.
    pub fn tcp(mut self) -> Self {
        self.tcp = true;
        self
    }

    /// Another time after which SIPp gives up, in seconds: for a scenario that has to wait for long.
    pub fn gives_up_after(mut self, timeout_s: u32) -> Self {
        self.timeout_s = timeout_s;
        self
    }

    /// Starts SIPp.
    ///
    /// # Panics
    /// When it is not installed or there is no such scenario.
    pub fn start(self) -> Sipp {
        Sipp::spawn(self).expect("sipp starts")
    }

    /// Runs the scenario to its end.
    ///
    /// # Panics
    /// When it fails.
    pub async fn passes(self) -> Sipp {
        let mut sipp = self.start();
        sipp.passes().await;
        sipp
    }
}

impl Sipp {
    fn spawn(options: SippOptions) -> Result<Self> {
        let dir = TempDir::new()?;
        let file = root()
            .join("scenarios")
            .join(&options.scenario)
            .with_extension("xml");
        if !file.is_file() {
            return Err(format!("there is no {}", file.display()).into());
        }
        let mut command = Command::new("sipp");
        command
            .arg(options.remote.to_string())
            .arg("-sf")
            .arg(file)
            .args(["-i", &options.local.ip().to_string()])
            .args(["-p", &options.local.port().to_string()])
            .args(["-m", &options.calls.to_string()])
            .args(["-r", &options.rate.to_string()])
            .args(["-t", if options.tcp { "t1" } else { "u1" }])
            .args(["-cid_str", &options.call_id])
            .args(["-timeout", &format!("{}s", options.timeout_s)])
            .arg("-timeout_error")
            .args(["-default_behaviors", "abortunexp"])
            .args(["-nostdin", "-trace_msg", "-message_file"])
            .arg(dir.path().join("messages"))
            .args(["-trace_err", "-error_file"])
            .arg(dir.path().join("errors"))
            .current_dir(dir.path());
        for (name, value) in &options.keys {
            command.args(["-key", name, value]);
        }
        let process = Process::spawn("sipp", &mut command, dir.path())?;
        Ok(Self {
            options,
            process,
            dir,
        })
    }

    /// Waits for the end of the scenario.
    ///
    /// # Panics
    /// When it failed; the messages are then kept in `target/test-output`.
    pub async fn passes(&mut self) {
        let status = self.process.wait().await.expect("sipp can be waited for");
        if status.success() {
            return;
        }
        let messages = self.messages();
        let kept = self.keep(&messages);
        let errors = std::fs::read_to_string(self.dir.path().join("errors")).unwrap_or_default();
        panic!(
            "{}: {status}\n{errors}\n(messages in {kept:?})",
            self.options.scenario
        );
    }

    fn keep(&self, messages: &str) -> Option<PathBuf> {
        let file = output_dir()
            .ok()?
            .join(format!("{}.messages", self.options.scenario));
        std::fs::write(&file, messages).ok()?;
        Some(file)
    }

    /// Every message so far, as SIPp logs them.
    pub fn messages(&self) -> String {
        let log = std::fs::read(self.dir.path().join("messages")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The messages that came from the other side, whole, in order.
    pub fn received(&self) -> Vec<String> {
        self.messages()
            .split("----------------------------------------------- ")
            .filter_map(|record| {
                let (head, message) = record.split_once("\n\n")?;
                head.contains("message received")
                    .then(|| message.to_owned())
            })
            .collect()
    }

    /// Waits until a message that begins with `start` has come, and returns the latest such.
    ///
    /// # Panics
    /// When none comes.
    pub async fn got(&self, start: &str) -> String {
        eventually_some(&format!("{}: {start}", self.options.scenario), || {
            self.received()
                .into_iter()
                .rev()
                .find(|message| message.starts_with(start))
        })
        .await
    }

    /// Lets a scenario that waits for it (`<recv request="INFO">`) go on: an INFO in the scenario's
    /// call from a socket of ours. So a scenario waits for what the page or the customer sees, and
    /// not for some seconds.
    ///
    /// # Panics
    /// When no socket can be had.
    pub async fn cue(&self) {
        self.cue_in(&self.options.call_id).await;
    }

    /// The same for a scenario that is called: the Call-ID is the gateway's.
    ///
    /// # Panics
    /// When no INVITE comes.
    pub async fn cue_called(&self) {
        let invite = self.got("INVITE").await;
        let call_id = header(&invite, "Call-ID").expect("every INVITE has one");
        self.cue_in(call_id).await;
    }

    async fn cue_in(&self, call_id: &str) {
        let socket = UdpSocket::bind((self.options.local.ip(), 0))
            .await
            .expect("a free port");
        let us = socket.local_addr().expect("a bound socket has an address");
        let branch = CALLS.fetch_add(1, Ordering::Relaxed);
        let cue = format!(
            "INFO sip:cue@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bKcue{branch}\r\n\
             From: <sip:cue@{us}>;tag=cue\r\nTo: <sip:cue@{to}>\r\nCall-ID: {call}\r\n\
             CSeq: {branch} INFO\r\nContent-Length: 0\r\n\r\n",
            to = self.options.local,
            call = call_id,
        );
        socket
            .send_to(cue.as_bytes(), self.options.local)
            .await
            .expect("loopback takes it");
    }

    /// The Call-ID of its call.
    pub fn call_id(&self) -> &str {
        &self.options.call_id
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        show_on_failure(&self.options.scenario, || self.messages());
    }
}

/// The value of a header of a message, as it stands there.
pub fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message
        .lines()
        .take_while(|line| !line.trim().is_empty())
        .find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found
                .trim()
                .eq_ignore_ascii_case(name)
                .then(|| value.trim())
        })
}
