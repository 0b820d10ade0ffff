//! Formats by name: one line from the fields of an event, for whoever writes or sends it. What a
//! format looks like is in its own file.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::json;
use crate::event::field::Fields;

/// Form in which an event leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Elastic Common Schema 9, nested JSON.
    #[default]
    Ecs,
    /// The same names, flat JSON.
    Native,
}

impl Format {
    /// The form in which events are kept on disk for receivers.
    pub const KEPT: Self = Self::Ecs;

    /// All of them.
    pub const ALL: [Self; 2] = [Self::Ecs, Self::Native];

    /// An event as one line of UTF-8 without controls and without the newline, whatever is in
    /// its fields.
    ///
    /// # Errors
    /// Only if the serializer fails, which no event can make it do.
    pub fn line(self, fields: &Fields<'_>) -> serde_json::Result<String> {
        match self {
            Self::Ecs => json::ecs(fields),
            Self::Native => json::native(fields),
        }
    }
}
