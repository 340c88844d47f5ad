//! Counts requests by key, client and outcome, in memory.
//!
//! With many keys, cache misses dominate the cost of counting. A counter is therefore one block of 32 bytes, and refers
//! to its client by a number.

use crate::client::Client;
use crate::ids::Id;
use app::domain::timestamp::Timestamp;
use app::domain::usage::{ClientName, ClientUse, DayUsage, DenialReason, DeniedClient};
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;
use std::net::IpAddr;

/// Limit of the counters of each key. Once it is reached, further clients share a counter: that of [`OTHER_CLIENTS`].
const COUNTERS_PER_KEY: usize = 20;
/// Limit of a recorded `User-Agent`, in bytes.
const USER_AGENT_LIMIT: usize = 100;

/// Counters of requests, by key, client and outcome. Their number is limited.
#[derive(Debug)]
pub(crate) struct UsageCounters {
    limit: usize,
    counters: HashTable<Counter>,
    clients: Clients,
    hasher: DefaultHashBuilder,
}

#[derive(Debug)]
struct Counter {
    key: Id,
    last_at: Timestamp,
    times: u32,
    /// The number of the client, and of the scope that its requests lacked, in [`Clients`].
    client: u16,
    outcome: CountedUse,
}

/// The outcome of the requests that a counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CountedUse {
    /// Allowed with the current secret of the key.
    Allowed,
    /// Allowed with the previous secret of the key.
    AllowedWithPrevious,
    /// Denied.
    Denied(DenialReason),
}

/// The requests of one client with one key and the same outcome.
#[derive(Clone, Debug)]
pub(crate) struct Count {
    /// `None` for clients that share a counter.
    address: Option<IpAddr>,
    agent: Box<str>,
    /// The scope that the key lacked; empty for other outcomes.
    scope: Box<str>,
    /// The outcome of the requests.
    pub(crate) outcome: CountedUse,
    times: u32,
    /// When the last request was counted.
    pub(crate) last_at: Timestamp,
}

impl UsageCounters {
    /// Creates counters with a limit. Once it is reached, further clients of a key share a counter, and requests with
    /// further keys are not counted.
    pub(crate) fn with_limit(limit: usize) -> Self {
        Self {
            limit,
            counters: HashTable::new(),
            clients: Clients::default(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// Counts a request, and the scope that its key lacked; empty for other outcomes. Returns true if this is the first such
    /// request since the last flush.
    pub(crate) fn count(
        &mut self,
        key: Id,
        client: Client<'_>,
        outcome: CountedUse,
        scope: &str,
        now: Timestamp,
    ) -> bool {
        let hash = self.hasher.hash_one(key);
        let name = (Some(client.address), truncate_user_agent(client.user_agent), scope);
        let known = self.clients.find(name);
        if known.is_some_and(|client| self.increment(hash, &key, client, outcome, now)) {
            return false;
        }
        let is_full = self.counters.len() >= self.limit;
        let of_key = self.counters.iter_hash(hash).filter(|counter| counter.key == key).count();
        let client =
            if is_full || of_key >= COUNTERS_PER_KEY { OTHER_CLIENTS } else { self.clients.number(name) };
        if self.increment(hash, &key, client, outcome, now) || is_full && of_key == 0 {
            return false;
        }
        self.insert(Counter { key, last_at: now, times: 1, client, outcome });
        true
    }

    /// The keys that have counters. A key with several counters occurs several times.
    pub(crate) fn keys(&self) -> Vec<Id> {
        self.counters.iter().map(|counter| counter.key).collect()
    }

    /// The counts of a key.
    pub(crate) fn of(&self, key: Id) -> impl Iterator<Item = Count> {
        let of_key =
            self.counters.iter_hash(self.hasher.hash_one(key)).filter(move |counter| counter.key == key);
        of_key.map(|counter| {
            let (address, agent, scope) = self.clients.get(counter.client);
            let Counter { outcome, times, last_at, .. } = *counter;
            Count { address, agent: agent.into(), scope: scope.into(), outcome, times, last_at }
        })
    }

    /// Subtracts flushed counts of a key. Requests that were counted during the flush remain.
    pub(crate) fn subtract(&mut self, key: &Id, counts: &[Count]) {
        let hash = self.hasher.hash_one(key);
        for Count { address, agent, scope, outcome, times, .. } in counts {
            let Some(client) = self.clients.find((*address, agent, scope)) else { continue };
            let Ok(mut counter) = self.counters.find_entry(hash, |counter| counter.is(key, client, *outcome))
            else {
                continue;
            };
            counter.get_mut().times = counter.get().times.saturating_sub(*times);
            if counter.get().times == 0 {
                counter.remove();
            }
        }
        // Not on every call: it visits all remaining counters.
        if self.clients.names.len() > 2 * self.counters.len() + 16 {
            self.remove_unused_clients();
        }
    }

    /// Removes clients that no counter refers to.
    fn remove_unused_clients(&mut self) {
        let (counters, clients) = (std::mem::take(&mut self.counters), std::mem::take(&mut self.clients));
        for counter in counters {
            let client = self.clients.number(clients.get(counter.client));
            self.insert(Counter { client, ..counter });
        }
    }

    /// Increments an existing counter. Returns false if there is none.
    fn increment(&mut self, hash: u64, key: &Id, client: u16, outcome: CountedUse, now: Timestamp) -> bool {
        let Some(counter) = self.counters.find_mut(hash, |counter| counter.is(key, client, outcome)) else {
            return false;
        };
        counter.times = counter.times.saturating_add(1);
        counter.last_at = counter.last_at.max(now);
        true
    }

    fn insert(&mut self, counter: Counter) {
        let hash = |key: &Id| self.hasher.hash_one(key);
        self.counters.insert_unique(hash(&counter.key), counter, |counter| hash(&counter.key));
    }
}

impl Counter {
    fn is(&self, key: &Id, client: u16, outcome: CountedUse) -> bool {
        self.key == *key && self.client == client && self.outcome == outcome
    }
}

impl Count {
    /// The client; empty for clients that share a counter.
    pub(crate) fn client(&self) -> ClientName {
        let address = self.address.map(|address| address.to_string()).unwrap_or_default();
        ClientName { address, agent: self.agent.to_string() }
    }

    /// Converts the count to a use. `None` if the requests were denied.
    pub(crate) fn to_use(&self) -> Option<ClientUse> {
        let is_allowed = !matches!(self.outcome, CountedUse::Denied(_));
        let (client, times, last_at) = (self.client(), self.times.into(), self.last_at);
        is_allowed.then_some(ClientUse { client, times, last_at })
    }

    /// Converts the count to usage of the day of its last request.
    pub(crate) fn to_day_usage(&self) -> DayUsage {
        match self.outcome {
            CountedUse::Denied(_) => DayUsage { allowed: 0, denied: self.times.into() },
            _ => DayUsage { allowed: self.times.into(), denied: 0 },
        }
    }

    /// Converts the count to a denial. `None` if the requests were allowed.
    pub(crate) fn to_denied(&self) -> Option<DeniedClient> {
        let CountedUse::Denied(reason) = self.outcome else { return None };
        Some(DeniedClient {
            client: self.client(),
            reason,
            scope: self.scope.to_string(),
            times: self.times.into(),
            last_at: self.last_at,
        })
    }
}

/// The number of all clients that share a counter.
const OTHER_CLIENTS: u16 = 0;

/// The address and `User-Agent` of a client, and the scope that the keys of its requests lacked.
type Name<'n> = (Option<IpAddr>, &'n str, &'n str);

/// Assigns numbers to clients, and to the scopes that their requests lacked: few requests lack one, and a number for both
/// keeps the counters small.
#[derive(Debug)]
struct Clients {
    /// The parts of each [`Name`], by number.
    names: Vec<(Option<IpAddr>, Box<str>, Box<str>)>,
    numbers: HashTable<u16>,
    hasher: DefaultHashBuilder,
}

impl Default for Clients {
    fn default() -> Self {
        let mut clients =
            Self { names: Vec::new(), numbers: HashTable::new(), hasher: DefaultHashBuilder::default() };
        // The first number is OTHER_CLIENTS.
        clients.number((None, "", ""));
        clients
    }
}

impl Clients {
    fn get(&self, number: u16) -> Name<'_> {
        self.names.get(usize::from(number)).map_or((None, "", ""), name)
    }

    fn find(&self, name: Name<'_>) -> Option<u16> {
        let hash = self.hasher.hash_one(name);
        self.numbers.find(hash, |number| self.get(*number) == name).copied()
    }

    /// The number of a name, which is assigned if the name is new. [`OTHER_CLIENTS`] if all numbers are in use.
    fn number(&mut self, new: Name<'_>) -> u16 {
        if let Some(number) = self.find(new) {
            return number;
        }
        let Ok(number) = u16::try_from(self.names.len()) else { return OTHER_CLIENTS };
        let (address, agent, scope) = new;
        self.names.push((address, agent.into(), scope.into()));
        let Self { names, numbers, hasher } = self;
        let hash =
            |number: &u16| names.get(usize::from(*number)).map_or(0, |parts| hasher.hash_one(name(parts)));
        numbers.insert_unique(hash(&number), number, hash);
        number
    }
}

fn name((address, agent, scope): &(Option<IpAddr>, Box<str>, Box<str>)) -> Name<'_> {
    (*address, agent, scope)
}

/// Shortens a `User-Agent` to the recorded length.
pub(crate) fn truncate_user_agent(agent: &str) -> &str {
    agent.get(..USER_AGENT_LIMIT).unwrap_or(agent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn client(n: u8) -> Client<'static> {
        Client { address: IpAddr::from([10, 0, 0, n]), user_agent: "curl" }
    }

    #[test]
    fn a_counter_has_32_bytes() {
        assert_eq!(size_of::<Counter>(), 32);
    }

    proptest! {
        #[test]
        fn counters_behave_like_a_map(
            steps in proptest::collection::vec((0u8..4, 0u8..6, any::<bool>(), 0u8..8), 1..300)
        ) {
            let (mut counters, mut map) = (UsageCounters::with_limit(1_000), BTreeMap::<(u8, String, bool), u32>::new());
            let of = |counters: &UsageCounters, key: u8| {
                let all = counters.of([key; 16]);
                let named = |count: Count| ((key, count.client().address, count.outcome != CountedUse::Allowed), count.times);
                all.map(named).collect::<Vec<_>>()
            };
            for (at, (key, n, is_denied, step)) in steps.into_iter().enumerate() {
                if step == 0 {
                    // A request that is counted during a flush remains.
                    let flushed: Vec<Count> = counters.of([key; 16]).collect();
                    counters.count([key; 16], client(n), CountedUse::Allowed, "", Timestamp(0));
                    counters.subtract(&[key; 16], &flushed);
                    map.retain(|(of, ..), _| *of != key);
                    map.insert((key, format!("10.0.0.{n}"), false), 1);
                } else {
                    let outcome = if is_denied { CountedUse::Denied(DenialReason::Expired) } else { CountedUse::Allowed };
                    let times = map.entry((key, format!("10.0.0.{n}"), is_denied)).or_default();
                    *times += 1;
                    let is_first = counters.count([key; 16], client(n), outcome, "", Timestamp(at as i64));
                    prop_assert_eq!(is_first, *times == 1);
                }
                let counted: BTreeMap<_, _> = (0..4).flat_map(|key| of(&counters, key)).collect();
                prop_assert_eq!(&counted, &map);
                let keys: BTreeSet<_> = map.keys().map(|(key, ..)| [*key; 16]).collect();
                prop_assert_eq!(BTreeSet::from_iter(counters.keys()), keys);
            }
        }
    }

    #[test]
    fn clients_beyond_the_limit_of_a_key_share_a_counter() {
        let mut counters = UsageCounters::with_limit(1_000);
        for _ in 0..2 {
            for n in 0..200 {
                counters.count([1; 16], client(n), CountedUse::Allowed, "", Timestamp(0));
            }
        }
        let all: Vec<Count> = counters.of([1; 16]).collect();
        assert_eq!(all.len(), COUNTERS_PER_KEY + 1);
        assert_eq!(all.iter().map(|count| count.times).sum::<u32>(), 400);
        let others = all.iter().find(|count| count.client() == ClientName::default()).unwrap();
        assert_eq!(others.times, 2 * (200 - COUNTERS_PER_KEY as u32));
    }

    #[test]
    fn clients_without_counters_are_removed() {
        let mut counters = UsageCounters::with_limit(1_000);
        for n in 0..100 {
            counters.count([n; 16], client(n), CountedUse::Allowed, "", Timestamp(0));
        }
        for n in 0..99 {
            let flushed: Vec<Count> = counters.of([n; 16]).collect();
            counters.subtract(&[n; 16], &flushed);
        }
        assert!(counters.clients.names.len() < 20);
        assert_eq!(counters.of([99; 16]).next().unwrap().client().address, "10.0.0.99");
    }
}
