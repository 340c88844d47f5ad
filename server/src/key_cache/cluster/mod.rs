//! Several nodes on one PostgreSQL: `docs/leases.md`.

pub mod lease;
pub(crate) mod notifications;
pub(crate) mod replication;
