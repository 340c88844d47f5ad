//! Who used a key, and who was refused with it: counted in memory, off the request's path, and written down
//! once a minute. What was counted in the last minute before a crash is lost; nothing else depends on it.

use super::counts::{Count, Counts, shorten};
use super::index::Id;
use super::live::{Happening, Live};
use super::{Caller, hex};
use crate::store::traffic::{self as rows, Seen};
use crate::store::{Store, StoreError, detached};
use app::domain::timestamp::Timestamp;
use app::domain::traffic::{Program, Reason, Refused, Traffic as Known};
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
pub struct Traffic {
    /// Tells those who watch.
    pub live: Arc<Live>,
    uses: [Mutex<Counts>; SHARDS],
    /// Refusals of requests whose secret is a key's.
    refused: Mutex<Counts>,
    /// Refusals of requests that named a Key ID and have not its secret. Anybody can send these; kept apart, they
    /// crowd out no others.
    claimed: Mutex<Counts>,
    /// One writes at a time, so that nothing is written twice.
    writing: tokio::sync::Mutex<()>,
    /// Once it is cancelled, the writer takes no rest.
    pub hurry: CancellationToken,
}

impl Default for Traffic {
    fn default() -> Self {
        let up_to = |most| Mutex::new(Counts::up_to(most));
        Self {
            live: Arc::default(),
            uses: std::array::from_fn(|_| up_to(USES_A_SHARD)),
            refused: up_to(REFUSALS),
            claimed: up_to(REFUSALS),
            writing: tokio::sync::Mutex::default(),
            hurry: CancellationToken::new(),
        }
    }
}

impl std::fmt::Debug for Traffic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Traffic").finish_non_exhaustive()
    }
}

impl Traffic {
    /// Counts a use, with the key's secret or the old one.
    pub(super) fn used(&self, key: Id, is_old: bool, caller: Caller<'_>, now: Timestamp) {
        if let Some(shard) = self.shard(&key) {
            shard.lock().count(key, caller, None, now);
        }
        let what = if is_old { Happening::OldUsed } else { Happening::Used };
        self.live.tell(key, now, what, || program(caller));
    }

    /// Counts a refusal of a request whose secret is this key's. Answers whether it is the first of its kind since
    /// the last were written down.
    pub(super) fn refused(&self, key: Id, reason: Reason, caller: Caller<'_>, now: Timestamp) -> bool {
        self.live.tell(key, now, Happening::Refused(reason), || program(caller));
        self.refused.lock().count(key, caller, Some(reason), now)
    }

    /// Counts a refusal of a request that named this Key ID, of which there may be no key, with another secret.
    pub(super) fn claimed(&self, key: Id, caller: Caller<'_>, now: Timestamp) {
        let reason = Reason::WrongSecret;
        self.live.tell(key, now, Happening::Refused(reason), || program(caller));
        self.claimed.lock().count(key, caller, Some(reason), now);
    }

    /// When a key was last used and by whom, as far as it is not written down yet.
    pub fn last_use(&self, key: &Id) -> Option<(Timestamp, Program)> {
        let shard = self.shard(key)?.lock();
        let last = shard.of(*key).max_by_key(|count| count.last_at)?;
        Some((last.last_at, last.program()))
    }

    /// Adds to what is written down about a key what is not yet.
    pub fn add_to(&self, known: &mut Known, key: &Id) {
        let of = |counts: &Mutex<Counts>| counts.lock().of(*key).collect::<Vec<_>>();
        for new in self.shard(key).map(of).unwrap_or_default().iter().filter_map(Count::to_use) {
            match known.uses.iter_mut().find(|old| old.program == new.program) {
                Some(old) => (old.times, old.last_at) = (old.times + new.times, old.last_at.max(new.last_at)),
                None => known.uses.push(new),
            }
        }
        for counts in [&self.refused, &self.claimed] {
            for new in of(counts).iter().filter_map(Count::to_refused) {
                let same = |old: &&mut Refused| old.program == new.program && old.reason == new.reason;
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
    pub async fn write_down(self: &Arc<Self>, store: &Store) -> Result<(), StoreError> {
        let traffic = Arc::clone(self);
        let store = store.clone();
        detached(async move {
            let _turn = traffic.writing.lock().await;
            for counts in traffic.uses.iter().chain([&traffic.refused, &traffic.claimed]) {
                let mut keys = counts.lock().keys();
                // In one order on all nodes, so that none waits for another that waits for it.
                keys.sort_unstable();
                keys.dedup();
                for keys in keys.chunks(KEYS_A_WRITE) {
                    let began = Instant::now();
                    write(&store, counts, keys).await?;
                    let rest = (REST * began.elapsed()).min(LONGEST_REST);
                    traffic.hurry.run_until_cancelled(sleep(rest)).await;
                }
            }
            Ok(())
        })
        .await
    }

    fn shard(&self, key: &Id) -> Option<&Mutex<Counts>> {
        // The end of a UUID of version 7 is random.
        let [.., last] = *key;
        self.uses.get(usize::from(last) % SHARDS)
    }
}

/// Writes down the counts of some keys, and takes them away once they are there.
async fn write(store: &Store, counts: &Mutex<Counts>, keys: &[Id]) -> Result<(), StoreError> {
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

fn program(caller: Caller<'_>) -> Program {
    Program { address: caller.address.to_string(), agent: shorten(caller.agent).to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn strangers_who_name_many_key_ids_crowd_out_no_refusal_of_a_real_secret() {
        let traffic = Traffic::default();
        let caller = Caller { address: IpAddr::from([10, 0, 0, 1]), agent: "" };
        for n in 0..u32::try_from(REFUSALS).unwrap() + 10 {
            let mut key = [0; 16];
            key[..4].copy_from_slice(&n.to_le_bytes());
            traffic.claimed(key, caller, Timestamp(0));
        }
        assert_eq!(traffic.claimed.lock().keys().len(), REFUSALS);
        assert!(traffic.refused([7; 16], Reason::Expired, caller, Timestamp(0)));
        assert!(!traffic.refused([7; 16], Reason::Expired, caller, Timestamp(1)));
    }
}
