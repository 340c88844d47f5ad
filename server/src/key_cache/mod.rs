//! Every secret in memory, coherent with what was committed: a verification is one lookup.
//!
//! [`verifier`] decides; [`cache`] applies changes to the [`index`]; [`outcome_counters`] counts for the operator. Where
//! several nodes serve one database, [`cluster`] keeps the memory of each node up to date.

pub mod cache;
pub mod cluster;
pub mod denial;
pub mod index;
mod offsets;
pub mod outcome_counters;
pub mod verifier;
