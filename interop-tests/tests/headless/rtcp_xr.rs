//! What the far end is told of how it sounds here (RFC 3611), read by other people's decoder.

use std::net::SocketAddr;
use std::time::Duration;

use interop_tests::Desk;
use rtc::rtcp::extended_report::{ExtendedReport, VoIPMetricsReportBlock};
use rtc::rtcp::packet::unmarshal;
use rtc::rtcp::sender_report::SenderReport;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// The customer's source.
const CUSTOMER: u32 = 0xc057_0173;

/// Two intervals of RTCP, on a busy machine.
const REPORTED_WITHIN: Duration = Duration::from_secs(30);

/// "Not measured" (RFC 3611 section 4.7.4 and 4.7.5).
const UNKNOWN: u8 = 127;

/// A compound of the gateway's.
struct Report {
    from: SocketAddr,
    ssrc: u32,
    ntp: u64,
    metrics: VoIPMetricsReportBlock,
}

/// The next compound that is a sender's and has the metrics.
async fn reported(socket: &UdpSocket) -> Report {
    let mut buffer = vec![0; 2_048];
    let next = async {
        loop {
            let (len, from) = socket.recv_from(&mut buffer).await.expect("a datagram");
            let packets = unmarshal(&mut &buffer[..len]).expect("RTCP by the book");
            let sender = packets
                .iter()
                .find_map(|packet| packet.as_any().downcast_ref::<SenderReport>());
            let extended = packets
                .iter()
                .find_map(|packet| packet.as_any().downcast_ref::<ExtendedReport>());
            let (Some(sender), Some(extended)) = (sender, extended) else {
                continue;
            };
            assert_eq!(extended.sender_ssrc, sender.ssrc);
            let [block] = &extended.reports[..] else {
                panic!("{extended:?}")
            };
            let block = block.as_any().downcast_ref::<VoIPMetricsReportBlock>();
            return Report {
                from,
                ssrc: sender.ssrc,
                ntp: sender.ntp_time,
                metrics: block.expect("VoIP metrics").clone(),
            };
        }
    };
    timeout(REPORTED_WITHIN, next).await.expect("a report")
}

/// A receiver report on the gateway's stream that has travelled for `trip`.
fn receiver_report(report: &Report, trip: Duration) -> Vec<u8> {
    let units = u32::try_from(trip.as_millis() * 65_536 / 1_000).expect("a short trip");
    let sent = ((report.ntp >> 16) as u32).wrapping_sub(units);
    let mut packet = vec![0x81, 201, 0, 7];
    packet.extend(CUSTOMER.to_be_bytes());
    packet.extend(report.ssrc.to_be_bytes());
    // Nothing lost, no number, no jitter.
    packet.extend([0; 12]);
    packet.extend(sent.to_be_bytes());
    packet.extend([0; 4]);
    packet
}

/// A telephone that asks how it sounds is told, about its own stream and what was measured of it; what was not is unknown, until it is.
#[tokio::test]
async fn the_far_end_is_told_how_it_sounds() {
    let desk = Desk::start().await;
    let socket = UdpSocket::bind((desk.site.media(), 0)).await;
    let socket = socket.expect("a free port");
    let port = socket.local_addr().expect("it is bound").port();
    let mut sipp = desk.calling("uac-rtcp-xr").key("rtcp_port", port).start();
    desk.both_hear().await;

    let first = reported(&socket).await;
    let metrics = &first.metrics;
    assert_eq!(metrics.ssrc, CUSTOMER);
    let lost = [
        metrics.loss_rate,
        metrics.discard_rate,
        metrics.burst_density,
    ];
    assert_eq!(lost, [0; 3], "{metrics:?}");
    assert_eq!((metrics.gmin, metrics.burst_duration), (16, 0));
    assert!(metrics.gap_duration > 100, "the call so far: {metrics:?}");
    assert_eq!(metrics.gap_duration % 20, 0, "whole packets: {metrics:?}");
    let levels = [metrics.signal_level, metrics.noise_level, metrics.rerl];
    assert_eq!(levels, [UNKNOWN; 3], "nobody looks into a relayed packet");
    assert_eq!((metrics.round_trip_delay, metrics.end_system_delay), (0, 0));
    let scores = [metrics.rfactor, metrics.ext_rfactor, metrics.mos_cq];
    assert_eq!(
        scores, [UNKNOWN; 3],
        "no conversation is scored without its delay"
    );
    assert!((40..=45).contains(&metrics.mos_lq), "{metrics:?}");
    assert_eq!((metrics.rx_config, metrics.jb_nominal), (0, 0));

    let answer = receiver_report(&first, Duration::from_millis(80));
    let told = socket.send_to(&answer, first.from).await;
    told.expect("the gateway's port is open");
    let metrics = reported(&socket).await.metrics;
    assert!(
        (80..1_000).contains(&metrics.round_trip_delay),
        "{metrics:?}"
    );
    assert!((80..=94).contains(&metrics.rfactor), "{metrics:?}");
    assert!((40..=45).contains(&metrics.mos_cq), "{metrics:?}");

    sipp.cue().await;
    sipp.passes().await;
    desk.ended("remote_hangup").await;
}
