//! Sigma rules on our events: loading, routing by log source, deciding, and saying which rules
//! can never fire. No state of the host, no suppression of repeats: that is for what asks.
//!
//! An event of a kind can be seen in several shapes (`kind.rs`): an exec is a process creation
//! and three audit records. Per kind, an index (`index.rs`) of what each rule needs at least
//! (`need.rs`) leaves few candidates, on which rsigma decides.

pub mod builtin;
mod correlate;
pub mod fields;
mod index;
pub mod kind;
mod literal;
pub mod load;
mod need;
pub mod record;
mod rule;
pub mod sample;
pub mod verdict;
mod view;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use rsigma_eval::compiler::eval_condition;
use rsigma_eval::{CompiledDetection, CompiledRule, Event as _, evaluate_rule};
use rsigma_parser::{FilterRule, SigmaCollection, SigmaRule};

use crate::event::Event;
use crate::event::alert::{Rule, Severity};
use correlate::Correlator;
use index::{Automata, Builder, Index, Scratch};
use kind::Kind;
use load::{Found, Problem, Sources};
use need::Need;
use record::{EventRecord, Record};
use rule::Card;
use verdict::Verdict;
use view::{Answers, Names, View};

/// A rule that matched an event.
#[derive(Clone, Debug)]
pub struct Match {
    /// The rule, as alerts name it.
    pub rule: Arc<Rule>,
    /// How bad it is.
    pub severity: Severity,
    /// What matched, in one sentence. Not escaped.
    pub message: String,
}

/// A loaded rule.
#[derive(Debug)]
struct Loaded {
    card: Card,
    compiled: CompiledRule,
    verdict: Verdict,
    file: Box<str>,
    /// Alerts on its own, and not only through a correlation.
    alerts: bool,
}

/// What is known of a loaded rule, for people.
#[derive(Clone, Debug)]
pub struct Listed<'l> {
    /// As alerts name it.
    pub rule: &'l Rule,
    /// How bad.
    pub severity: Severity,
    /// Whether it can fire.
    pub verdict: &'l Verdict,
    /// Where it stands.
    pub file: &'l str,
}

/// The rules for events of one kind.
#[derive(Debug, Default)]
struct Route {
    index: Index,
    shapes: Vec<Answers>,
    /// Per entry of the index: rule, and which of the shapes.
    entries: Vec<(u32, u8)>,
}

/// The engine: rules in, matches out.
#[derive(Debug)]
pub struct Engine {
    rules: Vec<Loaded>,
    routes: HashMap<Kind, Route>,
    names: Names,
    correlator: Correlator,
    scratch: Scratch,
    matched: Vec<u32>,
    selections: Vec<String>,
    index_memory: usize,
}

/// Which kinds of event there are.
#[derive(Clone, Debug)]
pub struct Kinds(BTreeSet<Kind>);

impl Kinds {
    /// All of them.
    #[must_use]
    pub fn all() -> Self {
        Self(Kind::ALL.iter().copied().collect())
    }

    /// Those for which `observed` says yes, by their names as in `--events`.
    pub fn where_observed(observed: impl Fn(&str) -> bool) -> Self {
        let kinds = Kind::ALL.iter().copied();
        Self(kinds.filter(|kind| observed(kind.name())).collect())
    }

    /// Whether there are events of a kind.
    #[must_use]
    pub fn has(&self, kind: Kind) -> bool {
        self.0.contains(&kind)
    }
}

impl Engine {
    /// Reads, compiles and indexes rules: the built-in ones if wanted, then those of the paths,
    /// which take the place of earlier ones with the same id.
    #[must_use]
    pub fn load(paths: &[PathBuf], builtin: bool, kinds: &Kinds) -> (Self, Vec<Problem>) {
        let mut sources = Sources::default();
        if builtin {
            builtin::add_to(&mut sources);
        }
        for path in paths {
            sources.add_path(path);
        }
        Self::new(sources, kinds)
    }

    /// Compiles and indexes what was read. What cannot be used is reported and left out.
    #[must_use]
    pub fn new(sources: Sources, kinds: &Kinds) -> (Self, Vec<Problem>) {
        let mut problems = sources.problems;
        let rules = compile(sources.rules, &mut problems);
        let rules = unique(rules, &mut problems);
        let mut rules = filtered(rules, sources.filters, &mut problems);
        let mut correlator = Correlator::new(&rules, sources.correlations, &mut problems);
        let mut names = Names::default();
        for (_, compiled) in &mut rules {
            names.tokenize(compiled);
        }
        let mut loaded: Vec<Loaded> = rules
            .into_iter()
            .map(|(found, compiled)| Loaded {
                card: Card::of_rule(&found.document),
                alerts: !correlator.is_only_part(&found.document),
                file: found.file.display().to_string().into(),
                compiled,
                verdict: Verdict::default(),
            })
            .collect();
        let mut routes = HashMap::new();
        let mut automata = Automata::default();
        for kind in Kind::ALL {
            let route = Route::new(*kind, kinds.has(*kind), &mut loaded, &names, &mut automata);
            match route {
                Ok(route) if !route.entries.is_empty() => {
                    routes.insert(*kind, route);
                }
                Ok(_) => {}
                Err(error) => problems.push(Problem {
                    file: kind.name().into(),
                    line: None,
                    what: format!("rules for these events cannot be indexed: {error}"),
                }),
            }
        }
        for rule in &mut loaded {
            rule.verdict.conclude(&rule.compiled.logsource);
        }
        correlator.conclude(|id| {
            let rule = loaded.iter().find(|rule| &*rule.card.rule.id == id)?;
            Some(&rule.verdict)
        });
        let engine = Self {
            rules: loaded,
            routes,
            names,
            correlator,
            scratch: Scratch::default(),
            matched: Vec::new(),
            selections: Vec::new(),
            index_memory: automata.memory(),
        };
        (engine, problems)
    }

    /// The rules that match an event.
    pub fn evaluate(&mut self, event: &Event) -> Vec<Match> {
        self.evaluate_record(&EventRecord::new(event))
    }

    /// The rules that match a recorded event.
    pub fn evaluate_record<R: Record>(&mut self, record: &R) -> Vec<Match> {
        let mut matches = Vec::new();
        let Some(route) = self.routes.get(&record.kind()) else {
            return matches;
        };
        route.index.candidates(record, &mut self.scratch);
        self.matched.clear();
        for entry in &self.scratch.candidates {
            let Some((number, view)) = route.view(*entry, record) else {
                continue;
            };
            if self.matched.contains(&number) {
                continue;
            }
            let Some(rule) = self.rules.get(number as usize) else {
                continue;
            };
            self.selections.clear();
            if !rule.decide(&view, &mut self.selections) {
                continue;
            }
            self.matched.push(number);
            if self.correlator.counts(&rule.card.rule.id)
                && let Some(result) = evaluate_rule(&rule.compiled, &view)
            {
                matches.extend(self.correlator.process(&view, result, record.seconds()));
            }
            if rule.alerts {
                matches.push(rule.matched(&view, &self.selections, &self.names));
            }
        }
        matches
    }

    /// As [`Engine::evaluate_record`], but every rule is tried in every shape: what the index
    /// is held against. Ids of rules; correlations are left out.
    pub fn evaluate_all<R: Record>(&self, record: &R) -> BTreeSet<&str> {
        let mut ids = BTreeSet::new();
        for shape in record.kind().shapes() {
            let answers = self.names.answers(record.kind(), *shape);
            let view = View {
                record,
                answers: &answers,
            };
            for rule in &self.rules {
                if kind::shapes(&rule.compiled.logsource).contains(shape)
                    && evaluate_rule(&rule.compiled, &view).is_some()
                {
                    ids.insert(&*rule.card.rule.id);
                }
            }
        }
        ids
    }

    /// The loaded rules.
    pub fn list(&self) -> impl Iterator<Item = Listed<'_>> {
        let rules = self.rules.iter().map(|rule| Listed {
            rule: &rule.card.rule,
            severity: rule.card.severity,
            verdict: &rule.verdict,
            file: &rule.file,
        });
        rules.chain(self.correlator.list())
    }

    /// How many rules there are, correlations included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list().count()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory the indexes take, in bytes.
    #[must_use]
    pub const fn index_memory(&self) -> usize {
        self.index_memory
    }

    /// The rules that rsigma had to decide on for an event, for measurements.
    pub fn candidates(&mut self, event: &Event) -> Vec<Arc<Rule>> {
        let record = EventRecord::new(event);
        let Some(route) = self.routes.get(&record.kind()) else {
            return Vec::new();
        };
        route.index.candidates(&record, &mut self.scratch);
        let entries = self.scratch.candidates.iter();
        entries
            .filter_map(|entry| route.entries.get(*entry as usize))
            .filter_map(|(rule, _)| self.rules.get(*rule as usize))
            .map(|rule| Arc::clone(&rule.card.rule))
            .collect()
    }
}

impl Loaded {
    /// Whether rsigma says it matches, and by which selections.
    fn decide<R: Record>(&self, view: &View<'_, R>, selections: &mut Vec<String>) -> bool {
        let detections = &self.compiled.detections;
        let mut conditions = self.compiled.conditions.iter();
        conditions.any(|condition| eval_condition(condition, detections, view, selections))
    }

    fn matched<R: Record>(
        &self,
        view: &View<'_, R>,
        selections: &[String],
        names: &Names,
    ) -> Match {
        let mut fields = Vec::new();
        for selection in selections {
            if let Some(detection) = self.compiled.detections.get(selection) {
                matched_fields(detection, view, names, &mut fields);
            }
        }
        Match {
            rule: Arc::clone(&self.card.rule),
            severity: self.card.severity,
            message: self.card.message(fields),
        }
    }
}

/// Fields of a detection that matched, and their values.
fn matched_fields<R: Record>(
    detection: &CompiledDetection,
    view: &View<'_, R>,
    names: &Names,
    found: &mut Vec<(String, String)>,
) {
    match detection {
        CompiledDetection::AllOf(items) => {
            for item in items {
                let Some(field) = &item.field else { continue };
                let Some(value) = view.get_field(field) else {
                    continue;
                };
                if item.matcher.matches(&value, view) {
                    found.push((names.name(field).to_owned(), sample::text(&value)));
                }
            }
        }
        CompiledDetection::AnyOf(inner) | CompiledDetection::And(inner) => {
            for detection in inner {
                matched_fields(detection, view, names, found);
            }
        }
        _ => {}
    }
}

impl Route {
    fn new(
        kind: Kind,
        enabled: bool,
        rules: &mut [Loaded],
        names: &Names,
        automata: &mut Automata,
    ) -> Result<Self, aho_corasick::BuildError> {
        let shapes: Vec<Answers> = kind
            .shapes()
            .iter()
            .map(|shape| names.answers(kind, *shape))
            .collect();
        let mut builder = Builder::default();
        let mut entries = Vec::new();
        for (number, rule) in (0..).zip(rules) {
            let wanted = kind::shapes(&rule.compiled.logsource);
            for (at, answers) in (0..).zip(&shapes) {
                if !wanted.contains(&answers.shape) {
                    continue;
                }
                let need = need::of_rule(&rule.compiled, answers, names);
                rule.verdict.add(kind, enabled, &need);
                if enabled && builder.add(need).is_some() {
                    entries.push((number, at));
                }
            }
        }
        Ok(Self {
            index: builder.build(automata)?,
            shapes,
            entries,
        })
    }

    fn view<'v, R: Record>(&'v self, entry: u32, record: &'v R) -> Option<(u32, View<'v, R>)> {
        let (rule, shape) = self.entries.get(entry as usize)?;
        let answers = self.shapes.get(usize::from(*shape))?;
        Some((*rule, View { record, answers }))
    }
}

type Compiled = Vec<(Found<SigmaRule>, CompiledRule)>;

/// The rules that can be compiled.
fn compile(rules: Vec<Found<SigmaRule>>, problems: &mut Vec<Problem>) -> Compiled {
    let mut usable = Vec::new();
    for rule in rules {
        match rsigma_eval::compile_rule(&rule.document) {
            Ok(compiled) => usable.push((rule, compiled)),
            Err(error) => problems.push(rule.problem(error.to_string())),
        }
    }
    usable
}

/// Of rules with the same id, the later one: what a user adds takes the place of what is built
/// in. Two in files of one origin are a problem as well.
fn unique(rules: Compiled, problems: &mut Vec<Problem>) -> Compiled {
    let mut by_id: HashMap<String, usize> = HashMap::new();
    let mut kept: Compiled = Vec::new();
    for (rule, compiled) in rules {
        let Some(id) = rule.document.id.clone() else {
            kept.push((rule, compiled));
            continue;
        };
        match by_id.get(&id).copied().and_then(|at| kept.get_mut(at)) {
            Some(earlier) => {
                if !builtin::is_builtin(&earlier.0.file) {
                    problems.push(rule.problem(format!(
                        "the id {id} is also that of {}; this rule takes its place",
                        earlier.0.file.display()
                    )));
                }
                *earlier = (rule, compiled);
            }
            None => {
                by_id.insert(id, kept.len());
                kept.push((rule, compiled));
            }
        }
    }
    kept
}

/// The rules with the filters put into them.
fn filtered(
    rules: Compiled,
    filters: Vec<Found<FilterRule>>,
    problems: &mut Vec<Problem>,
) -> Compiled {
    let mut collection = SigmaCollection::new();
    for filter in filters {
        let mut trial = rsigma_eval::Engine::new();
        match trial.apply_filter(&filter.document) {
            Ok(()) => collection.filters.push(filter.document),
            Err(error) => problems.push(filter.problem(error.to_string())),
        }
    }
    if collection.filters.is_empty() {
        return rules;
    }
    // Filters are put into rules by rsigma's own engine only.
    let documents = rules.iter().map(|(rule, _)| rule.document.clone());
    collection.rules = documents.collect();
    let mut engine = rsigma_eval::Engine::new();
    if let Err(error) = engine.add_collection(&collection) {
        problems.push(Problem {
            file: "rules".into(),
            line: None,
            what: format!("the filters cannot be put into the rules: {error}"),
        });
        return rules;
    }
    let rules = rules.into_iter().map(|(rule, _)| rule);
    rules.zip(engine.rules().iter().cloned()).collect()
}

/// Whether a need can be met.
fn is_possible(need: &Need) -> bool {
    matches!(need, Need::Groups(_))
}
