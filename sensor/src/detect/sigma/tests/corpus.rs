//! SigmaHQ's rules for Linux and web servers, where they are at hand: all load, most can fire,
//! and each that can is made to.

use std::collections::BTreeMap;
use std::path::Path;

use super::generate;
use crate::detect::sigma::load::Sources;
use crate::detect::sigma::verdict::Verdict;
use crate::detect::sigma::{Engine, Kinds, kind};

/// Rules there are.
const RULES: usize = 223;
/// Rules that can fire; may only grow.
const FIRING: usize = 194;
/// Rules for which no firing event can be generated, and why.
const NOT_GENERATED: &[(&str, &str)] = &[];

/// The rules, if they are here.
pub(super) fn engine() -> Option<Engine> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora/sigma/rules");
    if !path.is_dir() {
        println!("skipped: {} is not here", path.display());
        return None;
    }
    let mut sources = Sources::default();
    sources.add_path(&path);
    let (engine, problems) = Engine::new(sources, &Kinds::all());
    assert_eq!(problems, []);
    Some(engine)
}

#[test]
fn every_public_rule_loads_and_says_whether_it_can_fire() {
    let Some(engine) = engine() else { return };
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let mut firing = 0;
    for listed in engine.list() {
        match listed.verdict {
            Verdict::Fires(_) => firing += 1,
            Verdict::Never(why) => {
                let reason = format!("{}: {}", why.class.words(), why.words);
                *reasons.entry(reason).or_default() += 1;
            }
        }
    }
    println!("{firing} of {} rules can fire; of the others", engine.len());
    for (reason, count) in &reasons {
        println!("{count:4}  {reason}");
    }
    assert!(engine.len() >= RULES, "{}", engine.len());
    assert!(firing >= FIRING, "{firing}");
}

#[test]
fn every_public_rule_that_can_fire_is_made_to() {
    let Some(mut engine) = engine() else { return };
    let mut failed = Vec::new();
    let mut made = 0;
    for number in 0..engine.rules.len() {
        let rule = &engine.rules[number];
        let id = rule.card.rule.id.to_string();
        let name = rule.card.rule.name.to_string();
        let Verdict::Fires(kinds) = &rule.verdict else {
            continue;
        };
        let compiled = rule.compiled.clone();
        let mut samples = Vec::new();
        for kind in kind::Kind::ALL {
            for shape in kind::shapes(&compiled.logsource) {
                if kinds.contains(&kind.name()) && kind.shapes().contains(shape) {
                    samples.extend(generate::samples(&compiled, &engine.names, *kind, *shape));
                }
            }
        }
        let fires = samples.iter().any(|sample| {
            let matches = engine.evaluate_record(sample);
            matches.iter().any(|found| *found.rule.id == *id)
        });
        if fires {
            made += 1;
        } else if !NOT_GENERATED.iter().any(|(known, _)| *known == id) {
            failed.push(format!("{id} {name}"));
        }
    }
    println!("{made} rules were made to fire by generated events");
    assert_eq!(failed, Vec::<String>::new());
    assert!(made + NOT_GENERATED.len() >= FIRING);
}
