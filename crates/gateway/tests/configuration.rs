//! What an administrator hears about a configuration: everything that is wrong, each with its line and what was expected.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use gateway::config::{self, AutoAnswer, Loaded, RegisterWhen, SipTransport};
use secrecy::ExposeSecret;

/// The smallest useful file.
const SMALLEST: &str = r#"[sip]
listen = ["udp:192.0.2.10:5060"]
advertise = "192.0.2.10"
servers = ["192.0.2.81:5060"]
transport = "udp"

[webrtc]
listen = "192.0.2.10:40000"
advertise = ["192.0.2.10"]

[media]
address = "192.0.2.10"
ports = "16384-32767"
codecs = ["pcmu", "pcma"]

[http]
listen = "127.0.0.1:8443"

[admin]
listen = "127.0.0.1:9090"

[auth]
token_keys = [{ alg = "HS256", secret = "0123456789abcdef0123456789abcdef" }]

[limits]
resume_grace_s = 30

[log]
level = "info"

[[agents]]
dn = "1002"
password = "wonderland"
register = "on_sign_in"
"#;

fn parse(text: &str) -> Result<Loaded, Vec<String>> {
    config::parse(Path::new("site.toml"), text, &|_| None)
        .map_err(|errors| errors.0.iter().map(ToString::to_string).collect())
}

/// The errors of [`SMALLEST`] with `from` replaced by `to`.
fn errors_with(from: &str, to: &str) -> Vec<String> {
    assert!(SMALLEST.contains(from), "the sample holds {from}");
    parse(&SMALLEST.replace(from, to)).expect_err("this is wrong")
}

#[test]
fn the_smallest_useful_file_is_enough() {
    let Loaded { config, warnings } = parse(SMALLEST).unwrap();
    assert_eq!(config.sip.lists()[0].plain_transport(), SipTransport::Udp);
    assert_eq!(config.agents[0].register, RegisterWhen::OnSignIn);
    assert_eq!(config.agents[0].auto_answer, AutoAnswer::Headers);
    assert_eq!(config.media.ports.pairs(), 8192);
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn plain_http_beyond_loopback_is_warned_of() {
    let open = SMALLEST.replace("127.0.0.1:8443", "0.0.0.0:8443");
    let warnings = parse(&open).unwrap().warnings;
    assert_eq!(warnings[0].line, 17);
    assert!(warnings[0].message.contains("plain HTTP"));
    let meant = open.replace("\"0.0.0.0:8443\"", "\"0.0.0.0:8443\"\ninsecure_http = true");
    assert!(parse(&meant).unwrap().warnings.is_empty());
}

/// A proxy has one address for all agents, which is found at the busiest hour otherwise.
#[test]
fn more_agents_than_one_address_may_bring_are_warned_of() {
    let many: String = (0..9)
        .map(|dn| format!("[[agents]]\ndn = \"200{dn}\"\n"))
        .collect();
    let site = |limits: &str, http: &str| {
        let text = format!("{SMALLEST}{many}").replace("resume_grace_s = 30", limits);
        let text = text.replace("[admin]", &format!("{http}\n[admin]"));
        let warnings = parse(&text).unwrap().warnings;
        warnings
            .into_iter()
            .map(|warning| warning.to_string())
            .collect::<Vec<_>>()
    };
    assert!(site("http_connections_per_source = 10\ncalls = 10", "").is_empty());
    let proxied = site("http_connections_per_source = 9", "insecure_http = true");
    assert_eq!(proxied.len(), 1, "{proxied:?}");
    assert!(
        proxied[0].starts_with("site.toml:27:") && proxied[0].contains("10 agents"),
        "{proxied:?}"
    );
}

/// Of three shifts one talks: a site that has set how many calls there may be has more agents on purpose, and its monitoring is not to be yellow for ever.
#[test]
fn more_agents_than_calls_are_warned_of_unless_that_is_meant() {
    let many: String = (0..2_000)
        .map(|dn| format!("[[agents]]\ndn = \"{}\"\n", 20_000 + dn))
        .collect();
    let warnings = |limits: &str| {
        let text = format!("{SMALLEST}{many}").replace("resume_grace_s = 30", limits);
        parse(&text).unwrap().warnings
    };
    let unset = warnings("http_connections_per_source = 4000");
    assert_eq!(unset.len(), 1, "{unset:?}");
    assert!(unset[0].message.contains("2001 agents and 2000 calls"));
    for meant in ["calls = 1500", "calls = 2000"] {
        let limits = format!("http_connections_per_source = 4000\n{meant}");
        assert!(warnings(&limits).is_empty());
    }
}

/// What no browser ever sends as its Origin lets nobody in.
#[test]
fn an_origin_that_no_browser_sends_is_refused() {
    let listen = "listen = \"127.0.0.1:8443\"";
    let with = |origin: &str| format!("{listen}\nallowed_origins = [\"{origin}\"]");
    for wrong in [
        "https://desk.example.com/",
        "https://*.example.com",
        "desk.example.com",
    ] {
        let errors = errors_with(listen, &with(wrong));
        assert!(errors[0].contains("expected an origin"), "{errors:?}");
    }
    let port = SMALLEST.replace(listen, &with("https://desk.example.com:443"));
    assert!(parse(&port).is_ok());
}

#[test]
fn a_misspelt_key_is_refused_with_what_was_expected() {
    let errors = errors_with("advertise = \"192.0.2.10\"", "advertize = \"192.0.2.10\"");
    assert!(
        errors[0].starts_with("site.toml:3: unknown field `advertize`"),
        "{errors:?}"
    );
    assert!(errors[0].contains("`advertise`"), "{errors:?}");
}

#[test]
fn an_unknown_section_is_refused() {
    let errors = errors_with("[limits]", "[limit]");
    assert!(
        errors[0].starts_with("site.toml:25: unknown field `limit`"),
        "{errors:?}"
    );
}

#[test]
fn a_missing_key_is_named() {
    let errors = errors_with("advertise = \"192.0.2.10\"\n", "");
    assert!(
        errors[0].starts_with("site.toml:1: missing field `advertise`"),
        "{errors:?}"
    );
    let errors = errors_with("servers = [\"192.0.2.81:5060\"]\n", "");
    assert_eq!(errors, ["site.toml:1: expected at least one SIP Server"]);
}

/// A DN is registered at the servers of one list or of several named ones.
#[test]
fn sites_take_the_place_of_servers() {
    let site = |name: &str, server: &str| {
        format!("[[sip.sites]]\nname = \"{name}\"\nservers = [\"{server}\"]\n")
    };
    let with = |servers: &str, sites: &str| {
        let text = SMALLEST.replace("servers = [\"192.0.2.81:5060\"]\n", servers);
        text + sites
    };
    let two = site("east", "192.0.2.81:5060") + &site("west", "192.0.2.82:5060");
    let config = parse(&with("", &two)).expect("two sites").config;
    let all: Vec<String> = config
        .sip
        .written_addresses()
        .map(|at| at.to_string())
        .collect();
    assert_eq!(all, ["192.0.2.81:5060", "192.0.2.82:5060"]);

    let both = with("servers = [\"192.0.2.81:5060\"]\n", &two);
    assert!(parse(&both).unwrap_err()[0].contains("found both"));
    let twice = site("east", "192.0.2.81:5060") + &site("west", "192.0.2.81:5060");
    assert!(parse(&with("", &twice)).unwrap_err()[0].contains("at one site"));
    let alike = site("east", "192.0.2.81:5060") + &site("east", "192.0.2.82:5060");
    assert!(parse(&with("", &alike)).unwrap_err()[0].contains("no other site"));
}

/// A change to [`SMALLEST`], the line it is found at, and what the error says was expected.
const BAD_VALUES: &[(&str, &str, usize, &str)] = &[
    (
        "udp:192.0.2.10:5060",
        "192.0.2.10:5060",
        2,
        "expected `udp:`",
    ),
    (
        "192.0.2.81:5060",
        "sip:1002@example.com",
        4,
        "expected an IP address or a name",
    ),
    (
        "advertise = \"192.0.2.10\"",
        "advertise = \"0.0.0.0\"",
        3,
        "can reach",
    ),
    (
        "transport = \"udp\"",
        "transport = \"tcp\"",
        5,
        "expected a `tcp:` address",
    ),
    (
        "transport = \"udp\"",
        "transport = \"sctp\"",
        5,
        "expected one of `udp`",
    ),
    ("16384-32767", "32767-16384", 13, "lower port first"),
    (
        "transport = \"udp\"",
        "session_expires_s = 89",
        5,
        "expected 0 or at least 90 seconds",
    ),
    (
        "transport = \"udp\"",
        "realm = 'a\"b'",
        5,
        "expected the realm",
    ),
    ("16384-32767", "16384", 13, "expected a range"),
    (
        "address = \"192.0.2.10\"",
        "address = \"0.0.0.0\"",
        12,
        "into the SDP",
    ),
    (
        "[\"pcmu\", \"pcma\"]",
        "[\"g729\"]",
        14,
        "expected one of `pcmu`, `pcma`, `g722`, `opus`",
    ),
    (
        "\"127.0.0.1:9090\"",
        "\"0.0.0.0:9090\"",
        20,
        "expected a loopback address",
    ),
    (
        "\"127.0.0.1:9090\"",
        "\"127.0.0.1:8443\"",
        20,
        "another address",
    ),
    ("resume_grace_s = 30", "calls = 0", 26, "expected 1 or more"),
    (
        "level = \"info\"",
        "level = \"loud\"",
        29,
        "expected one of",
    ),
    ("dn = \"1002\"", "dn = \"10 02\"", 32, "expected a DN"),
    (
        "register = \"on_sign_in\"",
        "register = \"sometimes\"",
        34,
        "expected `on_sign_in`",
    ),
    (
        "alg = \"HS256\"",
        "alg = \"none\"",
        23,
        "expected one of `HS256`",
    ),
    ("40000", "20000", 8, "outside of [media] ports"),
    (
        "\"192.0.2.81:5060\"",
        "\"[2001:db8::81]:5060\"",
        4,
        "address family",
    ),
];

#[test]
fn every_bad_value_names_its_line_and_what_was_expected() {
    for (from, to, line, expected) in BAD_VALUES {
        let errors = errors_with(from, to);
        let found = errors.iter().any(|error| {
            error.starts_with(&format!("site.toml:{line}: ")) && error.contains(expected)
        });
        assert!(
            found,
            "{to}: expected line {line} with `{expected}`, found {errors:#?}"
        );
    }
}

#[test]
fn a_dn_that_is_there_twice_names_the_second() {
    let twice = format!("{SMALLEST}\n[[agents]]\ndn = \"1002\"\n");
    let errors = parse(&twice).expect_err("twice");
    assert_eq!(
        errors,
        ["site.toml:37: expected each DN once, found `1002` again"]
    );
}

#[test]
fn everything_wrong_is_said_at_once() {
    let text = SMALLEST.replace("advertise = \"192.0.2.10\"", "advertise = \"0.0.0.0\"");
    let errors = parse(&text.replace("\"127.0.0.1:9090\"", "\"0.0.0.0:9090\"")).expect_err("two");
    let lines: Vec<_> = errors
        .iter()
        .map(|error| error.split(": ").next().unwrap())
        .collect();
    assert_eq!(lines, ["site.toml:3", "site.toml:20"]);
}

#[test]
fn syntax_errors_have_a_line_too() {
    let errors = errors_with("dn = \"1002\"", "dn = 1002\"");
    assert!(errors[0].starts_with("site.toml:32: "), "{errors:?}");
}

#[test]
fn tls_files_that_are_not_there_are_named() {
    let with_tls =
        "listen = \"127.0.0.1:8443\"\ncertificate_file = \"no.pem\"\nkey_file = \"no.key\"";
    let errors = errors_with("listen = \"127.0.0.1:8443\"", with_tls);
    assert!(
        errors[0].starts_with("site.toml:18: expected a readable PEM file: no.pem"),
        "{errors:?}"
    );
    assert!(errors[1].starts_with("site.toml:19: "), "{errors:?}");
    let half = "listen = \"127.0.0.1:8443\"\ncertificate_file = \"no.pem\"";
    let errors = errors_with("listen = \"127.0.0.1:8443\"", half);
    assert_eq!(errors, ["site.toml:18: expected `key_file` beside it"]);
}

#[test]
fn secrets_come_from_files_and_from_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("1002.password"), "from a file\n").unwrap();
    let text = SMALLEST
        .replace(
            "password = \"wonderland\"",
            "password_file = \"1002.password\"",
        )
        .replace(", secret = \"0123456789abcdef0123456789abcdef\"", "")
        .replace("127.0.0.1:9090", "0.0.0.0:9090");
    std::fs::write(dir.path().join("turn.secret"), "shared with the relay\n").unwrap();
    let turn = "urls = [\"turn:198.51.100.9\"]\nsecret_file = \"turn.secret\"";
    let text = format!("{text}\n[[agents]]\ndn = \"10+03\"\n[webrtc.turn]\n{turn}\n");
    let environment = |name: &str| match name {
        "TALKBRIDGE_ADMIN_TOKEN" => Some("an administrator".to_owned()),
        "TALKBRIDGE_TOKEN_SECRET" => Some("0123456789abcdef0123456789abcdef".to_owned()),
        "TALKBRIDGE_PASSWORD_10_03" => Some("from the environment".to_owned()),
        _ => None,
    };
    let loaded = config::parse(&dir.path().join("site.toml"), &text, &environment).unwrap();
    let password = |index: usize| {
        let agent = &loaded.config.agents[index];
        agent
            .password
            .as_ref()
            .map(|password| password.expose_secret().to_owned())
    };
    assert_eq!(password(0).as_deref(), Some("from a file"));
    assert_eq!(password(1).as_deref(), Some("from the environment"));
    let turn = loaded.config.webrtc.turn.as_ref().unwrap();
    let shared = turn.secret.as_ref().map(ExposeSecret::expose_secret);
    assert_eq!(shared, Some("shared with the relay"));
    assert!(loaded.config.admin.token.is_some());
    assert!(loaded.config.auth.token_keys[0].secret.is_some());
}

#[test]
fn a_secret_said_twice_is_an_error() {
    let errors = errors_with(
        "password = \"wonderland\"",
        "password = \"a\"\npassword_file = \"b\"",
    );
    assert_eq!(
        errors,
        ["site.toml:34: expected the secret itself or a file that holds it, found both"]
    );
}

#[test]
fn secrets_are_never_printed() {
    let shown = format!("{:?}", parse(SMALLEST).unwrap());
    assert!(
        !shown.contains("wonderland") && !shown.contains("0123456789abcdef"),
        "{shown}"
    );
}

#[test]
fn the_shipped_examples_are_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf");
    let mut seen = 0;
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if name.starts_with("talkbridge") && name.ends_with(".toml") {
            let text = std::fs::read_to_string(&path).unwrap();
            // Files that an example names are the site's own: each is stood in for by one that exists.
            let stand_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
            let text = text.replace("/etc/talkbridge/", &format!("{}/", stand_in.display()));
            let loaded = config::parse(&path, &text, &|_| Some("x".repeat(40)));
            assert!(loaded.is_ok(), "{}", loaded.unwrap_err());
            seen += 1;
        }
    }
    assert!(seen >= 2, "there are examples");
}

/// What the shipped unit leaves writable is where the shipped configuration writes: else the service does not start.
#[test]
fn the_shipped_unit_lets_the_shipped_configuration_write() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf");
    let unit = std::fs::read_to_string(root.join("talkbridge.service")).unwrap();
    let said = |key: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or_else(|| panic!("no {key} in the unit"))
    };
    assert_eq!(said("ProtectSystem="), "strict");
    let text = std::fs::read_to_string(root.join("talkbridge.toml")).unwrap();
    let config: toml::Table = text.parse().unwrap();
    for (section, key, folder) in [
        (
            "recording",
            "folder",
            format!("/var/lib/{}/", said("StateDirectory=")),
        ),
        (
            "cdr",
            "file",
            format!("/var/log/{}/", said("LogsDirectory=")),
        ),
    ] {
        let path = config[section][key].as_str().unwrap();
        assert!(path.starts_with(&folder), "{path} is not in {folder}");
    }
}

/// Firefox leaves a TURN server out that has a certificate and no name.
#[test]
fn a_turn_server_over_tls_is_named() {
    let warnings = |urls: &str| {
        let turn = format!("[webrtc.turn]\nurls = [{urls}]\nsecret = \"shared\"");
        let helper = format!("[[webrtc.ice_servers]]\nurls = [{urls}]");
        [turn, helper].map(|section| {
            let loaded = parse(&format!("{SMALLEST}\n{section}\n")).unwrap();
            let all = loaded.warnings.iter().map(ToString::to_string);
            all.filter(|warning| warning.contains("Firefox")).count()
        })
    };
    for named in [
        "\"turns:turn.example.com:5349?transport=tcp\"",
        "\"turn:192.0.2.1\", \"turns:turn.example.com\"",
    ] {
        assert_eq!(warnings(named), [0, 0], "{named}");
    }
    for by_address in [
        "\"turns:192.0.2.1\"",
        "\"turn:192.0.2.1\", \"turns:192.0.2.1:5349?transport=tcp\"",
        "\"turns:[2001:db8::1]:5349\"",
    ] {
        assert_eq!(warnings(by_address), [1, 1], "{by_address}");
    }
}

/// Whoever can read the network between an administrator and the gateway has his token and hears calls: that is warned of, unless it is meant.
#[test]
fn an_administrators_listener_in_the_open_is_warned_of() {
    let environment =
        |name: &str| (name == "TALKBRIDGE_ADMIN_TOKEN").then(|| "an administrator".to_owned());
    let warnings = |listen: &str| {
        let text = SMALLEST.replace("listen = \"127.0.0.1:9090\"", listen);
        let loaded = config::parse(Path::new("site.toml"), &text, &environment).unwrap();
        let all = loaded.warnings.iter().map(ToString::to_string);
        all.filter(|warning| warning.contains("live taps")).count()
    };
    assert_eq!(warnings("listen = \"127.0.0.1:9090\""), 0);
    assert_eq!(warnings("listen = \"0.0.0.0:9090\""), 1);
    assert_eq!(
        warnings("listen = \"0.0.0.0:9090\"\ninsecure_http = true"),
        0
    );
}

/// A name with a line end or a colon in it is no header, and a page has no business with credentials.
#[test]
fn only_headers_that_a_page_may_see_are_passed() {
    let with = |list: &str| {
        let listed = format!("transport = \"udp\"\npass_headers = {list}");
        SMALLEST.replace("transport = \"udp\"", &listed)
    };
    let Loaded { config, .. } = parse(&with(r#"["X-Site", "subject"]"#)).unwrap();
    assert_eq!(config.sip.pass_headers, ["X-Site", "subject"]);
    for wrong in [
        r#"["X Site"]"#,
        r#"["X-A:"]"#,
        r#"["Authorization"]"#,
        r#"["v"]"#,
    ] {
        let errors = parse(&with(wrong)).expect_err("this is wrong");
        assert!(errors[0].starts_with("site.toml:6: "), "{errors:?}");
    }
}
