//! What a scenario's script says about its steps, read from its log. `work/lib.sh` writes it.

/// Lines of a failed step that are remembered, the last ones.
const SAID_MAX: usize = 6;

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// As it should.
    Done,
    /// With this status.
    Failed(i32),
    /// It cannot be done here, for this reason.
    Skipped(String),
}

impl Outcome {
    /// Whether both are of one kind.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    pub(super) const fn is_failure(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

/// A step of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) outcome: Outcome,
    /// The end of what was said in it.
    pub(super) said: Vec<String>,
}

/// Reads them from a log. A step that began and did not end has failed with status -1.
pub(super) fn read(log: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in log.lines() {
        let mut words = line.splitn(3, ' ');
        let (mark, name, rest) = (words.next(), words.next(), words.next().unwrap_or_default());
        match (mark, name) {
            (Some("@begin"), Some(name)) => steps.push(Step {
                name: name.to_owned(),
                outcome: Outcome::Failed(-1),
                said: Vec::new(),
            }),
            (Some("@end"), Some(_)) => {
                if let Some(step) = steps.last_mut() {
                    step.outcome = match rest.parse() {
                        Ok(0) => Outcome::Done,
                        Ok(status) => Outcome::Failed(status),
                        Err(_) => Outcome::Skipped(rest.to_owned()),
                    };
                }
            }
            _ => {
                let running = steps.last_mut();
                if let Some(step) = running.filter(|step| step.outcome == Outcome::Failed(-1)) {
                    step.said.push(line.to_owned());
                    if step.said.len() > SAID_MAX {
                        step.said.remove(0);
                    }
                }
            }
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_done_failed_skipped_or_unfinished() {
        let log = "noise\n@begin a\nx\n@end a 0\n@begin b\nno such file\n@end b 2\n\
                   @begin c\n@end c no kernel module\n@begin d\nstill\n";
        let steps = read(log);
        let outcomes: Vec<_> = steps.iter().map(|step| step.outcome.clone()).collect();
        assert_eq!(
            outcomes,
            [
                Outcome::Done,
                Outcome::Failed(2),
                Outcome::Skipped("no kernel module".to_owned()),
                Outcome::Failed(-1)
            ]
        );
        assert_eq!(steps[1].said, ["no such file"]);
    }

    #[test]
    fn only_the_end_of_what_was_said_is_remembered() {
        let log: String = (0..99).map(|number| format!("line {number}\n")).collect();
        let steps = read(&format!("@begin a\n{log}@end a 1\n"));
        assert_eq!(steps[0].said.len(), SAID_MAX);
        assert_eq!(steps[0].said.last().unwrap(), "line 98");
    }
}
