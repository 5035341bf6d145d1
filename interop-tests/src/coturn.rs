//! coturn, the TURN server of the distribution, with a secret that it shares with the gateway.

use std::net::{IpAddr, SocketAddr};

use tempfile::TempDir;
use tokio::process::Command;

use crate::pki::Pair;
use crate::process::{Process, root};
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
        Self::with(at, |command| {
            command.arg("--no-tls");
        })
        .await
    }

    /// The same, which speaks TLS as well.
    ///
    /// # Panics
    /// When it is not installed or does not come up.
    pub async fn with_tls(at: IpAddr, pair: &Pair) -> Self {
        Self::with(at, |command| {
            command.args(["--tls-listening-port", "5349"]);
            command.arg("--cert").arg(&pair.certificate);
            command.arg("--pkey").arg(&pair.key);
        })
        .await
    }

    async fn with(at: IpAddr, more: impl FnOnce(&mut Command)) -> Self {
        let dir = TempDir::new().expect("a folder");
        let mut command = Command::new("turnserver");
        more(&mut command);
        command
            .args(["-n", "--no-cli", "--no-dtls", "--fingerprint"])
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
        Self::spawn(at, dir, command).await
    }

    /// The same by the configuration that is shipped, with the addresses of a site in the place of its own: it relays to `gateway` only.
    ///
    /// # Panics
    /// When it is not installed or does not come up.
    pub async fn as_shipped(at: IpAddr, gateway: IpAddr) -> Self {
        let dir = TempDir::new().expect("a folder");
        let shipped = root().join("conf/turnserver.conf");
        let shipped = std::fs::read_to_string(shipped).expect("it is shipped");
        let mut lines: Vec<String> = shipped
            .lines()
            .map(|line| match line.split_once('=') {
                Some((key @ ("listening-ip" | "relay-ip"), _)) => format!("{key}={at}"),
                Some((key @ "allowed-peer-ip", _)) => format!("{key}={gateway}"),
                Some((key @ "static-auth-secret", _)) => format!("{key}={SECRET}"),
                _ => line.to_owned(),
            })
            .collect();
        // A relay of IPv6 as well, which the gateway is not reached by: what is refused to it is refused for its address, not for its family.
        lines.push("relay-ip=::1".to_owned());
        // All hosts of a site are loopback addresses, which coturn refuses by itself.
        lines.push("allow-loopback-peers".to_owned());
        lines.extend(
            [
                "no-tls",
                "no-dtls",
                "verbose",
                "simple-log",
                "log-file=stdout",
            ]
            .map(str::to_owned),
        );
        for name in ["pidfile", "userdb"] {
            lines.push(format!("{name}={}", dir.path().join(name).display()));
        }
        let file = dir.path().join("turnserver.conf");
        std::fs::write(&file, lines.join("\n")).expect("a file of our own");
        let mut command = Command::new("turnserver");
        command.arg("-c").arg(file).current_dir(dir.path());
        Self::spawn(at, dir, command).await
    }

    async fn spawn(at: IpAddr, dir: TempDir, mut command: Command) -> Self {
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

    /// The same over TCP.
    pub fn url_by_tcp(&self) -> String {
        format!("turn:{}:3478?transport=tcp", self.at)
    }

    /// The same over TLS, where it has a certificate, by its name: Firefox takes no address.
    pub fn url_by_tls(&self, name: &str) -> String {
        format!("turns:{name}:5349?transport=tcp")
    }

    /// The same as an address.
    pub fn address(&self) -> SocketAddr {
        (self.at, 3478).into()
    }

    /// What it has written.
    pub fn log(&self) -> String {
        self.process.output()
    }
}
