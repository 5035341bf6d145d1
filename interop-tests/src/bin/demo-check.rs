//! What `cargo xtask demo --check` runs against the programs it has started: one whole call in Chromium, without a screen.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command says what it does"
)]

use std::net::SocketAddr;
use std::process::ExitCode;

use interop_tests::gateway::PAGE_HZ;
use interop_tests::wait::eventually_async;
use interop_tests::{Browser, Result, http};
use serde_json::json;

const USAGE: &str = "usage: demo-check --page URL --desk ADDRESS:PORT --dn DN";

/// The tone of the customer in this call.
const CUSTOMER_HZ: u32 = 440;

/// How far from a tone's frequency the ear of the simulated customer may be.
const TOLERANCE_HZ: f64 = 15.0;

/// What the check is told.
struct Demo {
    /// The agent's page, with its token.
    page: String,
    /// The simulated SIP Server's HTTP listener.
    desk: SocketAddr,
    /// The DN that is called.
    dn: String,
}

fn main() -> ExitCode {
    let Some(demo) = arguments(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    // A step that does not come about panics with its name: that line is the reason, without a backtrace.
    std::panic::set_hook(Box::new(|panic| eprintln!("FAILED: {}", reason(panic))));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = runtime.map_err(Into::into).map(|runtime| {
        runtime.block_on(async { tokio::task::LocalSet::new().run_until(call(&demo)).await })
    });
    match outcome.and_then(|call| call) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

fn arguments(mut words: impl Iterator<Item = String>) -> Option<Demo> {
    let (mut page, mut desk, mut dn) = (None, None, None);
    while let Some(flag) = words.next() {
        let value = words.next()?;
        match flag.as_str() {
            "--page" => page = Some(value),
            "--desk" => desk = Some(value.parse().ok()?),
            "--dn" => dn = Some(value),
            _ => return None,
        }
    }
    Some(Demo {
        page: page?,
        desk: desk?,
        dn: dn?,
    })
}

fn reason(panic: &std::panic::PanicHookInfo<'_>) -> String {
    let payload = panic.payload();
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("a step of the call")
        .to_owned()
}

/// Signs in, lets a customer call, answers at the desk, and passes when each side has heard the other's tone and the call has ended.
async fn call(demo: &Demo) -> Result<()> {
    let browser = Browser::launch().await?;
    browser.open(&demo.page).await;
    browser.sees("#media-state[data-state=connected]").await;
    browser.sees("#registration[data-state=registered]").await;
    println!(
        "the page is signed in, its audio connected, DN {} registered",
        demo.dn
    );

    let dialled = json!({"from": "0301234567", "to": demo.dn, "tone_hz": CUSTOMER_HZ});
    let answer = http::post(demo.desk, "/sim/calls", &dialled).await?.json();
    let id = answer["id"]
        .as_str()
        .ok_or_else(|| format!("no customer call: {answer}"))?
        .to_owned();
    browser.sees("#calls [data-state=ringing]").await;
    println!("a customer calls, and the page rings");

    operate(demo, &id, "Answer").await?;
    browser.sees("#calls [data-state=talking]").await;
    println!("the desk answered: NOTIFY talk, 200 OK");

    browser.hears(CUSTOMER_HZ).await;
    println!("the agent hears the customer's {CUSTOMER_HZ} Hz");
    let path = format!("/sim/calls/{id}");
    eventually_async(&format!("the customer hears {PAGE_HZ} Hz"), || async {
        let report = http::get(demo.desk, &path).await.ok()?;
        let heard = report.json()["heard_hz"].as_f64()?;
        ((heard - f64::from(PAGE_HZ)).abs() < TOLERANCE_HZ).then_some(())
    })
    .await;
    println!("the customer hears the agent's {PAGE_HZ} Hz");

    operate(demo, &id, "Hangup").await?;
    browser.sees_no("#calls [data-state=talking]").await;
    println!("the desk hung up, and the call is gone");
    browser.close().await;
    Ok(())
}

async fn operate(demo: &Demo, call: &str, operation: &str) -> Result<()> {
    let body = json!({"operationName": operation, "dn": demo.dn});
    let answer = http::post(demo.desk, &format!("/api/v2/me/calls/{call}"), &body).await?;
    if answer.status == 200 {
        return Ok(());
    }
    Err(format!("the desk's {operation}: {}", answer.body).into())
}
