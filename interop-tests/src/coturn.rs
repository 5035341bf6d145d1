//! coturn, the TURN server of the distribution, with a secret that it shares with the gateway.

use std::net::IpAddr;

use tempfile::TempDir;
use tokio::process::Command;

use crate::process::Process;
use crate::wait::eventually;

/// What coturn and the gateway share.
pub const SECRET: &str = "the secret of these tests";

/// A running coturn.
#[derive(Debug)]
pub struct Coturn {
    process: Process,
    at: IpAddr,
    _dir: TempDir,
}

impl Coturn {
    /// Listens at this host, and relays from it.
    ///
    /// # Panics
    /// When it is not installed or does not come up.
    pub async fn start(at: IpAddr) -> Self {
        let dir = TempDir::new().expect("a folder");
        let mut command = Command::new("turnserver");
        command
            .args(["-n", "--no-cli", "--no-tls", "--no-dtls", "--fingerprint"])
            .args(["--use-auth-secret", "--static-auth-secret", SECRET])
            .args(["--realm", "interop", "--verbose", "--simple-log"])
            .args(["--log-file", "stdout", "--allow-loopback-peers"])
            .args([
                "--listening-port",
                "3478",
                "--listening-ip",
                &at.to_string(),
            ])
            .args(["--relay-ip", &at.to_string()])
            .arg("--pidfile")
            .arg(dir.path().join("pid"))
            .arg("--userdb")
            .arg(dir.path().join("turndb"))
            .current_dir(dir.path());
        let process = Process::spawn("turnserver", &mut command, dir.path());
        let process = process.expect("coturn starts");
        let coturn = Self {
            process,
            at,
            _dir: dir,
        };
        eventually("coturn listens", || {
            std::net::UdpSocket::bind((at, 3478)).is_err()
        })
        .await;
        coturn
    }

    /// Its address for browsers.
    pub fn url(&self) -> String {
        format!("turn:{}:3478?transport=udp", self.at)
    }

    /// What it has written.
    pub fn log(&self) -> String {
        self.process.output()
    }
}
