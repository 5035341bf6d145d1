//! The two configuration files of the demo.

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::ports::Addresses;
use super::{DN, SECOND_DN};
use crate::error::Error;

/// Octets of the secret that signs the demo's tokens.
const SECRET_OCTETS: usize = 32;

/// Writes talkbridge's configuration and returns its path.
pub(super) fn gateway(folder: &Path, addresses: &Addresses) -> Result<PathBuf, Error> {
    let secret = secret().map_err(Error::file("/dev/urandom"))?;
    write(
        &folder.join("talkbridge.toml"),
        &gateway_text(addresses, &secret),
    )
}

/// Writes the simulated SIP Server's configuration and returns its path.
pub(super) fn simulator(
    folder: &Path,
    addresses: &Addresses,
    speech: Speech,
) -> Result<PathBuf, Error> {
    write(
        &folder.join("tserver-sim.toml"),
        &simulator_text(addresses, speech),
    )
}

/// What customers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speech {
    /// Words, for people.
    Phrase,
    /// A tone, for a machine that listens.
    Tone,
}

fn write(path: &Path, text: &str) -> Result<PathBuf, Error> {
    fs::write(path, text).map_err(Error::file(path))?;
    Ok(path.to_owned())
}

/// A fresh secret, in hexadecimal digits. Tokens of an earlier demo are worth nothing in this one.
fn secret() -> io::Result<String> {
    let mut octets = [0_u8; SECRET_OCTETS];
    File::open("/dev/urandom")?.read_exact(&mut octets)?;
    Ok(octets.iter().map(|octet| format!("{octet:02x}")).collect())
}

fn gateway_text(addresses: &Addresses, secret: &str) -> String {
    let Addresses {
        server_sip,
        gateway_sip,
        page,
        admin,
        webrtc,
        ..
    } = addresses;
    let us: IpAddr = gateway_sip.ip();
    let (first, last) = (addresses.rtp_first, addresses.rtp_last());
    format!(
        r#"# Written by `cargo xtask demo`, anew each time.
[sip]
listen = ["udp:{gateway_sip}"]
advertise = "{us}"
servers = ["{server_sip}"]

[webrtc]
listen = "{webrtc}"
advertise = ["{rtc}"]

[media]
address = "{us}"
ports = "{first}-{last}"
workers = 1

[http]
listen = "{page}"

[admin]
listen = "{admin}"

[auth]
token_keys = [{{ alg = "HS256", secret = "{secret}" }}]

[[agents]]
dn = "{DN}"
name = "Ada"

[[agents]]
dn = "{SECOND_DN}"
name = "Brook"
"#,
        rtc = webrtc.ip(),
    )
}

/// With `speech` "phrase" the customer speaks words and echoes the agent; with "tone" a machine can tell who is heard.
fn simulator_text(addresses: &Addresses, speech: Speech) -> String {
    let Addresses {
        server_sip, desk, ..
    } = addresses;
    let speech = match speech {
        Speech::Phrase => "phrase",
        Speech::Tone => "tone",
    };
    format!(
        r#"# Written by `cargo xtask demo`, anew each time.
[sip]
listen = ["udp:{server_sip}"]

[http]
listen = "{desk}"

[customer]
speech = "{speech}"

[[dns]]
dn = "{DN}"

[[dns]]
dn = "{SECOND_DN}"
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses() -> Addresses {
        Addresses {
            server_sip: "127.0.0.1:5060".parse().unwrap(),
            desk: "127.0.0.1:8090".parse().unwrap(),
            gateway_sip: "127.0.0.1:5070".parse().unwrap(),
            page: "127.0.0.1:8080".parse().unwrap(),
            admin: "127.0.0.1:9090".parse().unwrap(),
            webrtc: "192.0.2.10:40000".parse().unwrap(),
            rtp_first: 16_384,
        }
    }

    #[test]
    fn both_ends_are_told_of_each_other() {
        let gateway = gateway_text(&addresses(), "0123");
        assert!(gateway.contains("servers = [\"127.0.0.1:5060\"]"));
        assert!(gateway.contains("listen = \"192.0.2.10:40000\"\nadvertise = [\"192.0.2.10\"]"));
        assert!(gateway.contains("{ alg = \"HS256\", secret = \"0123\" }"));
        let simulator = simulator_text(&addresses(), Speech::Tone);
        assert!(simulator.contains("listen = [\"udp:127.0.0.1:5060\"]"));
        assert!(simulator.contains("speech = \"tone\""));
    }

    #[test]
    fn every_demo_signs_with_a_secret_of_its_own() {
        let secret = secret().unwrap();
        assert_eq!(secret.len(), 2 * SECRET_OCTETS);
        assert_ne!(secret, super::secret().unwrap());
    }
}
