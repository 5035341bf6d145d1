//! Registration as the switchboard steers it: which SIP Server, and what a changed configuration does to a running one.

mod common;

use std::time::{Duration, Instant};

use common::{OFFER, World, config};
use sip::ua::Transport;
use sip::{Message, Method};
use switchboard::{Input, Output, RegisterPolicy, Switchboard, WallClock};

/// Where REGISTER goes until `end`, when every connection is refused at once.
fn refused_registers(board: &mut Switchboard, mut now: Instant, end: Instant) -> Vec<String> {
    let mut registers = Vec::new();
    loop {
        while let Some(output) = board.poll_output() {
            let Output::Sip(transmit) = output else {
                continue;
            };
            if let Ok(Message::Request(request)) = Message::parse(&transmit.bytes)
                && request.method == Method::Register
            {
                registers.push(transmit.to.ip().to_string());
                let (transport, to) = (transmit.transport, transmit.to);
                board.handle(now, Input::SipTransmitFailed { transport, to });
            }
        }
        match board.poll_timeout() {
            Some(at) if at < end => now = at,
            _ => return registers,
        }
        board.handle(now, Input::Timeout);
    }
}

/// Both SIP Servers refuse connections at once: each is asked, and then there is a pause.
#[test]
fn servers_that_refuse_at_once_are_not_asked_without_end() {
    let mut config = config(&["1002"]);
    config.sip.listen[0].0 = Transport::Tcp;
    config.agents[0].register = RegisterPolicy::Always;
    config.sites = vec![common::site(None, &["192.0.2.81", "192.0.2.82"])];
    for server in &mut config.sites[0].servers {
        server.transport = Transport::Tcp;
    }
    #[allow(clippy::disallowed_methods)]
    let start = Instant::now();
    let clock = WallClock {
        at: start,
        epoch_ms: 0,
    };
    let mut board = Switchboard::new(start, config, clock, [7; 32]);
    let pause = Duration::from_secs(5);
    let first = refused_registers(&mut board, start, start + pause);
    assert_eq!(first, ["192.0.2.81", "192.0.2.82"]);
    let second = refused_registers(&mut board, start + pause, start + 2 * pause);
    assert_eq!(second, ["192.0.2.82", "192.0.2.81"]);
}

/// A password that was changed on both sides is used from the reload on, and nothing else disturbs a running registration.
#[test]
fn a_reload_registers_with_the_new_password() {
    let (mut world, page) = World::with_agent("1002");
    let mut agents = config(&["1002"]).agents;
    world.input(Input::Reload {
        agents: agents.clone(),
    });
    world.advance(Duration::from_secs(1));
    assert_eq!(world.requests("REGISTER").len(), 1);
    agents[0].password = Some("changed".to_owned().into());
    world.input(Input::Reload {
        agents: agents.clone(),
    });
    world.advance(Duration::from_secs(1));
    assert_eq!(world.requests("REGISTER").len(), 2);

    agents[0].register = RegisterPolicy::Always;
    world.input(Input::Reload {
        agents: agents.clone(),
    });
    world.say(page, control::PageMessage::Bye);
    assert_eq!(world.requests("REGISTER").len(), 2, "registered always");
    agents[0].register = RegisterPolicy::OnSignIn;
    world.input(Input::Reload { agents });
    let last = world.requests("REGISTER").pop().unwrap();
    let expires = last.headers.get(&sip::HeaderName::EXPIRES);
    assert_eq!(common::text(expires), "0");
    world.assert_quiet();
}

/// A DN is taken out of the configuration while its agent talks: she ends her call in peace, gets no other one, and is signed out after it. Who was to go by
/// mistake stays.
#[test]
fn a_dn_that_is_removed_ends_its_call_first() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.talking("1002");
    let removed = || Input::Reload { agents: vec![] };
    world.input(removed());
    world.input(Input::Reload {
        agents: config(&["1002"]).agents,
    });
    world.input(removed());
    world.advance(Duration::from_secs(10));
    assert!(world.requests("BYE").is_empty());
    assert!(world.plan().to_agent && world.plan().to_caller);
    let second = world.invite("1002", Some(OFFER));
    assert_eq!(world.statuses(&second, 1, "INVITE"), [100, 404]);
    world.ack_refusal(&second);
    let resume = world.resume_secret(page);
    world.lose_page(page);
    let again = world.sign_in("1002", Some(resume));
    world.in_dialog(&mut dialog, "BYE", "", None);
    assert_eq!(world.closed[&again], control::CloseCode::NotAllowed);
    let last = world.requests("REGISTER").pop().unwrap();
    let expires = last.headers.get(&sip::HeaderName::EXPIRES);
    assert_eq!(common::text(expires), "0");
    world.assert_quiet();
}
