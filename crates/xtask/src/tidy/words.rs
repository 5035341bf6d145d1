//! Words that may not stay in the tree.

use super::Finding;
use super::source::{self, Kind};
use super::tree::{File, Tree};

/// Notes to oneself: they belong into an issue.
const LEFTOVERS: [&str; 2] = ["TODO", "FIXME"];

/// The one module that may hold `unsafe` code: batched socket calls of the media worker.
const UNSAFE: &str = "crates/gateway/src/edge/media_worker";

/// Rule: no leftovers in any text, and `unsafe` in its one module only.
pub(crate) fn absent(tree: &Tree) -> Vec<Finding> {
    tree.files
        .iter()
        .flat_map(|file| leftovers(file).into_iter().chain(unsafe_code(file)))
        .collect()
}

fn leftovers(file: &File) -> Vec<Finding> {
    let is_rust = file.path.ends_with(".rs");
    let mut findings = Vec::new();
    for word in LEFTOVERS {
        for at in source::find_word(&file.text, word) {
            // This rule and its tests must be able to spell the words: they are string literals here.
            if is_rust && kind_at(&file.text, at) == Some(Kind::Literal) {
                continue;
            }
            let sentence = format!("`{word}` is a note to oneself: do it now, or open an issue");
            findings.push(Finding::new(
                &file.path,
                source::line_of(&file.text, at),
                sentence,
            ));
        }
    }
    findings
}

fn kind_at(text: &str, offset: usize) -> Option<Kind> {
    source::spans(text)
        .into_iter()
        .find(|span| span.range.contains(&offset))
        .map(|span| span.kind)
}

fn unsafe_code(file: &File) -> Vec<Finding> {
    if !file.path.ends_with(".rs") || file.path.starts_with(UNSAFE) {
        return Vec::new();
    }
    let code = source::code_only(&file.text);
    source::find_word(&code, "unsafe")
        .map(|at| {
            let sentence = format!("`unsafe` is allowed in `{UNSAFE}` only");
            Finding::new(&file.path, source::line_of(&code, at), sentence)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        absent(&Tree::of(&[(path, text)]))
            .into_iter()
            .map(|f| f.line)
            .collect()
    }

    #[test]
    fn a_note_to_oneself_is_found() {
        assert_eq!(
            lines("crates/a/src/a.rs", "fn f() {}\n// TODO: later\n"),
            [2]
        );
        assert_eq!(lines("scenarios/a.xml", "<!-- FIXME -->"), [1]);
        assert!(lines("crates/a/src/a.rs", "let word = \"TODO\";").is_empty());
    }

    #[test]
    fn unsafe_code_outside_its_module_is_found() {
        assert_eq!(
            lines("crates/sip/src/a.rs", "fn f() {\n    unsafe { g() }\n}"),
            [2]
        );
        assert!(
            lines(
                "crates/gateway/src/edge/media_worker/io.rs",
                "unsafe { g() }"
            )
            .is_empty()
        );
        assert!(lines("crates/sip/src/a.rs", "#![forbid(unsafe_code)] // unsafe").is_empty());
    }
}
