//! One whole call, headless: what `cargo xtask demo --check` runs against the processes it started.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::gateway::PAGE_HZ;
use crate::page::PageOptions;
use crate::{Page, Result, http};

/// Longer than registration, ringing and the first second of the tones together.
const STEP: Duration = Duration::from_secs(20);

/// The tone of the customer in this call.
const CUSTOMER_HZ: u32 = 440;

/// What the check has to be told.
#[derive(Debug, Clone)]
pub struct Demo {
    /// The gateway's agent listener.
    pub gateway: SocketAddr,
    /// A token for `dn`.
    pub token: String,
    /// The DN that is called.
    pub dn: String,
    /// The simulated SIP Server's HTTP listener.
    pub sim: SocketAddr,
    /// Where the page's UDP socket is bound.
    pub local: IpAddr,
}

/// Signs the agent in, lets a customer call, answers on the desktop, and passes when each side has
/// heard the other's tone and the call has ended.
///
/// # Errors
/// The step that did not come about, in words.
pub async fn demo_check(demo: Demo) -> Result<()> {
    let page = Page::start(PageOptions {
        gateway: demo.gateway,
        local: demo.local,
        token: demo.token.clone(),
        resume: None,
        tone_hz: PAGE_HZ,
        sentence: false,
        opus: false,
        port: 0,
        by_tcp: None,
        active: false,
        misnamed: false,
        answer: false,
    })
    .await
    .map_err(|error| format!("the gateway takes no page at {}: {error}", demo.gateway))?;
    until(
        "the agent's page is connected and its DN registered",
        || async { page.connected() && page.registration().as_deref() == Some("registered") },
    )
    .await?;

    let dialled = json!({"from": "0301234567", "to": demo.dn, "tone_hz": CUSTOMER_HZ});
    let call = http::post(demo.sim, "/sim/calls", &dialled).await?.json();
    let id = call["id"]
        .as_str()
        .ok_or_else(|| format!("no customer call: {call}"))?
        .to_owned();
    until("the agent's page rings", || async {
        page.call()["state"] == "ringing"
    })
    .await?;

    operate(&demo, &id, "Answer").await?;
    until("the call is answered", || async {
        page.call()["state"] == "talking"
    })
    .await?;
    until("the agent hears the customer", || async {
        page.state().ear.hears(CUSTOMER_HZ)
    })
    .await?;
    until("the customer hears the agent", || async {
        let report = http::get(demo.sim, &format!("/sim/calls/{id}")).await;
        let heard = report
            .ok()
            .and_then(|report| report.json()["heard_hz"].as_f64());
        heard.is_some_and(|heard| (heard - f64::from(PAGE_HZ)).abs() < 15.0)
    })
    .await?;

    operate(&demo, &id, "Hangup").await?;
    until("the call ends", || async {
        page.call()["state"] == "ended"
    })
    .await?;
    page.sign_out().await;
    Ok(())
}

async fn operate(demo: &Demo, call: &str, operation: &str) -> Result<Value> {
    let body = json!({"operationName": operation, "dn": demo.dn});
    let answer = http::post(demo.sim, &format!("/api/v2/me/calls/{call}"), &body).await?;
    if answer.status != 200 {
        return Err(format!("the desk's {operation}: {}", answer.body).into());
    }
    Ok(answer.json())
}

async fn until<F>(what: &str, mut holds: impl FnMut() -> F) -> Result<()>
where
    F: Future<Output = bool>,
{
    let deadline = Instant::now() + STEP;
    while !holds().await {
        if Instant::now() > deadline {
            return Err(format!("not within {} s: {what}", STEP.as_secs()).into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
