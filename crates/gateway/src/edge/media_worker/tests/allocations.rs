//! What a worker's loop allocates for packets that it hands over: waiting, reading, telling whose they are, judging, writing, counting.

use std::sync::Mutex;

use super::*;

/// Turns of the loop that are looked at together: a packet each, at least, as nobody sends two at a time here.
const TURNS: u64 = 40;

/// Packets each way.
const PACKETS: u16 = 600;

/// Nothing is allocated for a packet. What comes by the clock meanwhile, a check of the browser's or a report, may have what it needs: so most windows of
/// turns are without any allocation, and all of them together have far fewer than packets.
#[test]
fn a_packet_allocates_nothing() {
    let counting = Arc::new(AtomicBool::new(false));
    let windows = Arc::new(Mutex::new(Vec::new()));
    let (counts, seen) = (Arc::clone(&counting), Arc::clone(&windows));
    let desk = Desk::run_by(move |mut event_loop: EventLoop| {
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !counts.load(Ordering::Acquire) {
            event_loop.once(&mut events).unwrap();
        }
        while counts.load(Ordering::Acquire) {
            let counted = allocation_counter::measure(|| {
                for _ in 0..TURNS {
                    event_loop.once(&mut events).unwrap();
                }
            });
            seen.lock().unwrap().push(counted.count_total);
        }
        event_loop.run();
    });
    let (leg, call, port) = (BrowserLegId(4), CallId(5), free_pair());
    let mut browser = Browser::new();
    connect(&desk, &mut browser, leg);
    let peer = UdpSocket::bind((LOOPBACK, 0)).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    desk.send(MediaCommand::OpenPort { call, port });
    let remote = peer.local_addr().unwrap();
    desk.send(MediaCommand::Plan(plan(call, leg, remote)));
    desk.wait_for(&MediaEvent::PortOpened { call, port });

    let mut number = 0;
    let mut speak = |packets: u16| {
        let mut buffer = [0; 2_000];
        for _ in 0..packets {
            number += 1;
            let datagram = rtp(8, number, &[0x55; 160]);
            peer.send_to(&datagram, (LOOPBACK, port)).unwrap();
            browser.live(|browser| browser.heard.pop_front().is_some());
            browser.speak(Law::Mu.silence());
            peer.recv_from(&mut buffer).unwrap();
        }
    };
    // The keys become contexts, streams get their windows, tables their room.
    speak(100);
    counting.store(true, Ordering::Release);
    speak(PACKETS);
    counting.store(false, Ordering::Release);
    // The last window ends with these.
    speak(100);
    let windows = windows.lock().unwrap().clone();
    assert!(windows.len() >= 10, "{windows:?}");
    let without = windows.iter().filter(|count| **count == 0).count();
    let all: u64 = windows.iter().sum();
    assert!(2 * without > windows.len(), "{windows:?}");
    assert!(all < TURNS * windows.len() as u64 / 4, "{windows:?}");
}
