//! Which host and which sensor a line is from, read back.

use super::ParseError;
use super::row::{Labels, Row};
use crate::event::field::Field;
use crate::event::origin::of_origin;
use crate::identity::Identity;

macro_rules! read {
    ($($field:ident: $($member:ident).+;)*) => {
        fn texts(row: &Row<'_>, origin: &mut Identity) -> Result<(), ParseError> {
            $(origin.$($member).+ = row.find(Field::$field)?;)*
            Ok(())
        }
    };
}

of_origin!(read);

/// The origin that a line tells of; nothing is known of it when the line does not tell.
pub(super) fn origin(row: &Row<'_>) -> Result<Identity, ParseError> {
    let mut origin = Identity::default();
    texts(row, &mut origin)?;
    origin.tags = row.texts(Field::Tags)?;
    let labels: Option<Labels> = row.find(Field::Labels)?;
    origin.labels = labels.map(|labels| labels.0).unwrap_or_default();
    Ok(origin)
}
