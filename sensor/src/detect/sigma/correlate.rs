//! Sigma correlations: rsigma's windows and counters over matches of detection rules, with
//! bounds. Which rules match is decided before.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rsigma_eval::{
    CompiledRule, CorrelationConfig, CorrelationEngine, EvalError, EvaluationResult,
};
use rsigma_parser::{CorrelationRule, SigmaRule};

use super::load::{Found, Problem};
use super::record::Record;
use super::rule::Card;
use super::verdict::Verdict;
use super::view::View;
use super::{Listed, Match};

/// Groups counted at a time; the oldest are forgotten beyond it.
const GROUPS_MAX: usize = 20_000;
/// Matches remembered in one window.
const WINDOW_MAX: usize = 10_000;

struct Correlation {
    card: Card,
    verdict: Verdict,
    file: Box<str>,
    /// Ids of the rules it counts; empty for a correlation of correlations.
    counts: Vec<String>,
}

/// Correlates matches.
pub(super) struct Correlator {
    engine: CorrelationEngine,
    /// Ids of rules that some correlation counts.
    parts: HashSet<String>,
    /// Ids of those that alert through a correlation only.
    only_parts: HashSet<String>,
    correlations: Vec<Correlation>,
    by_id: HashMap<String, usize>,
}

impl std::fmt::Debug for Correlator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Correlator")
            .field("correlations", &self.correlations.len())
            .finish_non_exhaustive()
    }
}

impl Correlator {
    pub(super) fn new(
        rules: &[(Found<SigmaRule>, CompiledRule)],
        found: Vec<Found<CorrelationRule>>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let config = CorrelationConfig {
            max_state_entries: GROUPS_MAX,
            max_group_entries: Some(WINDOW_MAX),
            ..CorrelationConfig::default()
        };
        let mut correlator = Self {
            engine: CorrelationEngine::new(config),
            parts: HashSet::new(),
            only_parts: HashSet::new(),
            correlations: Vec::new(),
            by_id: HashMap::new(),
        };
        for correlation in found {
            if let Err(what) = correlator.add(rules, &correlation) {
                problems.push(correlation.problem(what));
            }
        }
        correlator
    }

    fn add(
        &mut self,
        rules: &[(Found<SigmaRule>, CompiledRule)],
        found: &Found<CorrelationRule>,
    ) -> Result<(), String> {
        let document = &found.document;
        let said = |error: EvalError| error.to_string();
        let mut ids = Vec::new();
        for wanted in &document.rules {
            let named = |name: &Option<String>| name.as_deref() == Some(wanted.as_str());
            let rule = rules
                .iter()
                .map(|(rule, _)| &rule.document)
                .find(|rule| named(&rule.id) || named(&rule.name));
            let Some(rule) = rule else {
                // A correlation of correlations refers to one that came before it.
                if self.by_id.contains_key(wanted) {
                    continue;
                }
                return Err(format!(
                    "it correlates {wanted}, and no rule loaded has that id or name"
                ));
            };
            let id = rule.id.clone().unwrap_or_else(|| rule.title.clone());
            if self.parts.insert(id.clone()) {
                self.engine.add_rule(rule).map_err(said)?;
            }
            ids.push(id);
        }
        self.engine.add_correlation(document).map_err(said)?;
        if !document.generate {
            self.only_parts.extend(ids.iter().cloned());
        }
        let number = self.correlations.len();
        let title = Some(document.title.clone());
        for name in [&document.id, &document.name, &title].into_iter().flatten() {
            self.by_id.insert(name.clone(), number);
        }
        self.correlations.push(Correlation {
            card: Card::of_correlation(document),
            verdict: Verdict::default(),
            file: found.file.display().to_string().into(),
            counts: ids,
        });
        Ok(())
    }

    /// Says of each correlation whether it can fire, from the verdicts of what it counts.
    pub(super) fn conclude<'v>(&mut self, of_rule: impl Fn(&str) -> Option<&'v Verdict>) {
        for correlation in &mut self.correlations {
            let mut kinds = Vec::new();
            for verdict in correlation.counts.iter().filter_map(|id| of_rule(id)) {
                if let Verdict::Fires(more) = verdict {
                    kinds.extend(more.iter().copied());
                }
            }
            if correlation.counts.is_empty() {
                kinds.push("other correlations");
            }
            kinds.sort_unstable();
            kinds.dedup();
            correlation.verdict = Verdict::correlated(kinds);
        }
    }

    /// Whether a rule alerts through correlations only.
    pub(super) fn is_only_part(&self, rule: &SigmaRule) -> bool {
        self.only_parts
            .contains(rule.id.as_deref().unwrap_or(&rule.title))
    }

    /// Whether some correlation counts matches of a rule.
    pub(super) fn counts(&self, id: &str) -> bool {
        self.parts.contains(id)
    }

    /// Counts a match of a rule, and says which correlations it completes.
    pub(super) fn process<R: Record>(
        &mut self,
        view: &View<'_, R>,
        result: EvaluationResult,
        seconds: i64,
    ) -> Vec<Match> {
        let results = self
            .engine
            .process_with_detections(view, vec![result], seconds);
        results
            .iter()
            .filter_map(|result| self.matched(result))
            .collect()
    }

    fn matched(&self, result: &EvaluationResult) -> Option<Match> {
        let body = result.as_correlation()?;
        let id = result
            .header
            .rule_id
            .as_ref()
            .unwrap_or(&result.header.rule_title);
        let correlation = self.correlations.get(*self.by_id.get(id)?)?;
        let mut fields = body.group_key.clone();
        fields.push(("count".to_owned(), body.aggregated_value.to_string()));
        Some(Match {
            rule: Arc::clone(&correlation.card.rule),
            severity: correlation.card.severity,
            message: correlation.card.message(fields),
        })
    }

    pub(super) fn list(&self) -> impl Iterator<Item = Listed<'_>> {
        self.correlations.iter().map(|correlation| Listed {
            rule: &correlation.card.rule,
            severity: correlation.card.severity,
            verdict: &correlation.verdict,
            file: &correlation.file,
        })
    }
}
