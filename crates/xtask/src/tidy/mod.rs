//! `cargo xtask tidy`: the house rules as a test.
//!
//! Each rule is a function from the text of the project to findings, so that its unit test can show it failing.

mod adr;
mod arrows;
mod code_map;
mod dependencies;
mod evidence;
mod markdown;
mod metrics;
mod purity;
mod ratchet;
mod scenarios;
mod size;
mod source;
mod tree;
mod words;

use std::fmt;
use std::path::Path;

use crate::error::Error;
use tree::Tree;

/// Something that breaks a house rule, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Path from the root.
    pub(crate) file: String,
    /// Line from 1.
    pub(crate) line: usize,
    /// What is wrong, as a sentence.
    pub(crate) sentence: String,
}

impl Finding {
    fn new(file: impl Into<String>, line: usize, sentence: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line,
            sentence: sentence.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.sentence)
    }
}

/// A rule that needs nothing but the text of the project.
type Rule = fn(&Tree) -> Vec<Finding>;

const RULES: [(&str, Rule); 11] = [
    (
        "pure crates see no clock, randomness, socket, thread or file",
        purity::sources,
    ),
    ("only four Markdown files at the root", markdown::at_root),
    (
        "links lead to something, nothing names a machine's own paths",
        markdown::links,
    ),
    ("every scenario says what it promises", scenarios::headers),
    ("metrics in code and docs agree", metrics::agree),
    ("files and functions stay small", size::ratchet),
    ("the code map says what the crates say", code_map::agrees),
    ("every decision record is whole", adr::whole),
    ("what is said to hold is tested", evidence::exists),
    ("every dependency is explained", dependencies::explained),
    (
        "no leftovers, no unsafe code outside its module",
        words::absent,
    ),
];

/// Checks every rule below `root`, prints the findings, and returns how many there are.
pub(crate) fn run(root: &Path) -> Result<usize, Error> {
    let tree = Tree::read(root)?;
    let mut findings = 0;
    for (name, rule) in RULES {
        findings += report(name, rule(&tree));
    }
    findings += report("dependencies point down", arrows::check(root, &tree)?);
    findings += report("pure crates link no runtime", purity::dependencies(root)?);
    Ok(findings)
}

fn report(rule: &str, findings: Vec<Finding>) -> usize {
    println!(
        "{} {rule}",
        if findings.is_empty() { "ok  " } else { "FAIL" }
    );
    for finding in &findings {
        println!("     {finding}");
    }
    findings.len()
}
