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

/// What stands before a metric's name where it is registered.
const REGISTRATION: &str = "register(";

/// Rule: the names registered by the gateway and the names on the page are the same set.
pub(crate) fn agree(tree: &Tree) -> Vec<Finding> {
    let mut code = BTreeMap::new();
    for file in tree.under(DECLARATIONS, "rs") {
        for (name, line) in registered(file) {
            code.entry(name).or_insert((file.path.as_str(), line));
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
    for (name, (file, line)) in &code {
        if !listed.contains_key(name) {
            let sentence = format!("`{name}` is not listed in `{PAGE}`");
            findings.push(Finding::new(*file, *line, sentence));
        }
    }
    for (name, line) in &listed {
        if !code.contains_key(name) {
            let sentence = format!("`{name}` is listed, and nothing registers it");
            findings.push(Finding::new(PAGE, *line, sentence));
        }
    }
    findings
}

/// Names registered in a file, tests apart, each with its line.
fn registered(file: &File) -> Vec<(String, usize)> {
    let (code, _) = source::without_tests(&source::code_only(&file.text));
    source::spans(&file.text)
        .into_iter()
        .filter(|span| span.kind == Kind::Literal)
        .filter(|span| code[..span.range.start].trim_end().ends_with(REGISTRATION))
        .filter_map(|span| {
            let line = source::line_of(&file.text, span.range.start);
            let name = file.text[span.range].trim_matches('"');
            name.starts_with(PREFIX).then(|| (name.to_owned(), line))
        })
        .collect()
}

/// Names on the page: the first cell of each table line, each with its line.
fn listed(page: &str) -> BTreeMap<String, usize> {
    page.lines()
        .enumerate()
        .filter_map(|(at, line)| {
            let name = line.trim_start().strip_prefix("| `")?.split('`').next()?;
            name.starts_with(PREFIX).then(|| (name.to_owned(), at + 1))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = r#"fn a(&mut self) {
    self.register("talkbridge_calls_active", x);
    self.register(
        "talkbridge_talk_total",
        y,
    );
    let n = "talkbridge_catalogued_only";
}
#[cfg(test)]
mod tests { fn t() { r.register("talkbridge_of_a_test", x); } }
"#;

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
