//! How often which program did the same with which key.
//!
//! With many keys, nearly all that counting costs is fetching memory that no cache holds: a counter is 32 bytes in one
//! place, and names its program by a number.

use crate::client::Client;
use crate::ids::Id;
use app::domain::timestamp::Timestamp;
use app::domain::usage::{ClientName, ClientUse, DenialReason, DeniedClient};
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;
use std::net::IpAddr;

/// Programs that are told apart for each key.
const PROGRAMS_A_KEY: usize = 20;
/// Bytes of a `User-Agent` that are remembered.
const AGENT: usize = 100;

/// What was counted, of so many keys and programs at most.
#[derive(Debug)]
pub(crate) struct UsageCounters {
    most: usize,
    counters: HashTable<Counter>,
    programs: Programs,
    hasher: DefaultHashBuilder,
}

#[derive(Debug)]
struct Counter {
    key: Id,
    last_at: Timestamp,
    times: u32,
    /// Its number among the programs.
    program: u16,
    /// Why it was refused; `None` if it was let in.
    refused: Option<DenialReason>,
}

/// How often one program did the same with one key.
#[derive(Clone, Debug)]
pub(crate) struct Count {
    /// `None` for those that are not told apart.
    address: Option<IpAddr>,
    agent: Box<str>,
    refused: Option<DenialReason>,
    times: u32,
    /// When last.
    pub(crate) last_at: Timestamp,
}

impl UsageCounters {
    /// When there are so many counters, no more programs are told apart, and other keys are not counted.
    pub(crate) fn up_to(most: usize) -> Self {
        Self {
            most,
            counters: HashTable::new(),
            programs: Programs::default(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// Answers whether it is the first of its kind that is counted here.
    pub(crate) fn count(
        &mut self,
        key: Id,
        client: Client<'_>,
        refused: Option<DenialReason>,
        now: Timestamp,
    ) -> bool {
        let hash = self.hasher.hash_one(key);
        let known = self.programs.find(Some(client.address), shorten(client.user_agent));
        if known.is_some_and(|program| self.add(hash, &key, program, refused, now)) {
            return false;
        }
        let is_full = self.counters.len() >= self.most;
        let of_key = self.counters.iter_hash(hash).filter(|counter| counter.key == key).count();
        let program = if is_full || of_key >= PROGRAMS_A_KEY {
            OTHERS
        } else {
            self.programs.number(Some(client.address), shorten(client.user_agent))
        };
        if self.add(hash, &key, program, refused, now) || is_full && of_key == 0 {
            return false;
        }
        self.insert(Counter { key, last_at: now, times: 1, program, refused });
        true
    }

    /// Which keys something was counted of, some of them more than once.
    pub(crate) fn keys(&self) -> Vec<Id> {
        self.counters.iter().map(|counter| counter.key).collect()
    }

    /// What was counted of a key.
    pub(crate) fn of(&self, key: Id) -> impl Iterator<Item = Count> {
        let of_key =
            self.counters.iter_hash(self.hasher.hash_one(key)).filter(move |counter| counter.key == key);
        of_key.map(|counter| {
            let (address, agent) = self.programs.get(counter.program);
            let Counter { refused, times, last_at, .. } = *counter;
            Count { address, agent: agent.into(), refused, times, last_at }
        })
    }

    /// Takes away what was counted of a key up to some moment.
    pub(crate) fn take_away(&mut self, key: &Id, counts: &[Count]) {
        let hash = self.hasher.hash_one(key);
        for Count { address, agent, refused, times, .. } in counts {
            let Some(program) = self.programs.find(*address, agent) else { continue };
            let Ok(mut counter) =
                self.counters.find_entry(hash, |counter| counter.is(key, program, *refused))
            else {
                continue;
            };
            counter.get_mut().times = counter.get().times.saturating_sub(*times);
            if counter.get().times == 0 {
                counter.remove();
            }
        }
        // Not each time: it looks at everything that is left.
        if self.programs.all.len() > 2 * self.counters.len() + 16 {
            self.forget_programs();
        }
    }

    /// Forgets programs of which nothing is counted any more.
    fn forget_programs(&mut self) {
        let (counters, programs) = (std::mem::take(&mut self.counters), std::mem::take(&mut self.programs));
        for counter in counters {
            let (address, agent) = programs.get(counter.program);
            let program = self.programs.number(address, agent);
            self.insert(Counter { program, ..counter });
        }
    }

    fn add(
        &mut self,
        hash: u64,
        key: &Id,
        program: u16,
        refused: Option<DenialReason>,
        now: Timestamp,
    ) -> bool {
        let Some(counter) = self.counters.find_mut(hash, |counter| counter.is(key, program, refused)) else {
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
    fn is(&self, key: &Id, program: u16, refused: Option<DenialReason>) -> bool {
        self.key == *key && self.program == program && self.refused == refused
    }
}

impl Count {
    /// Which program it was.
    pub(crate) fn program(&self) -> ClientName {
        let address = self.address.map(|address| address.to_string()).unwrap_or_default();
        ClientName { address, agent: self.agent.to_string() }
    }

    /// As a use, if it is one.
    pub(crate) fn to_use(&self) -> Option<ClientUse> {
        let (program, times, last_at) = (self.program(), self.times.into(), self.last_at);
        self.refused.is_none().then_some(ClientUse { program, times, last_at })
    }

    /// As a refusal, if it is one.
    pub(crate) fn to_refused(&self) -> Option<DeniedClient> {
        let (program, times, last_at) = (self.program(), self.times.into(), self.last_at);
        self.refused.map(|reason| DeniedClient { program, reason, times, last_at })
    }
}

/// All that are not told apart.
const OTHERS: u16 = 0;

/// Programs by their number.
#[derive(Debug)]
struct Programs {
    all: Vec<(Option<IpAddr>, Box<str>)>,
    numbers: HashTable<u16>,
    hasher: DefaultHashBuilder,
}

impl Default for Programs {
    fn default() -> Self {
        let mut programs =
            Self { all: Vec::new(), numbers: HashTable::new(), hasher: DefaultHashBuilder::default() };
        programs.number(None, "");
        programs
    }
}

impl Programs {
    fn get(&self, number: u16) -> (Option<IpAddr>, &str) {
        self.all.get(usize::from(number)).map_or((None, ""), |(address, agent)| (*address, agent))
    }

    fn find(&self, address: Option<IpAddr>, agent: &str) -> Option<u16> {
        let hash = self.hasher.hash_one((address, agent));
        self.numbers.find(hash, |number| self.get(*number) == (address, agent)).copied()
    }

    /// The number of a program, which it is given if there is one left.
    fn number(&mut self, address: Option<IpAddr>, agent: &str) -> u16 {
        if let Some(number) = self.find(address, agent) {
            return number;
        }
        let Ok(number) = u16::try_from(self.all.len()) else { return OTHERS };
        self.all.push((address, agent.into()));
        let Self { all, numbers, hasher } = self;
        let hash = |number: &u16| {
            all.get(usize::from(*number)).map_or(0, |(address, agent)| hasher.hash_one((*address, &**agent)))
        };
        numbers.insert_unique(hash(&number), number, hash);
        number
    }
}

/// As much of a `User-Agent` as is remembered.
pub(crate) fn shorten(agent: &str) -> &str {
    agent.get(..AGENT).unwrap_or(agent)
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
    fn a_tally_is_32_bytes() {
        assert_eq!(size_of::<Counter>(), 32);
    }

    proptest! {
        #[test]
        fn it_counts_as_a_plain_map_would(
            steps in proptest::collection::vec((0u8..4, 0u8..6, any::<bool>(), 0u8..8), 1..300)
        ) {
            let (mut counts, mut map) = (UsageCounters::up_to(1_000), BTreeMap::<(u8, String, bool), u32>::new());
            let of = |counts: &UsageCounters, key: u8| {
                let all = counts.of([key; 16]);
                let named = |count: Count| ((key, count.program().address, count.refused.is_some()), count.times);
                all.map(named).collect::<Vec<_>>()
            };
            for (at, (key, program, is_refused, step)) in steps.into_iter().enumerate() {
                if step == 0 {
                    // What comes while something is written down stays.
                    let written: Vec<Count> = counts.of([key; 16]).collect();
                    counts.count([key; 16], client(program), None, Timestamp(0));
                    counts.take_away(&[key; 16], &written);
                    map.retain(|(of, ..), _| *of != key);
                    map.insert((key, format!("10.0.0.{program}"), false), 1);
                } else {
                    let refused = is_refused.then_some(DenialReason::Expired);
                    let times = map.entry((key, format!("10.0.0.{program}"), is_refused)).or_default();
                    *times += 1;
                    let is_first = counts.count([key; 16], client(program), refused, Timestamp(at as i64));
                    prop_assert_eq!(is_first, *times == 1);
                }
                let counted: BTreeMap<_, _> = (0..4).flat_map(|key| of(&counts, key)).collect();
                prop_assert_eq!(&counted, &map);
                let keys: BTreeSet<_> = map.keys().map(|(key, ..)| [*key; 16]).collect();
                prop_assert_eq!(BTreeSet::from_iter(counts.keys()), keys);
            }
        }
    }

    #[test]
    fn programs_are_told_apart_up_to_a_number_and_counted_together_beyond() {
        let mut counts = UsageCounters::up_to(1_000);
        for _ in 0..2 {
            for n in 0..200 {
                counts.count([1; 16], client(n), None, Timestamp(0));
            }
        }
        let all: Vec<Count> = counts.of([1; 16]).collect();
        assert_eq!(all.len(), PROGRAMS_A_KEY + 1);
        assert_eq!(all.iter().map(|count| count.times).sum::<u32>(), 400);
        let others = all.iter().find(|count| count.program() == ClientName::default()).unwrap();
        assert_eq!(others.times, 2 * (200 - PROGRAMS_A_KEY as u32));
    }

    #[test]
    fn programs_of_which_nothing_is_counted_any_more_are_forgotten() {
        let mut counts = UsageCounters::up_to(1_000);
        for n in 0..100 {
            counts.count([n; 16], client(n), None, Timestamp(0));
        }
        for n in 0..99 {
            let written: Vec<Count> = counts.of([n; 16]).collect();
            counts.take_away(&[n; 16], &written);
        }
        assert!(counts.programs.all.len() < 20);
        assert_eq!(counts.of([99; 16]).next().unwrap().program().address, "10.0.0.99");
    }
}
