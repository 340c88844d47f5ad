//! Who used a key, and who was refused with it: counted in memory, off the request's path, and written down
//! once a minute. What was counted in the last minute before a crash is lost; nothing else depends on it.

use crate::client::Client;
use crate::ids::Id;
use crate::ids::hex;
use crate::store::usage::{self as rows, Seen};
use crate::store::{Store, StoreError, spawn_transaction};
use crate::usage::counters::{Count, UsageCounters, shorten};
use crate::usage::live_events::{EventKind, LiveEvents};
use app::domain::timestamp::Timestamp;
use app::domain::usage::{ClientName, DenialReason, DeniedClient, KeyUsage as Known};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// A power of two.
const SHARDS: usize = 16;
/// Programs, for each key, whose use is remembered in each shard until it is written down. With more in one minute,
/// they are not told apart, and other keys are noted when they are used again.
const USES_A_SHARD: usize = 14_000;
/// Programs, for each key and reason, whose refusal is remembered until it is written down.
const REFUSALS: usize = 30_000;
/// Keys that are written down in one transaction, so that other changes need not wait long for their turn.
const KEYS_A_WRITE: usize = 256;
/// How many times as long as it wrote, the writer then leaves the processors and the database to others.
const REST: u32 = 3;
/// However slow the database is, a minute's uses are written down in about a minute.
const LONGEST_REST: Duration = Duration::from_millis(100);

/// What was counted and is not written down yet.
pub struct UsageRecorder {
    /// Tells those who watch.
    pub live: Arc<LiveEvents>,
    uses: [Mutex<UsageCounters>; SHARDS],
    /// Refusals of requests whose secret is a key's.
    denied: Mutex<UsageCounters>,
    /// Refusals of requests that named a Key ID and have not its secret. Anybody can send these; kept apart, they
    /// crowd out no others.
    denied_by_id: Mutex<UsageCounters>,
    /// One writes at a time, so that nothing is written twice.
    writing: tokio::sync::Mutex<()>,
    /// Once it is cancelled, the writer takes no rest.
    pub no_pauses: CancellationToken,
}

impl Default for UsageRecorder {
    fn default() -> Self {
        let up_to = |most| Mutex::new(UsageCounters::up_to(most));
        Self {
            live: Arc::default(),
            uses: std::array::from_fn(|_| up_to(USES_A_SHARD)),
            denied: up_to(REFUSALS),
            denied_by_id: up_to(REFUSALS),
            writing: tokio::sync::Mutex::default(),
            no_pauses: CancellationToken::new(),
        }
    }
}

impl std::fmt::Debug for UsageRecorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UsageRecorder").finish_non_exhaustive()
    }
}

impl UsageRecorder {
    /// Counts a use, with the key's secret or the old one.
    pub(crate) fn allowed(&self, key: Id, is_previous: bool, client: Client<'_>, now: Timestamp) {
        if let Some(shard) = self.shard(&key) {
            shard.lock().count(key, client, None, now);
        }
        let what = if is_previous { EventKind::PreviousUsed } else { EventKind::Used };
        self.live.publish(key, now, what, || program(client));
    }

    /// Counts a refusal of a request whose secret is this key's. Answers whether it is the first of its kind since
    /// the last were written down.
    pub(crate) fn denied(&self, key: Id, reason: DenialReason, client: Client<'_>, now: Timestamp) -> bool {
        self.live.publish(key, now, EventKind::Denied(reason), || program(client));
        self.denied.lock().count(key, client, Some(reason), now)
    }

    /// Counts a refusal of a request that named this Key ID, of which there may be no key, with another secret.
    pub(crate) fn denied_by_id(&self, key: Id, client: Client<'_>, now: Timestamp) {
        let reason = DenialReason::WrongSecret;
        self.live.publish(key, now, EventKind::Denied(reason), || program(client));
        self.denied_by_id.lock().count(key, client, Some(reason), now);
    }

    /// When a key was last used and by whom, as far as it is not written down yet.
    pub fn last_use(&self, key: &Id) -> Option<(Timestamp, ClientName)> {
        let shard = self.shard(key)?.lock();
        let last = shard.of(*key).max_by_key(|count| count.last_at)?;
        Some((last.last_at, last.program()))
    }

    /// Adds to what is written down about a key what is not yet.
    pub fn add_to(&self, known: &mut Known, key: &Id) {
        let of = |counts: &Mutex<UsageCounters>| counts.lock().of(*key).collect::<Vec<_>>();
        for new in self.shard(key).map(of).unwrap_or_default().iter().filter_map(Count::to_use) {
            match known.uses.iter_mut().find(|old| old.program == new.program) {
                Some(old) => (old.times, old.last_at) = (old.times + new.times, old.last_at.max(new.last_at)),
                None => known.uses.push(new),
            }
        }
        for counts in [&self.denied, &self.denied_by_id] {
            for new in of(counts).iter().filter_map(Count::to_refused) {
                let same = |old: &&mut DeniedClient| old.program == new.program && old.reason == new.reason;
                match known.refused.iter_mut().find(same) {
                    Some(old) => {
                        (old.times, old.last_at) = (old.times + new.times, old.last_at.max(new.last_at))
                    }
                    None => known.refused.push(new),
                }
            }
        }
        known.uses.sort_by_key(|used| std::cmp::Reverse(used.last_at));
        known.refused.sort_by_key(|refused| std::cmp::Reverse(refused.last_at));
    }

    /// Writes down what was counted.
    ///
    /// # Errors
    /// The database does not answer; what was counted is then kept until the next time.
    pub async fn flush(self: &Arc<Self>, store: &Store) -> Result<(), StoreError> {
        let recorder = Arc::clone(self);
        let store = store.clone();
        spawn_transaction(async move {
            let _turn = recorder.writing.lock().await;
            for counts in recorder.uses.iter().chain([&recorder.denied, &recorder.denied_by_id]) {
                let mut keys = counts.lock().keys();
                // In one order on all nodes, so that none waits for another that waits for it.
                keys.sort_unstable();
                keys.dedup();
                for keys in keys.chunks(KEYS_A_WRITE) {
                    let began = Instant::now();
                    write(&store, counts, keys).await?;
                    let rest = (REST * began.elapsed()).min(LONGEST_REST);
                    recorder.no_pauses.run_until_cancelled(sleep(rest)).await;
                }
            }
            Ok(())
        })
        .await
    }

    fn shard(&self, key: &Id) -> Option<&Mutex<UsageCounters>> {
        // The end of a UUID of version 7 is random.
        let [.., last] = *key;
        self.uses.get(usize::from(last) % SHARDS)
    }
}

/// Writes down the counts of some keys, and takes them away once they are there.
async fn write(store: &Store, counts: &Mutex<UsageCounters>, keys: &[Id]) -> Result<(), StoreError> {
    let written: Vec<(Id, Vec<Count>)> = {
        let counts = counts.lock();
        keys.iter().map(|key| (*key, counts.of(*key).collect())).collect()
    };
    let seen: Vec<Seen> = written
        .iter()
        .map(|(key, counts)| Seen {
            key: hex(key),
            uses: counts.iter().filter_map(Count::to_use).collect(),
            refused: counts.iter().filter_map(Count::to_refused).collect(),
        })
        .collect();
    let mut tx = store.begin().await?;
    rows::add(&mut tx, &seen).await?;
    tx.commit().await?;
    let mut counts = counts.lock();
    written.iter().for_each(|(key, written)| counts.take_away(key, written));
    Ok(())
}

fn program(client: Client<'_>) -> ClientName {
    ClientName { address: client.address.to_string(), agent: shorten(client.user_agent).to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn strangers_who_name_many_key_ids_crowd_out_no_refusal_of_a_real_secret() {
        let recorder = UsageRecorder::default();
        let client = Client { address: IpAddr::from([10, 0, 0, 1]), user_agent: "" };
        for n in 0..u32::try_from(REFUSALS).unwrap() + 10 {
            let mut key = [0; 16];
            key[..4].copy_from_slice(&n.to_le_bytes());
            recorder.denied_by_id(key, client, Timestamp(0));
        }
        assert_eq!(recorder.denied_by_id.lock().keys().len(), REFUSALS);
        assert!(recorder.denied([7; 16], DenialReason::Expired, client, Timestamp(0)));
        assert!(!recorder.denied([7; 16], DenialReason::Expired, client, Timestamp(1)));
    }
}
