//! The index never hides a match: what rules match through it is what they match when all are
//! tried.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::{corpus, generate, samples};
use crate::detect::sigma::kind::{self, Kind};
use crate::detect::sigma::sample::Sample;
use crate::detect::sigma::{Engine, Kinds, load::Sources};

fn assert_same(engine: &mut Engine, sample: &Sample) {
    let through: BTreeSet<String> = engine
        .evaluate_record(sample)
        .iter()
        .map(|found| found.rule.id.to_string())
        .collect();
    let all: BTreeSet<String> = engine
        .evaluate_all(sample)
        .into_iter()
        .map(str::to_owned)
        .collect();
    assert_eq!(through, all, "{sample:?}");
}

#[test]
fn public_rules_match_the_same_events_with_and_without_the_index() {
    let Some(mut engine) = corpus::engine() else {
        return;
    };
    let mut compared = 0;
    for (_, _, event) in samples() {
        assert_same(&mut engine, &Sample::from_json(event, 0).unwrap());
    }
    for number in 0..engine.rules.len() {
        let compiled = engine.rules[number].compiled.clone();
        for kind in Kind::ALL {
            for shape in kind::shapes(&compiled.logsource) {
                if !kind.shapes().contains(shape) {
                    continue;
                }
                for sample in generate::samples(&compiled, &engine.names, *kind, *shape)
                    .iter()
                    .take(3)
                {
                    assert_same(&mut engine, sample);
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 200, "{compared}");
}

/// Texts that are likely to meet each other.
fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "a", "ab", "b", "/a", "/ab", "/b", "A", "B a", "-a", "\u{212a}", "k", "K", "é", "É", "ß",
        "Σ", "ς", "σ", "aΣ", "",
    ])
    .prop_map(str::to_owned)
}

fn value() -> impl Strategy<Value = String> {
    prop::collection::vec(word(), 0..4).prop_map(|words| words.concat())
}

fn item() -> impl Strategy<Value = serde_json::Value> {
    let field = prop::sample::select(vec![
        "Image",
        "CommandLine",
        "User",
        "process.args",
        "Nobody",
        "sensor.exec.flags",
    ]);
    let modifier = prop::sample::select(vec![
        "",
        "|contains",
        "|startswith",
        "|endswith",
        "|contains|all",
        "|cased",
        "|contains|cased",
        "|re",
        "|re|i",
        "|exists",
        "|neq",
        "|endswith|cased",
    ]);
    (field, modifier, prop::collection::vec(value(), 2..5)).prop_map(
        |(field, modifier, mut values)| {
            if modifier.starts_with("|re") {
                values.retain(|value| !value.is_empty());
                values.push("(a|b+)k?A".to_owned());
            }
            let name = format!("{field}{modifier}");
            if modifier == "|exists" {
                json!({ name: values[0].len() % 2 == 0 })
            } else {
                json!({ name: values })
            }
        },
    )
}

fn rule() -> impl Strategy<Value = String> {
    let condition = prop::sample::select(vec![
        "s1 and s2",
        "s1 or s2",
        "s1 and not s2",
        "1 of s*",
        "all of s*",
        "not s1",
        "s1 and w",
        "s2 or w",
    ]);
    let words = prop::collection::vec(word().prop_filter("empty", |word| !word.is_empty()), 1..3);
    (item(), item(), item(), words, condition).prop_map(|(a, b, c, words, condition)| {
        json!({
            "title": "T", "logsource": {"product": "linux", "category": "process_creation"},
            "detection": {"s1": a, "s2": [b, c], "w": words, "condition": condition},
        })
        .to_string()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_rules_match_the_same_events_with_and_without_the_index(
        rules in prop::collection::vec(rule(), 1..5),
        events in prop::collection::vec((value(), prop::collection::vec(value(), 0..4), value()), 1..8),
    ) {
        let mut sources = Sources::default();
        for (number, rule) in rules.iter().enumerate() {
            // JSON is YAML.
            let text = rule.replacen("\"title\"", &format!("\"id\":\"{number}\",\"title\""), 1);
            sources.add_text(std::path::Path::new("x.yml"), &text);
        }
        let (mut engine, _) = Engine::new(sources, &Kinds::all());
        for (image, args, user) in events {
            let event = json!({
                "event.dataset": "process.exec", "process.executable": image,
                "process.args": args, "process.user.name": user,
                "sensor.exec.flags": ["a", "k"],
            });
            assert_same(&mut engine, &Sample::from_json(event, 0).unwrap());
        }
    }
}
