//! Counting test results out of what libtest prints, wherever the tests ran. Nothing here runs
//! a test.

use std::fmt;
use std::ops::AddAssign;
use std::process::ExitCode;

/// How many tests passed, failed and were skipped, and which failed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
    /// Tests of the running binary that skipped themselves, which its result will call passed.
    pending: u64,
    /// Names of tests that failed, with where they did.
    failures: Vec<String>,
}

/// A test that finds out while running that it cannot run here writes a line that starts with
/// this straight to standard output (`io::stdout()`, which libtest does not capture) and returns; libtest then counts it as passed, we do not.
pub(crate) const SKIPPED: &str = "test-skipped: ";

impl Tally {
    /// Takes one line of output into account.
    pub(crate) fn line(&mut self, line: &str) {
        // libtest prints `test name ... ` before the test runs when tests run one at a time, so
        // the mark need not be at the start of the line.
        if line.contains(SKIPPED) {
            self.pending += 1;
        }
        // The heading of what a failed test printed. Not `test name ... FAILED`: what other
        // processes wrote can stand between the two.
        if let Some(name) = line
            .strip_prefix("---- ")
            .and_then(|line| line.strip_suffix(" stdout ----"))
        {
            self.failures.push(name.to_owned());
        }
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        let pending = std::mem::take(&mut self.pending);
        self.skipped += pending;
        let counts = result.split_once(". ").map_or("", |(_, counts)| counts);
        for part in counts.split(';') {
            let Some((number, what)) = part.trim().split_once(' ') else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match what {
                "passed" => self.passed += number.saturating_sub(pending),
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }

    /// One test program ended. Badly, and without having counted a failure since `failed_before`,
    /// is a failure.
    pub(crate) fn ended(&mut self, success: bool, failed_before: u64) {
        self.skipped += std::mem::take(&mut self.pending);
        if !success && self.failed == failed_before {
            self.failed += 1;
        }
    }
}

impl Tally {
    /// Says where these tests ran, for those that failed.
    pub(crate) fn at(mut self, place: &str) -> Self {
        for name in &mut self.failures {
            *name = format!("{place}: {name}");
        }
        self
    }

    /// The names of the failures, then the sum alone on the last line.
    pub(crate) fn print(&self) {
        for name in &self.failures {
            println!("FAILED {name}");
        }
        println!("{self}");
    }

    /// Success unless a test failed.
    pub(crate) fn exit_code(&self) -> ExitCode {
        if self.failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        let Self {
            passed,
            failed,
            skipped,
            pending,
            failures,
        } = other;
        self.passed += passed;
        self.failed += failed;
        self.skipped += skipped;
        self.pending += pending;
        self.failures.extend(failures);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(text: &str) -> Tally {
        let mut tally = Tally::default();
        text.lines().for_each(|line| tally.line(line));
        tally
    }

    #[test]
    fn results_of_several_binaries_add_up() {
        let text = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s\n\
                    noise\n\
                    test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s\n";
        assert_eq!(tally(text).to_string(), "15 passed, 2 failed, 1 skipped");
    }

    #[test]
    fn a_test_that_skips_itself_is_not_passed() {
        let text = "test a ... test-skipped: a: no trampolines\nok\n\
                    test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(tally(text).to_string(), "1 passed, 0 failed, 1 skipped");
    }

    #[test]
    fn failures_are_named_with_their_place() {
        let text =
            "test a ... ok\ntest b::c ... noise\nFAILED\n\nfailures:\n\n---- b::c stdout ----\n";
        assert_eq!(tally(text).at("6.1-on").failures, ["6.1-on: b::c"]);
    }

    #[test]
    fn a_crash_counts_once() {
        let mut tally = Tally::default();
        tally.ended(false, 0);
        assert_eq!(tally.failed, 1);
        tally.ended(false, 0);
        assert_eq!(tally.failed, 1);
    }
}
