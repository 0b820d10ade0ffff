//! A recorded event as rules see it: one line of `sensor run --output json --schema native`.
//! Holds fields by name; the mapping to Sigma's names is the same as for live events.

use std::borrow::Cow;
use std::collections::HashMap;

use rsigma_eval::EventValue;
use serde_json::Value as Json;
use thiserror::Error;

use super::kind::Kind;
use super::record::Record;
use crate::event::field::{ALL, Field};

/// Why a line is no recorded event.
#[derive(Debug, Error)]
pub enum SampleError {
    /// It is not JSON.
    #[error("it is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// It is JSON, but no object.
    #[error("it is not a JSON object")]
    NotAnObject,
    /// It does not say what kind of event it is.
    #[error("it has no `event.dataset` that is a kind of event, such as `process.exec`")]
    NoKind,
    /// It has a field that events do not have.
    #[error("`{0}` is not a field of events; see docs/fields.md")]
    UnknownField(String),
}

/// A recorded event.
#[derive(Debug)]
pub struct Sample {
    kind: Kind,
    fields: HashMap<Field, Json>,
    command_line: Option<String>,
    seconds: i64,
}

impl Sample {
    /// From one line of JSON; `seconds` stands for its time.
    ///
    /// # Errors
    /// When it is not a recorded event.
    pub fn parse(line: &str, seconds: i64) -> Result<Self, SampleError> {
        Self::from_json(serde_json::from_str(line)?, seconds)
    }

    /// From flat JSON; `seconds` stands for its time.
    ///
    /// # Errors
    /// When it is not a recorded event.
    pub fn from_json(json: Json, seconds: i64) -> Result<Self, SampleError> {
        let Json::Object(members) = json else {
            return Err(SampleError::NotAnObject);
        };
        let mut fields = HashMap::new();
        for (name, value) in members {
            let field = ALL
                .iter()
                .copied()
                .find(|field| field.definition().name == name)
                .ok_or(SampleError::UnknownField(name))?;
            fields.insert(field, value);
        }
        let dataset = fields.get(&Field::EventDataset).and_then(Json::as_str);
        let kind = dataset
            .and_then(Kind::from_name)
            .ok_or(SampleError::NoKind)?;
        let command_line = fields
            .get(&Field::ProcessArgs)
            .and_then(Json::as_array)
            .map(|args| {
                let args: Vec<&str> = args.iter().filter_map(Json::as_str).collect();
                args.join(" ")
            });
        Ok(Self {
            kind,
            fields,
            command_line,
            seconds,
        })
    }

    /// Its fields, for tests.
    pub fn fields(&self) -> impl Iterator<Item = Field> {
        self.fields.keys().copied()
    }
}

impl Record for Sample {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn field(&self, field: Field) -> Option<EventValue<'_>> {
        self.fields.get(&field).map(EventValue::from)
    }

    fn argument(&self, index: usize) -> Option<&str> {
        let args = self.fields.get(&Field::ProcessArgs)?.as_array()?;
        args.get(index)?.as_str()
    }

    fn command_line(&self) -> Option<&str> {
        self.command_line.as_deref()
    }

    /// A recorded event has the parent's command line as people read it, quoted.
    fn parent_command_line(&self) -> Option<&str> {
        self.fields.get(&Field::ProcessParentCommandLine)?.as_str()
    }

    fn seconds(&self) -> i64 {
        self.seconds
    }
}

/// The text of a field, for tests and messages.
#[must_use]
pub fn text(value: &EventValue<'_>) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_json().to_string(), Cow::into_owned)
}
