//! Paths under `/sim`: customers, faults, and what the simulator saw.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use sim::audio::Speech;
use sim::tserver::{CallUuid, Control, DropWhat, Input, RegisterMode, Request};

use crate::http::{App, answer, gone, status};
use crate::json;
use crate::settings::{CtiWord, SpeechName, cti_control, flow};
use crate::shell::Shell;

/// Messages that `GET /sim/trace` gives at once unless told otherwise.
const TRACE_DEFAULT: usize = 200;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/sim/ready", get(ready))
        .route("/sim/registrations", get(registrations))
        .route("/sim/calls", get(calls).post(customer_call))
        .route("/sim/calls/{id}", get(call).post(customer_operation))
        .route("/sim/calls/{id}/speech", post(speech))
        .route("/sim/legs", get(legs))
        .route("/sim/counts", get(counts))
        .route("/sim/trace", get(trace).delete(forget_trace))
        .route("/sim/faults", post(faults))
        .route("/sim/restart", post(restart))
        .route("/sim/dns/{dn}", post(set_dn))
        .route("/sim/dns/{dn}/options", post(options))
}

async fn ready(State(app): State<App>) -> Json<Value> {
    Json(app.addresses.value())
}

/// Runs `work` in the loop and answers with its JSON.
async fn read(app: &App, work: impl FnOnce(&mut Shell) -> Value + Send + 'static) -> Response {
    let value = app.handle.with(work).await;
    value.map_or_else(gone, |value| Json(value).into_response())
}

/// Puts controls into the machine.
async fn control(app: &App, controls: Vec<Control>) -> Response {
    read(app, move |shell| {
        for control in controls {
            shell.input(Input::Control(control));
        }
        json!({ "statusCode": 0 })
    })
    .await
}

async fn registrations(State(app): State<App>) -> Response {
    read(&app, |shell| {
        let all = shell.server.registrations();
        json!({ "registrations": all.iter().map(json::registration).collect::<Vec<_>>() })
    })
    .await
}

async fn legs(State(app): State<App>) -> Response {
    read(&app, |shell| {
        let all = shell.server.legs();
        json!({ "legs": all.iter().map(json::leg).collect::<Vec<_>>() })
    })
    .await
}

async fn counts(State(app): State<App>) -> Response {
    read(&app, |shell| {
        let counts = shell.server.counts();
        json!({
            "calls": counts.calls,
            "legs": counts.legs,
            "client_transactions": counts.client_transactions,
            "server_transactions": counts.server_transactions,
            "registrations": counts.registrations,
            "unreadable": counts.unreadable,
            "dropped": counts.dropped,
        })
    })
    .await
}

async fn calls(State(app): State<App>) -> Response {
    read(&app, |shell| {
        let reports = shell.media.reports();
        let calls = shell.server.calls();
        let list = calls
            .iter()
            .map(|view| json::sim_call(&view.call, Some(view), &reports));
        json!({ "calls": list.collect::<Vec<_>>() })
    })
    .await
}

async fn call(State(app): State<App>, Path(id): Path<String>) -> Response {
    let call = CallUuid(id);
    let value = app
        .handle
        .with(move |shell| {
            let view = shell.server.call(&call);
            let reports = shell.media.reports();
            let known = view.is_some() || reports.iter().any(|report| report.call == call);
            known.then(|| json::sim_call(&call, view.as_ref(), &reports))
        })
        .await;
    match value {
        None => gone(),
        Some(None) => status(StatusCode::NOT_FOUND, 4, "no such call"),
        Some(Some(value)) => Json(value).into_response(),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpeechBody {
    speech: Option<SpeechName>,
    tone_hz: Option<u32>,
    echo: Option<bool>,
}

impl SpeechBody {
    /// What is asked for; `None` leaves it as configured. A tone needs no further word.
    fn speech(&self) -> Option<Speech> {
        let name = match (self.speech, self.tone_hz) {
            (Some(name), _) => name,
            (None, Some(_)) => SpeechName::Tone,
            (None, None) => return None,
        };
        Some(name.speech(self.tone_hz.unwrap_or(440), self.echo.unwrap_or(true)))
    }
}

#[derive(Debug, Deserialize)]
struct CustomerCall {
    from: Option<String>,
    to: String,
    speech: Option<SpeechName>,
    tone_hz: Option<u32>,
    echo: Option<bool>,
}

async fn customer_call(State(app): State<App>, Json(body): Json<CustomerCall>) -> Response {
    let speech = SpeechBody {
        speech: body.speech,
        tone_hz: body.tone_hz,
        echo: body.echo,
    }
    .speech();
    let request = Request::CustomerCall {
        from: body.from.unwrap_or_else(|| "0301234567".to_owned()),
        to: body.to,
    };
    let result = app
        .handle
        .with(move |shell| shell.customer_call(request, speech.as_ref()))
        .await;
    answer(result)
}

#[derive(Debug, Deserialize)]
struct CustomerOperation {
    #[serde(rename = "operationName")]
    operation: String,
}

async fn customer_operation(
    State(app): State<App>,
    Path(id): Path<String>,
    Json(body): Json<CustomerOperation>,
) -> Response {
    if body.operation != "Hangup" {
        return status(StatusCode::BAD_REQUEST, 1, "a customer can only Hangup");
    }
    let request = Request::CustomerHangup { call: CallUuid(id) };
    answer(app.handle.with(|shell| shell.request(request)).await)
}

async fn speech(
    State(app): State<App>,
    Path(id): Path<String>,
    Json(body): Json<SpeechBody>,
) -> Response {
    let Some(speech) = body.speech() else {
        return status(StatusCode::BAD_REQUEST, 1, "speech or tone_hz is missing");
    };
    let call = CallUuid(id);
    let found = app
        .handle
        .with(move |shell| shell.media.say(&call, &speech))
        .await;
    match found {
        None => gone(),
        Some(true) => Json(json!({ "statusCode": 0 })).into_response(),
        Some(false) => status(StatusCode::NOT_FOUND, 4, "no customer in that call"),
    }
}

#[derive(Debug, Deserialize)]
struct TraceQuery {
    limit: Option<usize>,
    /// Only messages that hold this text, e.g. a Call-ID or `Event: talk`.
    contains: Option<String>,
}

async fn trace(State(app): State<App>, Query(query): Query<TraceQuery>) -> Response {
    read(&app, move |shell| {
        let wanted = query.contains.unwrap_or_default();
        let limit = query.limit.unwrap_or(TRACE_DEFAULT);
        let hits: Vec<_> = shell
            .trace
            .iter()
            .filter(|entry| entry.text.contains(&wanted))
            .collect();
        let from = hits.len().saturating_sub(limit);
        json!({ "messages": hits[from..].iter().map(|e| json::traced(e)).collect::<Vec<_>>() })
    })
    .await
}

async fn forget_trace(State(app): State<App>) -> Response {
    read(&app, |shell| {
        shell.trace.clear();
        json!({ "statusCode": 0 })
    })
    .await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Faults {
    drop: Option<Drop>,
    register: Option<RegisterFault>,
    expire_nonces: Option<bool>,
    refuse_calls: Option<RefuseCalls>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Drop {
    method: String,
    what: DropWord,
    count: u32,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DropWord {
    Requests,
    Responses,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum RegisterFault {
    Normal,
    Silent,
    Unavailable { retry_after_s: u32 },
    Refuse { status: u16 },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RefuseCalls {
    /// Left out: calls are taken again.
    status: Option<u16>,
}

async fn faults(State(app): State<App>, Json(body): Json<Faults>) -> Response {
    let mut controls = Vec::new();
    if let Some(drop) = body.drop {
        controls.push(Control::DropReceived {
            method: drop.method,
            what: match drop.what {
                DropWord::Requests => DropWhat::Requests,
                DropWord::Responses => DropWhat::Responses,
            },
            count: drop.count,
        });
    }
    if let Some(register) = body.register {
        controls.push(Control::RegisterMode(match register {
            RegisterFault::Normal => RegisterMode::Normal,
            RegisterFault::Silent => RegisterMode::Silent,
            RegisterFault::Unavailable { retry_after_s } => {
                RegisterMode::Unavailable { retry_after_s }
            }
            RegisterFault::Refuse { status } => RegisterMode::Refuse(status),
        }));
    }
    if let Some(refuse) = body.refuse_calls {
        if refuse
            .status
            .is_some_and(|status| !(300..700).contains(&status))
        {
            return status(StatusCode::BAD_REQUEST, 1, "no status that refuses a call");
        }
        controls.push(Control::RefuseCalls(refuse.status));
    }
    if body.expire_nonces == Some(true) {
        controls.push(Control::ExpireNonces);
    }
    control(&app, controls).await
}

async fn restart(State(app): State<App>) -> Response {
    control(&app, vec![Control::Restart]).await
}

async fn options(State(app): State<App>, Path(dn): Path<String>) -> Response {
    control(&app, vec![Control::Options { dn }]).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SetDn {
    cti_control: Option<Vec<CtiWord>>,
    make_call_flow: Option<u8>,
    ready: Option<bool>,
}

async fn set_dn(
    State(app): State<App>,
    Path(dn): Path<String>,
    Json(body): Json<SetDn>,
) -> Response {
    let make_call_flow = match body.make_call_flow.map(flow).transpose() {
        Ok(flow) => flow,
        Err(message) => return status(StatusCode::BAD_REQUEST, 1, &message),
    };
    let cti_control = body.cti_control.as_deref().map(cti_control);
    let mut controls = vec![Control::SetDn {
        dn: dn.clone(),
        cti_control,
        make_call_flow,
    }];
    controls.extend(body.ready.map(|on| Control::AgentReady { dn, on }));
    control(&app, controls).await
}
