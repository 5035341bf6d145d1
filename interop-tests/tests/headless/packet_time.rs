//! How long packets are that are made for the far end.

use interop_tests::customer::CUSTOMER_HZ;
use interop_tests::gateway::PAGE_HZ;
use interop_tests::{Customer, Desk, eventually};
use serde_json::json;

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
