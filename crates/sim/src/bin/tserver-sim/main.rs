//! The simulated Genesys SIP Server behind sockets, with a desk to drive it.

mod desk;
mod http;
mod json;
mod media;
mod net;
mod settings;
mod shell;
mod sim_api;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;

use settings::{Flags, Settings};

fn main() -> ExitCode {
    let flags = Flags::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info")),
        )
        .with_writer(std::io::stderr)
        .init();
    match run(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            tracing::error!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<(), String> {
    let settings = Settings::load(flags)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    runtime.block_on(serve(settings, flags.ready_file.as_deref()))
}

async fn serve(settings: Settings, ready_file: Option<&Path>) -> Result<(), String> {
    let sockets = net::Sockets::bind(&settings).await?;
    let http = tokio::net::TcpListener::bind(settings.http)
        .await
        .map_err(|error| format!("http {}: {error}", settings.http))?;
    let http_address = http.local_addr().map_err(|error| error.to_string())?;
    let addresses = json::Addresses::new(&sockets, http_address);
    let (shell, handle) = shell::Shell::new(settings, sockets)?;
    let app = http::router(handle, addresses.clone());
    announce(&addresses, ready_file)?;
    tokio::select! {
        () = shell.run() => Ok(()),
        served = axum::serve(http, app) => served.map_err(|error| format!("http: {error}")),
        () = stop() => Ok(()),
    }
}

/// One line on standard output, and the same in the file that a harness waits for.
fn announce(addresses: &json::Addresses, ready_file: Option<&Path>) -> Result<(), String> {
    let line = addresses.line();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(|error| format!("standard output: {error}"))?;
    if let Some(path) = ready_file {
        // Renamed into place, so that whoever waits for it never reads half of it.
        let part = path.with_extension("part");
        std::fs::write(&part, &line)
            .and_then(|()| std::fs::rename(&part, path))
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

async fn stop() {
    let interrupt = tokio::signal::ctrl_c();
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => {
            let _ = interrupt.await;
        }
    }
}
