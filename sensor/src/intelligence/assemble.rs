//! Makes one store of the copies of all lists, and counts what of them is of no use, and why.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, BufReader, Seek as _};
use std::sync::Arc;

use serde::Serialize;

use super::cache::{self, Cache};
use super::list::{self, Line};
use super::pattern;
use super::source::{Kind, Source};
use super::stix::Record;
use super::store::{Builder, Note, NoteId, Store};
use super::subject::{Subject, Unfit};
use crate::event::attack;

/// How sure the host of a listed page is at most: most such hosts serve others as well.
const HOST_CONFIDENCE_MAX: u8 = 30;

/// Seconds of a day.
const DAY: u64 = 86_400;

/// What there is in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Addresses, networks, names and hashes in use.
    pub indicators: u64,
    /// Lines and values that are no indicators, or refused ones.
    pub unfit: u64,
    /// STIX patterns that ask for more than one event can answer, wholly or in part.
    pub unsupported: u64,
    /// Taken back by the list.
    pub revoked: u64,
    /// Marked as harmless by the list.
    pub benign: u64,
    /// Expired.
    pub expired: u64,
    /// Not valid yet.
    pub early: u64,
    /// No room was left for them.
    pub dropped: u64,
    /// Why the first of those that are not in use is not.
    pub first_problem: Option<String>,
}

impl Counts {
    fn problem(&mut self, of: &str, why: &dyn std::fmt::Display) {
        if self.first_problem.is_none() {
            let of: String = of.chars().take(80).collect();
            self.first_problem = Some(format!("{of}: {why}"));
        }
    }
}

/// Reads all copies. `now` is in seconds since the epoch.
pub fn assemble(sources: &[Source], cache: &Cache, now: u64) -> (Store, Vec<Counts>) {
    let mut builder = Builder::default();
    let mut all = Vec::new();
    for source in sources {
        let mut adding = Adding {
            source,
            now,
            builder: &mut builder,
            counts: Counts::default(),
            fetched: 0,
        };
        if let Some(meta) = cache.meta(&source.name, &source.from.location()) {
            adding.fetched = meta.fetched;
            if let Err(error) = cache.open(&source.name).and_then(|copy| adding.copy(copy)) {
                adding.counts.problem("the copy", &error);
            }
        }
        all.push(adding.counts);
    }
    (builder.finish(), all)
}

struct Adding<'b> {
    source: &'b Source,
    now: u64,
    fetched: u64,
    builder: &'b mut Builder,
    counts: Counts,
}

impl Adding<'_> {
    fn copy(&mut self, copy: BufReader<File>) -> io::Result<()> {
        match self.source.from {
            Kind::List(_) => self.list(copy),
            Kind::Stix(_) | Kind::Taxii { .. } => self.records(copy),
        }
    }

    fn list(&mut self, copy: BufReader<File>) -> io::Result<()> {
        let note = Note {
            list: Arc::clone(&self.source.name),
            title: Arc::from(""),
            id: Box::default(),
            technique: self.source.technique.clone(),
            tactic: None,
            confidence: self.source.confidence,
            until: self.until(),
            blocks: self.blocks(self.source.confidence),
        };
        let mut notes = Notes::new(note);
        list::read(copy, &mut |line| match line {
            Line::Indicator(subject) => self.add(&subject, &mut notes),
            Line::Unfit(why) => {
                self.counts.unfit += 1;
                self.counts.problem("a line", &why);
            }
        })
    }

    fn records(&mut self, mut copy: BufReader<File>) -> io::Result<()> {
        // Which version of each is the newest; later in the copy if there are two of one time.
        let keys = RandomState::new();
        let mut newest: HashMap<u64, (u64, u32)> = HashMap::new();
        let mut at = 0;
        cache::records(&mut copy, &mut |record| {
            at += 1;
            let version = (record.modified, at);
            newest
                .entry(keys.hash_one(&record.id))
                .and_modify(|kept| *kept = version.max(*kept))
                .or_insert(version);
        })?;
        let mut titles: HashMap<Box<str>, Arc<str>> = HashMap::new();
        copy.rewind()?;
        at = 0_u32;
        cache::records(&mut copy, &mut |record| {
            at += 1;
            let is_newest = newest.get(&keys.hash_one(&record.id)) == Some(&(record.modified, at));
            if is_newest {
                self.record(&record, &mut titles);
            }
        })
    }

    fn record(&mut self, record: &Record, titles: &mut HashMap<Box<str>, Arc<str>>) {
        let until = record.until.unwrap_or(self.until());
        let left_out = [
            (record.revoked, &mut self.counts.revoked),
            (record.benign, &mut self.counts.benign),
            (until <= self.now, &mut self.counts.expired),
            (record.from > self.now, &mut self.counts.early),
        ];
        for (is_left_out, count) in left_out {
            if is_left_out {
                *count += 1;
                return;
            }
        }
        let found = match pattern::parse(&record.pattern) {
            Ok(found) => found,
            Err(error) => return self.unsupported(record, error),
        };
        if let Some(error) = found.left_out {
            self.unsupported(record, error);
        }
        let title = titles
            .entry(record.name.clone())
            .or_insert_with(|| Arc::from(&*record.name));
        let confidence = record.confidence.unwrap_or(self.source.confidence);
        let note = Note {
            list: Arc::clone(&self.source.name),
            title: Arc::clone(title),
            id: record.id.clone(),
            technique: record.technique.clone().or(self.source.technique.clone()),
            tactic: record.phase.as_deref().and_then(attack::tactic),
            confidence,
            until,
            blocks: self.blocks(confidence),
        };
        let mut notes = Notes::new(note);
        for subject in &found.subjects {
            self.add(subject, &mut notes);
        }
    }

    fn unsupported(&mut self, record: &Record, error: pattern::PatternError) {
        match error {
            pattern::PatternError::Unsupported(_) => self.counts.unsupported += 1,
            _ => self.counts.unfit += 1,
        }
        self.counts.problem(&record.id, &error);
    }

    /// When what does not say so ends: at the end of a day, so that fetching a list once more does
    /// not change each block.
    fn until(&self) -> u64 {
        let until = self.fetched.saturating_add(self.source.valid_seconds);
        until.saturating_add(DAY - until % DAY)
    }

    fn blocks(&self, confidence: u8) -> bool {
        self.source
            .block_from
            .is_some_and(|least| confidence >= least)
    }

    fn add(&mut self, subject: &Subject, notes: &mut Notes) {
        if let Subject::Network(network) = subject
            && !network.is_public()
            && !self.source.private
        {
            self.counts.unfit += 1;
            return self.counts.problem(&network.to_string(), &Unfit::NotPublic);
        }
        let note = notes.of(subject, self.builder);
        let counted = match self.builder.add(subject, note) {
            true => &mut self.counts.indicators,
            false => &mut self.counts.dropped,
        };
        *counted += 1;
    }
}

/// The note of one record or list, entered when it is first needed; hosts of pages have one of
/// their own.
struct Notes {
    note: Note,
    plain: Option<NoteId>,
    host: Option<NoteId>,
}

impl Notes {
    const fn new(note: Note) -> Self {
        Self {
            note,
            plain: None,
            host: None,
        }
    }

    fn of(&mut self, subject: &Subject, builder: &mut Builder) -> NoteId {
        if matches!(subject, Subject::Host(_)) {
            return *self.host.get_or_insert_with(|| {
                builder.note(Note {
                    confidence: self.note.confidence.min(HOST_CONFIDENCE_MAX),
                    blocks: false,
                    ..self.note.clone()
                })
            });
        }
        *self
            .plain
            .get_or_insert_with(|| builder.note(self.note.clone()))
    }
}
