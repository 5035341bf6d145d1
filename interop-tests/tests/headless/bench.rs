//! The load tool: what it measures must be whole calls.

use std::time::Duration;

use interop_tests::load::registering;
use interop_tests::load::signalling::{Plan, signalling};

#[tokio::test]
async fn calls_a_second_are_whole_calls_of_agents_that_are_signed_in() {
    let plan = Plan {
        agents: 3,
        first_rate_per_s: 10.0,
        window: Duration::from_secs(1),
        steps: 1,
        rounds: 1,
        baseline: None,
    };
    let report = signalling(&plan).await.expect("the load runs");
    let round = &report.rounds[0];
    let step = &round.steps[0];
    assert_eq!(step.begun, 10, "{step:?}");
    assert_eq!(step.completed + step.failed.no_agent, 10, "{step:?}");
    let talked = step.talk_to_ok.expect("calls were answered");
    let agreed = step.reinvite_to_ok.expect("and re-INVITEd");
    assert_eq!(talked.count as u64, step.completed);
    assert_eq!(agreed.count, talked.count);
    assert!(report.table().contains("calls a second"));
    assert!(serde_json::to_string(&report).is_ok());
}

#[tokio::test]
async fn registered_dns_are_counted_one_by_one() {
    let plan = registering::Plan {
        dns: 40,
        rate_per_s: 1_000,
        expires_s: 10,
        settle: Duration::ZERO,
        window: Duration::from_secs(1),
        rounds: 1,
        baseline: None,
    };
    let report = registering::registering(&plan).await.expect("all register");
    let round = &report.rounds[0];
    assert!(round.paced_s > 0.0 && round.fast_s > 0.0, "{round:?}");
    assert!((1..=80).contains(&round.refreshes), "{round:?}");
    assert!(round.cpu_ms_per_refresh.is_some(), "{round:?}");
    assert!(report.table().contains("40 DNs"));
    assert!(serde_json::to_string(&report).is_ok());
}
