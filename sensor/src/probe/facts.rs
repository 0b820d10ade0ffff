//! Finds every kernel fact the programs need (`sensor_common::facts`) in the kernel's BTF.
//! What a fact means is not known here.

use std::collections::BTreeMap;

use sensor_common::facts::{Facts, MISSING, TABLE};
use thiserror::Error;
use zerocopy::FromBytes;

use super::btf::Btf;

/// Why the facts cannot be had.
#[derive(Debug, Error)]
pub enum FactsError {
    /// Members that no program can do without.
    #[error(
        "this kernel's types lack {}; the sensor cannot read tasks or files on it. \
         Please report this with the output of `uname -a`",
        missing.join(", ")
    )]
    Missing {
        /// Names of the facts and the queries tried.
        missing: Vec<String>,
    },
    /// The user and group ids in `struct cred` are not in the order relied upon.
    #[error("struct cred is laid out differently from every kernel known: ids are not in a row")]
    CredentialLayout,
}

/// The facts of the running kernel, by name as well as in the form the programs take.
#[derive(Debug)]
pub struct KernelFacts {
    words: Vec<u32>,
}

impl KernelFacts {
    /// Looks all of them up.
    ///
    /// # Errors
    /// When a required one is missing.
    pub fn resolve(btf: &Btf) -> Result<Self, FactsError> {
        let mut words = Vec::with_capacity(TABLE.len());
        let mut missing = Vec::new();
        for fact in TABLE {
            let found = fact
                .queries
                .iter()
                .find_map(|query| btf.resolve(query).ok());
            if found.is_none() && fact.required {
                missing.push(format!("{} ({})", fact.name, fact.queries.join(" or ")));
            }
            words.push(found.unwrap_or(MISSING));
        }
        if !missing.is_empty() {
            return Err(FactsError::Missing { missing });
        }
        let facts = Self { words };
        facts.check_credentials()?;
        Ok(facts)
    }

    /// The programs read six or eight ids at once, so they have to stand in a row.
    fn check_credentials(&self) -> Result<(), FactsError> {
        let first = self.get("cred_uid");
        let in_a_row = [("cred_egid", 5), ("cred_fsgid", 7)]
            .into_iter()
            .all(|(name, place)| self.get(name).checked_sub(place * 4) == Some(first));
        if in_a_row {
            Ok(())
        } else {
            Err(FactsError::CredentialLayout)
        }
    }

    /// One fact by name, [`MISSING`] when unknown.
    #[must_use]
    pub fn get(&self, name: &str) -> u32 {
        TABLE
            .iter()
            .zip(&self.words)
            .find(|(fact, _)| fact.name == name)
            .map_or(MISSING, |(_, word)| *word)
    }

    /// All facts with their values, for `doctor`.
    #[must_use]
    pub fn by_name(&self) -> BTreeMap<&'static str, Option<u32>> {
        TABLE
            .iter()
            .zip(&self.words)
            .map(|(fact, word)| (fact.name, (*word != MISSING).then_some(*word)))
            .collect()
    }

    /// The form the programs take.
    #[must_use]
    pub fn to_programs(&self) -> Facts {
        let bytes: Vec<u8> = self
            .words
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .collect();
        Facts::read_from_bytes(&bytes).unwrap_or(Facts::UNKNOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_has_every_required_fact() {
        let Ok(btf) = Btf::load("/sys/kernel/btf/vmlinux") else {
            eprintln!("skipped: this kernel has no BTF");
            return;
        };
        let facts = KernelFacts::resolve(&btf).unwrap();
        assert_eq!(facts.to_programs().task_pid, facts.get("task_pid"));
        assert_eq!(facts.get("no such fact"), MISSING);
    }
}
