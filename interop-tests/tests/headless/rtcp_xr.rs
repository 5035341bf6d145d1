//! What the far end is told of how it sounds here, and what it tells us (RFC 3611), read and written by other people's code.

use std::net::SocketAddr;
use std::time::Duration;

use interop_tests::Desk;
use interop_tests::recordings::end_record;
use rtc::rtcp::extended_report::{ExtendedReport, VoIPMetricsReportBlock};
use rtc::rtcp::packet::unmarshal;
use rtc::rtcp::sender_report::SenderReport;
use rtc::shared::marshal::Marshal;
use serde_json::json;
use tempfile::TempDir;
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

/// What the customer's telephone says of a stream that it hears, each figure unlike every other.
fn customers_metrics(ssrc: u32, rfactor: u8) -> Vec<u8> {
    let metrics = VoIPMetricsReportBlock {
        ssrc,
        loss_rate: 32,
        discard_rate: 16,
        burst_density: 128,
        gap_density: 8,
        burst_duration: 120,
        gap_duration: 9_000,
        round_trip_delay: 85,
        end_system_delay: 45,
        signal_level: (-22_i8).cast_unsigned(),
        noise_level: (-60_i8).cast_unsigned(),
        rerl: 55,
        gmin: 16,
        rfactor,
        ext_rfactor: UNKNOWN,
        mos_lq: 41,
        mos_cq: UNKNOWN,
        rx_config: 0,
        reserved: 0,
        jb_nominal: 65,
        jb_maximum: 130,
        jb_abs_max: 200,
    };
    let report = ExtendedReport {
        sender_ssrc: CUSTOMER,
        reports: vec![Box::new(metrics)],
    };
    report.marshal().expect("RTCP by the book").to_vec()
}

/// A telephone that asks how it sounds is told, about its own stream and what was measured of it; what was not is unknown, until it is. And what it says of
/// ours is in the record of the call, but not what it says of a stream that is not ours.
#[tokio::test]
async fn the_far_end_is_told_how_it_sounds() {
    let dir = TempDir::new().expect("a temporary directory");
    let cdr = dir.path().join("cdr.jsonl");
    let desk = Desk::start_with(|config| config["cdr"] = json!({"file": cdr})).await;
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

    for (stream, r) in [(first.ssrc, 81), (!first.ssrc, 12)] {
        let mut answer = receiver_report(&first, Duration::from_millis(80));
        answer.extend(customers_metrics(stream, r));
        let told = socket.send_to(&answer, first.from).await;
        told.expect("the gateway's port is open");
    }
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
    let record = end_record(&cdr).await;
    let told = json!({
        "loss": 0.125, "discard": 0.0625, "burst_density": 0.5, "gap_density": 0.03125,
        "burst_ms": 120.0, "gap_ms": 9_000.0, "rtt_ms": 85.0, "end_system_ms": 45.0,
        "signal_dbm": -22, "noise_dbm": -60, "echo_loss_db": 55,
        "r": 81, "mos_lq": 4.1, "mos_cq": null, "jitter_buffer_ms": 65.0,
    });
    assert_eq!(
        record["media"]["to_caller"]["sent"]["voip"], told,
        "{record}"
    );
    assert_eq!(
        record["media"]["to_agent"]["sent"]["voip"],
        json!(null),
        "{record}"
    );
}
