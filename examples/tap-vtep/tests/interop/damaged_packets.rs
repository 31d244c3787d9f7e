//! Packets of the underlay that are damaged or in pieces, of each encapsulation over IPv4 and IPv6: what has a wrong checksum
//! outside, and what lacks a fragment, the host's stack drops and counts before any socket has it. Nothing of it is delivered,
//! and what is whole is, in one piece or in fragments that arrive in any order.

use overlay_types::MacAddr;
use testbed::{
    Family, FrameSender, Host, Namespace, Numbered, OuterPacket, Sniffer, TapVtep, Underlay, guest_mac, stays,
    wait_until,
};

use crate::{
    bed::{Counts, TAP, flood_to_all},
    tunnel::Tunnel,
};

/// Packets of each kind.
const COUNT: u32 = 100;

/// Our endpoint on the first host; the second is its remote, whose packets are made by hand.
struct Arriving {
    tunnel: Tunnel,
    outer: OuterPacket,
    sender: FrameSender,
    delivered: Sniffer,
    vtep: TapVtep,
    underlay: Underlay,
}

impl Arriving {
    fn new(tunnel: Tunnel, family: Family) -> Self {
        let underlay = Underlay::new(2);
        let vtep = tunnel.start(&underlay, family, &flood_to_all(&underlay, family));
        Self {
            tunnel,
            outer: OuterPacket::between(underlay.host(1), underlay.host(0), family),
            sender: FrameSender::new(&underlay.host(1).namespace, Host::DEVICE),
            delivered: Sniffer::of_stream(&underlay.host(0).namespace, TAP, 1),
            vtep,
            underlay,
        }
    }

    fn namespace(&self) -> &Namespace {
        &self.underlay.host(0).namespace
    }

    fn frame(number: u32) -> Vec<u8> {
        Numbered { len: 400, ..Numbered::new(MacAddr::BROADCAST, guest_mac(2), 1) }.frame(number)
    }

    /// The packet with the frame of this number.
    fn packet(&self, number: u32) -> Vec<u8> {
        self.tunnel.packet(&self.outer, &Self::frame(number))
    }

    fn fragments(&self, number: u32) -> Vec<Vec<u8>> {
        self.tunnel.fragments(&self.outer, &Self::frame(number), 104, number as u16)
    }
}

#[test]
fn a_wrong_checksum_outside_is_never_delivered() {
    for (tunnel, family) in Tunnel::ALL.into_iter().flat_map(|tunnel| Family::ALL.map(|family| (tunnel, family))) {
        let mut arriving = Arriving::new(tunnel, family);
        let udp =
            (if family == Family::V4 { "UdpInCsumErrors" } else { "Udp6InCsumErrors" }, tunnel.udp_checksum_at(family));
        let ip = ("IpInHdrErrors", (family == Family::V4).then_some(14 + 10));
        let mut expected = Counts::of(&arriving.vtep);
        let mut numbers = Vec::new();
        for (first, (counter, place)) in (0..).step_by(2 * COUNT as usize).zip([udp, ip]) {
            let Some(place) = place else { continue };
            let before = arriving.namespace().protocol_counter(counter);
            // A right one after each wrong one, of the same flow.
            for number in first..first + COUNT {
                let mut wrong = arriving.packet(COUNT + number);
                wrong[place + number as usize % 2] ^= 1 << (number % 8);
                arriving.sender.send_all([wrong, arriving.packet(number)]);
                numbers.push(number);
            }
            expected = expected.and_delivered(COUNT.into());
            expected.expect(&arriving.vtep);
            let context = format!("{tunnel:?} over {family:?}: {counter}");
            wait_until(&context, || arriving.namespace().protocol_counter(counter) >= before + u64::from(COUNT));
            assert_eq!(arriving.namespace().protocol_counter(counter), before + u64::from(COUNT), "{context}");
        }
        arriving.delivered.expect(numbers.len() as u64);
        assert_eq!(arriving.delivered.numbers(1), numbers, "{tunnel:?} over {family:?}");
    }
}

#[test]
fn what_lacks_a_fragment_is_never_delivered_and_what_lacks_none_once() {
    for (tunnel, family) in Tunnel::ALL.into_iter().flat_map(|tunnel| Family::ALL.map(|family| (tunnel, family))) {
        let mut arriving = Arriving::new(tunnel, family);
        let before = Counts::of(&arriving.vtep);
        // The first alone, the last alone, one from the midst alone, all but one.
        for number in 0..COUNT {
            let mut fragments = arriving.fragments(number);
            assert!(fragments.len() >= 4);
            match number % 4 {
                0 => fragments.truncate(1),
                1 => drop(fragments.drain(..fragments.len() - 1)),
                2 => drop(fragments.remove(1)),
                _ => fragments = vec![fragments.swap_remove(1)],
            }
            arriving.sender.send_all(fragments);
        }
        stays("nothing of it is delivered", std::time::Duration::from_millis(300), || {
            Counts::of(&arriving.vtep) == before && arriving.delivered.count() == 0
        });
        // Forwards, backwards, and turned by one.
        for number in COUNT..2 * COUNT {
            let mut fragments = arriving.fragments(number);
            match number % 3 {
                0 => {}
                1 => fragments.reverse(),
                _ => fragments.rotate_left(1),
            }
            arriving.sender.send_all(fragments);
        }
        before.and_delivered(COUNT.into()).expect(&arriving.vtep);
        arriving.delivered.expect(COUNT.into());
        let numbers: Vec<_> = (COUNT..2 * COUNT).collect();
        assert_eq!(arriving.delivered.numbers(1), numbers, "{tunnel:?} over {family:?}");
        let frames = arriving.delivered.frames();
        assert!(
            (COUNT..).zip(&frames).all(|(number, frame)| *frame == Arriving::frame(number)),
            "{tunnel:?} over {family:?}"
        );
    }
}
