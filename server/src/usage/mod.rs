//! Who used which key, and whose requests were rejected: recorded off the request path.

pub mod counters;
pub mod live_events;
pub mod recorder;
