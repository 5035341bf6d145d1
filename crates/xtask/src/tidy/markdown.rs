//! Markdown has its place, and what it points at exists.

use super::Finding;
use super::tree::{File, Tree};

/// What a visitor finds at the root. Anything else is a page of `docs/`.
const AT_ROOT: [&str; 4] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
];

/// Beginnings of paths that exist on somebody's machine only.
const FOREIGN: [&str; 6] = [
    "/home/",
    "/root/",
    "/work/",
    "/Users/",
    "/farm/",
    "C:\\Users",
];

/// Rule: no fifth Markdown file at the root.
pub(crate) fn at_root(tree: &Tree) -> Vec<Finding> {
    tree.paths
        .iter()
        .filter(|path| !path.contains('/') && path.to_lowercase().ends_with(".md"))
        .filter(|path| !AT_ROOT.contains(&path.as_str()))
        .map(|path| {
            Finding::new(
                path,
                1,
                format!(
                    "belongs into `docs/`: the root holds {} only",
                    AT_ROOT.join(", ")
                ),
            )
        })
        .collect()
}

/// Rule: relative links and paths in code spans lead to a file of the project, and no page names a path of somebody's machine.
pub(crate) fn links(tree: &Tree) -> Vec<Finding> {
    let pages = tree.files.iter().filter(|file| file.path.ends_with(".md"));
    pages
        .flat_map(|page| broken(tree, page).into_iter().chain(foreign(page)))
        .collect()
}

fn foreign(page: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, text) in numbered(&page.text) {
        for prefix in FOREIGN.iter().filter(|prefix| text.contains(**prefix)) {
            let sentence = format!("`{prefix}` is a path outside the project");
            findings.push(Finding::new(&page.path, line, sentence));
        }
    }
    findings
}

fn broken(tree: &Tree, page: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, text) in numbered(&page.text) {
        for target in targets(text) {
            if let Some(sentence) = why_broken(tree, &page.path, target) {
                findings.push(Finding::new(&page.path, line, sentence));
            }
        }
        for path in paths(text).filter(|path| !leads_somewhere(tree, path)) {
            let sentence = format!("`{path}` is no file of the project");
            findings.push(Finding::new(&page.path, line, sentence));
        }
    }
    findings
}

/// What looks like a path from the root in the code spans of a line, up to the name of a test.
fn paths(line: &str) -> impl Iterator<Item = &str> {
    let spans = line.split('`').skip(1).step_by(2);
    let words = spans.filter(|span| span.contains('/') && !span.contains([' ', '<', '{', '"']));
    words.map(|word| word.split([':', '#']).next().unwrap_or(word))
}

/// Whether there is a file or a folder at a path, where its first folder is one of the project's; `*` stands for anything.
fn leads_somewhere(tree: &Tree, path: &str) -> bool {
    let path = path.trim_end_matches('/');
    let (top, _) = path.split_once('/').unwrap_or((path, ""));
    let below = |known: &&String, folder: &str| known.starts_with(&format!("{folder}/"));
    if top.is_empty() || !tree.paths.iter().any(|known| below(&known, top)) {
        return true;
    }
    let (head, tail) = path.split_once('*').unwrap_or((path, ""));
    let mut known = tree.paths.iter();
    match path.contains('*') {
        true => known.any(|known| known.starts_with(head) && known.ends_with(tail)),
        false => known.any(|known| known == path || below(&known, path)),
    }
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(at, line)| (at + 1, line))
}

/// The `target` of each `[text](target)` in a line, code spans apart.
fn targets(line: &str) -> Vec<&str> {
    let outside = line.split('`').step_by(2);
    outside
        .flat_map(|text| text.split("](").skip(1))
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
        .collect()
}

fn why_broken(tree: &Tree, page: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target
        .split_once('#')
        .map_or((target, None), |(p, a)| (p, Some(a)));
    let Some(path) = resolve(page, path) else {
        return Some(format!("the link `{target}` leaves the project"));
    };
    let folder = format!("{path}/");
    if !tree.paths.contains(&path) && !tree.paths.iter().any(|p| p.starts_with(&folder)) {
        return Some(format!("the link `{target}` leads to no file"));
    }
    let anchor = anchor.filter(|_| path.ends_with(".md"))?;
    (!has_anchor(tree, &path, anchor))
        .then(|| format!("`{path}` has no heading for the anchor `#{anchor}`"))
}

/// A link's path from the root; `None` when it climbs out.
fn resolve(page: &str, link: &str) -> Option<String> {
    if link.is_empty() {
        return Some(page.to_owned());
    }
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in link.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Whether a page has a heading (or an explicit `<a id>`) for this anchor.
pub(crate) fn has_anchor(tree: &Tree, page: &str, anchor: &str) -> bool {
    tree.text(page).is_some_and(|text| {
        text.contains(&format!("id=\"{anchor}\""))
            || text
                .lines()
                .filter(|line| line.starts_with('#'))
                .any(|line| slug(line) == anchor)
    })
}

/// The anchor that a forge makes of a heading.
fn slug(heading: &str) -> String {
    heading
        .trim_start_matches('#')
        .trim()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => c.to_lowercase().next(),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_page_at_the_root_is_found() {
        let tree = Tree::of(&[("README.md", ""), ("NOTES.md", ""), ("docs/notes.md", "")]);
        let found: Vec<String> = at_root(&tree).into_iter().map(|f| f.file).collect();
        assert_eq!(found, ["NOTES.md"]);
    }

    #[test]
    fn dead_links_and_dead_anchors_are_found() {
        let text = "[a](b.md) [b](../README.md#top-things) [c](gone.md)\n[d](../README.md#gone) [e](../../x)\n[f](https://example.org/x) `[g](h)`";
        let tree = Tree::of(&[
            ("docs/a.md", text),
            ("docs/b.md", ""),
            ("README.md", "## Top, things"),
        ]);
        let lines: Vec<usize> = links(&tree).into_iter().map(|f| f.line).collect();
        assert_eq!(lines, [1, 2, 2]);
    }

    #[test]
    fn dead_paths_in_code_spans_are_found() {
        let text = "`src/a.rs` `src/` `src/*.rs::test` `src/a.rs::test`\n`src/b.rs`\n`src/*.xml`\n`GET /x` `text/plain` `/api/x`";
        let tree = Tree::of(&[("docs/a.md", text), ("src/a.rs", "")]);
        let lines: Vec<usize> = links(&tree).into_iter().map(|f| f.line).collect();
        assert_eq!(lines, [2, 3]);
    }

    #[test]
    fn paths_of_a_machine_are_found() {
        let tree = Tree::of(&[("docs/a.md", "fine\nsee /home/somebody/notes\n")]);
        assert_eq!(links(&tree).len(), 1);
    }
}
