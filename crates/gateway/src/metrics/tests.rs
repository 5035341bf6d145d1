//! What is scraped is what is promised.

use std::collections::BTreeSet;

use super::*;

/// Prometheus sees what the documentation promises, and nothing else.
#[test]
fn what_is_scraped_is_what_is_catalogued() {
    let sources = Sources {
        media_waiting: vec![Box::new(|| 0)],
        ..Sources::default()
    };
    sources.certificates.sip.store(1, Ordering::Relaxed);
    let metrics = Metrics::new(sources);
    metrics.registration(None);
    metrics.registration_failure(RegistrationFault::Silent);
    metrics.ended(Cause::Busy);
    metrics.sign_in_refused(control::ErrorCode::Overload);
    metrics.talk(TalkResult::Held);
    metrics.transfer(TransferKind::Blind, TransferResult::Done);
    metrics.audible(MediaDirection::ToAgent, Some(Duration::ZERO));
    metrics.one_way_audio(MediaDirection::ToAgent, MissingAudio::Nothing);
    metrics.leg_failed(control::MediaFailure::NoPath);
    metrics
        .ws_closed
        .get_or_create(&Code { code: "4400" })
        .inc();
    metrics.quality.observe(&quality::tests::measured());
    metrics.sip_refused(sip::ua::RefusedReason::Parse);
    metrics.admin_refused("token");
    metrics.reloaded(true);
    let calls = vec![(control::CallState::Talking, 1)];
    let text = metrics.text(Some(&(
        Gauges {
            calls,
            sip_servers: vec![(None, 1, 0)],
            tables: vec![("calls", 1)],
            workers: vec![switchboard::WorkerGauge {
                load: Some(switchboard::WorkerLoad {
                    quota_percent: Some(0),
                    ..switchboard::WorkerLoad::default()
                }),
                ..switchboard::WorkerGauge::default()
            }],
            ..Gauges::default()
        },
        0,
    )));
    let scraped: BTreeSet<(String, String)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split_once(' '))
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect();
    let catalogued: BTreeSet<(String, String)> = CATALOGUE
        .iter()
        .map(|entry| {
            let counter = entry.kind == Kind::Counter;
            let bare = if counter {
                entry.name.trim_end_matches("_total")
            } else {
                entry.name
            };
            (bare.to_owned(), entry.kind.as_str().to_owned())
        })
        .collect();
    assert_eq!(scraped, catalogued);
    assert!(
        text.contains("talkbridge_calls_ended_total{cause=\"busy\"} 1"),
        "{text}"
    );
}
