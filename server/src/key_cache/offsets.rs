//! A hash table of places, made for lookups that find no cache warm: where a `HashTable` reads a group of tags
//! and then the place from another page, here both are one number, and neighbours lie in one cache line.
//!
//! Open addressing with linear probing; removal moves back what follows (Knuth, *The Art of Computer Programming*,
//! volume 3, 6.4, algorithm R), so that no marks of what was removed pile up.

/// Bits of a slot that say where something is. The others are a part of its hash, so that hardly anything is read
/// for nothing.
const PLACE_BITS: u32 = 27;
const PLACE: u32 = (1 << PLACE_BITS) - 1;
/// No place: the last one is not used.
const EMPTY: u32 = u32::MAX;

/// Where things are, by their hash. The things themselves are elsewhere.
#[derive(Default)]
pub struct OffsetTable {
    slots: Vec<u32>,
    len: usize,
}

impl OffsetTable {
    /// With room for so many.
    pub fn with_capacity(places: usize) -> Self {
        Self { slots: vec![EMPTY; slots_for(places)], len: 0 }
    }

    /// Forgets all of them, and keeps the room that they took.
    pub fn clear(&mut self) {
        self.slots.fill(EMPTY);
        self.len = 0;
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// The place with this hash that is the right one.
    pub fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        self.slot_of(hash, is_it).map(|(_, place)| place)
    }

    /// Takes in a place that is not there yet, and answers whether it did: places are less than 2^27 - 1.
    pub fn insert(&mut self, hash: u64, place: u32, hash_of: impl Fn(u32) -> u64) -> bool {
        if place >= PLACE {
            return false;
        }
        if slots_for(self.len + 1) > self.slots.len() {
            let more = slots_for((self.len + 1) * 3 / 2).max(8);
            let old = std::mem::replace(&mut self.slots, vec![EMPTY; more]);
            for slot in old.into_iter().filter(|slot| *slot != EMPTY) {
                self.fill(hash_of(slot & PLACE), slot);
            }
        }
        self.fill(hash, tag(hash) | place);
        self.len += 1;
        true
    }

    /// Takes away and returns the place with this hash that is the right one.
    pub fn remove(
        &mut self,
        hash: u64,
        is_it: impl Fn(u32) -> bool,
        hash_of: impl Fn(u32) -> u64,
    ) -> Option<u32> {
        let (mut hole, removed) = self.slot_of(hash, is_it)?;
        let slots = self.slots.len();
        let distance = |from: usize, to: usize| (to + slots - from) % slots;
        let mut at = hole;
        loop {
            at = (at + 1) % slots;
            let slot = self.slots.get(at).copied().filter(|slot| *slot != EMPTY);
            let Some(slot) = slot else { break };
            // It may move back to the hole unless its home lies behind it.
            if distance(self.home(hash_of(slot & PLACE)), at) >= distance(hole, at) {
                self.set(hole, slot);
                hole = at;
            }
        }
        self.set(hole, EMPTY);
        self.len -= 1;
        Some(removed)
    }

    /// Changes every place, for who moves the things.
    pub fn move_each(&mut self, mut to: impl FnMut(u32) -> u32) {
        for slot in self.slots.iter_mut().filter(|slot| **slot != EMPTY) {
            *slot = (*slot & !PLACE) | (to(*slot & PLACE) & PLACE);
        }
    }

    /// Which slot has the right place, and that place.
    fn slot_of(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<(usize, u32)> {
        let tag = tag(hash);
        // Up to the end, and then from the beginning; some slot is always empty.
        let mut at = self.home(hash);
        loop {
            let slot = *self.slots.get(at)?;
            if slot == EMPTY {
                return None;
            }
            if slot & !PLACE == tag && is_it(slot & PLACE) {
                return Some((at, slot & PLACE));
            }
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
    }

    fn fill(&mut self, hash: u64, with: u32) {
        let home = self.home(hash);
        let (before, after) = self.slots.split_at_mut(home);
        if let Some(slot) = after.iter_mut().chain(before).find(|slot| **slot == EMPTY) {
            *slot = with;
        }
    }

    fn set(&mut self, at: usize, slot: u32) {
        if let Some(it) = self.slots.get_mut(at) {
            *it = slot;
        }
    }

    /// Where the search for this hash begins: in proportion, so that there may be any number of slots.
    fn home(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.slots.len() as u128) >> 64) as usize
    }
}

/// At most four in five are filled: fuller, searches would grow long.
const fn slots_for(places: usize) -> usize {
    if places == 0 { 0 } else { places + places / 4 + 1 }
}

/// The part of a hash that does not say where its home is.
const fn tag(hash: u64) -> u32 {
    (hash as u32) << PLACE_BITS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    /// Hashes of things at places 0 to 19: in one heap around the end, where the search goes on from the beginning.
    fn hash_of(place: u32) -> u64 {
        u64::from(place % 7).wrapping_sub(3).wrapping_mul(1 << 60)
    }

    proptest! {
        #[test]
        fn it_holds_what_a_set_would(steps in proptest::collection::vec((0u32..20, any::<bool>()), 1..200)) {
            let (mut places, mut set) = (OffsetTable::default(), HashSet::new());
            for (place, put) in steps {
                if put && set.insert(place) {
                    prop_assert!(places.insert(hash_of(place), place, hash_of));
                } else if !put {
                    let removed = places.remove(hash_of(place), |it| it == place, hash_of);
                    prop_assert_eq!(removed, set.remove(&place).then_some(place));
                }
                prop_assert_eq!(places.len(), set.len());
                for place in 0..20 {
                    let found = places.find(hash_of(place), |it| it == place);
                    prop_assert_eq!(found, set.contains(&place).then_some(place));
                }
            }
        }
    }

    #[test]
    fn a_place_that_does_not_fit_is_not_taken() {
        let mut places = OffsetTable::default();
        assert!(!places.insert(1, PLACE, u64::from));
        assert!(places.insert(1, PLACE - 1, u64::from));
        assert_eq!(places.find(1, |_| true), Some(PLACE - 1));
    }
}
