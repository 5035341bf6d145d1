//! The site of a storm of one kind: what it needs, and draws of its own for the rest.

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use switchboard::Failback;

use super::{Layout, Scarce, Site, any_dn};
use crate::tserver::{Alert, TransferBy};
use crate::world::storm::{Kind, Storm};

/// How long the customers of a site let it ring: from those who answer at once to those who take their time.
const RINGS_MS: [u64; 5] = [0, 50, 400, 1_500, 8_000];

impl Site {
    /// Suits the site to the storm.
    pub(in crate::world) fn suit(&mut self, storm: &Storm, rng: &mut ChaCha12Rng) {
        if storm.is_usual() {
            return;
        }
        for ring in &mut self.rings {
            *ring = Duration::from_millis(RINGS_MS[rng.random_range(0..RINGS_MS.len())]);
        }
        match storm.kind {
            Kind::Usual => {}
            Kind::Sites => {
                self.layout = Layout::Continuity;
                self.scarce = Scarce::Nothing;
                self.dns.truncate(2);
                self.transfers_by_all_means(rng);
                for dn in &mut self.dns {
                    dn.settings.cti_control.hold |= rng.random_bool(0.7);
                }
            }
            Kind::Deaf => {
                self.registers_much(rng);
            }
            Kind::Dialling => {
                self.scarce = Scarce::Nothing;
                // Few, so that who clicks finds the call that is meant.
                self.dns.truncate(2);
                self.transfers_by_all_means(rng);
            }
            Kind::HandingOn => {
                self.scarce = Scarce::Nothing;
                self.dns.truncate(2);
                self.refer_progress = rng.random_bool(0.8);
                self.first_news = Duration::from_millis(rng.random_range(20..4_000));
                for dn in &mut self.dns {
                    dn.settings.require_reliable = rng.random_bool(0.4);
                }
            }
            Kind::SigningIn => {
                self.registers_much(rng);
                self.registrations_per_s = rng.random_range(1..4);
            }
            Kind::Elsewhere | Kind::GoingBack | Kind::Connections => self.suit_further(storm, rng),
            Kind::Workers => {
                self.ports_taken = rng.random_range(0.2..0.7);
                self.scarce = Scarce::Nothing;
            }
            Kind::Tables => {
                self.scarce = Scarce::Tables;
                for dn in &mut self.dns {
                    dn.settings.alert = if rng.random_bool(0.7) {
                        Alert::AutoAnswer
                    } else {
                        Alert::Plain
                    };
                }
            }
        }
    }

    /// The same for the storms of the seeds from `FURTHER` on.
    fn suit_further(&mut self, storm: &Storm, rng: &mut ChaCha12Rng) {
        self.scarce = Scarce::Nothing;
        match storm.kind {
            Kind::Elsewhere => {
                self.layout = Layout::Continuity;
                self.dns.truncate(2);
                self.refer_progress = true;
                self.first_news = Duration::from_millis(rng.random_range(20..4_000));
            }
            Kind::GoingBack => {
                self.registers_much(rng);
                self.layout = Layout::Pair(Failback::Auto);
                self.failback_after = Duration::from_secs(rng.random_range(1..9));
            }
            Kind::Connections => {
                self.dns.truncate(2);
                self.answers_elsewhere = true;
                for dn in &mut self.dns {
                    dn.settings.authenticate_invite = rng.random();
                }
            }
            _ => {}
        }
    }

    fn transfers_by_all_means(&mut self, rng: &mut ChaCha12Rng) {
        for dn in &mut self.dns {
            dn.settings.transfer_by = match rng.random_range(0..3) {
                0 => TransferBy::Reinvite,
                1 => TransferBy::Refer,
                _ => TransferBy::Replaces,
            };
        }
    }

    /// A primary and its backup, more DNs, and less time between two REGISTERs.
    fn registers_much(&mut self, rng: &mut ChaCha12Rng) {
        self.layout = Layout::Pair(any_failback(rng));
        self.scarce = Scarce::Nothing;
        self.expires_s = rng.random_range(60..180);
        self.failback_after = Duration::from_secs(rng.random_range(1..30));
        for index in self.dns.len()..rng.random_range(4..9) {
            self.dns.push(any_dn(rng, index));
        }
    }
}

fn any_failback(rng: &mut ChaCha12Rng) -> Failback {
    if rng.random() {
        Failback::Auto
    } else {
        Failback::Stay
    }
}
