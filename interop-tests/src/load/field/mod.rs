//! Pages and telephones of all sessions, on one thread with one poll loop.
//!
//! Every end sends 20 ms of audio fifty times a second, and the sessions take their turns evenly
//! within those 20 ms, as telephones that know nothing of each other do.

mod ends;
mod event_loop;
mod window;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use mio::{Poll, Waker};
use tokio::sync::oneshot;

use super::Map;
use crate::Result;

pub(super) use ends::ssrc as caller_ssrc;
pub use window::{Direction, Window};

/// What pages and telephones say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sound {
    /// PCMU on both sides, with the time of its sending in each packet.
    Stamps,
    /// Speech with marks: Opus at the pages, PCMU at the telephones.
    Speech,
}

/// What the field is asked to do.
#[derive(Debug)]
pub(super) enum Order {
    /// A page gets an offer of the program in the middle.
    Offer {
        session: usize,
        sdp: String,
        answer: oneshot::Sender<Result<String>>,
        connected: oneshot::Sender<()>,
    },
    /// A page without WebRTC, for the bare relay.
    PlainPage { session: usize, to: SocketAddr },
    /// The telephone learns where to send.
    Caller { session: usize, to: SocketAddr },
    /// The telephone sends no more.
    HangUp { session: usize },
    /// The page's connection is gone without a word.
    Vanish { session: usize },
    /// Somebody has asked for the call to be answered: audio is awaited from here on.
    Talk { session: usize, at: Instant },
    /// Counting begins.
    OpenWindow,
    /// Counting ends; the answer comes when the last packets have had their time.
    CloseWindow(oneshot::Sender<Window>),
    /// The thread ends.
    Stop,
}

/// Speaks to the field. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Orders {
    orders: Sender<Order>,
    waker: Arc<Waker>,
}

impl Orders {
    pub(super) fn send(&self, order: Order) {
        // A field that has ended panicked: whoever waits for its answer learns it.
        drop(self.orders.send(order));
        drop(self.waker.wake());
    }

    /// Gives a page an offer. Yields the answer, and a receiver that fires when the page is connected.
    ///
    /// # Errors
    /// When the page's stack refuses the offer.
    pub async fn offer(
        &self,
        session: usize,
        sdp: String,
    ) -> Result<(String, oneshot::Receiver<()>)> {
        let (answer, answered) = oneshot::channel();
        let (connected, connection) = oneshot::channel();
        self.send(Order::Offer {
            session,
            sdp,
            answer,
            connected,
        });
        Ok((answered.await??, connection))
    }

    /// Makes a page a plain RTP endpoint that sends to `to`.
    pub fn plain_page(&self, session: usize, to: SocketAddr) {
        self.send(Order::PlainPage { session, to });
    }

    /// Tells a telephone where to send; it sends from its next 20 ms on.
    pub fn caller(&self, session: usize, to: SocketAddr) {
        self.send(Order::Caller { session, to });
    }

    /// The telephone sends no more.
    pub fn hang_up(&self, session: usize) {
        self.send(Order::HangUp { session });
    }

    /// The page's connection is gone without a word, as with a laptop that is shut.
    pub fn vanish(&self, session: usize) {
        self.send(Order::Vanish { session });
    }

    /// Tells when `session` was asked to be answered.
    pub fn talk(&self, session: usize, at: Instant) {
        self.send(Order::Talk { session, at });
    }

    /// Starts counting.
    pub fn open_window(&self) {
        self.send(Order::OpenWindow);
    }

    /// Ends counting and yields what was counted.
    ///
    /// # Errors
    /// When the field's thread has panicked.
    pub async fn close_window(&self) -> Result<Window> {
        let (reply, window) = oneshot::channel();
        self.send(Order::CloseWindow(reply));
        Ok(window.await?)
    }
}

/// The thread of all pages and telephones; it ends on drop.
#[derive(Debug)]
pub struct Field {
    orders: Orders,
    thread: Option<JoinHandle<()>>,
}

impl Field {
    /// Binds the sockets of all sessions and starts the thread.
    ///
    /// # Errors
    /// When a port is taken or the system refuses so many sockets.
    pub fn start(map: &Map, sessions: usize, sound: Sound) -> Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), event_loop::WAKE)?);
        let (sender, orders) = channel();
        let mut event_loop = event_loop::EventLoop::new(poll, orders, map, sessions, sound)?;
        let thread = std::thread::Builder::new()
            .name("load-field".to_owned())
            .spawn(move || event_loop.run())?;
        let orders = Orders {
            orders: sender,
            waker,
        };
        Ok(Self {
            orders,
            thread: Some(thread),
        })
    }

    /// Speaks to it.
    pub fn orders(&self) -> Orders {
        self.orders.clone()
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        self.orders.send(Order::Stop);
        if let Some(thread) = self.thread.take() {
            // A panic of the field has already failed the run.
            drop(thread.join());
        }
    }
}
