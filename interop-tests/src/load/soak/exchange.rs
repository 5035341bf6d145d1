//! SIP Server of the soak: every call has its own line, on which messages of its dialog come in.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use crate::load::sip_text::{self, Dialog, audio_address, header, status, tag};
use crate::load::{Map, dn};
use crate::{Result, Site};

/// An answer that has not come by then does not: it is a loopback interface, and what the gateway waits for is shorter.
const ANSWER_MAX: Duration = Duration::from_secs(10);

type Lines = Arc<Mutex<HashMap<usize, UnboundedSender<String>>>>;

/// The server; it ends on drop.
pub(super) struct Exchange {
    socket: Arc<UdpSocket>,
    us: SocketAddr,
    gateway: SocketAddr,
    map: Map,
    lines: Lines,
    calls: AtomicUsize,
    reader: JoinHandle<()>,
}

impl Exchange {
    /// Listens at the site's SIP Server address and grants every registration.
    pub(super) async fn start(site: &Site, map: Map) -> Result<Self> {
        let socket = Arc::new(UdpSocket::bind(site.server_sip()).await?);
        let lines = Lines::default();
        let reader = tokio::spawn(read(Arc::clone(&socket), Arc::clone(&lines)));
        Ok(Self {
            socket,
            us: site.server_sip(),
            gateway: site.gateway_sip(),
            map,
            lines,
            calls: AtomicUsize::new(0),
            reader,
        })
    }

    /// Calls an agent, and returns when her DN rings.
    pub(super) async fn ring(&self, session: usize) -> Result<Line<'_>> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let (sender, inbox) = unbounded_channel();
        self.lines().insert(number, sender);
        let mut line = Line {
            exchange: self,
            dialog: Dialog {
                session: number,
                dn: dn(session),
                us: self.us,
                them: self.gateway,
                caller: self.map.caller(session),
                their_tag: None,
            },
            inbox,
        };
        self.send(&line.dialog.invite()).await?;
        let ringing = line.answer("INVITE", 180).await?;
        line.dialog.their_tag = header(&ringing, "To").and_then(tag).map(str::to_owned);
        Ok(line)
    }

    async fn send(&self, text: &str) -> Result<()> {
        self.socket.send_to(text.as_bytes(), self.gateway).await?;
        Ok(())
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, HashMap<usize, UnboundedSender<String>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Hands messages of calls to their lines. What belongs to none is a registration, or of a call that is forgotten.
async fn read(socket: Arc<UdpSocket>, lines: Lines) {
    let mut buffer = vec![0; 8_192];
    loop {
        let Ok((len, from)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
        let call = header(&text, "Call-ID").and_then(Dialog::session_of);
        let line = call.and_then(|call| {
            let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.get(&call).cloned()
        });
        match line {
            // A line that was put down between the two is like one that is not there.
            Some(line) => drop(line.send(text)),
            None if call.is_none() && text.starts_with("REGISTER ") => {
                drop(socket.send_to(sip_text::ok(&text).as_bytes(), from).await);
            }
            None => {}
        }
    }
}

/// A call as SIP Server has it. Once it is dropped, nobody answers for it any more.
pub(super) struct Line<'a> {
    exchange: &'a Exchange,
    dialog: Dialog,
    inbox: UnboundedReceiver<String>,
}

impl Line<'_> {
    /// The desktop answers: where the gateway takes audio.
    pub(super) async fn talk(&mut self) -> Result<SocketAddr> {
        self.exchange.send(&self.dialog.talk()).await?;
        let answer = self.answer("INVITE", 200).await?;
        audio_address(&answer).ok_or_else(|| "no audio in the answer".into())
    }

    /// The 200 is acknowledged.
    pub(super) async fn ack(&self) -> Result<()> {
        self.exchange.send(&self.dialog.ack()).await
    }

    /// The desktop holds the call, and the gateway tells the caller's side by a re-INVITE.
    pub(super) async fn hold(&mut self) -> Result<()> {
        self.notify(3, "hold").await
    }

    /// The desktop retrieves it.
    pub(super) async fn retrieve(&mut self) -> Result<()> {
        self.notify(4, "talk").await
    }

    async fn notify(&mut self, cseq: u32, event: &str) -> Result<()> {
        let text = self.dialog.later("NOTIFY", cseq, event);
        self.exchange.send(&text).await?;
        self.request("INVITE").await
    }

    /// The caller hangs up.
    pub(super) async fn bye(&mut self) -> Result<()> {
        let text = self.dialog.later("BYE", 9, "");
        self.exchange.send(&text).await?;
        self.answer("BYE", 200).await.map(drop)
    }

    /// The caller gives up while it rings.
    pub(super) async fn cancel(&mut self) -> Result<()> {
        self.exchange.send(&self.dialog.cancel()).await?;
        self.answer("INVITE", 487).await?;
        self.exchange.send(&self.dialog.ack_refusal()).await
    }

    /// The gateway hangs up.
    pub(super) async fn ended(&mut self) -> Result<()> {
        self.request("BYE").await
    }

    /// Waits for a request of the gateway, and agrees to it.
    async fn request(&mut self, method: &str) -> Result<()> {
        loop {
            let message = self.next(method).await?;
            if status(&message).is_some() {
                continue;
            }
            let is_it = message.starts_with(method);
            self.reply(&message).await?;
            if is_it {
                return Ok(());
            }
        }
    }

    /// Waits for the answer to a request of ours, and agrees to what the gateway asks for meanwhile.
    async fn answer(&mut self, method: &str, wanted: u16) -> Result<String> {
        loop {
            let message = self.next(method).await?;
            let Some(code) = status(&message) else {
                self.reply(&message).await?;
                continue;
            };
            let cseq = header(&message, "CSeq").unwrap_or_default();
            if !cseq.ends_with(method) || code < 180 {
                continue;
            }
            if code == wanted {
                return Ok(message);
            }
            if code >= 300 {
                if method == "INVITE" {
                    let tag = header(&message, "To").and_then(tag).map(str::to_owned);
                    self.dialog.their_tag = tag;
                    self.exchange.send(&self.dialog.ack_refusal()).await?;
                }
                let line = message.lines().next().unwrap_or_default();
                return Err(format!("{method} wanted {wanted} and got {line}").into());
            }
        }
    }

    async fn reply(&self, request: &str) -> Result<()> {
        if request.starts_with("ACK ") {
            return Ok(());
        }
        let reply = if request.starts_with("INVITE ") {
            self.dialog.agree(request)
        } else {
            sip_text::ok(request)
        };
        self.exchange.send(&reply).await
    }

    async fn next(&mut self, method: &str) -> Result<String> {
        let message = tokio::time::timeout(ANSWER_MAX, self.inbox.recv()).await;
        let message = message.map_err(|_| format!("nothing came for {method}"))?;
        message.ok_or_else(|| "the exchange is gone".into())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.exchange.lines().remove(&self.dialog.session);
    }
}
