//! The programs in the middle.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use super::agents::Agents;
use super::field::Orders;
use super::rival::{self, Janus, Rtpengine};
use super::sip_server::{CallTimes, SipServer};
use super::{Case, Map, Plan, bare_relay};
use crate::gateway::refuse_nobody;
use crate::process::Process;
use crate::{Gateway, Result, Site};

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
    /// Janus with its NoSIP plugin.
    Janus,
    /// The floor.
    BareRelay,
}

impl Kind {
    /// Other people's programs.
    pub const RIVALS: [Self; 2] = [Self::Rtpengine, Self::Janus];

    /// Those of a plan, in the order of their turns.
    pub fn all(plan: &Plan) -> Vec<Self> {
        let mut kinds = vec![Self::Talkbridge];
        kinds.extend(plan.baseline.is_some().then_some(Self::Baseline));
        let present = |kind: &Self| !plan.absent.contains_key(kind);
        kinds.extend(Self::RIVALS.into_iter().filter(present));
        // It transcodes nothing, so it is no floor for those who do.
        kinds.extend((plan.case == Case::Relay).then_some(Self::BareRelay));
        kinds
    }

    /// Where everybody is in its turns.
    pub(super) fn map(self, site: &Site) -> Result<Map> {
        match self {
            Self::Janus => Janus::map(site),
            _ => Ok(Map::of(site)),
        }
    }

    /// Its name in tables; a rival's program has the same.
    pub fn name(self) -> &'static str {
        match self {
            Self::Talkbridge => "talkbridge",
            Self::Baseline => "baseline",
            Self::Rtpengine => "rtpengine",
            Self::Janus => "janus",
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
    Rtpengine(Rtpengine),
    Janus(Box<Janus>),
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
            Kind::Rtpengine => {
                let workers = Some(plan.workers).filter(|_| !plan.as_shipped);
                let rtpengine = Rtpengine::start(plan.case, workers, site, map).await?;
                Ok(Self::Rtpengine(rtpengine))
            }
            Kind::Janus => Ok(Self::Janus(Box::new(
                Janus::start(plan.workers, map).await?,
            ))),
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
            // Its rivals refuse nobody either: where the machine ends, all show what becomes of the calls.
            if program.is_none() {
                refuse_nobody(config);
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
            Self::Rtpengine(rtpengine) => &mut rtpengine.process,
            Self::Janus(janus) => &mut janus.process,
            Self::BareRelay { process, .. } => process,
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
            Self::Rtpengine(rtpengine) => {
                rival::connect(rtpengine, sessions, field).await?;
                Ok(CallTimes::default())
            }
            Self::Janus(janus) => {
                rival::connect(janus.as_mut(), sessions, field).await?;
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

    /// Ends all calls by BYE; where there is no SIP, they end with their process.
    pub(super) async fn disconnect(&mut self, sessions: Range<usize>) -> Result<()> {
        match self {
            Self::Talkbridge { sip_server, .. } => sip_server.hang_up(sessions).await,
            Self::Rtpengine(_) | Self::Janus(_) | Self::BareRelay { .. } => Ok(()),
        }
    }
}
