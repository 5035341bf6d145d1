//! The pages that say what holds name the test that shows it, and that test is there.

use super::Finding;
use super::source;
use super::tree::{File, Tree};

/// Pages whose tables end in a column of tests.
const PAGES: [&str; 2] = ["docs/conformance.md", "docs/security.md"];

/// Where SIPp scenarios live.
const SCENARIOS: &str = "scenarios/";

/// Who runs them.
const RUNNERS: &str = "interop-tests/";

/// Rule: each row of a table on these pages names at least one test in its last cell, and each test named there exists, is
/// not ignored, and, if it is a scenario, is run by somebody.
pub(crate) fn exists(tree: &Tree) -> Vec<Finding> {
    PAGES
        .iter()
        .flat_map(|page| match tree.text(page) {
            None => vec![Finding::new(
                *page,
                1,
                "is missing: it says what holds, and by which test",
            )],
            Some(text) => faults(tree, page, text),
        })
        .collect()
}

fn faults(tree: &Tree, page: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, cell) in last_cells(text) {
        let mut tests = cell.split('`').skip(1).step_by(2).peekable();
        if tests.peek().is_none() {
            findings.push(Finding::new(page, line, "the row names no test"));
        }
        findings.extend(tests.filter_map(|test| {
            let sentence = fault(tree, test)?;
            Some(Finding::new(page, line, format!("`{test}` {sentence}")))
        }));
    }
    findings
}

/// The last cell of each row of each table, heads apart, with its line.
fn last_cells(text: &str) -> Vec<(usize, &str)> {
    let is_row = |line: &str| line.starts_with('|');
    let is_rule = |line: &str| is_row(line) && line.chars().all(|c| "|-: ".contains(c));
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut cells = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let is_head = lines.get(at + 1).is_some_and(|next| is_rule(next));
        if !is_row(line) || is_rule(line) || is_head {
            continue;
        }
        let cell = line.trim_end_matches('|').rsplit('|').next();
        cells.push((at + 1, cell.unwrap_or_default()));
    }
    cells
}

fn fault(tree: &Tree, test: &str) -> Option<&'static str> {
    if let Some(scenario) = test.strip_suffix(".xml") {
        return scenario_fault(tree, scenario);
    }
    let Some((file, function)) = test.split_once("::") else {
        return Some("is neither `file.rs::test` nor `scenario.xml`");
    };
    let end = format!("/{file}");
    let files: Vec<&File> = tree
        .files
        .iter()
        .filter(|known| known.path.ends_with(&end))
        .collect();
    if files.is_empty() {
        return Some("is in a file that does not exist");
    }
    let mut found = files.iter().filter_map(|file| attributes(file, function));
    match (found.next(), found.next()) {
        (None, _) => Some("is no test of that file"),
        (Some(_), Some(_)) => Some("is a test of several files: name more of the path"),
        (Some(attributes), None) if attributes.contains("ignore") => {
            Some("is ignored, so it shows nothing")
        }
        (Some(_), None) => None,
    }
}

fn scenario_fault(tree: &Tree, scenario: &str) -> Option<&'static str> {
    let path = format!("{SCENARIOS}{scenario}.xml");
    if tree.text(&path).is_none() {
        return Some("is no scenario");
    }
    let quoted = format!("\"{scenario}\"");
    let mut runners = tree.under(RUNNERS, "rs");
    (!runners.any(|file| file.text.contains(&quoted))).then_some("is run by no test")
}

/// What stands between the test attribute and the name of a test function; `None` when there is no such test.
fn attributes(file: &File, function: &str) -> Option<String> {
    let code = source::code_only(&file.text);
    if is_in_both(&code, function) {
        return Some(String::new());
    }
    let name = format!("fn {function}");
    let at = source::find_word(&code, &name).next()?;
    let before = &code[..at];
    // Back to the end of the item before.
    let start = before.rfind(['}', ';', '{']).map_or(0, |end| end + 1);
    let attributes = &before[start..];
    attributes.contains("test").then(|| attributes.to_owned())
}

/// Whether a function is made a test of each browser.
fn is_in_both(code: &str, function: &str) -> bool {
    let lists = code.split("in_both! {").skip(1);
    let mut lists = lists.filter_map(|rest| rest.split('}').next());
    lists.any(|list| list.split(',').any(|name| name.trim() == function))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TESTS: (&str, &str) = (
        "crates/sip/tests/talk.rs",
        "/// A story.\n#[test]\nfn talk_answers() {}\n\n#[tokio::test]\nasync fn hold_holds() {}\n\n\
         #[test]\n#[ignore = \"slow\"]\nfn waits() {}\n\nfn helper() {}\n\n\
         in_both! {\n    /// A story.\n    both_hear,\n}\n\nasync fn both_hear() {}\n",
    );
    const RUNNER: (&str, &str) = ("interop-tests/tests/a.rs", "calling(\"uac-run\")");
    const RUN: (&str, &str) = ("scenarios/uac-run.xml", "<scenario/>");
    const LEFT: (&str, &str) = ("scenarios/uac-left.xml", "<scenario/>");

    fn sentences(rows: &str, more: &[(&str, &str)]) -> Vec<String> {
        let page = format!("# Page\n\n| what | test |\n|---|---|\n{rows}\n");
        let mut files = vec![
            (PAGES[0], page.as_str()),
            (PAGES[1], ""),
            TESTS,
            RUNNER,
            RUN,
            LEFT,
        ];
        files.extend(more);
        let found = exists(&Tree::of(&files));
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn tests_and_scenarios_that_are_there_pass() {
        let rows = "| a | `talk.rs::talk_answers`, `sip/tests/talk.rs::hold_holds`, `talk.rs::both_hear` |\n| b | `uac-run.xml` |";
        assert_eq!(sentences(rows, &[]), [""; 0]);
    }

    #[test]
    fn what_is_not_there_is_found() {
        for (cell, why) in [
            ("", "names no test"),
            ("`talk.rs::talk`", "no test of that file"),
            ("`talk.rs::helper`", "no test of that file"),
            ("`gone.rs::talk_answers`", "does not exist"),
            ("`talk.rs::waits`", "ignored"),
            ("`uac-gone.xml`", "no scenario"),
            ("`uac-left.xml`", "run by no test"),
            ("`talk_answers`", "neither"),
        ] {
            let found = sentences(&format!("| a | {cell} |"), &[]);
            assert_eq!(found.len(), 1, "{cell}: {found:?}");
            assert!(
                found[0].contains(why) && found[0].contains(":5:"),
                "{found:?}"
            );
        }
    }

    #[test]
    fn two_tests_of_one_name_must_be_told_apart() {
        let twin = ("crates/sdp/tests/talk.rs", TESTS.1);
        let found = sentences("| a | `talk.rs::talk_answers` |", &[twin]);
        assert!(found[0].contains("several files"), "{found:?}");
        assert!(sentences("| a | `sdp/tests/talk.rs::talk_answers` |", &[twin]).is_empty());
    }

    #[test]
    fn a_missing_page_is_found() {
        assert_eq!(exists(&Tree::of(&[TESTS])).len(), PAGES.len());
    }
}
