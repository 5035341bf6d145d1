//! Connections of browsers whose network lets no UDP out (ICE over TCP, RFC 6544): each carries the datagrams of one path, behind their
//! lengths. They are taken over from [`crate::edge::ice_tcp`] once their first check has named a leg of this worker.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use media::framing::{Deframer, frame};
use slab::Slab;

use super::poll::{Registry, Token};
use crate::edge::serve::Guest;
use crate::limits::{ICE_TCP_ADOPTED_WITHIN, ICE_TCP_OUTBOX_MAX, ICE_TCP_SILENCE_MAX};

/// Octets read from a connection at a time.
const READ_MAX: usize = 4_096;

/// A connection whose first check has come.
#[derive(Debug)]
pub struct Newcomer {
    /// The connection; it does not block.
    pub stream: TcpStream,
    /// The browser's end.
    pub peer: SocketAddr,
    /// Whose leg its first check is for.
    pub ufrag: String,
    /// Everything that has come so far.
    pub heard: Vec<u8>,
    /// Its place among the connections.
    pub guest: Guest,
}

struct Line {
    stream: TcpStream,
    peer: SocketAddr,
    inbox: Deframer,
    outbox: Vec<u8>,
    /// It has been written to since this was last asked: only who has proven to be the browser of a leg is.
    spoken_to: bool,
    broken: bool,
    /// When it is closed unless it is written to.
    until: Instant,
    _guest: Guest,
}

/// All connections of a worker.
pub(super) struct Lines {
    lines: Slab<Line>,
    by_peer: HashMap<SocketAddr, usize>,
    open: Arc<AtomicU64>,
    /// What is about to be written, kept for its memory.
    scratch: Vec<u8>,
}

impl Lines {
    /// `open` tells others how many there are.
    pub(super) fn new(open: Arc<AtomicU64>) -> Self {
        Self {
            lines: Slab::new(),
            by_peer: HashMap::new(),
            open,
            scratch: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Takes a connection over. Its index.
    pub(super) fn adopt(
        &mut self,
        now: Instant,
        newcomer: Newcomer,
        registry: &Registry,
        token: impl Fn(usize) -> Token,
    ) -> io::Result<usize> {
        let entry = self.lines.vacant_entry();
        let index = entry.key();
        registry.watch_changes(&newcomer.stream, token(index))?;
        let mut inbox = Deframer::default();
        inbox.push(&newcomer.heard);
        self.by_peer.insert(newcomer.peer, index);
        entry.insert(Line {
            stream: newcomer.stream,
            peer: newcomer.peer,
            inbox,
            outbox: Vec::new(),
            spoken_to: false,
            broken: false,
            until: now + ICE_TCP_ADOPTED_WITHIN,
            _guest: newcomer.guest,
        });
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok(index)
    }

    /// The next datagram of a connection. `None` until more comes, or when it is over.
    pub(super) fn receive(
        &mut self,
        index: usize,
        buffer: &mut [u8],
    ) -> Option<(usize, SocketAddr)> {
        let line = self.lines.get_mut(index)?;
        let mut octets = [0; READ_MAX];
        while !line.broken {
            match line.inbox.next_frame() {
                Ok(Some(datagram)) => {
                    let room = buffer.get_mut(..datagram.len())?;
                    room.copy_from_slice(datagram);
                    return Some((datagram.len(), line.peer));
                }
                Ok(None) => {}
                Err(_) => break,
            }
            match line.stream.read(&mut octets) {
                Ok(0) => break,
                Ok(length) => line.inbox.push(&octets[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(_) => break,
            }
        }
        self.close(index);
        None
    }

    /// Sends on the connection from this address. `false` when the datagram is lost: nobody is connected from there any more, or the
    /// browser does not read. Media is not repeated, so what is late is worth nothing.
    pub(super) fn send(&mut self, to: SocketAddr, datagram: &[u8]) -> bool {
        let Some(line) = self.by_peer.get(&to).and_then(|at| self.lines.get_mut(*at)) else {
            return false;
        };
        line.spoken_to = true;
        if line.outbox.len() + datagram.len() > ICE_TCP_OUTBOX_MAX {
            return false;
        }
        if !line.outbox.is_empty() {
            return frame(datagram, &mut line.outbox);
        }
        self.scratch.clear();
        if !frame(datagram, &mut self.scratch) {
            return false;
        }
        let written = line.write(&self.scratch);
        line.outbox.extend_from_slice(&self.scratch[written..]);
        !line.broken
    }

    /// The system takes more.
    pub(super) fn flush(&mut self, index: usize) {
        if let Some(line) = self.lines.get_mut(index)
            && !line.outbox.is_empty()
        {
            let outbox = std::mem::take(&mut line.outbox);
            let written = line.write(&outbox);
            line.outbox = outbox;
            line.outbox.drain(..written);
        }
    }

    /// Closes what is broken, and what nobody has been written to on for long.
    pub(super) fn sweep(&mut self, now: Instant) {
        let mut over = Vec::new();
        for (index, line) in &mut self.lines {
            if std::mem::take(&mut line.spoken_to) {
                line.until = now + ICE_TCP_SILENCE_MAX;
            }
            if line.broken || line.until <= now {
                over.push(index);
            }
        }
        for index in over {
            self.close(index);
        }
    }

    fn close(&mut self, index: usize) {
        let Some(line) = self.lines.try_remove(index) else {
            return;
        };
        if self.by_peer.get(&line.peer) == Some(&index) {
            self.by_peer.remove(&line.peer);
        }
        // Dropping the stream closes it, and takes it from the poll.
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Line {
    /// How many octets the system has taken.
    fn write(&mut self, octets: &[u8]) -> usize {
        let mut written = 0;
        while written < octets.len() && !self.broken {
            match self.stream.write(&octets[written..]) {
                Ok(0) => self.broken = true,
                Ok(length) => written += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.broken = true,
            }
        }
        written
    }
}
