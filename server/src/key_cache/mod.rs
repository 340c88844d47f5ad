//! In-memory copy of all keys, coherent with the committed state of the database: a verification is one lookup.
//!
//! [`verifier`] decides; [`cache`] applies changes to the [`index`]; [`outcome_counters`] counts outcomes for the
//! operator. If several nodes serve one database, [`cluster`] keeps the key cache of each node up to date.

pub mod cache;
pub mod cluster;
pub mod denial;
pub mod index;
mod offsets;
pub mod outcome_counters;
pub mod scopes;
pub mod verifier;
