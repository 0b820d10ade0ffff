//! An event in the shape a rule expects it in, as rsigma wants to see events. Names of fields in
//! compiled rules are replaced by tokens, so that looking one up is an index and not a search.

use std::borrow::Cow;
use std::collections::HashMap;

use rsigma_eval::matcher::ExpandPart;
use rsigma_eval::{CompiledDetection, CompiledMatcher, CompiledRule, EventValue};
use serde_json::Value as Json;

use super::fields::{self, Answer};
use super::kind::{Kind, Shape};
use super::record::{Record, visit_texts};

/// First character of the private plane that tokens are taken from.
const TOKENS: u32 = 0xf_0000;
/// Different names that rules may use together; further ones are looked up by name.
const NAMES_MAX: usize = 0x8000;

/// The names of fields that the loaded rules use.
#[derive(Debug, Default)]
pub struct Names {
    ids: HashMap<String, u16>,
    list: Vec<String>,
}

impl Names {
    /// The token that stands for a name.
    fn token(&mut self, name: &str) -> Option<String> {
        let id = match self.ids.get(name) {
            Some(id) => *id,
            None => {
                let id = u16::try_from(self.list.len()).ok()?;
                if self.list.len() >= NAMES_MAX {
                    return None;
                }
                self.ids.insert(name.to_owned(), id);
                self.list.push(name.to_owned());
                id
            }
        };
        char::from_u32(TOKENS + u32::from(id)).map(String::from)
    }

    /// Which name a token stands for.
    fn id(token: &str) -> Option<usize> {
        // U+F0000 and on are F3 B0 80 80 and on.
        if token.len() != 4 || token.as_bytes().first() != Some(&0xf3) {
            return None;
        }
        let number = u32::from(token.chars().next()?).checked_sub(TOKENS)?;
        usize::try_from(number).ok()
    }

    /// The name itself, whether it is given as a token or not.
    #[must_use]
    pub fn name<'a>(&'a self, token: &'a str) -> &'a str {
        Self::id(token)
            .and_then(|id| self.list.get(id))
            .map_or(token, String::as_str)
    }

    /// How each name is answered by events of a kind in a shape.
    #[must_use]
    pub fn answers(&self, kind: Kind, shape: Shape) -> Answers {
        let list = self
            .list
            .iter()
            .map(|name| fields::answer(kind, shape, name))
            .collect();
        Answers { kind, shape, list }
    }

    /// Puts tokens in the place of the names in a rule.
    pub fn tokenize(&mut self, rule: &mut CompiledRule) {
        for detection in rule.detections.values_mut() {
            self.tokenize_detection(detection);
        }
    }

    fn tokenize_detection(&mut self, detection: &mut CompiledDetection) {
        match detection {
            CompiledDetection::AllOf(items) => {
                for item in items {
                    match &mut item.field {
                        Some(field) => self.replace(field),
                        None => loosen(&mut item.matcher),
                    }
                    self.tokenize_matcher(&mut item.matcher);
                }
            }
            CompiledDetection::AnyOf(inner) | CompiledDetection::And(inner) => {
                for detection in inner {
                    self.tokenize_detection(detection);
                }
            }
            // What stands inside is about members of the list, not about the event.
            CompiledDetection::ArrayMatch { field, .. } => self.replace(field),
            CompiledDetection::Conditional { named, .. } => {
                for detection in named.values_mut() {
                    self.tokenize_detection(detection);
                }
            }
            CompiledDetection::Keywords(_) => {}
        }
    }

    fn tokenize_matcher(&mut self, matcher: &mut CompiledMatcher) {
        match matcher {
            CompiledMatcher::FieldRef { field, .. } => self.replace(field),
            CompiledMatcher::Expand { template, .. } => {
                for part in template {
                    if let ExpandPart::Placeholder(field) = part {
                        self.replace(field);
                    }
                }
            }
            CompiledMatcher::Not(inner) | CompiledMatcher::TimestampPart { inner, .. } => {
                self.tokenize_matcher(inner);
            }
            CompiledMatcher::AnyOf(inner)
            | CompiledMatcher::AllOf(inner)
            | CompiledMatcher::CaseInsensitiveGroup {
                children: inner, ..
            } => {
                for matcher in inner {
                    self.tokenize_matcher(matcher);
                }
            }
            _ => {}
        }
    }

    fn replace(&mut self, name: &mut String) {
        if Self::id(name).is_none()
            && let Some(token) = self.token(name)
        {
            *name = token;
        }
    }
}

/// Makes keywords match anywhere in a text, as Sigma has it: rsigma 0.23 compiles those under
/// `'|all'` to match whole texts only.
fn loosen(matcher: &mut CompiledMatcher) {
    match matcher {
        CompiledMatcher::Exact {
            value,
            case_insensitive,
        } => {
            *matcher = CompiledMatcher::Contains {
                value: std::mem::take(value),
                case_insensitive: *case_insensitive,
            };
        }
        CompiledMatcher::AnyOf(inner)
        | CompiledMatcher::AllOf(inner)
        | CompiledMatcher::CaseInsensitiveGroup {
            children: inner, ..
        } => inner.iter_mut().for_each(loosen),
        _ => {}
    }
}

/// How the names that rules use are answered by events of one kind in one shape.
#[derive(Debug)]
pub struct Answers {
    /// The kind.
    pub kind: Kind,
    /// The shape.
    pub shape: Shape,
    list: Vec<Option<Answer>>,
}

impl Answers {
    /// How a field of a rule is answered; `None` when such events never have it.
    #[must_use]
    pub fn of(&self, field: &str) -> Option<Answer> {
        match Names::id(field) {
            Some(id) => self.list.get(id).copied().flatten(),
            None => fields::answer(self.kind, self.shape, field),
        }
    }
}

/// An event in a shape.
pub struct View<'v, R> {
    /// The event.
    pub record: &'v R,
    /// How fields are answered.
    pub answers: &'v Answers,
}

impl<R: Record> rsigma_eval::Event for View<'_, R> {
    fn get_field(&self, path: &str) -> Option<EventValue<'_>> {
        self.record.answer(self.answers.of(path)?)
    }

    fn any_string_value(&self, pred: &dyn Fn(&str) -> bool) -> bool {
        let mut found = false;
        self.visit_string_values(&mut |text| found = found || pred(text));
        found
    }

    fn all_string_values(&self) -> Vec<Cow<'_, str>> {
        let mut texts = Vec::new();
        self.visit_string_values(&mut |text| texts.push(Cow::Owned(text.to_owned())));
        texts
    }

    fn visit_string_values(&self, visit: &mut dyn FnMut(&str)) {
        for answer in fields::keyword_answers(self.answers.kind, self.answers.shape) {
            if let Some(value) = self.record.answer(answer) {
                visit_texts(&value, visit);
            }
        }
    }

    fn to_json(&self) -> Json {
        let mut members = serde_json::Map::new();
        for name in fields::names(self.answers.shape) {
            let answer = fields::answer(self.answers.kind, self.answers.shape, name);
            if let Some(value) = answer.and_then(|answer| self.record.answer(answer)) {
                members.insert(name.to_owned(), value.to_json());
            }
        }
        Json::Object(members)
    }
}
