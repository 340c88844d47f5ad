//! What the operator's monitoring sees (OpenMetrics 1.0). Labels have few values: never a key, an account or an
//! address.

use crate::key_cache::verifier::Verifier;
use crate::services::accounts::Accounts;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

/// One in so many verifications is timed: asking a clock twice would be a good part of what one costs.
pub const TIMED_VERIFICATIONS: u32 = 64;

/// What is counted while requests are answered. Copies count together.
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
    /// Counts a request that was answered. `route` is one of few.
    pub fn answered(&self, route: String, status: u16, took: Duration) {
        self.requests.get_or_create(&Request { route, status }).observe(took.as_secs_f64());
    }

    /// Counts how long a verification took.
    pub fn verified(&self, took: Duration) {
        self.verifications.observe(took.as_secs_f64());
    }

    /// All of it as text.
    ///
    /// # Errors
    /// It cannot be written, which is a defect.
    pub fn text(&self, accounts: &Accounts, verifier: &Verifier) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::with_prefix("mecha");
        registry.register_with_unit(
            "http_request_duration",
            "Time to the head of the answer, but for /verify",
            Unit::Seconds,
            self.requests.clone(),
        );
        registry.register_with_unit(
            "verification_duration",
            "Time of one in 64 requests to /verify, inside the server",
            Unit::Seconds,
            self.verifications.clone(),
        );
        registry
            .register_collector(Box::new(State { accounts: accounts.clone(), verifier: verifier.clone() }));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

/// What is asked for when somebody wants to know.
#[derive(Debug)]
struct State {
    accounts: Accounts,
    verifier: Verifier,
}

impl Collector for State {
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
            "Password hashes by state, and the most that run at once",
            "state",
            hashes.map(|(state, count)| (state, number(count))).to_vec(),
        )?;
        let pools = self.accounts.store.pools();
        let connections = pools.map(|(pool, size, _)| (pool, number(size))).to_vec();
        family("database_connections", "Connections to the database", "pool", connections)?;
        let idle = pools.map(|(pool, _, idle)| (pool, number(idle))).to_vec();
        family("database_connections_idle", "Connections to the database that nobody uses", "pool", idle)?;
        family(
            "held_in_memory",
            "Secrets in the key cache, whether this node holds a lease, and pages that watch their keys",
            "what",
            vec![
                ("secrets", number(self.verifier.key_cache.index.len())),
                ("lease", i64::from(self.verifier.key_cache.lease.holds())),
                ("watching_pages", number(self.verifier.usage.live.watching())),
            ],
        )?;
        let counter = ConstCounter::new(0_u64).metric_type();
        let help = "Requests of programs by what came of them";
        let mut metric = encoder.encode_descriptor("verifications", help, None, counter)?;
        for (outcome, total) in self.verifier.outcomes.totals() {
            ConstCounter::new(total).encode(metric.encode_family(&[("outcome", outcome)])?)?;
        }
        Ok(())
    }
}
