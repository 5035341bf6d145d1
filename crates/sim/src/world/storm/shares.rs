//! How often each deed is done in a storm of each kind, of the sum of them, before a seed has drawn shares of its own. What a storm is about
//! comes first.

use super::Deed as D;
use super::{Deed, Kind};

/// How often each deed is done.
pub(super) const fn of(kind: Kind) -> &'static [(Deed, u32)] {
    match kind {
        Kind::Usual => &[],
        Kind::Sites => SITES,
        Kind::Deaf => DEAF,
        Kind::Dialling => DIALLING,
        Kind::HandingOn => HANDING_ON,
        Kind::SigningIn => SIGNING_IN,
        Kind::Workers => WORKERS,
        Kind::Tables => TABLES,
        Kind::Elsewhere => ELSEWHERE,
        Kind::GoingBack => GOING_BACK,
        Kind::Connections => CONNECTIONS,
    }
}

const SITES: &[(Deed, u32)] = &[
    (D::PageDials, 20),
    (D::SitesHangInTurn, 3),
    (D::OneWay, 3),
    (D::ServerSwitchesOver, 3),
    (D::ServerIsLost, 1),
    (D::ServerRestarts, 2),
    (D::DesktopClicks, 16),
    (D::KeysArePressed, 6),
    (D::CustomerTransfers, 6),
    (D::SomebodyListensIn, 6),
    (D::PageHolds, 8),
    (D::PageTransfers, 6),
    (D::PageClicks, 6),
    (D::CustomerCalls, 6),
    (D::PageComesOrGoes, 1),
];

const DEAF: &[(Deed, u32)] = &[
    (D::PageComesOrGoes, 30),
    (D::ServerHangs, 6),
    (D::RegistrarsWobble, 6),
    (D::OneWay, 4),
    (D::ServerIsLost, 4),
    (D::TurnsDeaf, 4),
    (D::SocketRefuses, 2),
    (D::SomethingBreaks, 6),
    (D::CustomerCalls, 12),
    (D::DesktopClicks, 8),
    (D::PageClicks, 6),
];

const DIALLING: &[(Deed, u32)] = &[
    (D::PageDials, 20),
    (D::DesktopDials, 8),
    (D::OneWay, 2),
    (D::DesktopClicks, 16),
    (D::KeysArePressed, 8),
    (D::CustomerTransfers, 8),
    (D::SomebodyListensIn, 8),
    (D::PageHolds, 6),
    (D::PageClicks, 8),
    (D::SomethingIsSaid, 8),
    (D::ServerSwitchesOver, 4),
    (D::ServerRestarts, 1),
    (D::CustomerCalls, 4),
    (D::CustomerHangsUp, 3),
];

const HANDING_ON: &[(Deed, u32)] = &[
    (D::CustomerCalls, 12),
    (D::PageDials, 8),
    (D::PageAnswers, 20),
    (D::PageTransfers, 26),
    (D::SomethingIsSaid, 10),
    (D::SomebodyListensIn, 8),
    (D::CustomerTransfers, 8),
    (D::KeysArePressed, 3),
    (D::DesktopClicks, 8),
    (D::ServerRestarts, 2),
    (D::ServerSwitchesOver, 2),
    (D::LegIsLost, 4),
    (D::PageClicks, 4),
];

const SIGNING_IN: &[(Deed, u32)] = &[
    (D::PageComesOrGoes, 40),
    (D::RegistrarsWobble, 6),
    (D::OneWay, 4),
    (D::ServerIsLost, 3),
    (D::ServerHangs, 6),
    (D::SomethingBreaks, 4),
    (D::CustomerCalls, 14),
    (D::DesktopClicks, 10),
    (D::PageClicks, 6),
];

const WORKERS: &[(Deed, u32)] = &[
    (D::MovesOnBeforeItsPort, 20),
    (D::CustomerCalls, 20),
    (D::SomethingIsSaid, 14),
    (D::PageDials, 14),
    (D::PageAnswers, 10),
    (D::PageClicks, 14),
    (D::DesktopClicks, 14),
    (D::CustomerHangsUp, 8),
    (D::PageHolds, 8),
    (D::PageComesOrGoes, 10),
    (D::SomethingBreaks, 3),
];

const TABLES: &[(Deed, u32)] = &[
    (D::CustomerCalls, 30),
    (D::CustomerHangsUp, 14),
    (D::DesktopClicks, 16),
    (D::PageClicks, 8),
    (D::SomethingIsSaid, 4),
    (D::PageComesOrGoes, 3),
];

const ELSEWHERE: &[(Deed, u32)] = &[
    (D::FirstHangsForACall, 6),
    (D::DesktopClicks, 20),
    (D::PageTransfers, 8),
    (D::PageHolds, 6),
    (D::CustomerTransfers, 2),
    (D::SomethingIsSaid, 2),
];

const GOING_BACK: &[(Deed, u32)] = &[
    (D::FirstIsLost, 6),
    (D::PageComesOrGoes, 6),
    (D::ServerHangs, 1),
    (D::SocketRefuses, 1),
    (D::CustomerCalls, 6),
    (D::DesktopClicks, 4),
];

const CONNECTIONS: &[(Deed, u32)] = &[
    (D::RefusesBetweenConnections, 6),
    (D::PageDials, 20),
    (D::CustomerCalls, 14),
    (D::PageAnswers, 8),
    (D::DesktopClicks, 10),
    (D::DesktopDials, 4),
    (D::SocketRefuses, 6),
    (D::ServerSwitchesOver, 2),
    (D::ServerRestarts, 1),
    (D::PageHolds, 4),
    (D::PageClicks, 4),
    (D::CustomerHangsUp, 3),
];
