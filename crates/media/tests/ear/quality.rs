//! What a customer's speech is worth behind each network, and the scores below which it must not fall.

use std::fmt::Write as _;
use std::time::Duration;

use media::codec::{Codec, Rate};
use media::emodel::{self, Inputs};

use crate::alignment::Alignment;
use crate::line::{PCMU, PULL_PHASE_US, packets, packets_told, phrase_at, play};
use crate::network::{LATENCY_US, Network, arrivals, reported};
use crate::stoi::stoi;

/// The page with the scores that are kept; `UPDATE_SCORES=1` writes them anew.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/audio.md");

/// The line above them.
const RULE: &str = "|---|---|---|---|---|---|---|\n";

/// What a score may fall below the one that is kept: other libraries of Opus decode a little differently.
const STOI_TOLERANCE: f32 = 0.015;
const MOS_TOLERANCE: f64 = 0.06;

const CODECS: [(&str, Codec, Rate); 3] = [
    ("G.711", PCMU, Rate::Narrow),
    ("G.722", Codec::G722, Rate::Wide),
    ("Opus at 8 kHz", Codec::Opus, Rate::Narrow),
];

const NETWORKS: [(&str, Network); 9] = [
    ("quiet", Network::Quiet),
    ("1 % random loss", Network::Random { percent: 1.0 }),
    ("5 % random loss", Network::Random { percent: 5.0 }),
    ("5 % loss in bursts", Network::Bursts { percent: 5.0 }),
    ("20 % loss in bursts", Network::Bursts { percent: 20.0 }),
    ("Wi-Fi handover every 4 s", Network::Handover),
    ("4G", Network::Mobile),
    ("5 % overtaken", Network::Reordering),
    ("200 ppm of drift", Network::Drift { ppm: 200 }),
];

#[derive(Debug)]
struct Row {
    name: String,
    stoi: f32,
    mos: f64,
    r: f64,
    delay_ms: f64,
    concealed_percent: f64,
    recovered_ms: u128,
}

fn row(codec: (&str, Codec, Rate), network: (&str, Network), seed: u64) -> Row {
    let (codec_name, codec, rate) = codec;
    let speech = phrase_at(rate);
    // A network takes no notice of what is in a packet.
    let unread = packets(codec, rate, &speech, 20, 0);
    let arrivals = arrivals(network.1, &unread, seed);
    let told = reported(&unread, &arrivals);
    let sent = packets_told(codec, rate, &speech, 20, |n| told[n]);
    let heard = play(codec, rate, &sent, &arrivals);
    let alignment = Alignment::of(&speech, &heard.samples, rate);
    let loss = heard.report.loss().unwrap();
    // The first frame is asked for when the clock begins.
    let delay_ms = alignment.mean_ms() + PULL_PHASE_US as f64 / 1_000.0;
    let score = emodel::score(Inputs {
        // And the packet itself, which is full before it leaves.
        one_way: Some(Duration::from_secs_f64((delay_ms + 20.0) / 1_000.0)),
        loss: Some(loss),
        burst_ratio: heard.report.burst_ratio(),
        codec,
    })
    .unwrap();
    Row {
        name: format!("{} | {codec_name}", network.0),
        stoi: stoi(&speech, &heard.samples, rate, &alignment),
        mos: score.mos,
        r: score.r,
        delay_ms: delay_ms - LATENCY_US as f64 / 1_000.0,
        concealed_percent: loss * 100.0,
        recovered_ms: heard.report.recovered.as_millis(),
    }
}

fn rows() -> Vec<Row> {
    NETWORKS
        .iter()
        .enumerate()
        .flat_map(|(n, network)| CODECS.map(|codec| row(codec, *network, 42 + n as u64)))
        .collect()
}

/// The scores as the page has them.
fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        let Row {
            name,
            stoi,
            r,
            mos,
            delay_ms,
            concealed_percent,
            recovered_ms,
        } = row;
        writeln!(
            text,
            "| {name} | {stoi:.3} | {mos:.2} | {r:.0} | {delay_ms:.0} | {concealed_percent:.1} | {recovered_ms} |"
        )
        .unwrap();
    }
    text
}

/// Nothing that is changed in the playout may make it worse to listen to.
#[test]
fn scores_do_not_fall() {
    let rows = rows();
    let table = table(&rows);
    if std::env::var_os("UPDATE_SCORES").is_some() {
        let page = std::fs::read_to_string(PAGE).unwrap();
        let (before, rest) = page.split_once(RULE).unwrap();
        let after = &rest[rest.find("\n\n").unwrap()..];
        let page = format!("{before}{RULE}{}{after}", table.trim_end());
        std::fs::write(PAGE, page).unwrap();
    }
    let kept = std::fs::read_to_string(PAGE).unwrap();
    let mut faults = String::new();
    for row in &rows {
        let line = kept
            .lines()
            .find(|line| line.starts_with(&format!("| {} |", row.name)));
        let cells: Vec<&str> =
            line.map_or(Vec::new(), |line| line.split('|').map(str::trim).collect());
        let [_, _, _, stoi, mos, ..] = cells[..] else {
            writeln!(faults, "no score is kept of {}", row.name).unwrap();
            continue;
        };
        let (stoi, mos): (f32, f64) = (stoi.parse().unwrap(), mos.parse().unwrap());
        if row.stoi < stoi - STOI_TOLERANCE || row.mos < mos - MOS_TOLERANCE {
            writeln!(faults, "{row:?} was {stoi} and {mos}").unwrap();
        }
    }
    assert!(faults.is_empty(), "{faults}\n{table}");
}
