use core::net::{Ipv4Addr, Ipv6Addr};
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::{EthernetHeader, ipv6::FragmentHeader, options::Options};

const MTU: u16 = 1450;

/// A frame with a TCP segment of these flags and options, its checksum right.
fn frame(is_ipv6: bool, flags: TcpFlags, options: &[u8], data: &[u8]) -> Vec<u8> {
    let mut segment = std::vec![0; 20];
    segment.extend(options);
    segment.resize(20 + options.len().next_multiple_of(4), 0);
    let mut tcp = TcpHeader::new(40000, 80);
    tcp.set_flags(flags);
    tcp.set_data_offset((segment.len() / 4) as u8);
    segment[..20].copy_from_slice(&tcp.to_bytes());
    segment.extend(data);
    let length = segment.len();
    let (ether_type, ip, pseudo) = if is_ipv6 {
        let (from, to) = (Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1), Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2));
        let header = Ipv6Header::new(from, to, IpProtocol::TCP, length as u16);
        let pseudo = header.pseudo_header(IpProtocol::TCP, length as u32);
        (EtherType::IPV6, header.to_bytes().to_vec(), pseudo)
    } else {
        let (from, to) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let header = Ipv4Header::new(from, to, IpProtocol::TCP, (20 + length) as u16);
        (EtherType::IPV4, header.to_bytes().to_vec(), header.pseudo_header(length as u16))
    };
    let sum = pseudo.add_bytes(&segment).checksum();
    segment[CHECKSUM..CHECKSUM + 2].copy_from_slice(&sum.to_be_bytes());
    let ethernet = EthernetHeader::new([2, 0, 0, 0, 0, 2].into(), [2, 0, 0, 0, 0, 1].into(), ether_type);
    [&ethernet.to_bytes()[..], &ip, &segment].concat()
}

fn ip_header(is_ipv6: bool) -> usize {
    if is_ipv6 { 40 } else { 20 }
}

/// The options of a frame, lowered by the walk over options that the crate has besides.
fn reference(options: &[u8], most: u16) -> Vec<u8> {
    let mut expected = options.to_vec();
    for option in Options::new(options) {
        let Ok(option) = option else { break };
        if option.kind == 2
            && let [high, low] = *option.data
        {
            let at = option.data.as_ptr().addr() - options.as_ptr().addr();
            let value = u16::from_be_bytes([high, low]).min(most);
            expected[at..at + 2].copy_from_slice(&value.to_be_bytes());
        }
    }
    expected
}

fn check(is_ipv6: bool, flags: TcpFlags, options: &[u8], data: &[u8]) {
    let before = frame(is_ipv6, flags, options, data);
    let mut options = options.to_vec();
    options.resize(options.len().next_multiple_of(4), 0);
    let is_syn = flags.contains(TcpFlags::SYN);
    let most = MTU - if is_ipv6 { 60 } else { 40 };
    let lowered = if is_syn { reference(&options, most) } else { options.clone() };
    let expected = frame(is_ipv6, flags, &lowered, data);
    let mut after = before.clone();
    assert_eq!(clamp(&mut after, MTU), before != expected, "{options:?}");
    assert_eq!(after, expected, "{options:?}");
}

/// Every way to fill eight bytes with parts of: an end, a no-operation, an MSS that is too large, one that fits, one of a wrong
/// length, a window scale, and lengths that lead astray.
#[test]
fn every_layout_of_options_comes_out_as_the_reference_says() {
    const PARTS: [&[u8]; 9] =
        [&[0], &[1], &[2, 4, 0x23, 0x28], &[2, 4, 0x01, 0x00], &[2, 3, 0x23], &[3, 3, 7], &[9, 0], &[9, 1], &[9, 255]];
    fn fill(options: &mut Vec<u8>, count: &mut u32) {
        for is_ipv6 in [false, true] {
            check(is_ipv6, TcpFlags::SYN, options, &[]);
        }
        *count += 1;
        for part in PARTS {
            if options.len() + part.len() <= 8 {
                let length = options.len();
                options.extend(part);
                fill(options, count);
                options.truncate(length);
            }
        }
    }
    let mut count = 0;
    fill(&mut Vec::new(), &mut count);
    assert!(count > 3000, "{count}");
}

#[test]
fn every_value_of_the_option_at_even_and_odd_places() {
    for value in 0..=u16::MAX {
        let [high, low] = value.to_be_bytes();
        check(false, TcpFlags::SYN, &[2, 4, high, low], &[]);
        check(true, TcpFlags::SYN, &[1, 2, 4, high, low], &[]);
    }
}

#[test]
fn only_syns_are_changed() {
    for flags in 0..=u8::MAX {
        check(false, TcpFlags::from_bits(flags), &[2, 4, 0x23, 0x28], &[1, 2, 3]);
    }
}

#[test]
fn a_checksum_that_was_left_to_hardware_stays() {
    for is_ipv6 in [false, true] {
        let mut frame = frame(is_ipv6, TcpFlags::SYN, &[2, 4, 0x23, 0x28], &[]);
        let at = 14 + ip_header(is_ipv6) + CHECKSUM;
        let partial = if is_ipv6 {
            let (header, _) = Ipv6Header::from_prefix(&frame[14..]).unwrap();
            header.pseudo_header(IpProtocol::TCP, 24).fold()
        } else {
            let (header, _) = Ipv4Header::from_prefix(&frame[14..]).unwrap();
            header.pseudo_header(24).fold()
        };
        frame[at..at + 2].copy_from_slice(&partial.to_be_bytes());
        assert!(clamp(&mut frame, MTU));
        assert_eq!(frame[at..at + 2], partial.to_be_bytes());
    }
}

type Edit = fn(&mut Ipv4Header);

#[test]
fn fragments_other_protocols_and_cut_frames_stay() {
    let whole = frame(false, TcpFlags::SYN, &[2, 4, 0x23, 0x28], &[]);
    let stays = |frame: &[u8]| {
        let mut after = frame.to_vec();
        assert!(!clamp(&mut after, MTU));
        assert_eq!(after, frame);
    };
    for length in 0..whole.len() {
        stays(&whole[..length]);
    }
    let edits: [Edit; 3] =
        [|ip| ip.set_more_fragments(true), |ip| ip.set_fragment_offset(1), |ip| ip.set_protocol(IpProtocol::UDP)];
    for edit in edits {
        let mut frame = whole.clone();
        edit(Ipv4Header::from_prefix_mut(&mut frame[14..]).unwrap().0);
        stays(&frame);
    }
    let mut fragment = frame(true, TcpFlags::SYN, &[2, 4, 0x23, 0x28], &[]);
    let (ip, _) = Ipv6Header::from_prefix_mut(&mut fragment[14..]).unwrap();
    ip.set_next_header(IpProtocol::FRAGMENT);
    ip.set_payload_length(24 + 8);
    fragment.splice(54..54, FragmentHeader::new(IpProtocol::TCP, 0, true, 7).to_bytes());
    stays(&fragment);
}

/// An MTU that leaves no room makes an MSS of 0, and nothing worse.
#[test]
fn any_mtu() {
    for mtu in 0..=u16::MAX {
        let mut frame = frame(false, TcpFlags::SYN, &[2, 4, 0xff, 0xff], &[]);
        assert!(clamp(&mut frame, mtu));
        assert_eq!(frame[56..58], mtu.saturating_sub(40).to_be_bytes());
    }
}

proptest! {
    #[test]
    fn anything_at_all(bytes in prop::collection::vec(any::<u8>(), 0..120), mtu: u16) {
        let mut frame = bytes.clone();
        clamp(&mut frame, mtu);
        prop_assert_eq!(frame.len(), bytes.len());
    }

    #[test]
    fn any_options(options in prop::collection::vec(any::<u8>(), 0..=40), data in prop::collection::vec(any::<u8>(), 0..9)) {
        check(false, TcpFlags::SYN, &options, &data);
        check(true, TcpFlags::SYN, &options, &data);
    }
}
