//! Counts connections and their ends, for the metrics.

use app::domain::runtime::EndReason;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

/// Counters of the connections of this node. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct RuntimeCounters {
    /// Runtimes that were welcomed.
    pub(crate) connects: Counter,
    /// Ends of connections, by reason.
    pub(crate) disconnects: Family<[(&'static str, &'static str); 1], Counter>,
    /// Time from when this node noticed that a key had ended until the socket was closed, in seconds.
    pub(crate) cuts: Histogram,
}

impl Default for RuntimeCounters {
    fn default() -> Self {
        Self {
            connects: Counter::default(),
            disconnects: Family::default(),
            // 0.25 ms to 8 s.
            cuts: Histogram::new(exponential_buckets(0.000_25, 2.0, 16)),
        }
    }
}

impl RuntimeCounters {
    /// Counts the end of a connection.
    pub(crate) fn disconnected(&self, reason: EndReason) {
        self.disconnects.get_or_create(&[("reason", reason.name())]).inc();
    }
}
