//! All secrets in memory: what a verification looks up instead of asking the database.
//!
//! A record fills one cache line, 64 bytes; the hash table beside it takes some ten bytes a key, and a name as
//! many as it has. The table is cut into shards, each behind a lock of its own, so that a change makes
//! nobody wait who asks about another secret.

use app::domain::timestamp::Timestamp;
use hashbrown::HashTable;
use parking_lot::RwLock;

/// The 128 bits of a Key ID or of an account's id.
pub type Id = [u8; 16];

/// Bytes of a digest that tell secrets apart: at 160 bits, finding a second secret for any of 2^20 stored ones
/// takes some 2^140 attempts (OWASP ASVS 5.0, 11.2.3 asks for 128 bits of security).
const DIGEST: usize = 20;
/// A power of two.
const SHARDS: usize = 64;
/// `until` of a secret that does not end: 48 bits, which is 8,900 years in milliseconds.
const NEVER: u64 = (1 << 48) - 1;

/// Bytes of a usual name.
const USUAL_NAME: usize = 16;

const ACTIVE: u8 = 1;
const OLD: u8 = 2;
const ENDS_OLD: u8 = 4;
const RETIRES: u8 = 8;

/// What is known of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key that it is a secret of.
    pub key: Id,
    /// Whose key that is.
    pub account: Id,
    /// The key's name.
    pub name: String,
    /// From when on it is refused; `None` means never.
    pub until: Option<Timestamp>,
    /// The key's switch.
    pub active: bool,
    /// Whether another secret has taken its place.
    pub is_old: bool,
    /// Whether `until` is the end of its grace rather than the expiry of the key.
    pub retires: bool,
    /// Whether its first use ends the old secret of the key.
    pub ends_old: bool,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Record {
    digest: [u8; DIGEST],
    key: Id,
    account: Id,
    name_at: u32,
    until: [u8; 6],
    /// One less than there are bytes: a name has 1 to 256.
    name_len: u8,
    flags: u8,
}

const _: () = assert!(size_of::<Record>() == 64);

#[derive(Default)]
struct Shard {
    /// Places in `records`, by digest.
    places: HashTable<u32>,
    /// Without gaps: the last record moves to where one was taken away.
    records: Vec<Record>,
    names: Vec<u8>,
    /// Bytes of `names` that no record points to any more.
    unused: usize,
}

/// Every secret that is let in, and every one that is refused with a reason that its owner may learn.
pub struct Index {
    shards: Box<[RwLock<Shard>]>,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("secrets", &self.len()).finish_non_exhaustive()
    }
}

impl Default for Index {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect() }
    }
}

impl Index {
    /// With room for so many secrets.
    #[must_use]
    pub fn with_capacity(secrets: usize) -> Self {
        // Chance spreads them a little unevenly.
        let each = secrets / SHARDS + 3 * (secrets / SHARDS).isqrt();
        let shard = || {
            RwLock::new(Shard {
                places: HashTable::with_capacity(each),
                records: Vec::with_capacity(each),
                names: Vec::with_capacity(each * USUAL_NAME),
                unused: 0,
            })
        };
        Self { shards: (0..SHARDS).map(|_| shard()).collect() }
    }

    /// How many secrets there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().records.len()).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is known of the secret with this SHA-256.
    #[must_use]
    pub fn find(&self, digest: &[u8; 32]) -> Option<Entry> {
        let digest = shorten(digest);
        self.shard(&digest)?.read().find(&digest)
    }

    /// Takes in a secret, or what is now known of it.
    pub fn put(&self, digest: &[u8; 32], entry: &Entry) {
        let digest = shorten(digest);
        if let Some(shard) = self.shard(&digest) {
            shard.write().put(digest, entry);
        }
    }

    /// Forgets a secret.
    pub fn remove(&self, digest: &[u8; 32]) {
        let digest = shorten(digest);
        if let Some(shard) = self.shard(&digest) {
            shard.write().remove(&digest);
        }
    }

    fn shard(&self, digest: &[u8; DIGEST]) -> Option<&RwLock<Shard>> {
        let [.., last] = digest;
        self.shards.get(usize::from(*last) % SHARDS)
    }
}

impl Shard {
    fn place(&self, digest: &[u8; DIGEST]) -> Option<u32> {
        self.places.find(hash(digest), |place| self.is_at(*place, digest)).copied()
    }

    fn is_at(&self, place: u32, digest: &[u8; DIGEST]) -> bool {
        self.records.get(place as usize).is_some_and(|record| record.digest == *digest)
    }

    fn find(&self, digest: &[u8; DIGEST]) -> Option<Entry> {
        let record = self.records.get(self.place(digest)? as usize)?;
        let name_at = record.name_at as usize;
        let name = self.names.get(name_at..=name_at + usize::from(record.name_len))?;
        let is = |flag| record.flags & flag != 0;
        Some(Entry {
            key: record.key,
            account: record.account,
            name: std::str::from_utf8(name).unwrap_or_default().to_owned(),
            until: record.until(),
            active: is(ACTIVE),
            is_old: is(OLD),
            retires: is(RETIRES),
            ends_old: is(ENDS_OLD),
        })
    }

    fn put(&mut self, digest: [u8; DIGEST], entry: &Entry) {
        self.remove(&digest);
        let (Ok(place), Ok(name_at)) = (u32::try_from(self.records.len()), u32::try_from(self.names.len()))
        else {
            return;
        };
        let name = entry.name.as_bytes().get(..256).unwrap_or(entry.name.as_bytes());
        grow(&mut self.names, name.len());
        self.names.extend_from_slice(name);
        grow(&mut self.records, 1);
        self.records.push(Record {
            digest,
            key: entry.key,
            account: entry.account,
            name_at,
            until: six_bytes(entry.until),
            name_len: u8::try_from(name.len().saturating_sub(1)).unwrap_or(u8::MAX),
            flags: [
                (entry.active, ACTIVE),
                (entry.is_old, OLD),
                (entry.ends_old, ENDS_OLD),
                (entry.retires, RETIRES),
            ]
            .into_iter()
            .filter_map(|(is, flag)| is.then_some(flag))
            .sum(),
        });
        let records = &self.records;
        self.places.insert_unique(hash(&digest), place, |place| {
            records.get(*place as usize).map_or(0, |record| hash(&record.digest))
        });
    }

    fn remove(&mut self, digest: &[u8; DIGEST]) {
        let records = &self.records;
        let found = self.places.find_entry(hash(digest), |place| {
            records.get(*place as usize).is_some_and(|record| record.digest == *digest)
        });
        let Ok(found) = found else { return };
        let (place, _) = found.remove();
        let removed = self.records.swap_remove(place as usize);
        if let (Some(moved), Ok(from)) = (self.records.get(place as usize), u32::try_from(self.records.len()))
            && let Some(points) = self.places.find_mut(hash(&moved.digest), |place| *place == from)
        {
            *points = place;
        }
        self.unused += usize::from(removed.name_len) + 1;
        if self.unused > self.names.len() / 2 {
            self.pack_names();
        }
    }

    /// Names that nobody points to take no room for long.
    fn pack_names(&mut self) {
        let mut packed = Vec::with_capacity(self.names.len() - self.unused);
        for record in &mut self.records {
            let at = record.name_at as usize;
            let name = self.names.get(at..=at + usize::from(record.name_len)).unwrap_or_default();
            record.name_at = u32::try_from(packed.len()).unwrap_or_default();
            packed.extend_from_slice(name);
        }
        self.names = packed;
        self.unused = 0;
    }
}

impl Record {
    fn until(&self) -> Option<Timestamp> {
        let [a, b, c, d, e, f] = self.until;
        let milliseconds = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
        (milliseconds != NEVER).then(|| Timestamp(i64::try_from(milliseconds).unwrap_or_default()))
    }
}

fn six_bytes(until: Option<Timestamp>) -> [u8; 6] {
    let milliseconds = until.map_or(NEVER, |at| u64::try_from(at.0).unwrap_or_default().min(NEVER - 1));
    let [a, b, c, d, e, f, ..] = milliseconds.to_le_bytes();
    [a, b, c, d, e, f]
}

fn shorten(digest: &[u8; 32]) -> [u8; DIGEST] {
    let mut short = [0; DIGEST];
    short.iter_mut().zip(digest).for_each(|(to, from)| *to = *from);
    short
}

/// SHA-256 is as good as random already.
fn hash(digest: &[u8; DIGEST]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *digest;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// Makes room by an eighth rather than by doubling, which could leave half of it empty.
fn grow<T>(of: &mut Vec<T>, by: usize) {
    if of.capacity() - of.len() < by {
        of.reserve_exact(by.max(of.len() / 8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn digest(n: u8) -> [u8; 32] {
        // Half of them in one shard, so that records move about.
        let mut digest = [n; 32];
        digest[DIGEST - 1] = n % 2;
        digest
    }

    fn entry(n: u8, name: &str, until: Option<i64>) -> Entry {
        Entry {
            key: [n; 16],
            account: [n ^ 0xFF; 16],
            name: name.to_owned(),
            until: until.map(Timestamp),
            active: n.is_multiple_of(2),
            is_old: n.is_multiple_of(3),
            retires: n.is_multiple_of(5),
            ends_old: n.is_multiple_of(7),
        }
    }

    proptest! {
        #[test]
        fn it_answers_as_a_plain_map_would(
            steps in proptest::collection::vec(
                (0u8..24, proptest::option::of(("\\PC{1,64}", proptest::option::of(0i64..(1 << 47))))), 1..200)
        ) {
            let (index, mut map) = (Index::default(), HashMap::new());
            for (n, put) in steps {
                if let Some((name, until)) = put {
                    let entry = entry(n, &name, until);
                    index.put(&digest(n), &entry);
                    map.insert(n, entry);
                } else {
                    index.remove(&digest(n));
                    map.remove(&n);
                }
                prop_assert_eq!(index.len(), map.len());
                for n in 0..24 {
                    prop_assert_eq!(index.find(&digest(n)), map.get(&n).cloned());
                }
            }
        }
    }

    #[test]
    fn secrets_whose_digests_begin_alike_are_told_apart() {
        let index = Index::default();
        let mut other = digest(1);
        other[DIGEST - 2] ^= 1;
        index.put(&digest(1), &entry(1, "one", None));
        assert_eq!(index.find(&other), None);
    }

    #[test]
    fn names_that_changed_often_take_no_room() {
        let index = Index::default();
        for n in 0..10_000 {
            index.put(&digest(1), &entry(1, &format!("name {n}"), None));
        }
        assert!(index.shard(&shorten(&digest(1))).unwrap().read().names.len() < 100);
    }
}
