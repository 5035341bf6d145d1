//! Pure crates are told the time and given their randomness; they see no socket, thread, task or file.

use std::path::Path;

use super::Finding;
use super::source;
use super::tree::{File, Tree};
use crate::error::Error;
use crate::process;

/// Crates without I/O, and the part of their sources that is a shell all the same.
const PURE: [(&str, Option<&str>); 6] = [
    ("sip", None),
    ("sdp", None),
    ("media", None),
    ("control", None),
    ("switchboard", None),
    // The model SIP Server is pure; the program that puts it behind sockets lives here.
    ("sim", Some("crates/sim/src/bin/")),
];

/// Words that may not stand in code, with what they bring in.
const WORDS: [(&str, &str); 19] = [
    ("Instant::now", "reads the clock"),
    ("SystemTime", "reads the clock"),
    ("UNIX_EPOCH", "reads the clock"),
    ("thread_rng", "takes randomness from the system"),
    ("rand::rng", "takes randomness from the system"),
    ("rand::random", "takes randomness from the system"),
    ("OsRng", "takes randomness from the system"),
    ("SysRng", "takes randomness from the system"),
    ("from_os_rng", "takes randomness from the system"),
    ("from_entropy", "takes randomness from the system"),
    ("getrandom", "takes randomness from the system"),
    ("tokio", "brings in a task runtime"),
    ("mio", "opens sockets"),
    ("socket2", "opens sockets"),
    ("UdpSocket", "opens sockets"),
    ("TcpStream", "opens sockets"),
    ("TcpListener", "opens sockets"),
    ("thread::spawn", "starts threads"),
    ("thread::sleep", "waits"),
];

/// Words that one file may hold once each, and why.
const EXCUSED: [(&str, &str, &str); 1] = [(
    "crates/sim/src/world/mod.rs",
    "Instant::now",
    "virtual time needs a first instant, and there is no other way to make one; only differences are looked at",
)];

/// Modules of the standard library that a pure crate has no business with.
const MODULES: [(&str, &str); 5] = [
    ("std::thread", "starts threads"),
    ("std::fs", "touches files"),
    ("std::env", "reads the environment"),
    ("std::process", "starts or ends processes"),
    ("std::os", "talks to the system"),
];

/// Crates that mean I/O wherever they appear in the tree of a pure crate.
const RUNTIMES: [&str; 3] = ["tokio", "mio", "socket2"];

/// Rule: the sources of pure crates, tests apart.
pub(crate) fn sources(tree: &Tree) -> Vec<Finding> {
    PURE.iter()
        .flat_map(|(name, shell)| in_crate(tree, name, *shell))
        .collect()
}

fn in_crate(tree: &Tree, name: &str, shell: Option<&str>) -> Vec<Finding> {
    let folder = format!("crates/{name}/src/");
    let files: Vec<&File> = tree
        .under(&folder, "rs")
        .filter(|file| !shell.is_some_and(|shell| file.path.starts_with(shell)))
        .collect();
    let mut parsed = Vec::new();
    let mut tests = Vec::new();
    for file in files {
        let (code, modules) = source::without_tests(&source::code_only(&file.text));
        tests.extend(
            modules
                .into_iter()
                .map(|module| module_path(&file.path, &module)),
        );
        parsed.push((file, code));
    }
    parsed
        .iter()
        .filter(|(file, _)| !tests.iter().any(|test| is_module(&file.path, test)))
        .flat_map(|(file, code)| in_code(file, code, name))
        .collect()
}

/// Where `mod name;` in `file` lives, without `.rs`.
fn module_path(file: &str, name: &str) -> String {
    let stem = file.strip_suffix(".rs").unwrap_or(file);
    let (folder, last) = stem.rsplit_once('/').unwrap_or(("", stem));
    if ["lib", "mod", "main"].contains(&last) {
        format!("{folder}/{name}")
    } else {
        format!("{stem}/{name}")
    }
}

fn is_module(file: &str, module: &str) -> bool {
    file.strip_prefix(module)
        .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

fn in_code(file: &File, code: &str, name: &str) -> Vec<Finding> {
    let mut hits: Vec<(usize, &str, &str)> = Vec::new();
    for (word, why) in WORDS {
        hits.extend(source::find_word(code, word).map(|at| (at, word, why)));
    }
    let imports = source::used_paths(code);
    for (module, why) in MODULES {
        hits.extend(source::find_word(code, module).map(|at| (at, module, why)));
        let grouped = imports.iter().filter(|(at, path)| {
            path.strip_prefix(module)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
                && !code[*at..].starts_with(&format!("use {module}"))
        });
        hits.extend(grouped.map(|(at, _)| (*at, module, why)));
    }
    for (path, word, _why) in EXCUSED {
        if let Some(at) = hits
            .iter()
            .position(|hit| path == file.path && hit.1 == word)
        {
            hits.remove(at);
        }
    }
    hits.into_iter()
        .map(|(at, word, why)| {
            let sentence = format!("`{word}` {why}, and `{name}` is a pure crate");
            Finding::new(&file.path, source::line_of(code, at), sentence)
        })
        .collect()
}

/// Rule: what the pure crates link.
pub(crate) fn dependencies(root: &Path) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    for (name, shell) in PURE {
        let mut command = process::cargo();
        command.args([
            "tree",
            "--package",
            name,
            "--edges",
            "normal",
            "--prefix",
            "none",
        ]);
        if shell.is_some() {
            // The library alone: its program needs sockets, and asks for them by a feature.
            command.arg("--no-default-features");
        }
        let text = process::read(command.current_dir(root))?;
        findings.extend(runtimes(name, &text));
    }
    Ok(findings)
}

fn runtimes(name: &str, tree: &str) -> Vec<Finding> {
    RUNTIMES
        .iter()
        .filter(|runtime| tree.lines().any(|line| line.split(' ').next() == Some(**runtime)))
        .map(|runtime| {
            let sentence = format!(
                "`{name}` is a pure crate and links `{runtime}` (see `cargo tree -p {name} -e normal -i {runtime}`)"
            );
            Finding::new(format!("crates/{name}/Cargo.toml"), 1, sentence)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(files: &[(&str, &str)]) -> Vec<(String, usize)> {
        sources(&Tree::of(files))
            .into_iter()
            .map(|f| (f.file, f.line))
            .collect()
    }

    #[test]
    fn a_clock_in_a_machine_is_found() {
        let text = "//! Instant::now is not read here.\nfn f() {\n    let t = Instant::now();\n}\n";
        assert_eq!(
            lines(&[("crates/sip/src/a.rs", text)]),
            [("crates/sip/src/a.rs".to_owned(), 3)]
        );
    }

    #[test]
    fn grouped_imports_do_not_hide_a_thread() {
        let text = "use std::{\n    fmt,\n    thread,\n};\n";
        assert_eq!(lines(&[("crates/media/src/a.rs", text)]).len(), 1);
        let plain = "use std::thread;\nuse std::os::fd::AsFd;\n";
        assert_eq!(lines(&[("crates/media/src/a.rs", plain)]).len(), 2);
    }

    #[test]
    fn randomness_sockets_and_tasks_are_found() {
        for bad in [
            "let r = rand::rng();",
            "UdpSocket::bind(x);",
            "tokio::spawn(f);",
            "OsRng.next_u32();",
        ] {
            assert_eq!(
                lines(&[("crates/switchboard/src/a.rs", bad)]).len(),
                1,
                "{bad}"
            );
        }
    }

    #[test]
    fn tests_and_the_shell_of_the_simulator_may() {
        let inline = "fn f() {}\n#[cfg(test)]\nmod tests {\n    fn g() { Instant::now(); }\n}\n";
        assert!(lines(&[("crates/sip/src/a.rs", inline)]).is_empty());
        let files = [
            ("crates/sip/src/lib.rs", "#[cfg(test)]\nmod harness;\n"),
            ("crates/sip/src/harness.rs", "fn g() { Instant::now(); }"),
            (
                "crates/sip/src/harness/deep.rs",
                "fn g() { Instant::now(); }",
            ),
            (
                "crates/sim/src/bin/tserver-sim/main.rs",
                "fn main() { tokio::spawn(x) }",
            ),
            ("crates/gateway/src/lib.rs", "fn main() { tokio::spawn(x) }"),
        ];
        assert!(lines(&files).is_empty());
    }

    #[test]
    fn an_excuse_is_good_for_one_place() {
        let (path, word, _) = EXCUSED[0];
        let once = format!("fn f() {{ {word}(); }}");
        assert!(lines(&[(path, once.as_str())]).is_empty());
        let twice = format!("{once}\n{once}");
        assert_eq!(lines(&[(path, twice.as_str())]).len(), 1);
    }

    #[test]
    fn a_linked_runtime_is_found() {
        let tree = "sip v0.1.0 (/x/crates/sip)\nrand_core v0.10.1\ntokio v1.54.1\n";
        assert_eq!(runtimes("sip", tree).len(), 1);
        assert!(runtimes("sip", "sip v0.1.0\ntokio-util-like v1\n").is_empty());
    }
}
