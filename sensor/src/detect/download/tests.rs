//! What is told of which downloads.
