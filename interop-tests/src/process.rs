//! A child process with its output kept in a file: killed on drop, shown when the test fails.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

use tokio::process::{Child, Command};

use crate::Result;

/// A running child.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with both outputs going to `dir/name.log`.
    ///
    /// # Errors
    /// When the program is not there or the file cannot be made.
    pub fn spawn(name: &str, command: &mut Command, dir: &Path) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let file = File::create(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{name}: {:?}: {error}", command.as_std().get_program()))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
        })
    }

    /// What it has written so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The exit status, if it has ended.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Those of the operating system.
    pub async fn wait(&mut self) -> Result<std::process::ExitStatus> {
        Ok(self.child.wait().await?)
    }

    /// Asks it to end as an operator would (SIGTERM).
    ///
    /// # Errors
    /// When there is no `kill` program.
    pub async fn terminate(&self) -> Result<()> {
        self.signal("TERM").await
    }

    /// Sends it a signal, by its short name.
    ///
    /// # Errors
    /// When there is no `kill` program.
    pub async fn signal(&self, name: &str) -> Result<()> {
        if let Some(pid) = self.child.id() {
            let mut kill = Command::new("kill");
            kill.args(["-s", name, &pid.to_string()]).status().await?;
        }
        Ok(())
    }

    /// The process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        show_on_failure(&self.name, || self.output());
    }
}

/// Prints what a failed test saw; nothing when the test is not failing.
#[expect(
    clippy::print_stderr,
    reason = "the one place where the harness speaks"
)]
pub(crate) fn show_on_failure(name: &str, what: impl FnOnce() -> String) {
    if std::thread::panicking() {
        eprintln!(
            "---- {name} ----
{}",
            what()
        );
    }
}

/// The path of one of the project's own programs, built when this process first asks.
///
/// `INTEROP_PREBUILT=1` says that the build is somebody else's business: the caller of
/// `cargo xtask test` has just done it.
///
/// # Errors
/// When the build fails.
pub fn binary(name: &str) -> Result<PathBuf> {
    static BUILT: OnceLock<std::result::Result<(), String>> = OnceLock::new();
    BUILT.get_or_init(build).clone()?;
    // .../target/debug/deps/sipp_hold-0123 -> .../target/debug/talkbridge
    let here = std::env::current_exe()?;
    let profile = here
        .ancestors()
        .find(|dir| dir.join(name).is_file())
        .ok_or_else(|| format!("{name} is not beside {}", here.display()))?;
    Ok(profile.join(name))
}

fn build() -> std::result::Result<(), String> {
    if std::env::var_os("INTEROP_PREBUILT").is_some() {
        return Ok(());
    }
    // cargo-nextest starts a process per test and gives the run an id: the first process builds,
    // the others find its mark. Two that start together both build; cargo's own lock orders them.
    let mark = std::env::var("NEXTEST_RUN_ID")
        .ok()
        .map(|run| std::env::temp_dir().join(format!("talkbridge-built-{run}")));
    if mark.as_ref().is_some_and(|mark| mark.exists()) {
        return Ok(());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = std::process::Command::new(cargo);
    build.current_dir(root()).args([
        "build",
        "--quiet",
        "--package",
        "gateway",
        "--package",
        "sim",
        "--bins",
    ]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let status = build
        .status()
        .map_err(|error| format!("cargo build: {error}"))?;
    if !status.success() {
        return Err(format!("cargo build: {status}"));
    }
    // Without the mark the next process builds again, which costs time only.
    mark.map_or(Ok(()), |mark| File::create(mark).map(drop).or(Ok(())))
}

/// The root of the checkout.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// `target/test-output`, where pictures and kept traces go.
///
/// # Errors
/// When it cannot be made.
pub fn output_dir() -> Result<PathBuf> {
    let dir = root().join("target/test-output");
    std::fs::create_dir_all(&dir)?;
    Ok(dir)
}
