//! Looking up many addresses at once.

use core::hint::black_box;

use overlay_types::MacAddr;

use crate::{
    forward::ForwardingTable,
    row::{Forward, key_of},
    segment_id::SegmentId,
};

/// How many lookups are on their way at once: enough to fill the time of one access to memory.
const AT_ONCE: usize = 32;

impl ForwardingTable {
    /// Looks up many addresses: `forwards[i]` gets what [`lookup`](Self::lookup) says of `keys[i]`, as far as both go.
    ///
    /// The memory that the lookups need is asked for first, for all of them together; in a large table that is faster
    /// than one by one. Takes no lock and never waits.
    ///
    /// ```
    /// use fdb::{ForwardingTable, SegmentId, TableOptions};
    /// use overlay_types::MacAddr;
    ///
    /// let table = ForwardingTable::new(TableOptions::new([7; 16]));
    /// let keys = [(SegmentId::new(42).unwrap(), MacAddr::BROADCAST); 3];
    /// let mut forwards = [None; 3];
    /// table.lookup_burst(&keys, &mut forwards);
    /// assert_eq!(forwards, [None; 3]);
    /// ```
    pub fn lookup_burst(&self, keys: &[(SegmentId, MacAddr)], forwards: &mut [Option<Forward>]) {
        for (keys, forwards) in keys.chunks(AT_ONCE).zip(forwards.chunks_mut(AT_ONCE)) {
            let mut places = [None; AT_ONCE];
            let mut touched = 0;
            for (place, &(segment, mac)) in places.iter_mut().zip(keys) {
                *place = self.segment(segment).map(|segment| {
                    let hash = self.hash_of(key_of(mac));
                    touched ^= segment.rows.touch(hash);
                    (segment, hash)
                });
            }
            // Nobody needs it: but without a use the reading itself would be left out.
            black_box(touched);
            for ((forward, place), &(segment, mac)) in forwards.iter_mut().zip(places).zip(keys) {
                let found = place.and_then(|(place, hash)| self.resolve(place, segment, key_of(mac), hash));
                *forward = found.map(|(_, forward)| forward);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::{vec, vec::Vec};

    use super::*;
    use crate::{Origin, RemoteId, SegmentOptions, TableOptions};

    #[test]
    fn says_what_single_lookups_say() {
        let table = ForwardingTable::new(TableOptions::new([7; 16]));
        let mac = |number: u32| MacAddr::new([2, 0, 0, 0, (number >> 8) as u8, number as u8]);
        let segments = [3, 4, 5].map(|number| SegmentId::new(number).unwrap());
        for segment in &segments[..2] {
            table.add_segment(*segment, SegmentOptions::default());
            for number in (0..500).step_by(2) {
                let remote = RemoteId::new(number).unwrap();
                table.insert(*segment, mac(number), remote, Origin::Static, Duration::ZERO).unwrap();
            }
        }
        let keys: Vec<(SegmentId, MacAddr)> =
            (0..600).map(|number| (segments[number as usize % 3], mac(number))).collect();
        for length in [0, 1, 31, 32, 33, 600] {
            let mut forwards = vec![None; length];
            table.lookup_burst(&keys, &mut forwards);
            let expected: Vec<Option<Forward>> =
                keys[..length].iter().map(|&(segment, mac)| table.lookup(segment, mac)).collect();
            assert_eq!(forwards, expected);
        }
    }
}
