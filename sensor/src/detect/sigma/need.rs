//! What an event must have for a rule to match it, as far as that can be said from the rule
//! alone: literal texts in certain fields, in groups of which each must be met. The answer may
//! ask for too little, never for too much (a property test holds it against rsigma): whether a
//! rule matches is always for rsigma to say. Where a rule can match no event of a kind in a
//! shape, the reasons are kept, for the verdict whether it can fire.

use rsigma_eval::matcher::GroupMode;
use rsigma_eval::{
    CompiledDetection, CompiledDetectionItem, CompiledMatcher, CompiledRule, EventValue,
};
use rsigma_parser::{ConditionExpr, Quantifier};

use super::fields::{Answer, keyword_answers};
use super::literal;
use super::view::{Answers, Names};
use crate::event::field::{Field, Type};

/// Fields that are text in ECS and hold a decimal number.
const NUMBERS: &[Field] = &[
    Field::ProcessUserId,
    Field::ProcessRealUserId,
    Field::ProcessSavedUserId,
    Field::ProcessGroupId,
    Field::ProcessRealGroupId,
    Field::ProcessSavedGroupId,
    Field::SensorAuditUser,
    Field::FileUid,
    Field::FileGid,
];

/// Groups kept for one rule; the best ones.
const GROUPS_MAX: usize = 6;
/// Texts in one group; a larger one is not used.
const ATOMS_MAX: usize = 16_384;

/// Where in a text another must stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// Anywhere.
    Inside,
    /// At its beginning.
    Start,
    /// At its end.
    End,
    /// It is all of it.
    Whole,
}

/// A text that must stand in the value of a field.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Atom {
    /// The field.
    pub answer: Answer,
    /// Where in it.
    pub place: Place,
    /// The text, in lower case; case is not looked at.
    pub text: String,
}

/// Texts of which at least one must be there.
pub type Group = Vec<Atom>;

/// Why a rule cannot match events of a kind in a shape.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// They never have this field.
    Absent(String),
    /// This field is never what the rule asks for.
    Never(String, String),
}

impl Reason {
    /// Whether it is that a record is of another type than the one asked for.
    #[must_use]
    pub fn is_of_type(&self) -> bool {
        matches!(self, Self::Never(field, _) if field == "type")
    }
}

/// What an event must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// One of each group; with no groups, nothing that could be said.
    Groups(Vec<Group>),
    /// What it cannot have.
    Impossible(Vec<Reason>),
}

impl Need {
    const NOTHING: Self = Self::Groups(Vec::new());

    fn atoms(atoms: Vec<Atom>) -> Self {
        let useful = !atoms.is_empty()
            && atoms.len() <= ATOMS_MAX
            && atoms.iter().all(|atom| !atom.text.is_empty());
        if useful {
            Self::Groups(vec![atoms])
        } else {
            Self::NOTHING
        }
    }

    /// All of them.
    fn all(needs: impl IntoIterator<Item = Self>) -> Self {
        let (mut groups, mut impossible) = (Vec::new(), None);
        for need in needs {
            match need {
                Self::Groups(more) => groups.extend(more),
                Self::Impossible(reasons) => {
                    impossible.get_or_insert_with(Vec::new).extend(reasons);
                }
            }
        }
        if let Some(mut reasons) = impossible {
            // Of a record of another type, nothing else is of interest.
            if let Some(of_type) = reasons.iter().position(Reason::is_of_type) {
                reasons = vec![reasons.swap_remove(of_type)];
            }
            return Self::Impossible(reasons);
        }
        groups.sort_by(|a, b| cost(a).total_cmp(&cost(b)));
        groups.dedup();
        groups.truncate(GROUPS_MAX);
        Self::Groups(groups)
    }

    /// One of them: of each, its best group, and these together.
    fn any(needs: impl IntoIterator<Item = Self>) -> Self {
        let (mut atoms, mut reasons) = (Vec::new(), Vec::new());
        let (mut possible, mut unknown) = (Vec::new(), false);
        for need in needs {
            match need {
                Self::Impossible(more) => reasons.extend(more),
                Self::Groups(groups) => {
                    unknown |= groups.is_empty();
                    possible.push(groups);
                }
            }
        }
        if possible.is_empty() {
            reasons.sort();
            reasons.dedup();
            return Self::Impossible(reasons);
        }
        if unknown {
            return Self::NOTHING;
        }
        if possible.len() == 1 {
            return Self::Groups(possible.pop().unwrap_or_default());
        }
        for groups in possible {
            let best = groups
                .into_iter()
                .min_by(|a, b| cost(a).total_cmp(&cost(b)));
            atoms.extend(best.unwrap_or_default());
        }
        atoms.sort();
        atoms.dedup();
        Self::atoms(atoms)
    }
}

/// How many events a group lets pass, roughly: short texts are common, and names of files
/// repeat more than command lines do.
#[must_use]
pub fn cost(group: &Group) -> f64 {
    let of = |atom: &Atom| {
        let common = match atom.place {
            Place::Whole => 0.02,
            Place::Start | Place::End => 0.1,
            Place::Inside => 0.5,
        };
        common * 0.7_f64.powi(i32::try_from(atom.text.len()).unwrap_or(i32::MAX))
    };
    group.iter().map(of).sum()
}

/// What an event must have to match a rule.
#[must_use]
pub fn of_rule(rule: &CompiledRule, answers: &Answers, names: &Names) -> Need {
    let fold = Fold { answers, names };
    Need::any(
        rule.conditions
            .iter()
            .map(|condition| fold.condition(condition, &rule.detections)),
    )
}

type Detections = std::collections::HashMap<String, CompiledDetection>;

struct Fold<'f> {
    answers: &'f Answers,
    names: &'f Names,
}

impl Fold<'_> {
    fn condition(&self, condition: &ConditionExpr, named: &Detections) -> Need {
        match condition {
            ConditionExpr::Identifier(name) => named.get(name).map_or_else(
                || Need::Impossible(vec![]),
                |detection| self.detection(detection),
            ),
            ConditionExpr::And(inner) => {
                Need::all(inner.iter().map(|inner| self.condition(inner, named)))
            }
            ConditionExpr::Or(inner) => {
                Need::any(inner.iter().map(|inner| self.condition(inner, named)))
            }
            ConditionExpr::Not(_) => Need::NOTHING,
            ConditionExpr::Selector {
                quantifier,
                pattern,
            } => {
                let needs = named
                    .iter()
                    .filter(|(name, _)| pattern.matches_detection_name(name))
                    .map(|(_, detection)| self.detection(detection));
                match quantifier {
                    Quantifier::All => Need::all(needs),
                    Quantifier::Count(0) => Need::NOTHING,
                    Quantifier::Any | Quantifier::Count(_) => Need::any(needs),
                }
            }
        }
    }

    fn detection(&self, detection: &CompiledDetection) -> Need {
        match detection {
            CompiledDetection::AllOf(items) => Need::all(items.iter().map(|item| self.item(item))),
            CompiledDetection::AnyOf(inner) => {
                Need::any(inner.iter().map(|inner| self.detection(inner)))
            }
            CompiledDetection::And(inner) => {
                Need::all(inner.iter().map(|inner| self.detection(inner)))
            }
            CompiledDetection::Keywords(matcher) => self.keywords(matcher),
            CompiledDetection::ArrayMatch { .. } | CompiledDetection::Conditional { .. } => {
                Need::NOTHING
            }
        }
    }

    fn item(&self, item: &CompiledDetectionItem) -> Need {
        let Some(field) = &item.field else {
            return self.keywords(&item.matcher);
        };
        let absent = || Need::Impossible(vec![Reason::Absent(self.names.name(field).to_owned())]);
        let Some(answer) = self.answers.of(field) else {
            let matches_absence = match item.exists {
                Some(expected) => !expected,
                None => matches!(item.matcher, CompiledMatcher::Null),
            };
            return if matches_absence {
                Need::NOTHING
            } else {
                absent()
            };
        };
        if item.exists.is_some() {
            return Need::NOTHING;
        }
        match answer {
            Answer::Words(words) => self.fixed(field, &item.matcher, words),
            answer => matcher_need(&item.matcher, &[answer]),
        }
    }

    /// Of a field that is always the same.
    fn fixed(&self, field: &str, matcher: &CompiledMatcher, words: &[&str]) -> Need {
        let nobody = serde_json::Value::Null;
        let event = rsigma_eval::JsonEvent::borrow(&nobody);
        let value = EventValue::Array(
            words
                .iter()
                .map(|word| EventValue::Str((*word).into()))
                .collect(),
        );
        // What refers to other fields cannot be said without an event.
        if refers(matcher) || matcher.matches(&value, &event) {
            return Need::NOTHING;
        }
        let asked = matcher.describe().pattern.unwrap_or_default();
        Need::Impossible(vec![Reason::Never(
            self.names.name(field).to_owned(),
            asked,
        )])
    }

    fn keywords(&self, matcher: &CompiledMatcher) -> Need {
        let answers = keyword_answers(self.answers.kind, self.answers.shape);
        if answers.is_empty() {
            return Need::Impossible(vec![]);
        }
        // Words of a record that never change are not indexed.
        if answers
            .iter()
            .any(|answer| matches!(answer, Answer::Words(_)))
        {
            return Need::NOTHING;
        }
        matcher_need(matcher, &answers)
    }
}

fn refers(matcher: &CompiledMatcher) -> bool {
    match matcher {
        CompiledMatcher::FieldRef { .. } | CompiledMatcher::Expand { .. } => true,
        CompiledMatcher::Not(inner) | CompiledMatcher::TimestampPart { inner, .. } => refers(inner),
        CompiledMatcher::AnyOf(inner)
        | CompiledMatcher::AllOf(inner)
        | CompiledMatcher::CaseInsensitiveGroup {
            children: inner, ..
        } => inner.iter().any(refers),
        _ => false,
    }
}

/// What a value must have, in one of some fields.
fn matcher_need(matcher: &CompiledMatcher, answers: &[Answer]) -> Need {
    let one = |place, text: &str, case_insensitive: bool| {
        // Lower case of a text is not made of the lower cases of its parts in every script.
        if !case_insensitive && !text.is_ascii() {
            return Need::NOTHING;
        }
        Need::atoms(atoms(answers, place, [text]))
    };
    match matcher {
        CompiledMatcher::Exact {
            value,
            case_insensitive,
        } => one(Place::Whole, value, *case_insensitive),
        CompiledMatcher::Contains {
            value,
            case_insensitive,
        } => one(Place::Inside, value, *case_insensitive),
        CompiledMatcher::StartsWith {
            value,
            case_insensitive,
        } => one(Place::Start, value, *case_insensitive),
        CompiledMatcher::EndsWith {
            value,
            case_insensitive,
        } => one(Place::End, value, *case_insensitive),
        CompiledMatcher::AhoCorasickSet {
            needles,
            case_insensitive,
            ..
        } => Need::any(
            needles
                .iter()
                .map(|needle| one(Place::Inside, needle, *case_insensitive)),
        ),
        CompiledMatcher::NumericEq(number) => number_need(*number, answers),
        CompiledMatcher::Regex(regex) => regex_need(regex.as_str(), answers),
        CompiledMatcher::RegexSetMatch { set, mode } => {
            let needs = set
                .patterns()
                .iter()
                .map(|pattern| regex_need(pattern, answers));
            match mode {
                GroupMode::Any => Need::any(needs),
                GroupMode::All => Need::all(needs),
            }
        }
        CompiledMatcher::AnyOf(inner)
        | CompiledMatcher::CaseInsensitiveGroup {
            children: inner,
            mode: GroupMode::Any,
        } => Need::any(inner.iter().map(|inner| matcher_need(inner, answers))),
        CompiledMatcher::AllOf(inner)
        | CompiledMatcher::CaseInsensitiveGroup {
            children: inner,
            mode: GroupMode::All,
        } => Need::all(inner.iter().map(|inner| matcher_need(inner, answers))),
        _ => Need::NOTHING,
    }
}

/// A number, in fields that we always write it in one form to.
fn number_need(number: f64, answers: &[Answer]) -> Need {
    let written = |answer: &Answer| {
        let Answer::Field(field) = answer else {
            return false;
        };
        let definition = field.definition();
        definition.kind == Type::Long || NUMBERS.contains(field)
    };
    if number.fract() != 0.0 || number.abs() > 1e15 || !answers.iter().all(written) {
        return Need::NOTHING;
    }
    let text = format!("{number:.0}");
    Need::atoms(atoms(answers, Place::Whole, [text.as_str()]))
}

fn regex_need(pattern: &str, answers: &[Answer]) -> Need {
    let groups = literal::of_regex(pattern);
    Need::all(groups.into_iter().map(|texts| {
        Need::atoms(atoms(
            answers,
            Place::Inside,
            texts.iter().map(String::as_str),
        ))
    }))
}

fn atoms<'t>(
    answers: &[Answer],
    place: Place,
    texts: impl IntoIterator<Item = &'t str>,
) -> Vec<Atom> {
    let mut atoms = Vec::new();
    for text in texts {
        for answer in answers {
            atoms.push(Atom {
                answer: *answer,
                place,
                text: text.to_lowercase(),
            });
        }
    }
    atoms
}
