//! What the shell's other threads ask of the control loop; each request carries the way back for its reply.

use std::sync::Arc;

use control::admin::Event;
use control::{AgentStatus, CallRecord, DrainStatus, EventRecord, ReadyReport};
use switchboard::{AdminCommand, AdminRefusal, AdminReply, AgentConfig, CallId, Gauges, TapId};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::timeout;

use crate::edge::dns::Resolved;
use crate::limits::ADMIN_REPLY_WITHIN;

/// One request.
#[derive(Debug)]
pub enum Request {
    /// A verb of the administration interface.
    Command(
        AdminCommand,
        oneshot::Sender<Result<AdminReply, AdminRefusal>>,
    ),
    /// Every agent.
    Agents(oneshot::Sender<Vec<AgentStatus>>),
    /// One agent.
    Agent(String, oneshot::Sender<Option<AgentStatus>>),
    /// The calls that are up and those that ended last.
    Calls(oneshot::Sender<Vec<CallRecord>>),
    /// One call.
    Call(CallId, oneshot::Sender<Option<CallRecord>>),
    /// Numbers for metrics: the switchboard's, and the SIP streams that are open.
    Gauges(oneshot::Sender<(Gauges, usize)>),
    /// Whether a load balancer should send agents here.
    Ready(oneshot::Sender<ReadyReport>),
    /// Events from now on, after those that followed the one named.
    Events(Option<u64>, oneshot::Sender<Subscription>),
    /// Take no new calls.
    Drain(oneshot::Sender<DrainStatus>),
    /// What the names of SIP Servers mean now.
    SipServers(Box<Resolved>),
    /// A live consumer is gone.
    CloseTap(TapId),
    /// The agents were read again.
    Reload(Vec<AgentConfig>),
    /// A reload came to its end; for metrics.
    Reloaded(bool),
    /// End everything; the loop ends with it.
    Shutdown,
}

/// A subscription of the event stream.
#[derive(Debug)]
pub struct Subscription {
    /// What is said before everything else: that events are gone which the subscriber has not had.
    pub missed: Option<Event>,
    /// Events that the subscriber missed and that are still kept.
    pub backlog: Vec<Arc<EventRecord>>,
    /// Events from now on.
    pub live: broadcast::Receiver<Arc<EventRecord>>,
}

/// Why a request has no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the control loop does not answer")]
pub struct NoReply;

/// The way to ask.
#[derive(Debug, Clone)]
pub struct Asker {
    queue: mpsc::Sender<Request>,
}

impl Asker {
    /// Asks over `queue`.
    #[must_use]
    pub fn new(queue: mpsc::Sender<Request>) -> Self {
        Self { queue }
    }

    /// Asks and waits for the reply, for a bounded time.
    ///
    /// # Errors
    ///
    /// When the control loop does not answer in time, or is gone.
    pub async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, NoReply> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.queue.send(request(reply)).await.map_err(|_| NoReply)?;
            answer.await.map_err(|_| NoReply)
        };
        timeout(ADMIN_REPLY_WITHIN, asked)
            .await
            .unwrap_or(Err(NoReply))
    }

    /// Tells something that has no reply, from a thread that may not wait; `false` when the loop has no room for it.
    #[must_use]
    pub fn tell_now(&self, request: Request) -> bool {
        self.queue.try_send(request).is_ok()
    }

    /// Tells something that has no reply.
    ///
    /// # Errors
    ///
    /// When the control loop is gone.
    pub async fn tell(&self, request: Request) -> Result<(), NoReply> {
        self.queue.send(request).await.map_err(|_| NoReply)
    }
}
