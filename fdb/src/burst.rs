//! Looking up many addresses at once.

use core::hint::black_box;

use overlay_types::MacAddr;

use crate::{
    forward::ForwardingTable,
    glance::Glance,
    row::{Forward, key_of},
    segment_id::SegmentId,
    slot::Bucket,
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
            if !self.lookup_same(keys, forwards) {
                self.lookup_mixed(keys, forwards);
            }
        }
    }

    /// For keys of one segment. `false` where they are not, or where it takes the long way: then nothing is said.
    fn lookup_same(&self, keys: &[(SegmentId, MacAddr)], forwards: &mut [Option<Forward>]) -> bool {
        let Some(&(segment, _)) = keys.first() else { return true };
        let Some(glance) = Glance::at(self, segment) else { return false };
        let mut likely = [(0, None); AT_ONCE];
        let (mut touched, mut others) = (0, 0);
        for (likely, &(other, mac)) in likely.iter_mut().zip(keys) {
            let hash = self.hash_of(key_of(mac));
            let bucket = glance.bucket(hash);
            touched ^= bucket.map_or(0, Bucket::touch);
            others |= other.get() ^ segment.get();
            *likely = (hash, bucket);
        }
        // Nobody needs it: but without a use the reading itself would be left out.
        black_box(touched);
        if others != 0 {
            return false;
        }
        for ((forward, &(hash, bucket)), &(_, mac)) in forwards.iter_mut().zip(&likely).zip(keys) {
            let key = key_of(mac);
            *forward = match bucket.and_then(|bucket| glance.row(bucket, key, hash)) {
                Some((_, forward)) => Some(forward),
                None => self.resolve(segment, key, hash).map(|(_, forward)| forward),
            };
        }
        glance.still(self)
    }

    fn lookup_mixed(&self, keys: &[(SegmentId, MacAddr)], forwards: &mut [Option<Forward>]) {
        let mut touched = 0;
        for &(segment, mac) in keys {
            let bucket = Glance::at(self, segment).and_then(|glance| glance.bucket(self.hash_of(key_of(mac))));
            touched ^= bucket.map_or(0, Bucket::touch);
        }
        black_box(touched);
        for (forward, &(segment, mac)) in forwards.iter_mut().zip(keys) {
            *forward = self.lookup(segment, mac);
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
