//! The tests as published: which there are, in which class, and what each does, with its
//! arguments filled in. How they are run is not known here.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// The name that tests call the place of their files by, and the place.
const PLACE_NAMES: [&str; 2] = ["$PathToAtomicsFolder", "PathToAtomicsFolder"];
pub(super) const PLACE: &str = "/tmp/AtomicRedTeam/atomics";

/// One test.
#[derive(Debug)]
pub(super) struct Test {
    pub(super) technique: String,
    pub(super) number: u32,
    pub(super) name: String,
    /// What the corpus says about how it can be run.
    pub(super) class: String,
    pub(super) shell: String,
    pub(super) is_elevated: bool,
    pub(super) command: String,
    /// What it needs: how to see whether it is there, and how to get it.
    pub(super) needs: Vec<(String, String)>,
}

impl Test {
    pub(super) fn id(&self) -> String {
        format!("{}-{}", self.technique, self.number)
    }

    pub(super) fn is_asked_for(&self, classes: &str, only: &[String]) -> bool {
        if only.is_empty() {
            return self.class.starts_with(|letter| classes.contains(letter));
        }
        only.contains(&self.id()) || only.contains(&self.technique)
    }
}

#[derive(Deserialize)]
struct File {
    atomic_tests: Vec<Published>,
}

#[derive(Deserialize)]
struct Published {
    auto_generated_guid: String,
    #[serde(default)]
    input_arguments: Option<BTreeMap<String, Argument>>,
    #[serde(default)]
    dependencies: Option<Vec<Dependency>>,
    executor: Executor,
}

#[derive(Deserialize)]
struct Argument {
    #[serde(default)]
    default: Option<yaml_serde::Value>,
}

#[derive(Deserialize)]
struct Dependency {
    #[serde(default)]
    prereq_command: Option<String>,
    #[serde(default)]
    get_prereq_command: Option<String>,
}

#[derive(Deserialize)]
struct Executor {
    #[serde(default)]
    command: Option<String>,
}

/// All tests of the list that a shell runs.
pub(super) fn read(directory: &Path) -> Result<Vec<Test>> {
    let list = directory.join("atomics-linux.tsv");
    let list = fs::read_to_string(&list).with_context(|| format!("cannot read {list:?}"))?;
    let mut files: BTreeMap<String, File> = BTreeMap::new();
    let mut tests = Vec::new();
    for line in list.lines().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        let [technique, number, guid, name, shell, elevated, class, ..] = &cells[..] else {
            continue;
        };
        if !matches!(*shell, "sh" | "bash") {
            continue;
        }
        if !files.contains_key(*technique) {
            files.insert((*technique).to_owned(), file(directory, technique)?);
        }
        let published = files.get(*technique).and_then(|file| {
            let mut tests = file.atomic_tests.iter();
            tests.find(|test| test.auto_generated_guid == *guid)
        });
        let published = published.with_context(|| format!("{technique} has no test {guid}"))?;
        tests.push(Test {
            technique: (*technique).to_owned(),
            number: number.parse().context("a test without a number")?,
            name: (*name).to_owned(),
            class: (*class).to_owned(),
            shell: (*shell).to_owned(),
            is_elevated: *elevated == "1",
            command: published.filled(published.executor.command.as_deref().unwrap_or_default()),
            needs: published.needs(),
        });
    }
    Ok(tests)
}

fn file(directory: &Path, technique: &str) -> Result<File> {
    let path = directory.join(technique).join(format!("{technique}.yaml"));
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path:?}"))?;
    yaml_serde::from_str(&text).with_context(|| format!("{path:?} is not a list of tests"))
}

impl Published {
    fn needs(&self) -> Vec<(String, String)> {
        let text = |text: &Option<String>| self.filled(text.as_deref().unwrap_or("true"));
        let needs = self.dependencies.iter().flatten();
        needs
            .map(|need| (text(&need.prereq_command), text(&need.get_prereq_command)))
            .collect()
    }

    /// The text with the arguments' own values, and places as they are in a cage.
    fn filled(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, argument) in self.input_arguments.iter().flatten() {
            let value = match &argument.default {
                Some(yaml_serde::Value::String(value)) => value.clone(),
                Some(yaml_serde::Value::Number(value)) => value.to_string(),
                Some(yaml_serde::Value::Bool(value)) => value.to_string(),
                _ => String::new(),
            };
            text = text.replace(&format!("#{{{name}}}"), &value);
        }
        for name in PLACE_NAMES {
            text = text.replace(name, PLACE);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_and_places_are_filled_in() {
        let published: Published = yaml_serde::from_str(
            "auto_generated_guid: x\n\
             input_arguments: {file: {default: PathToAtomicsFolder/T1/x.c}, count: {default: 3}}\n\
             executor: {command: 'cp #{file} /tmp; seq #{count}'}\n",
        )
        .unwrap();
        let command = published.executor.command.clone().unwrap();
        assert_eq!(
            published.filled(&command),
            "cp /tmp/AtomicRedTeam/atomics/T1/x.c /tmp; seq 3"
        );
    }
}
