//! All secrets in memory: what a verification looks up instead of asking the database.
//!
//! A record is 60 bytes and the name of its key, and lies in one piece: with many keys, nearly all that a lookup
//! costs is fetching memory that no cache holds, so it touches as few offsets as it can. The index is cut into
//! shards, each behind a lock of its own, so that a change makes nobody wait who asks about another secret.

use crate::key_cache::offsets::OffsetTable;
use crate::key_entry::KeyEntry;
use app::domain::timestamp::Timestamp;
use parking_lot::RwLock;

/// Bytes of a digest that publish secrets apart: at 160 bits, finding a second secret for any of 2^20 stored ones
/// takes some 2^140 attempts (OWASP ASVS 5.0, 11.2.3 asks for 128 bits of security).
const DIGEST: usize = 20;
type Digest = [u8; DIGEST];
/// A power of two.
const SHARDS: usize = 64;
/// `until` of a secret that does not end: 48 bits, which is 8,900 years in milliseconds.
const NEVER: u64 = (1 << 48) - 1;

/// Bytes of a record before the name: digest, key, account, until, flags, length of the name.
const HEAD: usize = DIGEST + 16 + 16 + 6 + 1 + 1;
/// Records begin at multiples of so many bytes, which is what offsets are counted in.
const UNIT: usize = 4;
/// Bytes of a record with a usual name.
const USUAL_RECORD: usize = HEAD + 16;

const ACTIVE: u8 = 1;
const PREVIOUS: u8 = 2;
const RETIRES_PREVIOUS: u8 = 4;
const RETIRED_AT_UNTIL: u8 = 8;

#[derive(Default)]
struct Shard {
    /// Where records begin, by digest.
    offsets: OffsetTable,
    /// Records one after another, each filled up to whole units.
    records: Vec<u8>,
    /// Bytes of `records` that were removed.
    unused: usize,
}

/// Every secret that is let in, and every one that is refused with a reason that its owner may learn.
pub struct KeyIndex {
    shards: Box<[RwLock<Shard>]>,
}

impl std::fmt::Debug for KeyIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyIndex").field("secrets", &self.len()).finish_non_exhaustive()
    }
}

impl Default for KeyIndex {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect() }
    }
}

impl KeyIndex {
    /// With room for so many secrets.
    #[must_use]
    pub fn with_capacity(secrets: usize) -> Self {
        // Chance spreads them a little unevenly.
        let each = secrets / SHARDS + 3 * (secrets / SHARDS).isqrt();
        let shard = || Shard {
            offsets: OffsetTable::with_capacity(each),
            records: Vec::with_capacity(each * USUAL_RECORD),
            unused: 0,
        };
        Self { shards: (0..SHARDS).map(|_| RwLock::new(shard())).collect() }
    }

    /// How many secrets there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().offsets.len()).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is known of the secret with this SHA-256.
    #[must_use]
    pub fn find(&self, digest: &[u8; 32]) -> Option<KeyEntry> {
        let digest = shorten(digest);
        self.shard(&digest)?.read().find(&digest)
    }

    /// Takes in a secret, or what is now known of it.
    pub fn put(&self, digest: &[u8; 32], entry: &KeyEntry) {
        let digest = shorten(digest);
        if let Some(shard) = self.shard(&digest) {
            shard.write().put(&digest, entry);
        }
    }

    /// Forgets a secret.
    pub fn remove(&self, digest: &[u8; 32]) {
        let digest = shorten(digest);
        if let Some(shard) = self.shard(&digest) {
            shard.write().remove(&digest);
        }
    }

    /// Forgets all secrets, and keeps the room that they took.
    pub fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.write();
            shard.offsets.clear();
            shard.records.clear();
            shard.unused = 0;
        }
    }

    fn shard(&self, digest: &Digest) -> Option<&RwLock<Shard>> {
        let [.., last] = digest;
        self.shards.get(usize::from(*last) % SHARDS)
    }
}

impl Shard {
    fn find(&self, digest: &Digest) -> Option<KeyEntry> {
        let offset =
            self.offsets.find(hash(digest), |offset| digest_at(&self.records, offset) == Some(digest))?;
        read(self.records.get(offset as usize * UNIT..)?)
    }

    fn put(&mut self, digest: &Digest, entry: &KeyEntry) {
        self.remove(digest);
        let offset = u32::try_from(self.records.len() / UNIT).unwrap_or(u32::MAX);
        // By an eighth rather than by doubling, which could leave half of it empty.
        if self.records.capacity() - self.records.len() < HEAD + 256 {
            self.records.reserve_exact((HEAD + 256).max(self.records.len() / 8));
        }
        write(&mut self.records, digest, entry);
        let records = &self.records;
        if !self.offsets.insert(hash(digest), offset, |offset| digest_at(records, offset).map_or(0, hash)) {
            tracing::error!("the index is full at half a gigabyte a shard: a secret is not let in");
        }
    }

    fn remove(&mut self, digest: &Digest) {
        let records = &self.records;
        let removed = self.offsets.remove(
            hash(digest),
            |offset| digest_at(records, offset) == Some(digest),
            |offset| digest_at(records, offset).map_or(0, hash),
        );
        let Some(offset) = removed else { return };
        self.unused += length(records.get(offset as usize * UNIT..).unwrap_or_default());
        if self.unused > self.records.len() / 2 {
            self.pack();
        }
    }

    /// What was removed takes no room for long.
    fn pack(&mut self) {
        let mut packed = Vec::with_capacity(self.records.len() - self.unused);
        self.offsets.move_each(|offset| {
            let to = u32::try_from(packed.len() / UNIT).unwrap_or_default();
            let record = self.records.get(offset as usize * UNIT..).unwrap_or_default();
            packed.extend_from_slice(record.get(..length(record)).unwrap_or_default());
            to
        });
        self.records = packed;
        self.unused = 0;
    }
}

fn digest_at(records: &[u8], offset: u32) -> Option<&Digest> {
    records.get(offset as usize * UNIT..)?.first_chunk()
}

/// Bytes of the record that begins here.
fn length(record: &[u8]) -> usize {
    let name = record.get(HEAD - 1).map_or(0, |less_one| usize::from(*less_one) + 1);
    (HEAD + name).next_multiple_of(UNIT)
}

/// The record that begins here.
fn read(record: &[u8]) -> Option<KeyEntry> {
    let (_, rest) = record.split_first_chunk::<DIGEST>()?;
    let (key, rest) = rest.split_first_chunk()?;
    let (account, rest) = rest.split_first_chunk()?;
    let (&[a, b, c, d, e, f, flags, name], rest) = rest.split_first_chunk()?;
    let until = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
    let is = |flag| flags & flag != 0;
    Some(KeyEntry {
        key: *key,
        account: *account,
        name: std::str::from_utf8(rest.get(..=usize::from(name))?).ok()?.to_owned(),
        until: (until != NEVER).then(|| Timestamp(i64::try_from(until).unwrap_or_default())),
        active: is(ACTIVE),
        is_previous: is(PREVIOUS),
        is_retired_at_until: is(RETIRED_AT_UNTIL),
        retires_previous: is(RETIRES_PREVIOUS),
    })
}

fn write(records: &mut Vec<u8>, digest: &Digest, entry: &KeyEntry) {
    let until = entry.until.map_or(NEVER, |at| u64::try_from(at.0).unwrap_or_default().min(NEVER - 1));
    let [a, b, c, d, e, f, ..] = until.to_le_bytes();
    let flags = [
        (entry.active, ACTIVE),
        (entry.is_previous, PREVIOUS),
        (entry.retires_previous, RETIRES_PREVIOUS),
        (entry.is_retired_at_until, RETIRED_AT_UNTIL),
    ];
    let flags = flags.into_iter().filter_map(|(is, flag)| is.then_some(flag)).sum();
    let name = entry.name.as_bytes().get(..256).unwrap_or(entry.name.as_bytes());
    let less_one = u8::try_from(name.len().saturating_sub(1)).unwrap_or(u8::MAX);
    records.extend_from_slice(digest);
    records.extend_from_slice(&entry.key);
    records.extend_from_slice(&entry.account);
    records.extend_from_slice(&[a, b, c, d, e, f, flags, less_one]);
    records.extend_from_slice(name);
    records.resize(records.len().next_multiple_of(UNIT), 0);
}

fn shorten(digest: &[u8; 32]) -> Digest {
    let mut short = [0; DIGEST];
    short.iter_mut().zip(digest).for_each(|(to, from)| *to = *from);
    short
}

/// SHA-256 is as good as random already.
fn hash(digest: &Digest) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *digest;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
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

    fn entry(n: u8, name: &str, until: Option<i64>) -> KeyEntry {
        KeyEntry {
            key: [n; 16],
            account: [n ^ 0xFF; 16],
            name: name.to_owned(),
            until: until.map(Timestamp),
            active: n.is_multiple_of(2),
            is_previous: n.is_multiple_of(3),
            is_retired_at_until: n.is_multiple_of(5),
            retires_previous: n.is_multiple_of(7),
        }
    }

    proptest! {
        #[test]
        fn it_answers_as_a_plain_map_would(
            steps in proptest::collection::vec(
                (0u8..24, proptest::option::of(("\\PC{1,64}", proptest::option::of(0i64..(1 << 47))))), 1..200)
        ) {
            let (index, mut map) = (KeyIndex::default(), HashMap::new());
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
    fn what_was_cleared_is_empty_and_can_be_filled_again() {
        let index = KeyIndex::with_capacity(100);
        for round in 0..2 {
            for n in 0..24 {
                index.put(&digest(n), &entry(n, "name", None));
            }
            assert_eq!(index.len(), 24, "round {round}");
            index.clear();
            assert!(index.is_empty() && index.find(&digest(1)).is_none());
        }
    }

    #[test]
    fn secrets_whose_digests_begin_alike_are_told_apart() {
        let index = KeyIndex::default();
        let mut other = digest(1);
        other[DIGEST - 2] ^= 1;
        index.put(&digest(1), &entry(1, "one", None));
        assert_eq!(index.find(&other), None);
    }

    #[test]
    fn a_key_that_changed_often_takes_no_room() {
        let index = KeyIndex::default();
        for n in 0..10_000 {
            index.put(&digest(1), &entry(1, &format!("name {n}"), None));
        }
        assert!(index.shard(&shorten(&digest(1))).unwrap().read().records.len() < 200);
    }
}
