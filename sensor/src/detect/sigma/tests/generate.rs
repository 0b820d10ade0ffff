//! Makes an event that a rule must fire on, from the rule's own detection: for each part of its
//! condition, values that satisfy it. Only used to prove that rules fire.

use regex_syntax::hir::{Class, Hir, HirKind};
use rsigma_eval::matcher::GroupMode;
use rsigma_eval::{CompiledDetection, CompiledMatcher, CompiledRule};
use rsigma_parser::{ConditionExpr, Quantifier};
use serde_json::{Map, Value as Json, json};

use crate::detect::sigma::fields::{Answer, keyword_answers};
use crate::detect::sigma::kind::{Kind, Shape};
use crate::detect::sigma::sample::Sample;
use crate::detect::sigma::view::{Answers, Names};
use crate::event::field::{Field, Type};

/// Ways tried for one rule.
const WAYS_MAX: usize = 48;

/// What a value must be like.
#[derive(Clone, Debug)]
enum Want {
    Whole(String),
    Start(String),
    Inside(String),
    End(String),
}

type Way = Vec<(Answer, Want)>;

/// Events that might make a rule fire, most promising first.
pub(super) fn samples(rule: &CompiledRule, names: &Names, kind: Kind, shape: Shape) -> Vec<Sample> {
    let answers = names.answers(kind, shape);
    let generator = Generator { answers: &answers };
    let mut ways = Vec::new();
    for condition in &rule.conditions {
        ways.extend(generator.condition(condition, rule));
    }
    ways.iter().filter_map(|way| sample(way, kind)).collect()
}

struct Generator<'g> {
    answers: &'g Answers,
}

fn product(parts: impl IntoIterator<Item = Vec<Way>>) -> Vec<Way> {
    let mut ways = vec![Vec::new()];
    for part in parts {
        let mut longer = Vec::new();
        for way in &ways {
            for more in &part {
                let mut both = way.clone();
                both.extend(more.iter().cloned());
                longer.push(both);
            }
        }
        longer.truncate(WAYS_MAX);
        ways = longer;
    }
    ways
}

impl Generator<'_> {
    fn condition(&self, condition: &ConditionExpr, rule: &CompiledRule) -> Vec<Way> {
        match condition {
            ConditionExpr::Identifier(name) => self.detection(&rule.detections[name]),
            ConditionExpr::And(inner) => {
                product(inner.iter().map(|inner| self.condition(inner, rule)))
            }
            ConditionExpr::Or(inner) => inner
                .iter()
                .flat_map(|inner| self.condition(inner, rule))
                .take(WAYS_MAX)
                .collect(),
            ConditionExpr::Not(_) => vec![Vec::new()],
            ConditionExpr::Selector {
                quantifier,
                pattern,
            } => {
                let mut named: Vec<_> = rule
                    .detections
                    .iter()
                    .filter(|(name, _)| pattern.matches_detection_name(name))
                    .collect();
                named.sort_by_key(|(name, _)| name.as_str());
                let ways = named.into_iter().map(|(_, inner)| self.detection(inner));
                match quantifier {
                    Quantifier::Any => ways.flatten().take(WAYS_MAX).collect(),
                    _ => product(ways),
                }
            }
        }
    }

    fn detection(&self, detection: &CompiledDetection) -> Vec<Way> {
        match detection {
            CompiledDetection::AllOf(items) => {
                product(items.iter().map(|item| match &item.field {
                    Some(field) => match self.answers.of(field) {
                        Some(answer) => ways(&item.matcher, answer),
                        None if matches!(item.matcher, CompiledMatcher::Null) => vec![Vec::new()],
                        None if item.exists == Some(false) => vec![Vec::new()],
                        None => Vec::new(),
                    },
                    None => self.keywords(&item.matcher),
                }))
            }
            CompiledDetection::AnyOf(inner) => inner
                .iter()
                .flat_map(|inner| self.detection(inner))
                .take(WAYS_MAX)
                .collect(),
            CompiledDetection::And(inner) => {
                product(inner.iter().map(|inner| self.detection(inner)))
            }
            CompiledDetection::Keywords(matcher) => self.keywords(matcher),
            _ => Vec::new(),
        }
    }

    fn keywords(&self, matcher: &CompiledMatcher) -> Vec<Way> {
        keyword_answers(self.answers.kind, self.answers.shape)
            .into_iter()
            .flat_map(|answer| ways(matcher, answer))
            .collect()
    }
}

fn ways(matcher: &CompiledMatcher, answer: Answer) -> Vec<Way> {
    let one = |want| vec![vec![(answer, want)]];
    // What never changes needs no value.
    if matches!(answer, Answer::Words(_)) {
        return vec![Vec::new()];
    }
    match matcher {
        CompiledMatcher::Exact { value, .. } => one(Want::Whole(value.clone())),
        CompiledMatcher::Contains { value, .. } => one(Want::Inside(value.clone())),
        CompiledMatcher::StartsWith { value, .. } => one(Want::Start(value.clone())),
        CompiledMatcher::EndsWith { value, .. } => one(Want::End(value.clone())),
        CompiledMatcher::AhoCorasickSet { needles, .. } => needles
            .iter()
            .take(4)
            .map(|needle| vec![(answer, Want::Inside(needle.clone()))])
            .collect(),
        CompiledMatcher::Regex(regex) => one(Want::Inside(example(regex.as_str()))),
        CompiledMatcher::RegexSetMatch { set, .. } => set
            .patterns()
            .iter()
            .take(4)
            .map(|pattern| vec![(answer, Want::Inside(example(pattern)))])
            .collect(),
        CompiledMatcher::Cidr(network) => one(Want::Whole(network.addr().to_string())),
        CompiledMatcher::NumericEq(number) => one(Want::Whole(number.to_string())),
        CompiledMatcher::BoolEq(value) => one(Want::Whole(value.to_string())),
        CompiledMatcher::Exists(true) => one(Want::Whole("/x".to_owned())),
        CompiledMatcher::Not(_) | CompiledMatcher::Exists(false) => vec![Vec::new()],
        CompiledMatcher::AnyOf(inner)
        | CompiledMatcher::CaseInsensitiveGroup {
            children: inner,
            mode: GroupMode::Any,
        } => inner
            .iter()
            .take(6)
            .flat_map(|inner| ways(inner, answer))
            .collect(),
        CompiledMatcher::AllOf(inner)
        | CompiledMatcher::CaseInsensitiveGroup {
            children: inner,
            mode: GroupMode::All,
        } => product(inner.iter().map(|inner| ways(inner, answer))),
        _ => Vec::new(),
    }
}

/// A text that a regular expression matches.
fn example(pattern: &str) -> String {
    fn write(hir: &Hir, text: &mut String) {
        match hir.kind() {
            HirKind::Literal(literal) => text.push_str(std::str::from_utf8(&literal.0).unwrap()),
            HirKind::Class(Class::Unicode(class)) => {
                let usual = ['x', '1', ' ', '/'];
                let has = |c: &char| {
                    let mut ranges = class.ranges().iter();
                    ranges.any(|range| (range.start()..=range.end()).contains(c))
                };
                let first = class.ranges().first().map(|range| range.start());
                text.extend(usual.into_iter().find(has).or(first));
            }
            HirKind::Repetition(repetition) => {
                for _ in 0..repetition.min {
                    write(&repetition.sub, text);
                }
            }
            HirKind::Capture(capture) => write(&capture.sub, text),
            HirKind::Concat(parts) => parts.iter().for_each(|part| write(part, text)),
            HirKind::Alternation(branches) => write(&branches[0], text),
            HirKind::Class(_) | HirKind::Empty | HirKind::Look(_) => {}
        }
    }
    let mut text = String::new();
    write(&regex_syntax::parse(pattern).unwrap(), &mut text);
    text
}

fn compose(wants: &[&Want]) -> String {
    for want in wants {
        if let Want::Whole(text) = want {
            return text.clone();
        }
    }
    let (mut start, mut inside, mut end) = (String::new(), Vec::new(), String::new());
    for want in wants {
        match want {
            Want::Start(text) if text.len() > start.len() => start.clone_from(text),
            Want::End(text) if text.len() > end.len() => end.clone_from(text),
            Want::Inside(text) => inside.push(text.as_str()),
            _ => {}
        }
    }
    if inside.is_empty() {
        return format!("{start}{end}");
    }
    format!("{start}{}{end}", inside.join(" "))
}

fn sample(way: &Way, kind: Kind) -> Option<Sample> {
    let mut fields = Map::new();
    let (mut args, mut line): (Vec<String>, Option<String>) = (Vec::new(), None);
    fields.insert("event.dataset".into(), json!(kind.name()));
    let mut answers: Vec<Answer> = way.iter().map(|(answer, _)| *answer).collect();
    answers.sort();
    answers.dedup();
    for answer in answers {
        let wants: Vec<&Want> = way
            .iter()
            .filter(|(of, _)| *of == answer)
            .map(|(_, want)| want)
            .collect();
        let text = compose(&wants);
        let mut set = |field: Field, value: Json| {
            fields.insert(field.definition().name.into(), value);
        };
        match answer {
            Answer::Field(field) => match field.definition().kind {
                Type::Keywords | Type::Ips => set(field, json!([text])),
                _ => set(field, json!(text)),
            },
            Answer::CommandLine => line = Some(text),
            Answer::ParentCommandLine => set(Field::ProcessParentCommandLine, json!(text)),
            Answer::Argument(index) => {
                let index = usize::from(index);
                if args.len() <= index {
                    args.resize(index + 1, String::new());
                }
                args[index] = text;
            }
            Answer::Hashes => set(
                Field::ProcessSha256,
                json!(text.trim_start_matches("sha256=")),
            ),
            Answer::NameType => set(
                Field::EventAction,
                json!(if text == "create" {
                    "file_create"
                } else {
                    "file_open"
                }),
            ),
            Answer::Words(_) => {}
        }
    }
    args.extend(line);
    if !args.is_empty() {
        fields.insert("process.args".into(), json!(args));
    }
    Sample::from_json(Json::Object(fields), 0).ok()
}
