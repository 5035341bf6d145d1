//! A far end that speaks Opus on a bad network, and an agent whose browser speaks G.711.

use std::time::Duration;

use interop_tests::wait::eventually_async;
use interop_tests::{Customer, Gateway, Page, Registrar, Sipp, SippOptions, Site, eventually};
use rtc::rtcp::packet::unmarshal;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::shared::marshal::Marshal;
use serde_json::json;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// Some intervals of RTCP, on a busy machine.
const REPORTED_WITHIN: Duration = Duration::from_secs(30);

struct Call {
    sipp: Sipp,
    customer: Customer,
    rtcp: UdpSocket,
    _page: Page,
    gateway: Gateway,
    _registrar: Registrar,
}

/// A call that talks; the agent says a sentence again and again, or nothing.
async fn call(sentence: bool) -> Call {
    let site = Site::new();
    let registrar = Registrar::start(site.server_sip()).await;
    let registrar = registrar.expect("the port is ours");
    let gateway = Gateway::start_with(&site, |config| {
        config["media"]["codecs"] = json!(["opus"]);
    })
    .await;
    let mut options = gateway.page("1002");
    (options.sentence, options.tone_hz) = (sentence, 0);
    let page = Page::start(options).await.expect("the page connects");
    page.ready().await;
    let customer = Customer::start(site.media()).await;
    let rtcp = UdpSocket::bind((site.media(), 0)).await;
    let rtcp = rtcp.expect("a free port");
    let port = rtcp.local_addr().expect("it is bound").port();
    let sipp = SippOptions::calling(&site, "uac-opus-bad-network")
        .media(customer.address())
        .key("rtcp_port", port)
        .start();
    page.call_in("talking").await;
    eventually("the customer is sent Opus", || {
        customer.heard().codecs == [120].into()
    })
    .await;
    Call {
        sipp,
        customer,
        rtcp,
        _page: page,
        gateway,
        _registrar: registrar,
    }
}

impl Call {
    async fn ends(mut self) {
        self.sipp.cue().await;
        self.sipp.passes().await;
    }

    /// Answers the gateway's next sender report: so many of 256 packets were lost lately.
    async fn loses(&self, fraction_lost: u8) {
        let mut buffer = vec![0; 2_048];
        let next = async {
            loop {
                let (len, from) = self.rtcp.recv_from(&mut buffer).await.expect("a datagram");
                let packets = unmarshal(&mut &buffer[..len]).expect("RTCP by the book");
                let sender = packets
                    .iter()
                    .find_map(|packet| packet.as_any().downcast_ref::<SenderReport>());
                if let Some(sender) = sender {
                    return (from, sender.ssrc);
                }
            }
        };
        let (gateway, ssrc) = timeout(REPORTED_WITHIN, next).await.expect("a report");
        let report = ReceiverReport {
            ssrc: 0xc057_0173,
            reports: vec![ReceptionReport {
                ssrc,
                fraction_lost,
                ..ReceptionReport::default()
            }],
            ..ReceiverReport::default()
        };
        let report = report.marshal().expect("a report that fits");
        let sent = self.rtcp.send_to(&report, gateway).await;
        sent.expect("the gateway's port is open");
    }
}

/// While the agent says nothing, next to nothing is sent.
#[tokio::test]
async fn silence_is_not_sent_to_a_telephone_that_prefers_that() {
    let call = call(false).await;
    let name = "talkbridge_rtp_packets_total";
    let heard = || async {
        call.gateway
            .metric(name, "leg=\"browser\",dir=\"in\"")
            .await
    };
    // Silence is believed after 200 ms.
    let (from, before) = (heard().await + 25.0, || call.customer.heard().packets);
    eventually_async("half a second of silence", || async {
        (heard().await >= from).then_some(())
    })
    .await;
    let (from, packets) = (heard().await, before());
    eventually_async("three seconds more", || async {
        (heard().await >= from + 150.0).then_some(())
    })
    .await;
    let sent = before() - packets;
    assert!((4..40).contains(&sent), "{sent} packets of 150");
    call.ends().await;
}

/// What a telephone loses is said twice, once it has reported so.
#[tokio::test]
async fn a_telephone_that_loses_packets_is_sent_them_twice() {
    let call = call(true).await;
    let all = || call.customer.heard().packets;
    eventually("a second of the sentence", || all() > 50).await;
    assert_eq!(call.customer.heard().repeating, 0, "nothing was lost yet");
    call.loses(40).await;
    eventually("lost packets are said again", || {
        call.customer.heard().repeating > 30
    })
    .await;
    call.ends().await;
}
