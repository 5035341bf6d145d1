//! A telephone that reports by RTCP what it hears, for calls that are to be scored.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long it listens before it looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(50);

/// Answers each sender report with a receiver report at once: nothing is lost, and the round trip is that of the wire.
#[derive(Debug)]
pub struct Reporter {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Reporter {
    /// At the port above the one for audio (RFC 3550 section 11), as the source `ssrc`.
    ///
    /// # Panics
    /// When the port is taken.
    pub fn beside(audio: SocketAddr, ssrc: u32) -> Self {
        let socket = UdpSocket::bind((audio.ip(), audio.port() + 1)).expect("a free port");
        let waits = socket.set_read_timeout(Some(LOOK));
        waits.expect("a socket can wait");
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 2_048];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((len, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                if let Some(report) = answer(&buffer[..len], ssrc) {
                    // A port that is closed by now answers with an ICMP error.
                    drop(socket.send_to(&report, from));
                }
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic would be the test's own.
            drop(thread.join());
        }
    }
}

/// The receiver report (RFC 3550 section 6.4.2) that answers a compound which begins with a sender report.
fn answer(compound: &[u8], ssrc: u32) -> Option<Vec<u8>> {
    let head = compound.get(..20).filter(|head| head[1] == 200)?;
    let mut report = vec![0x81, 201, 0, 7];
    report.extend(ssrc.to_be_bytes());
    report.extend(&head[4..8]);
    // Nothing lost, no number, no jitter.
    report.extend([0; 12]);
    // The middle of the report's time, and no time in between.
    report.extend(&head[10..14]);
    report.extend([0; 4]);
    Some(report)
}
