//! What guests say to each other.

use std::net::{IpAddr, UdpSocket};

use overlay_types::MacAddr;
use testbed::{FrameSender, Namespace, Numbered, Ping, Sniffer, in_vlan, ping_with, transfer, wait_until};

use crate::bed::stranger;

/// Bytes of a stream each way.
const STREAM: u64 = 5_000_000;
/// Datagrams each way, and as many as are on their way at a time: no queue overflows.
const DATAGRAMS: usize = 400;
const AT_ONCE: usize = 16;
/// From which port to which they go.
pub(super) const DATAGRAM_PORT: u16 = 20_000;

/// Both ways; the larger ones in fragments of the guests' own.
#[track_caller]
pub(super) fn ping_all_sizes(one: &Namespace, two: &Namespace, addresses: [IpAddr; 2], context: &str) {
    for size in ["56", "1600", "3200"] {
        for (from, to) in [(one, addresses[1]), (two, addresses[0])] {
            let got = ping_with(from, to, 3, &["-s", size]);
            assert_eq!(got, Ping { sent: 3, received: 3, duplicates: 0 }, "{size} bytes to {to}: {context}");
        }
    }
}

/// Both ways: equal by SHA-256.
#[track_caller]
pub(super) fn streams(one: &Namespace, two: &Namespace, addresses: [IpAddr; 2], context: &str) {
    for (from, to, address) in [(one, two, addresses[1]), (two, one, addresses[0])] {
        let moved = transfer(from, to, address, STREAM);
        assert_eq!(moved.sent.bytes, STREAM);
        assert_eq!(moved.sent, moved.received, "to {address}: {context}");
    }
}

/// Both ways: each arrives once, unchanged and in order.
#[track_caller]
pub(super) fn datagrams(one: &Namespace, two: &Namespace, addresses: [IpAddr; 2], context: &str) {
    let sockets =
        [(one, addresses[0]), (two, addresses[1])].map(|(guest, address)| guest.udp_socket((address, DATAGRAM_PORT)));
    let [one, two] = &sockets;
    for (from, to) in [(one, two), (two, one)] {
        let target = to.local_addr().unwrap();
        for first in (0..DATAGRAMS).step_by(AT_ONCE) {
            for number in first..first + AT_ONCE {
                from.send_to(&datagram(number), target).unwrap();
            }
            for number in first..first + AT_ONCE {
                let received = receive(to).unwrap_or_else(|error| panic!("datagram {number}: {error}: {context}"));
                assert!(received == datagram(number), "datagram {number} to {target}: {context}");
            }
        }
        to.set_nonblocking(true).unwrap();
        assert!(receive(to).is_err(), "one more to {target}: {context}");
        to.set_nonblocking(false).unwrap();
    }
}

/// Of any size up to what fits into all tunnels.
fn datagram(number: usize) -> Vec<u8> {
    let length = 8 + number * 379 % 1370;
    (0..length).map(|place| (place * 31 + number * 7) as u8).collect()
}

fn receive(socket: &UdpSocket) -> std::io::Result<Vec<u8>> {
    let mut buffer = vec![0; 1 << 16];
    let length = socket.recv(&mut buffer)?;
    buffer.truncate(length);
    Ok(buffer)
}

/// Both ways: frames with a tag, of which each arrives once and with it.
#[track_caller]
pub(super) fn tagged_frames(one: (&Namespace, &str), two: (&Namespace, &str)) {
    const COUNT: u32 = 500;
    const VLAN: u16 = 7;
    for (stream, (from, to)) in (1..).zip([(one, two), (two, one)]) {
        let arriving = Sniffer::of_stream_in_vlan(to.0, to.1, stream, VLAN);
        let frames = Numbered::new(MacAddr::BROADCAST, stranger(stream), stream);
        let frames = frames.frames(COUNT).map(|frame| in_vlan(VLAN, &frame));
        send_in_step(&mut FrameSender::new(from.0, from.1), frames, || arriving.count());
        arriving.expect_stream(stream, COUNT);
    }
}

/// Sends frames no faster than they arrive: no queue overflows.
#[track_caller]
pub(super) fn send_in_step(
    sender: &mut FrameSender,
    frames: impl IntoIterator<Item = Vec<u8>>,
    arrived: impl Fn() -> u64,
) {
    let mut sent = arrived();
    for frame in frames {
        sender.send(&frame);
        sent += 1;
        if sent.is_multiple_of(AT_ONCE as u64) {
            wait_until(&format!("{sent} frames arrive, {} did", arrived()), || arrived() >= sent);
        }
    }
}
