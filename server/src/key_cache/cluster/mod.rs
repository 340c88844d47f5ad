//! Coordination of several nodes that share one PostgreSQL database: see `docs/leases.md`.

pub mod identity;
pub mod lease;
pub(crate) mod notifications;
pub(crate) mod replication;
