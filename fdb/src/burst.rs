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
const MANY: usize = 32;
/// And when there are not so many.
const FEW: usize = 4;

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
        let length = keys.len().min(forwards.len());
        let (many, rest) = keys[..length].as_chunks::<MANY>();
        let (into_many, into_rest) = forwards[..length].as_chunks_mut::<MANY>();
        for (keys, forwards) in many.iter().zip(into_many) {
            self.lookup_together(keys, forwards);
        }
        let (few, rest) = rest.as_chunks::<FEW>();
        let (into_few, into_rest) = into_rest.as_chunks_mut::<FEW>();
        for (keys, forwards) in few.iter().zip(into_few) {
            self.lookup_together(keys, forwards);
        }
        for (&(segment, mac), forward) in rest.iter().zip(into_rest) {
            *forward = self.lookup(segment, mac);
        }
    }

    fn lookup_together<const N: usize>(&self, keys: &[(SegmentId, MacAddr); N], forwards: &mut [Option<Forward>; N]) {
        if !self.lookup_same(keys, forwards) {
            self.lookup_mixed(keys, forwards);
        }
    }

    /// For keys of one segment. `false` where they are not, or where it takes the long way: then nothing is said.
    fn lookup_same<const N: usize>(
        &self,
        keys: &[(SegmentId, MacAddr); N],
        forwards: &mut [Option<Forward>; N],
    ) -> bool {
        let segment = keys[0].0;
        let Some(glance) = Glance::at(self, segment) else { return false };
        let (mut touched, mut others) = (0, 0);
        let likely: [_; N] = core::array::from_fn(|at| {
            let (other, mac) = keys[at];
            let key = key_of(mac);
            let bucket = glance.bucket(self.hash_of(key));
            touched ^= bucket.map_or(0, Bucket::touch);
            others |= other.get() ^ segment.get();
            (key, bucket)
        });
        // Nobody needs it: but without a use the reading itself would be left out.
        black_box(touched);
        if others != 0 {
            return false;
        }
        for (forward, (key, bucket)) in forwards.iter_mut().zip(likely) {
            *forward = match bucket.and_then(|bucket| glance.row(bucket, key)) {
                Some((_, forward)) => Some(forward),
                None => self.lookup_further(segment, key, self.hash_of(key)),
            };
        }
        glance.still()
    }

    fn lookup_mixed<const N: usize>(&self, keys: &[(SegmentId, MacAddr); N], forwards: &mut [Option<Forward>; N]) {
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
