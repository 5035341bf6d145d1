//! The agent WebSocket: one task a page. It checks what a connection may do (origin, token, sizes, rates, silence) and carries
//! messages; what they mean is the switchboard's business.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use control::{CloseCode, DecodeError, ErrorCode, GatewayMessage, PageMessage, PageRequest};
use switchboard::PageId;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_tungstenite::tungstenite;

use super::allowance::Allowance;
use super::origin::{OriginRule, shown};
use super::rate::Rate;
use super::serve::{Peer, Seat};
use super::sparing::Sparing;
use crate::limits::{
    HELLO_WITHIN, PAGE_BURST_FACTOR, PAGE_CLOSE_WITHIN, PAGE_HELLO_OCTETS_MAX,
    PAGE_MESSAGE_OCTETS_MAX, PAGE_MESSAGE_OCTETS_READ, PAGE_PING_EVERY, PAGE_PINGS_UNANSWERED_MAX,
    PAGE_QUEUE_MAX, PAGE_READ_BUFFER_OCTETS, PAGE_WRITE_BUFFER_OCTETS_MAX, PAGE_WRITE_WITHIN,
};
use crate::token::{Bearer, TokenKeys};

/// What pages tell the control loop.
#[derive(Debug)]
pub enum PageEvent {
    /// A page with a good token is there, or with one that was good and a session to come back to.
    SignIn {
        /// The page.
        page: PageId,
        /// The DN that its token names.
        dn: String,
        /// The token's time is over.
        token_expired: bool,
        /// The `id` of its `hello`.
        request_id: Option<String>,
        /// The resume secret of an earlier `welcome`.
        resume: Option<String>,
        /// Its peer connection outlived the lost socket.
        media_kept: bool,
        /// Takes what is to be said to it. Dropping it closes the page as too slow.
        outbox: Outbox,
    },
    /// A page says something.
    Request {
        /// The page.
        page: PageId,
        /// What it says.
        request: PageRequest,
    },
    /// A page's connection is gone.
    Closed {
        /// The page.
        page: PageId,
    },
}

/// The control loop's way to a page's task: bounded, with a place kept for the code that ends the connection.
#[derive(Debug)]
pub struct Outbox(mpsc::Sender<ToPage>);

impl Outbox {
    /// An empty one, and what the page's task reads.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<ToPage>) {
        let (queue, inbox) = mpsc::channel(PAGE_QUEUE_MAX + 1);
        (Self(queue), inbox)
    }

    /// Queues a message. A page that has no room for it does not read and is closed, as too slow, or as replaced where that was to be said: it must
    /// not come back then. `false` when the page is as good as gone.
    #[must_use]
    pub fn say(&self, message: GatewayMessage) -> bool {
        if self.0.capacity() > 1 {
            return self.0.try_send(ToPage::Say(Box::new(message))).is_ok();
        }
        let code = if matches!(message, GatewayMessage::Replaced) {
            CloseCode::Replaced
        } else {
            CloseCode::TooSlow
        };
        self.close(code);
        false
    }

    /// Ends the connection behind what was said.
    pub fn close(&self, code: CloseCode) {
        // The place is kept; an error says that the page is gone.
        let _ = self.0.try_send(ToPage::Close(code));
    }
}

/// What the control loop tells a page's task.
#[derive(Debug)]
pub enum ToPage {
    /// Say this.
    Say(Box<GatewayMessage>),
    /// Close the connection.
    Close(CloseCode),
}

/// What all pages share.
#[derive(Debug)]
pub struct Front {
    /// The way into the control loop.
    pub door: mpsc::Sender<PageEvent>,
    /// The keys that sign tokens; replaced by a reload.
    pub keys: RwLock<Arc<TokenKeys>>,
    /// Whose pages may come.
    pub origins: OriginRule,
    /// Connections at a time.
    pub web_sockets_max: usize,
    /// Messages a second of one page.
    pub messages_per_s: u32,
    /// For metrics.
    pub counters: FrontCounters,
    /// Lines about bad tokens.
    pub token_lines: Sparing,
    /// Lines about foreign pages.
    pub origin_lines: Sparing,
    /// Pages are numbered, and numbers never used again.
    pub last_page: AtomicU64,
}

impl Front {
    async fn pass_on(&self, page: PageId, request: PageRequest) -> Result<(), End> {
        let event = PageEvent::Request { page, request };
        self.door
            .send(event)
            .await
            .map_err(|_| End::Close(CloseCode::GoingAway))
    }
}

/// Numbers of the front, for metrics.
#[derive(Debug, Default)]
pub struct FrontCounters {
    /// WebSockets that are open.
    pub open: AtomicUsize,
    /// Upgrades that were refused for their Origin.
    pub origin_refused: AtomicU64,
    /// Closes by us, in the order of [`CloseCode::ALL`].
    pub closed: [AtomicU64; CloseCode::ALL.len()],
}

impl FrontCounters {
    fn count(&self, code: CloseCode) {
        if let Some(index) = CloseCode::ALL.iter().position(|known| *known == code) {
            self.closed[index].fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// `GET /agent/v1`.
pub async fn upgrade(
    State(front): State<Arc<Front>>,
    Extension(Peer(remote)): Extension<Peer>,
    seat: Extension<Seat>,
    Extension(allowance): Extension<Allowance>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if !front.origins.admits(&headers) {
        front
            .counters
            .origin_refused
            .fetch_add(1, Ordering::Relaxed);
        if let Some(unsaid) = front.origin_lines.line(Instant::now()) {
            let (origin, host) = (shown(&headers, ORIGIN), shown(&headers, HOST));
            tracing::warn!(%remote, origin, host, unsaid, "a page of a foreign origin is refused; see [http] allowed_origins");
        }
        return (StatusCode::FORBIDDEN, "this origin is not allowed here\n").into_response();
    }
    upgrade
        .read_buffer_size(PAGE_READ_BUFFER_OCTETS)
        .write_buffer_size(0)
        .max_write_buffer_size(PAGE_WRITE_BUFFER_OCTETS_MAX)
        .max_message_size(PAGE_MESSAGE_OCTETS_READ)
        .max_frame_size(PAGE_MESSAGE_OCTETS_READ)
        .on_upgrade(move |socket| async move {
            let page = PageId(front.last_page.fetch_add(1, Ordering::Relaxed) + 1);
            let open = front.counters.open.fetch_add(1, Ordering::Relaxed);
            let mut connection = Connection {
                socket,
                page,
                remote,
                rate: Rate::new(front.messages_per_s, PAGE_BURST_FACTOR, Instant::now()),
                unanswered: 0,
            };
            allowance.bound(PAGE_HELLO_OCTETS_MAX);
            let end = if open < front.web_sockets_max {
                connection.converse(&front, &allowance).await
            } else {
                End::Close(CloseCode::TooMany)
            };
            if let End::Close(code) = end {
                front.counters.count(code);
                connection.close(code).await;
            }
            front.counters.open.fetch_sub(1, Ordering::Relaxed);
            drop(seat);
        })
}

/// One page's connection.
struct Connection {
    socket: WebSocket,
    page: PageId,
    remote: SocketAddr,
    rate: Rate,
    /// Pings since anything was heard.
    unanswered: u8,
}

/// How a connection ends.
enum End {
    /// By us, with a code.
    Close(CloseCode),
    /// The page is gone already.
    Gone,
}

/// What a page said.
enum Heard {
    /// A request.
    Request(PageRequest),
    /// Something that is none.
    Nonsense(DecodeError),
}

/// A `hello` with a good token, or with one that was good and names a session.
struct Hello {
    bearer: Bearer,
    request_id: Option<String>,
    resume: Option<String>,
    media_kept: bool,
}

impl Connection {
    async fn converse(&mut self, front: &Front, allowance: &Allowance) -> End {
        let hello = match timeout(HELLO_WITHIN, self.hello(front)).await {
            Ok(Ok(hello)) => hello,
            Ok(Err(end)) => return end,
            Err(_) => return End::Close(CloseCode::TooSlow),
        };
        allowance.lift();
        let (outbox, mut inbox) = Outbox::new();
        let Hello {
            bearer,
            request_id,
            resume,
            media_kept,
        } = hello;
        let page = self.page;
        let sign_in = PageEvent::SignIn {
            page,
            dn: bearer.dn,
            token_expired: bearer.has_expired,
            request_id,
            resume,
            media_kept,
            outbox,
        };
        if front.door.send(sign_in).await.is_err() {
            return End::Close(CloseCode::GoingAway);
        }
        let end = match self.talk(front, &mut inbox).await {
            End::Close(CloseCode::TooSlow) => End::Close(verdict(&mut inbox)),
            end => end,
        };
        let _ = front.door.send(PageEvent::Closed { page }).await;
        end
    }

    /// The first message must be a `hello` with a good token; for a page that comes back to a session it may have expired.
    async fn hello(&mut self, front: &Front) -> Result<Hello, End> {
        let PageRequest { id, message } = loop {
            match self.listen().await? {
                Heard::Request(request) => break request,
                Heard::Nonsense(error) => self.correct(error).await?,
            }
        };
        let PageMessage::Hello {
            token,
            resume,
            client,
            media_kept,
        } = message
        else {
            self.refuse(id, ErrorCode::NotSignedIn, "expected hello first")
                .await;
            return Err(End::Close(CloseCode::NotSignedIn));
        };
        let keys = Arc::clone(
            &front
                .keys
                .read()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        );
        let now_s = crate::calendar::since_epoch().as_secs();
        let token = token.expose();
        // A page that has a session may be good for longer than its token, which is not decided here.
        let verified = match &resume {
            Some(_) => keys.verify_but_for_its_end(token, now_s),
            None => keys.verify(token, now_s).map(Bearer::from),
        };
        match verified {
            Ok(bearer) => {
                let client = client.map(|client| client.name).unwrap_or_default();
                let Bearer { dn, has_expired } = &bearer;
                tracing::debug!(
                    page = self.page.0,
                    dn,
                    has_expired,
                    client,
                    "a page says hello"
                );
                let resume = resume.map(control::Secret::into_inner);
                Ok(Hello {
                    bearer,
                    request_id: id,
                    resume,
                    media_kept,
                })
            }
            Err(error) => {
                let (page, remote) = (self.page.0, self.remote);
                if let Some(unsaid) = front.token_lines.line(Instant::now()) {
                    tracing::warn!(page, %remote, %error, unsaid, "a page with a bad token is refused");
                }
                self.refuse(id, ErrorCode::NotAllowed, &error.to_string())
                    .await;
                Err(End::Close(CloseCode::NotAllowed))
            }
        }
    }

    async fn talk(&mut self, front: &Front, inbox: &mut mpsc::Receiver<ToPage>) -> End {
        let mut ping = tokio::time::interval(PAGE_PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // What the page has said is heard first: where all of the process stood still, its answer is there already. Its rate is bounded.
            tokio::select! {
                biased;
                heard = self.listen() => {
                    let done = match heard {
                        Ok(Heard::Request(request)) => front.pass_on(self.page, request).await,
                        Ok(Heard::Nonsense(error)) => self.correct(error).await,
                        Err(end) => Err(end),
                    };
                    if let Err(end) = done {
                        return end;
                    }
                }
                order = inbox.recv() => {
                    let said = match order {
                        Some(ToPage::Say(message)) => self.say(&message).await,
                        Some(ToPage::Close(code)) => return End::Close(code),
                        // The control loop found the queue full and let go.
                        None => return End::Close(CloseCode::TooSlow),
                    };
                    if let Err(end) = said {
                        return end;
                    }
                }
                _ = ping.tick() => {
                    if self.unanswered >= PAGE_PINGS_UNANSWERED_MAX {
                        return End::Gone;
                    }
                    self.unanswered += 1;
                    if let Err(end) = self.send(Message::Ping(Bytes::new())).await {
                        return end;
                    }
                }
            }
        }
    }

    /// The next message of the protocol. Safe to drop and call again: what was taken from the socket is returned at once.
    async fn listen(&mut self) -> Result<Heard, End> {
        loop {
            let message = match self.socket.recv().await {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Err(broken(error)),
                None => return Err(End::Gone),
            };
            self.unanswered = 0;
            if !self.rate.take(Instant::now()) {
                return Err(End::Close(CloseCode::TooMany));
            }
            match message {
                Message::Text(text) if text.len() > PAGE_MESSAGE_OCTETS_MAX => {
                    return Err(End::Close(CloseCode::TooLarge));
                }
                Message::Text(text) => {
                    let decoded = control::decode(text.as_bytes());
                    return Ok(decoded.map_or_else(Heard::Nonsense, Heard::Request));
                }
                Message::Binary(_) => return Err(End::Close(CloseCode::BadMessage)),
                Message::Ping(_) | Message::Pong(_) => {}
                Message::Close(_) => return Err(End::Gone),
            }
        }
    }

    async fn correct(&mut self, error: DecodeError) -> Result<(), End> {
        let (code, close, text) = (error.code(), error.close(), error.to_string());
        self.refuse(error.id, code, &text).await;
        close.map_or(Ok(()), |code| Err(End::Close(code)))
    }

    async fn refuse(&mut self, id: Option<String>, code: ErrorCode, message: &str) {
        let message = GatewayMessage::Error {
            id,
            code,
            message: message.to_owned(),
        };
        // A page that cannot be told is found out by the next step.
        let _ = self.say(&message).await;
    }

    async fn say(&mut self, message: &GatewayMessage) -> Result<(), End> {
        self.send(Message::Text(control::encode(message).into()))
            .await
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        match timeout(PAGE_WRITE_WITHIN, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(End::Close(CloseCode::TooSlow)),
        }
    }

    /// Says goodbye and waits a moment for the page's own, so that the code arrives before the connection goes.
    async fn close(&mut self, code: CloseCode) {
        let frame = CloseFrame {
            code: code.as_u16(),
            reason: code.reason().into(),
        };
        let _ = timeout(PAGE_CLOSE_WITHIN, async {
            if self.socket.send(Message::Close(Some(frame))).await.is_ok() {
                while let Some(Ok(message)) = self.socket.recv().await {
                    if matches!(message, Message::Close(_)) {
                        break;
                    }
                }
            }
        })
        .await;
    }
}

/// What ends the connection of a page that did not read: a code that waits behind what it was to read comes first, as one that says that another page
/// has the DN keeps it from coming back.
fn verdict(inbox: &mut mpsc::Receiver<ToPage>) -> CloseCode {
    while let Ok(order) = inbox.try_recv() {
        if let ToPage::Close(code) = order {
            return code;
        }
    }
    CloseCode::TooSlow
}

/// How a failed read ends the connection: a page that breaks the rules hears so.
fn broken(error: axum::Error) -> End {
    let inner = error.into_inner();
    match inner.downcast_ref::<tungstenite::Error>() {
        Some(tungstenite::Error::Capacity(_)) => End::Close(CloseCode::TooLarge),
        Some(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::QuotaExceeded => {
            End::Close(CloseCode::TooLarge)
        }
        Some(tungstenite::Error::Utf8(_)) => End::Close(CloseCode::BadMessage),
        _ => End::Gone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page that stopped reading is found out by a write that takes too long: why it was to be closed wins.
    #[test]
    fn the_code_behind_what_a_page_did_not_read_wins() {
        let (outbox, mut inbox) = Outbox::new();
        assert!(outbox.say(GatewayMessage::Replaced));
        outbox.close(CloseCode::Replaced);
        assert_eq!(verdict(&mut inbox), CloseCode::Replaced);
        assert_eq!(verdict(&mut inbox), CloseCode::TooSlow);
    }
}
