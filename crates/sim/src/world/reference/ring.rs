//! What an INVITE says of how it wants to ring (`docs/talk-and-hold.md#auto-answer`), read a second time.

use std::time::Duration;

use control::Ring;
use switchboard::AutoAnswer;

use crate::world::wire;

/// Longer than this nobody lets a call ring by order of a header.
const LONGEST: Duration = Duration::from_secs(60);

/// After which time a call is answered without a click.
pub(super) fn answer_after(policy: AutoAnswer, invite: &str) -> Option<Duration> {
    match policy {
        AutoAnswer::Never => return None,
        AutoAnswer::Always => return Some(Duration::ZERO),
        AutoAnswer::Headers => {}
    }
    let info = wire::header(invite, "Call-Info").unwrap_or_default();
    if let Some((_, seconds)) = info.split_once("answer-after=") {
        let after = Duration::from_secs(seconds.parse().ok()?);
        return (after <= LONGEST).then_some(after);
    }
    let alert = wire::header(invite, "Alert-Info").unwrap_or_default();
    (alert == "ring answer" || alert.ends_with("info=alert-autoanswer")).then_some(Duration::ZERO)
}

/// The ring that it asks for.
pub(super) fn wish(invite: &str) -> Option<Ring> {
    let alert = wire::header(invite, "Alert-Info")?;
    match alert.rsplit_once("info=alert-")?.1 {
        "external" => Some(Ring::External),
        "internal" => Some(Ring::Internal),
        _ => None,
    }
}
