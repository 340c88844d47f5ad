//! Metrics for the operator (OpenMetrics 1.0). Label cardinality is bounded: no label contains a key, an account or an
//! address.

use crate::key_cache::verifier::Verifier;
use crate::runtimes::Runtimes;
use crate::services::accounts::Accounts;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

/// One of this many verifications is timed. Reading the clock twice would add considerably to the cost of each.
pub const VERIFICATIONS_PER_SAMPLE: u32 = 64;

/// Histograms that are updated by requests. Clones share state.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<Request, Histogram>,
    verifications: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    route: String,
    status: u16,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            // 0.25 ms to 8 s.
            requests: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_25, 2.0, 16))),
            // 0.25 µs to 8 ms.
            verifications: Histogram::new(exponential_buckets(0.000_000_25, 2.0, 16)),
        }
    }
}

impl Metrics {
    /// Records a response. `route` becomes a label, so it must have few values.
    pub fn record_response(&self, route: String, status: u16, duration: Duration) {
        self.requests.get_or_create(&Request { route, status }).observe(duration.as_secs_f64());
    }

    /// Records the duration of a verification.
    pub fn record_verification(&self, duration: Duration) {
        self.verifications.observe(duration.as_secs_f64());
    }

    /// Encodes all metrics in the OpenMetrics text format.
    ///
    /// # Errors
    /// The encoder failed, which is a defect.
    pub fn text(
        &self,
        accounts: &Accounts,
        verifier: &Verifier,
        runtimes: &Runtimes,
    ) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::with_prefix("mecha");
        registry.register_with_unit(
            "http_request_duration",
            "Time until the response head, for all requests except /verify",
            Unit::Seconds,
            self.requests.clone(),
        );
        registry.register_with_unit(
            "verification_duration",
            "Time inside the server for one in 64 requests to /verify",
            Unit::Seconds,
            self.verifications.clone(),
        );
        let counters = runtimes.counters();
        registry.register("runtime_connects", "Runtimes that connected", counters.connects.clone());
        let help = "Connections of runtimes that ended, by reason";
        registry.register("runtime_disconnects", help, counters.disconnects.clone());
        registry.register_with_unit(
            "runtime_cut_duration",
            "Time from when this server noticed that a key had ended until the socket of its runtime was closed",
            Unit::Seconds,
            counters.cuts.clone(),
        );
        registry.register_collector(Box::new(CurrentState {
            accounts: accounts.clone(),
            verifier: verifier.clone(),
            runtimes: runtimes.clone(),
        }));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

/// Metrics that are read when they are encoded.
#[derive(Debug)]
struct CurrentState {
    accounts: Accounts,
    verifier: Verifier,
    runtimes: Runtimes,
}

impl Collector for CurrentState {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut family = |name: &str, help: &str, label: &str, values: Vec<(&str, i64)>| {
            let kind = ConstGauge::new(0_i64).metric_type();
            let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
            for (value, number) in values {
                ConstGauge::new(number).encode(metric.encode_family(&[(label, value)])?)?;
            }
            Ok::<_, std::fmt::Error>(())
        };
        let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let passwords = self.accounts.passwords.load();
        let hashes =
            [("running", passwords.running), ("waiting", passwords.waiting), ("most", passwords.most)];
        family(
            "password_hashes",
            "Password hashes by state, and the limit of concurrent ones",
            "state",
            hashes.map(|(state, count)| (state, number(count))).to_vec(),
        )?;
        let pools = self.accounts.store.pools();
        let connections = pools.map(|(pool, size, _)| (pool, number(size))).to_vec();
        family("database_connections", "Connections to the database", "pool", connections)?;
        let idle = pools.map(|(pool, _, idle)| (pool, number(idle))).to_vec();
        family("database_connections_idle", "Idle connections to the database", "pool", idle)?;
        family(
            "held_in_memory",
            "Secrets in the key cache, whether this node holds a lease, and pages that watch live events",
            "what",
            vec![
                ("secrets", number(self.verifier.key_cache.index.len())),
                ("lease", i64::from(self.verifier.key_cache.lease.holds())),
                ("watching_pages", number(self.verifier.usage.live.watcher_count())),
            ],
        )?;
        let states = self.runtimes.states().map(|(state, count)| (state.name(), number(count))).to_vec();
        family("runtimes", "Runtimes that are connected to this server, by state", "state", states)?;
        ConstGauge::new(number(self.runtimes.triggers())).encode(encoder.encode_descriptor(
            "triggers_in_flight",
            "Triggers whose response is not complete",
            None,
            ConstGauge::new(0_i64).metric_type(),
        )?)?;
        let counter = ConstCounter::new(0_u64).metric_type();
        let help = "Verifications by outcome";
        let mut metric = encoder.encode_descriptor("verifications", help, None, counter)?;
        for (outcome, total) in self.verifier.outcomes.totals() {
            ConstCounter::new(total).encode(metric.encode_family(&[("outcome", outcome)])?)?;
        }
        Ok(())
    }
}
