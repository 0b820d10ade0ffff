//! Tests of the search: who is fed by whom.
