//! Media workers that have too much to do.

mod common;

use std::time::Duration;

use control::{AdmissionReason, CloseCode, ErrorCode, GatewayMessage, PageMessage};
use switchboard::{CallId, Fact, Input, MediaEvent, WorkerId, WorkerLoad};

use common::{OFFER, World};

const FULL: WorkerLoad = WorkerLoad {
    busy_percent: 97,
    late_percent: 0,
    quota_percent: None,
};

const LATE: WorkerLoad = WorkerLoad {
    busy_percent: 12,
    late_percent: 30,
    quota_percent: None,
};

/// The worker says the same for some seconds.
fn fares(world: &mut World, worker: usize, load: WorkerLoad, seconds: u32) {
    for _ in 0..seconds {
        world.input(Input::Media(MediaEvent::Load {
            worker: WorkerId(worker),
            load,
        }));
    }
}

fn told(world: &World, page: u64) -> Vec<(bool, Option<AdmissionReason>)> {
    let admission = |message: &GatewayMessage| match message {
        GatewayMessage::Admission { open, reason } => Some((*open, *reason)),
        _ => None,
    };
    world.pages[&page].iter().filter_map(admission).collect()
}

/// Another call would be one too many for the agents who talk: its caller is sent elsewhere at once, and told when to come back.
#[test]
fn who_calls_while_there_is_too_much_to_do_is_sent_elsewhere() {
    let mut config = common::config(&["1002"]);
    config.policy.calls_per_agent = 4;
    let mut world = World::with_config(config);
    let page = world.sign_in("1002", None);
    let mut up = world.talking("1002");
    fares(&mut world, 0, FULL, 2);
    let ringing = world.invite("1002", Some(OFFER));
    assert_eq!(world.statuses(&ringing, 1, "INVITE"), [100, 180]);
    fares(&mut world, 0, LATE, 1);
    let refused = world.invite("1002", Some(OFFER));
    assert_eq!(world.statuses(&refused, 1, "INVITE"), [100, 503]);
    let refusal = world.responses(&refused, 1, "INVITE")[1];
    let retry_after = refusal.headers.get(&sip::HeaderName::RETRY_AFTER);
    assert_eq!(common::text(retry_after), "5");
    world.ack_refusal(&refused);
    assert_eq!(world.causes(), ["overload"]);
    assert_eq!(
        told(&world, page),
        [(false, Some(AdmissionReason::Overload))]
    );
    // What is there already goes on: the call that talks is held and retrieved, the one that rings is given up by its caller.
    world.notify(&mut up, "hold");
    world.answer_reinvite("recvonly");
    world.cancel(&ringing);
    assert_eq!(world.causes(), ["overload", "remote_cancel"]);
    fares(&mut world, 0, WorkerLoad::default(), 5);
    assert_eq!(told(&world, page).last(), Some(&(true, None)));
    let welcome = world.invite("1002", Some(OFFER));
    assert_eq!(world.statuses(&welcome, 1, "INVITE"), [100, 180]);
    let changes = world
        .facts
        .iter()
        .filter(|fact| matches!(fact, Fact::Overload { .. }))
        .count();
    assert_eq!(changes, 2, "one line when it begins, one when it is over");
}

/// Another site has failed, and its calls come all within a second, before the worker can say that it has too many: those who talk go on
/// being heard, as it takes no more than it has time for.
#[test]
fn of_many_calls_in_one_second_only_those_are_taken_that_there_is_time_for() {
    let dns: Vec<String> = (1_001..=1_030).map(|dn: u32| dn.to_string()).collect();
    let dns: Vec<&str> = dns.iter().map(String::as_str).collect();
    let mut world = World::new(&dns);
    for dn in &dns {
        world.sign_in(dn, None);
    }
    // Agents are spread over two workers in turn: the odd DNs are at the first one.
    let (odd, _): (Vec<&str>, Vec<&str>) = dns
        .iter()
        .partition(|dn| dn.ends_with(['1', '3', '5', '7', '9']));
    let (up, more) = odd.split_at(12);
    for dn in up {
        world.talking(dn);
    }
    let busy = WorkerLoad {
        busy_percent: 70,
        late_percent: 0,
        quota_percent: None,
    };
    fares(&mut world, 0, busy, 2);
    let mut answers = more.iter().map(|dn| {
        let call = world.invite(dn, Some(OFFER));
        world.statuses(&call, 1, "INVITE")
    });
    // 70 % for twelve calls are 75 % for thirteen, and 81 % for fourteen.
    assert_eq!(answers.next(), Some(vec![100, 180]));
    assert_eq!(answers.next(), Some(vec![100, 503]));
    assert_eq!(answers.next(), Some(vec![100, 503]));
    let other = world.invite("1002", Some(OFFER));
    assert_eq!(
        world.statuses(&other, 1, "INVITE"),
        [100, 180],
        "the other worker has time"
    );
    assert!(
        !world
            .facts
            .iter()
            .any(|fact| matches!(fact, Fact::Overload { .. }))
    );
}

/// The agent's own call would harm the others as much.
#[test]
fn an_agent_who_dials_is_told_why_not() {
    let (mut world, page) = World::with_agent("1002");
    fares(&mut world, 0, FULL, 3);
    let number = "1003".to_owned();
    world.say(page, PageMessage::Dial { number });
    assert_eq!(world.last_error(page), Some(ErrorCode::Overload));
    assert!(world.requests("INVITE").is_empty());
    assert_eq!(world.board.gauges().ports_in_use, 0);
}

/// The other workers have time: their agents get their calls and are told nothing, and whoever signs in now becomes one of them.
#[test]
fn only_the_agents_of_that_worker_are_concerned() {
    let mut world = World::new(&["1002", "1003", "1004"]);
    let first = world.sign_in("1002", None);
    let second = world.sign_in("1003", None);
    fares(&mut world, 0, FULL, 3);
    let third = world.sign_in("1004", None);
    assert_eq!(told(&world, first).len(), 1);
    assert!(told(&world, second).is_empty());
    assert!(told(&world, third).is_empty());
    for (dn, statuses) in [
        ("1002", [100, 503]),
        ("1003", [100, 180]),
        ("1004", [100, 180]),
    ] {
        let call = world.invite(dn, Some(OFFER));
        assert_eq!(world.statuses(&call, 1, "INVITE"), statuses, "{dn}");
    }
    let workers = world.board.gauges().workers;
    let overloaded: Vec<bool> = workers.iter().map(|worker| worker.overloaded).collect();
    assert_eq!(overloaded, [true, false]);
    assert_eq!(workers[0].load, Some(FULL));
    assert_eq!(workers[1].load, None);
}

/// No worker has time: an agent who signs in now would wait for a connection that does not come about, at the cost of those who talk. She is told so at once, and is
/// let in when there is time. Who is signed in stays so.
#[test]
fn who_signs_in_while_nobody_has_time_is_told_so_at_once() {
    let mut world = World::new(&["1002", "1003"]);
    let page = world.sign_in("1002", None);
    fares(&mut world, 0, FULL, 3);
    fares(&mut world, 1, LATE, 3);
    let registers = world.requests("REGISTER").len();
    let late = world.sign_in("1003", None);
    assert_eq!(world.last_error(late), Some(ErrorCode::Overload));
    assert_eq!(world.closed[&late], CloseCode::TooMany);
    let refused = Fact::SignInRefused {
        dn: "1003".to_owned(),
        code: ErrorCode::Overload,
    };
    assert!(world.facts.contains(&refused));
    assert_eq!(world.requests("REGISTER").len(), registers);
    let resume = world.resume_secret(page);
    world.lose_page(page);
    let back = world.sign_in("1002", Some(resume));
    assert!(!world.closed.contains_key(&back));
    fares(&mut world, 1, WorkerLoad::default(), 5);
    let page = world.sign_in("1003", None);
    assert!(!world.closed.contains_key(&page));
}

/// A limit of 0 refuses every call to show what becomes of it; without agents there would be nothing to see.
#[test]
fn a_drill_takes_agents() {
    let mut config = common::config(&["1002"]);
    config.policy.overload.busy_percent = 0;
    let mut world = World::with_config(config);
    for worker in [0, 1] {
        fares(&mut world, worker, WorkerLoad::default(), 3);
    }
    world.sign_in("1002", None);
    let call = world.invite("1002", Some(OFFER));
    assert_eq!(world.statuses(&call, 1, "INVITE"), [100, 503]);
}

/// A page that is loaded meanwhile must not promise calls.
#[test]
fn who_comes_back_meanwhile_is_told_too() {
    let (mut world, page) = World::with_agent("1002");
    let resume = world.resume_secret(page);
    fares(&mut world, 0, FULL, 3);
    world.lose_page(page);
    let back = world.sign_in("1002", Some(resume));
    assert_eq!(
        told(&world, back),
        [(false, Some(AdmissionReason::Overload))]
    );
}

/// Ports that have rested are free, whether somebody takes one or not: an operator who looks at night sees none that rest.
#[test]
fn ports_that_have_rested_are_not_counted() {
    let (mut world, _) = World::with_agent("1002");
    let mut call = world.talking("1002");
    world.in_dialog(&mut call, "BYE", "", None);
    assert_eq!(world.board.gauges().ports_quarantined, 1);
    world.advance(std::time::Duration::from_secs(5));
    assert_eq!(world.board.gauges().ports_quarantined, 0);
}

/// A report of a worker that nobody started, or of a call that is gone, changes nothing.
#[test]
fn a_worker_that_is_none_is_nobodys() {
    let (mut world, page) = World::with_agent("1002");
    fares(&mut world, 7, FULL, 5);
    assert!(told(&world, page).is_empty());
    assert!(!world.is_media_closed(CallId(1)));
    world.assert_quiet();
}

/// A worker that hangs in a turn reports neither that it is busy nor that it is late, and nobody on it is heard: further callers are sent elsewhere, and agents who
/// sign in go to another one, until it speaks again.
#[test]
fn a_worker_that_says_nothing_any_more_gets_no_calls() {
    let mut world = World::new(&["1002", "1003", "1004"]);
    let page = world.sign_in("1002", None);
    world.sign_in("1003", None);
    let idle = WorkerLoad::default();
    for _ in 0..10 {
        fares(&mut world, 0, idle, 1);
        fares(&mut world, 1, idle, 1);
        world.advance(Duration::from_secs(1));
    }
    assert!(told(&world, page).is_empty());
    for _ in 0..3 {
        fares(&mut world, 1, idle, 1);
        world.advance(Duration::from_secs(1));
    }
    assert_eq!(
        told(&world, page),
        [(false, Some(AdmissionReason::Overload))]
    );
    let shown: Vec<bool> = world
        .board
        .gauges()
        .workers
        .iter()
        .map(|worker| worker.silent)
        .collect();
    assert_eq!(shown, [true, false]);
    let refused = world.invite("1002", Some(OFFER));
    assert_eq!(world.statuses(&refused, 1, "INVITE"), [100, 503]);
    world.sign_in("1004", None);
    let welcome = world.invite("1004", Some(OFFER));
    assert_eq!(world.statuses(&welcome, 1, "INVITE"), [100, 180]);
    fares(&mut world, 0, idle, 1);
    assert_eq!(told(&world, page).last(), Some(&(true, None)));
    let welcome = world.invite("1002", Some(OFFER));
    assert_eq!(world.statuses(&welcome, 1, "INVITE"), [100, 180]);
    let silences: Vec<bool> = world
        .facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::Overload { silent, .. } => Some(*silent),
            _ => None,
        })
        .collect();
    assert_eq!(silences, [true, false]);
}

/// The whole process has stood still, as a virtual machine does: the workers' reports wait with everything else, and no caller is refused for that.
#[test]
fn who_has_stood_still_does_not_take_its_workers_for_hanging() {
    let (mut world, page) = World::with_agent("1002");
    fares(&mut world, 0, WorkerLoad::default(), 1);
    world.now += Duration::from_secs(30);
    world.input(Input::Timeout);
    fares(&mut world, 0, WorkerLoad::default(), 1);
    world.advance(Duration::from_secs(2));
    assert!(told(&world, page).is_empty());
    let call = world.invite("1002", Some(OFFER));
    assert_eq!(world.statuses(&call, 1, "INVITE"), [100, 180]);
}
