//! Seeds of the simulated world.

#![allow(clippy::unwrap_used)]

/// A few seeds, unoptimised; `cargo xtask sim` runs as many as one likes, and every merge thousands.
const SEEDS: u64 = 60;

/// Whatever agents, customers, desktops and the network do: no invariant breaks.
#[test]
fn seeds_hold() {
    let mut calls = 0;
    let mut answered = 0;
    for seed in 0..SEEDS {
        match sim::world::run(seed, false) {
            Ok(report) => {
                calls += report.calls;
                answered += report.answered;
            }
            Err(violation) => panic!("{violation}\nreplay: cargo xtask sim --replay {seed}"),
        }
    }
    // A world in which nobody talks proves nothing.
    assert!(
        calls > 1_000 && answered > 300,
        "{calls} calls, {answered} answered"
    );
}

/// One seed twice is one and the same run, to the byte.
#[test]
fn a_seed_repeats() {
    let [first, second] = [1, 1].map(|_| sim::world::run(4, true));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.trace, second.trace);
    assert_eq!(first, second);
    assert!(!first.trace.is_empty());
}

/// Wireshark reads the capture of a run: every datagram as SIP, with virtual times.
#[test]
fn wireshark_reads_a_capture() {
    let report = sim::world::run(4, true).unwrap();
    let file =
        std::env::temp_dir().join(format!("talkbridge-seed-4-{}.pcapng", std::process::id()));
    std::fs::write(&file, sim::world::pcapng(&report.captured)).unwrap();
    let fields = [
        "-T",
        "fields",
        "-e",
        "frame.time_epoch",
        "-e",
        "sip.CSeq.method",
    ];
    let tshark = std::process::Command::new("tshark")
        .arg("-r")
        .arg(&file)
        .args(fields)
        .output();
    std::fs::remove_file(&file).unwrap();
    let output = tshark.expect("`cargo xtask test` installs tshark");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert_eq!(text.lines().count(), report.captured.len());
    let sip = text.lines().filter(|line| {
        let (at, method) = line.split_once('\t').unwrap_or_default();
        at.starts_with("177002") && !method.is_empty()
    });
    assert_eq!(sip.count(), report.captured.len());
}
