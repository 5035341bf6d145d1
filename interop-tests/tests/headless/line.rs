//! The line of a telephone: what becomes of its packets between it and the gateway.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use interop_tests::Customer;
use rtc::srtp::context::Context;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Packets that are kept, to be sent again: three seconds of speech, and less than the buffer of a socket holds.
const KEPT: usize = 150;

/// Of so many packets, on a line that is shaken, one is overtaken by the next one, another comes twice, and a third is held up.
const SHAKEN_OF: u64 = 10;

/// For how long that is: some packets of 20 ms overtake it.
const HELD_UP: Duration = Duration::from_millis(50);

/// Of so many packets one is held up for longer than anybody waits for it.
const FORGOTTEN_OF: u64 = 50;
const FORGOTTEN: Duration = Duration::from_millis(700);

/// What the line does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// It hands packets over.
    Plain,
    /// It swaps, doubles and delays what the telephone says.
    Shaken,
    /// Nothing passes before both keys are known.
    Secured,
}

/// What has passed.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// Packets of the telephone.
    pub(super) said: u64,
    /// Those that were sent twice.
    pub(super) doubled: u64,
    /// Those that have come too late for anybody.
    pub(super) forgotten: u64,
    /// Packets of the gateway that did not pass by its key.
    pub(super) unsound: u64,
}

enum Order {
    Keys {
        ours: Box<Context>,
        theirs: Box<Context>,
    },
    Repeat(oneshot::Sender<usize>),
}

/// A line, which ends with the test.
pub(super) struct Line {
    address: SocketAddr,
    passed: Arc<Mutex<Passed>>,
    orders: mpsc::UnboundedSender<Order>,
    task: JoinHandle<()>,
}

impl Line {
    /// One from the gateway to `customer`, from a free port of `host`: the description names its address in the place of the customer's.
    pub(super) async fn of(customer: &Customer, host: IpAddr, manner: Manner) -> Self {
        let bind = || UdpSocket::bind((host, 0));
        let (outer, inner) = (bind().await, bind().await);
        let outer = outer.expect("a free port");
        let address = outer.local_addr().expect("it is bound");
        let passed = Arc::<Mutex<Passed>>::default();
        let (orders, told) = mpsc::unbounded_channel();
        let ends = Ends {
            outer,
            inner: inner.expect("a free port"),
            customer: customer.address(),
            gateway: None,
            manner,
            keys: None,
            kept: VecDeque::new(),
            overtaken: None,
            held_up: BinaryHeap::new(),
            passed: Arc::clone(&passed),
        };
        Self {
            address,
            passed,
            orders,
            task: tokio::spawn(ends.run(told)),
        }
    }

    /// Its RTP address, for the SDP.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has passed. Do not hold it across an `await`.
    pub(super) fn passed(&self) -> MutexGuard<'_, Passed> {
        self.passed.lock().expect("the line's task lives")
    }

    /// The telephone speaks by `ours`, and hears by `theirs`.
    pub(super) fn secures(&self, ours: Context, theirs: Context) {
        let (ours, theirs) = (Box::new(ours), Box::new(theirs));
        let told = self.orders.send(Order::Keys { ours, theirs });
        assert!(told.is_ok(), "the line's task lives");
    }

    /// Sends the last seconds again, octet for octet, as somebody does who has kept what passed; how many packets these are.
    pub(super) async fn repeats(&self) -> usize {
        let (done, count) = oneshot::channel();
        let told = self.orders.send(Order::Repeat(done));
        assert!(told.is_ok(), "the line's task lives");
        count.await.expect("the line's task lives")
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Ends {
    outer: UdpSocket,
    inner: UdpSocket,
    customer: SocketAddr,
    gateway: Option<SocketAddr>,
    manner: Manner,
    keys: Option<(Box<Context>, Box<Context>)>,
    /// The latest packets that left, as they left.
    kept: VecDeque<Vec<u8>>,
    /// A packet that waits for the next one, which goes first.
    overtaken: Option<Vec<u8>>,
    /// Packets that wait for a time.
    held_up: BinaryHeap<Reverse<(Instant, bool, Vec<u8>)>>,
    passed: Arc<Mutex<Passed>>,
}

impl Ends {
    async fn run(mut self, mut told: mpsc::UnboundedReceiver<Order>) {
        let (mut theirs, mut ours) = (vec![0; 2_048], vec![0; 2_048]);
        loop {
            let due = self.held_up.peek().map(|Reverse((at, ..))| *at);
            let due = due.unwrap_or_else(|| Instant::now() + Duration::from_secs(1));
            tokio::select! {
                Ok((size, from)) = self.outer.recv_from(&mut theirs) => {
                    self.gateway = Some(from);
                    self.hears(&theirs[..size]).await;
                }
                Ok((size, _)) = self.inner.recv_from(&mut ours) => self.says(&ours[..size]).await,
                order = told.recv() => match order {
                    Some(Order::Keys { ours, theirs }) => self.keys = Some((ours, theirs)),
                    Some(Order::Repeat(done)) => {
                        for packet in self.kept.clone() {
                            send(&packet, &self.outer, self.gateway).await;
                        }
                        let _ = done.send(self.kept.len());
                    }
                    None => return,
                },
                () = tokio::time::sleep_until(due.into()) => {
                    if let Some(Reverse((_, forgotten, packet))) = self.held_up.pop() {
                        send(&packet, &self.outer, self.gateway).await;
                        self.counts(|passed| passed.forgotten += u64::from(forgotten));
                    }
                }
            }
        }
    }

    async fn hears(&mut self, packet: &[u8]) {
        let opened = match (self.manner, &mut self.keys) {
            (Manner::Secured, None) => return,
            (Manner::Secured, Some((_, theirs))) => theirs.decrypt_rtp(packet).ok(),
            (Manner::Plain | Manner::Shaken, _) => Some(packet.into()),
        };
        let Some(opened) = opened else {
            return self.counts(|passed| passed.unsound += 1);
        };
        drop(self.inner.send_to(&opened, self.customer).await);
    }

    async fn says(&mut self, packet: &[u8]) {
        let sealed = match &mut self.keys {
            Some((ours, _)) => ours.encrypt_rtp(packet).expect("a packet").to_vec(),
            None => packet.to_vec(),
        };
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(sealed.clone());
        let nth = {
            let mut passed = self.passed.lock().expect("no panic while held");
            passed.said += 1;
            passed.said
        };
        match (self.manner, nth % SHAKEN_OF) {
            (Manner::Shaken, 3) => self.overtaken = Some(sealed),
            (Manner::Shaken, 6) => {
                send(&sealed, &self.outer, self.gateway).await;
                send(&sealed, &self.outer, self.gateway).await;
                self.counts(|passed| passed.doubled += 1);
            }
            (Manner::Shaken, 8) => {
                let forgotten = nth % FORGOTTEN_OF == 8;
                let due = Instant::now() + if forgotten { FORGOTTEN } else { HELD_UP };
                self.held_up.push(Reverse((due, forgotten, sealed)));
            }
            _ => {
                send(&sealed, &self.outer, self.gateway).await;
                if let Some(overtaken) = self.overtaken.take() {
                    send(&overtaken, &self.outer, self.gateway).await;
                }
            }
        }
    }

    fn counts(&self, count: impl FnOnce(&mut Passed)) {
        count(&mut self.passed.lock().expect("no panic while held"));
    }
}

async fn send(packet: &[u8], outer: &UdpSocket, gateway: Option<SocketAddr>) {
    if let Some(gateway) = gateway {
        // A port that is closed by now answers with an ICMP error.
        drop(outer.send_to(packet, gateway).await);
    }
}
