//! `cargo xtask bench profile`: what a packet costs in instructions, and where. Callgrind counts them, so the figures do not depend on what else the machine
//! does; it knows neither caches nor the kernel, so they are no times either.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::process;

/// What calls speak.
const CASES: [(&str, &str); 2] = [
    ("relay", "Relayed, PCMU on both sides"),
    ("transcode", "Opus at the page, PCMU at the telephone"),
];

/// What is counted apart: the names of functions of `crates/media/benches/profile.rs`, behind `counted_`.
const WAYS: [(&str, &str); 3] = [
    ("to_agent", "to the agent"),
    ("to_caller", "to the caller"),
    ("clock", "by the clock"),
];

/// Packets a second each way.
const PACKETS_A_SECOND: u64 = 50;

/// Parts of the path of a packet by the files, or else the functions, that an instruction belongs to; the first that fits.
const AREAS: [(&str, &[&str]); 9] = [
    ("cipher (AWS-LC)", &["aws_lc_", "/aws-lc/", "aead_aes_gcm"]),
    (
        "SRTP around it",
        &[
            "aws-lc-rs",
            "aws_lc_rs",
            "media/srtp/",
            "media/browser_leg/secured",
            "media/bridge/secure",
        ],
    ),
    (
        "codecs, playout",
        &[
            "libopus",
            "audiopus",
            "media/codec/",
            "media/playout/",
            "media/conceal",
            "media/pitch",
            "media/g711",
            "media/bridge/transcoder",
            "media/bridge/speech",
        ],
    ),
    (
        "measuring, reports",
        &[
            "media/stats",
            "media/rtcp",
            "media/xr",
            "media/emodel",
            "media/bursts",
            "media/bridge/reports",
            "media/bridge/measured",
            "media/bridge/watch",
        ],
    ),
    (
        "reading, numbering, writing",
        &["media/packet", "media/stream"],
    ),
    (
        "judging, bridging",
        &["media/bridge/", "media/telephone_event", "media/tap"],
    ),
    (
        "finding call and leg, timers",
        &[
            "media/patchbay/",
            "media/hash",
            "hashbrown",
            "media/stun",
            "media/wheel",
        ],
    ),
    (
        "ICE, DTLS",
        &["media/browser_leg/", "str0m", "/is-", "dimpl"],
    ),
    (
        "copying, clearing",
        &["memmove", "memcpy", "memset", "memcmp"],
    ),
];

/// What is in none of them: the driver itself, and a little of the C library.
const OTHER: &str = "other";

/// Counts; `false` never, as there is nothing to fall short of.
pub(super) fn run(root: &Path) -> Result<bool, Error> {
    let Some(valgrind) = process::find("valgrind") else {
        let text = "valgrind is not installed (package valgrind on Debian and Ubuntu)";
        return Err(Error::Missing(text.to_owned()));
    };
    let program = build(root)?;
    for (case, title) in CASES {
        let mut ways = Vec::new();
        for (way, _) in WAYS {
            let out = process::target(root).join(format!("callgrind.{case}.{way}"));
            let mut command = Command::new(&valgrind);
            command
                .args(["--tool=callgrind", "--collect-atstart=no", "--quiet"])
                .arg(format!("--toggle-collect=*counted_{way}*"))
                .arg(format!("--callgrind-out-file={}", out.display()))
                .arg(&program)
                .arg(case);
            let said = process::read(&mut command)?;
            let packets = packets(&said).ok_or_else(|| Error::Output {
                program: process::shown(&command),
                reason: "expected a line with `packets` and how many".to_owned(),
            })?;
            let text = std::fs::read_to_string(&out).map_err(Error::file(&out))?;
            ways.push((packets, by_area(&text)));
        }
        println!("\n{title}, instructions for a packet:\n\n{}", table(&ways));
    }
    Ok(true)
}

/// Builds the driver, and says where it is.
fn build(root: &Path) -> Result<PathBuf, Error> {
    let mut command = process::cargo();
    command
        .args([
            "bench",
            "--no-run",
            "--package",
            "media",
            "--bench",
            "profile",
        ])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(root);
    let messages = process::read(&mut command)?;
    let executable = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_it = message["target"]["name"] == "profile";
        message["executable"]
            .as_str()
            .filter(|_| is_it)
            .map(PathBuf::from)
    };
    messages
        .lines()
        .find_map(executable)
        .ok_or_else(|| Error::Output {
            program: process::shown(&command),
            reason: "expected the path of an executable".to_owned(),
        })
}

fn packets(said: &str) -> Option<u64> {
    let mut words = said.split_whitespace();
    words.find(|word| *word == "packets")?;
    words.next()?.parse().ok()
}

/// Adds the instructions of a file of callgrind up by area (<https://valgrind.org/docs/manual/cl-format.html>). What a function has inlined belongs to the
/// file it was written in; what is written in Rust's own library belongs to the function that uses it.
fn by_area(text: &str) -> BTreeMap<&'static str, u64> {
    let mut names = [HashMap::new(), HashMap::new(), HashMap::new()];
    let (mut file, mut function, mut object) = (String::new(), String::new(), String::new());
    let mut is_call = false;
    let mut sums = BTreeMap::new();
    for line in text.lines() {
        if let Some((key, value)) = line.split_once('=') {
            let kind = match key {
                "fl" | "fi" | "fe" | "cfi" | "cfl" => 0,
                "fn" | "cfn" => 1,
                "ob" | "cob" => 2,
                "calls" => {
                    is_call = true;
                    continue;
                }
                _ => continue,
            };
            let name = name_of(&mut names[kind], value);
            match key {
                "fn" => function = name,
                "ob" => object = name,
                "fl" | "fi" | "fe" => file = name,
                _ => {}
            }
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            // The line behind a call has what it took inside.
            let cost = line
                .split_whitespace()
                .nth(1)
                .and_then(|cost| cost.parse::<u64>().ok());
            if let Some(cost) = cost.filter(|_| !std::mem::take(&mut is_call)) {
                *sums.entry(area(&file, &function, &object)).or_default() += cost;
            }
        }
    }
    sums
}

/// `(12) name` says a name for the first time, `(12)` says it again.
fn name_of(known: &mut HashMap<String, String>, value: &str) -> String {
    let (number, name) = value.split_once(' ').unwrap_or((value, ""));
    if !name.is_empty() {
        known.insert(number.to_owned(), name.to_owned());
    }
    known.get(number).cloned().unwrap_or_default()
}

/// A library that was built without line tables is told by its own file.
fn area(file: &str, function: &str, object: &str) -> &'static str {
    let file = file.replace("/src/", "/");
    let function = function.replace("::", "/");
    let in_library = file.contains("/library/");
    let of = |text: &str| {
        let fits =
            |(_, patterns): &&(&str, &[&str])| patterns.iter().any(|part| text.contains(part));
        AREAS.iter().find(fits).map(|(name, _)| *name)
    };
    let by_file = Some(file)
        .filter(|_| !in_library)
        .and_then(|file| of(&file));
    let by_function = by_file.or_else(|| of(&function));
    by_function.or_else(|| of(object)).unwrap_or(OTHER)
}

fn table(ways: &[(u64, BTreeMap<&'static str, u64>)]) -> String {
    let titles: Vec<&str> = WAYS.iter().map(|(_, title)| *title).collect();
    let mut text = format!(
        "| | {} | of a second of a call, % |\n|---|---|---|---|---|\n",
        titles.join(" | ")
    );
    let sum = |sums: &BTreeMap<&'static str, u64>| sums.values().sum::<u64>();
    let all: u64 = ways.iter().map(|(_, sums)| sum(sums)).sum();
    let mut row = |name: &str, counts: Vec<u64>| {
        let cells: Vec<String> = counts
            .iter()
            .zip(ways)
            .map(|(count, (packets, _))| (count / packets.max(&1)).to_string())
            .collect();
        let share = counts.iter().sum::<u64>() * 100 / all.max(1);
        text += &format!("| {name} | {} | {share} |\n", cells.join(" | "));
    };
    for name in AREAS.iter().map(|(name, _)| *name).chain([OTHER]) {
        let counts = ways
            .iter()
            .map(|(_, sums)| sums.get(name).copied().unwrap_or(0));
        row(name, counts.collect());
    }
    row("together", ways.iter().map(|(_, sums)| sum(sums)).collect());
    let second: u64 = ways
        .iter()
        .map(|(packets, sums)| sum(sums) * PACKETS_A_SECOND / packets.max(&1))
        .sum();
    text + &format!(
        "\n{} thousand instructions for a second of a call.",
        second / 1_000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names are said once; what a call took is not its caller's own; what is inlined belongs where it was written.
    #[test]
    fn instructions_are_added_up_by_area() {
        let text = "events: Ir\n\nfl=(1) /p/crates/media/src/bridge/from_sip.rs\nfn=(1) media::bridge::x\n10 100\nfi=(2) /p/crates/media/src/stats.rs\n\
                    +3 20\nfi=(3) /rustc/0/library/core/src/option.rs\n* 7\nfe=(1)\ncfi=(4) /aws-lc/gcm.c\ncfn=(2) aws_lc_seal\ncalls=1 5\n-2 1000\n\
                    12 1\n\nfl=(4)\nfn=(2)\n5 1000\n";
        let sums = by_area(text);
        assert_eq!(
            sums.into_iter().collect::<Vec<_>>(),
            [
                ("cipher (AWS-LC)", 1_000),
                ("judging, bridging", 108),
                ("measuring, reports", 20)
            ]
        );
        assert_eq!(packets("packets 4000 to_agent 1"), Some(4_000));
    }
}
