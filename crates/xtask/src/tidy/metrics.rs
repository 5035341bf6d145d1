//! Every metric is documented, and every documented metric exists.

use std::collections::BTreeMap;

use super::Finding;
use super::source::{self, Kind};
use super::tree::{File, Tree};

/// The page with one line per metric: ``| `talkbridge_x` | type | labels | meaning |``.
const PAGE: &str = "docs/metrics.md";

/// Where metrics are declared.
const DECLARATIONS: &str = "crates/gateway/src/metrics";

const PREFIX: &str = "talkbridge_";

/// Calls whose first string literal is a metric's name without its prefix.
const REGISTRATIONS: [&str; 1] = ["register"];

/// Rule: the names registered by the gateway and the names on the page are the same set.
pub(crate) fn agree(tree: &Tree) -> Vec<Finding> {
    let mut code = BTreeMap::new();
    for file in tree.under(DECLARATIONS, "rs") {
        for (name, line) in declared(file) {
            code.entry(family(&name))
                .or_insert((name, file.path.as_str(), line));
        }
    }
    if code.is_empty() {
        return vec![Finding::new(
            format!("{DECLARATIONS}.rs"),
            1,
            "declares no metric",
        )];
    }
    let Some(page) = tree.text(PAGE) else {
        return vec![Finding::new(PAGE, 1, "is missing: it lists every metric")];
    };
    let listed = listed(page);
    let mut findings = Vec::new();
    for (family, (name, file, line)) in &code {
        if !listed.contains_key(family) {
            findings.push(Finding::new(
                *file,
                *line,
                format!("`{name}` is not listed in `{PAGE}`"),
            ));
        }
    }
    for (family, (name, line)) in &listed {
        if !code.contains_key(family) {
            findings.push(Finding::new(
                PAGE,
                *line,
                format!("`{name}` is listed and does not exist"),
            ));
        }
    }
    findings
}

/// A name without what the text format appends to a counter by itself.
fn family(name: &str) -> String {
    name.strip_suffix("_total").unwrap_or(name).to_owned()
}

/// Names declared in a file, tests apart, each with its line.
fn declared(file: &File) -> Vec<(String, usize)> {
    let code = source::code_only(&file.text);
    let (tests, _) = source::test_items(&code);
    let mut names = Vec::new();
    for span in source::spans(&file.text) {
        let start = span.range.start;
        if span.kind != Kind::Literal || tests.iter().any(|test| test.contains(&start)) {
            continue;
        }
        let quoted = file.text[span.range]
            .strip_prefix('"')
            .and_then(|l| l.strip_suffix('"'));
        let Some(literal) = quoted.filter(|literal| is_name(literal)) else {
            continue;
        };
        let before = code[..start].trim_end();
        let registered = before
            .strip_suffix('(')
            .is_some_and(|call| REGISTRATIONS.iter().any(|name| call.ends_with(name)));
        let name = match literal.strip_prefix(PREFIX) {
            Some(rest) if !rest.is_empty() => literal.to_owned(),
            None if registered => format!("{PREFIX}{literal}"),
            _ => continue,
        };
        names.push((name, source::line_of(&file.text, start)));
    }
    names
}

fn is_name(literal: &str) -> bool {
    !literal.is_empty()
        && literal
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Names on the page: the first cell of each table line, each with its line.
fn listed(page: &str) -> BTreeMap<String, (String, usize)> {
    page.lines()
        .enumerate()
        .filter_map(|(at, line)| {
            let name = line.trim_start().strip_prefix("| `")?.split('`').next()?;
            name.starts_with(PREFIX)
                .then(|| (family(name), (name.to_owned(), at + 1)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "fn a(r: &mut Registry) {\n    r.register(\n        \"calls_active\", \"Calls\", x);\n    let n = \"talkbridge_talk_total\";\n    let label = \"state\";\n}\n";

    fn sentences(page: &str) -> Vec<String> {
        let tree = Tree::of(&[("crates/gateway/src/metrics.rs", CODE), (PAGE, page)]);
        agree(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_same_names_pass() {
        let page = "| `talkbridge_calls_active` | gauge |\n| `talkbridge_talk_total` | counter |\n";
        assert!(sentences(page).is_empty());
    }

    #[test]
    fn an_unlisted_and_an_invented_metric_are_found() {
        let found =
            sentences("| `talkbridge_calls_active` | gauge |\n| `talkbridge_gone` | gauge |\n");
        assert_eq!(found.len(), 2);
        assert!(found[0].contains("metrics.rs:4") && found[0].contains("talkbridge_talk_total"));
        assert!(found[1].contains("metrics.md:2") && found[1].contains("talkbridge_gone"));
    }

    #[test]
    fn code_that_declares_nothing_is_found() {
        let tree = Tree::of(&[("crates/gateway/src/metrics.rs", "fn f() {}"), (PAGE, "")]);
        assert_eq!(agree(&tree).len(), 1);
    }
}
