//! Events read back from the JSON that they were written as: the inverse of
//! [`Event::fields`](super::Event::fields). For every family of events, the file here with the
//! name of the one that puts its fields reads them; `export/roundtrip.rs` holds the two sides
//! together. Any line is safe. What an event has without any field telling of it (the file
//! system's magic number of an executable, for one) is lost.

mod fields;
mod file;
mod network;
mod object;
mod origin;
mod privilege;
mod process;
mod row;
mod system;
mod time;
mod words;

use thiserror::Error;

use super::field::Field;
use super::{Action, Event, EventId, Stamp};
use crate::identity::Identity;
use row::{Row, Wall};

pub use fields::fields;
pub use time::wall_ns;

/// Why a line is not an event.
#[derive(Debug, Error)]
pub enum ParseError {
    /// It is no JSON, or no object.
    #[error("this is not an event in JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A field is missing.
    #[error("the field {0} is missing, without which such an event means nothing")]
    Missing(&'static str),
    /// A field has a value that it cannot have.
    #[error("the field {field} is not {expected}")]
    Wrong {
        /// Its name.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A field has a name that nobody knows.
    #[error("no field is called {0:?}; a sensor of another version may have written this line")]
    Unknown(String),
    /// A field is there more than once.
    #[error("the field {0} is there twice")]
    Twice(&'static str),
    /// It is of no known kind.
    #[error(
        "no kind of event is called {0:?}; a sensor of another version may have written this line"
    )]
    Kind(String),
}

impl ParseError {
    fn wrong(field: Field, expected: &'static str) -> Self {
        Self::Wrong {
            field: field.definition().name,
            expected,
        }
    }
}

/// What a line is.
#[derive(Debug)]
pub enum Parsed {
    /// An event, whole.
    Event {
        /// The event.
        event: Box<Event>,
        /// Where it is from.
        origin: Box<Identity>,
        /// Fields of it that nobody knows here.
        unknown_fields: u64,
    },
    /// An alert: what was concluded then, which is not read back but concluded anew.
    Alert,
}

/// Reads one line of recorded events, flat or nested.
///
/// # Errors
/// When it is no event that this version knows.
pub fn line(line: &[u8]) -> Result<Parsed, ParseError> {
    let row = Row::read(line)?;
    let dataset: &str = row.get(Field::EventDataset)?;
    if dataset == super::alert::ALERT.name {
        return Ok(Parsed::Alert);
    }
    let time = Stamp {
        wall_ns: row.get::<Wall>(Field::Timestamp)?.0,
        boot_ns: row.get(Field::SensorBootNs)?,
    };
    let process = process::process(&row, time)?;
    let action = action(dataset, &row, time, process.as_ref())?
        .ok_or_else(|| ParseError::Kind(dataset.to_owned()))?;
    Ok(Parsed::Event {
        event: Box::new(Event {
            id: id(row.get(Field::EventId)?)
                .ok_or_else(|| ParseError::wrong(Field::EventId, "the id of an event"))?,
            cpu: row.get(Field::SensorCpu)?,
            time,
            process,
            action,
        }),
        origin: Box::new(origin::origin(&row)?),
        unknown_fields: row.unknown.count,
    })
}

/// What happened; `None` for a kind that is not known.
fn action(
    dataset: &str,
    row: &Row<'_>,
    time: Stamp,
    process: Option<&super::process::Process>,
) -> Result<Option<Action>, ParseError> {
    let family = dataset.split('.').next().unwrap_or_default();
    match family {
        "process" => match process::action(dataset, row, process)? {
            Some(action) => Ok(Some(action)),
            None => privilege::action(dataset, row),
        },
        "network" => network::action(dataset, row, time),
        "file" => file::action(dataset, row),
        _ => system::action(dataset, row, time),
    }
}

fn id(text: &str) -> Option<EventId> {
    let (run, sequence) = text.split_once('-')?;
    Some(EventId {
        run: u32::from_str_radix(run, 16).ok()?,
        sequence: sequence.parse().ok()?,
    })
}

impl Stamp {
    /// The same clocks at another time of the wall clock.
    const fn at_wall(self, wall_ns: u64) -> Self {
        let boot_ns = if wall_ns < self.wall_ns {
            self.boot_ns.saturating_sub(self.wall_ns - wall_ns)
        } else {
            self.boot_ns.saturating_add(wall_ns - self.wall_ns)
        };
        Self { boot_ns, wall_ns }
    }
}

#[cfg(test)]
mod tests;
