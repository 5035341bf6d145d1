//! The desktop's side: a small part of Genesys Web Services v2.

use std::convert::Infallible;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::Stream;
use serde::Deserialize;
use serde_json::{Value, json};
use sim::tserver::{CallUuid, Request, RequestError};
use tokio::sync::broadcast::error::RecvError;

use crate::desk;
use crate::json::{Addresses, calls_of};
use crate::shell::{Handle, Shell};
use crate::sim_api;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) handle: Handle,
    pub(crate) addresses: Addresses,
}

/// Every path of the simulator.
pub(crate) fn router(handle: Handle, addresses: Addresses) -> Router {
    Router::new()
        .route("/api/v2/me/devices/{dn}/calls", post(dial))
        .route("/api/v2/me/calls", get(list_calls))
        .route("/api/v2/me/calls/{id}", post(operate))
        .route("/api/v2/devices", get(devices))
        .route("/api/v2/events", get(events))
        .merge(sim_api::router())
        .merge(desk::router())
        .with_state(App { handle, addresses })
}

/// An answer in the desktop's form.
pub(crate) fn status(code: StatusCode, status_code: u32, message: &str) -> Response {
    let body = json!({ "statusCode": status_code, "statusMessage": message });
    (code, Json(body)).into_response()
}

pub(crate) fn gone() -> Response {
    status(
        StatusCode::SERVICE_UNAVAILABLE,
        12,
        "the simulator is stopping",
    )
}

fn refused(error: &RequestError) -> Response {
    let code = match error {
        RequestError::NoCall | RequestError::UnknownDn(_) => StatusCode::NOT_FOUND,
        RequestError::Digits => StatusCode::BAD_REQUEST,
        RequestError::State(_)
        | RequestError::NotControllable
        | RequestError::Busy(_)
        | RequestError::NotReady(_)
        | RequestError::Forwarded(_) => StatusCode::CONFLICT,
        RequestError::NotRegistered(_)
        | RequestError::OutOfService(_)
        | RequestError::NoMedia
        | RequestError::TooManyCalls => StatusCode::INTERNAL_SERVER_ERROR,
    };
    // 4 is what a live system says of a device that is not registered.
    status(code, 4, &error.to_string())
}

/// `{"statusCode":0}` and the call, or why not.
pub(crate) fn answer(result: Option<Result<CallUuid, RequestError>>) -> Response {
    match result {
        None => gone(),
        Some(Ok(call)) => {
            Json(json!({ "statusCode": 0, "id": call.0, "callUuid": call.0 })).into_response()
        }
        Some(Err(error)) => refused(&error),
    }
}

#[derive(Debug, Deserialize)]
struct PhoneNumber {
    #[serde(rename = "phoneNumber")]
    phone_number: String,
}

#[derive(Debug, Deserialize)]
struct Dial {
    #[serde(rename = "operationName")]
    operation: String,
    destination: PhoneNumber,
}

async fn dial(State(app): State<App>, Path(dn): Path<String>, Json(body): Json<Dial>) -> Response {
    if body.operation != "Dial" {
        return status(StatusCode::BAD_REQUEST, 1, "operationName is not Dial");
    }
    let to = body.destination.phone_number;
    let request = Request::MakeCall { dn, to };
    answer(app.handle.with(|shell| shell.request(request)).await)
}

#[derive(Debug, Deserialize)]
struct DnQuery {
    dn: Option<String>,
}

async fn list_calls(State(app): State<App>, Query(query): Query<DnQuery>) -> Response {
    let Some(dn) = query.dn else {
        return status(StatusCode::BAD_REQUEST, 1, "dn is missing");
    };
    let calls = app
        .handle
        .with(move |shell| calls_of(&dn, &shell.server.calls()))
        .await;
    calls.map_or_else(gone, |calls| {
        Json(json!({ "statusCode": 0, "calls": calls })).into_response()
    })
}

/// Every configured DN and whether it is registered.
async fn devices(State(app): State<App>) -> Response {
    let devices = app.handle.with(|shell| device_list(shell)).await;
    devices.map_or_else(gone, |devices| {
        Json(json!({ "statusCode": 0, "devices": devices })).into_response()
    })
}

fn device_list(shell: &Shell) -> Vec<Value> {
    let registered = shell.server.registrations();
    shell
        .server
        .config()
        .dns
        .keys()
        .map(|dn| {
            let contact = registered.iter().find(|view| view.dn == *dn);
            json!({
                "phoneNumber": dn,
                "deviceState": if contact.is_some() { "Active" } else { "Inactive" },
                "contact": contact.map(|view| view.contact.clone()),
            })
        })
        .collect()
}

#[derive(Debug, Deserialize)]
struct Operation {
    #[serde(rename = "operationName")]
    operation: String,
    digits: Option<String>,
    destination: Option<PhoneNumber>,
    /// `SwapCalls`: the call to retrieve; its id is the last part.
    #[serde(rename = "otherCallUri")]
    other_call_uri: Option<String>,
    /// Whose call it is, when both parties are DNs; a session would know.
    dn: Option<String>,
}

async fn operate(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(query): Query<DnQuery>,
    Json(body): Json<Operation>,
) -> Response {
    let call = CallUuid(id);
    let result = app
        .handle
        .with(move |shell| {
            let dn = body.dn.clone().or(query.dn);
            let dn = dn.or_else(|| acting_dn(shell, &call, &body.operation));
            let dn = dn.ok_or(RequestError::NoCall)?;
            match request(dn, call, body) {
                Some(request) => shell.request(request).map(Some),
                None => Ok(None),
            }
        })
        .await;
    match result {
        Some(Ok(None)) => status(
            StatusCode::BAD_REQUEST,
            1,
            "unknown operationName, or a field of it is missing",
        ),
        Some(Ok(Some(call))) => answer(Some(Ok(call))),
        Some(Err(error)) => answer(Some(Err(error))),
        None => answer(None),
    }
}

/// The T-Library request behind an operation of the desktop.
fn request(dn: String, call: CallUuid, body: Operation) -> Option<Request> {
    let to = body.destination.map(|destination| destination.phone_number);
    Some(match body.operation.as_str() {
        "Answer" => Request::AnswerCall { dn, call },
        "Hold" => Request::HoldCall { dn, call },
        "Retrieve" => Request::RetrieveCall { dn, call },
        "Hangup" | "ClearCall" => Request::ReleaseCall { dn, call },
        "SendDtmf" => {
            let digits = body.digits?;
            Request::SendDtmf { dn, call, digits }
        }
        "SwapCalls" => {
            let uri = body.other_call_uri?;
            let held = CallUuid(uri.rsplit('/').next()?.to_owned());
            Request::AlternateCall { dn, call, held }
        }
        "InitiateTransfer" | "InitiateConference" => {
            let to = to?;
            Request::InitiateTransfer { dn, call, to }
        }
        "SingleStepTransfer" => {
            let to = to?;
            Request::SingleStepTransfer { dn, call, to }
        }
        "CompleteTransfer" => Request::CompleteTransfer { dn, call },
        "Reconnect" => Request::ReconnectCall { dn, call },
        "CompleteConference" => Request::CompleteConference { dn, call },
        "SingleStepConference" => {
            let to = to?;
            Request::SingleStepConference { dn, call, to }
        }
        "DeleteFromConference" => {
            let number = to?;
            Request::DeleteFromConference { dn, call, number }
        }
        "StartRecording" | "StopRecording" => {
            let on = body.operation == "StartRecording";
            Request::RecordCall { dn, call, on }
        }
        "ListenIn" => Request::Supervise { dn, call },
        _ => return None,
    })
}

/// Without a session: the ringing DN answers, else the last party that is a DN acts.
fn acting_dn(shell: &Shell, call: &CallUuid, operation: &str) -> Option<String> {
    use sim::tserver::PartyState;
    let view = shell.server.call(call)?;
    let dns: Vec<_> = view.parties.iter().filter(|p| p.leg.is_some()).collect();
    let ringing = dns.iter().find(|party| party.state == PartyState::Ringing);
    match ringing {
        Some(party) if operation == "Answer" => Some(party.number.clone()),
        _ => dns.last().map(|party| party.number.clone()),
    }
}

/// Server-sent events: the notifications that a desktop gets by CometD.
async fn events(State(app): State<App>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let receiver = app.handle.events();
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let line = match receiver.recv().await {
            Ok(line) => line,
            // Whoever fell behind reads the present state again.
            Err(RecvError::Lagged(_)) => json!({ "messageType": "Lagged" }).to_string(),
            Err(RecvError::Closed) => return None,
        };
        Some((Ok(Event::default().data(line)), receiver))
    });
    Sse::new(stream).keep_alive(KeepAlive::default())
}
