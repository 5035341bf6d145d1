//! The programs in the middle.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::oneshot;

use super::agents::Agents;
use super::field::{Orders, caller_ssrc};
use super::ng::{Dictionary, Ng};
use super::sip_server::{CallTimes, SipServer};
use super::sip_text::{Dialog, audio_address};
use super::{CALLS_PER_S, Case, Map, Plan, bare_relay, dn};
use crate::process::Process;
use crate::{Gateway, Result, Site};

/// From the answer to a page that is connected.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// talkbridge, this build.
    Talkbridge,
    /// talkbridge, an earlier build.
    Baseline,
    /// rtpengine in user space.
    Rtpengine,
    /// The floor.
    BareRelay,
}

impl Kind {
    /// Those of a plan, in the order of their turns.
    pub fn all(plan: &Plan) -> Vec<Self> {
        let mut kinds = vec![Self::Talkbridge];
        kinds.extend(plan.baseline.is_some().then_some(Self::Baseline));
        kinds.extend(plan.without_rtpengine.is_none().then_some(Self::Rtpengine));
        // It transcodes nothing, so it is no floor for those who do.
        kinds.extend((plan.case == Case::Relay).then_some(Self::BareRelay));
        kinds
    }

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Talkbridge => "talkbridge",
            Self::Baseline => "baseline",
            Self::Rtpengine => "rtpengine",
            Self::BareRelay => "bare relay",
        }
    }
}

/// A program that runs, with what it needs around it.
pub(super) enum Subject {
    Talkbridge {
        gateway: Box<Gateway>,
        agents: Agents,
        sip_server: SipServer,
    },
    Rtpengine {
        process: Process,
        ng: Ng,
        map: Map,
        case: Case,
        _dir: TempDir,
    },
    BareRelay {
        process: Process,
        at: std::net::IpAddr,
        _dir: TempDir,
    },
}

impl Subject {
    /// Starts it, without a session yet.
    pub(super) async fn start(
        plan: &Plan,
        kind: Kind,
        site: &Site,
        map: Map,
        field: &Orders,
    ) -> Result<Self> {
        match kind {
            Kind::Talkbridge => Self::talkbridge(plan, site, map, field, None).await,
            Kind::Baseline => {
                Self::talkbridge(plan, site, map, field, plan.baseline.as_deref()).await
            }
            Kind::Rtpengine => Self::rtpengine(plan.case, site, map).await,
            Kind::BareRelay => Self::bare_relay(plan, site, map),
        }
    }

    async fn talkbridge(
        plan: &Plan,
        site: &Site,
        map: Map,
        field: &Orders,
        program: Option<&Path>,
    ) -> Result<Self> {
        // It registers as soon as somebody signs in.
        let sip_server = SipServer::start(site, map, field.clone())?;
        let change = |config: &mut Value| {
            plan.case.configure(config, plan.sessions, plan.workers);
            config["limits"] = json!({
                "calls": plan.sessions + 1,
                "http_connections_per_source": plan.sessions + 100,
            });
            // rtpengine refuses nobody either: where the machine ends, both show what becomes of the calls.
            if program.is_none() {
                super::lift_limits(config);
            }
            config["log"]["level"] = json!("info");
        };
        let gateway = match program {
            None => Gateway::start_with(site, change).await,
            Some(program) => Gateway::start_program(program, site, change).await,
        };
        Ok(Self::Talkbridge {
            gateway: Box::new(gateway),
            agents: Agents::default(),
            sip_server,
        })
    }

    async fn rtpengine(case: Case, site: &Site, map: Map) -> Result<Self> {
        let program = rtpengine().ok_or("rtpengine is not installed")?;
        let dir = TempDir::new()?;
        let at = SocketAddr::new(site.gateway(), 22_222);
        let mut command = Command::new(program);
        command
            .args([
                "--config-file=none",
                "--table=-1",
                "--foreground",
                "--log-stderr",
            ])
            .args(["--log-level=4", "--port-min=16384", "--port-max=32767"])
            .arg(format!("--interface={}", at.ip()))
            .arg(format!("--listen-ng={at}"))
            .arg(format!("--pidfile={}", dir.path().join("pid").display()));
        let process = Process::spawn("rtpengine", &mut command, dir.path())?;
        let mut ng = Ng::new(at).await?;
        ng.ping()
            .await
            .map_err(|error| format!("{error}\n{}", process.output()))?;
        Ok(Self::Rtpengine {
            process,
            ng,
            map,
            case,
            _dir: dir,
        })
    }

    fn bare_relay(plan: &Plan, site: &Site, map: Map) -> Result<Self> {
        let dir = TempDir::new()?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("bare-relay")
            .args(["--at", &site.gateway().to_string()])
            .args(["--pages", &map.page_host().to_string()])
            .args(["--callers", &map.caller_host().to_string()])
            .args(["--sessions", &plan.sessions.to_string()]);
        let process = Process::spawn("bare-relay", &mut command, dir.path())?;
        Ok(Self::BareRelay {
            process,
            at: site.gateway(),
            _dir: dir,
        })
    }

    /// Its process.
    pub(super) fn pid(&mut self) -> Result<u32> {
        let process = match self {
            Self::Talkbridge { gateway, .. } => gateway.process(),
            Self::Rtpengine { process, .. } | Self::BareRelay { process, .. } => process,
        };
        process
            .pid()
            .ok_or_else(|| format!("it has ended:\n{}", process.output()).into())
    }

    /// Brings the calls of some sessions up.
    pub(super) async fn connect(
        &mut self,
        sessions: Range<usize>,
        field: &Orders,
    ) -> Result<CallTimes> {
        match self {
            Self::Talkbridge {
                gateway,
                agents,
                sip_server,
            } => {
                agents
                    .sign_in(gateway.agents(), sessions.clone(), field)
                    .await?;
                sip_server.call(sessions).await
            }
            Self::Rtpengine { ng, map, case, .. } => {
                let mut connections = Vec::new();
                for session in sessions {
                    let began = tokio::time::Instant::now();
                    connections.push(bridge(ng, map, *case, session, field).await?);
                    tokio::time::sleep_until(began + Duration::from_secs(1) / CALLS_PER_S).await;
                }
                for connection in connections {
                    tokio::time::timeout(CONNECT_MAX, connection).await??;
                }
                Ok(CallTimes::default())
            }
            Self::BareRelay { at, .. } => {
                for session in sessions {
                    let pages = SocketAddr::new(*at, bare_relay::PAGES_PORT);
                    field.plain_page(session, pages);
                    field.caller(
                        session,
                        SocketAddr::new(*at, bare_relay::call_port(session)),
                    );
                }
                Ok(CallTimes::default())
            }
        }
    }

    /// Ends all calls in good order, where there is one.
    pub(super) async fn disconnect(&mut self, sessions: Range<usize>) -> Result<()> {
        match self {
            Self::Talkbridge { sip_server, .. } => sip_server.hang_up(sessions).await,
            Self::Rtpengine { .. } | Self::BareRelay { .. } => Ok(()),
        }
    }
}

/// Where rtpengine is installed, if it is.
pub fn rtpengine() -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join("rtpengine"))
        .find(|file| file.is_file())
}

/// A call through rtpengine as a gateway makes it: plain RTP of the caller, WebRTC of the page.
///
/// Yields what fires when the page is connected.
async fn bridge(
    ng: &mut Ng,
    map: &Map,
    case: Case,
    session: usize,
    field: &Orders,
) -> Result<oneshot::Receiver<()>> {
    let nowhere = SocketAddr::new(map.caller_host(), 5060);
    let dialog = Dialog {
        session,
        dn: dn(session),
        us: nowhere,
        them: nowhere,
        caller: map.caller(session),
        their_tag: None,
    };
    let invite = dialog.invite();
    let (_, caller_sdp) = invite
        .split_once("\r\n\r\n")
        .ok_or("an INVITE has a body")?;
    let command = |name| {
        Dictionary::command(name)
            .text("call-id", &dialog.call_id())
            .text("from-tag", "caller")
    };
    let offer = command("offer")
        .text("sdp", caller_sdp)
        .text("ICE", "force")
        .text("DTLS", "passive")
        .text("transport-protocol", "UDP/TLS/RTP/SAVPF")
        .list("flags", flags(case))
        .list("SDES", &["off"])
        .list("rtcp-mux", &["require"])
        .list("replace", &["origin"]);
    // What is coded again has an SSRC of rtpengine's own, which it tells nobody.
    let ssrc = (case == Case::Relay).then(|| caller_ssrc(dialog.caller));
    let page_offer = completed(&ng.describe(&offer).await?, ssrc);
    let (page_answer, connected) = field.offer(session, page_offer).await?;
    let answer = command("answer")
        .text("to-tag", "page")
        .text("sdp", &located(&page_answer, map.page(session)))
        .text("ICE", "remove")
        .text("transport-protocol", "RTP/AVP")
        .list("rtcp-mux", &["demux"])
        .list("replace", &["origin"]);
    let caller_answer = ng.describe(&answer).await?;
    let rtp = audio_address(&caller_answer).ok_or("no audio in rtpengine's answer")?;
    field.caller(session, rtp);
    Ok(connected)
}

/// Opus as a browser has it, mono as the caller is: a stereo coder would cost rtpengine more for nothing.
fn flags(case: Case) -> &'static [&'static str] {
    match case {
        Case::Relay => &["generate-mid"],
        Case::Transcode => &[
            "generate-mid",
            "codec-mask-all",
            "codec-transcode-opus/48000/2/32000//stereo=0;useinbandfec=1",
        ],
    }
}

/// What a page needs and rtpengine does not say, so whoever uses it for browsers adds it: the group,
/// without which the section is refused (RFC 8829 section 5.3.1), and the stream, which it passes on
/// under the caller's own SSRC.
fn completed(sdp: &str, ssrc: Option<u32>) -> String {
    let mid = sdp
        .lines()
        .find_map(|line| line.strip_prefix("a=mid:"))
        .unwrap_or_default();
    let group = format!("a=group:BUNDLE {mid}\r\nm=audio ");
    let stream = ssrc.map(|ssrc| format!("a=ssrc:{ssrc} cname:caller\r\n"));
    sdp.replacen("m=audio ", &group, 1) + &stream.unwrap_or_default()
}

/// The page's answer with the address of its default candidate, as a browser that has gathered its
/// candidates writes it (RFC 8839 section 4.2.1.2). Without it rtpengine takes 0.0.0.0 for a hold.
fn located(sdp: &str, page: SocketAddr) -> String {
    sdp.replacen("c=IN IP4 0.0.0.0", &format!("c=IN IP4 {}", page.ip()), 1)
        .replacen("m=audio 9 ", &format!("m=audio {} ", page.port()), 1)
}
