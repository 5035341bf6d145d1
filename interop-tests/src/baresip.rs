//! baresip: a telephone that other people wrote. It speaks a tone, and what it hears is read from the file it records.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use crate::gateway::PAGE_HZ;
use crate::process::Process;
use crate::tone::{Ear, RATE_HZ, Sine};
use crate::wait::{DEADLINE, eventually, eventually_async};
use crate::{Page, Result, Site};

/// What it says.
pub const BARESIP_HZ: u32 = 520;

/// Longer than any call.
const TONE_S: u32 = 60;

/// Its remote control listens here.
const CONTROL_PORT: u16 = 4444;

/// What every telephone speaks.
const G711: &str = "pcmu,pcma";

/// Octets of a WAV file before its samples.
const WAV_HEAD: usize = 44;

/// A running baresip at the site's telephone address, SIP port 5060.
#[derive(Debug)]
pub struct Baresip {
    process: Process,
    dir: TempDir,
    at: SocketAddr,
}

/// What it does when it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It rings until it is told to answer.
    Rings,
    /// It answers at once.
    Answers,
}

impl Baresip {
    /// Starts it as `user`.
    ///
    /// # Panics
    /// When it is not installed or does not come up.
    pub async fn start(site: &Site, user: &str, manner: Manner) -> Self {
        Self::speaking(site, user, manner, G711).await
    }

    /// The same with other codecs than G.711, in baresip's words: `g722/16000/1`, `opus/48000/2`.
    ///
    /// # Panics
    /// When it is not installed or does not come up.
    pub async fn speaking(site: &Site, user: &str, manner: Manner, codecs: &str) -> Self {
        let account = format!("<sip:{user}@{}>;regint=0", site.telephone());
        Self::with_account(site, &account, manner, codecs).await
    }

    /// The same with SRTP, in baresip's words: `srtp` offers and takes `RTP/AVP` with keys, `srtp-mand` `RTP/SAVP` only.
    ///
    /// # Panics
    /// When it is not installed or does not come up.
    pub async fn securing(site: &Site, user: &str, manner: Manner, encryption: &str) -> Self {
        let host = site.telephone();
        let account = format!("<sip:{user}@{host}>;regint=0;mediaenc={encryption}");
        Self::with_account(site, &account, manner, G711).await
    }

    /// Starts it as `user`, registered with a password.
    ///
    /// # Panics
    /// When it is not installed, does not come up, or is refused by the registrar.
    pub async fn registered(
        site: &Site,
        user: &str,
        manner: Manner,
        registrar: IpAddr,
        password: &str,
    ) -> Self {
        let password = format!("{password};regint=3600");
        Self::registered_with(site, user, manner, registrar, &password).await
    }

    /// The same, with SRTP as [`Self::securing`] has it.
    ///
    /// # Panics
    /// When it is not installed, does not come up, or is refused by the registrar.
    pub async fn registered_securing(
        site: &Site,
        user: &str,
        manner: Manner,
        (registrar, password): (IpAddr, &str),
        encryption: &str,
    ) -> Self {
        let password = format!("{password};regint=3600;mediaenc={encryption}");
        Self::registered_with(site, user, manner, registrar, &password).await
    }

    async fn registered_with(
        site: &Site,
        user: &str,
        manner: Manner,
        registrar: IpAddr,
        password: &str,
    ) -> Self {
        let account = format!("<sip:{user}@{registrar}>;auth_pass={password}");
        let baresip = Self::with_account(site, &account, manner, G711).await;
        baresip.tells("200 OK (").await;
        baresip
    }

    async fn with_account(site: &Site, account: &str, manner: Manner, codecs: &str) -> Self {
        let baresip =
            Self::spawn(site.telephone(), account, manner, codecs).expect("baresip starts");
        eventually_async("baresip is ready", || async {
            TcpStream::connect(baresip.control()).await.ok()
        })
        .await;
        baresip
    }

    fn spawn(host: IpAddr, account: &str, manner: Manner, codecs: &str) -> Result<Self> {
        let dir = TempDir::new()?;
        let path = |name: &str| dir.path().join(name);
        let tone = path("tone.wav");
        std::fs::write(&tone, Sine::wav_at(RATE_HZ, BARESIP_HZ, TONE_S))?;
        let at = SocketAddr::new(host, 5060);
        // It binds RTP to every address, so packets leave from 127.0.0.1: that is what its SDP has to say. The loudspeaker
        // is a bridge to nowhere, and what goes to it is recorded on the way.
        let config = format!(
            "net_interface 127.0.0.1\nsip_listen {at}\nrtp_ports 50000-59998\n\
             audio_source aufile,{tone}\naudio_player aubridge,nowhere\naudio_alert aubridge,ringer\n\
             ausrc_srate {RATE_HZ}\nauplay_srate {RATE_HZ}\nausrc_channels 1\nauplay_channels 1\n\
             module_path {modules}\nmodule g711.so\nmodule srtp.so\nmodule g722.so\nmodule opus.so\nmodule aufile.so\nmodule aubridge.so\nmodule sndfile.so\n\
             snd_path {dir}\nmodule_tmp account.so\nmodule_app menu.so\nmodule_app ctrl_tcp.so\n\
             ctrl_tcp_listen {host}:{CONTROL_PORT}\n",
            tone = tone.display(),
            modules = modules().display(),
            dir = dir.path().display(),
        );
        let manner = match manner {
            Manner::Rings => "manual",
            Manner::Answers => "auto",
        };
        std::fs::write(path("config"), config)?;
        std::fs::write(
            path("accounts"),
            format!("{account};answermode={manner};audio_codecs={codecs}\n"),
        )?;
        std::fs::write(path("contacts"), "")?;
        let mut command = Command::new("baresip");
        command.arg("-f").arg(dir.path()).args(["-v", "-s"]);
        Ok(Self {
            process: Process::spawn("baresip", &mut command, dir.path())?,
            dir,
            at,
        })
    }

    fn control(&self) -> SocketAddr {
        SocketAddr::new(self.at.ip(), CONTROL_PORT)
    }

    /// Where it is called: `sip:user@` this.
    pub fn address(&self) -> SocketAddr {
        self.at
    }

    /// Calls `uri`.
    ///
    /// # Panics
    /// When baresip refuses.
    pub async fn dial(&self, uri: &str) {
        self.command("dial", uri).await.expect("baresip dials");
    }

    /// Answers the call that rings.
    ///
    /// # Panics
    /// When baresip refuses.
    pub async fn accept(&self) {
        self.command("accept", "").await.expect("baresip accepts");
    }

    /// Ends its call.
    ///
    /// # Panics
    /// When baresip refuses.
    pub async fn hang_up(&self) {
        self.command("hangup", "").await.expect("baresip hangs up");
    }

    async fn command(&self, command: &str, params: &str) -> Result<()> {
        let obeyed = timeout(DEADLINE, self.order(command, params)).await;
        obeyed.unwrap_or_else(|_| Err(format!("{command}: no response").into()))
    }

    async fn order(&self, command: &str, params: &str) -> Result<()> {
        let mut stream = TcpStream::connect(self.control()).await?;
        let order = json!({"command": command, "params": params, "token": command}).to_string();
        // A netstring: length, colon, text, comma.
        stream
            .write_all(format!("{}:{order},", order.len()).as_bytes())
            .await?;
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let length = stream.read(&mut buffer).await?;
            if length == 0 {
                let heard = String::from_utf8_lossy(&heard);
                return Err(format!("{command}: no response in {heard:?}").into());
            }
            heard.extend_from_slice(&buffer[..length]);
            // Events of the call come on the same line.
            while let Some(text) = netstring(&mut heard) {
                let answer: Value = serde_json::from_slice(&text)?;
                if answer["response"] == true {
                    let ok = answer["ok"] == true;
                    return ok
                        .then_some(())
                        .ok_or_else(|| format!("{command}: {answer}").into());
                }
            }
        }
    }

    /// Waits until it hears a tone of `hz`.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn hears(&self, hz: u32) {
        eventually(&format!("baresip hears {hz} Hz"), || {
            self.heard().is_some_and(|ear| ear.hears(hz))
        })
        .await;
    }

    /// Waits until it and the agent hear each other.
    ///
    /// # Panics
    /// When they do not.
    pub async fn talks_with(&self, page: &Page) {
        page.hears(BARESIP_HZ).await;
        self.hears(PAGE_HZ).await;
    }

    /// Talks with the agent, who holds the call and retrieves it.
    ///
    /// # Panics
    /// When somebody is not heard, or is heard while the call is held.
    pub async fn is_held_and_retrieved(&self, page: &Page) {
        self.talks_with(page).await;
        page.control("hold").await;
        page.call_in("held").await;
        page.hears_nothing().await;
        page.control("retrieve").await;
        page.call_in("talking").await;
        self.talks_with(page).await;
    }

    /// Waits until it has told something: lines of its log and the SIP that it sees.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn tells(&self, what: &str) {
        eventually(&format!("baresip tells {what:?}"), || {
            self.log().contains(what)
        })
        .await;
    }

    /// Its log, and every SIP message that it saw.
    pub fn log(&self) -> String {
        self.process.output()
    }

    /// The end of the latest recording.
    fn heard(&self) -> Option<Ear> {
        let files = std::fs::read_dir(self.dir.path()).ok()?;
        let latest = files
            .filter_map(|file| Some(file.ok()?.path()))
            .filter(|file| file.to_string_lossy().ends_with("-dec.wav"))
            .max()?;
        let recorded = std::fs::read(latest).ok()?;
        let (samples, _) = recorded.get(WAV_HEAD..)?.as_chunks::<2>();
        // Channels and rate are the codec's.
        let channels = u16::from_le_bytes(*recorded.get(22..)?.first_chunk()?);
        let rate_hz = u32::from_le_bytes(*recorded.get(24..)?.first_chunk()?);
        let step = usize::from(channels) * (rate_hz / RATE_HZ) as usize;
        let mut ear = Ear::default();
        let heard = samples.iter().step_by(step.max(1));
        ear.hear(heard.map(|sample| i16::from_le_bytes(*sample)));
        Some(ear)
    }
}

/// Cuts a whole netstring (`4:text,`) from the front of what was heard.
fn netstring(heard: &mut Vec<u8>) -> Option<Vec<u8>> {
    let colon = heard.iter().position(|octet| *octet == b':')?;
    let length: usize = std::str::from_utf8(&heard[..colon]).ok()?.parse().ok()?;
    let end = colon + 1 + length;
    // The comma belongs to it.
    (heard.len() > end).then(|| {
        let text = heard[colon + 1..end].to_vec();
        heard.drain(..=end);
        text
    })
}

/// Where its modules are: in `/usr/lib/baresip`, or below the architecture's own folder.
fn modules() -> PathBuf {
    let folders = [
        "/usr/lib",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
    ];
    folders
        .iter()
        .map(|folder| PathBuf::from(folder).join("baresip/modules"))
        .find(|folder| folder.is_dir())
        .unwrap_or_else(|| "/usr/lib/baresip/modules".into())
}
