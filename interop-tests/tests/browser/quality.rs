//! What the browser measures of a call (`getStats`), told by the page and kept by the gateway.

use interop_tests::recordings::end_record;
use interop_tests::{Engine, Lan, Site, eventually_async};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::both::{in_both, office};

/// Keeps what the page says of quality, and what it is told.
const LISTEN: &str = "
    window.told = { stats: [], quality: [] };
    for (const kind of Object.keys(window.told)) {
        window.talkbridge.addEventListener(kind, ({ detail }) => window.told[kind].push(detail));
    }";

in_both! {
    what_the_browser_measures_is_in_the_record_of_the_call,
}

/// The browser's own figures are in the next word about quality, and in the record of the call as the page sent them last.
async fn what_the_browser_measures_is_in_the_record_of_the_call(
    engine: Engine,
    site: Site,
    _lan: Lan,
) {
    let dir = TempDir::new().expect("a temporary directory");
    let cdr = dir.path().join("cdr.jsonl");
    let office = office(engine, site, |config| config["cdr"] = json!({"file": cdr})).await;
    office.sign_in().await;
    office.browser.eval(LISTEN, vec![]).await;
    let call = office.talk().await;
    let told = async |kind: &str| -> Vec<Value> {
        let script = format!("return window.told.{kind};");
        let told = office.browser.eval(&script, vec![]).await;
        told.as_array().cloned().unwrap_or_default()
    };
    let quality = eventually_async("the browser is joined to quality", || async {
        let quality = told("quality").await.pop()?;
        quality["browser"].is_object().then_some(quality)
    })
    .await;
    let measured = told("stats").await.remove(0);
    for figure in ["rtt_ms", "received", "sent"] {
        assert!(!measured[figure].is_null(), "{figure} of {measured}");
    }
    // 5 s of 20 ms, on a busy machine.
    let heard = measured["received"]["packets"].as_u64();
    assert!(heard > Some(100), "{measured}");
    assert_eq!(measured["received"]["lost"], 0, "{measured}");
    assert_eq!(measured["received"]["codec"], "audio/PCMU", "{measured}");
    assert!(
        measured["sent"]["packets"].as_u64() > Some(100),
        "{measured}"
    );
    assert_eq!(quality["browser"]["received"]["codec"], "audio/PCMU");

    office.sim.operate(&call, "Hangup").await;
    office.sim.released("1002", &call).await;
    let record = end_record(&cdr).await;
    let kept = &record["media"]["browser"];
    let reports = told("stats").await;
    let sent = reports.iter().rfind(|report| report["calls"] != json!([]));
    let sent = sent.expect("the page reported while the call talked");
    let same = |figure: &str| {
        let [kept, sent] =
            [kept, sent].map(|report| report.pointer(figure).and_then(Value::as_f64));
        assert!(
            kept.is_some() && kept == sent,
            "{figure}: {sent:?}, {record}"
        );
    };
    same("/rtt_ms");
    for figure in ["jitter_ms", "jitter_buffer_ms", "concealed"] {
        same(&format!("/received/{figure}"));
    }
    same("/sent/jitter_ms");
    assert_eq!(kept["received"]["codec"], "audio/PCMU", "{record}");
    for figure in [
        "/received/packets",
        "/received/lost",
        "/sent/packets",
        "/sent/lost",
    ] {
        let [kept, sent] =
            [kept, sent].map(|report| report.pointer(figure).and_then(Value::as_u64));
        // What the connection counted before the call is not the call's.
        assert!(
            kept.is_some() && kept <= sent,
            "{figure}: {sent:?}, {record}"
        );
    }
    assert!(kept["received"]["packets"].as_u64() > Some(100), "{record}");
    office.over(&call).await;
}
