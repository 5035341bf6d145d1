//! System packages that the demo and the tests drive.

use std::io::{IsTerminal, Write};
use std::process::Command;

use crate::error::Error;
use crate::process;

/// What the packages are for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Building and talking to it by one's own browser.
    Demo,
    /// One call without hands.
    Check,
    /// Everything CI runs.
    Tests,
    /// Measuring beside others' programs.
    Bench,
}

/// Whether somebody must agree before anything is installed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consent {
    /// Install without asking.
    Given,
    /// Ask, if there is somebody at a terminal to ask.
    Ask,
}

/// A program by any of its names (a library by the file that pkg-config knows it by), with the packages of Debian and Ubuntu that bring it and what it needs.
struct Need {
    programs: &'static [&'static str],
    packages: &'static [&'static str],
    purposes: &'static [Purpose],
}

const ALL: &[Purpose] = &[
    Purpose::Demo,
    Purpose::Check,
    Purpose::Tests,
    Purpose::Bench,
];
const BROWSER: &[Purpose] = &[Purpose::Check, Purpose::Tests];

const NEEDS: [Need; 17] = [
    // aws-lc, the cryptography of TLS and DTLS, is C.
    Need {
        programs: &["cc"],
        packages: &["build-essential"],
        purposes: ALL,
    },
    // Without it the build compiles the Opus library that comes with its crate, which takes cmake.
    Need {
        programs: &["opus.pc"],
        packages: &["libopus-dev", "pkg-config"],
        purposes: ALL,
    },
    Need {
        programs: &["sipp"],
        packages: &["sip-tester"],
        purposes: &[Purpose::Tests],
    },
    // Hosts of their own, and wires that lose.
    Need {
        programs: &["ip"],
        packages: &["iproute2"],
        purposes: &[Purpose::Tests],
    },
    Need {
        programs: &["iptables"],
        packages: &["iptables"],
        purposes: &[Purpose::Tests],
    },
    Need {
        programs: &["conntrack"],
        packages: &["conntrack"],
        purposes: &[Purpose::Tests],
    },
    Need {
        programs: &["kamailio"],
        packages: &["kamailio", "kamailio-tls-modules"],
        purposes: &[Purpose::Tests],
    },
    Need {
        programs: &["baresip"],
        packages: &["baresip-core"],
        purposes: &[Purpose::Tests],
    },
    Need {
        programs: &["turnserver"],
        packages: &["coturn"],
        purposes: &[Purpose::Tests],
    },
    // Tells a browser whom to trust.
    Need {
        programs: &["certutil"],
        packages: &["libnss3-tools"],
        purposes: &[Purpose::Tests],
    },
    // Its library makes the clock of one process jump.
    Need {
        programs: &["faketime"],
        packages: &["faketime"],
        purposes: &[Purpose::Tests],
    },
    // Reads what the simulated world wrote down.
    Need {
        programs: &["tshark"],
        packages: &["tshark"],
        purposes: &[Purpose::Tests],
    },
    Need {
        programs: &["chromium", "google-chrome", "chromium-browser"],
        packages: &["chromium"],
        purposes: BROWSER,
    },
    Need {
        programs: &["chromedriver"],
        packages: &["chromium-driver"],
        purposes: BROWSER,
    },
    Need {
        programs: &["firefox-esr"],
        packages: &["firefox-esr"],
        purposes: &[Purpose::Tests],
    },
    Need {
        programs: &["rtpengine"],
        packages: &["rtpengine-daemon"],
        purposes: &[Purpose::Bench],
    },
    Need {
        programs: &["janus"],
        packages: &["janus"],
        purposes: &[Purpose::Bench],
    },
];

/// Makes sure that the programs are there, says which are missing, and installs them.
pub(crate) fn install(purpose: Purpose, consent: Consent) -> Result<(), Error> {
    let missing = missing(purpose, is_there);
    if missing.is_empty() {
        println!("all programs are there");
        return Ok(());
    }
    println!("missing system packages: {}", missing.join(" "));
    let by_hand = || {
        let text = format!(
            "install these packages (Debian and Ubuntu names), then try again: {}",
            missing.join(" ")
        );
        Error::Missing(text)
    };
    if process::find("apt-get").is_none() || (consent == Consent::Ask && !agreed()?) {
        return Err(by_hand());
    }
    let prefix = privilege().ok_or_else(by_hand)?;
    process::run(&mut apt(prefix, &["update"]))?;
    let mut command = apt(prefix, &["install", "--yes", "--no-install-recommends"]);
    process::run(command.args(&missing))
}

fn is_there(name: &str) -> bool {
    match name.strip_suffix(".pc") {
        None => process::find(name).is_some(),
        Some(library) => Command::new("pkg-config")
            .args(["--exists", library])
            .status()
            .is_ok_and(|status| status.success()),
    }
}

fn missing(purpose: Purpose, is_there: impl Fn(&str) -> bool) -> Vec<&'static str> {
    NEEDS
        .iter()
        .filter(|need| need.purposes.contains(&purpose))
        .filter(|need| !need.programs.iter().any(|program| is_there(program)))
        .flat_map(|need| need.packages.iter().copied())
        .collect()
}

/// Asks at the terminal; without one there is nobody to ask, and the caller said what it wants.
fn agreed() -> Result<bool, Error> {
    if !std::io::stdin().is_terminal() {
        return Ok(true);
    }
    print!("install them now? [Y/n] ");
    let console = Error::file("the terminal");
    let mut answer = String::new();
    std::io::stdout()
        .flush()
        .and_then(|()| std::io::stdin().read_line(&mut answer))
        .map_err(console)?;
    Ok(matches!(
        answer.trim().to_lowercase().as_str(),
        "" | "y" | "yes"
    ))
}

/// How to become root: not at all, or by sudo.
fn privilege() -> Option<&'static [&'static str]> {
    let id = process::read(Command::new("id").arg("-u")).ok()?;
    if id.trim() == "0" {
        return Some(&[]);
    }
    process::find("sudo")?;
    // Without a terminal a question for a password would hang for ever.
    Some(if std::io::stdin().is_terminal() {
        &["sudo"]
    } else {
        &["sudo", "-n"]
    })
}

fn apt(prefix: &[&str], arguments: &[&str]) -> Command {
    let mut words =
        prefix
            .iter()
            .copied()
            .chain(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    let mut command = Command::new(words.next().expect("there is always at least `env`"));
    command.args(words).args(arguments);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_and_needed_is_installed() {
        let there = ["cc", "opus.pc", "google-chrome"];
        let missing = |purpose| missing(purpose, |program| there.contains(&program));
        assert_eq!(
            missing(Purpose::Tests),
            [
                "sip-tester",
                "iproute2",
                "iptables",
                "conntrack",
                "kamailio",
                "kamailio-tls-modules",
                "baresip-core",
                "coturn",
                "libnss3-tools",
                "faketime",
                "tshark",
                "chromium-driver",
                "firefox-esr"
            ]
        );
        assert_eq!(missing(Purpose::Check), ["chromium-driver"]);
        assert_eq!(missing(Purpose::Bench), ["rtpengine-daemon", "janus"]);
        assert!(missing(Purpose::Demo).is_empty());
    }

    #[test]
    fn apt_runs_with_and_without_sudo() {
        assert_eq!(
            process::shown(&apt(&[], &["update"])),
            "env DEBIAN_FRONTEND=noninteractive apt-get update"
        );
        assert!(process::shown(&apt(&["sudo", "-n"], &["update"])).starts_with("sudo -n env "));
    }
}
