//! UDP from one guest to the other, many datagrams by one system call so that the generator is not what is measured.
#![allow(unsafe_code)]

use std::{
    io::{self, IoSlice},
    iter, mem,
    net::{SocketAddr, UdpSocket},
    os::fd::{AsFd, AsRawFd},
    ptr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::net::{
    MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg, sockopt::set_socket_recv_buffer_size_force,
};

use super::{bed::Bed, measure::Reading, processors::Idle};
use crate::step::Failure;

/// Where datagrams go from: the sink's own address, and those that are written to.
pub(super) struct Sockets {
    pub(super) sink: SocketAddr,
    pub(super) destinations: Vec<SocketAddr>,
}

/// Datagrams by one call of the sender, and of the receiver.
const SENT_AT_ONCE: usize = 32;
const RECEIVED_AT_ONCE: usize = 64;
/// At a fixed rate fewer, so that they come evenly.
const PACED_AT_ONCE: usize = 16;
const SINK_BUFFER: usize = 4 << 20;
const LONGEST: usize = 2048;
/// The sink looks this often whether it is over; with nothing more for so long, it is.
const TICK: Duration = Duration::from_millis(50);
/// What is under way when the sender stops comes within this time.
const REST: Duration = Duration::from_millis(600);

/// Sends for so many seconds, as fast as it goes or so many a second, and counts what arrives.
pub(super) fn run(
    bed: &Bed,
    sockets: &Sockets,
    payload: usize,
    pace: Option<u32>,
    seconds: u32,
) -> Result<Reading, Failure> {
    let sink = bed.far_guest().udp_socket(sockets.sink);
    set_socket_recv_buffer_size_force(&sink, SINK_BUFFER).map_err(io::Error::from)?;
    sink.set_read_timeout(Some(TICK))?;
    let source = bed.near_guest().udp_socket(([0, 0, 0, 0], 0));
    let destinations = match sockets.destinations[..] {
        [only] => {
            source.connect(only)?;
            Vec::new()
        }
        _ => at_random(&sockets.destinations),
    };
    let time = Duration::from_secs(seconds.into());
    let is_over = AtomicBool::new(false);
    let (sent, received, busy, seconds) = thread::scope(|scope| {
        let counter = scope.spawn(|| count(&sink, &is_over));
        let idle = Idle::now();
        let sent = match pace {
            Some(pace) => send_paced(&source, payload, pace, time),
            None => send(&source, &destinations, payload, time),
        };
        let (seconds, busy) = idle.since();
        is_over.store(true, Ordering::Release);
        (sent, counter.join().unwrap_or_default(), busy, seconds)
    });
    let cost = (received > 0).then(|| busy * 1e6 / f64::from(received));
    let thousands = |datagrams: u32| f64::from(datagrams) / seconds / 1e3;
    Ok(Reading { value: thousands(received), cost, offered: Some(thousands(sent)), busy, seconds })
}

/// A long row of destinations in no order, made beforehand. Its length is a power of two.
fn at_random(destinations: &[SocketAddr]) -> Vec<SocketAddrAny> {
    // Xorshift: the same row in each run.
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..1 << 14).map(|_| destinations[(next() % destinations.len() as u64) as usize].into()).collect()
}

/// As fast as it goes, to each destination in turn; without any, to where the socket is connected to. What the system
/// refuses because a queue is full is not counted.
fn send(source: &UdpSocket, destinations: &[SocketAddrAny], payload: usize, time: Duration) -> u32 {
    let bytes = vec![0x5a; payload];
    let slices = [IoSlice::new(&bytes)];
    let mut controls: Vec<_> =
        iter::repeat_with(SendAncillaryBuffer::default).take(destinations.len().max(SENT_AT_ONCE)).collect();
    let mut messages: Vec<_> = controls
        .iter_mut()
        .enumerate()
        .map(|(place, control)| match destinations.get(place) {
            Some(destination) => MMsgHdr::new_with_addr(destination, &slices, control),
            None => MMsgHdr::new(&slices, control),
        })
        .collect();
    let (begin, mut sent) = (Instant::now(), 0);
    loop {
        for messages in messages.chunks_mut(SENT_AT_ONCE) {
            if begin.elapsed() >= time {
                return sent;
            }
            sent += sendmmsg(source.as_fd(), messages, SendFlags::empty()).unwrap_or(0) as u32;
        }
    }
}

/// So many a second, in small bursts.
fn send_paced(source: &UdpSocket, payload: usize, pace: u32, time: Duration) -> u32 {
    let bytes = vec![0x5a; payload];
    let slices = [IoSlice::new(&bytes)];
    let mut controls: [SendAncillaryBuffer<'_, '_, '_>; PACED_AT_ONCE] = Default::default();
    let mut messages = controls.each_mut().map(|control| MMsgHdr::new(&slices, control));
    let gap = Duration::from_secs(1) * PACED_AT_ONCE as u32 / pace;
    let begin = Instant::now();
    let (mut sent, mut due) = (0, begin);
    while due < begin + time {
        sent += sendmmsg(source.as_fd(), &mut messages, SendFlags::empty()).unwrap_or(0) as u32;
        due += gap;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    sent
}

/// How many come until it is over.
fn count(sink: &UdpSocket, is_over: &AtomicBool) -> u32 {
    let mut bytes = vec![0_u8; RECEIVED_AT_ONCE * LONGEST];
    let mut slices: Vec<_> = bytes
        .chunks_exact_mut(LONGEST)
        .map(|chunk| libc::iovec { iov_base: chunk.as_mut_ptr().cast(), iov_len: chunk.len() })
        .collect();
    // SAFETY: all zero is a valid `mmsghdr`: no address, no slices, no control data.
    let empty: libc::mmsghdr = unsafe { mem::zeroed() };
    let mut messages: Vec<_> = slices
        .iter_mut()
        .map(|slice| {
            let mut message = empty;
            message.msg_hdr.msg_iov = slice;
            message.msg_hdr.msg_iovlen = 1;
            message
        })
        .collect();
    let mut received = 0;
    let mut end = None;
    while end.is_none_or(|end| Instant::now() < end) {
        let (socket, len) = (sink.as_raw_fd(), RECEIVED_AT_ONCE as libc::c_uint);
        // SAFETY: `messages` has `len` headers, each with one slice of `bytes`, which outlive the call.
        let got = unsafe { libc::recvmmsg(socket, messages.as_mut_ptr(), len, libc::MSG_WAITFORONE, ptr::null_mut()) };
        let got = u32::try_from(got).unwrap_or(0);
        received += got;
        match end {
            // Nothing within the timeout, and nobody sends.
            Some(_) if got == 0 => break,
            Some(_) => {}
            None => end = is_over.load(Ordering::Acquire).then(|| Instant::now() + REST),
        }
    }
    received
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_destination_is_met() {
        let all: Vec<SocketAddr> = (0..1000).map(|port| ([127, 0, 0, 1], port).into()).collect();
        let row = at_random(&all);
        assert!(row.len().is_power_of_two());
        let met: BTreeSet<_> = row.iter().map(|address| SocketAddr::try_from(address.clone()).ok()).collect();
        assert_eq!(met.len(), all.len());
    }

    #[test]
    fn what_is_sent_is_counted() {
        let sink = UdpSocket::bind("127.0.0.1:0").unwrap();
        sink.set_read_timeout(Some(TICK)).unwrap();
        let source = UdpSocket::bind("127.0.0.1:0").unwrap();
        source.connect(sink.local_addr().unwrap()).unwrap();
        let is_over = AtomicBool::new(false);
        let sent = thread::scope(|scope| {
            let counter = scope.spawn(|| count(&sink, &is_over));
            let sent = send_paced(&source, 18, 1000, Duration::from_millis(100));
            is_over.store(true, Ordering::Release);
            assert_eq!(counter.join().unwrap(), sent);
            sent
        });
        assert!(sent > 0 && sent % PACED_AT_ONCE as u32 == 0);
    }
}
