//! Which SIP Servers there are changes while agents work: the name of a site means others than before.

mod common;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use common::{World, config, site};
use control::{GatewayMessage, RegistrationState};
use sip::ua::SiteId;
use switchboard::{Config, Fact, Input, RegisterPolicy};

const A: &str = "192.0.2.81";
const B: &str = "192.0.2.82";
const C: &str = "192.0.2.83";

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address of these tests")
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// DN 1002, registered always at these servers.
fn at(servers: &[&str]) -> Config {
    let mut config = config(&["1002"]);
    config.sites = vec![site(None, servers)];
    config.sip.allowed = servers.iter().map(|server| ip(server)).collect();
    config.agents[0].register = RegisterPolicy::Always;
    config
}

impl World {
    fn name_means(&mut self, of: u16, servers: &[&str]) {
        let servers = site(None, servers).servers;
        self.input(Input::SipServers {
            site: SiteId(of),
            servers,
            problem: None,
        });
    }

    fn name_means_nothing(&mut self, of: u16, why: &str) {
        self.input(Input::SipServers {
            site: SiteId(of),
            servers: Vec::new(),
            problem: Some(why.to_owned()),
        });
    }

    fn registered_at(&self, server: &str) -> bool {
        let agent = self.board.agent("1002").expect("it is configured");
        let holds = agent.registration.state == RegistrationState::Registered;
        holds && agent.registration.server == Some(format!("{server}:5060"))
    }

    fn bound_since(&self, server: &str, since: Instant) -> usize {
        let there =
            |binding: &&common::Binding| binding.server == ip(server) && binding.at >= since;
        self.bindings.iter().filter(there).count()
    }
}

/// DNS is dead when the gateway starts: the agent signs in, and is registered as soon as a server is known.
#[test]
fn an_agent_who_came_before_dns_is_registered_when_it_answers() {
    let mut config = at(&[]);
    config.agents[0].register = RegisterPolicy::OnSignIn;
    let mut world = World::with_config(config);
    world.sign_in("1002", None);
    world.advance(s(60));
    assert!(world.bindings.is_empty());

    world.name_means(0, &[A]);
    world.advance(s(1));
    assert!(world.registered_at(A));
    assert_eq!(world.heard, [ip(A)]);
    assert!(
        world
            .facts
            .iter()
            .any(|fact| matches!(fact, Fact::SipServers { .. }))
    );
}

/// DNS is dead when the agent signs in: her page says why she cannot be called, and what the administrator should look at.
#[test]
fn an_agent_without_a_server_is_told_why() {
    let mut config = at(&[]);
    config.agents[0].register = RegisterPolicy::OnSignIn;
    let mut world = World::with_config(config);
    world.name_means_nothing(0, "sip.example.com: DNS does not answer");
    let shown = |world: &World| world.board.agent("1002").expect("configured").registration;
    assert_eq!(
        shown(&world).state,
        RegistrationState::Unregistered,
        "as she wants it"
    );

    let page = world.sign_in("1002", None);
    let Some(GatewayMessage::Welcome(welcome)) = world.pages[&page]
        .iter()
        .find(|message| matches!(message, GatewayMessage::Welcome(_)))
    else {
        panic!("a welcome")
    };
    let told = welcome.registration.clone();
    assert_eq!(told.state, RegistrationState::Failed);
    let reason = told.reason.expect("a reason");
    assert!(
        reason.contains("no SIP Server is known for DN 1002"),
        "{reason}"
    );
    assert!(
        reason.contains("sip.example.com: DNS does not answer"),
        "{reason}"
    );
    assert_eq!(shown(&world).reason.as_deref(), Some(&*reason));

    // The same again is no news, another reason is.
    let lines = |world: &World| {
        let lines = world.facts.iter();
        lines
            .filter(|fact| matches!(fact, Fact::NoSipServer { .. }))
            .count()
    };
    world.name_means_nothing(0, "sip.example.com: DNS does not answer");
    world.advance(s(1));
    assert_eq!(lines(&world), 1);
    world.name_means_nothing(0, "sip.example.com: DNS knows no SIP Server of this name");
    world.advance(s(1));
    assert_eq!(lines(&world), 2);
    let last = world.pages[&page].last();
    let news = |message: &GatewayMessage| matches!(message, GatewayMessage::Registration(view) if view.reason.as_ref().is_some_and(|why| why.contains("knows no SIP Server")));
    assert!(last.is_some_and(news), "{last:?}");

    world.name_means(0, &[A]);
    world.advance(s(1));
    assert!(world.registered_at(A));
    assert_eq!(shown(&world).reason, None);
}

/// One of two sites is known by a name that means nothing: the DN is registered at the other, and the page says what is missing.
#[test]
fn one_site_without_a_server_leaves_the_other() {
    let mut config = at(&[]);
    config.sites = vec![site(Some("east"), &[]), site(Some("west"), &[B])];
    config.sip.allowed = vec![ip(B)];
    let mut world = World::with_config(config);
    world.name_means_nothing(0, "east.example.com: DNS does not answer");
    world.advance(s(1));
    let shown = world.board.agent("1002").expect("configured").registration;
    assert_eq!(shown.state, RegistrationState::Registered);
    assert_eq!(shown.sites[0].state, RegistrationState::Failed);
    assert!(
        shown.sites[0]
            .reason
            .as_ref()
            .is_some_and(|why| why.contains("east.example.com"))
    );
}

/// The same answer again, or one in another order behind the server that holds her, registers nobody anew.
#[test]
fn an_answer_that_says_nothing_new_moves_nobody() {
    let mut world = World::with_config(at(&[A, B]));
    world.advance(s(1));
    let since = world.now + Duration::from_millis(1);
    for servers in [&[A, B][..], &[A, B, C], &[A, C, B], &[A, C], &[]] {
        world.advance(s(1));
        world.name_means(0, servers);
    }
    world.advance(s(30));
    assert!(world.registered_at(A));
    assert_eq!(world.bound_since(A, since), 0);
}

/// The server that holds her is taken out of DNS: she is registered at the next one, and her call with the former goes on to its end.
#[test]
fn a_call_outlives_its_server_in_dns() {
    let mut world = World::with_config(at(&[A]));
    let page = world.sign_in("1002", None);
    let mut dialog = world.talking("1002");

    world.name_means(0, &[B]);
    world.advance(s(1));
    assert!(world.registered_at(B));
    assert_eq!(
        world.heard,
        [ip(B), ip(A)],
        "the former one is heard while the call is up"
    );
    world.notify(&mut dialog, "hold");
    assert_eq!(world.call(page).state, control::CallState::Held);
    world.answer_reinvite("recvonly");
    world.in_dialog(&mut dialog, "BYE", "", None);
    assert_eq!(world.statuses(&dialog, dialog.cseq, "BYE"), [200]);
    world.advance(s(60));
    assert_eq!(world.heard, [ip(B)], "and no longer than that");

    let before = world.sent.len();
    world.invite("1002", Some(common::OFFER));
    assert_eq!(world.sent.len(), before, "a stranger by now");
}

/// A better server appears: one DN goes and looks, as after a fail-over, and the rest follow.
#[test]
fn a_preferred_newcomer_is_tried_before_all_go_there() {
    let mut world = World::with_config(at(&[B]));
    world.advance(s(1));
    world.name_means(0, &[A, B]);
    world.advance(s(20));
    assert!(world.registered_at(B), "not at once");
    world.advance(s(20));
    assert!(world.registered_at(A));

    let mut world = World::with_config(at(&[B]));
    world.silent.insert(ip(A));
    world.advance(s(1));
    world.name_means(0, &[A, B]);
    world.advance(s(120));
    assert!(world.registered_at(B), "nobody answers there");
}

/// A name that suddenly means a server of the other site: each DN would throw out its own registration there, over and over.
#[test]
fn a_server_serves_one_site() {
    let mut config = at(&[]);
    config.sites = vec![site(Some("east"), &[A]), site(Some("west"), &[B])];
    config.sip.allowed = vec![ip(A), ip(B)];
    let mut world = World::with_config(config);
    world.advance(s(1));
    let since = world.now + Duration::from_millis(1);
    world.advance(s(1));
    world.name_means(1, &[A, C]);
    world.advance(s(10));
    assert_eq!(world.bound_since(A, since), 0);
    assert_eq!(world.bound_since(C, since), 1);
    let told = world
        .facts
        .iter()
        .any(|fact| matches!(fact, Fact::SipServers { elsewhere, .. } if elsewhere.len() == 1));
    assert!(told);
}

/// Two thousand DNs follow their name at the configured rate, never faster.
#[test]
fn a_change_in_dns_makes_no_storm() {
    let dns: Vec<String> = (0..2_000).map(|dn| (10_000 + dn).to_string()).collect();
    let mut config = config(&dns.iter().map(String::as_str).collect::<Vec<_>>());
    config.sip.registration.start_rate_per_s = 100;
    for agent in &mut config.agents {
        agent.register = RegisterPolicy::Always;
    }
    let mut world = World::with_config(config);
    world.advance(s(30));
    let since = world.now;
    world.name_means(0, &[B]);
    world.advance(s(30));
    assert_eq!(world.bound_since(B, since), 2_000);
    let mut asked: Vec<Instant> = world
        .bindings
        .iter()
        .map(|binding| binding.at)
        .filter(|at| *at >= since)
        .collect();
    asked.sort();
    for window in asked.windows(112) {
        assert!(
            window[111] - window[0] >= s(1),
            "more than the rate, and what a late turn makes good"
        );
    }
}

/// One of two servers is taken out of the name for good. The other is alone now and nobody probes it any more; the gateway comes to rest.
#[test]
fn the_only_server_that_is_left_is_not_probed_for_ever() {
    let mut world = World::with_config(at(&[A, B]));
    world.advance(s(60));
    world.name_means(0, &[A]);
    world.advance(s(60));
    assert!(world.registered_at(A));
    let next = world.board.poll_timeout();
    assert!(next.is_none_or(|at| at > world.now), "nothing is due");
}

/// Both servers of a site are dead, and answer no probes: the DNs take turns at each. When one of them is back they are all registered there, however many
/// they are and however soon the first of them is welcome.
#[test]
fn all_dns_arrive_at_the_server_that_is_back() {
    const DNS: usize = 200;
    let dns: Vec<String> = (0..DNS).map(|dn| (10_000 + dn).to_string()).collect();
    let mut config = config(&dns.iter().map(String::as_str).collect::<Vec<_>>());
    config.sites = vec![site(None, &[A, B])];
    config.sip.allowed = vec![ip(A), ip(B)];
    for agent in &mut config.agents {
        agent.register = RegisterPolicy::Always;
    }
    let mut world = World::with_deaf_servers(config, [ip(A), ip(B)].into());
    world.advance(s(30));
    world.silent.extend([ip(A), ip(B)]);
    world.advance(s(1_200));
    assert_eq!(world.board.gauges().dns_registered, 0);
    assert_eq!(world.board.gauges().dns_missing, DNS);
    // B comes back, and A does not.
    world.silent.remove(&ip(B));
    let back = world.now;
    world.advance(s(900));
    assert_eq!(world.board.gauges().dns_registered, DNS);
    assert_eq!(world.board.gauges().dns_missing, 0);
    assert_eq!(world.bound_since(A, back), 0);
}

/// She dials while the only site that serves her changes its address, and the preferred one was never found: her call is refused, and everybody else's goes on.
#[test]
fn who_dials_while_her_site_moves_is_refused() {
    const DNS: usize = 120;
    let dns: Vec<String> = (0..DNS).map(|dn| (10_000 + dn).to_string()).collect();
    let mut config = config(&dns.iter().map(String::as_str).collect::<Vec<_>>());
    config.sites = vec![site(Some("east"), &[]), site(Some("west"), &[B])];
    config.sip.allowed = vec![ip(B)];
    for agent in &mut config.agents {
        agent.register = RegisterPolicy::Always;
    }
    let mut world = World::with_config(config);
    let pages: Vec<u64> = dns.iter().map(|dn| world.sign_in(dn, None)).collect();
    world.advance(s(30));
    assert_eq!(world.board.gauges().dns_registered, DNS);
    world.name_means(1, &[C]);
    for page in pages {
        let number = "5550100".into();
        world.say(page, control::PageMessage::Dial { number });
    }
    world.advance(s(30));
    assert_eq!(world.board.gauges().dns_registered, DNS);
}

/// The only SIP Server was away for a minute, and the agent whose REGISTER showed it has gone home: it is back as soon as it grants a refresh of anybody, also
/// one that changes nothing.
#[test]
fn a_refresh_that_changes_nothing_shows_that_a_server_is_back() {
    let mut config = at(&[A]);
    let mut second = config.agents[0].clone();
    second.dn = "1003".to_owned();
    second.register = RegisterPolicy::OnSignIn;
    config.agents.push(second);
    let mut world = World::with_config(config);
    world.advance(s(60));
    assert!(world.registered_at(A));
    world.silent.insert(ip(A));
    let page = world.sign_in("1003", None);
    world.advance(s(60));
    let heard = |world: &World| -> Vec<bool> {
        let told = |fact: &Fact| match fact {
            Fact::SipServer { up, .. } => Some(*up),
            _ => None,
        };
        world.facts.iter().filter_map(told).collect()
    };
    assert_eq!(heard(&world), [false]);
    world.say(page, control::PageMessage::Bye);
    world.silent.clear();
    world.advance(s(3600));
    assert!(world.registered_at(A));
    assert_eq!(heard(&world), [false, true]);
}
