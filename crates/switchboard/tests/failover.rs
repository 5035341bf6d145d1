//! Which SIP Server the DNs are registered at when one of several dies, comes back, or runs beside another.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use common::{Binding, Dialog, World, config, site};
use control::{GatewayMessage, PageMessage};
use switchboard::{Config, Fact, Failback, RegisterPolicy};

const PRIMARY: &str = "192.0.2.81";
const BACKUP: &str = "192.0.2.82";

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address of these tests")
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// DNs that are always registered, at a primary and a backup.
fn pair(dns: usize) -> Config {
    let dns: Vec<String> = (0..dns).map(|dn| (10_000 + dn).to_string()).collect();
    let mut config = config(&dns.iter().map(String::as_str).collect::<Vec<_>>());
    config.sites = vec![site(None, &[PRIMARY, BACKUP])];
    config.sip.allowed = vec![ip(PRIMARY), ip(BACKUP)];
    for agent in &mut config.agents {
        agent.register = RegisterPolicy::Always;
    }
    config
}

impl World {
    fn bound_since(&self, server: &str, since: Instant) -> Vec<&Binding> {
        let there = |binding: &&Binding| binding.server == ip(server) && binding.at >= since;
        self.bindings.iter().filter(there).collect()
    }

    fn dns_since(&self, server: &str, since: Instant) -> BTreeSet<String> {
        let bound = self.bound_since(server, since);
        bound.iter().map(|binding| binding.dn.clone()).collect()
    }

    /// When REGISTERs left for the server, repetitions among them.
    fn asked_since(&self, server: &str, since: Instant) -> Vec<Instant> {
        let there = self.sent.iter().filter(|sent| {
            let to = sent.to.ip() == ip(server) && sent.at >= since;
            to && sent.text.starts_with("REGISTER")
        });
        there.map(|sent| sent.at).collect()
    }

    /// When REGISTERs left for the server for the first time: what is lost is repeated, and that is not counted.
    fn begun_since(&self, server: &str, since: Instant) -> Vec<Instant> {
        let mut seen = BTreeSet::new();
        let there = self.sent.iter().filter(|sent| {
            let to = sent.to.ip() == ip(server) && sent.at >= since;
            to && sent.text.starts_with("REGISTER")
        });
        let begun = there.filter(|sent| {
            let via = sent.text.lines().find(|line| line.starts_with("Via"));
            seen.insert(via.map(str::to_owned))
        });
        begun.map(|sent| sent.at).collect()
    }

    /// A request of the backup in a dialog that the primary had, with a Contact of its own.
    fn by_backup(&mut self, call: &mut Dialog, method: &str, sdp: Option<&str>) -> String {
        call.cseq += 1;
        let branch = self.branch();
        let text = self.in_dialog_text(call, method, call.cseq, &branch, "", sdp);
        text.replace("192.0.2.81:5060;branch", "192.0.2.82:5060;branch")
            .replace(
                "Contact: <sip:1003@192.0.2.81",
                "Contact: <sip:1003@192.0.2.82",
            )
    }

    /// The backup refreshes the session of a call that goes on.
    fn taken_over(&mut self, mut call: Dialog) -> Dialog {
        let text = self.by_backup(&mut call, "INVITE", Some(common::OFFER));
        self.receive_from("192.0.2.82:5060", &text);
        assert_eq!(self.statuses(&call, call.cseq, "INVITE"), [200]);
        let branch = self.branch();
        let ack = self.in_dialog_text(&call, "ACK", call.cseq, &branch, "", None);
        self.receive_from("192.0.2.82:5060", &ack);
        call
    }

    /// The last request of this method, which went to the server.
    fn asked_of(&self, server: &str, method: &str) -> sip::Request {
        let last = self.sent.iter().rev();
        let mut asked = last.filter(|sent| sent.text.starts_with(method));
        assert_eq!(asked.next().expect("one is sent").to.ip(), ip(server));
        self.requests(method).pop().expect("the same")
    }

    fn never_gave_back(&self) -> bool {
        self.bindings.iter().all(|binding| binding.expires_s > 0)
    }
}

/// A site that wants to know within seconds that a SIP Server is dead is not made to wait by the patience with which a single question is.
#[test]
fn servers_are_asked_as_often_as_is_configured() {
    let mut config = pair(1);
    config.policy.failover.probe_interval = Some(s(1));
    let mut world = World::with_config(config);
    world.advance(Duration::from_millis(10_500));
    let asked = |world: &World, since: Instant| {
        let questions = world.sent.iter().filter(|sent| sent.at >= since);
        let questions = questions.filter(|sent| sent.to.ip() == ip(PRIMARY));
        let vias = questions.filter_map(|sent| {
            let is_one = sent.text.starts_with("OPTIONS");
            let via = sent.text.lines().find(|line| line.starts_with("Via"));
            via.filter(|_| is_one).map(str::to_owned)
        });
        vias.collect::<BTreeSet<_>>().len()
    };
    let count = asked(&world, world.born);
    assert!((10..=11).contains(&count), "{count} in 10 s");
    world.silent.insert(ip(PRIMARY));
    let dead = world.now;
    world.advance(s(4));
    assert_eq!(asked(&world, dead), 1, "one question at a time");
    world.advance(s(2));
    assert_eq!(world.dns_since(BACKUP, dead).len(), 1);
}

/// One unanswered question tells all DNs: none of them waits half a minute for the same silence.
#[test]
fn all_dns_leave_a_dead_server_at_once() {
    let mut world = World::with_config(pair(20));
    world.advance(s(5));
    let start = world.born;
    assert_eq!(world.dns_since(PRIMARY, start).len(), 20);
    assert_eq!(world.dns_since(BACKUP, start).len(), 0);

    world.silent.insert(ip(PRIMARY));
    let dead = world.now;
    world.advance(s(15));
    assert_eq!(world.dns_since(BACKUP, dead).len(), 20);
    assert_eq!(
        world.bound_since(BACKUP, dead).len(),
        20,
        "each of them once"
    );
    assert!(world.never_gave_back());
    let down = world
        .facts
        .iter()
        .filter(|fact| matches!(fact, Fact::SipServer { up: false, .. }));
    assert_eq!(down.count(), 1, "said once");

    // They stay there as long as the primary is dead, and nobody asks it to register.
    let moved = world.now;
    world.advance(s(1_200));
    assert_eq!(world.asked_since(PRIMARY, moved), []);
    assert_eq!(world.dns_since(BACKUP, moved).len(), 20, "refreshed there");
}

/// The primary comes back: after a while one DN looks, then all of them go back, and nothing removes the newer binding.
#[test]
fn the_dns_go_back_to_the_primary() {
    let mut world = World::with_config(pair(20));
    world.advance(s(5));
    world.silent.insert(ip(PRIMARY));
    world.advance(s(60));
    world.silent.clear();
    let back = world.now;
    world.advance(s(25));
    assert_eq!(world.asked_since(PRIMARY, back), [], "it has to last");
    world.advance(s(30));
    assert_eq!(world.dns_since(PRIMARY, back).len(), 20);
    assert_eq!(
        world.bound_since(PRIMARY, back).len(),
        20,
        "each of them once"
    );
    assert!(world.never_gave_back());
    let there = world.now;
    world.advance(s(1_200));
    assert_eq!(world.dns_since(BACKUP, there).len(), 0);
    assert_eq!(world.dns_since(PRIMARY, there).len(), 20);
}

/// `failback = "stay"`: an administrator who wants no second move gets none.
#[test]
fn the_dns_stay_at_the_backup_when_told_so() {
    let mut config = pair(3);
    config.policy.failover.failback = Failback::Stay;
    let mut world = World::with_config(config);
    world.advance(s(5));
    world.silent.insert(ip(PRIMARY));
    world.advance(s(60));
    world.silent.clear();
    let back = world.now;
    world.advance(s(1_200));
    assert_eq!(world.asked_since(PRIMARY, back), []);
    // The backup dies in its turn: now the primary is good enough.
    world.silent.insert(ip(BACKUP));
    world.advance(s(20));
    assert_eq!(world.dns_since(PRIMARY, back).len(), 3);
}

/// A primary that answers OPTIONS and refuses to register is tried by one DN at a time, ever more seldom: the others keep their calls.
#[test]
fn one_dn_looks_whether_the_primary_takes_registrations() {
    let mut world = World::with_config(pair(20));
    world.advance(s(5));
    world.silent.insert(ip(PRIMARY));
    world.advance(s(60));
    world.silent.clear();
    world
        .refusing
        .insert(ip(PRIMARY), "503 Service Unavailable");
    let back = world.now;
    world.advance(s(600));
    let tries = world.asked_since(PRIMARY, back);
    assert!((3..=6).contains(&tries.len()), "{} tries", tries.len());
    // Who looked is registered at the backup again at once.
    let last = *tries.last().unwrap();
    assert!(!world.bound_since(BACKUP, last).is_empty());
    let registered = world.board.gauges().dns_registered;
    assert_eq!(registered, 20);

    world.refusing.clear();
    let welcome = world.now;
    world.advance(s(700));
    assert_eq!(world.dns_since(PRIMARY, welcome).len(), 20);
    assert!(world.never_gave_back());
}

/// SIP Server may be told to answer no OPTIONS. Its silence to them means nothing while it answers REGISTERs.
#[test]
fn a_server_that_answers_no_options_is_not_taken_for_dead() {
    let mut world = World::with_deaf_servers(pair(3), [ip(PRIMARY)].into());
    world.advance(s(1_500));
    assert!(world.bound_since(BACKUP, world.born).is_empty());

    world.silent.insert(ip(PRIMARY));
    let dead = world.now;
    // The next refresh is not answered either.
    world.advance(s(450));
    assert_eq!(world.dns_since(BACKUP, dead).len(), 3);
}

/// One DN gets no answer while the server answers everybody else: its trouble moves nobody.
#[test]
fn the_silence_of_one_dn_moves_nobody() {
    let mut world = World::with_config(pair(3));
    world.advance(s(5));
    world.unheard.insert("10001".into());
    world.advance(s(900));
    assert_eq!(world.board.gauges().dns_registered, 2);
    assert!(world.bound_since(BACKUP, world.born).is_empty());
    world.unheard.clear();
    world.advance(s(300));
    assert_eq!(world.board.gauges().dns_registered, 3);
}

/// An agent talks while SIP Server dies behind the call: the DN moves, the call stays.
#[test]
fn a_call_goes_on_while_its_dn_moves() {
    let mut world = World::with_config(pair(2));
    world.advance(s(5));
    let page = world.sign_in("10000", None);
    let mut call = world.talking("10000");
    world.silent.insert(ip(PRIMARY));
    let dead = world.now;
    world.advance(s(60));
    assert_eq!(world.dns_since(BACKUP, dead).len(), 2);
    assert_eq!(world.call(page).state, control::CallState::Talking);
    world.silent.clear();
    world.advance(s(90));
    assert_eq!(world.dns_since(PRIMARY, dead).len(), 2);
    assert_eq!(world.call(page).state, control::CallState::Talking);
    world.in_dialog(&mut call, "BYE", "", None);
    assert_eq!(world.call(page).state, control::CallState::Ended);
}

/// Two data centres at once: a registration at each, with Call-IDs of their own, and both are given back.
#[test]
fn a_dn_is_registered_at_both_sites() {
    let mut config = pair(1);
    config.agents[0].register = RegisterPolicy::OnSignIn;
    config.sites = vec![
        site(Some("east"), &[PRIMARY]),
        site(Some("west"), &[BACKUP]),
    ];
    let mut world = World::with_config(config);
    let page = world.sign_in("10000", None);
    world.advance(s(1));
    let call_ids: BTreeMap<IpAddr, String> = world
        .bindings
        .iter()
        .map(|binding| (binding.server, binding.call_id.clone()))
        .collect();
    assert_eq!(call_ids.len(), 2);
    assert_ne!(call_ids[&ip(PRIMARY)], call_ids[&ip(BACKUP)]);
    let shown = world.pages[&page]
        .iter()
        .rev()
        .find_map(|message| match message {
            GatewayMessage::Registration(view) => Some(view.clone()),
            _ => None,
        });
    let sites = shown.unwrap().sites;
    let shown: Vec<_> = sites
        .iter()
        .map(|at| (at.site.as_str(), at.state))
        .collect();
    let registered = control::RegistrationState::Registered;
    assert_eq!(shown, [("east", registered), ("west", registered)]);

    // A dead site is no matter of the other's.
    world.silent.insert(ip(PRIMARY));
    world.advance(s(700));
    let view = world.board.agent("10000").unwrap().registration;
    assert_eq!(view.state, registered, "one site is enough for calls");
    assert_eq!(view.sites[0].state, control::RegistrationState::Failed);
    assert!(
        view.sites[0]
            .reason
            .as_deref()
            .unwrap()
            .contains("does not answer")
    );
    world.silent.clear();
    world.advance(s(700));

    world.bindings.clear();
    world.say(page, PageMessage::Bye);
    let gone: Vec<_> = world
        .bindings
        .iter()
        .map(|at| (at.server, at.expires_s))
        .collect();
    assert_eq!(gone, [(ip(PRIMARY), 0), (ip(BACKUP), 0)]);
}

/// One of two data centres restarts and has forgotten everybody. Nobody has configured `probe_interval_s`, and yet its callers reach the agents
/// again within seconds, not at the next refresh.
#[test]
fn a_site_that_restarts_has_its_agents_back_within_seconds() {
    let (mut world, _) = two_sites();
    world.advance(s(5));
    world.silent.insert(ip(BACKUP));
    world.advance(s(20));
    world.silent.clear();
    let back = world.now;
    world.advance(s(12));
    assert_eq!(world.dns_since(BACKUP, back).len(), 1, "registered anew");
    assert_eq!(
        world.asked_since(PRIMARY, back),
        [],
        "nothing was lost there"
    );
}

/// The same, and the site died before it ever answered a probe: its first answer shows that it was away, and not deaf to them.
#[test]
fn a_site_that_never_answered_before_has_its_agents_back_too() {
    let config = two_sites_config();
    let mut world = World::with_deaf_servers(config, BTreeSet::from([ip(BACKUP)]));
    world.sign_in("10000", None);
    world.advance(s(5));
    world.deaf_to_options.clear();
    world.silent.insert(ip(BACKUP));
    world.advance(s(40));
    world.silent.clear();
    let back = world.now;
    world.advance(s(12));
    assert_eq!(world.dns_since(BACKUP, back).len(), 1, "registered anew");
}

/// A call from either site rings.
#[test]
fn both_sites_may_call() {
    let mut config = pair(1);
    config.sites = vec![
        site(Some("east"), &[PRIMARY]),
        site(Some("west"), &[BACKUP]),
    ];
    let mut world = World::with_config(config);
    world.sign_in("10000", None);
    let dialog = world.invite("10000", Some(common::OFFER));
    assert_eq!(world.statuses(&dialog, 1, "INVITE"), [100, 180]);
    let mut other = dialog.clone();
    other.call_id = "other@192.0.2.82".into();
    other.invite_branch = world.branch();
    let text = world.invite_text(&other, Some(common::OFFER), "");
    world.receive_from("192.0.2.82:5060", &text.replace("192.0.2.81", "192.0.2.82"));
    assert_eq!(world.statuses(&other, 1, "INVITE"), [100, 180]);
}

fn dial(world: &mut World, page: u64) -> sip::Request {
    world.say(
        page,
        PageMessage::Dial {
            number: "5550100".into(),
        },
    );
    world.requests("INVITE").pop().expect("an INVITE")
}

fn two_sites_config() -> Config {
    let mut config = pair(1);
    config.sites = vec![
        site(Some("east"), &[PRIMARY]),
        site(Some("west"), &[BACKUP]),
    ];
    config
}

fn two_sites() -> (World, u64) {
    let config = two_sites_config();
    let mut world = World::with_config(config);
    let page = world.sign_in("10000", None);
    world.advance(s(1));
    (world, page)
}

/// A site that is being shut down refuses the agent's call: the other site takes it, and the page sees one call.
#[test]
fn the_other_site_takes_the_agents_call() {
    for refusal in [
        "603 Decline",
        "302 Moved Temporarily",
        "503 Service Unavailable",
    ] {
        let (mut world, page) = two_sites();
        let east = dial(&mut world, page);
        assert_eq!(east.uri.to_string(), "sip:5550100@192.0.2.81");
        world.respond(&east, refusal, None);
        let invites = world.requests("INVITE");
        assert_eq!(invites.len(), 2, "{refusal}");
        let west = invites.last().unwrap().clone();
        assert_eq!(west.uri.to_string(), "sip:5550100@192.0.2.82");
        world.respond(&west, "180 Ringing", None);
        world.respond(&west, "200 OK", Some(common::ANSWER));
        assert_eq!(world.calls(page).len(), 1);
        let call = world.call(page);
        assert_eq!(call.state, control::CallState::Talking);
        world.say(page, PageMessage::Hangup { call: call.id });
        let bye = world.requests("BYE").pop().unwrap();
        world.respond(&bye, "200 OK", None);
        world.assert_quiet();
    }
}

/// A site that dies under the call is found out after 64*T1; both that refuse end the call.
#[test]
fn each_site_is_asked_once() {
    let (mut world, page) = two_sites();
    dial(&mut world, page);
    world.advance(s(33));
    let mut invites = world.requests("INVITE");
    let west = invites.pop().unwrap();
    assert_eq!(west.uri.to_string(), "sip:5550100@192.0.2.82");
    let before = world.sent.len();
    world.respond(&west, "603 Decline", None);
    let later = world.sent[before..].iter();
    assert_eq!(
        later.filter(|sent| sent.text.starts_with("INVITE")).count(),
        0
    );
    assert_eq!(world.call(page).state, control::CallState::Ended);
    world.assert_quiet();
}

/// The callee's telephone rang: it is she who declines, and nobody calls her again.
#[test]
fn a_callee_who_declines_is_not_called_by_the_other_site() {
    let (mut world, page) = two_sites();
    let invite = dial(&mut world, page);
    world.respond(&invite, "180 Ringing", None);
    world.respond(&invite, "603 Decline", None);
    assert_eq!(world.requests("INVITE").len(), 1);
    assert_eq!(world.call(page).state, control::CallState::Ended);
}

/// The drill: ten thousand DNs on a wire that loses one datagram in twenty, agents who talk, and the primary dies without a word. All are
/// registered at the backup within a minute, in no second more than the configured rate, nobody twice, and nothing takes a newer binding
/// back. The calls go on, and are the backup's, from hold to BYE.
#[test]
fn ten_thousand_dns_move_within_a_minute() {
    const DNS: usize = 10_000;
    const RATE: usize = 250;
    let mut config = pair(DNS);
    config.sip.registration.expires_s = 1_800;
    config.sip.registration.start_rate_per_s = RATE as u32;
    let mut world = World::with_config(config);
    world.loss_one_in = 20;
    world.advance(s(50));
    assert_eq!(world.board.gauges().dns_registered, DNS);
    let dns = ["10000", "10001", "14711", "19999"];
    let calls: Vec<_> = dns
        .into_iter()
        .map(|dn| (world.sign_in(dn, None), world.talking(dn)))
        .collect();
    world.sent.retain(|sent| !sent.text.starts_with("REGISTER"));
    world.bindings.clear();

    world.silent.insert(ip(PRIMARY));
    let dead = world.now;
    world.advance(s(20));
    let moving = world.board.gauges().dns_registered;
    assert!(moving < DNS, "{moving} are there in the middle of it");
    let mut calls: Vec<_> = calls
        .into_iter()
        .map(|(page, call)| (page, world.taken_over(call)))
        .collect();
    world.advance(s(40));
    assert_eq!(world.dns_since(BACKUP, dead).len(), DNS);
    assert_eq!(world.bound_since(BACKUP, dead).len(), DNS, "nobody twice");
    assert!(world.never_gave_back());
    let begun = world.begun_since(BACKUP, dead);
    assert!(begun.len() >= DNS);
    for window in begun.windows(RATE + 1) {
        assert!(window[RATE] >= window[0] + s(1), "faster than the rate");
    }
    assert_eq!(world.board.gauges().dns_registered, DNS);
    // Hold works at the backup, her own BYE reaches it, and so does its BYE her.
    let (page, _) = calls[0];
    let call = world.call(page).id;
    world.say(page, PageMessage::Hold { call });
    let hold = world.asked_of(BACKUP, "INVITE");
    world.respond(&hold, "200 OK", Some(common::ANSWER));
    assert_eq!(world.call(page).state, control::CallState::Held);
    let (page, _) = calls.remove(1);
    let call = world.call(page).id;
    world.say(page, PageMessage::Hangup { call });
    let bye = world.asked_of(BACKUP, "BYE");
    world.respond(&bye, "200 OK", None);
    assert_eq!(world.call(page).state, control::CallState::Ended);
    for (page, call) in &mut calls {
        assert_ne!(world.call(*page).state, control::CallState::Ended);
        let bye = world.by_backup(call, "BYE", None);
        world.receive_from("192.0.2.82:5060", &bye);
        assert_eq!(world.call(*page).state, control::CallState::Ended);
    }
}
