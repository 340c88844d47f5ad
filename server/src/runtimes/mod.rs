//! Runtimes: external processes that are connected as a Mecha over WebSocket. `docs/runtime.md` is the contract.
//!
//! [`registry`] is what the rest of the server uses; [`connections`] holds the connections of this node; [`session`] serves one of them; [`worker`] disconnects those whose
//! key has ended, stores their states, and executes what owners ask for.

pub(crate) mod callers;
pub(crate) mod connections;
pub(crate) mod counters;
pub(crate) mod forwarding;
pub(crate) mod frames;
mod registry;
pub(crate) mod requests;
pub(crate) mod session;
pub(crate) mod socket;
pub(crate) mod triggers;
pub(crate) mod worker;

pub use registry::{RuntimeLimits, Runtimes};
