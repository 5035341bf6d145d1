//! The administrators' listener: health, metrics, agents, calls, events. What it asks goes through the control loop.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Request as HttpRequest, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use control::admin::{Accepted, DialRequest, DtmfRequest, Event, RecordRequest, TransferRequest};
use control::{ApiError, CallRecord, ErrorCode, EventRecord};
use futures_util::{Stream, StreamExt as _};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use switchboard::{AdminCommand, AdminRefusal, AdminReply, CallId, TransferTo};
use tokio::sync::Semaphore;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::live_tap;
use super::origin::is_same_host;
use super::serve::Peer;
use super::sparing::Sparing;
use super::taps::LiveTaps;
use crate::control_loop::Beat;
use crate::limits::{ADMIN_BODY_OCTETS_MAX, EVENT_SUBSCRIBERS_MAX};
use crate::metrics::{self, Metrics};
use crate::requests::{Asker, NoReply, Request, Subscription};

/// What the listener needs.
#[derive(Debug)]
pub struct Desk {
    /// The way to the control loop.
    pub asker: Asker,
    /// What is scraped.
    pub metrics: Arc<Metrics>,
    /// When the control loop last turned.
    pub beat: Arc<Beat>,
    /// What `Authorization: Bearer` must carry; `None` on loopback without a token.
    pub token: Option<SecretString>,
    /// Those who listen to calls live.
    pub live: Arc<LiveTaps>,
    subscribers: Arc<Semaphore>,
    refused_lines: Sparing,
    subscriber_lines: Sparing,
}

impl Desk {
    /// Nobody is subscribed yet.
    #[must_use]
    pub fn new(
        asker: Asker,
        metrics: Arc<Metrics>,
        beat: Arc<Beat>,
        token: Option<SecretString>,
        live: Arc<LiveTaps>,
    ) -> Self {
        let subscribers = Arc::new(Semaphore::new(EVENT_SUBSCRIBERS_MAX));
        Self {
            asker,
            metrics,
            beat,
            token,
            live,
            subscribers,
            refused_lines: Sparing::default(),
            subscriber_lines: Sparing::default(),
        }
    }
}

/// All paths of the listener.
pub fn router(desk: Arc<Desk>) -> Router {
    let guarded = Router::new()
        .route("/metrics", get(scrape))
        .route("/api/v1/agents", get(agents))
        .route("/api/v1/agents/{dn}", get(agent))
        .route("/api/v1/agents/{dn}/dial", post(dial))
        .route("/api/v1/calls", get(calls))
        .route("/api/v1/calls/{id}", get(call))
        .route("/api/v1/calls/{id}/tap", get(live_tap::tap))
        .route("/api/v1/calls/{id}/{verb}", post(verb))
        .route("/api/v1/drain", post(drain))
        .route("/api/v1/events", get(events))
        .layer(middleware::from_fn_with_state(Arc::clone(&desk), guard));
    // Load balancers and supervisors carry no token, and learn nothing here but yes or no.
    Router::new()
        .route("/livez", get(alive))
        .route("/readyz", get(ready))
        .merge(guarded)
        .fallback(|| async { Refusal::not_found("no such path") })
        .layer(DefaultBodyLimit::max(ADMIN_BODY_OCTETS_MAX))
        .with_state(desk)
}

/// A refusal of the administration interface.
#[derive(Debug)]
pub(super) struct Refusal(StatusCode, ApiError);

impl Refusal {
    pub(super) fn new(status: StatusCode, code: ErrorCode, message: impl Into<String>) -> Self {
        Self(
            status,
            ApiError {
                code,
                message: message.into(),
            },
        )
    }

    fn not_found(message: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrorCode::NotSupported, message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

impl From<NoReply> for Refusal {
    fn from(error: NoReply) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::Internal,
            error.to_string(),
        )
    }
}

impl From<AdminRefusal> for Refusal {
    fn from(refusal: AdminRefusal) -> Self {
        let (status, code) = match refusal {
            AdminRefusal::UnknownCall => (StatusCode::NOT_FOUND, ErrorCode::UnknownCall),
            AdminRefusal::UnknownDn => (StatusCode::NOT_FOUND, ErrorCode::UnknownDn),
            AdminRefusal::NotSignedIn => (StatusCode::CONFLICT, ErrorCode::NotSignedIn),
            AdminRefusal::WrongState | AdminRefusal::Transferring | AdminRefusal::NotJoinable => {
                (StatusCode::CONFLICT, ErrorCode::WrongState)
            }
            AdminRefusal::Draining => (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Draining),
            AdminRefusal::Busy => (StatusCode::CONFLICT, ErrorCode::Busy),
            AdminRefusal::NotRegistered => (StatusCode::CONFLICT, ErrorCode::NotRegistered),
            AdminRefusal::MediaNotReady => (StatusCode::CONFLICT, ErrorCode::MediaNotReady),
            AdminRefusal::NoDigits | AdminRefusal::NoRecording => {
                (StatusCode::CONFLICT, ErrorCode::NotSupported)
            }
            AdminRefusal::TooMany => (StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooMany),
            AdminRefusal::NotAllowed => (StatusCode::FORBIDDEN, ErrorCode::NotAllowed),
            AdminRefusal::BadNumber => (StatusCode::BAD_REQUEST, ErrorCode::BadNumber),
            AdminRefusal::NoPort | AdminRefusal::NoRoom | AdminRefusal::Overload => {
                (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Overload)
            }
        };
        Self::new(status, code, refusal.to_string())
    }
}

/// Lets in who may ask: with the token where there is one, and in any case no page of a foreign site, neither by a request of
/// its own nor by a name that it lets point to us.
async fn guard(
    State(desk): State<Arc<Desk>>,
    Extension(Peer(remote)): Extension<Peer>,
    request: HttpRequest,
    next: Next,
) -> Response {
    let headers = request.headers();
    if let Err((reason, refusal)) = admit(&desk, headers) {
        desk.metrics.admin_refused(reason);
        if let Some(unsaid) = desk.refused_lines.line(Instant::now()) {
            tracing::warn!(%remote, reason, unsaid, "administrator's request refused");
        }
        return refusal.into_response();
    }
    next.run(request).await
}

/// Why somebody may not ask, as the metric names it, and what he is told.
type NotAdmitted = (&'static str, Refusal);

fn admit(desk: &Desk, headers: &HeaderMap) -> Result<(), NotAdmitted> {
    let not_allowed = |status, message| Refusal::new(status, ErrorCode::NotAllowed, message);
    let forbidden = |message| not_allowed(StatusCode::FORBIDDEN, message);
    let foreign = headers.get(ORIGIN).is_some_and(|origin| {
        !origin
            .to_str()
            .is_ok_and(|origin| is_same_host(origin, headers))
    });
    if foreign {
        return Err(("origin", forbidden("pages of other sites may not ask")));
    }
    match &desk.token {
        Some(token) if carries(headers, token) => Ok(()),
        Some(_) => {
            let expected = "expected Authorization: Bearer and the token of the configuration";
            Err(("token", not_allowed(StatusCode::UNAUTHORIZED, expected)))
        }
        None if is_local_name(headers) => Ok(()),
        None => {
            let expected = "expected a loopback address or localhost as host";
            Err(("host", forbidden(expected)))
        }
    }
}

/// Compares in constant time: how far a guess was right must not be measurable.
fn carries(headers: &HeaderMap, token: &SecretString) -> bool {
    let given = headers
        .get(AUTHORIZATION)
        .map(axum::http::HeaderValue::as_bytes)
        .and_then(|value| value.strip_prefix(b"Bearer "));
    let expected = token.expose_secret().as_bytes();
    given.is_some_and(|given| {
        let differences = given
            .iter()
            .zip(expected)
            .fold(0, |sum, (a, b)| sum | (a ^ b));
        given.len() == expected.len() && differences == 0
    })
}

/// Without a token the listener is on loopback: a Host that is another name was made to point there by somebody else's DNS.
fn is_local_name(headers: &HeaderMap) -> bool {
    let host = headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let name = match host.rfind(':') {
        Some(at) if !host[at..].contains(']') => &host[..at],
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

async fn alive(State(desk): State<Arc<Desk>>) -> Response {
    if desk.beat.is_alive() {
        "alive\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the control loop hangs\n").into_response()
    }
}

async fn ready(State(desk): State<Arc<Desk>>) -> Result<Response, Refusal> {
    let mut report = desk.asker.ask(Request::Ready).await?;
    if let Some(certificates) = desk.metrics.check_certificates() {
        report.ready &= certificates.ok;
        report.checks.push(certificates);
    }
    let status = if report.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    Ok((status, Json(report)).into_response())
}

async fn scrape(State(desk): State<Arc<Desk>>) -> Response {
    let now = desk.asker.ask(Request::Gauges).await.ok();
    let text = desk.metrics.text(now.as_ref());
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}

async fn agents(State(desk): State<Arc<Desk>>) -> Result<Response, Refusal> {
    Ok(Json(desk.asker.ask(Request::Agents).await?).into_response())
}

async fn agent(State(desk): State<Arc<Desk>>, Path(dn): Path<String>) -> Result<Response, Refusal> {
    let agent = desk.asker.ask(|reply| Request::Agent(dn, reply)).await?;
    let agent = agent.ok_or(AdminRefusal::UnknownDn)?;
    Ok(Json(agent).into_response())
}

async fn calls(State(desk): State<Arc<Desk>>) -> Result<Response, Refusal> {
    Ok(Json(desk.asker.ask(Request::Calls).await?).into_response())
}

async fn call(State(desk): State<Arc<Desk>>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let id = CallId::parse(&id).ok_or(AdminRefusal::UnknownCall)?;
    let call = desk.asker.ask(|reply| Request::Call(id, reply)).await?;
    let call = call.ok_or(AdminRefusal::UnknownCall)?;
    Ok(Json(call).into_response())
}

async fn dial(
    State(desk): State<Arc<Desk>>,
    peer: Extension<Peer>,
    Path(dn): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let DialRequest { number } = json(&body)?;
    let number = control::dial_number(&number).map_err(|error| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            ErrorCode::BadNumber,
            error.to_string(),
        )
    })?;
    command(&desk, *peer, AdminCommand::Dial { dn, number }).await
}

/// `POST /api/v1/calls/{id}/{verb}`.
async fn verb(
    State(desk): State<Arc<Desk>>,
    peer: Extension<Peer>,
    Path((id, verb)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let id = CallId::parse(&id).ok_or(AdminRefusal::UnknownCall)?;
    let wanted = match verb.as_str() {
        "answer" => AdminCommand::Answer(id),
        "hangup" => AdminCommand::Hangup(id),
        "hold" => AdminCommand::Hold(id),
        "retrieve" => AdminCommand::Retrieve(id),
        "dtmf" => {
            let DtmfRequest { digits } = json(&body)?;
            control::check_digits(&digits).map_err(|error| {
                Refusal::new(
                    StatusCode::BAD_REQUEST,
                    ErrorCode::BadNumber,
                    error.to_string(),
                )
            })?;
            AdminCommand::Dtmf(id, digits)
        }
        "record" => {
            let RecordRequest { action } = json(&body)?;
            AdminCommand::Record(id, action)
        }
        "transfer" => AdminCommand::Transfer(id, transfer_to(json(&body)?)?),
        _ => return Err(Refusal::not_found("no such verb")),
    };
    command(&desk, *peer, wanted).await
}

/// Exactly one of the two is given.
fn transfer_to(request: TransferRequest) -> Result<TransferTo, Refusal> {
    let bad = |code, message: String| Refusal::new(StatusCode::BAD_REQUEST, code, message);
    match (request.to, request.to_call) {
        (Some(number), None) => control::dial_number(&number)
            .map(TransferTo::Number)
            .map_err(|error| bad(ErrorCode::BadNumber, error.to_string())),
        (None, Some(call)) => {
            let call = CallId::parse(&call).ok_or(AdminRefusal::UnknownCall)?;
            Ok(TransferTo::Call(call))
        }
        _ => Err(bad(
            ErrorCode::BadField,
            "expected either to or to_call".to_owned(),
        )),
    }
}

async fn command(desk: &Desk, peer: Peer, command: AdminCommand) -> Result<Response, Refusal> {
    let (verb, call) = named(&command);
    let record = match call {
        Some(id) => desk.asker.ask(|reply| Request::Call(id, reply)).await?,
        None => None,
    };
    log_command(verb, call, &command, record.as_ref(), peer);
    let reply = desk
        .asker
        .ask(|reply| Request::Command(command, reply))
        .await??;
    let call = match reply {
        AdminReply::Accepted => None,
        AdminReply::Dialing(call) => Some(call.to_string()),
    };
    Ok((StatusCode::ACCEPTED, Json(Accepted { call })).into_response())
}

/// What is asked for, and of which call.
const fn named(command: &AdminCommand) -> (&'static str, Option<CallId>) {
    match command {
        AdminCommand::Answer(id) => ("answer", Some(*id)),
        AdminCommand::Hangup(id) => ("hangup", Some(*id)),
        AdminCommand::Hold(id) => ("hold", Some(*id)),
        AdminCommand::Retrieve(id) => ("retrieve", Some(*id)),
        AdminCommand::Dtmf(id, _) => ("dtmf", Some(*id)),
        AdminCommand::Transfer(id, _) => ("transfer", Some(*id)),
        AdminCommand::Record(id, _) => ("record", Some(*id)),
        AdminCommand::Tap { call, .. } => ("tap", Some(*call)),
        AdminCommand::Dial { .. } => ("dial", None),
    }
}

/// Numbers and digits are personal data, and digits may be a card's: they stay out of the log.
fn log_command(
    verb: &str,
    call: Option<CallId>,
    command: &AdminCommand,
    record: Option<&CallRecord>,
    Peer(remote): Peer,
) {
    let said = "administrator's command";
    let Some(call) = call else {
        if let AdminCommand::Dial { dn, .. } = command {
            tracing::info!(verb, %dn, %remote, "{said}");
        }
        return;
    };
    let call_uuid = record.and_then(|record| record.call.call_uuid.as_deref());
    let dn = record.map_or("-", |record| record.dn.as_str());
    tracing::info!(verb, %call, call_uuid = call_uuid.unwrap_or("-"), dn, %remote, "{said}");
}

async fn drain(
    State(desk): State<Arc<Desk>>,
    Extension(Peer(remote)): Extension<Peer>,
) -> Result<Response, Refusal> {
    tracing::info!(%remote, "administrator drains the gateway");
    Ok(Json(desk.asker.ask(Request::Drain).await?).into_response())
}

async fn events(
    State(desk): State<Arc<Desk>>,
    Extension(Peer(remote)): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let Ok(permit) = Arc::clone(&desk.subscribers).try_acquire_owned() else {
        if let Some(unsaid) = desk.subscriber_lines.line(Instant::now()) {
            let most = EVENT_SUBSCRIBERS_MAX;
            tracing::warn!(%remote, most, unsaid, "a subscriber of the events is refused: there are too many");
        }
        let message = "too many subscribers";
        return Err(Refusal::new(
            StatusCode::TOO_MANY_REQUESTS,
            ErrorCode::TooMany,
            message,
        ));
    };
    let after = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok()?.parse().ok());
    let subscription = desk
        .asker
        .ask(|reply| Request::Events(after, reply))
        .await?;
    let stream = event_stream(subscription, permit);
    Ok(Sse::new(stream)
        .keep_alive(KeepAlive::default())
        .into_response())
}

/// The backlog, then what happens. Holds the subscriber's place as long as it lives.
fn event_stream<P: Send + 'static>(
    subscription: Subscription,
    place: P,
) -> impl Stream<Item = Result<axum::response::sse::Event, Infallible>> + Send {
    let Subscription {
        missed: gone,
        backlog,
        live,
    } = subscription;
    let first = futures_util::stream::iter(gone.map(|event| Ok(missed(&event))));
    let state = (backlog.into_iter(), live, place);
    first.chain(futures_util::stream::unfold(
        state,
        |(mut backlog, mut live, place)| async move {
            if let Some(record) = backlog.next() {
                return Some((Ok(sse(&record)), (backlog, live, place)));
            }
            let event = match live.recv().await {
                Ok(record) => sse(&record),
                Err(RecvError::Lagged(events)) => missed(&Event::Missed {
                    events: Some(events),
                }),
                Err(RecvError::Closed) => return None,
            };
            Some((Ok(event), (backlog, live, place)))
        },
    ))
}

fn sse(record: &EventRecord) -> axum::response::sse::Event {
    let json = serde_json::to_value(record).expect("no map with keys other than strings");
    let name = json
        .get("type")
        .and_then(|name| name.as_str())
        .unwrap_or("event")
        .to_owned();
    axum::response::sse::Event::default()
        .id(record.seq.to_string())
        .event(name)
        .data(json.to_string())
}

/// Has no number of its own: it stands for those that are missing.
fn missed(event: &Event) -> axum::response::sse::Event {
    let data = serde_json::to_string(event).expect("a plain object");
    axum::response::sse::Event::default()
        .event("missed")
        .data(data)
}

fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            ErrorCode::BadField,
            format!("expected JSON: {error}"),
        )
    })
}
