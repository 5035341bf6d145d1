//! The commands of the binary: exit codes, and what they print.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const GOOD: &str = r#"
[sip]
listen = ["udp:127.0.0.1:5060"]
advertise = "127.0.0.1"
servers = ["127.0.0.1:5070"]

[webrtc]
listen = "127.0.0.1:40000"

[media]
address = "127.0.0.1"

[http]
listen = "127.0.0.1:8080"

[auth]
token_keys = [{ alg = "HS256", secret = "0123456789abcdef0123456789abcdef" }]

[[agents]]
dn = "1002"
password = "wonderland"
"#;

fn talkbridge(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_talkbridge"))
        .args(arguments)
        .env_remove("TALKBRIDGE_TOKEN_SECRET")
        .env_remove("TALKBRIDGE_ADMIN_TOKEN")
        .output()
        .unwrap()
}

fn write(dir: &Path, text: &str) -> PathBuf {
    let file = dir.join("talkbridge.toml");
    std::fs::write(&file, text).unwrap();
    file
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_good_configuration_is_exit_code_0() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), GOOD);
    let output = talkbridge(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(text(&output.stdout), format!("{}: ok\n", file.display()));
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_bad_configuration_is_exit_code_1_with_file_line_and_expectation() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(
        dir.path(),
        &GOOD.replace("listen = \"127.0.0.1:40000\"", "lissen = 1"),
    );
    let output = talkbridge(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let expected = format!(
        "{}:8: unknown field `lissen`, expected one of `listen`",
        file.display()
    );
    assert!(text(&output.stderr).starts_with(&expected), "{output:?}");
}

#[test]
fn a_missing_file_and_a_bad_certificate_are_exit_code_1() {
    let output = talkbridge(&["check", "--config", "/nonexistent/talkbridge.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("/nonexistent/talkbridge.toml:1: expected a readable"));
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("cert.pem"), "no certificate").unwrap();
    let tls =
        "listen = \"127.0.0.1:8080\"\ncertificate_file = \"cert.pem\"\nkey_file = \"cert.pem\"";
    let file = write(
        dir.path(),
        &GOOD.replace("listen = \"127.0.0.1:8080\"", tls),
    );
    let output = talkbridge(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        text(&output.stderr).contains("expected a PEM file with certificates"),
        "{output:?}"
    );
}

#[test]
fn a_token_is_printed_and_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), GOOD);
    let config = file.to_str().unwrap();
    let output = talkbridge(&["token", "--config", config, "--dn", "1002", "--ttl", "60"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let loaded = gateway::config::load(&file, &|_| None).unwrap();
    let keys = gateway::token::TokenKeys::new(&loaded.config.auth).unwrap();
    // The life of the token is not looked at: 0 is before any of its times.
    assert_eq!(
        keys.verify(text(&output.stdout).trim_end(), 0),
        Ok("1002".to_owned())
    );
    let unknown = talkbridge(&["token", "--config", config, "--dn", "9999"]);
    assert!(
        text(&unknown.stderr).contains("no [[agents]] with dn = \"9999\""),
        "{unknown:?}"
    );
}

#[test]
fn a_token_needs_a_shared_secret() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), &GOOD.replace("token_keys", "#token_keys"));
    let output = talkbridge(&["token", "--config", file.to_str().unwrap(), "--dn", "1002"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("expected an HS256 key"),
        "{output:?}"
    );
}

#[test]
fn a_port_that_is_taken_ends_the_run_with_its_name() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let sip = std::net::UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = GOOD
        .replace("127.0.0.1:8080", &address)
        .replace("127.0.0.1:5060", &sip.to_string());
    let file = write(dir.path(), &config);
    let output = talkbridge(&["run", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains(&format!("http.listen {address}")),
        "{output:?}"
    );
    assert!(!text(&output.stderr).contains("wonderland"));
}
