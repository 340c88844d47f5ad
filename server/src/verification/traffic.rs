//! Who used a key, and who was refused with it: counted in memory, off the request's path, and written down
//! once a minute. What was counted in the last minute before a crash is lost; nothing else depends on it.

use super::Caller;
use super::hex;
use super::index::Id;
use super::live::{Happening, Live};
use crate::store::{Store, StoreError, detached, traffic as rows};
use app::domain::timestamp::Timestamp;
use app::domain::traffic::{Program, Reason, Refused, Traffic as Known, Use};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::net::IpAddr;
use std::sync::Arc;

/// A power of two.
const SHARDS: usize = 16;
/// Keys whose use is remembered in each shard until it is written down. With more in one minute, some are
/// noted a minute later.
const KEYS_A_SHARD: usize = 8_192;
/// Programs that are told apart for each key until they are written down.
const PROGRAMS_A_KEY: usize = 20;
/// Keys of which refusals are remembered until they are written down.
const REFUSED_KEYS: usize = 10_000;
/// Bytes of a `User-Agent` that are remembered.
const AGENT: usize = 100;
/// Keys that are written down in one transaction, so that other changes need not wait long for their turn.
const KEYS_A_WRITE: usize = 64;

/// How often one program did the same with one key.
#[derive(Clone, Debug)]
struct Count {
    /// `None` for those that are not told apart.
    address: Option<IpAddr>,
    agent: Box<str>,
    /// Why it was refused; `None` if it was let in.
    refused: Option<Reason>,
    times: u64,
    last_at: Timestamp,
}

/// Most keys are used by one program, which is counted beside the key itself.
type Counts = HashMap<Id, SmallVec<[Count; 1]>>;

/// What was counted and is not written down yet.
#[derive(Default)]
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
            count(&mut shard.lock(), KEYS_A_SHARD, key, caller, None, now);
        }
        let what = if is_old { Happening::OldUsed } else { Happening::Used };
        self.live.tell(key, now, what, || program(caller));
    }

    /// Counts a refusal of a request whose secret is this key's. Answers whether it is the first of its kind since
    /// the last were written down.
    pub(super) fn refused(&self, key: Id, reason: Reason, caller: Caller<'_>, now: Timestamp) -> bool {
        self.live.tell(key, now, Happening::Refused(reason), || program(caller));
        count(&mut self.refused.lock(), REFUSED_KEYS, key, caller, Some(reason), now)
    }

    /// Counts a refusal of a request that named this Key ID, of which there may be no key, with another secret.
    pub(super) fn claimed(&self, key: Id, caller: Caller<'_>, now: Timestamp) {
        let reason = Reason::WrongSecret;
        self.live.tell(key, now, Happening::Refused(reason), || program(caller));
        count(&mut self.claimed.lock(), REFUSED_KEYS, key, caller, Some(reason), now);
    }

    /// When a key was last used and by whom, as far as it is not written down yet.
    pub fn last_use(&self, key: &Id) -> Option<(Timestamp, Program)> {
        let shard = self.shard(key)?.lock();
        let last = shard.get(key)?.iter().max_by_key(|count| count.last_at)?;
        Some((last.last_at, last.program()))
    }

    /// Adds to what is written down about a key what is not yet.
    pub fn add_to(&self, known: &mut Known, key: &Id) {
        let uses = self.shard(key).and_then(|shard| shard.lock().get(key).cloned()).unwrap_or_default();
        for new in uses.iter().map(Count::to_use) {
            match known.uses.iter_mut().find(|old| old.program == new.program) {
                Some(old) => (old.times, old.last_at) = (old.times + new.times, old.last_at.max(new.last_at)),
                None => known.uses.push(new),
            }
        }
        for counts in [&self.refused, &self.claimed] {
            let refused = counts.lock().get(key).cloned().unwrap_or_default();
            for new in refused.iter().filter_map(Count::to_refused) {
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
                let mut keys: Vec<Id> = counts.lock().keys().copied().collect();
                // In one order on all nodes, so that none waits for another that waits for it.
                keys.sort_unstable();
                for keys in keys.chunks(KEYS_A_WRITE) {
                    write(&store, counts, keys).await?;
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
    let written: Vec<(Id, SmallVec<[Count; 1]>)> = {
        let counts = counts.lock();
        keys.iter().filter_map(|key| Some((*key, counts.get(key)?.clone()))).collect()
    };
    let mut tx = store.begin().await?;
    for (key, counts) in &written {
        let key = hex(key);
        rows::hold(&mut tx, &key).await?;
        for count in counts {
            match count.to_refused() {
                None => rows::add_use(&mut tx, &key, &count.to_use()).await?,
                Some(refused) => rows::add_refused(&mut tx, &key, &refused).await?,
            }
        }
    }
    tx.commit().await?;
    let mut counts = counts.lock();
    for (key, written) in written {
        let Some(left) = counts.get_mut(&key) else { continue };
        for count in left.iter_mut() {
            let same = written.iter().find(|other| count.is_same(other.address, &other.agent, other.refused));
            count.times = count.times.saturating_sub(same.map_or(0, |written| written.times));
        }
        left.retain(|count| count.times > 0);
        if left.is_empty() {
            counts.remove(&key);
        }
    }
    Ok(())
}

/// Answers whether it is the first of its kind that is counted here.
fn count(
    counts: &mut Counts,
    most_keys: usize,
    key: Id,
    caller: Caller<'_>,
    refused: Option<Reason>,
    now: Timestamp,
) -> bool {
    let is_full = counts.len() >= most_keys;
    let of_key = match counts.entry(key) {
        Entry::Occupied(of_key) => of_key.into_mut(),
        Entry::Vacant(_) if is_full => return false,
        Entry::Vacant(of_key) => of_key.insert(SmallVec::new()),
    };
    let agent = shorten(caller.agent);
    let is_crowded = of_key.len() >= PROGRAMS_A_KEY;
    let found = of_key.iter_mut().find(|count| {
        count.is_same(Some(caller.address), agent, refused) || is_crowded && count.is_same(None, "", refused)
    });
    match found {
        Some(count) => {
            count.times += 1;
            count.last_at = count.last_at.max(now);
            false
        }
        None => {
            let (address, agent) = if is_crowded { (None, "") } else { (Some(caller.address), agent) };
            of_key.push(Count { address, agent: agent.into(), refused, times: 1, last_at: now });
            true
        }
    }
}

impl Count {
    fn is_same(&self, address: Option<IpAddr>, agent: &str, refused: Option<Reason>) -> bool {
        self.address == address && self.refused == refused && *self.agent == *agent
    }

    fn program(&self) -> Program {
        let address = self.address.map(|address| address.to_string()).unwrap_or_default();
        Program { address, agent: self.agent.to_string() }
    }

    fn to_use(&self) -> Use {
        Use { program: self.program(), times: self.times, last_at: self.last_at }
    }

    fn to_refused(&self) -> Option<Refused> {
        let (program, times, last_at) = (self.program(), self.times, self.last_at);
        self.refused.map(|reason| Refused { program, reason, times, last_at })
    }
}

fn program(caller: Caller<'_>) -> Program {
    Program { address: caller.address.to_string(), agent: shorten(caller.agent).to_owned() }
}

fn shorten(agent: &str) -> &str {
    agent.get(..AGENT).unwrap_or(agent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(n: u8, agent: &str) -> Caller<'_> {
        Caller { address: IpAddr::from([10, 0, 0, n]), agent }
    }

    #[test]
    fn programs_are_told_apart_up_to_a_number_and_counted_together_beyond() {
        let traffic = Traffic::default();
        for round in 0..2 {
            for n in 0..200 {
                traffic.used([1; 16], false, caller(n, "curl"), Timestamp(round));
            }
        }
        let mut known = Known::default();
        traffic.add_to(&mut known, &[1; 16]);
        assert_eq!(known.uses.len(), PROGRAMS_A_KEY + 1);
        assert_eq!(known.uses.iter().map(|used| used.times).sum::<u64>(), 400);
        let others = known.uses.iter().find(|used| used.program == Program::default()).unwrap();
        assert_eq!(others.times, 2 * (200 - PROGRAMS_A_KEY as u64));
    }

    #[test]
    fn strangers_who_name_many_key_ids_crowd_out_no_refusal_of_a_real_secret() {
        let traffic = Traffic::default();
        for n in 0..u32::try_from(REFUSED_KEYS).unwrap() + 10 {
            let mut key = [0; 16];
            key[..4].copy_from_slice(&n.to_le_bytes());
            traffic.claimed(key, caller(1, ""), Timestamp(0));
        }
        assert_eq!(traffic.claimed.lock().len(), REFUSED_KEYS);
        assert!(traffic.refused([7; 16], Reason::Expired, caller(1, ""), Timestamp(0)));
        assert!(!traffic.refused([7; 16], Reason::Expired, caller(1, ""), Timestamp(1)));
    }
}
