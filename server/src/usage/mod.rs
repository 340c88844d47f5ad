//! Usage of keys: which clients used a key, and which were denied. It is recorded off the request path.

pub mod counters;
pub mod live_events;
pub mod recorder;
