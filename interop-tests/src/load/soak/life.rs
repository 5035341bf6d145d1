//! What an agent, her laptop and her callers do to the gateway, at random and for as long as it is asked for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::Result;
use crate::load::agents::is_refused;
use crate::load::field::Orders;

use super::exchange::{Exchange, Line};
use super::page::{CallId, Page};

/// How long a call talks, at least, and how much longer at random.
const TALKS: (Duration, Duration) = (Duration::from_millis(300), Duration::from_millis(1_500));

/// How the gateway refuses a call while a media worker has too much to do.
const TOO_MUCH_TO_DO: &str = "SIP/2.0 503";

/// What all lives share.
pub(super) struct World {
    pub(super) exchange: Exchange,
    pub(super) field: Orders,
    pub(super) gateway: SocketAddr,
    pub(super) stop: AtomicBool,
    /// Things done, by name.
    pub(super) done: Mutex<BTreeMap<&'static str, u64>>,
    /// What went otherwise than it should, the first of each kind in words.
    pub(super) failed: Mutex<BTreeMap<&'static str, (u64, String)>>,
}

impl World {
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn note(&self, what: &'static str, result: Result<()>) {
        // A machine that has more to do than it can is no fault, and what is refused must leave nothing either.
        let (what, result) = match result {
            Err(error) if error.to_string().contains(TOO_MUCH_TO_DO) => {
                ("call refused, too much to do", Ok(()))
            }
            Err(error) if is_refused(error.as_ref()) => ("sign-in refused, too much to do", Ok(())),
            result => (what, result),
        };
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        *done.entry(what).or_default() += 1;
        if let Err(error) = result {
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            let (times, _) = failed.entry(what).or_insert_with(|| (0, error.to_string()));
            *times += 1;
        }
    }
}

/// Numbers that look like none in particular (xorshift); the same for a seed.
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }

    fn talks(&mut self) -> Duration {
        TALKS.0 + TALKS.1 * u32::try_from(self.below(1_000)).unwrap_or(0) / 1_000
    }
}

/// An agent's working days, one after the other.
pub(super) async fn live(world: Arc<World>, session: usize, mut dice: Dice) {
    while !world.is_over() {
        if dice.below(4) == 0 {
            let (what, result) = strangers(&world, session, &mut dice).await;
            world.note(what, result);
            continue;
        }
        let page = Page::sign_in(world.gateway, session, &world.field, None).await;
        let mut page = match page {
            Ok(page) => page,
            Err(error) => {
                world.note("sign-in", Err(error));
                // The gateway keeps the session of a page that vanished for a while; nothing is gained by haste.
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        world.note("sign-in", Ok(()));
        let mut here = Some(page);
        for _ in 0..=dice.below(4) {
            let Some(now) = here.take() else { break };
            page = now;
            let (what, result, left) = shift(&world, session, page, &mut dice).await;
            world.field.hang_up(session);
            let refused = result.is_err();
            world.note(what, result);
            here = left;
            if refused {
                // Nobody tries again at once, and sign-ins by the hundred would keep the gateway busy for ever.
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        if let Some(page) = here {
            if dice.below(3) == 0 {
                drop(page);
                world.note("page closed without bye", Ok(()));
            } else {
                world.note("sign-out", page.bye().await);
            }
        }
        world.field.vanish(session);
    }
}

/// Connections that come to nothing.
async fn strangers(world: &World, session: usize, dice: &mut Dice) -> (&'static str, Result<()>) {
    match dice.below(3) {
        0 => ("half a handshake", half_a_handshake(world.gateway).await),
        1 => ("hello and gone", hello(world, session).await),
        _ => ("leg that never answers", silent_leg(world, session).await),
    }
}

async fn half_a_handshake(gateway: SocketAddr) -> Result<()> {
    let mut socket = TcpStream::connect(gateway).await?;
    let head = b"GET /agent/v1 HTTP/1.1\r\nHost: gateway\r\nUpgrade: websocket\r\n";
    Ok(socket.write_all(head).await?)
}

/// The page is gone once it is welcome. Gone before, its hello might be read behind that of the agent's next page, and take that one's place.
async fn hello(world: &World, session: usize) -> Result<()> {
    let mut page = Page::hello(world.gateway, session, &world.field, None).await?;
    page.hears("welcome").await
}

/// The page answers the offer and its network is gone before ICE has begun.
async fn silent_leg(world: &World, session: usize) -> Result<()> {
    let mut page = Page::hello(world.gateway, session, &world.field, None).await?;
    page.hears("media_offer").await?;
    world.field.vanish(session);
    page.rest(Duration::from_millis(500)).await
}

type Left = Option<Page>;

/// One call, and what becomes of it. Yields the page, where it is still there.
async fn shift(
    world: &World,
    session: usize,
    mut page: Page,
    dice: &mut Dice,
) -> (&'static str, Result<()>, Left) {
    let result = match dice.below(8) {
        0 => ("call", call(world, session, &mut page, dice).await),
        1 => (
            "call, agent hangs up",
            agent_ends(world, session, &mut page, true).await,
        ),
        2 => (
            "call, dead caller",
            agent_ends(world, session, &mut page, false).await,
        ),
        3 => (
            "hold and retrieve",
            held(world, session, &mut page, dice).await,
        ),
        4 => ("cancelled call", cancelled(world, session, &mut page).await),
        5 => (
            "caller without ack",
            no_ack(world, session, &mut page).await,
        ),
        6 => return reloaded(world, session, page).await,
        _ => return vanished(world, session, page).await,
    };
    (result.0, result.1, Some(page))
}

/// Rung, answered, and audio both ways.
async fn up<'a>(world: &'a World, session: usize, page: &mut Page) -> Result<(Line<'a>, CallId)> {
    let mut line = world.exchange.ring(session).await?;
    let call = page.rings().await?;
    let rtp = line.talk().await?;
    world.field.caller(session, rtp);
    Ok((line, call))
}

async fn call(world: &World, session: usize, page: &mut Page, dice: &mut Dice) -> Result<()> {
    let (mut line, call) = up(world, session, page).await?;
    line.ack().await?;
    page.rest(dice.talks()).await?;
    line.bye().await?;
    page.call(&call, "ended").await
}

async fn agent_ends(world: &World, session: usize, page: &mut Page, answered: bool) -> Result<()> {
    let (mut line, call) = up(world, session, page).await?;
    line.ack().await?;
    page.hang_up(&call).await?;
    if answered {
        line.ended().await?;
    } else {
        // Nobody answers the BYE: the gateway gives up by itself.
        drop(line);
    }
    page.call(&call, "ended").await
}

async fn held(world: &World, session: usize, page: &mut Page, dice: &mut Dice) -> Result<()> {
    let (mut line, call) = up(world, session, page).await?;
    line.ack().await?;
    page.call(&call, "talking").await?;
    line.hold().await?;
    page.call(&call, "held").await?;
    page.rest(dice.talks() / 4).await?;
    line.retrieve().await?;
    page.call(&call, "talking").await?;
    line.bye().await?;
    page.call(&call, "ended").await
}

async fn cancelled(world: &World, session: usize, page: &mut Page) -> Result<()> {
    let mut line = world.exchange.ring(session).await?;
    let call = page.rings().await?;
    line.cancel().await?;
    page.call(&call, "ended").await
}

/// The caller is gone before the ACK: the gateway repeats its 200, and ends the call when nothing comes. Until then the DN has it: an agent
/// has few calls at a time, and a few such callers would leave her no room for the next one.
async fn no_ack(world: &World, session: usize, page: &mut Page) -> Result<()> {
    let (line, call) = up(world, session, page).await?;
    drop(line);
    page.call(&call, "ended").await
}

/// The page is loaded anew with a call up, which goes on.
async fn reloaded(
    world: &World,
    session: usize,
    mut page: Page,
) -> (&'static str, Result<()>, Left) {
    let mut left = None;
    let result = async {
        let (mut line, call) = up(world, session, &mut page).await?;
        line.ack().await?;
        let resume = page.resume().ok_or("no resume")?;
        drop(page);
        world.field.vanish(session);
        let page = Page::sign_in(world.gateway, session, &world.field, Some(&resume)).await?;
        let page = left.insert(page);
        page.rest(Duration::from_millis(200)).await?;
        line.bye().await?;
        page.call(&call, "ended").await
    };
    let result = result.await;
    ("reload in a call", result, left)
}

/// The laptop is shut with a call up, and nobody comes back: the gateway hangs up when the grace time is over.
async fn vanished(
    world: &World,
    session: usize,
    mut page: Page,
) -> (&'static str, Result<()>, Left) {
    let result = async {
        let (mut line, _) = up(world, session, &mut page).await?;
        line.ack().await?;
        drop(page);
        world.field.vanish(session);
        line.ended().await
    };
    ("laptop shut in a call", result.await, None)
}
