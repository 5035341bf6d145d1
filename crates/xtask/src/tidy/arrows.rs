//! Dependencies point down only.

use std::path::Path;

use serde_json::Value;

use super::Finding;
use super::tree::Tree;
use crate::error::Error;
use crate::process;

/// Each crate of ours with the crates of ours that it may use.
const ARROWS: [(&str, &[&str]); 7] = [
    ("sip", &[]),
    ("sdp", &[]),
    ("control", &[]),
    ("media", &["sip", "sdp", "control"]),
    ("switchboard", &["sip", "sdp", "control"]),
    ("sim", &["switchboard", "media", "sip", "sdp", "control"]),
    (
        "gateway",
        &["switchboard", "media", "sip", "sdp", "control"],
    ),
];

/// Crates that stand outside the house and may look into every room. Nobody may depend on them.
const OUTSIDE: [&str; 2] = ["interop-tests", "xtask"];

/// Crates of others that belong to one room: what is shipped may not take them from anywhere else. Tests may.
const ROOMS: [(&str, &[&str]); 6] = [
    ("dimpl", &["media"]),
    ("str0m", &["media"]),
    ("axum", &["gateway", "sim"]),
    ("mio", &[]),
    ("rsip", &["sim"]),
    ("rvoip-sip-core", &[]),
];

/// One declared dependency between two crates of ours.
#[derive(Debug, PartialEq, Eq)]
struct Edge {
    from: String,
    to: String,
}

/// Every declared dependency (normal, build and development) against the allowed arrows.
pub(crate) fn check(root: &Path, tree: &Tree) -> Result<Vec<Finding>, Error> {
    let mut command = process::cargo();
    command
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root);
    let program = process::shown(&command);
    let text = process::read(&mut command)?;
    let metadata: Value = serde_json::from_str(&text).map_err(|error| Error::Output {
        program,
        reason: error.to_string(),
    })?;
    Ok(verdicts(&metadata, tree))
}

fn verdicts(metadata: &Value, tree: &Tree) -> Vec<Finding> {
    let (ours, rooms) = edges(metadata);
    let arrows = ours.iter().filter_map(|edge| Some((edge, judge(edge)?)));
    let rooms = rooms.iter().filter_map(|edge| Some((edge, room(edge)?)));
    arrows
        .chain(rooms)
        .map(|(edge, why)| finding(edge, tree, why))
        .collect()
}

/// Edges of every kind between crates of ours, and the normal ones from ours to others'.
fn edges(metadata: &Value) -> (Vec<Edge>, Vec<Edge>) {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    let packages = list(&metadata["packages"]);
    let names: Vec<String> = packages.iter().map(name).collect();
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    for package in &packages {
        for to in list(&package["dependencies"]) {
            let edge = Edge {
                from: name(package),
                to: name(&to),
            };
            if names.contains(&edge.to) {
                ours.push(edge);
            } else if to["kind"].is_null() {
                others.push(edge);
            }
        }
    }
    (ours, others)
}

/// Why a crate of others may not be taken from here, if so.
fn room(edge: &Edge) -> Option<String> {
    let Edge { from, to } = edge;
    let (_, rooms) = ROOMS.iter().find(|(name, _)| name == to)?;
    let allowed = OUTSIDE.contains(&from.as_str()) || rooms.contains(&from.as_str());
    (!allowed).then(|| format!("`{from}` may not depend on `{to}` outside of its tests"))
}

/// Why an edge is wrong, if it is.
fn judge(edge: &Edge) -> Option<String> {
    let Edge { from, to } = edge;
    if OUTSIDE.contains(&from.as_str()) {
        return None;
    }
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| name == from) else {
        return Some(format!(
            "`{from}` has no place among the arrows: say what it may use"
        ));
    };
    if allowed.contains(&to.as_str()) {
        return None;
    }
    let allowed = if allowed.is_empty() {
        "nothing of ours".to_owned()
    } else {
        allowed.join(", ")
    };
    Some(format!(
        "`{from}` may not depend on `{to}`: it may use {allowed}"
    ))
}

fn finding(edge: &Edge, tree: &Tree, why: String) -> Finding {
    let folder = if OUTSIDE[0] == edge.from {
        String::new()
    } else {
        "crates/".to_owned()
    };
    let file = format!("{folder}{}/Cargo.toml", edge.from);
    let line = tree
        .text(&file)
        .and_then(|text| {
            text.lines()
                .position(|line| line.trim_start().starts_with(&edge.to))
        })
        .map_or(1, |at| at + 1);
    Finding::new(file, line, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn verdict(from: &str, to: &str) -> Option<String> {
        judge(&Edge {
            from: from.to_owned(),
            to: to.to_owned(),
        })
    }

    #[test]
    fn an_arrow_that_points_up_is_found_with_its_line() {
        let metadata = json!({"packages": [
            {"name": "sip", "dependencies": [{"name": "switchboard"}, {"name": "rand"}]},
            {"name": "switchboard", "dependencies": [{"name": "sip"}]},
        ]});
        let tree = Tree::of(&[(
            "crates/sip/Cargo.toml",
            "[dependencies]\nrand = \"1\"\nswitchboard = { workspace = true }\n",
        )]);
        let found: Vec<String> = verdicts(&metadata, &tree)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("crates/sip/Cargo.toml:3: "),
            "{}",
            found[0]
        );
    }

    #[test]
    fn a_crate_of_others_stays_in_its_room() {
        let metadata = json!({"packages": [
            {"name": "media", "dependencies": [{"name": "str0m", "kind": null}]},
            {"name": "gateway", "dependencies": [{"name": "str0m", "kind": "dev"}]},
            {"name": "control", "dependencies": [{"name": "axum", "kind": null}]},
        ]});
        let found = verdicts(&metadata, &Tree::of(&[]));
        assert_eq!(found.len(), 1);
        assert!(
            found[0]
                .sentence
                .contains("`control` may not depend on `axum`")
        );
    }

    #[test]
    fn control_and_data_do_not_know_each_other() {
        assert!(verdict("switchboard", "media").is_some());
        assert!(verdict("media", "switchboard").is_some());
        assert!(verdict("gateway", "media").is_none());
    }

    #[test]
    fn neighbours_and_newcomers_are_refused() {
        assert!(verdict("gateway", "sim").is_some());
        assert!(verdict("sdp", "sip").is_some());
        assert!(verdict("gateway", "xtask").is_some());
        assert!(verdict("brand-new", "sip").is_some());
        assert!(verdict("interop-tests", "gateway").is_none());
    }
}
