//! Records which clients used a key, and which were denied. Usage is counted in memory, off the request path, and
//! flushed to the database once a minute. A crash loses the usage since the last flush; nothing else depends on it.

use crate::client::Client;
use crate::ids::Id;
use crate::ids::hex;
use crate::store::usage::{self as rows, UnflushedUsage};
use crate::store::{Store, StoreError, spawn_transaction};
use crate::usage::counters::{Count, CountedUse, UsageCounters, truncate_user_agent};
use crate::usage::live_events::{EventKind, LiveEvents};
use app::domain::timestamp::Timestamp;
use app::domain::usage::{ClientName, ClientUse, DailyUsage, DenialReason, DeniedClient, KeyUsage};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// A power of two.
const SHARDS: usize = 16;
/// Limit of the use counters in each shard; there is one for each key and client. Once it is reached, further clients
/// of a key share one counter, and uses of further keys are not counted until the next flush.
const USES_PER_SHARD: usize = 14_000;
/// Limit of the counters of denied requests; there is one for each key, client and reason.
const DENIALS_LIMIT: usize = 30_000;
/// Keys per transaction of a flush. The limit keeps transactions short, so that other changes do not wait long.
const KEYS_PER_TRANSACTION: usize = 256;
/// Pause between batches, as a multiple of the batch's duration. It leaves the processors and the database to other
/// work.
const PAUSE_FACTOR: u32 = 3;
/// Limit of the pause. Even with a slow database, the uses of one minute are flushed in about a minute.
const MAX_PAUSE: Duration = Duration::from_millis(100);

/// Counts usage in memory until it is flushed.
pub struct UsageRecorder {
    /// Publishes each event to watchers.
    pub live: Arc<LiveEvents>,
    uses: [Mutex<UsageCounters>; SHARDS],
    /// Denied requests that presented a secret of the key.
    denied: Mutex<UsageCounters>,
    /// Denied requests that presented the Key ID without a secret of the key. Any client can send these. They have
    /// separate counters, so that they cannot exhaust the limit of `denied`.
    denied_by_id: Mutex<UsageCounters>,
    /// Serialises flushes, so that no count is flushed twice.
    flush_lock: tokio::sync::Mutex<()>,
    /// Once it is cancelled, flushes do not pause between batches.
    pub flush_without_pauses: CancellationToken,
}

impl Default for UsageRecorder {
    fn default() -> Self {
        let with_limit = |limit| Mutex::new(UsageCounters::with_limit(limit));
        Self {
            live: Arc::default(),
            uses: std::array::from_fn(|_| with_limit(USES_PER_SHARD)),
            denied: with_limit(DENIALS_LIMIT),
            denied_by_id: with_limit(DENIALS_LIMIT),
            flush_lock: tokio::sync::Mutex::default(),
            flush_without_pauses: CancellationToken::new(),
        }
    }
}

impl std::fmt::Debug for UsageRecorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UsageRecorder").finish_non_exhaustive()
    }
}

impl UsageRecorder {
    /// Counts a use of the key, with its current or its previous secret.
    pub(crate) fn allowed(&self, key: Id, is_previous: bool, client: Client<'_>, now: Timestamp) {
        if let Some(shard) = self.shard(&key) {
            let outcome = if is_previous { CountedUse::AllowedWithPrevious } else { CountedUse::Allowed };
            shard.lock().count(key, client, outcome, "", now);
        }
        let what = if is_previous { EventKind::PreviousUsed } else { EventKind::Used };
        self.live.publish(key, now, what, || name_of(client));
    }

    /// Counts a denied request that presented a secret of the key, and the scope that it lacked; empty for other reasons.
    /// Returns true if this is the first such request since the last flush.
    pub(crate) fn denied(
        &self,
        key: Id,
        reason: DenialReason,
        scope: &str,
        client: Client<'_>,
        now: Timestamp,
    ) -> bool {
        self.live.publish(key, now, EventKind::Denied(reason), || name_of(client));
        self.denied.lock().count(key, client, CountedUse::Denied(reason), scope, now)
    }

    /// Counts a denied request that presented this Key ID with a secret of no key or of another key. A key with this id
    /// need not exist.
    pub(crate) fn denied_by_id(&self, key: Id, client: Client<'_>, now: Timestamp) {
        let reason = DenialReason::WrongSecret;
        self.live.publish(key, now, EventKind::Denied(reason), || name_of(client));
        self.denied_by_id.lock().count(key, client, CountedUse::Denied(reason), "", now);
    }

    /// The time and the client of the key's last use that is not flushed yet.
    pub fn last_use(&self, key: &Id) -> Option<(Timestamp, ClientName)> {
        self.last_use_where(key, |_| true)
    }

    /// As [`Self::last_use`], of the key's previous secret.
    pub fn last_use_of_previous(&self, key: &Id) -> Option<(Timestamp, ClientName)> {
        self.last_use_where(key, |count| count.outcome == CountedUse::AllowedWithPrevious)
    }

    fn last_use_where(&self, key: &Id, is_meant: impl Fn(&Count) -> bool) -> Option<(Timestamp, ClientName)> {
        let shard = self.shard(key)?.lock();
        let last = shard.of(*key).filter(is_meant).max_by_key(|count| count.last_at)?;
        Some((last.last_at, last.client()))
    }

    /// Adds the usage that is not flushed yet to `usage`, which was read from the database.
    pub fn add_unflushed(&self, usage: &mut KeyUsage, key: &Id) {
        let of = |counters: &Mutex<UsageCounters>| counters.lock().of(*key).collect::<Vec<_>>();
        for new in self.shard(key).map(of).unwrap_or_default().iter().filter_map(Count::to_use) {
            match usage.uses.iter_mut().find(|old| old.client == new.client) {
                Some(old) => (old.times, old.last_at) = (old.times + new.times, old.last_at.max(new.last_at)),
                None => usage.uses.push(new),
            }
        }
        for counters in [&self.denied, &self.denied_by_id] {
            for new in of(counters).iter().filter_map(Count::to_denied) {
                let same = |old: &&mut DeniedClient| {
                    (&old.client, old.reason, &old.scope) == (&new.client, new.reason, &new.scope)
                };
                match usage.denied.iter_mut().find(same) {
                    Some(old) => {
                        (old.times, old.last_at) = (old.times + new.times, old.last_at.max(new.last_at))
                    }
                    None => usage.denied.push(new),
                }
            }
        }
        usage.uses.sort_by_key(|used| std::cmp::Reverse(used.last_at));
        usage.denied.sort_by_key(|denied| std::cmp::Reverse(denied.last_at));
    }

    /// Adds the requests that are not flushed yet to `usage`, which was read from the database.
    pub fn add_unflushed_days(&self, usage: &mut DailyUsage, key: &Id) {
        for counters in self.shard(key).into_iter().chain([&self.denied, &self.denied_by_id]) {
            for count in counters.lock().of(*key) {
                usage.add(count.last_at.day(), count.to_day_usage());
            }
        }
    }

    /// Flushes the counters to the database.
    ///
    /// # Errors
    /// The database does not respond. The counts that were not flushed are kept for the next flush.
    pub async fn flush(self: &Arc<Self>, store: &Store) -> Result<(), StoreError> {
        let recorder = Arc::clone(self);
        let store = store.clone();
        spawn_transaction(async move {
            let _flush_guard = recorder.flush_lock.lock().await;
            for counters in recorder.uses.iter().chain([&recorder.denied, &recorder.denied_by_id]) {
                let mut keys = counters.lock().keys();
                // All nodes lock keys in the same order, which prevents deadlocks.
                keys.sort_unstable();
                keys.dedup();
                for keys in keys.chunks(KEYS_PER_TRANSACTION) {
                    let started = Instant::now();
                    flush_keys(&store, counters, keys).await?;
                    let pause = (PAUSE_FACTOR * started.elapsed()).min(MAX_PAUSE);
                    recorder.flush_without_pauses.run_until_cancelled(sleep(pause)).await;
                }
            }
            Ok(())
        })
        .await
    }

    fn shard(&self, key: &Id) -> Option<&Mutex<UsageCounters>> {
        // The last byte of a version 7 UUID is random.
        let [.., last] = *key;
        self.uses.get(usize::from(last) % SHARDS)
    }
}

/// Flushes the counts of some keys, and subtracts them from the counters once the transaction is committed.
async fn flush_keys(store: &Store, counters: &Mutex<UsageCounters>, keys: &[Id]) -> Result<(), StoreError> {
    let flushed: Vec<(Id, Vec<Count>)> = {
        let counters = counters.lock();
        keys.iter().map(|key| (*key, counters.of(*key).collect())).collect()
    };
    let seen: Vec<UnflushedUsage> = flushed
        .iter()
        .map(|(key, counts)| UnflushedUsage {
            key: hex(key),
            uses: by_client(counts.iter().filter_map(Count::to_use)),
            last_of_previous: counts
                .iter()
                .filter(|count| count.outcome == CountedUse::AllowedWithPrevious)
                .max_by_key(|count| count.last_at)
                .and_then(Count::to_use),
            denied: counts.iter().filter_map(Count::to_denied).collect(),
        })
        .collect();
    let mut tx = store.begin().await?;
    rows::add(&mut tx, &seen).await?;
    tx.commit().await?;
    let mut counters = counters.lock();
    flushed.iter().for_each(|(key, counts)| counters.subtract(key, counts));
    Ok(())
}

/// Merges the uses of both secrets of a key.
fn by_client(uses: impl Iterator<Item = ClientUse>) -> Vec<ClientUse> {
    uses.fold(Vec::new(), |mut merged: Vec<ClientUse>, new| {
        match merged.iter_mut().find(|known| known.client == new.client) {
            Some(known) => {
                (known.times, known.last_at) = (known.times + new.times, known.last_at.max(new.last_at));
            }
            None => merged.push(new),
        }
        merged
    })
}

fn name_of(client: Client<'_>) -> ClientName {
    ClientName {
        address: client.address.to_string(),
        agent: truncate_user_agent(client.user_agent).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn requests_with_many_key_ids_do_not_displace_denials_of_real_secrets() {
        let recorder = UsageRecorder::default();
        let client = Client { address: IpAddr::from([10, 0, 0, 1]), user_agent: "" };
        for n in 0..u32::try_from(DENIALS_LIMIT).unwrap() + 10 {
            let mut key = [0; 16];
            key[..4].copy_from_slice(&n.to_le_bytes());
            recorder.denied_by_id(key, client, Timestamp(0));
        }
        assert_eq!(recorder.denied_by_id.lock().keys().len(), DENIALS_LIMIT);
        assert!(recorder.denied([7; 16], DenialReason::Expired, "", client, Timestamp(0)));
        assert!(!recorder.denied([7; 16], DenialReason::Expired, "", client, Timestamp(1)));
    }
}
