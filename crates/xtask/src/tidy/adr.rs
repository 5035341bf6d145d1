//! A decision record is a page with five parts.

use super::Finding;
use super::tree::{File, Tree};

const FOLDER: &str = "docs/adr/";

const PARTS: [&str; 5] = [
    "Status",
    "Context",
    "Choice",
    "Price",
    "What would change our mind",
];

const STATES: [&str; 3] = ["accepted", "proposed", "superseded"];

/// Rule: every record has all parts, a known status, a number of its own and a title with that number.
pub(crate) fn whole(tree: &Tree) -> Vec<Finding> {
    let records: Vec<&File> = tree.under(FOLDER, "md").collect();
    let mut findings = Vec::new();
    for (at, record) in records.iter().enumerate() {
        findings.extend(faults(record));
        if at > 0 && number(records[at - 1]) == number(record) {
            findings.push(Finding::new(
                &record.path,
                1,
                "has the number of another record",
            ));
        }
    }
    findings
}

fn number(record: &File) -> &str {
    record
        .path
        .strip_prefix(FOLDER)
        .and_then(|name| name.split('-').next())
        .unwrap_or_default()
}

fn faults(record: &File) -> Vec<Finding> {
    let number = number(record);
    let mut sentences = Vec::new();
    if number.len() != 4 || !number.bytes().all(|b| b.is_ascii_digit()) {
        sentences.push("is not named `NNNN-what-was-decided.md`".to_owned());
    }
    if !record.text.starts_with(&format!("# {number}. ")) {
        sentences.push(format!("does not open with the title `# {number}. …`"));
    }
    for part in PARTS {
        match body(&record.text, part) {
            None => sentences.push(format!("has no part `## {part}`")),
            Some("") => sentences.push(format!("says nothing under `## {part}`")),
            Some(text)
                if part == "Status"
                    && !STATES.iter().any(|s| text.to_lowercase().starts_with(s)) =>
            {
                sentences.push(format!(
                    "has a status that is none of: {}",
                    STATES.join(", ")
                ));
            }
            Some(_) => {}
        }
    }
    sentences
        .into_iter()
        .map(|sentence| Finding::new(&record.path, 1, sentence))
        .collect()
}

/// What stands under a heading of the second level.
fn body<'a>(text: &'a str, part: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("\n## {part}\n"))?;
    Some(rest.split("\n## ").next().unwrap_or_default().trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "# 0001. Own wire\n\n## Status\n\nAccepted.\n\n## Context\n\na\n\n## Choice\n\nb\n\n## Price\n\nc\n\n## What would change our mind\n\nd\n";

    fn sentences(path: &str, text: &str) -> Vec<String> {
        whole(&Tree::of(&[(path, text)]))
            .into_iter()
            .map(|f| f.sentence)
            .collect()
    }

    #[test]
    fn a_whole_record_passes() {
        assert!(sentences("docs/adr/0001-own-wire.md", WHOLE).is_empty());
    }

    #[test]
    fn a_record_with_a_part_missing_is_found() {
        let partless = WHOLE.replace("## Price\n\nc\n\n", "");
        assert_eq!(
            sentences("docs/adr/0001-own-wire.md", &partless),
            ["has no part `## Price`"]
        );
        let empty = WHOLE.replace("\n\nc\n", "\n");
        assert_eq!(sentences("docs/adr/0001-own-wire.md", &empty).len(), 1);
        let vague = WHOLE.replace("Accepted.", "Perhaps.");
        assert_eq!(sentences("docs/adr/0001-own-wire.md", &vague).len(), 1);
    }

    #[test]
    fn a_wrong_number_is_found() {
        assert_eq!(sentences("docs/adr/0002-own-wire.md", WHOLE).len(), 1);
        let twice = Tree::of(&[("docs/adr/0001-a.md", WHOLE), ("docs/adr/0001-b.md", WHOLE)]);
        assert_eq!(whole(&twice).len(), 1);
    }
}
