//! Business Continuity: which calls a site hands to its peer (`dr-forward`).

#![allow(clippy::unwrap_used)]

mod bench;

use bench::{Bench, addr, config};
use sim::tserver::{Control, DrForward, EventKind, Request, RequestError, TrunkCall};

fn peer(forward: DrForward) -> sim::tserver::Config {
    let mut config = config();
    config.peer_site = Some(addr("192.0.2.83:5060"));
    for dn in config.dns.values_mut() {
        dn.dr_forward = forward;
    }
    config
}

fn customer_calls(bench: &mut Bench) -> Result<(), RequestError> {
    let request = Request::CustomerCall {
        from: "5550200".to_owned(),
        to: "1002".to_owned(),
    };
    let result = bench.server.request(bench.now, request);
    bench.drain();
    result.map(|_| ())
}

fn handed_over(from: &str) -> [TrunkCall; 1] {
    [TrunkCall {
        from: from.to_owned(),
        to: "1002".to_owned(),
    }]
}

/// `oos`: the DN has no binding here; one that has is rung here.
#[test]
fn calls_for_a_dn_out_of_service_go_to_the_peer() {
    let mut bench = Bench::new(peer(DrForward::OutOfService));
    let refused = customer_calls(&mut bench);
    assert!(matches!(refused, Err(RequestError::Forwarded(_))));
    assert_eq!(bench.trunk, handed_over("5550200"));
    bench.register("1002", bench::A, 1800);
    bench.expect("SIP/2.0 200 ");
    customer_calls(&mut bench).unwrap();
    bench.expect("INVITE ");
    assert_eq!(bench.trunk.len(), 1);
}

/// `no-agent`: the DN is registered here, and its agent is logged in elsewhere.
#[test]
fn calls_for_a_dn_without_an_agent_go_to_the_peer() {
    let mut bench = Bench::registered(peer(DrForward::NoAgent));
    assert!(customer_calls(&mut bench).is_err());
    assert_eq!(bench.trunk, handed_over("5550200"));
    let login = |on| Control::AgentLogin {
        dn: "1002".to_owned(),
        on,
    };
    bench.control(login(true));
    customer_calls(&mut bench).unwrap();
    bench.expect("INVITE ");
    bench.control(login(false));
    assert!(customer_calls(&mut bench).is_err());
    assert_eq!(bench.trunk.len(), 2);
}

/// What comes from the peer stays: two sites that both have nobody do not play ball.
#[test]
fn what_comes_from_the_peer_stays() {
    let mut bench = Bench::registered(peer(DrForward::NoAgent));
    let [call] = handed_over("5550200");
    bench.ask(Request::TrunkCall(call));
    bench.expect("INVITE ");
    assert_eq!(bench.trunk, []);
}

/// An endpoint calls a DN that only the peer serves: it talks over the trunk.
#[test]
fn an_endpoint_reaches_a_dn_of_the_peer() {
    let mut bench = Bench::new(peer(DrForward::OutOfService));
    bench.register("1003", bench::B, 1800);
    bench.expect("SIP/2.0 200 ");
    let request = Request::MakeCall {
        dn: "1003".to_owned(),
        to: "1002".to_owned(),
    };
    bench.ask(request);
    let invite = bench.expect("INVITE ");
    bench.answer(bench::B, &invite, "200 OK", Some(bench::OFFER));
    bench.pass(2_000);
    assert_eq!(bench.trunk, handed_over("1003"));
    let kinds = bench.kinds();
    let established = |(_, kind): &(_, EventKind)| *kind == EventKind::Established;
    assert!(kinds.iter().any(established));
}
