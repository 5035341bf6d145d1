//! `GET /api/v1/calls/{id}/tap`: a WebSocket on which a consumer hears both directions of a call, for transcription and assistance.

use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use control::admin::{Event, TapMessage, TapQuery};
use control::{CallState, ErrorCode, EventRecord, HeldBy, RecordingState};
use switchboard::{AdminCommand, AdminRefusal, CallId, TapId};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;

use super::admin::{Desk, Refusal};
use super::taps::{FRAME_MS, LiveFrame, LiveQueue, LiveTaps, Waiting};
use crate::limits::{
    ADMIN_BODY_OCTETS_MAX, LIVE_TAPS_MAX, LIVE_WRITE_WITHIN, PAGE_READ_BUFFER_OCTETS,
};
use crate::requests::{Asker, Request};

/// A consumer's place: given up wherever its connection ends, also before it was one.
struct Place {
    tap: TapId,
    live: Arc<LiveTaps>,
    asker: Asker,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.live.close(self.tap);
        // A loop that has no room for it closes the tap with the call.
        let _ = self.asker.tell_now(Request::CloseTap(self.tap));
    }
}

/// What a connection serves.
struct Listener {
    socket: WebSocket,
    queue: Arc<LiveQueue>,
    events: Receiver<Arc<EventRecord>>,
    watched: Watched,
    expected: u64,
    _place: Place,
}

/// The call, and what its consumer was told of it last.
struct Watched {
    call: CallId,
    told: (CallState, Option<HeldBy>, Option<RecordingState>, bool),
}

/// The consumer is gone, or too slow to be worth its place.
struct Gone;

/// Lets a consumer listen to a call.
pub(super) async fn tap(
    State(desk): State<Arc<Desk>>,
    Path(id): Path<String>,
    Query(query): Query<TapQuery>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Refusal> {
    let call = CallId::parse(&id).ok_or(AdminRefusal::UnknownCall)?;
    let rate_hz = query.rate_hz.unwrap_or(16_000);
    if !matches!(rate_hz, 8_000 | 16_000) {
        let expected = "expected rate_hz to be 8000 or 16000";
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            ErrorCode::BadField,
            expected,
        ));
    }
    let open = desk.live.open.load(std::sync::atomic::Ordering::Relaxed);
    if open >= LIVE_TAPS_MAX {
        return Err(AdminRefusal::TooMany.into());
    }
    let (tap, queue) = desk.live.begin();
    let place = Place {
        tap,
        live: Arc::clone(&desk.live),
        asker: desk.asker.clone(),
    };
    let events = desk
        .asker
        .ask(|reply| Request::Events(None, reply))
        .await?
        .live;
    let command = AdminCommand::Tap { call, tap, rate_hz };
    desk.asker
        .ask(|reply| Request::Command(command, reply))
        .await??;
    let record = desk.asker.ask(|reply| Request::Call(call, reply)).await?;
    let record = record.ok_or(AdminRefusal::UnknownCall)?;
    tracing::info!(%call, call_uuid = record.call.call_uuid.as_deref().unwrap_or("-"), dn = %record.dn, rate_hz, "a consumer listens");
    let watched = Watched {
        call,
        // The message that begins it says no more.
        told: (record.call.state, None, None, false),
    };
    let start = TapMessage::Start {
        call: id,
        call_uuid: record.call.call_uuid,
        dn: record.dn,
        direction: record.call.direction,
        state: record.call.state,
        rate_hz,
    };
    Ok(upgrade
        .read_buffer_size(PAGE_READ_BUFFER_OCTETS)
        .write_buffer_size(0)
        .max_message_size(ADMIN_BODY_OCTETS_MAX)
        .on_upgrade(move |socket| async move {
            let mut listener = Listener {
                socket,
                queue,
                events,
                watched,
                expected: 0,
                _place: place,
            };
            // Either way the place is free again.
            let _ = listener.serve(start).await;
        }))
}

impl Listener {
    async fn serve(&mut self, start: TapMessage) -> Result<(), Gone> {
        self.say(&start).await?;
        loop {
            tokio::select! {
                // First of all, so that it stands before what was said after it.
                biased;
                event = self.events.recv() => mark(&self.queue, &mut self.watched, event)?,
                waiting = self.queue.next() => match waiting {
                    Some(Waiting::Frame(frame)) => self.hand_over(frame).await?,
                    Some(Waiting::Mark(number, mark)) => {
                        self.catch_up(number).await?;
                        self.say(&mark).await?;
                    }
                    None => {
                        self.say(&TapMessage::Stop).await?;
                        let closed = timeout(LIVE_WRITE_WITHIN, self.socket.send(Message::Close(None)));
                        // Whoever does not take the close is gone already.
                        let _ = closed.await;
                        return Ok(());
                    }
                },
                said = self.socket.recv() => match said {
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Gone),
                    // Nothing that a consumer says has a meaning yet.
                    Some(Ok(_)) => {}
                },
            }
        }
    }

    async fn hand_over(&mut self, frame: LiveFrame) -> Result<(), Gone> {
        self.catch_up(frame.number).await?;
        self.expected = frame.number + 1;
        self.send(Message::Binary(frame.octets.into())).await
    }

    /// Tells what is missing before the frame of this number.
    async fn catch_up(&mut self, number: u64) -> Result<(), Gone> {
        let missing = number.saturating_sub(self.expected);
        if missing == 0 {
            return Ok(());
        }
        let dropped = TapMessage::Dropped {
            at_ms: self.expected * FRAME_MS,
            ms: missing * FRAME_MS,
        };
        self.expected = number;
        self.say(&dropped).await
    }

    async fn say(&mut self, message: &TapMessage) -> Result<(), Gone> {
        let text = serde_json::to_string(message).expect("no map with keys other than strings");
        self.send(Message::Text(text.into())).await
    }

    /// What happens to the call while the consumer does not read takes its place in the queue.
    async fn send(&mut self, message: Message) -> Result<(), Gone> {
        let sent = timeout(LIVE_WRITE_WITHIN, self.socket.send(message));
        tokio::pin!(sent);
        loop {
            tokio::select! {
                sent = &mut sent => return match sent {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(_)) | Err(_) => Err(Gone),
                },
                event = self.events.recv() => mark(&self.queue, &mut self.watched, event)?,
            }
        }
    }
}

/// What happens to the call is told where it stands in the stream.
fn mark(
    queue: &LiveQueue,
    watched: &mut Watched,
    event: Result<Arc<EventRecord>, RecvError>,
) -> Result<(), Gone> {
    let record = match event {
        Ok(record) => record,
        Err(RecvError::Lagged(_)) => return Ok(()),
        Err(RecvError::Closed) => return Err(Gone),
    };
    let Event::Call { call, .. } = &record.event else {
        return Ok(());
    };
    let (state, held_by, recording, paused) =
        (call.state, call.held_by, call.recording, call.paused);
    let now = (state, held_by, recording, paused);
    if call.id == watched.call.to_string() && watched.told != now {
        watched.told = now;
        queue.mark(|at_ms| TapMessage::Mark {
            at_ms,
            state,
            held_by,
            recording,
            paused,
        });
    }
    Ok(())
}
