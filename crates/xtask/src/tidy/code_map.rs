//! ARCHITECTURE.md's code map and the crates' own first lines are one text.

use super::Finding;
use super::tree::Tree;

const MAP: &str = "ARCHITECTURE.md";

/// Rule: the first documentation line of each crate stands in its line of the code map.
pub(crate) fn agrees(tree: &Tree) -> Vec<Finding> {
    let Some(map) = tree.text(MAP) else {
        return vec![Finding::new(MAP, 1, "is missing: the code map lives here")];
    };
    crates(tree)
        .iter()
        .filter_map(|folder| fault(tree, map, folder))
        .collect()
}

/// Folders that hold a package, fuzz targets apart.
fn crates(tree: &Tree) -> Vec<&str> {
    let manifests = tree
        .paths
        .iter()
        .filter_map(|path| path.strip_suffix("/Cargo.toml"));
    manifests.filter(|folder| *folder != "fuzz").collect()
}

fn fault(tree: &Tree, map: &str, folder: &str) -> Option<Finding> {
    let roots = ["lib.rs", "main.rs"].map(|file| format!("{folder}/src/{file}"));
    let Some((file, text)) = roots.iter().find_map(|file| Some((file, tree.text(file)?))) else {
        return Some(Finding::new(
            folder,
            1,
            "has neither src/lib.rs nor src/main.rs",
        ));
    };
    let Some(doc) = text
        .lines()
        .find_map(|line| line.strip_prefix("//! "))
        .map(str::trim)
    else {
        return Some(Finding::new(
            file,
            1,
            "does not say what the crate is (`//! …`)",
        ));
    };
    let name = format!("`{folder}`");
    match map
        .lines()
        .enumerate()
        .find(|(_, line)| line.contains(&name) && line.starts_with('|'))
    {
        None => Some(Finding::new(
            MAP,
            1,
            format!("the code map has no line for {name}"),
        )),
        Some((_, line)) if line.contains(doc) => None,
        Some((at, _)) => Some(Finding::new(
            MAP,
            at + 1,
            format!("the line of {name} differs from its crate, which says: {doc}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(map: &str, lib: &str) -> Vec<String> {
        let tree = Tree::of(&[
            ("ARCHITECTURE.md", map),
            ("crates/sip/Cargo.toml", ""),
            ("crates/sip/src/lib.rs", lib),
        ]);
        agrees(&tree).into_iter().map(|f| f.sentence).collect()
    }

    #[test]
    fn the_map_and_the_crate_agree() {
        assert!(
            sentences(
                "| `crates/sip` | SIP as a pure machine. |",
                "//! SIP as a pure machine.\n"
            )
            .is_empty()
        );
    }

    #[test]
    fn a_stale_a_missing_and_a_silent_line_are_found() {
        assert_eq!(
            sentences("| `crates/sip` | Old words. |", "//! New words.\n").len(),
            1
        );
        assert_eq!(sentences("nothing", "//! New words.\n").len(), 1);
        assert_eq!(
            sentences("| `crates/sip` | New words. |", "fn f() {}\n").len(),
            1
        );
    }
}
