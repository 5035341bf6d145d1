//! Rust source seen as code, comments and literals, so that a word in prose is not mistaken for code.

use std::ops::Range;

/// What a stretch of source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Anything the compiler reads as tokens.
    Code,
    /// A line or block comment, documentation included.
    Comment,
    /// A string or character literal with its quotes.
    Literal,
}

/// One stretch of source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) kind: Kind,
    pub(crate) range: Range<usize>,
}

/// Cuts source into spans that cover it without gaps.
pub(crate) fn spans(text: &str) -> Vec<Span> {
    let bytes = text.as_bytes();
    let mut spans: Vec<Span> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (kind, end) = next(text, at);
        match spans.last_mut() {
            Some(last) if last.kind == Kind::Code && kind == Kind::Code => last.range.end = end,
            _ => spans.push(Span {
                kind,
                range: at..end,
            }),
        }
        at = end;
    }
    spans
}

/// Kind and end of what begins at `at`. Code advances by one character or one identifier.
fn next(text: &str, at: usize) -> (Kind, usize) {
    let bytes = text.as_bytes();
    let rest = &bytes[at..];
    match bytes[at] {
        b'/' if rest.starts_with(b"//") => (Kind::Comment, line_end(bytes, at)),
        b'/' if rest.starts_with(b"/*") => (Kind::Comment, block_comment_end(bytes, at)),
        b'"' => (Kind::Literal, string_end(bytes, at)),
        b'\'' => match char_end(text, at) {
            Some(end) => (Kind::Literal, end),
            None => (Kind::Code, at + 1),
        },
        byte if is_word(byte) => {
            let end = word_end(bytes, at);
            match raw_string_end(bytes, at, end) {
                Some(end) => (Kind::Literal, end),
                None => (Kind::Code, end),
            }
        }
        _ => (Kind::Code, at + 1),
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

fn word_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..]
        .iter()
        .position(|b| !is_word(*b))
        .map_or(bytes.len(), |n| at + n)
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..]
        .iter()
        .position(|b| *b == b'\n')
        .map_or(bytes.len(), |n| at + n)
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_usize);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], quote: usize) -> usize {
    let mut at = quote + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// End of `'x'`, `'\n'`, `'\u{1}'`; `None` for a lifetime.
fn char_end(text: &str, quote: usize) -> Option<usize> {
    let rest = text.get(quote + 1..)?;
    let mut characters = rest.char_indices();
    let (_, first) = characters.next()?;
    if first == '\\' {
        return rest.get(2..)?.find('\'').map(|n| quote + 1 + 2 + n + 1);
    }
    let (at, second) = characters.next()?;
    (second == '\'').then_some(quote + 1 + at + 1)
}

/// End of `r"…"`, `br#"…"#`, `b"…"`, `c"…"` when the word before the quote is such a prefix.
fn raw_string_end(bytes: &[u8], start: usize, word_end: usize) -> Option<usize> {
    match &bytes[start..word_end] {
        b"b" | b"c" if bytes.get(word_end) == Some(&b'"') => Some(string_end(bytes, word_end)),
        b"r" | b"br" | b"cr" => {
            let hashes = bytes[word_end..].iter().take_while(|b| **b == b'#').count();
            let quote = word_end + hashes;
            if bytes.get(quote) != Some(&b'"') {
                return None;
            }
            let mut close = vec![b'"'];
            close.resize(hashes + 1, b'#');
            let body = &bytes[quote + 1..];
            let found = body.windows(close.len()).position(|window| window == close);
            Some(found.map_or(bytes.len(), |n| quote + 1 + n + close.len()))
        }
        _ => None,
    }
}

/// The source with comments and literals blanked; offsets and lines stay.
pub(crate) fn code_only(text: &str) -> String {
    blank(
        text,
        spans(text)
            .into_iter()
            .filter(|s| s.kind != Kind::Code)
            .map(|s| s.range),
    )
}

fn blank(text: &str, ranges: impl Iterator<Item = Range<usize>>) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for byte in ranges.flat_map(|range| range.into_iter()) {
        if bytes[byte] != b'\n' {
            bytes[byte] = b' ';
        }
    }
    String::from_utf8(bytes).expect("whole characters are replaced by ASCII spaces")
}

/// The `#[cfg(test)]` items of code (as from [`code_only`]), and the names of test modules that live in files of their own.
pub(crate) fn test_items(code: &str) -> (Vec<Range<usize>>, Vec<String>) {
    let mut items = Vec::new();
    let mut modules = Vec::new();
    for (start, attribute) in code.match_indices("#[cfg(test)]") {
        let mut at = start + attribute.len();
        let item = loop {
            let rest = code[at..].trim_start();
            at = code.len() - rest.len();
            if !rest.starts_with("#[") {
                break rest;
            }
            at += rest.find(']').map_or(rest.len(), |n| n + 1);
        };
        let declaration = item.strip_prefix("mod ").and_then(|m| m.split_once(';'));
        if let Some((name, _)) = declaration.filter(|(name, _)| !name.contains('{')) {
            modules.push(name.trim().to_owned());
        }
        items.push(start..at + item_len(item));
    }
    (items, modules)
}

/// Code without its `#[cfg(test)]` items; offsets and lines stay.
pub(crate) fn without_tests(code: &str) -> (String, Vec<String>) {
    let (items, modules) = test_items(code);
    (blank(code, items.into_iter()), modules)
}

/// Length of an item: to its `;`, or to the brace that closes its body.
fn item_len(item: &str) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in item.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth <= 1 => return at + 1,
            b'}' => depth -= 1,
            b';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    item.len()
}

/// Offsets at which `word` stands alone (not inside a longer identifier). A word may be a path such as `Instant::now`.
pub(crate) fn find_word<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = code.as_bytes();
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| {
            let before = at.checked_sub(1).map(|n| bytes[n]);
            let after = bytes.get(at + word.len()).copied();
            !before.is_some_and(is_word) && !after.is_some_and(is_word)
        })
}

/// Every path that `use` declarations bring in, groups expanded, with the offset of the declaration.
pub(crate) fn used_paths(code: &str) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    for at in find_word(code, "use") {
        let Some(length) = code[at..].find(';') else {
            continue;
        };
        let tree: String = code[at + 3..at + length].split_whitespace().collect();
        expand("", &tree, &mut |path| paths.push((at, path)));
    }
    paths
}

fn expand(prefix: &str, tree: &str, found: &mut impl FnMut(String)) {
    for branch in split_top(tree) {
        match branch.split_once('{') {
            Some((head, group)) if group.ends_with('}') => {
                expand(&format!("{prefix}{head}"), &group[..group.len() - 1], found);
            }
            _ if !branch.is_empty() => found(format!("{prefix}{branch}")),
            _ => {}
        }
    }
}

fn split_top(tree: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, byte) in tree.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                parts.push(&tree[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&tree[start..]);
    parts
}

/// The line (from 1) of an offset.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset]
        .iter()
        .filter(|b| **b == b'\n')
        .count()
        + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_not_code() {
        let text = r##"let a = "Instant::now"; // Instant::now
/* Instant::now /* nested */ */ let b = r#"a "quoted" tokio"#; let c = '"'; fn f<'a>() { tokio() }"##;
        let code = code_only(text);
        assert_eq!(find_word(&code, "Instant::now").count(), 0);
        assert_eq!(find_word(&code, "tokio").count(), 1);
        assert_eq!(code.len(), text.len());
    }

    #[test]
    fn a_lifetime_does_not_open_a_character() {
        let code = code_only("fn f<'a>(x: &'a str) -> char { '\\'' } // tail 'x");
        assert!(code.contains("fn f<'a>(x: &'a str)"));
        assert!(!code.contains("tail"));
    }

    #[test]
    fn test_items_are_cut_out() {
        let code = "fn a() {}\n#[cfg(test)]\n#[allow(x)]\nmod tests { fn b() { {} } }\n#[cfg(test)]\nmod far;\nfn c() {}";
        let (rest, modules) = without_tests(code);
        assert!(rest.contains("fn a()") && rest.contains("fn c()") && !rest.contains("fn b()"));
        assert_eq!(modules, ["far"]);
    }

    #[test]
    fn grouped_imports_are_expanded() {
        let paths: Vec<String> =
            used_paths("use std::{fs, net::{IpAddr, UdpSocket}, thread as t};\nuse rand::rng;")
                .into_iter()
                .map(|(_, path)| path)
                .collect();
        assert_eq!(
            paths,
            [
                "std::fs",
                "std::net::IpAddr",
                "std::net::UdpSocket",
                "std::threadast",
                "rand::rng"
            ]
        );
    }

    #[test]
    fn words_do_not_match_inside_words() {
        assert_eq!(find_word("unsafe_code unsafe { }", "unsafe").count(), 1);
    }
}
