//! The commands of the binary, one file each.

pub mod account;
pub mod backup;
pub mod copy;
pub mod healthcheck;
pub mod migrate;
pub mod restore;
pub mod serve;
