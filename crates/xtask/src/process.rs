//! Running other programs: shown to the reader, checked, and captured where their output is evidence.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;

use crate::error::Error;

/// The command line as a reader would type it.
pub(crate) fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| {
        let word = word.to_string_lossy();
        if word.contains([' ', '(', '&', '|']) {
            format!("'{word}'")
        } else {
            word.into_owned()
        }
    }));
    words.join(" ")
}

/// Runs a program whose output goes straight to the terminal.
pub(crate) fn run(command: &mut Command) -> Result<(), Error> {
    let program = shown(command);
    println!("$ {program}");
    let status = command.status().map_err(|source| Error::Start {
        program: program.clone(),
        source,
    })?;
    judge(program, status)
}

/// Runs a program and returns what it wrote to standard output; its standard error is shown.
pub(crate) fn read(command: &mut Command) -> Result<String, Error> {
    let program = shown(command);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| Error::Start {
            program: program.clone(),
            source,
        })?;
    judge(program.clone(), output.status)?;
    String::from_utf8(output.stdout).map_err(|_| Error::Output {
        program,
        reason: "expected UTF-8".to_owned(),
    })
}

/// What a program printed, line by line and in order of arrival, and how it ended.
pub(crate) struct Transcript {
    /// Lines of both streams.
    pub(crate) lines: Vec<String>,
    /// The program's exit status.
    pub(crate) status: ExitStatus,
}

/// Runs a program, passes every line on to the terminal as it comes, and keeps the lines.
pub(crate) fn follow(command: &mut Command) -> Result<Transcript, Error> {
    let program = shown(command);
    println!("$ {program}");
    let start = |source| Error::Start {
        program: program.clone(),
        source,
    };
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(start)?;
    let (sender, receiver) = mpsc::channel();
    let readers = [
        child
            .stdout
            .take()
            .map(|pipe| forward(pipe, sender.clone())),
        child
            .stderr
            .take()
            .map(|pipe| forward(pipe, sender.clone())),
    ];
    drop(sender);
    let mut lines = Vec::new();
    for line in receiver {
        println!("{line}");
        lines.push(line);
    }
    for reader in readers.into_iter().flatten() {
        // A reader only ends early when its pipe broke; what it sent until then is already here.
        let _ = reader.join();
    }
    let status = child.wait().map_err(start)?;
    Ok(Transcript { lines, status })
}

fn forward(
    pipe: impl Read + Send + 'static,
    lines: mpsc::Sender<String>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n') {
            let Ok(line) = line else { return };
            if lines
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                return;
            }
        }
    })
}

fn judge(program: String, status: ExitStatus) -> Result<(), Error> {
    if status.success() {
        Ok(())
    } else {
        Err(Error::Failed {
            program,
            status: status.to_string(),
        })
    }
}

/// Where servers are that only root's `PATH` finds.
const SERVERS: &str = "/usr/sbin";

/// Where a program lives, on `PATH` or among the servers, if it is there.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .chain([PathBuf::from(SERVERS)])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// The `cargo` that started us, else the one on `PATH`.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Where cargo puts what it builds.
pub(crate) fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir))
}
