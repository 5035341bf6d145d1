//! Signals, and the end in order: no new calls, time for those that are up, then BYE, CANCEL and the end of registrations.

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use crate::edge::media_worker::MediaWorker;
use crate::limits::{DRAIN_LOOK_EVERY, WORKERS_LOOK_EVERY, farewell_within};
use crate::logging::Logging;
use crate::put_away::PutAway;
use crate::reload::{Reading, Reloader};
use crate::requests::{Asker, Request};
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
    signals: &mut Signals,
    reloader: &mut Reloader,
    logging: &Logging,
    drain_s: u32,
    media: &[MediaWorker],
    ended: oneshot::Receiver<()>,
) -> Result<(), RunError> {
    let asker = reloader.asker.clone();
    let mut watch = Watch {
        signals,
        look: interval(WORKERS_LOOK_EVERY),
        reloader,
        reading: None,
        logging,
        media,
        ended,
    };
    let verdict = match watch.during(std::future::pending::<()>()).await {
        Watched::Over(()) | Watched::EndSignal => {
            let patience = Duration::from_secs(drain_s.into());
            match watch.during(drained(&asker, patience)).await {
                Watched::Over(()) => Ok(()),
                Watched::EndSignal => return Err(RunError::Impatient),
                Watched::WorkerGone => Err(RunError::MediaWorker),
                Watched::LoopEnded { .. } => return Err(RunError::ControlLoop),
            }
        }
        Watched::WorkerGone => Err(RunError::MediaWorker),
        Watched::LoopEnded { .. } => return Err(RunError::ControlLoop),
    };
    tracing::info!("ending: calls are ended, DNs unregistered");
    // What is missing now is missing at the end as well.
    watch.media = &[];
    match watch.during(asker.tell(Request::Shutdown)).await {
        Watched::Over(Ok(())) | Watched::WorkerGone => {}
        Watched::EndSignal => return Err(RunError::Impatient),
        Watched::Over(Err(_)) | Watched::LoopEnded { .. } => return Err(RunError::ControlLoop),
    }
    // The loop keeps its own deadline; twice of it means that it hangs.
    let hangs = tokio::time::sleep(2 * farewell_within(watch.reloader.running.agents.len()));
    match watch.during(hangs).await {
        Watched::LoopEnded { in_order: true } => {
            tracing::info!("ended");
            verdict
        }
        Watched::EndSignal => Err(RunError::Impatient),
        Watched::LoopEnded { in_order: false } | Watched::Over(()) | Watched::WorkerGone => {
            Err(RunError::ControlLoop)
        }
    }
}

/// What is looked after at every moment of the process's life, also while it drains: that may take an hour.
struct Watch<'a> {
    signals: &'a mut Signals,
    look: Interval,
    reloader: &'a mut Reloader,
    /// What a SIGHUP has begun; the next one is obeyed when it is over.
    reading: Option<Reading>,
    logging: &'a Logging,
    media: &'a [MediaWorker],
    ended: oneshot::Receiver<()>,
}

/// What came first.
enum Watched<T> {
    /// That which was waited for.
    Over(T),
    /// SIGTERM or SIGINT.
    EndSignal,
    /// A media worker ended by itself.
    WorkerGone,
    /// The control loop has ended, or has fallen.
    LoopEnded { in_order: bool },
}

impl Watch<'_> {
    /// Obeys SIGHUP until `this` is over, or something happens that changes the course.
    async fn during<T>(&mut self, this: impl Future<Output = T>) -> Watched<T> {
        tokio::pin!(this);
        loop {
            tokio::select! {
                over = &mut this => return Watched::Over(over),
                () = self.signals.end.next() => return Watched::EndSignal,
                _ = self.look.tick() => {
                    if !self.media.iter().all(MediaWorker::is_alive) {
                        tracing::error!("a media worker ended by itself");
                        return Watched::WorkerGone;
                    }
                }
                _ = self.signals.hangup.recv(), if self.reading.is_none() => {
                    self.reading = Some(self.reloader.begin());
                }
                read = over(&mut self.reading) => self.reloader.finish(read, self.logging).await,
                ended = &mut self.ended => return Watched::LoopEnded { in_order: ended.is_ok() },
            }
        }
    }
}

/// Waits until what is under way is over, and takes it; for ever where nothing is.
async fn over<T>(task: &mut Option<JoinHandle<T>>) -> Result<T, JoinError> {
    let Some(running) = task else {
        return std::future::pending().await;
    };
    let result = running.await;
    *task = None;
    result
}

/// Waits until what is `ending` has ended, for a bounded time.
///
/// # Errors
///
/// When something takes longer, or a second signal cuts the end short.
pub async fn put_away(
    signals: &mut Signals,
    ending: PutAway<impl Fn() -> usize>,
) -> Result<(), RunError> {
    tokio::select! {
        ended = ending.ended() => ended.map_err(RunError::Unended),
        () = signals.end.next() => Err(RunError::Impatient),
    }
}

/// Refuses new calls and waits until the last one is over, or patience is. A control loop that answers late is asked again: calls are up, and whether it
/// lives is known otherwise.
async fn drained(asker: &Asker, patience: Duration) {
    let give_up = Instant::now() + patience;
    let mut look = interval(DRAIN_LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        // Again at each look, as a request that was given up may not have been heard.
        let calls = asker.ask(Request::Drain).await.map(|status| status.calls);
        if calls == Ok(0) {
            return;
        }
        if Instant::now() >= give_up {
            tracing::warn!(calls = calls.ok(), "calls are ended by the shutdown");
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    /// The loop owes an answer while calls are up: they are not ended for that, and their end is noticed.
    #[tokio::test]
    async fn an_answer_that_does_not_come_ends_no_drain() {
        let (queue, mut requests) = mpsc::channel(8);
        let control_loop = async {
            for calls in [None, Some(2), Some(0)] {
                let Some(Request::Drain(reply)) = requests.recv().await else {
                    unreachable!("a drain asks for nothing else");
                };
                let Some(calls) = calls else {
                    continue;
                };
                let status = control::DrainStatus {
                    draining: true,
                    calls,
                    pages: 0,
                };
                reply.send(status).expect("it waits");
            }
        };
        let asker = Asker::new(queue);
        let patience = Duration::from_secs(3600);
        tokio::join!(drained(&asker, patience), control_loop);
    }
}
