//! In-memory index of all secrets, which a verification reads instead of the database.
//!
//! An entry is 60 bytes plus the name of its key, 17 bytes plus its name if a Mecha owns it, and 2 bytes plus its scopes if it
//! is restricted, in one contiguous block. With many keys, cache misses dominate the cost of a lookup, so the layout touches
//! as few cache lines as possible. The index is split into shards, each with its own lock, so that a change blocks only
//! lookups in the same shard.

use crate::ids::Id;
use crate::key_cache::offsets::OffsetTable;
use crate::key_entry::{EntryMecha, KeyEntry};
use app::domain::timestamp::Timestamp;
use parking_lot::RwLock;

/// Bytes of a SHA-256 digest that the index stores and compares. With 160 bits, finding a second secret for any of
/// 2^20 stored ones takes about 2^140 attempts (OWASP ASVS 5.0, 11.2.3 asks for 128 bits of security).
const DIGEST_LEN: usize = 20;
type Digest = [u8; DIGEST_LEN];
/// A power of two.
const SHARDS: usize = 64;
/// `until` of a secret that does not expire: the largest 48-bit number. 48 bits of milliseconds are 8,900 years.
const NEVER: u64 = (1 << 48) - 1;

/// Bytes of an entry before the name: digest, key, account, until, flags, length of the name.
const HEADER_LEN: usize = DIGEST_LEN + 16 + 16 + 6 + 1 + 1;
/// Alignment of entries, in bytes. Offsets count in this unit.
const UNIT: usize = 4;
/// Upper bound of the bytes of an entry without scopes.
const MAX_ENTRY_LEN: usize = HEADER_LEN + 256 + MECHA_HEADER_LEN + 256 + UNIT;
/// Bytes of an entry with a name of typical length.
const TYPICAL_ENTRY_LEN: usize = HEADER_LEN + 16;

// Flags of an entry.
const ACTIVE: u8 = 1;
const PREVIOUS: u8 = 2;
const RETIRES_PREVIOUS: u8 = 4;
const RETIRED_AT_UNTIL: u8 = 8;
/// After the name of the key follow the id of its Mecha, the length of its name minus one, and its name.
const MECHA: u8 = 16;
const MECHA_ACTIVE: u8 = 32;
/// At the end follow the length of the scopes, and the scopes.
const SCOPES: u8 = 64;
/// Bytes of a Mecha before its name.
const MECHA_HEADER_LEN: usize = 16 + 1;
/// Bytes of the length of the scopes.
const SCOPES_HEADER_LEN: usize = 2;

#[derive(Default)]
struct Shard {
    /// Offsets of entries, by digest.
    offsets: OffsetTable,
    /// Encoded entries, each padded to a multiple of [`UNIT`].
    entries: Vec<u8>,
    /// Bytes of `entries` that belong to removed entries.
    unused: usize,
}

/// The entry of every secret, by digest. It contains the secrets that are allowed, and those that are denied for a
/// reason that the owner may see.
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
    /// Creates an empty index with capacity for this many secrets.
    #[must_use]
    pub fn with_capacity(secrets: usize) -> Self {
        // Digests do not spread evenly over the shards: add three standard deviations.
        let per_shard = secrets / SHARDS + 3 * (secrets / SHARDS).isqrt();
        let shard = || Shard {
            offsets: OffsetTable::with_capacity(per_shard),
            entries: Vec::with_capacity(per_shard * TYPICAL_ENTRY_LEN),
            unused: 0,
        };
        Self { shards: (0..SHARDS).map(|_| RwLock::new(shard())).collect() }
    }

    /// The number of secrets.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().offsets.len()).sum()
    }

    /// Whether the index contains no secrets.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Looks up the entry of the secret with this SHA-256.
    #[must_use]
    pub fn find(&self, digest: &[u8; 32]) -> Option<KeyEntry> {
        let digest = truncate(digest);
        self.shard(&digest)?.read().find(&digest)
    }

    /// Inserts or replaces the entry of a secret.
    pub fn put(&self, digest: &[u8; 32], entry: &KeyEntry) {
        let digest = truncate(digest);
        if let Some(shard) = self.shard(&digest) {
            shard.write().put(&digest, entry);
        }
    }

    /// Removes a secret, if the index contains it. Returns the account that owns its key.
    pub fn remove(&self, digest: &[u8; 32]) -> Option<Id> {
        let account = self.find(digest).map(|entry| entry.account);
        let digest = truncate(digest);
        self.shard(&digest)?.write().remove(&digest);
        account
    }

    /// Removes all secrets, and keeps the allocated memory.
    pub fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.write();
            shard.offsets.clear();
            shard.entries.clear();
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
            self.offsets.find(hash(digest), |offset| digest_at(&self.entries, offset) == Some(digest))?;
        decode(self.entries.get(offset as usize * UNIT..)?)
    }

    fn put(&mut self, digest: &Digest, entry: &KeyEntry) {
        self.remove(digest);
        let offset = u32::try_from(self.entries.len() / UNIT).unwrap_or(u32::MAX);
        // Grow by an eighth. Doubling could leave half of the allocation unused.
        let max_len =
            MAX_ENTRY_LEN + entry.scopes.as_ref().map_or(0, |scopes| SCOPES_HEADER_LEN + scopes.len());
        if self.entries.capacity() - self.entries.len() < max_len {
            self.entries.reserve_exact(max_len.max(self.entries.len() / 8));
        }
        encode(&mut self.entries, digest, entry);
        let entries = &self.entries;
        if !self.offsets.insert(hash(digest), offset, |offset| digest_at(entries, offset).map_or(0, hash)) {
            tracing::error!("a shard of the index is full (512 MiB): the secret is denied");
        }
    }

    fn remove(&mut self, digest: &Digest) {
        let entries = &self.entries;
        let removed = self.offsets.remove(
            hash(digest),
            |offset| digest_at(entries, offset) == Some(digest),
            |offset| digest_at(entries, offset).map_or(0, hash),
        );
        let Some(offset) = removed else { return };
        self.unused += entry_len(entries.get(offset as usize * UNIT..).unwrap_or_default());
        if self.unused > self.entries.len() / 2 {
            self.compact();
        }
    }

    /// Moves the remaining entries together, and frees the space of removed ones.
    fn compact(&mut self) {
        let mut compacted = Vec::with_capacity(self.entries.len() - self.unused);
        self.offsets.remap_offsets(|offset| {
            let new_offset = u32::try_from(compacted.len() / UNIT).unwrap_or_default();
            let entry = self.entries.get(offset as usize * UNIT..).unwrap_or_default();
            compacted.extend_from_slice(entry.get(..entry_len(entry)).unwrap_or_default());
            new_offset
        });
        self.entries = compacted;
        self.unused = 0;
    }
}

fn digest_at(entries: &[u8], offset: u32) -> Option<&Digest> {
    entries.get(offset as usize * UNIT..)?.first_chunk()
}

/// The length in bytes, with padding, of the entry at the start of `bytes`.
fn entry_len(bytes: &[u8]) -> usize {
    let len_at = |at: usize| bytes.get(at).map_or(0, |len_minus_one| usize::from(*len_minus_one) + 1);
    let has = |flag| bytes.get(HEADER_LEN - 2).is_some_and(|flags| flags & flag != 0);
    let mut end = HEADER_LEN + len_at(HEADER_LEN - 1);
    if has(MECHA) {
        end += MECHA_HEADER_LEN + len_at(end + MECHA_HEADER_LEN - 1);
    }
    if has(SCOPES) {
        let len = bytes.get(end..).and_then(<[u8]>::first_chunk).map_or(0, |len| u16::from_le_bytes(*len));
        end += SCOPES_HEADER_LEN + usize::from(len);
    }
    end.next_multiple_of(UNIT)
}

/// Decodes the entry at the start of `bytes`.
fn decode(bytes: &[u8]) -> Option<KeyEntry> {
    let (_, rest) = bytes.split_first_chunk::<DIGEST_LEN>()?;
    let (key, rest) = rest.split_first_chunk()?;
    let (account, rest) = rest.split_first_chunk()?;
    let (&[a, b, c, d, e, f, flags, len_minus_one], rest) = rest.split_first_chunk()?;
    let until = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
    let is = |flag| flags & flag != 0;
    let (name, mut rest) = rest.split_at_checked(usize::from(len_minus_one) + 1)?;
    let mut mecha = None;
    if is(MECHA) {
        let (id, after) = rest.split_first_chunk()?;
        let (len_minus_one, after) = after.split_first()?;
        let (name, after) = after.split_at_checked(usize::from(*len_minus_one) + 1)?;
        let name = std::str::from_utf8(name).ok()?.to_owned();
        mecha = Some(Box::new(EntryMecha { id: *id, active: is(MECHA_ACTIVE), name }));
        rest = after;
    }
    let mut scopes = None;
    if is(SCOPES) {
        let (len, rest) = rest.split_first_chunk()?;
        let text = rest.get(..usize::from(u16::from_le_bytes(*len)))?;
        scopes = Some(std::str::from_utf8(text).ok()?.into());
    }
    Some(KeyEntry {
        key: *key,
        account: *account,
        name: std::str::from_utf8(name).ok()?.to_owned(),
        mecha,
        scopes,
        until: (until != NEVER).then(|| Timestamp(i64::try_from(until).unwrap_or_default())),
        active: is(ACTIVE),
        is_previous: is(PREVIOUS),
        is_retired_at_until: is(RETIRED_AT_UNTIL),
        retires_previous: is(RETIRES_PREVIOUS),
    })
}

/// Appends an encoded entry. Names have 1 to 256 bytes, so their length minus one fits into a byte.
fn encode(entries: &mut Vec<u8>, digest: &Digest, entry: &KeyEntry) {
    let until = entry.until.map_or(NEVER, |at| u64::try_from(at.0).unwrap_or_default().min(NEVER - 1));
    let [a, b, c, d, e, f, ..] = until.to_le_bytes();
    let flags = [
        (entry.active, ACTIVE),
        (entry.is_previous, PREVIOUS),
        (entry.retires_previous, RETIRES_PREVIOUS),
        (entry.is_retired_at_until, RETIRED_AT_UNTIL),
        (entry.mecha.is_some(), MECHA),
        (entry.mecha.as_ref().is_some_and(|mecha| mecha.active), MECHA_ACTIVE),
        (entry.scopes.is_some(), SCOPES),
    ];
    let flags = flags.into_iter().filter_map(|(is, flag)| is.then_some(flag)).sum();
    let (name, len_minus_one) = name_and_len(&entry.name);
    entries.extend_from_slice(digest);
    entries.extend_from_slice(&entry.key);
    entries.extend_from_slice(&entry.account);
    entries.extend_from_slice(&[a, b, c, d, e, f, flags, len_minus_one]);
    entries.extend_from_slice(name);
    if let Some(mecha) = &entry.mecha {
        let (name, len_minus_one) = name_and_len(&mecha.name);
        entries.extend_from_slice(&mecha.id);
        entries.push(len_minus_one);
        entries.extend_from_slice(name);
    }
    if let Some(scopes) = &entry.scopes {
        // The database stores no longer ones. A key without its scopes would have access to nothing that requires one.
        let scopes = if scopes.len() > usize::from(u16::MAX) { "" } else { scopes };
        entries.extend_from_slice(&u16::try_from(scopes.len()).unwrap_or_default().to_le_bytes());
        entries.extend_from_slice(scopes.as_bytes());
    }
    entries.resize(entries.len().next_multiple_of(UNIT), 0);
}

/// The bytes of a name, and their number minus one.
fn name_and_len(name: &str) -> (&[u8], u8) {
    let name = name.as_bytes().get(..256).unwrap_or(name.as_bytes());
    (name, u8::try_from(name.len().saturating_sub(1)).unwrap_or(u8::MAX))
}

fn truncate(digest: &[u8; 32]) -> Digest {
    let mut truncated = [0; DIGEST_LEN];
    truncated.iter_mut().zip(digest).for_each(|(to, from)| *to = *from);
    truncated
}

/// The first 8 bytes of the digest: SHA-256 output is uniformly distributed and needs no further hashing.
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
        // Half of the digests share one shard, so that compaction moves entries.
        let mut digest = [n; 32];
        digest[DIGEST_LEN - 1] = n % 2;
        digest
    }

    fn entry(n: u8, name: &str, until: Option<i64>) -> KeyEntry {
        KeyEntry {
            key: [n; 16],
            account: [n ^ 0xFF; 16],
            name: name.to_owned(),
            mecha: n.is_multiple_of(4).then(|| {
                Box::new(EntryMecha {
                    id: [n; 16],
                    active: n.is_multiple_of(8),
                    name: name.chars().rev().collect(),
                })
            }),
            scopes: n.is_multiple_of(3).then(|| "chat:read ".repeat(usize::from(n)).into()),
            until: until.map(Timestamp),
            active: n.is_multiple_of(2),
            is_previous: n.is_multiple_of(3),
            is_retired_at_until: n.is_multiple_of(5),
            retires_previous: n.is_multiple_of(7),
        }
    }

    proptest! {
        #[test]
        fn the_index_behaves_like_a_hash_map(
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
    fn a_cleared_index_is_empty_and_can_be_filled_again() {
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
    fn digests_that_share_a_prefix_are_distinguished() {
        let index = KeyIndex::default();
        let mut other = digest(1);
        other[DIGEST_LEN - 2] ^= 1;
        index.put(&digest(1), &entry(1, "one", None));
        assert_eq!(index.find(&other), None);
    }

    #[test]
    fn repeated_changes_of_a_key_do_not_grow_the_index() {
        let index = KeyIndex::default();
        for n in 0..10_000 {
            index.put(&digest(1), &entry(1, &format!("name {n}"), None));
        }
        assert!(index.shard(&truncate(&digest(1))).unwrap().read().entries.len() < 200);
    }
}
