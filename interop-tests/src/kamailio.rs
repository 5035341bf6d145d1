//! Kamailio: a registrar that everybody trusts, or the proxy between SIP Server and talkbridge.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::process::Command;

use crate::pki::Pki;
use crate::process::{Process, root};
use crate::wait::eventually;
use crate::{Result, Site};

/// The realm of its challenges.
const REALM: &str = "interop.example.com";

/// A running Kamailio at the site's proxy address: UDP and TCP 5060, and TLS 5061 where it has certificates.
#[derive(Debug)]
pub struct Kamailio {
    process: Process,
    _dir: TempDir,
    at: SocketAddr,
}

impl Kamailio {
    /// A registrar that asks every DN for `password`, and the proxy of those who call a DN. With certificates it speaks TLS too, as
    /// [`Self::proxy`] does.
    ///
    /// # Panics
    /// When it is not installed or does not come up.
    pub async fn registrar(site: &Site, password: &str, pki: Option<&Pki>) -> Self {
        let fill = [
            ("@REALM@", REALM.to_owned()),
            ("@PASSWORD@", password.to_owned()),
        ];
        Self::start(site, "registrar.cfg", &fill, pki).await
    }

    /// A Record-Routing proxy between SIP Server and talkbridge. With certificates it speaks TLS too, and talkbridge has
    /// to show one of its own.
    ///
    /// # Panics
    /// When it is not installed or does not come up.
    pub async fn proxy(site: &Site, pki: Option<&Pki>) -> Self {
        let fill = [("@SIP_SERVER@", site.sip_server().to_string())];
        Self::start(site, "proxy.cfg", &fill, pki).await
    }

    async fn start(site: &Site, name: &str, fill: &[(&str, String)], pki: Option<&Pki>) -> Self {
        let kamailio = Self::spawn(site.proxy(), name, fill, pki).expect("kamailio starts");
        eventually("kamailio listens", || {
            std::net::TcpStream::connect(kamailio.at).is_ok()
                && std::net::UdpSocket::bind(kamailio.at).is_err()
        })
        .await;
        kamailio
    }

    fn spawn(host: IpAddr, name: &str, fill: &[(&str, String)], pki: Option<&Pki>) -> Result<Self> {
        let dir = TempDir::new()?;
        let template = root().join("interop-tests/kamailio").join(name);
        let mut text = std::fs::read_to_string(template)?;
        let (listen, module) = match pki {
            None => (String::new(), String::new()),
            Some(pki) => secure(host, dir.path(), pki)?,
        };
        text = text
            .replace("@TLS@", &listen)
            .replace("@TLS_MODULE@", &module);
        text = text.replace("@KAMAILIO@", &host.to_string());
        for (name, value) in fill {
            text = text.replace(name, value);
        }
        let file = dir.path().join("kamailio.cfg");
        std::fs::write(&file, text)?;
        let mut command = Command::new(program());
        command
            .args(["-DD", "-E", "-m", "32", "-M", "4", "-f"])
            .arg(&file)
            .arg("-Y")
            .arg(dir.path())
            .arg("-w")
            .arg(dir.path())
            .env("TZ", "UTC");
        Ok(Self {
            process: Process::spawn("kamailio", &mut command, dir.path())?,
            _dir: dir,
            at: SocketAddr::new(host, 5060),
        })
    }

    /// Where it is reached by UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.at
    }
}

impl Drop for Kamailio {
    /// Its workers outlive a first process that is killed, so they go first.
    fn drop(&mut self) {
        let Some(pid) = self.process.pid() else {
            return;
        };
        let workers = format!("/proc/{pid}/task/{pid}/children");
        let workers = std::fs::read_to_string(workers).unwrap_or_default();
        let mut kill = std::process::Command::new("kill");
        kill.arg("-KILL").arg(pid.to_string());
        // One that is gone already is as good.
        drop(kill.args(workers.split_ascii_whitespace()).status());
    }
}

/// Debian has it where only root's `PATH` looks.
fn program() -> PathBuf {
    let beside = Path::new("/usr/sbin/kamailio");
    if beside.is_file() {
        beside.to_owned()
    } else {
        "kamailio".into()
    }
}

/// The lines of a configuration that make it speak TLS, both ways with certificates of one authority.
fn secure(host: IpAddr, dir: &Path, pki: &Pki) -> Result<(String, String)> {
    let pair = pki.issue(host)?;
    let settings = format!(
        "verify_certificate = yes\nrequire_certificate = yes\nprivate_key = {key}\ncertificate = {certificate}\n\
         ca_list = {authority}\nmethod = TLSv1.2+\n",
        key = pair.key.display(),
        certificate = pair.certificate.display(),
        authority = pki.authority().display(),
    );
    let file = dir.join("tls.cfg");
    std::fs::write(
        &file,
        format!("[server:default]\n{settings}\n[client:default]\n{settings}"),
    )?;
    let listen = format!("enable_tls=yes\nlisten=tls:{host}:5061");
    let module = format!(
        "loadmodule \"tls.so\"\nmodparam(\"tls\", \"config\", \"{}\")",
        file.display()
    );
    Ok((listen, module))
}
