//! The simulated SIP Server behind its sockets, as a process.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::http::{self, Answer};
use crate::process::{Process, binary};
use crate::wait::{eventually_async, eventually_some};
use crate::{Result, Site};

/// A running tserver-sim at the site's SIP Server address.
#[derive(Debug)]
pub struct TserverSim {
    process: Process,
    _dir: TempDir,
    http: SocketAddr,
}
