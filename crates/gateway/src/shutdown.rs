//! Signals, and the end in order: no new calls, time for those that are up, then BYE, CANCEL and the end of registrations.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::edge::media_worker::MediaWorker;
use crate::limits::{DRAIN_LOOK_EVERY, FAREWELL_WITHIN, WORKERS_LOOK_EVERY};
use crate::logging::Logging;
use crate::reload::Reloader;
use crate::requests::Request;
use crate::run::RunError;

/// The signals that are obeyed. They are listened to before anybody can reach us: a SIGHUP that comes early would end the
/// process, or be lost where it was ignored by our parent.
#[derive(Debug)]
pub struct Signals {
    end: EndSignals,
    hangup: Signal,
}

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the operating system refuses a handler.
    pub fn listen() -> Result<Self, RunError> {
        // Obeyed by not ending: with a handler of its own a file that may not grow (`ulimit -f`) is an error of the one who writes it.
        let _ = listen(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
        Ok(Self {
            end: EndSignals::listen()?,
            hangup: listen(SignalKind::hangup())?,
        })
    }
}

/// SIGTERM and SIGINT.
#[derive(Debug)]
struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl EndSignals {
    fn listen() -> Result<Self, RunError> {
        let terminate = listen(SignalKind::terminate())?;
        Ok(Self {
            terminate,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn listen(kind: SignalKind) -> Result<Signal, RunError> {
    signal(kind).map_err(|error| RunError::Start {
        what: "signals",
        error,
    })
}

/// Obeys signals until the control loop `ended`. A media worker that is gone takes calls with it that nobody can mend: the
/// others are ended in order, and a fresh process is better.
///
/// # Errors
///
/// When the control loop or a media worker ends by itself, or a second signal cuts the end short.
pub async fn until_ended(
    signals: Signals,
    reloader: &mut Reloader,
    logging: &Logging,
    drain_s: u32,
    media: &[MediaWorker],
    mut ended: oneshot::Receiver<()>,
) -> Result<(), RunError> {
    let Signals {
        end: mut end_signals,
        mut hangup,
    } = signals;
    let mut look = interval(WORKERS_LOOK_EVERY);
    let (drain_s, verdict) = loop {
        tokio::select! {
            () = end_signals.next() => break (drain_s, Ok(())),
            _ = look.tick() => {
                if !media.iter().all(MediaWorker::is_alive) {
                    tracing::error!("a media worker ended by itself");
                    break (0, Err(RunError::MediaWorker));
                }
            }
            _ = hangup.recv() => reloader.reload(logging).await,
            _ = &mut ended => return Err(RunError::ControlLoop),
        }
    };
    tokio::select! {
        result = end(reloader, drain_s, &mut ended) => result.and(verdict),
        () = end_signals.next() => Err(RunError::Impatient),
    }
}

async fn end(
    reloader: &Reloader,
    drain_s: u32,
    ended: &mut oneshot::Receiver<()>,
) -> Result<(), RunError> {
    drained(reloader, Duration::from_secs(drain_s.into())).await?;
    tracing::info!("ending: calls are ended, DNs unregistered");
    reloader
        .asker
        .tell(Request::Shutdown)
        .await
        .map_err(|_| RunError::ControlLoop)?;
    // The loop keeps its own deadline; twice of it means that it hangs.
    match tokio::time::timeout(2 * FAREWELL_WITHIN, ended).await {
        Ok(Ok(())) => {
            tracing::info!("ended");
            Ok(())
        }
        Ok(Err(_)) | Err(_) => Err(RunError::ControlLoop),
    }
}

/// Refuses new calls and waits until the last one is over, or patience is.
async fn drained(reloader: &Reloader, patience: Duration) -> Result<(), RunError> {
    let give_up = Instant::now() + patience;
    reloader
        .asker
        .ask(Request::Drain)
        .await
        .map_err(|_| RunError::ControlLoop)?;
    let mut look = interval(DRAIN_LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let (gauges, _) = reloader
            .asker
            .ask(Request::Gauges)
            .await
            .map_err(|_| RunError::ControlLoop)?;
        let calls: usize = gauges.calls.iter().map(|(_, count)| count).sum();
        if calls == 0 {
            return Ok(());
        }
        if Instant::now() >= give_up {
            tracing::warn!(calls, "calls are ended by the shutdown");
            return Ok(());
        }
    }
}
