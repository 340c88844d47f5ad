//! A hash table of offsets, optimised for lookups whose memory is in no CPU cache. A `HashTable` reads a group of tags,
//! and then the offset from another page. Here each slot holds tag and offset in one number, and neighbouring slots
//! share a cache line.
//!
//! Open addressing with linear probing. A removal moves the following slots back (Knuth, *The Art of Computer
//! Programming*, volume 3, 6.4, algorithm R), so that no tombstones accumulate.

/// Bits of a slot that hold the offset. The other bits are the tag, a part of the hash: if the tags differ, a lookup
/// need not read the entry.
const OFFSET_BITS: u32 = 27;
const OFFSET_MASK: u32 = (1 << OFFSET_BITS) - 1;
/// An empty slot. No offset equals [`OFFSET_MASK`], so that no occupied slot has this value.
const EMPTY: u32 = u32::MAX;

/// Offsets of entries, by the hash of the entry. The entries themselves are stored by the user of the table.
#[derive(Default)]
pub struct OffsetTable {
    slots: Vec<u32>,
    len: usize,
}

impl OffsetTable {
    /// Creates an empty table with capacity for this many offsets.
    pub fn with_capacity(offsets: usize) -> Self {
        Self { slots: vec![EMPTY; slots_for(offsets)], len: 0 }
    }

    /// Removes all offsets, and keeps the allocated memory.
    pub fn clear(&mut self) {
        self.slots.fill(EMPTY);
        self.len = 0;
    }

    /// The number of offsets.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Finds the offset with this hash for which `matches` returns true.
    pub fn find(&self, hash: u64, matches: impl Fn(u32) -> bool) -> Option<u32> {
        self.slot_of(hash, matches).map(|(_, offset)| offset)
    }

    /// Inserts an offset that the table does not contain yet. Returns false, and inserts nothing, if the offset is not
    /// less than 2^27 - 1. `hash_of` returns the hash of the entry at an offset.
    pub fn insert(&mut self, hash: u64, offset: u32, hash_of: impl Fn(u32) -> u64) -> bool {
        if offset >= OFFSET_MASK {
            return false;
        }
        if slots_for(self.len + 1) > self.slots.len() {
            let larger = slots_for((self.len + 1) * 3 / 2).max(8);
            let old_slots = std::mem::replace(&mut self.slots, vec![EMPTY; larger]);
            for slot in old_slots.into_iter().filter(|slot| *slot != EMPTY) {
                self.fill(hash_of(slot & OFFSET_MASK), slot);
            }
        }
        self.fill(hash, tag(hash) | offset);
        self.len += 1;
        true
    }

    /// Removes and returns the offset with this hash for which `matches` returns true.
    pub fn remove(
        &mut self,
        hash: u64,
        matches: impl Fn(u32) -> bool,
        hash_of: impl Fn(u32) -> u64,
    ) -> Option<u32> {
        let (mut hole, removed) = self.slot_of(hash, matches)?;
        let slots = self.slots.len();
        let distance = |from: usize, to: usize| (to + slots - from) % slots;
        let mut index = hole;
        loop {
            index = (index + 1) % slots;
            let slot = self.slots.get(index).copied().filter(|slot| *slot != EMPTY);
            let Some(slot) = slot else { break };
            // The slot may move back to the hole unless its home lies after the hole.
            if distance(self.home(hash_of(slot & OFFSET_MASK)), index) >= distance(hole, index) {
                self.set(hole, slot);
                hole = index;
            }
        }
        self.set(hole, EMPTY);
        self.len -= 1;
        Some(removed)
    }

    /// Replaces every offset with the result of `new_offset`, for a caller that moves the entries.
    pub fn remap_offsets(&mut self, mut new_offset: impl FnMut(u32) -> u32) {
        for slot in self.slots.iter_mut().filter(|slot| **slot != EMPTY) {
            *slot = (*slot & !OFFSET_MASK) | (new_offset(*slot & OFFSET_MASK) & OFFSET_MASK);
        }
    }

    /// The index of the matching slot, and its offset.
    fn slot_of(&self, hash: u64, matches: impl Fn(u32) -> bool) -> Option<(usize, u32)> {
        let tag = tag(hash);
        // Wraps around at the end. The loop ends because at least one slot is always empty.
        let mut index = self.home(hash);
        loop {
            let slot = *self.slots.get(index)?;
            if slot == EMPTY {
                return None;
            }
            if slot & !OFFSET_MASK == tag && matches(slot & OFFSET_MASK) {
                return Some((index, slot & OFFSET_MASK));
            }
            index = if index + 1 == self.slots.len() { 0 } else { index + 1 };
        }
    }

    /// Stores a value in the first empty slot for this hash.
    fn fill(&mut self, hash: u64, value: u32) {
        let home = self.home(hash);
        let (before, after) = self.slots.split_at_mut(home);
        if let Some(slot) = after.iter_mut().chain(before).find(|slot| **slot == EMPTY) {
            *slot = value;
        }
    }

    fn set(&mut self, index: usize, value: u32) {
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = value;
        }
    }

    /// The index of the slot where the search for this hash begins. It scales the hash to the number of slots, which
    /// need not be a power of two.
    fn home(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.slots.len() as u128) >> 64) as usize
    }
}

/// The number of slots for this many offsets. At most four in five slots are occupied: a higher load makes searches
/// long.
const fn slots_for(offsets: usize) -> usize {
    if offsets == 0 { 0 } else { offsets + offsets / 4 + 1 }
}

/// The lowest bits of the hash, in the tag's position. The home slot depends on the highest bits.
const fn tag(hash: u64) -> u32 {
    (hash as u32) << OFFSET_BITS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    /// Hashes of the offsets 0 to 19. Their homes cluster around the end of the table, where the search wraps around.
    fn hash_of(offset: u32) -> u64 {
        u64::from(offset % 7).wrapping_sub(3).wrapping_mul(1 << 60)
    }

    proptest! {
        #[test]
        fn the_table_behaves_like_a_hash_set(steps in proptest::collection::vec((0u32..20, any::<bool>()), 1..200)) {
            let (mut table, mut set) = (OffsetTable::default(), HashSet::new());
            for (offset, put) in steps {
                if put && set.insert(offset) {
                    prop_assert!(table.insert(hash_of(offset), offset, hash_of));
                } else if !put {
                    let removed = table.remove(hash_of(offset), |other| other == offset, hash_of);
                    prop_assert_eq!(removed, set.remove(&offset).then_some(offset));
                }
                prop_assert_eq!(table.len(), set.len());
                for offset in 0..20 {
                    let found = table.find(hash_of(offset), |other| other == offset);
                    prop_assert_eq!(found, set.contains(&offset).then_some(offset));
                }
            }
        }
    }

    #[test]
    fn an_offset_that_is_too_large_is_not_inserted() {
        let mut table = OffsetTable::default();
        assert!(!table.insert(1, OFFSET_MASK, u64::from));
        assert!(table.insert(1, OFFSET_MASK - 1, u64::from));
        assert_eq!(table.find(1, |_| true), Some(OFFSET_MASK - 1));
    }
}
