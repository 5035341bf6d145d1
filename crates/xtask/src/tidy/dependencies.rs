//! Every dependency is used, and has a line that says what it is for.

use super::Finding;
use super::tree::Tree;

const MANIFEST: &str = "Cargo.toml";

const RECORD: &str = "docs/adr/0008-dependencies.md";

/// Rule: the workspace's dependencies and the lines of the decision record are the same set.
pub(crate) fn explained(tree: &Tree) -> Vec<Finding> {
    let declared = declared(tree.text(MANIFEST).unwrap_or_default());
    let Some(record) = tree.text(RECORD) else {
        return vec![Finding::new(
            RECORD,
            1,
            "is missing: it says what each dependency is for",
        )];
    };
    let listed = listed(record);
    let mut findings = Vec::new();
    for (name, line) in &declared {
        if !used(tree, name) {
            findings.push(Finding::new(
                MANIFEST,
                *line,
                format!("no crate uses `{name}`"),
            ));
        }
        if !listed.iter().any(|(listed, _)| listed == name) {
            let sentence = format!("`{name}` has no line in `{RECORD}`: say what it is for");
            findings.push(Finding::new(MANIFEST, *line, sentence));
        }
    }
    for (name, line) in &listed {
        if !declared.iter().any(|(declared, _)| declared == name) {
            findings.push(Finding::new(
                RECORD,
                *line,
                format!("`{name}` is no dependency any more"),
            ));
        }
    }
    findings
}

/// Whether the manifest of some crate takes the dependency.
fn used(tree: &Tree, name: &str) -> bool {
    let manifests = tree
        .files
        .iter()
        .filter(|file| file.path.ends_with("/Cargo.toml"));
    manifests.flat_map(|file| file.text.lines()).any(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with([' ', '.', '=']))
    })
}

/// Names in `[workspace.dependencies]` that are not crates of ours.
fn declared(manifest: &str) -> Vec<(&str, usize)> {
    manifest
        .lines()
        .enumerate()
        .skip_while(|(_, line)| *line != "[workspace.dependencies]")
        .skip(1)
        .take_while(|(_, line)| !line.starts_with('['))
        .filter(|(_, line)| !line.starts_with('#') && !line.contains("path = \""))
        .filter_map(|(at, line)| Some((line.split_once(" = ")?.0, at + 1)))
        .collect()
}

/// Names in the first cells of the record's table. A cell may hold several.
fn listed(record: &str) -> Vec<(&str, usize)> {
    record
        .lines()
        .enumerate()
        .filter(|(_, line)| line.starts_with("| `"))
        .filter_map(|(at, line)| Some((line.split('|').nth(1)?, at + 1)))
        .flat_map(|(cell, line)| {
            cell.split('`')
                .skip(1)
                .step_by(2)
                .map(move |name| (name, line))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unexplained_and_a_forgotten_dependency_are_found() {
        let manifest = "[workspace]\n\n[workspace.dependencies]\n# Ours.\nsip = { path = \"crates/sip\" }\n\naxum = \"0.8\"\nmio = { version = \"1\" }\n\n[profile.dev]\nx = 1\n";
        let record = "| crate | for |\n|---|---|\n| `axum`, `gone` | HTTP, see `other` |\n";
        let member = "[dependencies]\nmio = { workspace = true }\n";
        let tree = Tree::of(&[
            (MANIFEST, manifest),
            ("crates/media/Cargo.toml", member),
            (RECORD, record),
        ]);
        let found: Vec<String> = explained(&tree).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 3);
        assert_eq!(found.first().unwrap(), "Cargo.toml:7: no crate uses `axum`");
        let found = &found[1..];
        assert!(found[0].starts_with("Cargo.toml:8: `mio`"));
        assert!(found[1].contains(":3: `gone`"));
    }
}
