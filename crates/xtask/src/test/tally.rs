//! Counting: what a step proved, and reading the summaries of the test runners.

/// What a step counted. A step that is no test suite counts as one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// What a reader must know: skipped parts with the reason, causes of failure.
    pub(crate) notes: Vec<String>,
}

impl Tally {
    /// A step that is no suite, and held.
    pub(crate) fn success() -> Self {
        Self {
            passed: 1,
            ..Self::default()
        }
    }

    /// A step that is no suite, and failed.
    pub(crate) fn failure(note: impl Into<String>) -> Self {
        Self {
            failed: 1,
            notes: vec![note.into()],
            ..Self::default()
        }
    }

    pub(crate) fn with_note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    pub(crate) fn counts(&self) -> String {
        format!("{} passed, {} failed", self.passed, self.failed)
    }

    /// Adds up what the runners reported. A run that failed without a failed test (it did not
    /// compile, or crashed) counts as one failure, and so does a run without any test.
    pub(crate) fn of_suite(lines: &[String], succeeded: bool) -> Self {
        let mut tally = Self::default();
        for line in lines {
            let line = plain(line);
            if let Some((passed, failed)) = nextest(&line).or_else(|| libtest(&line)) {
                tally.passed += passed;
                tally.failed += failed;
            }
            tally.notes.extend(flaky(&line));
        }
        if !succeeded && tally.failed == 0 {
            tally.failed = 1;
            tally
                .notes
                .push("ended with an error and no failed test: see above".to_owned());
        }
        if succeeded && tally.passed == 0 {
            tally.failed = 1;
            tally.notes.push("no test ran".to_owned());
        }
        tally
    }
}

/// A line without the terminal's colour codes.
fn plain(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        out.push_str(before);
        rest = after.split_once('m').map_or("", |(_, tail)| tail);
    }
    out + rest
}

/// `Summary [   1.2s] 9 tests run: 7 passed (1 slow), 1 failed, 1 timed out, 2 skipped`
fn nextest(line: &str) -> Option<(u64, u64)> {
    let (_, counts) = line
        .trim_start()
        .strip_prefix("Summary [")?
        .split_once(" run: ")?;
    let bad = ["failed", "timed out", "exec failed"];
    let mut passed = 0;
    let mut failed = 0;
    for part in counts.split(", ") {
        let Some((number, word)) = part.split_once(' ') else {
            continue;
        };
        let Ok(number) = number.parse::<u64>() else {
            continue;
        };
        let word = word.split(" (").next().unwrap_or_default();
        if word == "passed" {
            passed += number;
        } else if bad.contains(&word) {
            failed += number;
        }
    }
    Some((passed, failed))
}

/// `FLAKY 2/2 [   0.010s] (3/9) interop-tests::headless hosts::name`, which nextest says again at its end: a test that passed at its second try.
fn flaky(line: &str) -> Option<String> {
    let rest = line.trim_start().strip_prefix("FLAKY ")?;
    let (_, name) = rest.split_once(']')?;
    let mut words = name.split_whitespace().rev();
    let (test, program) = (words.next()?, words.next()?);
    Some(format!("passed at a second try only: {program} {test}"))
}

/// `test result: FAILED. 5 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s`
fn libtest(line: &str) -> Option<(u64, u64)> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let number = |word: &str| {
        counts
            .split("; ")
            .find_map(|part| part.strip_suffix(word)?.trim().parse::<u64>().ok())
            .unwrap_or_default()
    };
    Some((number("passed"), number("failed")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn nextest_summaries_are_read() {
        let text = "\u{1b}[32;1m     Summary\u{1b}[0m [   1.234s] 12 tests run: 9 passed (1 slow, 1 flaky), 2 failed, 1 timed out, 3 skipped";
        let tally = Tally::of_suite(&lines(text), false);
        assert_eq!((tally.passed, tally.failed), (9, 3));
    }

    #[test]
    fn a_test_that_needed_its_second_try_is_named() {
        let text = "  TRY 2 PASS [   0.4s] x::headless hosts::one\n     Summary [   1.2s] 9 tests run: 9 passed (1 flaky), 0 skipped\n   FLAKY 2/2 [   0.4s] ( 3/9) x::headless hosts::one";
        let tally = Tally::of_suite(&lines(text), true);
        let note = "passed at a second try only: x::headless hosts::one";
        assert_eq!((tally.passed, tally.notes), (9, vec![note.to_owned()]));
    }

    #[test]
    fn a_cancelled_run_is_read() {
        let text = "     Summary [   0.1s] 5/12 tests run: 4 passed, 1 failed, 0 skipped";
        assert_eq!(Tally::of_suite(&lines(text), false).failed, 1);
    }

    #[test]
    fn libtest_summaries_add_up() {
        let text = "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\nnoise\ntest result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        let tally = Tally::of_suite(&lines(text), false);
        assert_eq!((tally.passed, tally.failed), (7, 3));
    }

    #[test]
    fn a_run_that_did_not_compile_is_a_failure() {
        let tally = Tally::of_suite(&lines("error[E0425]: cannot find value"), false);
        assert_eq!((tally.passed, tally.failed), (0, 1));
    }

    #[test]
    fn a_run_without_tests_is_a_failure() {
        assert_eq!(Tally::of_suite(&[], true).failed, 1);
    }
}
