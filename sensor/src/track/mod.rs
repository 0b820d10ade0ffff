//! Stand-in for the room's own module file: declares what this branch adds.
pub mod container;
pub mod users;
