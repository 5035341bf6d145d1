//! A file is a sitting, a function a screen; what is bigger is on a list whose numbers only fall.

use super::tree::{File, Tree};
use super::{Finding, ratchet, source};

/// About what a person reads in one sitting.
const FILE_LINES_MAX: usize = 600;

/// Where the lists live.
const LISTS: &str = "crates/xtask/src/tidy/ratchet.rs";

/// Kinds of source that people read and edit.
const EXTENSIONS: [&str; 6] = ["rs", "js", "css", "html", "xml", "toml"];

/// Rule: sizes of files, and functions that ask to be excused from clippy's limit.
pub(crate) fn ratchet(tree: &Tree) -> Vec<Finding> {
    let files: Vec<&File> = EXTENSIONS
        .iter()
        .flat_map(|extension| tree.under("", extension))
        .collect();
    let long: Vec<(&str, usize)> = files
        .iter()
        .map(|file| (file.path.as_str(), file.text.lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES_MAX)
        .collect();
    let mut findings = compare(ratchet::LONG_FILES, &long, "lines", "split it along a noun");
    let excused: Vec<(&str, usize)> = files
        .iter()
        .filter(|file| file.path.ends_with(".rs"))
        .map(|file| (file.path.as_str(), excuses(&file.text)))
        .filter(|(_, count)| *count > 0)
        .collect();
    findings.extend(compare(
        ratchet::LONG_FUNCTIONS,
        &excused,
        "functions over 70 lines",
        "cut them into steps that have names",
    ));
    findings
}

/// How often the code asks clippy to overlook a long function.
fn excuses(text: &str) -> usize {
    source::find_word(&source::code_only(text), "too_many_lines").count()
}

fn compare(
    list: &[(&str, usize)],
    found: &[(&str, usize)],
    what: &str,
    cure: &str,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, size) in found {
        match list.iter().find(|(listed, _)| listed == path) {
            None => findings.push(Finding::new(*path, 1, format!("has {size} {what}: {cure}"))),
            Some((_, most)) if size > most => {
                let sentence = format!("has grown to {size} {what} ({most} before): {cure}");
                findings.push(Finding::new(*path, 1, sentence));
            }
            Some((_, most)) if size < most => {
                let sentence = format!("`{path}` has shrunk to {size} {what}: write that here");
                findings.push(Finding::new(LISTS, 1, sentence));
            }
            Some(_) => {}
        }
    }
    let gone = list
        .iter()
        .filter(|(listed, _)| !found.iter().any(|(path, _)| path == listed));
    findings.extend(gone.map(|(listed, _)| {
        Finding::new(
            LISTS,
            1,
            format!("`{listed}` is within the limit now: take it off the list"),
        )
    }));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_and_an_excused_function_are_found() {
        let long = "// line\n".repeat(FILE_LINES_MAX + 1);
        let tree = Tree::of(&[
            ("crates/a/src/long.rs", long.as_str()),
            (
                "crates/a/src/excused.rs",
                "#[expect(clippy::too_many_lines)]\nfn f() {}\n",
            ),
            ("crates/a/src/fine.rs", "// too_many_lines\n"),
        ]);
        let found: Vec<String> = ratchet(&tree).into_iter().map(|f| f.file).collect();
        assert_eq!(found, ["crates/a/src/long.rs", "crates/a/src/excused.rs"]);
    }

    #[test]
    fn numbers_only_fall() {
        let list = [("a", 700), ("b", 700), ("c", 700), ("gone", 700)];
        let found = [("a", 700), ("b", 701), ("c", 699)];
        let sentences: Vec<String> = compare(&list, &found, "lines", "split")
            .into_iter()
            .map(|f| f.sentence)
            .collect();
        assert_eq!(sentences.len(), 3);
        assert!(sentences[0].contains("grown to 701"));
        assert!(sentences[1].contains("shrunk to 699"));
        assert!(sentences[2].contains("take it off"));
    }
}
