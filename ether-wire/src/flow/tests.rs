use core::net::{Ipv4Addr, Ipv6Addr};

use overlay_types::MacAddr;
use proptest::prelude::*;
use std::{collections::HashSet, format, vec::Vec};

use super::*;
use crate::{VlanTag, ipv6::FragmentHeader};

const SECRET: [u8; 16] = *b"not a big secret";

/// What a test frame is made of.
#[derive(Clone, Debug)]
struct Frame {
    stations: [u8; 12],
    tags: u8,
    source: u128,
    destination: u128,
    ipv6: bool,
    /// Offset in units of 8 bytes, more fragments.
    fragment: Option<(u16, bool)>,
    /// Extension headers, or words of options.
    extensions: u8,
    protocol: u8,
    /// The ports, then other data.
    payload: Vec<u8>,
}

const TCP_IPV4: Frame = Frame {
    stations: [2; 12],
    tags: 0,
    source: 0x0a00_0001,
    destination: 0x0a00_0002,
    ipv6: false,
    fragment: None,
    extensions: 0,
    protocol: 6,
    payload: Vec::new(),
};

impl Frame {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::from(self.stations);
        let ether_type = if self.ipv6 { EtherType::IPV6 } else { EtherType::IPV4 };
        for _ in 0..self.tags {
            bytes.extend([0x81, 0, 0, 7]);
        }
        bytes.extend(ether_type.to_be_bytes());
        if self.ipv6 {
            let mut extensions = Vec::new();
            let last = if self.fragment.is_some() { 44 } else { self.protocol };
            for left in (0..self.extensions).rev() {
                extensions.extend([if left == 0 { last } else { 60 }, 0, 1, 4, 0, 0, 0, 0]);
            }
            if let Some((offset, more)) = self.fragment {
                extensions.extend(FragmentHeader::new(self.protocol.into(), offset, more, 99).to_bytes());
            }
            let next = if self.extensions > 0 { 60 } else { last };
            let length = (extensions.len() + self.payload.len()) as u16;
            bytes.extend(Ipv6Header::new(self.source.into(), self.destination.into(), next.into(), length).to_bytes());
            bytes.extend(extensions);
        } else {
            let addresses = (Ipv4Addr::from_bits(self.source as u32), Ipv4Addr::from_bits(self.destination as u32));
            let mut header = Ipv4Header::new(addresses.0, addresses.1, self.protocol.into(), 0);
            header.set_ihl(5 + self.extensions);
            header.set_total_length((header.header_length() + self.payload.len()) as u16);
            if let Some((offset, more)) = self.fragment {
                header.set_fragment_offset(offset);
                header.set_more_fragments(more);
            }
            bytes.extend(header.to_bytes());
            bytes.extend([1, 1, 1, 0].repeat(self.extensions.into()));
        }
        bytes.extend(&self.payload);
        bytes
    }

    fn hash(&self) -> FlowHash {
        FlowHasher::new(SECRET).hash(&self.bytes())
    }

    /// The hash by the book: `SipHash` over the parts of the flow.
    fn model(&self) -> FlowHash {
        let whole = self.fragment.is_none() && [6, 17, 33, 132, 136].contains(&self.protocol);
        let ports = if whole && self.payload.len() >= 4 { &self.payload[..4] } else { &[0; 4] };
        let mut flow = Vec::new();
        if self.ipv6 {
            flow.extend(self.source.to_be_bytes());
            flow.extend(self.destination.to_be_bytes());
        } else {
            flow.extend((self.source as u32).to_be_bytes());
            flow.extend((self.destination as u32).to_be_bytes());
        }
        flow.extend(ports);
        flow.extend([0, 0, self.protocol, if self.ipv6 { 6 } else { 4 }]);
        // The words in the order of the machine that SipHash was made for.
        flow.chunks_mut(8).for_each(<[u8]>::reverse);
        FlowHash::new((SipHasher13::new_with_key(&SECRET).hash(&flow) >> 32) as u32)
    }
}

/// The hash of a frame of which only the stations count.
fn stations(hasher: &FlowHasher, frame: &[u8], ether_type: EtherType) -> FlowHash {
    hasher.hash_stations(EthernetHeader::from_prefix(frame).unwrap().0, ether_type)
}

prop_compose! {
    fn frames()(
        stations: [u8; 12],
        tags in 0..=ethernet::MAX_VLAN_TAGS,
        addresses: [u128; 2],
        ipv6: bool,
        fragment in prop_oneof![
            Just(None), Just(None), Just(Some((0, true))), (1_u16..8192, any::<bool>()).prop_map(Some)],
        extensions in 0_u8..7,
        protocol in prop::sample::select(&[1_u8, 6, 17, 33, 47, 50, 58, 132, 136, 255][..]),
        payload in prop::collection::vec(any::<u8>(), 0..40),
    ) -> Frame {
        let [source, destination] = addresses;
        Frame { stations, tags, source, destination, ipv6, fragment, extensions, protocol, payload }
    }
}

proptest! {
    #[test]
    fn as_the_model(frame in frames()) {
        prop_assert_eq!(frame.hash(), frame.model());
    }

    #[test]
    fn a_flow_is_the_5_tuple_and_nothing_else(frame in frames(), other in frames(), padding in 0_usize..40) {
        // All but the flow from another frame; ports are the first four bytes of the payload.
        let mut payload = frame.payload.clone();
        payload.truncate(4);
        payload.resize(4, 1);
        let frame = Frame { payload: payload.clone(), ..frame };
        payload.extend(&other.payload);
        let (fragment, extensions) = (frame.fragment.map(|_| (other.extensions.into(), true)), other.extensions);
        let same = Frame { stations: other.stations, tags: other.tags, fragment, extensions, payload, ..frame.clone() };
        let mut bytes = same.bytes();
        bytes.resize(bytes.len() + padding, 0xee);
        prop_assert_eq!(FlowHasher::new(SECRET).hash(&bytes), frame.hash());
    }

    #[test]
    fn cut_frames_fall_back_to_the_stations(frame in frames(), length: prop::sample::Index) {
        let bytes = frame.bytes();
        let hasher = FlowHasher::new(SECRET);
        let start = 14 + 4 * usize::from(frame.tags);
        let cut = &bytes[..start + length.index(bytes.len() - start)];
        let ether_type = if frame.ipv6 { [0x86, 0xdd] } else { [0x08, 0x00] };
        let expected = stations(&hasher, &bytes, EtherType::from_be_bytes(ether_type));
        prop_assert_eq!(hasher.hash(cut), expected);
    }

    #[test]
    fn any_bytes_have_a_hash(bytes in prop::collection::vec(any::<u8>(), 0..80), ether_type in 0_usize..4) {
        let mut bytes = bytes;
        if let Some(place) = bytes.get_mut(12..14) {
            place.copy_from_slice(&[[0x08, 0], [0x86, 0xdd], [0x81, 0], [0x08, 0x06]][ether_type]);
        }
        let hasher = FlowHasher::new(SECRET);
        prop_assert_eq!(hasher.hash(&bytes), hasher.hash(&bytes));
    }

    #[test]
    fn projections_are_in_range(hash: u32, start: u16, end: u16) {
        let hash = FlowHash::new(hash);
        let port = hash.udp_source_port(start..=end);
        let inside = if start <= end { (start..=end).contains(&port) } else { port == start };
        prop_assert!(inside);
        prop_assert!((1..=0xf_ffff).contains(&hash.ipv6_flow_label()));
        prop_assert_eq!(u32::from(hash.nvgre_flow_id()), hash.get() >> 24);
    }
}

#[test]
fn every_part_of_the_flow_counts() {
    let frame = Frame { payload: std::vec![0, 80, 1, 187, 0, 0], ..TCP_IPV4 };
    for ipv6 in [false, true] {
        let frame = Frame { ipv6, ..frame.clone() };
        let mut hashes = HashSet::from([frame.hash()]);
        assert!(hashes.insert(Frame { source: 1, ..frame.clone() }.hash()), "source");
        assert!(hashes.insert(Frame { destination: 1, ..frame.clone() }.hash()), "destination");
        assert!(hashes.insert(Frame { protocol: 17, ..frame.clone() }.hash()), "protocol");
        assert!(hashes.insert(Frame { protocol: 132, ..frame.clone() }.hash()), "protocol");
        assert!(hashes.insert(Frame { payload: std::vec![0, 81, 1, 187], ..frame.clone() }.hash()), "source port");
        assert!(hashes.insert(Frame { payload: std::vec![0, 80, 1, 188], ..frame.clone() }.hash()), "destination port");
        assert!(hashes.insert(Frame { fragment: Some((0, true)), ..frame.clone() }.hash()), "fragment");
        let other_secret = FlowHasher::new(*b"another secret!!").hash(&frame.bytes());
        assert!(hashes.insert(other_secret), "secret");
    }
}

#[test]
fn all_fragments_take_one_path() {
    for ipv6 in [false, true] {
        let fragment = |offset, more, payload: &[u8]| {
            Frame { ipv6, protocol: 17, fragment: Some((offset, more)), payload: payload.into(), ..TCP_IPV4 }.hash()
        };
        let first = fragment(0, true, &[0, 80, 1, 187, 0, 0, 0, 0]);
        assert_eq!(fragment(1, true, &[9; 8]), first);
        assert_eq!(fragment(2, false, &[1]), first);
    }
}

#[test]
fn what_is_no_ip_is_told_apart_by_its_stations() {
    let hasher = FlowHasher::new(SECRET);
    let mut seen = HashSet::new();
    for (source, ether_type) in [(1, EtherType::ARP), (2, EtherType::ARP), (1, EtherType::new(0x88cc))] {
        let header = EthernetHeader::new(MacAddr::BROADCAST, MacAddr::new([2, 0, 0, 0, 0, source]), ether_type);
        let hash = hasher.hash(&header.to_bytes());
        let mut longer = Vec::from(header.to_bytes());
        longer.extend([7; 46]);
        assert_eq!(hasher.hash(&longer), hash);
        assert!(seen.insert(hash));
    }
    // Wrong versions and header lengths are no IP.
    for first in [0x05, 0x44, 0x65] {
        let mut bytes = Frame { payload: std::vec![0, 80, 1, 187], ..TCP_IPV4 }.bytes();
        bytes[14] = first;
        assert_eq!(hasher.hash(&bytes), stations(&hasher, &bytes, EtherType::IPV4));
    }
}

#[test]
fn too_many_tags_and_too_few_bytes_still_have_a_hash() {
    let hasher = FlowHasher::new(SECRET);
    let mut seen = HashSet::new();
    for length in 0..14 {
        assert!(seen.insert(hasher.hash(&[0; 14][..length])));
    }
    for station in 0..4 {
        let mut bytes = std::vec![station; 12];
        bytes.extend([0x81, 0, 0, 7].repeat(usize::from(ethernet::MAX_VLAN_TAGS) + 1));
        assert!(seen.insert(hasher.hash(&bytes)));
        assert_eq!(bytes.len() % VlanTag::LEN, 0);
    }
}

#[test]
fn projections_spread_evenly() {
    const FLOWS: u32 = 1 << 14;
    let hasher = FlowHasher::new(SECRET);
    let (mut ports, mut ids, mut labels) = ([0_u32; 64], [0_u32; 64], [0_u32; 64]);
    for flow in 0..FLOWS {
        // Addresses in a row, as in any pool.
        let frame = Frame { source: 0x0a00_0000 + u128::from(flow), payload: std::vec![0; 4], ..TCP_IPV4 };
        let hash = hasher.hash(&frame.bytes());
        ports[usize::from(hash.udp_source_port(DEFAULT_SOURCE_PORTS) - 49152) / 256] += 1;
        ids[usize::from(hash.nvgre_flow_id()) / 4] += 1;
        labels[hash.ipv6_flow_label() as usize >> 14] += 1;
    }
    // 256 are expected in each of 64 bins; six standard deviations are 96.
    for bins in [ports, ids, labels] {
        for count in bins {
            assert!((160..=352).contains(&count), "{bins:?}");
        }
    }
}

#[test]
fn the_ends_of_the_range_are_reached() {
    let (low, high) = (FlowHash::new(0), FlowHash::new(u32::MAX));
    assert_eq!((low.udp_source_port(DEFAULT_SOURCE_PORTS), high.udp_source_port(DEFAULT_SOURCE_PORTS)), (49152, 65535));
    assert_eq!((low.udp_source_port(0..=u16::MAX), high.udp_source_port(0..=u16::MAX)), (0, 65535));
    assert_eq!((low.udp_source_port(7..=7), high.udp_source_port(7..=7)), (7, 7));
    assert_eq!((low.ipv6_flow_label(), high.ipv6_flow_label()), (1, 0xf_ffff));
}

#[test]
fn the_secret_is_not_printed() {
    assert_eq!(format!("{:?}", FlowHasher::new(SECRET)), "FlowHasher { .. }");
}

#[test]
fn ipv6_addresses_count_whole() {
    let mut hashes = HashSet::new();
    for bit in 0..128 {
        let source = u128::from(Ipv6Addr::LOCALHOST) ^ 1 << bit;
        assert!(hashes.insert(Frame { ipv6: true, source, ..TCP_IPV4 }.hash()));
    }
}
