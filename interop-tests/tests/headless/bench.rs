//! The load tool: what it measures must be whole calls.

use std::time::Duration;

use interop_tests::digest::{Algorithm, Proofs};
use interop_tests::load::overload;
use interop_tests::load::registering;
use interop_tests::load::rival;
use interop_tests::load::signalling::{Plan, signalling};
use interop_tests::load::soak;
use interop_tests::load::{self, Case};

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

fn forty_dns(digest: Option<Algorithm>) -> registering::Plan {
    registering::Plan {
        dns: 40,
        rate_per_s: 1_000,
        expires_s: 10,
        settle: Duration::ZERO,
        window: Duration::from_secs(1),
        digest,
        rounds: 1,
        baseline: None,
    }
}

#[tokio::test]
async fn registered_dns_are_counted_one_by_one() {
    let plan = forty_dns(None);
    let report = registering::registering(&plan).await.expect("all register");
    let round = &report.rounds[0];
    assert!(round.paced_s > 0.0 && round.fast_s > 0.0, "{round:?}");
    assert!((1..=80).contains(&round.refreshes), "{round:?}");
    assert!(round.cpu_ms_per_refresh.is_some(), "{round:?}");
    assert_eq!(round.proofs, Proofs::default());
    assert!(report.table().contains("40 DNs"));
    assert!(serde_json::to_string(&report).is_ok());
}

/// Each DN is asked for its password once, and again when its nonce is used up; nobody's is wrong, by either algorithm.
#[tokio::test]
async fn dns_with_a_password_prove_it() {
    for digest in [Algorithm::Md5, Algorithm::Sha256] {
        let plan = forty_dns(Some(digest));
        let report = registering::registering(&plan).await.expect("all register");
        let round = &report.rounds[0];
        assert!(round.proofs.missing >= 40, "{round:?}");
        assert_eq!(round.proofs.wrong, 0, "{round:?}");
        assert!(round.refreshes > 0, "{round:?}");
        assert!((1..=40).contains(&round.proofs.stale), "{round:?}");
        assert!(report.table().contains("asked for by"), "{report:?}");
    }
}

/// Speech that is decoded and coded again still has its marks, and they say how long it took.
#[tokio::test]
async fn transcoded_calls_are_timed_by_what_is_heard() {
    let plan = load::Plan {
        case: Case::Transcode,
        sessions: 3,
        rounds: 1,
        window: Duration::from_secs(3),
        workers: 1,
        as_shipped: false,
        absent: rival::absent(Case::Transcode, true),
        baseline: None,
    };
    let report = load::media(&plan).await.expect("the load runs");
    let round = &report.rounds[0];
    for way in [&round.to_agent, &round.to_caller] {
        let delay = way.latency.expect("marks were heard");
        assert!(delay.count >= 6, "{way:?}");
        // More than a packet, as there is a jitter buffer, and no more than anybody bears.
        assert!((10.0..500.0).contains(&delay.p50_ms), "{way:?}");
    }
    assert!(report.table().contains("Opus"), "{}", report.table());
}

/// Calls grow, and each step says what those that are up sound like.
#[tokio::test]
async fn each_step_towards_the_knee_is_listened_to() {
    let plan = overload::Plan {
        case: Case::Relay,
        step: 2,
        calls_max: 4,
        window: Duration::from_secs(1),
        workers: 1,
        share: None,
    };
    let report = overload::overload(&plan).await.expect("the load runs");
    assert_eq!((report.limited.len(), report.unlimited.len()), (2, 2));
    let last = &report.limited[1];
    assert_eq!(last.calls + last.refused, 4, "{last:?}");
    assert!((0.0..=1.0).contains(&last.busy), "{last:?}");
    assert!(last.to_agent.sent > 0 && last.to_caller.latency.is_some());
    assert!(report.table().contains("refused"));
}

/// Everything that agents, pages and callers do for some seconds: nothing of them is left.
#[tokio::test]
async fn a_short_soak_leaves_nothing() {
    leaves_nothing(Case::Relay).await;
}

#[tokio::test]
async fn a_short_soak_of_transcoded_calls_leaves_nothing() {
    leaves_nothing(Case::Transcode).await;
}

async fn leaves_nothing(case: Case) {
    let plan = soak::Plan {
        case,
        agents: 6,
        workers: 2,
        churn: Duration::from_secs(6),
        warm_up: Duration::from_secs(4),
        line_every: Duration::from_secs(2),
        seed: 7,
    };
    let report = soak::soak(&plan).await.expect("the soak runs");
    assert_eq!(report.leaks(), Vec::<String>::new(), "{}", report.table());
    assert!(report.done.len() > 8, "{:?}", report.done);
}
