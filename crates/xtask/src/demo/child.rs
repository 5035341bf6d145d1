//! A program that runs beside us: its output in a file, its end asked for and waited for.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;

/// How long a program may take to say goodbye before it is killed.
const STOP_MAX: Duration = Duration::from_secs(10);

/// How often a starting or ending program is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// An HTTP answer of a program that is starting must not hang for ever.
const HTTP_MAX: Duration = Duration::from_secs(2);

/// Lines of the log that are shown when a program ends by itself.
const LINES_SHOWN: usize = 20;

/// A running program; stopped on drop.
pub(super) struct Child {
    name: &'static str,
    process: process::Child,
    log: PathBuf,
}

impl Child {
    /// Starts `command` with both outputs going to `folder/name.log`.
    pub(super) fn start(
        name: &'static str,
        command: &mut Command,
        folder: &Path,
    ) -> Result<Self, Error> {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).map_err(Error::file(&log))?;
        let errors = file.try_clone().map_err(Error::file(&log))?;
        let process = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            // A group of its own: Ctrl-C reaches us alone, and we end the programs in the right order.
            .process_group(0)
            .spawn()
            .map_err(|source| Error::Start { program: crate::process::shown(command), source })?;
        Ok(Self { name, process, log })
    }

    /// Waits until `GET path` answers 200.
    pub(super) fn ready(
        &mut self,
        address: SocketAddr,
        path: &str,
        patience: Duration,
    ) -> Result<(), Error> {
        let deadline = Instant::now() + patience;
        while get(address, path) != Some(200) {
            self.running()?;
            if Instant::now() > deadline {
                let seconds = patience.as_secs();
                let text = format!(
                    "{} is not ready after {seconds} s; {}",
                    self.name,
                    self.last_words()
                );
                return Err(Error::Deadline(text));
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// An error with the end of its log if it has ended.
    pub(super) fn running(&mut self) -> Result<(), Error> {
        match self.process.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(Error::Failed {
                program: format!("{}, {}", self.name, self.last_words()),
                status: status.to_string(),
            }),
            Err(source) => Err(Error::Start {
                program: self.name.to_owned(),
                source,
            }),
        }
    }

    fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = &lines[lines.len().saturating_sub(LINES_SHOWN)..];
        format!(
            "its log ({}) ends:\n{}\n",
            self.log.display(),
            tail.join("\n")
        )
    }

    fn ended_within(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return true;
            }
            thread::sleep(LOOK_EVERY);
        }
        false
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !matches!(self.process.try_wait(), Ok(None)) {
            return;
        }
        // SIGTERM, by the program for it: the standard library can only kill.
        let asked = Command::new("kill")
            .arg(self.process.id().to_string())
            .status();
        if !asked.is_ok_and(|status| status.success()) || !self.ended_within(STOP_MAX) {
            eprintln!("{} does not end by itself and is killed", self.name);
            // It may have ended in between, and then there is nothing left to kill.
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

/// The status of `GET path`, or nothing while nobody answers.
fn get(address: SocketAddr, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect_timeout(&address, HTTP_MAX).ok()?;
    stream.set_read_timeout(Some(HTTP_MAX)).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer);
    answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_program_that_dies_is_reported_with_its_last_words() {
        let folder = std::env::temp_dir().join(format!("xtask-child-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no port left; exit 3"]);
        let mut child = Child::start("sh", &mut command, &folder).unwrap();
        assert!(child.ended_within(STOP_MAX));
        let error = child.running().unwrap_err().to_string();
        assert!(
            error.contains("no port left") && error.contains('3'),
            "{error}"
        );
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_status_of_an_answer_is_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 512];
            let read = stream.read(&mut request).unwrap();
            assert!(request[..read].starts_with(b"GET /readyz HTTP/1.1\r\n"));
            stream
                .write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
                .unwrap();
        });
        assert_eq!(get(address, "/readyz"), Some(503));
        server.join().unwrap();
    }
}
