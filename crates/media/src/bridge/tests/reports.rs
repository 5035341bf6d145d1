//! RTCP of the SIP side.

use super::*;
use crate::bridge::reports::Used;

#[test]
fn reports_go_to_the_peer_and_measure_the_trip() {
    let mut call = Call::new();
    let clock = NtpClock::new(call.now, Duration::from_secs(1_000_000));
    let mut out = [0; rtcp::COMPOUND_MAX];
    let (to, bytes) = call
        .bridge
        .report_rtcp(call.now, &clock, "c", &mut out)
        .unwrap();
    assert_eq!(to, plan().remote_rtcp.unwrap());
    assert!(matches!(
        rtcp::parse(bytes).next(),
        Some(Rtcp::ReceiverReport { .. })
    ));
    call.browser(0, 1, &[9; 160]).unwrap();
    call.sip(peer(), &rtp(8, 1, 0, &[9; 160]))
        .unwrap()
        .forward
        .unwrap();
    let (_, bytes) = call
        .bridge
        .report_rtcp(call.now, &clock, "c", &mut out)
        .unwrap();
    let Some(Rtcp::SenderReport {
        ssrc: 1,
        ntp,
        blocks,
    }) = rtcp::parse(bytes).next()
    else {
        panic!("{bytes:02x?}");
    };
    assert_eq!(blocks.iter().next().unwrap().ssrc, 77);
    // The peer answers 30 ms later, having kept it for 10 ms.
    let answer = receiver_report(ntp, 655, (0, 100));
    let later = call.now + Duration::from_millis(30);
    let stranger = "203.0.113.66:20001".parse().unwrap();
    let refused = call.bridge.receive_rtcp(later, stranger, &answer, &clock);
    assert_eq!(refused, Err(Dropped::WrongSource));
    assert_eq!(call.bridge.measured().to_agent.round_trip, None);
    for short in [[0x80, 0xc8, 0, 0], [0x81, 0xc9, 0, 0]] {
        let refused = call.bridge.receive_rtcp(later, to, &short, &clock);
        assert_eq!(refused, Err(Dropped::Malformed));
    }
    call.bridge
        .receive_rtcp(later, to, &answer, &clock)
        .unwrap();
    let trip = call.bridge.measured().to_agent.round_trip.unwrap();
    assert!((19..=21).contains(&trip.as_millis()), "{trip:?}");
}

/// Music gives way to a customer: how far away it was, and what was lost of it, is nothing of his.
#[test]
fn nothing_of_a_former_party_is_told_of_the_next() {
    let mut call = Call::new();
    let clock = NtpClock::new(call.now, Duration::from_secs(1_000_000));
    let mut out = [0; rtcp::COMPOUND_MAX];
    call.browser(0, 1, &[9; 160]).unwrap();
    for number in [1, 40] {
        let packet = rtp(8, number, u32::from(number) * 160, &[9; 160]);
        call.sip(peer(), &packet).unwrap().forward.unwrap();
    }
    let ntp = clock.ntp(call.now);
    let block = crate::stats::Block {
        ssrc: 1,
        fraction_lost: 0,
        cumulative_lost: 5,
        highest: 0,
        jitter: 0,
    };
    let echo = LastSenderReport {
        ntp_middle: rtcp::middle(ntp),
        delay: 655,
    };
    let report = rtcp::Report {
        ssrc: 77,
        sender: Some(rtcp::SenderInfo {
            ntp,
            timestamp: 0,
            packets: 2,
            octets: 320,
        }),
        block: Some((block, echo)),
        cname: "music",
        extended: None,
    };
    let report = rtcp::write(&mut out, &report).to_vec();
    call.now += Duration::from_millis(30);
    let from = plan().remote_rtcp.unwrap();
    let taken = call.bridge.receive_rtcp(call.now, from, &report, &clock);
    assert_eq!(taken, Ok(()));
    let measured = call.bridge.measured();
    assert!(measured.to_agent.round_trip.is_some() && measured.to_caller.far_end.is_some());

    let customer = "192.0.2.90:30000".parse().unwrap();
    let moved = BridgePlan {
        remote: Some(customer),
        ..plan()
    };
    call.bridge.set_plan(moved, Patch::Same);
    let measured = call.bridge.measured();
    assert_eq!(measured.to_agent.round_trip, None);
    assert_eq!(measured.to_caller.far_end, None);
    let mut his = rtp(8, 5_000, 0, &[9; 160]);
    his[8..12].copy_from_slice(&[0, 0, 0, 78]);
    call.now += FORMER_SSRC_BARRED;
    call.sip(customer, &his).unwrap().forward.unwrap();
    let (_, bytes) = call
        .bridge
        .report_rtcp(call.now, &clock, "c", &mut out)
        .unwrap();
    let Some(Rtcp::SenderReport { blocks, .. } | Rtcp::ReceiverReport { blocks, .. }) =
        rtcp::parse(bytes).next()
    else {
        panic!("{bytes:02x?}");
    };
    let block = blocks.iter().next().unwrap();
    assert_eq!((block.ssrc, block.cumulative_lost), (78, 0));
    assert_eq!(block.last_sender_report, 0, "he has sent none");
    let lost = call.bridge.measured().to_agent.lost;
    assert_eq!(lost, Some(38), "of the call");
}

/// The far end's own verdict is kept, of our stream only and from the far end only.
#[test]
fn extended_reports_are_kept() {
    let mut call = Call::new();
    let clock = NtpClock::new(call.now, Duration::from_secs(1_000_000));
    let to = plan().remote_rtcp.unwrap();
    let report = |ssrc: u8, r: u8| {
        let mut packet = vec![0x80, 207, 0, 10, 0, 0, 0, 77, 7, 0, 0, 8, 0, 0, 0, ssrc];
        packet.extend([26, 0, 0, 26, 0, 0, 0, 0, 0, 90, 0, 0]);
        packet.extend([
            127, 127, 127, 16, r, 127, 127, 39, 0, 0, 0, 40, 0, 60, 0, 90,
        ]);
        packet
    };
    let stranger = "203.0.113.66:20001".parse().unwrap();
    let mut hear = |from, packet: &[u8]| {
        let taken = call.bridge.receive_rtcp(call.now, from, packet, &clock);
        (taken, call.bridge.measured().to_caller.far_voip)
    };
    let refused = hear(stranger, &report(1, 80));
    assert_eq!(refused, (Err(Dropped::WrongSource), None));
    assert_eq!(hear(to, &report(2, 80)), (Ok(()), None), "another stream");
    let (taken, voip) = hear(to, &report(1, 80));
    assert_eq!(taken, Ok(()));
    let voip = voip.unwrap();
    assert_eq!(
        (voip.r, voip.mos_lq, voip.mos_cq),
        (Some(80), None, Some(3.9))
    );
    assert_eq!(voip.round_trip, Some(Duration::from_millis(90)));
}

/// What the caller's end says of what it was sent, and of our report of `ntp` that it has kept for `delay` (1/65,536 s).
fn receiver_report(ntp: u64, delay: u32, (cumulative_lost, highest): (i32, u32)) -> Vec<u8> {
    let block = crate::stats::Block {
        ssrc: 1,
        fraction_lost: 0,
        cumulative_lost,
        highest,
        jitter: 0,
    };
    let echo = LastSenderReport {
        ntp_middle: rtcp::middle(ntp),
        delay,
    };
    let report = rtcp::Report {
        ssrc: 77,
        sender: None,
        block: Some((block, echo)),
        cname: "p",
        extended: None,
    };
    let mut out = [0; rtcp::COMPOUND_MAX];
    rtcp::write(&mut out, &report).to_vec()
}

/// A call of 40 packets each way of which nothing was lost on its way to us, and both round trips are known.
fn measured_call(clock: &NtpClock) -> Call {
    let mut call = Call::new();
    for number in 0..40 {
        call.browser(0, number, &[9; 160]).unwrap();
        let packet = rtp(8, number, u32::from(number) * 160, &[9; 160]);
        call.sip(peer(), &packet).unwrap();
    }
    call.browser_says(None, 0);
    call.caller_says(clock, 0);
    call
}

impl Call {
    fn browser_says(&mut self, percent: Option<u8>, lost: u64) {
        self.bridge.browser_reports(BrowserReport {
            loss_percent: percent,
            round_trip: Some(Duration::from_millis(40)),
            lost: Some(lost),
            jitter: Some(Duration::from_millis(2)),
        });
    }

    /// The SIP side reports of the packets that it was sent, 10 ms after our own report.
    fn caller_says(&mut self, clock: &NtpClock, lost: i32) {
        let newest = self.bridge.to_sip.next_sequence() - 1;
        self.reports_of(clock, (lost, newest as u32));
    }

    /// The same of those up to a number.
    fn reports_of(&mut self, clock: &NtpClock, lost_and_highest: (i32, u32)) {
        let report = receiver_report(clock.ntp(self.now), 0, lost_and_highest);
        self.now += Duration::from_millis(10);
        let from = plan().remote_rtcp.unwrap();
        let taken = self.bridge.receive_rtcp(self.now, from, &report, clock);
        assert_eq!(taken, Ok(()));
    }
}

/// An agent on a bad radio network hears a fifth less than we send: the score is of what reaches her, not of what reached us.
#[test]
fn what_the_browser_lost_is_in_the_score() {
    let clock = NtpClock::new(Instant::now(), Duration::from_secs(1_000_000));
    let mut call = measured_call(&clock);
    let before = call.bridge.measured().to_agent;
    assert_eq!((before.loss, before.far_loss), (Some(0.0), Some(0.0)));
    call.browser_says(Some(20), 8);
    let after = call.bridge.measured();
    let (score, heard) = (after.to_agent.score.unwrap(), after.to_agent);
    assert_eq!((heard.loss, heard.far_loss), (Some(0.0), Some(0.2)));
    assert!(score.mos < before.score.unwrap().mos - 1.0, "{score:?}");
    assert!((score.inputs.loss.unwrap() - 0.2).abs() < 1.0e-9);
    assert!(after.to_caller.score.unwrap().mos > 4.2, "the other way");
}

/// The same the other way, and of the party that is there: what was sent before the customer was there he has not lost, nor been sent.
#[test]
fn what_the_sip_side_lost_is_in_the_score() {
    let clock = NtpClock::new(Instant::now(), Duration::from_secs(1_000_000));
    let mut call = measured_call(&clock);
    let before = call.bridge.measured().to_caller;
    assert_eq!(before.far_loss, Some(0.0));
    call.caller_says(&clock, 4);
    let after = call.bridge.measured().to_caller;
    assert_eq!(after.far_loss, Some(0.1));
    assert!(after.score.unwrap().mos < before.score.unwrap().mos - 0.5);

    let customer = "192.0.2.90:30000".parse().unwrap();
    let moved = BridgePlan {
        remote: Some(customer),
        ..plan()
    };
    call.bridge.set_plan(moved, Patch::Same);
    assert_eq!(call.bridge.measured().to_caller.far_loss, None);
    for number in 40..50 {
        call.browser(0, number, &[9; 160]).unwrap();
    }
    call.caller_says(&clock, 5);
    assert_eq!(call.bridge.measured().to_caller.far_loss, Some(0.5));
}

/// SIP Server plays music to the caller, or lets him talk to somebody else, and brings him back: what our stream told the others meanwhile is missing in his
/// count, and was never sent to him. The score is of what he was sent.
#[test]
fn a_caller_who_comes_back_has_lost_nothing_of_what_others_heard() {
    let clock = NtpClock::new(Instant::now(), Duration::from_secs(1_000_000));
    let mut call = measured_call(&clock);
    call.caller_says(&clock, 4);
    assert_eq!(call.bridge.measured().to_caller.far_loss, Some(0.1));
    let elsewhere = BridgePlan {
        remote: Some("192.0.2.90:30000".parse().unwrap()),
        ..plan()
    };
    call.bridge.set_plan(elsewhere, Patch::Same);
    let says = |call: &mut Call, numbers: std::ops::Range<u16>| {
        for number in numbers {
            call.browser(0, number, &[9; 160]).unwrap();
        }
    };
    says(&mut call, 40..340);
    call.bridge.set_plan(plan(), Patch::Same);
    says(&mut call, 340..390);
    // Nothing of it has reached him yet; then his count goes on over what others heard.
    call.reports_of(&clock, (4, 139));
    let measured = call.bridge.measured().to_caller;
    assert_eq!((measured.far_loss, measured.far_end.unwrap().of), (None, 0));
    call.caller_says(&clock, 304);
    assert_eq!(call.bridge.measured().to_caller.far_loss, None);
    says(&mut call, 390..440);
    call.caller_says(&clock, 309);
    let measured = call.bridge.measured().to_caller;
    assert_eq!(measured.far_loss, Some(0.1));
    assert!(measured.score.unwrap().mos > 3.0, "{measured:?}");
}

/// Half of the way is lost before us, half of the rest behind us; a receiver without RTCP leaves the score to the leg that was measured.
#[test]
fn both_legs_are_scored_where_both_were_measured() {
    let clock = NtpClock::new(Instant::now(), Duration::from_secs(1_000_000));
    let mut call = Call::new();
    for number in (0..41).step_by(2) {
        let packet = rtp(8, number, u32::from(number) * 160, &[9; 160]);
        call.sip(peer(), &packet).unwrap();
        call.browser(0, number, &[9; 160]).unwrap();
    }
    call.caller_says(&clock, 0);
    call.bridge.browser_reports(BrowserReport {
        round_trip: Some(Duration::from_millis(40)),
        ..BrowserReport::default()
    });
    let near = call.bridge.measured().to_agent;
    assert_eq!(near.far_loss, None);
    let share = 20.0 / 41.0;
    let scored =
        |report: crate::bridge::DirectionReport| report.score.unwrap().inputs.loss.unwrap();
    assert!((scored(near) - share).abs() < 1.0e-9);
    call.browser_says(None, 7);
    let both = call.bridge.measured().to_agent;
    let far = 7.0 / 21.0;
    assert!((scored(both) - (1.0 - (1.0 - share) * (1.0 - far))).abs() < 1.0e-9);
    assert!(both.score.unwrap().r < near.score.unwrap().r);
}

/// The agent's leg loses a tenth, and so is the caller sent nine packets of ten, under numbers that tell of the tenth: he counts it as lost, and it is not lost twice.
#[test]
fn what_was_lost_before_us_is_not_lost_behind_us_again() {
    let clock = NtpClock::new(Instant::now(), Duration::from_secs(1_000_000));
    let mut call = Call::new();
    let says = |call: &mut Call, numbers: std::ops::Range<u16>| {
        for number in numbers.filter(|number| number % 10 != 5) {
            call.browser(0, number, &[9; 160]).unwrap();
        }
    };
    says(&mut call, 0..100);
    call.caller_says(&clock, 10);
    let heard = call.bridge.measured().to_caller;
    assert_eq!((heard.loss, heard.far_loss), (Some(0.1), Some(0.0)));
    // His own leg loses a tenth as well.
    says(&mut call, 100..200);
    call.caller_says(&clock, 29);
    let heard = call.bridge.measured().to_caller;
    assert_eq!(heard.far_end.map(|far| (far.lost, far.of)), Some((9, 180)));
    // Nor is one who is new here, but has counted through 65,536 numbers of an address before this one, of which he lost a thousand.
    let moved = BridgePlan {
        remote: Some("192.0.2.91:30000".parse().unwrap()),
        ..plan()
    };
    call.bridge.set_plan(moved, Patch::Same);
    says(&mut call, 200..220);
    let newest = call.bridge.to_sip.next_sequence() as u32 - 1;
    call.reports_of(&clock, (1_000, 0x1_0000 + newest));
    assert_eq!(call.bridge.measured().to_caller.far_loss, None);
    says(&mut call, 220..240);
    let newest = call.bridge.to_sip.next_sequence() as u32 - 1;
    call.reports_of(&clock, (1_002, 0x1_0000 + newest));
    assert_eq!(call.bridge.measured().to_caller.far_loss, Some(0.0));
    // Somebody else is not charged with either.
    let elsewhere = BridgePlan {
        remote: Some("192.0.2.90:30000".parse().unwrap()),
        ..plan()
    };
    call.bridge.set_plan(elsewhere, Patch::Same);
    says(&mut call, 240..340);
    call.caller_says(&clock, 10);
    assert_eq!(call.bridge.measured().to_caller.far_loss, Some(0.0));
}

/// The agent holds for half a minute, and SIP Server has the caller's gateway play music elsewhere meanwhile, under the same SSRC and numbers that go on. What
/// was not sent to us was not lost: nobody is told of a bad line, neither by our reports nor by the record.
#[test]
fn a_hold_loses_nothing() {
    let held = BridgePlan {
        to_agent: false,
        to_caller: false,
        ..plan()
    };
    let parked = BridgePlan {
        remote: None,
        remote_rtcp: None,
        to_agent: false,
        to_caller: false,
        ..plan()
    };
    let elsewhere = BridgePlan {
        remote: Some("192.0.2.90:30000".parse().unwrap()),
        ..plan()
    };
    for (meanwhile, stragglers) in [(held, 2), (parked, 0), (elsewhere, 0)] {
        let mut call = Call::new();
        let speak = |call: &mut Call, numbers: std::ops::Range<u16>| {
            for number in numbers {
                let packet = rtp(8, number, u32::from(number) * 160, &[9; 160]);
                let heard = call.sip(peer(), &packet);
                assert!(heard.is_ok());
                call.now += Duration::from_millis(20);
            }
        };
        speak(&mut call, 0..200);
        call.bridge.set_plan(meanwhile, Patch::Same);
        speak(&mut call, 200..200 + stragglers);
        call.now += Duration::from_secs(30);
        call.bridge.set_plan(plan(), Patch::Same);
        speak(&mut call, 1_700..1_900);
        let measured = call.bridge.measured().to_agent;
        let received = 400 + u64::from(stragglers);
        assert_eq!((measured.packets, measured.lost), (received, Some(0)));
        let clock = NtpClock::new(call.now, Duration::from_secs(1_000_000));
        let mut out = [0; rtcp::COMPOUND_MAX];
        let report = call.bridge.report_rtcp(call.now, &clock, "c", &mut out);
        let (_, bytes) = report.unwrap();
        let Some(Rtcp::SenderReport { blocks, .. } | Rtcp::ReceiverReport { blocks, .. }) =
            rtcp::parse(bytes).next()
        else {
            panic!("{bytes:02x?}");
        };
        let block = blocks.iter().next().unwrap();
        let told = (block.fraction_lost, block.cumulative_lost, block.highest);
        assert_eq!(told, (0, 0, 1_899));
        assert_eq!(call.bridge.from_sip.bursts().0.losses, (0, received, 0));
        // What is lost from then on is.
        speak(&mut call, 1_910..1_911);
        assert_eq!(call.bridge.measured().to_agent.lost, Some(10));
    }
}

/// Totals that turn over, go back because packets came twice or late, or begin anew, as those of a far end do that was switched over.
#[test]
fn counts_of_the_far_end_turn_over_and_go_back() {
    let mut reception = Reception::default();
    let block = |cumulative_lost: i32, highest: u32| rtcp::ReportBlock {
        ssrc: 1,
        fraction_lost: 0,
        cumulative_lost,
        highest,
        jitter: 0,
        last_sender_report: 0,
        delay: 0,
    };
    let numbers = |next| Used { next, left_out: 0 };
    reception.begin_anew(None, numbers(65_530));
    let mut says = |lost, highest, next| {
        (
            reception.report(&block(lost, highest), numbers(next)),
            reception.totals(),
        )
    };
    assert_eq!(says(1, 0, 65_532), (true, (1, 2)), "no number at all");
    assert_eq!(says(2, 0x1_0003, 65_541), (true, (2, 10)));
    assert_eq!(says(1, 0x1_0001, 65_541), (false, (2, 10)), "overtaken");
    assert_eq!(says(-1, 0x1_000d, 65_551), (true, (0, 20)));
    assert_eq!(says(3, 0x1_0017, 65_561), (true, (3, 30)));
    // Begun anew: a count of its own from here on.
    assert_eq!(says(0, 0x1d, 65_567), (false, (3, 30)));
    assert_eq!(says(1, 0x21, 65_571), (true, (4, 34)));
    // 24 and 32 bits are at their ends.
    let far = 3 << 16;
    assert_eq!(says(0x7f_ffff, 0xffff_0000, far), (false, (4, 34)));
    assert_eq!(says(-0x7f_ffff, 0x0000_0010, far), (true, (6, 65_586)));
}
