//! A worker between a pair of sockets in a TAP's stead and a peer on the loopback interface.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    io::{ErrorKind, IoSlice},
    net::{IpAddr, Ipv4Addr, UdpSocket},
    sync::atomic::AtomicU32,
};

use offload::VirtioNetHeader;
use overlay_types::{MacAddr, Vni};
use rustix::{
    event::Timespec,
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, socketpair},
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use vtep::{DropReason, Encapsulation, Endpoint, EndpointOptions, SegmentConfig};

use super::*;
use crate::underlay::{SendOptions, Underlay};

/// Counts what each thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is handed to the system's allocator as it came; counting allocates nothing.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`; the memory is the system's.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const PEER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const OUR_MAC: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);
const PEER_MAC: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 2]);

/// A worker between a pair of sockets in a TAP's stead and a peer on the loopback interface.
struct Bed {
    worker: Worker,
    endpoint: Endpoint,
    segment: SegmentId,
    /// The far end of the TAP.
    guest: OwnedFd,
    peer: UdpSocket,
    port: u16,
    events: UnboundedReceiver<Event>,
}

impl Bed {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut SegmentConfig)) -> Self {
        let underlay = Underlay {
            number: 0,
            local: HERE.into(),
            interface: Arc::new(AtomicU32::new(1)),
            device: None,
            segments: true,
            merges: true,
            mtu: Arc::new(AtomicU32::new(1500)),
            tunnel: None,
        };
        // One port at both addresses: what is free at the peer's may be in use at ours.
        let (peer, port, socket) = loop {
            let peer = UdpSocket::bind((PEER, 0)).unwrap();
            let port = peer.local_addr().unwrap().port();
            match underlay.receiver(port, false) {
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                socket => break (peer, port, socket.unwrap()),
            }
        };
        peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let endpoint = Endpoint::new(EndpointOptions::new([3; 16]));
        let mut config = SegmentConfig::new(Vni::new(42).unwrap());
        config.port = port;
        config.mac = Some(OUR_MAC);
        change(&mut config);
        let segment = endpoint.add_segment(config).unwrap();
        endpoint.add_flood(segment, PEER.into()).unwrap();
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (tap, guest) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        let options = SendOptions { is_udp: true, df: true, udp_checksum: true, source_ports: 49152..=65535 };
        let receiver =
            Receiver { socket, underlay: 0, encapsulation: Encapsulation::Vxlan, port, group: None, worker: 0 };
        let (sender, events) = unbounded_channel();
        let mut worker = Worker::new(Work {
            lane: endpoint.lane().unwrap(),
            origin: Instant::now(),
            events: sender,
            lone_frames: LoneFrames::new(None).unwrap(),
            options: WorkerOptions { count: 1, busy_poll: Duration::ZERO, io_uring: None },
        })
        .unwrap();
        worker.add_segment(
            segment,
            "blue".into(),
            Tap::from_fd(tap),
            Arc::new(SenderPool::open(&underlay, options).unwrap()),
        );
        worker.add_receiver(Arc::new(receiver));
        Self { worker, endpoint, segment, guest, peer, port, events }
    }

    fn turn(&mut self) {
        assert!(self.worker.turn(Some(&Timespec { tv_sec: 5, tv_nsec: 0 })));
    }

    /// The guest sends a frame with this virtio-net header.
    fn queue(&self, virtio: VirtioNetHeader, frame: &[u8]) {
        rustix::io::writev(&self.guest, &[IoSlice::new(&virtio.to_bytes()), IoSlice::new(frame)]).unwrap();
    }

    fn out(&mut self, frame: &[u8]) {
        self.queue(VirtioNetHeader::new(), frame);
        self.turn();
    }

    /// What the guest gets next.
    fn take(&self) -> Result<(VirtioNetHeader, Vec<u8>), Errno> {
        let mut buffer = vec![0; 1 << 17];
        let count = rustix::io::read(&self.guest, &mut buffer)?;
        let (virtio, frame) = VirtioNetHeader::from_prefix(&buffer[..count]).expect("a header before each frame");
        Ok((*virtio, frame.to_vec()))
    }

    fn deliver(&mut self, datagram: &[u8]) {
        self.peer.send_to(datagram, (HERE, self.port)).unwrap();
        self.turn();
    }

    fn statistics(&self) -> vtep::SegmentStatistics {
        self.endpoint.statistics(self.segment).unwrap()
    }
}

fn frame(destination: MacAddr, source: MacAddr, length: usize) -> Vec<u8> {
    let mut frame = vec![0; length];
    frame[..6].copy_from_slice(&destination.octets());
    frame[6..12].copy_from_slice(&source.octets());
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    for (place, byte) in frame[14..].iter_mut().enumerate() {
        *byte = place as u8;
    }
    frame
}

fn datagram(frame: &[u8]) -> Vec<u8> {
    [&[8, 0, 0, 0, 0, 0, 42, 0], frame].concat()
}

#[test]
fn frames_go_out_and_datagrams_come_in_byte_by_byte() {
    let mut bed = Bed::new();
    let mut buffer = [0; 2048];
    for length in [14, 60, 1000, 1464] {
        let out = frame(PEER_MAC, OUR_MAC, length);
        bed.out(&out);
        let (count, from) = bed.peer.recv_from(&mut buffer).unwrap();
        assert_eq!(buffer[..count], datagram(&out));
        assert_eq!(from.ip(), IpAddr::from(HERE));
        assert!(from.port() >= 49152, "source port {}", from.port());

        let into = frame(OUR_MAC, PEER_MAC, length);
        bed.deliver(&datagram(&into));
        assert_eq!(bed.take(), Ok((VirtioNetHeader::new(), into)));
    }
    let statistics = bed.statistics();
    assert_eq!((statistics.tx_frames, statistics.rx_frames, statistics.drops.total()), (4, 4, 0));
    assert_eq!((statistics.tx_bytes, statistics.rx_bytes), (2538, 2538));
}

#[test]
fn a_batch_of_a_thousand_keeps_its_order() {
    let mut bed = Bed::new();
    let mut buffer = [0; 2048];
    for hundred in 0..10 {
        for number in 100 * hundred..100 * (hundred + 1) {
            let mut out = frame(PEER_MAC, OUR_MAC, 64);
            out[60..].copy_from_slice(&u32::to_be_bytes(number));
            bed.queue(VirtioNetHeader::new(), &out);
        }
        while bed.statistics().tx_frames < u64::from(100 * (hundred + 1)) {
            bed.turn();
        }
        for number in 100 * hundred..100 * (hundred + 1) {
            let count = bed.peer.recv(&mut buffer).unwrap();
            assert_eq!(buffer[count - 4..count], u32::to_be_bytes(number));
        }
    }
}

#[test]
fn no_allocation_per_packet() {
    frames_without_allocation(Bed::new());
}

/// Two packets of each that is sent, two of each that is delivered, one of each that is dropped.
#[test]
fn no_allocation_per_packet_while_somebody_captures() {
    let mut bed = Bed::new();
    let [(outbound, out_ring), (inbound, in_ring)] = [(); 2].map(|()| crate::capture::of_first_segment());
    (bed.worker.outbound.recorder, bed.worker.inbound.recorder) = (Some(Box::new(outbound)), Some(Box::new(inbound)));
    frames_without_allocation(bed);
    assert!(out_ring.slots() > 201 * 5 * 100 && in_ring.slots() > 201 * 3 * 100);
}

fn frames_without_allocation(mut bed: Bed) {
    let unicast = frame(PEER_MAC, OUR_MAC, 1000);
    let broadcast = frame(MacAddr::BROADCAST, OUR_MAC, 1000);
    let too_big = frame(PEER_MAC, OUR_MAC, 1465);
    let into = datagram(&frame(OUR_MAC, PEER_MAC, 1000));
    let unknown = datagram(&frame(OUR_MAC, PEER_MAC, 1000)).into_iter().enumerate();
    let unknown: Vec<u8> = unknown.map(|(place, byte)| if place == 6 { 43 } else { byte }).collect();
    let mut buffer = [0; 2048];
    let round = |bed: &mut Bed, buffer: &mut [u8]| {
        for out in [&unicast, &broadcast] {
            bed.out(out);
            bed.peer.recv(buffer).unwrap();
        }
        bed.out(&too_big);
        bed.deliver(&into);
        rustix::io::read(&bed.guest, buffer).unwrap();
        bed.deliver(&unknown);
    };
    // The first frame is learned from, the first error spoken of.
    round(&mut bed, &mut buffer);
    let before = ALLOCATIONS.get();
    for _ in 0..200 {
        round(&mut bed, &mut buffer);
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
    let statistics = bed.statistics();
    // The very first unicast frame was for nobody known yet.
    assert_eq!((statistics.tx_frames, statistics.rx_frames, statistics.flooded), (402, 201, 202));
    assert_eq!(statistics.drops.get(DropReason::TooBig), 201);
    assert_eq!(bed.endpoint.drops().get(DropReason::UnknownVni), 201);
    // The counter counts.
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}

#[test]
fn what_merges_with_nothing_comes_in_in_order() {
    let mut bed = Bed::new();
    let mut allocations = 0;
    for hundred in 0..10 {
        for number in 100 * hundred..100 * (hundred + 1) {
            let mut into = frame(OUR_MAC, PEER_MAC, 64);
            into[60..].copy_from_slice(&u32::to_be_bytes(number));
            bed.peer.send_to(&datagram(&into), (HERE, bed.port)).unwrap();
        }
        let before = ALLOCATIONS.get();
        while bed.statistics().rx_frames < u64::from(100 * (hundred + 1)) {
            bed.turn();
        }
        // The first frame is learned from.
        allocations += if hundred > 0 { ALLOCATIONS.get() - before } else { 0 };
        for number in 100 * hundred..100 * (hundred + 1) {
            let (virtio, into) = bed.take().unwrap();
            assert_eq!((virtio, &into[60..]), (VirtioNetHeader::new(), &u32::to_be_bytes(number)[..]));
        }
    }
    assert_eq!(allocations, 0);
}

#[test]
fn a_tap_that_takes_no_frame_costs_that_frame() {
    let mut bed = Bed::new();
    let into = datagram(&frame(OUR_MAC, PEER_MAC, 1000));
    // Nobody reads: the pair's buffer fills up.
    while bed.statistics().drops.get(DropReason::Socket) < 10 {
        bed.deliver(&into);
    }
    let delivered = bed.statistics().rx_frames;
    for _ in 0..delivered {
        assert_eq!(bed.take().unwrap().1.len(), 1000);
    }
    assert_eq!(bed.take(), Err(Errno::AGAIN));
    bed.deliver(&into);
    assert_eq!(bed.take().unwrap().1.len(), 1000);
    assert!(bed.events.try_recv().is_err(), "a full TAP is not gone");
}

/// A second segment, VNI 43, beside the first; both on a trunk: VLAN 10 and VLAN 20.
fn with_trunk() -> (Bed, SegmentId) {
    let mut bed = Bed::new();
    let mut config = SegmentConfig::new(Vni::new(43).unwrap());
    config.port = bed.port;
    let second = bed.endpoint.add_segment(config).unwrap();
    bed.endpoint.add_flood(second, PEER.into()).unwrap();
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (tap, guest) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    bed.guest = guest;
    let pool = Arc::clone(&bed.worker.port(bed.segment).unwrap().pool);
    let mapped = |vlan| {
        let mut tap = Tap::from_fd(tap.try_clone().unwrap());
        tap.mapping = Some(Mapping { trunk: "trunk0".into(), vlan });
        tap
    };
    bed.worker.remove_segment(bed.segment);
    bed.worker.add_segment(bed.segment, "blue".into(), mapped(10), Arc::clone(&pool));
    bed.worker.add_segment(second, "green".into(), mapped(20), pool);
    (bed, second)
}

fn tagged(frame: &[u8], vlan: u16) -> Vec<u8> {
    [&frame[..12], &[0x81, 0x00], &vlan.to_be_bytes(), &frame[12..]].concat()
}

#[test]
fn a_trunk_is_shared_by_tags() {
    let (mut bed, second) = with_trunk();
    let mut buffer = [0; 2048];
    let vnis = [(10, 42), (20, 43), (20, 43), (10, 42), (10, 42)];
    for (number, (vlan, _)) in (0..).zip(vnis) {
        bed.queue(VirtioNetHeader::new(), &tagged(&frame(PEER_MAC, OUR_MAC, 60 + number), vlan));
    }
    // None, another one, priority only, and the tag of a provider.
    let plain = frame(PEER_MAC, OUR_MAC, 60);
    let mut provider = tagged(&plain, 10);
    provider[12..14].copy_from_slice(&[0x88, 0xa8]);
    let strangers = [plain.clone(), tagged(&plain, 30), tagged(&plain, 0xa000), provider];
    for stranger in &strangers {
        bed.queue(VirtioNetHeader::new(), stranger);
    }
    bed.turn();
    let mut arrived: Vec<_> = (0..vnis.len())
        .map(|_| {
            let count = bed.peer.recv(&mut buffer).unwrap();
            buffer[..count].to_vec()
        })
        .collect();
    let mut expected: Vec<_> = (0..)
        .zip(vnis)
        .map(|(number, (_, vni))| [&[8, 0, 0, 0, 0, 0, vni, 0], &frame(PEER_MAC, OUR_MAC, 60 + number)[..]].concat())
        .collect();
    // Flows go by sockets of their own.
    arrived.sort_unstable();
    expected.sort_unstable();
    assert_eq!(arrived, expected);
    assert_eq!(bed.endpoint.drops().get(DropReason::VlanTag), strangers.len() as u64);
    let sent = |segment| bed.endpoint.statistics(segment).unwrap().tx_frames;
    assert_eq!((sent(bed.segment), sent(second)), (3, 2));

    for (vni, vlan) in [(42, 10), (43, 20)] {
        let into = frame(OUR_MAC, PEER_MAC, 70);
        bed.deliver(&[&[8, 0, 0, 0, 0, 0, vni, 0], &into[..]].concat());
        assert_eq!(bed.take(), Ok((VirtioNetHeader::new(), tagged(&into, vlan))));
    }
}

#[test]
fn a_trunk_goes_on_without_the_segment_that_read_it() {
    let (mut bed, second) = with_trunk();
    let mut buffer = [0; 2048];
    bed.worker.remove_segment(bed.segment);
    bed.out(&tagged(&frame(PEER_MAC, OUR_MAC, 60), 20));
    let count = bed.peer.recv(&mut buffer).unwrap();
    assert_eq!(buffer[..count], [&[8, 0, 0, 0, 0, 0, 43, 0], &frame(PEER_MAC, OUR_MAC, 60)[..]].concat());
    bed.out(&tagged(&frame(PEER_MAC, OUR_MAC, 60), 10));
    assert_eq!(bed.endpoint.drops().get(DropReason::VlanTag), 1);
    assert_eq!(bed.endpoint.statistics(second).unwrap().tx_frames, 1);
}

#[test]
fn commands_are_obeyed() {
    let mut bed = Bed::new();
    bed.worker.remote().send(Command::Stop);
    assert!(!bed.worker.turn(None));
}

mod super_frames;
