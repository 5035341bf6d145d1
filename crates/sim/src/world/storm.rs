//! Storms of one kind. Most seeds do a bit of everything; one in so many gives the people a purpose, and a share of its own to each deed, so
//! that what takes a coincidence elsewhere happens there: swarm testing.

mod shares;

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

use super::faults::{Faults, Part, Unlucky};

/// One seed in so many has a storm of one kind.
const EVERY: u64 = 8;
/// Its seeds draw from numbers of their own, so that all the others stay what they are.
const SALT: u64 = 0x5707_2a11_c0de_d00d;

/// From this seed on all have a storm, of kinds that those before it do not have: these stay what they are.
pub const FURTHER: u64 = 1_000_000;

/// Whether the people of this seed are bent on something.
#[must_use]
pub const fn is_storm(seed: u64) -> bool {
    seed % EVERY == EVERY - 1 || seed >= FURTHER
}

/// The kind of a seed from [`FURTHER`] on: they take turns.
pub(super) const fn further(seed: u64) -> Option<Kind> {
    if seed < FURTHER {
        return None;
    }
    Some(match seed % 3 {
        0 => Kind::Elsewhere,
        1 => Kind::GoingBack,
        _ => Kind::Connections,
    })
}

/// What the people of a run are bent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing: everybody does anything.
    Usual,
    /// Agents dial while the two sites stand still in turn.
    Sites,
    /// The servers of a list are lost in turn, and answer no OPTIONS for a while.
    Deaf,
    /// Agents dial numbers that answer at once, and everybody clicks before the answer is there.
    Dialling,
    /// Agents hand on what they have hardly answered.
    HandingOn,
    /// Agents sign in and out of a site whose registrations wait for their turn.
    SigningIn,
    /// Media workers take their time, and others have taken their ports.
    Workers,
    /// talkbridge has small tables, and calls answer themselves.
    Tables,
    /// The preferred site stands still for as long as a call is tried there, and answers while that goes on at the other one.
    Elsewhere,
    /// Of two servers of a list the preferred one is lost and comes back, and everything else happens when the first DN goes there.
    GoingBack,
    /// Connections break behind one kind of message, and what is answered meanwhile goes by others.
    Connections,
}

/// What the storms before [`FURTHER`] are about; what takes more than one coincidence comes more often.
const KINDS: [Kind; 11] = [
    Kind::Sites,
    Kind::Sites,
    Kind::Sites,
    Kind::Deaf,
    Kind::Deaf,
    Kind::Dialling,
    Kind::HandingOn,
    Kind::HandingOn,
    Kind::SigningIn,
    Kind::Workers,
    Kind::Tables,
];

/// What somebody may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    CustomerCalls,
    CustomerHangsUp,
    CustomerTransfers,
    DesktopClicks,
    SomethingIsSaid,
    PageClicks,
    PageComesOrGoes,
    SomethingBreaks,
    ServerIsLost,
    ServerHangs,
    ServerRestarts,
    ServerSwitchesOver,
    TurnsDeaf,
    SocketRefuses,
    LegIsLost,
    SitesHangInTurn,
    RegistrarsWobble,
    OneWay,
    DesktopDials,
    PageDials,
    PageAnswers,
    PageHolds,
    PageTransfers,
    SomebodyListensIn,
    KeysArePressed,
    FirstHangsForACall,
    FirstIsLost,
    RefusesBetweenConnections,
    MovesOnBeforeItsPort,
}

/// The storm of one run.
#[derive(Clone, Debug)]
pub(super) struct Storm {
    pub(super) kind: Kind,
    /// How often each deed is done, of the sum of them.
    shares: Vec<(Deed, u32)>,
    /// Share of the deeds that follow at once.
    hurry: f64,
    /// The longest that a media worker takes to say what came of an order.
    worker_ms: u64,
    /// The longest that ICE and DTLS take beyond what is usual.
    leg_ms: u64,
    /// The longest that a SIP Server stands still, where that is not as usual.
    pub(super) hangs_ms: Option<u64>,
}

impl Storm {
    /// The storm of a seed, and what else is drawn for it.
    pub(super) fn of(seed: u64) -> (Self, ChaCha12Rng) {
        let mut rng = ChaCha12Rng::seed_from_u64(seed ^ SALT);
        let kind = match further(seed) {
            Some(kind) => kind,
            None if is_storm(seed) => KINDS[rng.random_range(0..KINDS.len())],
            None => Kind::Usual,
        };
        let mut share = |(deed, usual): &(Deed, u32)| {
            let times = [0, 1, 1, 1, 2, 3][rng.random_range(0..6)];
            (*deed, usual * times)
        };
        let mut shares: Vec<(Deed, u32)> = shares::of(kind).iter().map(&mut share).collect();
        if let Some((_, first)) = shares.first_mut() {
            // What it is about.
            *first += 1;
        }
        let hurry = match kind {
            // A server that is deaf to OPTIONS is doubted where no REGISTER is answered for seconds.
            Kind::GoingBack => rng.random_range(0.0..0.3),
            _ => rng.random_range(0.3..0.8),
        };
        let worker_ms = match kind {
            Kind::Workers => rng.random_range(1..500),
            _ => 0,
        };
        let leg_ms = match kind {
            Kind::Workers => rng.random_range(1..5_000),
            _ => 0,
        };
        // Long enough to be taken for lost, and back before everybody has gone elsewhere.
        let short = match kind {
            Kind::Deaf | Kind::SigningIn => rng.random_bool(0.7),
            Kind::GoingBack => true,
            _ => false,
        };
        let hangs_ms = short.then_some(14_000);
        let storm = Self {
            hangs_ms,
            kind,
            shares,
            hurry,
            worker_ms,
            leg_ms,
        };
        (storm, rng)
    }

    pub(super) fn is_usual(&self) -> bool {
        self.kind == Kind::Usual
    }

    /// What is done next; `None` in a run that is bent on nothing.
    pub(super) fn deed(&self, rng: &mut ChaCha12Rng) -> Option<Deed> {
        let all: u32 = self.shares.iter().map(|(_, share)| share).sum();
        let mut chosen = (all > 0).then(|| rng.random_range(0..all))?;
        let found = self.shares.iter().find(|(_, share)| {
            let here = chosen < *share;
            chosen = chosen.saturating_sub(*share);
            here
        });
        found.map(|(deed, _)| *deed)
    }

    /// How long nobody does anything, `longest_ms` at most.
    pub(super) fn pause(&self, rng: &mut ChaCha12Rng, longest_ms: u64) -> Duration {
        let longest_ms = if !self.is_usual() && rng.random_bool(self.hurry) {
            HURRY_MS
        } else {
            longest_ms
        };
        Duration::from_millis(rng.random_range(1..longest_ms))
    }

    /// How long a media worker takes.
    pub(super) fn worker_delay(&self, rng: &mut ChaCha12Rng) -> Duration {
        up_to(self.worker_ms, rng)
    }

    /// How much longer than usual a browser leg takes to connect.
    pub(super) fn leg_delay(&self, rng: &mut ChaCha12Rng) -> Duration {
        up_to(self.leg_ms, rng)
    }

    /// The network of a storm loses and overtakes more.
    pub(super) fn stir(&self, rng: &mut ChaCha12Rng, faults: Faults) -> Faults {
        let calm = match self.kind {
            Kind::GoingBack => 0.8,
            _ => 0.3,
        };
        if self.is_usual() || rng.random_bool(calm) {
            return faults;
        }
        let unlucky = [0, 1].map(|_| {
            let all = match self.kind {
                Kind::HandingOn if rng.random_bool(0.6) => &UNLUCKY[..5],
                Kind::Dialling if rng.random_bool(0.4) => &UNLUCKY[4..6],
                Kind::Sites if rng.random_bool(0.5) => &UNLUCKY[4..],
                Kind::Deaf | Kind::SigningIn if rng.random_bool(0.6) => &REGISTER[..],
                Kind::Connections if rng.random_bool(0.6) => &INVITE[..],
                Kind::Elsewhere if rng.random_bool(0.7) => &UNLUCKY[4..7],
                _ => &UNLUCKY[..],
            };
            let (method, part) = all[rng.random_range(0..all.len())];
            let late = rng.random();
            rng.random_bool(0.6)
                .then_some(Unlucky { method, part, late })
        });
        // A registrar takes a REGISTER that comes so late for a new one.
        let detour_ms = match self.kind {
            Kind::Dialling | Kind::HandingOn | Kind::Connections => {
                [400, 1_000, 3_000][rng.random_range(0..3)]
            }
            _ => 400,
        };
        Faults {
            unlucky,
            detour_max: Duration::from_millis(detour_ms),
            loss: rng.random_range(0.05..0.4),
            duplicate: rng.random_range(0.0..0.3),
            reorder: rng.random_range(0.1..0.5),
            ..faults
        }
    }
}

fn up_to(longest_ms: u64, rng: &mut ChaCha12Rng) -> Duration {
    match longest_ms {
        0 => Duration::ZERO,
        longest_ms => Duration::from_millis(rng.random_range(0..longest_ms)),
    }
}

/// What the network may have it in for.
const UNLUCKY: [(&str, Part); 10] = [
    ("PRACK", Part::Request),
    ("PRACK", Part::Final),
    ("REFER", Part::Final),
    ("INVITE", Part::Provisional),
    ("BYE", Part::Request),
    ("ACK", Part::Request),
    ("BYE", Part::Final),
    ("CANCEL", Part::Request),
    ("CANCEL", Part::Final),
    ("INVITE", Part::Final),
];

const INVITE: [(&str, Part); 2] = [("INVITE", Part::Provisional), ("INVITE", Part::Final)];

const REGISTER: [(&str, Part); 2] = [("REGISTER", Part::Request), ("REGISTER", Part::Final)];

/// The longest pause of people who click faster than the network carries.
const HURRY_MS: u64 = 80;
