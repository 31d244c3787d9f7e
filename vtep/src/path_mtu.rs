//! The path MTU to each remote (RFC 1191, RFC 8201): what the underlay carries there without fragments, where that is less
//! than what its interface carries.

use alloc::{collections::BTreeMap, vec::Vec};
use core::{net::IpAddr, time::Duration};

use fdb::{RemoteId, RemoteTable};
use spin::Mutex;

use crate::{ControlError, DataLane, Endpoint, Fragments, endpoint::Shared, segment::Segment};

/// Less is never believed: what Linux takes for IPv4 (`net.ipv4.route.min_pmtu`), and the least MTU of IPv6 (RFC 8201 §4).
const LEAST_IPV4: u16 = 552;
const LEAST_IPV6: u16 = 1280;
/// How long what was learned holds before a larger packet may be tried again (RFC 1191 §6.3).
const LIFETIME: Duration = Duration::from_secs(600);

/// The smallest path MTU that a remote of this family can have.
pub(crate) const fn least(is_ipv6: bool) -> u16 {
    if is_ipv6 { LEAST_IPV6 } else { LEAST_IPV4 }
}

/// Until when what was learned holds; the values themselves are in the table of remotes, where packets find them.
#[derive(Debug, Default)]
pub(crate) struct PathMtus {
    ends: Mutex<BTreeMap<IpAddr, Duration>>,
}

impl PathMtus {
    fn set(&self, remotes: &RemoteTable, address: IpAddr, mtu: u16, now: Duration) -> Result<u16, ControlError> {
        let mut ends = self.ends.lock();
        let id = remotes.id_of(address).ok_or(ControlError::NoSuchRemote)?;
        let mtu = mtu.max(least(address.is_ipv6()));
        remotes.set_path_mtu(id, Some(mtu));
        ends.insert(address, now + LIFETIME);
        Ok(mtu)
    }

    fn forget(&self, remotes: &RemoteTable, address: IpAddr) {
        if self.ends.lock().remove(&address).is_some()
            && let Some(id) = remotes.id_of(address)
        {
            remotes.set_path_mtu(id, None);
        }
    }

    /// Forgets what has held for long enough, and of whom no one knows any more.
    pub(crate) fn expire(&self, remotes: &RemoteTable, now: Duration) {
        self.ends.lock().retain(|address, end| {
            let Some(id) = remotes.id_of(*address) else { return false };
            let holds = now < *end;
            if !holds {
                remotes.set_path_mtu(id, None);
            }
            holds
        });
    }
}

impl Shared {
    fn set_path_mtu(&self, remote: IpAddr, mtu: u16, now: Duration) -> Result<u16, ControlError> {
        self.path_mtus.set(&self.remotes, remote, mtu, now)
    }

    /// Whether a frame of this length, Ethernet header included, fits the path to a remote behind its outer headers.
    #[inline]
    pub(crate) fn fits(&self, segment: &Segment, remote: RemoteId, length: usize) -> bool {
        length <= segment.fits_always || self.path_frame_limit(segment, remote).is_none_or(|limit| length <= limit)
    }

    /// The longest frame for a remote, where the path to it is known to limit that.
    pub(crate) fn path_frame_limit(&self, segment: &Segment, remote: RemoteId) -> Option<usize> {
        if segment.config.fragments == Fragments::Allowed {
            return None;
        }
        let path_mtu = self.remotes.path_mtu(remote)?;
        Some(usize::from(path_mtu).saturating_sub(segment.config.outer_len()))
    }
}

impl Endpoint {
    /// Learns that packets of the underlay for this remote may have `mtu` bytes at the most, for ten minutes from `now` on
    /// (RFC 1191 §6.3). Frames that are too big for that behind their outer headers are answered as if the segment's own MTU
    /// were as small. Returns what is taken for the path MTU: never less than 552 bytes, over IPv6 1280 (RFC 8201 §4).
    ///
    /// The caller has checked that the hint is none of a stranger's: ICMP quotes what it is about.
    ///
    /// # Errors
    ///
    /// [`ControlError::NoSuchRemote`].
    pub fn set_path_mtu(&self, remote: IpAddr, mtu: u16, now: Duration) -> Result<u16, ControlError> {
        self.shared.set_path_mtu(remote, mtu, now)
    }

    /// Forgets what was learned of the path to this remote: packets may be as large as the underlay's interface allows.
    pub fn forget_path_mtu(&self, remote: IpAddr) {
        self.shared.path_mtus.forget(&self.shared.remotes, remote);
    }

    /// What each remote was sent so far, in packets, and the path MTU where one was learned. Takes time in proportion to the
    /// number of remotes, and not, as [`remotes`](Self::remotes), to that of rows.
    #[must_use]
    pub fn paths(&self) -> Vec<Path> {
        let table = &self.shared.remotes;
        let path = |id: RemoteId| {
            Some(Path {
                remote: table.get(id)?.address,
                tx_packets: table.statistics(id).tx_packets,
                path_mtu: table.path_mtu(id),
            })
        };
        table.ids().into_iter().filter_map(path).collect()
    }
}

/// The way to a remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Path {
    /// The remote's underlay address, or a multicast group.
    pub remote: IpAddr,
    /// Datagrams sent to it.
    pub tx_packets: u64,
    /// The largest packet of the underlay that gets there, in bytes, where that is known.
    pub path_mtu: Option<u16>,
}

impl DataLane {
    /// As [`Endpoint::set_path_mtu`], for the worker that hears it first: that the system refuses a datagram as too big.
    /// Takes a lock; it is nothing for each frame.
    ///
    /// # Errors
    ///
    /// [`ControlError::NoSuchRemote`].
    pub fn set_path_mtu(&self, remote: IpAddr, mtu: u16, now: Duration) -> Result<u16, ControlError> {
        self.shared.set_path_mtu(remote, mtu, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EndpointOptions, SegmentConfig};

    const REMOTE: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 2));
    const START: Duration = Duration::from_secs(1000);

    fn endpoint() -> Endpoint {
        let endpoint = Endpoint::new(EndpointOptions::new([7; 16]));
        let segment = endpoint.add_segment(SegmentConfig::new("42".parse().unwrap())).unwrap();
        endpoint.add_flood(segment, REMOTE).unwrap();
        endpoint
    }

    fn path_mtu(endpoint: &Endpoint) -> Option<u16> {
        endpoint.paths()[0].path_mtu
    }

    #[test]
    fn what_was_learned_ends_after_ten_minutes() {
        let endpoint = endpoint();
        assert_eq!(path_mtu(&endpoint), None);
        endpoint.set_path_mtu(REMOTE, 1400, START).unwrap();
        endpoint.handle_timeout(START + Duration::from_secs(599));
        assert_eq!(path_mtu(&endpoint), Some(1400));
        endpoint.handle_timeout(START + LIFETIME);
        assert_eq!(path_mtu(&endpoint), None);
    }

    #[test]
    fn what_is_heard_again_lives_longer_and_the_last_word_counts() {
        let endpoint = endpoint();
        endpoint.set_path_mtu(REMOTE, 1400, START).unwrap();
        let later = START + LIFETIME / 2;
        endpoint.set_path_mtu(REMOTE, 1480, later).unwrap();
        endpoint.handle_timeout(START + LIFETIME);
        assert_eq!(path_mtu(&endpoint), Some(1480));
        endpoint.handle_timeout(later + LIFETIME);
        assert_eq!(path_mtu(&endpoint), None);
    }

    #[test]
    fn hints_below_what_every_path_carries_are_raised_to_that() {
        let endpoint = endpoint();
        for (hint, taken) in [(0, 552), (68, 552), (551, 552), (552, 552), (553, 553), (u16::MAX, u16::MAX)] {
            assert_eq!(endpoint.set_path_mtu(REMOTE, hint, START), Ok(taken));
            assert_eq!(path_mtu(&endpoint), Some(taken));
        }
        let mut config = SegmentConfig::new("43".parse().unwrap());
        config.underlay_is_ipv6 = true;
        let segment = endpoint.add_segment(config).unwrap();
        let remote = "2001:db8::2".parse().unwrap();
        endpoint.add_flood(segment, remote).unwrap();
        assert_eq!(endpoint.set_path_mtu(remote, 1279, START), Ok(1280));
    }

    #[test]
    fn a_stranger_has_no_path() {
        let endpoint = endpoint();
        let stranger = "192.0.2.3".parse().unwrap();
        assert_eq!(endpoint.set_path_mtu(stranger, 1400, START), Err(ControlError::NoSuchRemote));
        endpoint.forget_path_mtu(stranger);
        assert_eq!(endpoint.paths().len(), 1);
        assert_eq!(path_mtu(&endpoint), None);
    }

    #[test]
    fn it_can_be_forgotten() {
        let endpoint = endpoint();
        endpoint.set_path_mtu(REMOTE, 1400, START).unwrap();
        endpoint.forget_path_mtu(REMOTE);
        assert_eq!(path_mtu(&endpoint), None);
    }
}
