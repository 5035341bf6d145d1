//! How long packets are that are made for the far end.

use interop_tests::customer::{CUSTOMER_HZ, Speech};
use interop_tests::gateway::PAGE_HZ;
use interop_tests::recordings::end_record;
use interop_tests::{Customer, Desk, eventually};
use serde_json::json;
use tempfile::TempDir;

/// `a=ptime` is obeyed where speech is encoded, and so is `a=maxptime`: read from the timestamps on the wire. The far end's own packets stay 20 ms.
#[tokio::test]
async fn packets_are_as_long_as_the_far_end_asks() {
    let desk = Desk::start_with(|config| config["media"]["codecs"] = json!(["g722"])).await;
    for (ptime, maxptime, expected_ms) in
        [(10, 150, 10), (30, 150, 30), (60, 40, 40), (60, 150, 60)]
    {
        let customer = Customer::start(desk.site.media()).await;
        let mut sipp = desk
            .calling("uac-ptime")
            .media(customer.address())
            .key("payload_type", 9)
            .key("codec", "g722")
            .key("ptime", ptime)
            .key("maxptime", maxptime)
            .start();
        customer.hears(PAGE_HZ).await;
        desk.page.hears(CUSTOMER_HZ).await;
        eventually("some more packets", || customer.heard().packets > 20).await;
        sipp.cue().await;
        sipp.passes().await;
        desk.ended("remote_hangup").await;
        let heard = customer.heard();
        // A machine that stood still for more than three packets of 20 ms leaves a gap in the timestamps.
        let steps = heard.steps.iter().filter(|step| **step <= 480);
        let steps: Vec<u32> = steps.copied().collect();
        assert_eq!(
            steps,
            [expected_ms * 8],
            "ptime {ptime}, maxptime {maxptime}"
        );
        assert_eq!(heard.codecs, [9].into(), "G.722, whose clock is 8 kHz");
    }
}

/// The far end's own packets are as long as it likes, whatever it asked for, and of another length in mid-call: all of it is heard, where it is handed over and where
/// it is decoded, and nothing of ours changes.
#[tokio::test]
async fn packets_of_the_far_end_are_as_long_as_it_likes() {
    for (payload_type, codec, speech) in [(0, "pcmu", Speech::Pcmu), (9, "g722", Speech::G722)] {
        let records = TempDir::new().expect("a temporary directory");
        let cdr = records.path().join("cdr.jsonl");
        let desk = Desk::start_with(|config| {
            config["media"]["codecs"] = json!([codec]);
            config["cdr"] = json!({"file": cdr});
        })
        .await;
        desk.customer.speaks(speech);
        let mut sipp = desk
            .calling("uac-ptime")
            .key("payload_type", payload_type)
            .key("codec", codec)
            .key("ptime", 20)
            .key("maxptime", 150)
            .start();
        desk.both_hear().await;
        for (nth, ms) in [10, 30, 60, 40, 20].into_iter().enumerate() {
            let tone = 500 + 100 * u32::try_from(nth).expect("few");
            desk.customer.says(tone);
            desk.customer.gathers(ms);
            desk.page.hears(tone).await;
            desk.customer.hears(PAGE_HZ).await;
        }
        sipp.cue().await;
        sipp.passes().await;
        desk.ended("remote_hangup").await;
        let record = end_record(&cdr).await;
        let received = &record["media"]["to_agent"]["received"];
        assert_eq!(
            (&received["codec"], &received["lost"], &received["late"]),
            (&json!(codec), &json!(0), &json!(0)),
            "{record}"
        );
        assert_eq!(desk.customer.heard().codecs, [payload_type].into());
        let steps = desk.customer.heard().steps.clone();
        assert!(steps.iter().all(|step| step % 160 == 0), "{steps:?}");
        assert!(steps.contains(&160));
    }
}
