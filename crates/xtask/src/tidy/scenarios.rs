//! A scenario opens with its promise and the rule that it proves.

use super::tree::Tree;
use super::{Finding, markdown};

/// Shorter than this is a title, not a promise.
const PROMISE_CHARACTERS_MIN: usize = 30;

/// The header stands here, so that it is the first thing on the screen.
const HEADER_LINE_MAX: usize = 5;

/// Rule: the first comment of each SIPp file is a promise to the user with its RFC section or anchor in `docs/`.
pub(crate) fn headers(tree: &Tree) -> Vec<Finding> {
    let files = tree.under("scenarios/", "xml");
    files
        .filter_map(|file| {
            let (line, sentence) = fault(tree, &file.text)?;
            Some(Finding::new(&file.path, line, sentence))
        })
        .collect()
}

fn fault(tree: &Tree, text: &str) -> Option<(usize, String)> {
    let Some(start) = text.find("<!--") else {
        return Some((
            1,
            "opens without the comment that says what it promises".to_owned(),
        ));
    };
    let line = text[..start].matches('\n').count() + 1;
    if line > HEADER_LINE_MAX {
        return Some((
            line,
            "the promise must stand at the top of the file".to_owned(),
        ));
    }
    let comment = &text[start + 4..];
    let comment = comment
        .split_once("-->")
        .map_or(comment, |(inside, _)| inside);
    let words = comment.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.chars().count() < PROMISE_CHARACTERS_MIN {
        return Some((
            line,
            "the first comment is no sentence: say what a user can rely on".to_owned(),
        ));
    }
    if cites_rfc(&words) {
        return None;
    }
    let Some((page, anchor)) = cited_page(&words) else {
        let sentence =
            "the first comment cites no source: `RFC nnnn section x` or `docs/page.md#anchor`";
        return Some((line, sentence.to_owned()));
    };
    (!markdown::has_anchor(tree, page, anchor)).then(|| {
        (
            line,
            format!("`{page}#{anchor}` is cited and does not exist"),
        )
    })
}

/// Whether the text has `RFC 3261 section 17.2.1` or the like.
fn cites_rfc(words: &str) -> bool {
    words.match_indices("RFC ").any(|(at, _)| {
        let mut rest = words[at + 4..].split([' ', ',']);
        let number = rest.next().unwrap_or_default();
        let section = rest.next().unwrap_or_default();
        let place = rest.next().unwrap_or_default();
        number.len() == 4
            && number.bytes().all(|b| b.is_ascii_digit())
            && (section == "section" || section == "sections" || section == "appendix")
            && place.starts_with(|c: char| c.is_ascii_alphanumeric())
    })
}

/// The first `docs/page.md#anchor` of the text.
fn cited_page(words: &str) -> Option<(&str, &str)> {
    let start = words.find("docs/")?;
    let rest = &words[start..];
    let end = rest.find([' ', ')', ',', ';']).unwrap_or(rest.len());
    rest[..end].trim_end_matches('.').split_once('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: (&str, &str) = ("docs/talk-and-hold.md", "# Talk\n\n## Talk repeated\n");

    fn sentence(text: &str) -> Option<String> {
        let tree = Tree::of(&[("scenarios/uac-x.xml", text), PAGE]);
        headers(&tree).pop().map(|f| f.sentence)
    }

    #[test]
    fn a_promise_with_its_source_passes() {
        let rfc = "<?xml version=\"1.0\"?>\n<!-- A lost 200 is sent again until the caller confirms it.\n RFC 3261 section 13.3.1.4 -->\n<scenario>";
        assert_eq!(sentence(rfc), None);
        let page = "<!-- An agent keeps one call when talk comes twice (docs/talk-and-hold.md#talk-repeated). --><scenario>";
        assert_eq!(sentence(page), None);
    }

    #[test]
    fn a_scenario_without_promise_or_source_is_found() {
        assert!(
            sentence("<scenario/>")
                .unwrap()
                .contains("without the comment")
        );
        assert!(sentence("<!-- talk -->").unwrap().contains("no sentence"));
        assert!(
            sentence("<!-- A lost 200 is sent again until the caller confirms it. -->")
                .unwrap()
                .contains("no source")
        );
        assert!(
            sentence("<!-- A lost 200 is sent again, see docs/talk-and-hold.md#gone -->")
                .unwrap()
                .contains("does not exist")
        );
        assert!(sentence("<a>\n\n\n\n\n\n<!-- A lost 200 ... RFC 3261 section 13 -->").is_some());
    }
}
