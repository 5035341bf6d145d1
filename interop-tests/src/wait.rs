//! Waiting on a condition until a deadline, the only kind of waiting in these tests.

use std::future::Future;
use std::time::{Duration, Instant};

/// Generous, since a busy machine may need long for what is usually there at once; a test that
/// passes never waits this long.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// How often a condition is looked at.
const PERIOD: Duration = Duration::from_millis(20);

/// Waits until `condition` holds; panics with `what` after [`DEADLINE`].
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    eventually_some(what, || condition().then_some(())).await;
}

/// Waits until `probe` yields a value; panics with `what` after [`DEADLINE`].
pub async fn eventually_some<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    eventually_async(what, || std::future::ready(probe())).await
}

/// Whether `condition` comes true within `limit`: for what is asked again when it does not.
pub async fn within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// How long a state has to last before [`lastingly`] believes it: more than the gap that a busy
/// machine tears into a stream of 20 ms packets.
const LASTING: Duration = Duration::from_millis(300);

/// Waits until `condition` has held without a break for [`LASTING`]: for silence, which any gap
/// between two packets looks like.
pub async fn lastingly<F>(what: &str, mut condition: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    let deadline = Instant::now() + DEADLINE;
    let mut since = None;
    loop {
        let now = Instant::now();
        since = condition().await.then(|| since.unwrap_or(now));
        if since.is_some_and(|since: Instant| since.elapsed() >= LASTING) {
            return;
        }
        assert!(now < deadline, "{what}: not within {DEADLINE:?}");
        tokio::time::sleep(PERIOD).await;
    }
}

/// As [`eventually_some`], for a probe that has to ask somebody.
pub async fn eventually_async<T, F>(what: &str, mut probe: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}");
        tokio::time::sleep(PERIOD).await;
    }
}
