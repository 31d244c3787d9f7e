//! Storm control: how many frames for everyone a segment lets pass, by token buckets that all lanes share.

use core::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use ether_wire::EthernetHeader;
use overlay_types::MacAddr;

use crate::DropReason;

/// How many frames a second may pass of what goes to everyone; `None`: any number.
///
/// What comes from the TAP and what comes from tunnels have buckets of their own. The lanes share them: in any time there
/// pass no more frames than the rate gives and [`burst`](Self::burst) on top, of all lanes together. A super-frame passes
/// whole while there is a token, and takes as many as it has frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(default, deny_unknown_fields))]
pub struct Storm {
    /// Broadcast frames.
    pub broadcast: Option<u32>,
    /// Frames from the TAP for a MAC address that has no row. Which addresses are not known behind the TAP only its side
    /// knows, so there is no such thing from tunnels.
    pub unknown_unicast: Option<u32>,
    /// Multicast frames that are not broadcast.
    pub multicast: Option<u32>,
    /// How many frames of each kind may come at once after a pause. `None`: what the rate gives in a tenth of a second, and
    /// 16 at least.
    pub burst: Option<u32>,
}

impl Storm {
    /// The highest rate: a frame takes a tenth of a microsecond then.
    pub const MAX_RATE: u32 = 10_000_000;

    /// Whether each rate is one that a bucket can keep.
    pub(crate) fn is_valid(&self) -> bool {
        let rates = [self.broadcast, self.unknown_unicast, self.multicast];
        rates.into_iter().flatten().all(|rate| rate <= Self::MAX_RATE) && self.burst != Some(0)
    }

    fn limit(&self, kind: Kind) -> Option<Limit> {
        let rate = match kind {
            Kind::Broadcast => self.broadcast,
            Kind::UnknownUnicast => self.unknown_unicast,
            Kind::Multicast => self.multicast,
        }?;
        Some(Limit { rate, burst: self.burst.unwrap_or((rate / 10).max(16)) })
    }
}

/// What goes to everyone.
#[derive(Clone, Copy)]
enum Kind {
    Broadcast,
    UnknownUnicast,
    Multicast,
}

impl Kind {
    /// The kind of a frame that goes to the flood list, by its destination.
    fn of(frame: &[u8]) -> Self {
        let destination = EthernetHeader::from_prefix(frame).map_or(MacAddr::BROADCAST, |(it, _)| it.destination());
        if destination.is_broadcast() {
            Self::Broadcast
        } else if destination.is_multicast() {
            Self::Multicast
        } else {
            Self::UnknownUnicast
        }
    }
}

/// A segment's buckets, which its lanes share.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct StormBuckets {
    /// By [`Kind`].
    from_tap: [Bucket; 3],
    from_tunnels: [Bucket; 3],
}

impl StormBuckets {
    /// Lets frames from the TAP pass that go to the flood list, or says that they are too many. For 0 frames it only looks
    /// whether there is a token.
    pub(crate) fn pass_from_tap(
        &self,
        storm: &Storm,
        frame: &[u8],
        frames: u32,
        now: Duration,
    ) -> Result<(), DropReason> {
        pass(&self.from_tap, storm, Kind::of(frame), frames, now)
    }

    /// Lets frames from a tunnel pass, or says that they are too many. For 0 frames it only looks whether there is a token.
    pub(crate) fn pass_from_tunnel(
        &self,
        storm: &Storm,
        frame: &[u8],
        frames: u32,
        now: Duration,
    ) -> Result<(), DropReason> {
        match Kind::of(frame) {
            Kind::UnknownUnicast => Ok(()),
            kind => pass(&self.from_tunnels, storm, kind, frames, now),
        }
    }
}

fn pass(buckets: &[Bucket; 3], storm: &Storm, kind: Kind, frames: u32, now: Duration) -> Result<(), DropReason> {
    match storm.limit(kind) {
        Some(limit) if !buckets[kind as usize].take(limit, frames, now) => Err(DropReason::Storm),
        _ => Ok(()),
    }
}

#[derive(Clone, Copy)]
struct Limit {
    /// Frames a second.
    rate: u32,
    /// Tokens of a full bucket, 1 at least.
    burst: u32,
}

/// A token bucket as one number: when it will be full again (the generic cell rate algorithm, ITU-T I.371 annex A), in
/// sixteenths of a nanosecond.
#[derive(Debug, Default)]
struct Bucket(AtomicU64);

impl Bucket {
    const UNITS_PER_NANOSECOND: u64 = 16;
    const UNITS_PER_SECOND: u64 = 1_000_000_000 * Self::UNITS_PER_NANOSECOND;

    /// Takes a token for each frame where there is one for the first.
    fn take(&self, limit: Limit, frames: u32, now: Duration) -> bool {
        if limit.rate == 0 {
            return false;
        }
        // What a token takes to come, never less than that: so the rate is kept.
        let token = Self::UNITS_PER_SECOND.div_ceil(limit.rate.into());
        let now = (now.as_nanos() as u64).saturating_mul(Self::UNITS_PER_NANOSECOND);
        let last_with_token = now.saturating_add(token.saturating_mul(u64::from(limit.burst.max(1)) - 1));
        let taken = |full_at: u64| {
            let from = full_at.max(now);
            (full_at <= last_with_token).then(|| from.saturating_add(token.saturating_mul(frames.into())))
        };
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread, vec::Vec};

    use proptest::prelude::*;

    use super::*;

    /// A bucket as one would tell it: tokens drop in, and each frame takes one. Counted in parts of a token.
    struct Plain {
        parts: i128,
        then: u128,
    }

    impl Plain {
        fn take(&mut self, limit: Limit, frames: u32, now: Duration) -> bool {
            if limit.rate == 0 {
                return false;
            }
            let token = i128::from(Bucket::UNITS_PER_SECOND.div_ceil(limit.rate.into()));
            let full = token * i128::from(limit.burst);
            let now = now.as_nanos() * u128::from(Bucket::UNITS_PER_NANOSECOND);
            self.parts = full.min(self.parts + (now - self.then).cast_signed());
            self.then = now;
            let passes = self.parts >= token;
            if passes {
                self.parts -= token * i128::from(frames);
            }
            passes
        }
    }

    proptest! {
        #[test]
        fn a_bucket_is_what_one_thinks_it_is(
            rate in prop_oneof![0..5_u32, 0..=Storm::MAX_RATE],
            burst in 1..100_u32,
            frames in prop::collection::vec((0..2_000_000_000_u64, 1..45_u32, any::<bool>()), 1..200),
        ) {
            let limit = Limit { rate, burst };
            let (bucket, mut plain) = (Bucket::default(), Plain { parts: i128::MAX / 2, then: 0 });
            let mut now = Duration::ZERO;
            for (nanoseconds, frames, at_once) in frames {
                now += Duration::from_nanos(if at_once { 0 } else { nanoseconds / u64::from(rate.max(1)) });
                prop_assert_eq!(bucket.take(limit, frames, now), plain.take(limit, frames, now));
            }
        }
    }

    #[test]
    fn a_rate_is_kept() {
        let bucket = Bucket::default();
        let limit = Limit { rate: 1000, burst: 50 };
        let pass = |milliseconds: u64| bucket.take(limit, 1, Duration::from_millis(milliseconds));
        assert_eq!((0..1000).filter(|_| pass(0)).count(), 50);
        // Ten a millisecond for ten seconds.
        assert_eq!((1..=100_000).filter(|tenth| pass(tenth / 10)).count(), 10_000);
        // After a pause the burst, and no more.
        assert_eq!((0..1000).filter(|_| pass(1_000_000)).count(), 50);
    }

    fn frame(destination: MacAddr) -> Vec<u8> {
        [&destination.octets()[..], &[2; 6], &[0x88, 0xb5]].concat()
    }

    #[test]
    fn lanes_share_a_bucket() {
        let buckets = Arc::new(StormBuckets::default());
        let storm = Storm { broadcast: Some(1), burst: Some(5000), ..Storm::default() };
        let lanes: Vec<_> = (0..4)
            .map(|_| {
                let buckets = Arc::clone(&buckets);
                let pass = move |_: &u32| buckets.pass_from_tap(&storm, &[0xff; 14], 1, Duration::ZERO).is_ok();
                thread::spawn(move || (0..5000).filter(pass).count())
            })
            .collect();
        assert_eq!(lanes.into_iter().map(|lane| lane.join().unwrap()).sum::<usize>(), 5000);
    }

    #[test]
    fn each_kind_and_each_way_has_its_own_bucket() {
        let storm = Storm { broadcast: Some(1), unknown_unicast: Some(1), multicast: Some(1), burst: Some(2) };
        let buckets = StormBuckets::default();
        let group = MacAddr::new([1, 0, 0x5e, 0, 0, 1]);
        let unicast = MacAddr::new([2, 0, 0, 0, 0, 1]);
        for destination in [MacAddr::BROADCAST, group, unicast] {
            let frame = frame(destination);
            let from_tap = || buckets.pass_from_tap(&storm, &frame, 1, Duration::ZERO);
            assert_eq!([from_tap(), from_tap(), from_tap()], [Ok(()), Ok(()), Err(DropReason::Storm)]);
            let from_tunnel = || buckets.pass_from_tunnel(&storm, &frame, 1, Duration::ZERO);
            let last = if destination == unicast { Ok(()) } else { Err(DropReason::Storm) };
            assert_eq!([from_tunnel(), from_tunnel(), from_tunnel()], [Ok(()), Ok(()), last]);
        }
    }

    #[test]
    fn what_is_not_limited_passes() {
        let buckets = StormBuckets::default();
        let storm = Storm { broadcast: Some(0), ..Storm::default() };
        let pass = |destination| buckets.pass_from_tap(&storm, &frame(destination), 1, Duration::ZERO).is_ok();
        assert!((0..100_000).all(|_| pass(MacAddr::new([2; 6])) && pass(MacAddr::new([3; 6]))));
        assert!(!pass(MacAddr::BROADCAST));
    }

    #[test]
    fn a_super_frame_takes_as_many_tokens_as_it_has_frames() {
        let bucket = Bucket::default();
        let limit = Limit { rate: 10, burst: 1 };
        assert!(bucket.take(limit, 40, Duration::ZERO));
        assert!(!bucket.take(limit, 1, Duration::from_millis(3_999)));
        assert!(bucket.take(limit, 1, Duration::from_secs(4)));
    }
}
