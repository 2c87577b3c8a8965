//! To be written.
pub mod namespace;
