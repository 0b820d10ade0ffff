//! Blocks what lists of hostile addresses want blocked (`block = true`), as far as `respond.mode`
//! lets it: on the thread that refreshes lists, many at once, with one response for each list and
//! change. What is protected is left out by the firewall, whatever a list says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Cause;
use super::firewall::Firewall;
use super::firewall::network::Network;
use super::firewall::order::{How, Settings, Which};
use super::firewall::target::Target;
use super::outbox::Outbox;
use super::playbook::Mode;
use crate::event::response::{Origin, Outcome, Response};
use crate::intelligence;
use crate::intelligence::blocks::{Block, Blocker, Change};
use crate::intelligence::subject;

/// Ends that blocks of one change have, before they are taken together by the hour.
const ENDS_MAX: usize = 64;
/// Seconds of an hour.
const HOUR: u64 = 3_600;
/// What the firewall calls those who make entries for lists.
const MAKER: &str = "intelligence ";

/// Blocks for lists.
pub struct Lists {
    settings: Settings,
    mode: Mode,
    outbox: Outbox,
    firewall: Option<Firewall>,
}

impl Lists {
    /// With a firewall of its own, opened when it is needed.
    #[must_use]
    pub const fn new(settings: Settings, mode: Mode, outbox: Outbox) -> Self {
        Self {
            settings,
            mode,
            outbox,
            firewall: None,
        }
    }

    fn firewall(&mut self) -> Result<&mut Firewall, String> {
        let firewall = match self.firewall.take() {
            Some(firewall) => firewall,
            None => Firewall::open(self.settings.clone()).map_err(|error| error.to_string())?,
        };
        Ok(self.firewall.insert(firewall))
    }

    fn take_back(&mut self, networks: &[Target]) -> Result<(), String> {
        if networks.is_empty() || self.mode != Mode::Enforce {
            return Ok(());
        }
        let how = How::new(cause("all lists", "not listed any more"));
        let which = Which::Of(networks.to_vec(), Origin::Intelligence);
        let response = self.firewall()?.unblock(&which, &how);
        // Their time may have been over, or somebody took them back by hand.
        if response.outcome != Outcome::Refused {
            return self.say(response);
        }
        Ok(())
    }

    /// Enters the blocks of one list that end at the same time; how many, and until when.
    fn block(&mut self, list: &str, until: u64, blocks: &[&Block]) -> Result<Response, String> {
        let left = until.saturating_sub(intelligence::now());
        let targets: Vec<Target> = blocks.iter().map(|block| target(block.network)).collect();
        let how = How {
            ttl: Some(Duration::from_secs(left.max(1))),
            dry_run: self.mode == Mode::DryRun,
            ..How::new(cause(list, reason(blocks)))
        };
        Ok(self.firewall()?.block_many(&targets, &how))
    }

    /// Reports it; a failure is also one of the lists.
    fn say(&self, response: Response) -> Result<(), String> {
        let failure = (response.outcome == Outcome::Failed).then(|| response.detail.to_string());
        self.outbox.post(response, None);
        failure.map_or(Ok(()), Err)
    }
}

impl Blocker for Lists {
    fn take_up(&mut self, is_wanted: &dyn Fn(subject::Network) -> bool) -> Result<(), String> {
        if self.mode != Mode::Enforce {
            return Ok(());
        }
        let listing = self.firewall()?.list().map_err(|error| error.to_string())?;
        let of_lists = listing
            .blocked
            .iter()
            .filter(|line| line.in_force.by.starts_with(MAKER));
        let unwanted = of_lists.map(|line| line.target).filter(|target| {
            let network = target.network;
            let network = subject::Network::new(network.address(), network.prefix());
            !network.is_some_and(is_wanted)
        });
        let unwanted: Vec<Target> = unwanted.collect();
        self.take_back(&unwanted)
    }

    fn change(&mut self, change: &Change) -> Result<(), String> {
        if self.mode == Mode::Off {
            return Ok(());
        }
        let remove: Vec<Target> = change.remove.iter().copied().map(target).collect();
        let mut result = self.take_back(&remove);
        for (list, by_end) in grouped(&change.add) {
            let mut said: Option<Response> = None;
            for (until, blocks) in by_end {
                let response = self.block(&list, until, &blocks)?;
                said = Some(match said {
                    None => response,
                    Some(said) => together(said, response),
                });
            }
            if let Some(said) = said {
                result = self.say(said).and(result);
            }
        }
        result
    }
}

type ByEnd<'b> = BTreeMap<u64, Vec<&'b Block>>;

/// By list, then by when they end.
fn grouped(blocks: &[Block]) -> BTreeMap<Arc<str>, ByEnd<'_>> {
    let mut lists: BTreeMap<Arc<str>, ByEnd<'_>> = BTreeMap::new();
    for block in blocks {
        let list = lists.entry(Arc::clone(&block.list)).or_default();
        list.entry(block.until).or_default().push(block);
    }
    for ends in lists.values_mut().filter(|ends| ends.len() > ENDS_MAX) {
        let mut by_hour = ByEnd::new();
        for (until, blocks) in std::mem::take(ends) {
            let hour = until.div_ceil(HOUR).saturating_mul(HOUR);
            by_hour.entry(hour).or_default().extend(blocks);
        }
        *ends = by_hour;
    }
    lists
}

/// One response for two of one list.
fn together(one: Response, other: Response) -> Response {
    let is_worse = |outcome: Outcome| match outcome {
        Outcome::Failed => 2,
        Outcome::Refused => 1,
        _ => 0,
    };
    let outcome = if is_worse(other.outcome) > is_worse(one.outcome) {
        other.outcome
    } else {
        one.outcome
    };
    // The first few say enough.
    const DETAIL_MAX: usize = 512;
    let mut detail = one.detail.into_string();
    if detail.len() < DETAIL_MAX {
        detail.push_str(" | ");
        detail.push_str(&other.detail);
    }
    Response {
        outcome,
        target: "addresses of a list".into(),
        detail: detail.into(),
        until_wall_ns: one.until_wall_ns.max(other.until_wall_ns),
        undo: other.undo.or(one.undo),
        ..one
    }
}

fn cause(list: &str, reason: impl Into<Box<str>>) -> Cause {
    Cause {
        origin: Origin::Intelligence,
        by: list.into(),
        reason: reason.into(),
    }
}

/// What the list calls it, when it calls all of them the same.
fn reason(blocks: &[&Block]) -> Box<str> {
    let first = blocks
        .first()
        .map(|block| &*block.title)
        .unwrap_or_default();
    let is_same = blocks.iter().all(|block| *block.title == *first);
    match first {
        title if is_same && !title.is_empty() => title.into(),
        _ => "listed as hostile".into(),
    }
}

fn target(network: subject::Network) -> Target {
    Network::around(network.address(), network.bits()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intelligence::subject::Subject;

    fn block(text: &str, list: &str, until: u64) -> Block {
        let Subject::Network(network) = Subject::parse(text).unwrap() else {
            panic!("{text}")
        };
        Block {
            network,
            until,
            list: list.into(),
            title: "".into(),
        }
    }

    #[test]
    fn blocks_are_entered_by_list_and_end_and_many_ends_by_the_hour() {
        let few = [
            block("192.0.2.1", "a", 10),
            block("192.0.2.2", "b", 10),
            block("192.0.2.3", "a", 10),
            block("192.0.2.4", "a", 20),
        ];
        let groups = grouped(&few);
        let sizes: Vec<_> = groups["a"]
            .iter()
            .map(|(until, blocks)| (*until, blocks.len()))
            .collect();
        assert_eq!(sizes, [(10, 2), (20, 1)]);
        assert_eq!(groups["b"].len(), 1);
        let many: Vec<_> = (1..=1_000)
            .map(|until| block("192.0.2.1", "a", until * 60))
            .collect();
        let hours = &grouped(&many)["a"];
        assert_eq!(hours.len(), 17);
        assert!(
            hours
                .iter()
                .all(|(until, blocks)| blocks.iter().all(|block| block.until <= *until))
        );
    }

    #[test]
    fn the_firewall_means_the_same_network() {
        for text in [
            "192.0.2.1",
            "198.51.100.0/24",
            "2001:db8::/32",
            "2001:db8::1",
        ] {
            let block = block(text, "a", 1);
            assert_eq!(target(block.network).to_string(), text);
        }
    }
}
