//! Raw frames seen on a device.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::net::{RecvFlags, recv, sockopt::set_socket_recv_buffer_size_force};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::{
    deadline::{fail, wait_until},
    frame::sequence_numbers,
    frame_sender::RETURN,
    namespace::Namespace,
};

/// Which way a frame passes the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the wire, or from the program behind a TAP, to the host.
    Incoming,
    /// From the host to the wire, or to the program behind a TAP.
    Outgoing,
}

/// A whole datagram that was never cut, with its headers.
const LONGEST: usize = 70_000;
/// Frames that are kept; more are only counted.
const KEPT: usize = 200_000;
/// Room for what comes while a busy machine gives the sniffer no time.
const BUFFER: usize = 1 << 28;
/// How soon a sniffer that is dropped stops.
const TICK: Duration = Duration::from_millis(50);

// <linux/if_ether.h>, <linux/if_packet.h>, <linux/filter.h>
const ETH_P_ALL: u16 = 0x0003;
const PACKET_OUTGOING: u32 = 4;
const SKF_AD_PKTTYPE: u32 = 0xffff_f000 + 4;
const SKF_AD_IFINDEX: u32 = 0xffff_f000 + 8;
const SKF_AD_VLAN_TAG: u32 = 0xffff_f000 + 44;
const SKF_AD_VLAN_TAG_PRESENT: u32 = 0xffff_f000 + 48;
const LOAD_WORD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;

#[derive(Default)]
struct Seen {
    frames: Mutex<Vec<Vec<u8>>>,
    count: AtomicU64,
    stop: AtomicBool,
}

/// Collects the frames that pass a device (`AF_PACKET`), from the moment that it is made until it is dropped.
pub struct Sniffer {
    seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
}

impl Sniffer {
    /// Collects what passes `device` in this direction and pleases `wanted`.
    #[track_caller]
    #[must_use]
    pub fn new(
        namespace: &Namespace,
        device: &str,
        direction: Direction,
        wanted: impl Fn(&[u8]) -> bool + Send + 'static,
    ) -> Self {
        Self::with_filter(namespace, device, direction, None, wanted)
    }

    #[track_caller]
    fn with_filter(
        namespace: &Namespace,
        device: &str,
        direction: Direction,
        vlan: Option<u16>,
        wanted: impl Fn(&[u8]) -> bool + Send + 'static,
    ) -> Self {
        let Some(index) = namespace.device_index(device) else {
            fail(format_args!("{namespace:?} has no device {device}"));
        };
        let socket = match namespace.enter(|| open(index, direction, vlan)) {
            Ok(socket) => socket,
            Err(error) => fail(format_args!("raw socket on {device} in {namespace:?}: {error}")),
        };
        let seen = Arc::new(Seen::default());
        let collector = Arc::clone(&seen);
        let thread = thread::spawn(move || collect(&socket, &collector, wanted));
        Self { seen, thread: Some(thread) }
    }

    /// Collects the frames of one stream of [`crate::Numbered`] that come in.
    #[track_caller]
    #[must_use]
    pub fn of_stream(namespace: &Namespace, device: &str, stream: u32) -> Self {
        Self::new(namespace, device, Direction::Incoming, move |frame| is_of_stream(frame, stream))
    }

    /// The same of frames with an 802.1Q tag, of this VLAN and without priority. They are shown without it.
    #[track_caller]
    #[must_use]
    pub fn of_stream_in_vlan(namespace: &Namespace, device: &str, stream: u32, vlan: u16) -> Self {
        let wanted = move |frame: &[u8]| is_of_stream(frame, stream);
        Self::with_filter(namespace, device, Direction::Incoming, Some(vlan), wanted)
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.seen.count.load(Ordering::Acquire)
    }

    /// What there was, in the order of arrival.
    #[must_use]
    pub fn frames(&self) -> Vec<Vec<u8>> {
        self.seen.frames.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The numbers of the frames of a stream, in the order of arrival.
    #[must_use]
    pub fn numbers(&self, stream: u32) -> Vec<u32> {
        sequence_numbers(&self.frames(), stream)
    }

    /// Waits until there were `count`, then looks whether more come.
    #[track_caller]
    pub fn expect(&self, count: u64) {
        wait_until(&format!("{count} frames arrive, {} did", self.count()), || self.count() >= count);
        // What came twice comes close behind.
        thread::sleep(TICK * 2);
        let came = self.count();
        if came != count {
            fail(format_args!("{came} frames arrived, not {count}"));
        }
    }

    /// Waits until the frames 0 to `count` of a stream have arrived, each exactly once.
    #[track_caller]
    pub fn expect_stream(&self, stream: u32, count: u32) {
        self.expect(count.into());
        let mut numbers = self.numbers(stream);
        numbers.sort_unstable();
        if !numbers.iter().copied().eq(0..count) {
            fail(format_args!("of the frames 0 to {count} of stream {stream} came {numbers:?}"));
        }
    }
}

impl Drop for Sniffer {
    fn drop(&mut self) {
        self.seen.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn is_of_stream(frame: &[u8], stream: u32) -> bool {
    !sequence_numbers([&frame.to_vec()], stream).is_empty()
}

/// A socket that receives from one device and in one direction only. The kernel's filter does both, so that a busy
/// neighbour device can't fill the buffer.
fn open(device_index: u32, direction: Direction, vlan: Option<u16>) -> io::Result<Socket> {
    let nothing = [SockFilter::new(RETURN, 0, 0, 0)];
    let filter = filter(device_index, direction, vlan);
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(i32::from(ETH_P_ALL.to_be()))))?;
    set_socket_recv_buffer_size_force(&socket, BUFFER)?;
    socket.set_read_timeout(Some(TICK))?;
    // What came before the filter is thrown away.
    socket.attach_filter(&nothing)?;
    while recv(&socket, &mut [0; 1][..], RecvFlags::DONTWAIT).is_ok() {}
    socket.attach_filter(&filter)?;
    Ok(socket)
}

fn filter(device_index: u32, direction: Direction, vlan: Option<u16>) -> Vec<SockFilter> {
    // What is loaded, with what it is compared, and whether it shall be equal.
    let mut conditions =
        vec![(SKF_AD_IFINDEX, device_index, true), (SKF_AD_PKTTYPE, PACKET_OUTGOING, direction == Direction::Outgoing)];
    if let Some(id) = vlan {
        // The kernel has taken the tag out of the frame.
        conditions.extend([(SKF_AD_VLAN_TAG_PRESENT, 1, true), (SKF_AD_VLAN_TAG, id.into(), true)]);
    }
    let mut filter = Vec::new();
    for (index, (load, value, shall_be_equal)) in conditions.iter().enumerate() {
        // Over the conditions that are left, to the end.
        let otherwise = ((conditions.len() - index - 1) * 2 + 1) as u8;
        let (if_equal, if_not) = if *shall_be_equal { (0, otherwise) } else { (otherwise, 0) };
        filter.push(SockFilter::new(LOAD_WORD, 0, 0, *load));
        filter.push(SockFilter::new(JUMP_IF_EQUAL, if_equal, if_not, *value));
    }
    filter.extend([SockFilter::new(RETURN, 0, 0, u32::MAX), SockFilter::new(RETURN, 0, 0, 0)]);
    filter
}

fn collect(socket: &Socket, seen: &Seen, wanted: impl Fn(&[u8]) -> bool) {
    let mut buffer = vec![0; LONGEST];
    while !seen.stop.load(Ordering::Acquire) {
        // An error is the timeout, or a device that went down: there may be more.
        let Ok((len, _)) = recv(socket, &mut buffer[..], RecvFlags::empty()) else { continue };
        let frame = &buffer[..len];
        if !wanted(frame) {
            continue;
        }
        let mut frames = seen.frames.lock().unwrap_or_else(PoisonError::into_inner);
        if frames.len() < KEPT {
            frames.push(frame.to_vec());
        }
        seen.count.fetch_add(1, Ordering::Release);
    }
}
