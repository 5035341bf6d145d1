//! Datagrams at full rate, from threads of their own.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// After so many datagrams at most the sender lets others run: on a machine with two cores it would otherwise measure itself.
const BURST: u64 = 128;

/// How long it lets them.
const PAUSE: Duration = Duration::from_millis(1);

/// A flood that runs until it is dropped.
#[derive(Debug)]
pub struct Flood {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    began: Instant,
    sockets: Vec<UdpSocket>,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    /// Sends what `message` makes of a sender's address and a running number to `to`, from a socket at each of `from` in turn, `per_s` times a
    /// second, or as often as the machine can.
    ///
    /// # Panics
    /// When an address is taken.
    pub fn start(
        to: SocketAddr,
        from: impl IntoIterator<Item = SocketAddr>,
        per_s: u64,
        mut message: impl FnMut(SocketAddr, u64) -> Vec<u8> + Send + 'static,
    ) -> Self {
        let sockets: Vec<UdpSocket> = from
            .into_iter()
            .map(|address| UdpSocket::bind(address).expect("the address is ours"))
            .collect();
        let senders: Vec<UdpSocket> = sockets
            .iter()
            .map(|socket| socket.try_clone().expect("descriptors are left"))
            .collect();
        let (stop, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&sent));
        let began = Instant::now();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let due = began.elapsed().as_millis() as u64 * per_s / 1000;
                for _ in 0..due.saturating_sub(count.load(Ordering::Relaxed)).min(BURST) {
                    let nth = count.fetch_add(1, Ordering::Relaxed);
                    let sender = &senders[nth as usize % senders.len()];
                    let Ok(local) = sender.local_addr() else {
                        continue;
                    };
                    // A full buffer and an ICMP answer lose this one: there are more.
                    drop(sender.send_to(&message(local, nth), to));
                }
                std::thread::sleep(PAUSE);
            }
        });
        Self {
            stop,
            sent,
            began,
            sockets,
            thread: Some(thread),
        }
    }

    /// Datagrams sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Datagrams a second, from its begin until now.
    pub fn rate_per_s(&self) -> u64 {
        self.sent() * 1000 / (self.began.elapsed().as_millis() as u64).max(1)
    }

    /// Where it sends from.
    ///
    /// # Panics
    /// When a socket does not know.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let local = |socket: &UdpSocket| socket.local_addr().expect("it is bound");
        self.sockets.iter().map(local).collect()
    }

    /// Datagrams that have come back to its sockets since this was last asked.
    ///
    /// # Panics
    /// When a socket cannot be asked.
    pub fn came_back(&self) -> usize {
        let mut buffer = [0; 2048];
        let mut count = 0;
        for socket in &self.sockets {
            socket.set_nonblocking(true).expect("a socket can be asked");
            while socket.recv_from(&mut buffer).is_ok() {
                count += 1;
            }
        }
        count
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic would be the test's own.
            drop(thread.join());
        }
    }
}
