//! A worker whose thread stood still for a while.

use super::*;
use crate::edge::taps::Waiting;

/// The worker hangs in a turn, and the site goes on: its calls are held and retrieved, one ends, another begins. When the worker goes on as well, no call is
/// deaf and no port is open for nobody.
#[test]
fn a_worker_that_hung_is_told_everything() {
    let (brake, run) = Brake::new();
    let desk = Desk::run_by(run);
    let peer = UdpSocket::bind((LOOPBACK, 0)).unwrap();
    let remote = peer.local_addr().unwrap();
    let (old, port) = (CallId(1), free_pair());
    desk.send(MediaCommand::OpenPort { call: old, port });
    desk.wait_for(&MediaEvent::PortOpened { call: old, port });
    brake.stop(
        &desk,
        MediaCommand::Plan(plan(old, BrowserLegId(0), remote)),
    );
    let (new, other) = (CallId(2), free_pair());
    for turn in 0..20_000 {
        desk.send(MediaCommand::Plan(plan(old, BrowserLegId(turn), remote)));
    }
    desk.send(MediaCommand::OpenPort {
        call: new,
        port: other,
    });
    desk.send(MediaCommand::CloseCall { call: old });
    for turn in 0..20_000 {
        desk.send(MediaCommand::Plan(plan(new, BrowserLegId(turn), remote)));
    }
    brake.release();
    let ended = desk.wait(|fact| match fact {
        MediaEvent::PortOpened { call, .. } => Some((call, false)),
        MediaEvent::CallClosed { call, .. } => Some((call, true)),
        _ => None,
    });
    assert!([(new, false), (old, true)].contains(&ended), "{ended:?}");
    // The plan is obeyed as well: the new call hears its peer.
    peer.send_to(&key_three(1), (LOOPBACK, other)).unwrap();
    desk.wait_for(&MediaEvent::Digit {
        call: new,
        digit: '3',
    });
    assert!(
        UdpSocket::bind((LOOPBACK, port)).is_ok(),
        "the port of the call that is over is closed"
    );
    // What came last may still be on its way to it: the digit was heard by an earlier plan.
    let (waiting, deadline) = (desk.worker.waiting(), Instant::now() + PATIENCE);
    while waiting() > 0 {
        assert!(Instant::now() < deadline, "{} wait", waiting());
        std::thread::yield_now();
    }
}

/// A card number is read out in a pause, or before anybody listens, and the worker hangs meanwhile: nobody has it. What is said next is heard.
#[tokio::test]
async fn what_was_said_before_somebody_listens_is_not_heard() {
    for resumes in [true, false] {
        listens_from_now_on(resumes).await;
    }
}

async fn listens_from_now_on(resumes: bool) {
    const LOUD: u8 = 0x2a;
    const SOFT: u8 = 0xd5 ^ 0x30;
    let taps = Arc::new(LiveTaps::default());
    let (brake, run) = Brake::new();
    let desk = Desk::tapped(Arc::clone(&taps), run);
    let peer = UdpSocket::bind((LOOPBACK, 0)).unwrap();
    let (call, port) = (CallId(8), free_pair());
    let plan = || MediaCommand::Plan(plan(call, BrowserLegId(0), peer.local_addr().unwrap()));
    let say = |octet, numbers: std::ops::Range<u16>| {
        for number in numbers {
            let packet = rtp(8, number, &[octet; 160]);
            peer.send_to(&packet, (LOOPBACK, port)).unwrap();
        }
    };
    desk.send(MediaCommand::OpenPort { call, port });
    desk.send(plan());
    desk.wait_for(&MediaEvent::PortOpened { call, port });
    let (tap, heard) = taps.begin();
    let listens = |paused| MediaCommand::OpenTap {
        call,
        tap,
        rate_hz: 8_000,
        beep: None,
        paused,
    };
    if resumes {
        desk.send(listens(true));
    }
    brake.stop(&desk, plan());
    let secret = 100;
    say(LOUD, 0..secret);
    desk.send(if resumes {
        MediaCommand::PauseTap {
            call,
            tap,
            paused: false,
        }
    } else {
        listens(false)
    });
    brake.release();
    let is_loud = |sample: &i16| sample.unsigned_abs() > 2_000;
    let is_soft = |sample: &i16| (100..2_000).contains(&sample.unsigned_abs());
    let mut next = secret;
    let words = async {
        while let Some(Waiting::Frame(frame)) = heard.next().await {
            let samples: Vec<i16> = frame
                .octets
                .chunks_exact(2)
                .map(|octets| i16::from_le_bytes([octets[0], octets[1]]))
                .collect();
            assert!(!samples.iter().any(is_loud), "frame {}", frame.number);
            if samples.iter().any(is_soft) {
                return;
            }
            // Somebody goes on speaking, by the clock of whoever listens.
            say(SOFT, next..next + 1);
            next += 1;
        }
        panic!("the tap ended");
    };
    tokio::time::timeout(PATIENCE, words).await.unwrap();
    let read = desk.worker.counters()().rtp_sip_in;
    assert!(read >= u64::from(secret), "{read} packets were read");
}

/// Somebody is to listen to one call, and another one is over: what is read for the former is not said on in the latter.
#[test]
fn whoever_listens_opens_no_call_that_is_over() {
    let (brake, run) = Brake::new();
    let desk = Desk::run_by(run);
    let peer = UdpSocket::bind((LOOPBACK, 0)).unwrap();
    let remote = peer.local_addr().unwrap();
    let plan = |call| MediaCommand::Plan(plan(call, BrowserLegId(0), remote));
    let calls = [(CallId(1), free_pair()), (CallId(2), free_pair())];
    for (call, port) in calls {
        desk.send(MediaCommand::OpenPort { call, port });
        desk.wait_for(&MediaEvent::PortOpened { call, port });
        desk.send(plan(call));
    }
    let [(taped, _), (over, port)] = calls;
    brake.stop(&desk, plan(over));
    peer.send_to(&key_three(1), (LOOPBACK, port)).unwrap();
    desk.send(MediaCommand::OpenTap {
        call: taped,
        tap: switchboard::TapId(1),
        rate_hz: 8_000,
        beep: None,
        paused: false,
    });
    desk.send(MediaCommand::CloseCall { call: over });
    brake.release();
    let heard = desk.wait(|fact| match fact {
        MediaEvent::Digit { .. } => Some(true),
        MediaEvent::CallClosed { .. } => Some(false),
        _ => None,
    });
    assert!(!heard);
}
