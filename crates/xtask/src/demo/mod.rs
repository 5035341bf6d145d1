//! `cargo xtask demo`: from a bare machine to a working call.

mod child;
mod configuration;
mod ports;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use clap::Args;

use crate::error::Error;
use crate::packages::{self, Consent, Purpose};
use crate::process;
use child::Child;
use configuration::Speech;
use ports::Addresses;

/// A debug build on a small machine needs a moment to open its sockets.
const START_MAX: Duration = Duration::from_secs(20);

/// How often the programs are looked at while somebody talks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The agent of the demo.
const DN: &str = "1002";

/// Another one, for those who want to call a colleague.
const SECOND_DN: &str = "1003";

/// Long enough for a day of trying things out.
const TOKEN_LIFE_S: &str = "86400";

/// Flags of `cargo xtask demo`.
#[derive(Args)]
pub(crate) struct Flags {
    /// Install missing system packages without asking.
    #[arg(long)]
    yes: bool,
    /// Make one whole call without hands: exit 0 when both sides heard each other.
    #[arg(long)]
    check: bool,
}

/// Runs the demo until Ctrl-C, or one call with `--check`. `false` says that the call did not work.
pub(crate) fn run(root: &Path, flags: &Flags) -> Result<bool, Error> {
    let purpose = if flags.check {
        Purpose::Check
    } else {
        Purpose::Demo
    };
    packages::install(
        purpose,
        if flags.yes {
            Consent::Given
        } else {
            Consent::Ask
        },
    )?;
    build(root, flags.check)?;

    let (interrupt, interrupted) = mpsc::channel();
    ctrlc::set_handler(move || {
        // Nobody listens any more when the programs are being ended already.
        let _ = interrupt.send(());
    })
    .map_err(|error| Error::file("the signal handler")(io::Error::other(error)))?;

    let mut demo = Demo::start(
        root,
        if flags.check {
            Speech::Tone
        } else {
            Speech::Phrase
        },
    )?;
    if flags.check {
        return demo.check();
    }
    demo.announce()?;
    demo.wait(&interrupted)?;
    println!("\nending the demo");
    Ok(true)
}

/// Builds what runs, and no more: the browser's driver and the tests' dependencies only for a check.
fn build(root: &Path, check: bool) -> Result<(), Error> {
    let mut command = process::cargo();
    command.args([
        "build",
        "--package",
        "gateway",
        "--package",
        "sim",
        "--bins",
    ]);
    process::run(command.current_dir(root))?;
    if check {
        let mut command = process::cargo();
        command.args(["build", "--package", "interop-tests", "--bin", "demo-check"]);
        process::run(command.current_dir(root))?;
    }
    Ok(())
}

/// Both programs, running. Dropped in this order: the gateway says goodbye to a SIP Server that is still there.
struct Demo {
    gateway: Child,
    simulator: Child,
    addresses: Addresses,
    programs: PathBuf,
    folder: PathBuf,
    configuration: PathBuf,
}

impl Demo {
    fn start(root: &Path, speech: Speech) -> Result<Self, Error> {
        let target = process::target(root);
        let (programs, folder) = (target.join("debug"), target.join("demo"));
        fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
        let addresses = Addresses::choose().map_err(Error::file("a free port"))?;

        let configuration = configuration::simulator(&folder, &addresses, speech)?;
        let mut command = Command::new(programs.join("tserver-sim"));
        command.arg("--config").arg(&configuration);
        let mut simulator = Child::start("tserver-sim", &mut command, &folder)?;
        simulator.ready(addresses.desk, "/desk", START_MAX)?;

        let configuration = configuration::gateway(&folder, &addresses)?;
        let mut command = Command::new(programs.join("talkbridge"));
        command.args(["run", "--config"]).arg(&configuration);
        let mut gateway = Child::start("talkbridge", &mut command, &folder)?;
        gateway.ready(addresses.admin, "/readyz", START_MAX)?;
        Ok(Self {
            gateway,
            simulator,
            addresses,
            programs,
            folder,
            configuration,
        })
    }

    /// The address of an agent's page, signed in by its token.
    fn page(&self, dn: &str) -> Result<String, Error> {
        let mut command = Command::new(self.programs.join("talkbridge"));
        command.args(["token", "--dn", dn, "--ttl", TOKEN_LIFE_S, "--config"]);
        let token = process::read(command.arg(&self.configuration))?;
        Ok(format!(
            "http://{}/agent#token={}",
            self.addresses.page,
            token.trim()
        ))
    }

    fn desk(&self) -> String {
        format!("http://{}/desk", self.addresses.desk)
    }

    fn announce(&self) -> Result<(), Error> {
        let (first, second) = (self.page(DN)?, self.page(SECOND_DN)?);
        println!("\nThe demo runs. Open these two pages side by side:");
        println!("\n  agent {DN}   {first}");
        println!("  desk         {}", self.desk());
        println!(
            "\nAllow the microphone, choose DN {DN} at the desk and press \"Customer calls\"."
        );
        println!("Answer at the desk, as Workspace would, or on the agent's page.");
        println!("\n  agent {SECOND_DN}   {second}");
        println!(
            "\n  administration   http://{}/metrics",
            self.addresses.admin
        );
        println!("  logs             {}", self.folder.display());
        if !self.addresses.webrtc.ip().is_loopback() {
            println!(
                "\nUntil you end it, audio is taken on udp {} of this machine.",
                self.addresses.webrtc
            );
        }
        println!("\nCtrl-C ends it.");
        Ok(())
    }

    /// One whole call in a browser without a screen.
    fn check(&self) -> Result<bool, Error> {
        let mut command = Command::new(self.programs.join("demo-check"));
        command.args([
            "--page",
            &self.page(DN)?,
            "--desk",
            &self.addresses.desk.to_string(),
            "--dn",
            DN,
        ]);
        println!("\na call to {DN}, answered at the desk, heard at both ends:");
        let worked = process::follow(&mut command)?.status.success();
        println!(
            "{}",
            if worked {
                "the call worked"
            } else {
                "the call did NOT work: see FAILED above"
            }
        );
        if !worked {
            println!("logs: {}", self.folder.display());
        }
        Ok(worked)
    }

    /// Until Ctrl-C, or until a program ends by itself.
    fn wait(&mut self, interrupted: &Receiver<()>) -> Result<(), Error> {
        loop {
            match interrupted.recv_timeout(LOOK_EVERY) {
                Err(RecvTimeoutError::Timeout) => {
                    self.simulator.running()?;
                    self.gateway.running()?;
                }
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }
}
