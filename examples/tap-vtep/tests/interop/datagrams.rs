//! UDP between guests: every datagram arrives once, unchanged and in the order of its flow, whatever is cut and merged on
//! the way.

use std::{
    net::{SocketAddr, UdpSocket},
    thread,
    time::Duration,
};

use testbed::{Family, Namespace, Underlay, ping, wait_until};

use crate::{
    bed::{Cable, Counts, add_guest_addresses, flood_to_all, guest_address, kernel_peers, start, start_two},
    shown::{Feature, With, shown_by_vxlan},
    socket_options::{cut_sends, enlarge_receive_buffer, send_without_checksum},
};

/// Flows at a time.
const FLOWS: usize = 3;
/// Calls and bytes of one burst, and the pause behind it: slow enough that no queue on the way overflows.
const BURST_CALLS: usize = 48;
const BURST_BYTES: usize = 60_000;
const PAUSE: Duration = Duration::from_millis(2);
/// The payload that fills a packet with the least MTU of the segments: 1430 less IPv6 and UDP.
const FULL: usize = 1430 - 40 - 8;

/// How a guest sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// As anybody does.
    Plainly,
    /// With zero for a checksum, which IPv4 allows.
    WithoutChecksum,
    /// Many datagrams of so many bytes by one call (`UDP_SEGMENT`).
    Cut(u16),
}

/// The payload of the datagram with this number.
fn datagram(flow: usize, number: usize, length: usize) -> Vec<u8> {
    let mut bytes = [(flow as u32).to_be_bytes(), (number as u32).to_be_bytes()].concat();
    bytes.resize(length.max(8), 0);
    bytes.truncate(length);
    for (place, byte) in bytes.iter_mut().enumerate().skip(8) {
        *byte = (place * 31 + number * 7 + flow) as u8;
    }
    bytes
}

/// Sends datagrams of these lengths on each of the flows, and compares what arrives.
fn pass(from: &Namespace, to: &Namespace, (source, target): (u8, u8), family: Family, way: Way, lengths: &[usize]) {
    let context = &format!("guest {source} to {target}, {family:?}, {way:?}, {} of them", lengths.len());
    let flows: Vec<_> = (0..FLOWS)
        .map(|_| {
            let sender = from.udp_socket((guest_address(source, family), 0));
            let receiver = to.udp_socket((guest_address(target, family), 0));
            enlarge_receive_buffer(&receiver);
            match way {
                Way::Plainly => {}
                Way::WithoutChecksum => send_without_checksum(&sender),
                Way::Cut(length) => cut_sends(&sender, length),
            }
            (sender, receiver)
        })
        .collect();
    let at_once = if let Way::Cut(_) = way { 32 } else { 1 };
    thread::scope(|scope| {
        for (flow, (_, receiver)) in flows.iter().enumerate() {
            scope.spawn(move || expect_all(receiver, flow, lengths, context));
        }
        let targets: Vec<SocketAddr> = flows.iter().map(|(_, receiver)| receiver.local_addr().unwrap()).collect();
        let numbers: Vec<_> = (0..lengths.len()).collect();
        let (mut calls, mut sent) = (0, 0);
        for numbers in numbers.chunks(at_once) {
            for (flow, (sender, _)) in flows.iter().enumerate() {
                let bytes: Vec<u8> = numbers.iter().flat_map(|at| datagram(flow, *at, lengths[*at])).collect();
                sent += sender.send_to(&bytes, targets[flow]).unwrap();
                calls += 1;
            }
            if calls >= BURST_CALLS || sent >= BURST_BYTES {
                thread::sleep(PAUSE);
                (calls, sent) = (0, 0);
            }
        }
    });
}

fn expect_all(receiver: &UdpSocket, flow: usize, lengths: &[usize], context: &str) {
    let mut buffer = vec![0; 1 << 16];
    for (number, length) in lengths.iter().enumerate() {
        let count = match receiver.recv(&mut buffer) {
            Ok(count) => count,
            Err(error) => panic!("datagram {number} of flow {flow}: {error}: {context}"),
        };
        assert!(
            buffer[..count] == datagram(flow, number, *length),
            "{count} bytes that begin with {:?} instead of datagram {number} of {length} bytes: {context}",
            &buffer[..count.min(8)]
        );
    }
}

/// All ways of sending, from one guest to the other.
fn pass_all(from: &Namespace, to: &Namespace, guests: (u8, u8), family: Family) {
    // While its address is asked for, the stack of the guest may turn the order round.
    wait_until("they know each other", || ping(from, guest_address(guests.1, family), 1).received == 1);
    let unequal: Vec<_> = (0..1000).map(|number| [FULL, FULL, 700, 700, 700, 9, 0, FULL, 1][number * 7 % 9]).collect();
    pass(from, to, guests, family, Way::Plainly, &[1000; 1000]);
    pass(from, to, guests, family, Way::Plainly, &unequal);
    // The guest's own stack makes fragments of them.
    pass(from, to, guests, family, Way::Plainly, &[20_000; 50]);
    if family == Family::V4 {
        pass(from, to, guests, family, Way::WithoutChecksum, &[1000; 500]);
        pass(from, to, guests, family, Way::WithoutChecksum, &unequal);
    }
    let mut cut = vec![1200; 999];
    cut.push(7);
    pass(from, to, guests, family, Way::Cut(1200), &cut);
    pass(from, to, guests, family, Way::Cut(100), &[100; 999]);
}

#[test]
fn against_kernel_vxlan() {
    for cable in Cable::ALL {
        for family in Family::ALL {
            let underlay = Underlay::new(2);
            cable.lay(&underlay);
            let peer = kernel_peers(&underlay, family).remove(0);
            peer.enable_ipv6();
            let vtep = start(&underlay, family, &flood_to_all(&underlay, family));
            add_guest_addresses(&underlay);
            pass_all(&underlay.host(0).namespace, &peer.guest, (1, 2), family);
            pass_all(&peer.guest, &underlay.host(0).namespace, (2, 1), family);
            Counts::expect_no_drop(&vtep, &format!("{cable:?}, {family:?}"));
            shown_by_vxlan(Feature::Bursts, With::Kernel, family);
        }
    }
}

#[test]
fn between_two_of_ours() {
    for cable in Cable::ALL {
        for family in Family::ALL {
            let underlay = Underlay::new(2);
            cable.lay(&underlay);
            let both = start_two(&underlay, family, "");
            let [one, two] = [0, 1].map(|index| &underlay.host(index).namespace);
            pass_all(one, two, (1, 2), family);
            pass_all(two, one, (2, 1), family);
            for vtep in &both {
                Counts::expect_no_drop(vtep, &format!("{cable:?}, {family:?}"));
            }
            shown_by_vxlan(Feature::Bursts, With::Ours, family);
        }
    }
}
