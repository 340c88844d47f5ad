//! What the binary does: one file per command.

pub mod account;
pub mod backup;
pub mod copy;
pub mod migrate;
pub mod restore;
pub mod serve;
