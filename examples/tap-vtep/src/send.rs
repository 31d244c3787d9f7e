//! Datagrams out: many by one system call, equal ones as one message that the kernel cuts (`UDP_SEGMENT`), and an answer
//! to each way in which that fails.
#![allow(unsafe_code)]

use std::{
    net::SocketAddr,
    ops::Range,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    ptr,
};

use ether_wire::ethernet::EthernetHeader;
use offload::SuperFrame;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use socket2::Socket;
use tracing::warn;
use vtep::{DropReason, RemoteId};

use crate::underlay::{DEFAULT_TTL, SenderPool, stop_flow_labels};

/// Datagrams that one batch holds; a frame for more remotes takes several.
const CAPACITY: usize = 256;
/// Into how many datagrams the kernel cuts one message at the most: what Linux 4.18 allowed first.
pub(crate) const SEGMENTS: usize = 64;
/// The longest message: what fits an IPv4 packet behind its header and that of UDP.
const MESSAGE: usize = 65_507;
/// Room for the headers of one frame: Ethernet, four VLAN tags, IP with options or extension headers, TCP with options.
const HEADERS: usize = 512;
/// How long a full send buffer is waited for. A wire empties it within this; one that doesn't costs a drop, not the loop.
const SEND_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };
/// Room for three control messages with an integer each.
const CONTROL: usize = 80;

/// The largest super-frame, in bytes of the IP packet, that one message carries for a segment with this MTU.
pub(crate) fn super_frame_bound(mtu: u16, tunnel_header: usize) -> u32 {
    /// IPv4 and TCP with time stamps: what most packets have. With more, a super-frame takes two messages.
    const HEADERS: usize = 20 + 32;
    /// What the kernel takes off for headers of its own before it counts segments, and some more.
    const RESERVED: usize = 400;
    let mtu = usize::from(mtu);
    let segments = (MESSAGE / (tunnel_header + EthernetHeader::LEN + mtu)).clamp(1, SEGMENTS);
    (segments * mtu.saturating_sub(HEADERS) + RESERVED) as u32
}

/// One datagram to be: bytes that stay where they are until the batch has gone.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    /// Which frame of the worker's it carries.
    pub(crate) frame: usize,
    /// Where tunnel header and frame lie in the worker's memory.
    pub(crate) bytes: Range<usize>,
    pub(crate) remote: RemoteId,
    pub(crate) addressed: Addressed,
}

/// Where a datagram goes, and what its outer headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addressed {
    pub(crate) destination: SocketAddr,
    /// Which socket of the pool.
    pub(crate) socket: usize,
    pub(crate) traffic_class: u8,
    pub(crate) ttl: u8,
}

/// What became of a datagram.
pub(crate) type Outcome = Result<(), Errno>;

/// The memory of one batch.
pub(crate) struct SendBatch {
    outgoing: Vec<Outgoing>,
    order: Vec<usize>,
    /// How many datagrams each message carries.
    groups: Vec<usize>,
    vectors: Vec<libc::iovec>,
    messages: Messages,
    /// For what has to go one by one.
    single: Messages,
    /// The headers of a super-frame's segments.
    headers: Vec<u8>,
}

impl SendBatch {
    pub(crate) fn new() -> Self {
        Self {
            outgoing: Vec::with_capacity(CAPACITY),
            order: Vec::with_capacity(CAPACITY),
            groups: Vec::with_capacity(CAPACITY),
            vectors: Vec::with_capacity(CAPACITY.max(2 * SEGMENTS)),
            messages: Messages::new(CAPACITY),
            single: Messages::new(CAPACITY),
            headers: vec![0; SEGMENTS * HEADERS],
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.outgoing.len() == CAPACITY
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.outgoing.is_empty()
    }

    pub(crate) fn push(&mut self, outgoing: Outgoing) {
        debug_assert!(!self.is_full(), "the worker flushes a full batch");
        self.outgoing.push(outgoing);
    }

    /// Sends everything, and tells the outcome of each datagram once.
    ///
    /// Neighbours of the same length for the same remote go as one message: order within a socket and a remote, and so
    /// within a flow, stays.
    pub(crate) fn flush(&mut self, pool: &SenderPool, memory: &[u8], outcome: impl FnMut(&Outgoing, Outcome)) {
        self.flush_by(pool, |socket| System(socket.as_fd()), memory, outcome);
    }

    fn flush_by<'p, S: Sender>(
        &mut self,
        pool: &'p SenderPool,
        system: impl Fn(&'p Socket) -> S,
        memory: &[u8],
        mut outcome: impl FnMut(&Outgoing, Outcome),
    ) {
        let Self { outgoing, order, groups, vectors, messages, single, .. } = self;
        order.clear();
        order.extend(0..outgoing.len());
        let key = |index: &usize| (outgoing[*index].addressed.socket, outgoing[*index].remote, *index);
        if !order.is_sorted_by_key(key) {
            order.sort_unstable_by_key(key);
        }
        vectors.clear();
        vectors.extend(order.iter().map(|index| vector(&memory[outgoing[*index].bytes.clone()])));
        let mut done = 0;
        while done < order.len() {
            let socket = outgoing[order[done]].addressed.socket;
            let mut end = done;
            groups.clear();
            messages.clear();
            while end < order.len() && outgoing[order[end]].addressed.socket == socket {
                let first = &outgoing[order[end]];
                let count = if pool.segments() { equal_ones(outgoing, &order[end..]) } else { 1 };
                messages.push(
                    &mut vectors[end..end + count],
                    &first.addressed,
                    (count > 1).then_some(first.bytes.len() as u16),
                );
                groups.push(count);
                end += count;
            }
            let mut system = system(&pool.sockets[socket]);
            let mut place = done;
            let mut next_group = groups.iter();
            send_all(&mut system, messages.ready(), |system, result| {
                let count = next_group.next().copied().unwrap_or(1);
                let group = &order[place..place + count];
                match result {
                    Err(error) if count > 1 => {
                        pool.refused(error);
                        single.clear();
                        for (index, vector) in group.iter().zip(&mut vectors[place..]) {
                            single.push(std::slice::from_mut(vector), &outgoing[*index].addressed, None);
                        }
                        let mut group = group.iter();
                        send_all(system, single.ready(), |_, result| {
                            if let Some(index) = group.next() {
                                outcome(&outgoing[*index], result);
                            }
                        });
                    }
                    result => group.iter().for_each(|index| outcome(&outgoing[*index], result)),
                }
                place += count;
            });
            done = end;
        }
        outgoing.clear();
    }

    /// Cuts a super-frame, and sends the frames to each of these remotes. The batch must be empty: what was pushed before
    /// goes before.
    pub(crate) fn send_super_frame(
        &mut self,
        pool: &SenderPool,
        super_frame: &SuperFrame,
        frame: &[u8],
        tunnel_header: &[u8],
        destinations: &(impl Iterator<Item = (RemoteId, Addressed)> + Clone),
        mut sent_to: impl FnMut(RemoteId, u32),
    ) -> SentSuperFrame {
        debug_assert!(self.is_empty(), "what came before goes before");
        let header = tunnel_header.len() + super_frame.header_len();
        let mut sent = SentSuperFrame::default();
        if header > HEADERS {
            sent.failure = Some(Errno::MSGSIZE);
            return sent;
        }
        let datagram = tunnel_header.len() + super_frame.largest_frame();
        let chunk = if pool.segments() { (MESSAGE / datagram).clamp(1, SEGMENTS) } else { SEGMENTS };
        let Self { vectors, messages, single, headers, .. } = self;
        let mut next = 0;
        while next < super_frame.segments() {
            let count = chunk.min(super_frame.segments() - next);
            vectors.clear();
            let mut bytes = 0;
            for (index, place) in headers.chunks_exact_mut(HEADERS).take(count).enumerate() {
                let (tunnel, inner) = place[..header].split_at_mut(tunnel_header.len());
                tunnel.copy_from_slice(tunnel_header);
                let payload = &frame[super_frame.write_segment(frame, next + index, inner)];
                bytes += super_frame.header_len() + payload.len();
                vectors.extend([vector(&place[..header]), vector(payload)]);
            }
            // Which of the segments have reached at least one remote.
            let mut reached = 0_u64;
            for (remote, addressed) in destinations.clone() {
                let mut system = System(pool.sockets[addressed.socket].as_fd());
                let mut is_done = false;
                if pool.segments() {
                    messages.clear();
                    messages.push(vectors, &addressed, (count > 1).then_some(datagram as u16));
                    send_all(&mut system, messages.ready(), |_, result| match result {
                        Ok(()) => is_done = true,
                        Err(error) if count > 1 => pool.refused(error),
                        Err(error) => sent.failure = Some(error),
                    });
                    if is_done {
                        reached = u64::MAX;
                        sent_to(remote, count as u32);
                    }
                }
                if !is_done && (count > 1 || !pool.segments()) {
                    single.clear();
                    for pair in vectors.chunks_exact_mut(2) {
                        single.push(pair, &addressed, None);
                    }
                    let mut bit = 1;
                    send_all(&mut system, single.ready(), |_, result| {
                        match result {
                            Ok(()) => {
                                reached |= bit;
                                sent_to(remote, 1);
                            }
                            Err(error) => sent.failure = Some(error),
                        }
                        bit <<= 1;
                    });
                }
            }
            if reached == u64::MAX {
                sent.frames += count as u32;
                sent.bytes += bytes;
            } else {
                for (index, pair) in vectors.chunks_exact(2).enumerate().filter(|(index, _)| reached >> index & 1 == 1)
                {
                    debug_assert!(index < SEGMENTS);
                    sent.frames += 1;
                    sent.bytes += pair[0].iov_len + pair[1].iov_len - tunnel_header.len();
                }
            }
            next += count;
        }
        sent
    }
}

/// What became of a super-frame.
#[derive(Debug, Default)]
pub(crate) struct SentSuperFrame {
    /// Of its frames, how many reached at least one remote.
    pub(crate) frames: u32,
    /// Their bytes, without tunnel headers.
    pub(crate) bytes: usize,
    /// Why others did not.
    pub(crate) failure: Option<Errno>,
}

/// How many datagrams from the first on can go as one message: to the same remote with the same outer headers, of equal
/// length but for the last, which may be shorter.
fn equal_ones(outgoing: &[Outgoing], order: &[usize]) -> usize {
    let first = &outgoing[order[0]];
    let length = first.bytes.len();
    if length == 0 {
        return 1;
    }
    let most = (MESSAGE / length).clamp(1, SEGMENTS);
    let mut count = 1;
    while count < most.min(order.len()) {
        let next = &outgoing[order[count]];
        if next.addressed != first.addressed || next.bytes.len() > length || next.bytes.is_empty() {
            break;
        }
        count += 1;
        if next.bytes.len() < length {
            break;
        }
    }
    count
}

fn vector(bytes: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}

/// Messages for one `sendmmsg`, and the memory that they point to.
struct Messages {
    count: usize,
    names: Vec<Name>,
    controls: Vec<Control>,
    headers: Vec<libc::mmsghdr>,
}

#[derive(Clone, Copy)]
#[repr(C)]
union Name {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

#[derive(Clone, Copy)]
#[repr(align(8))]
struct Control([u8; CONTROL]);

// SAFETY: the pointers in both are set before each call and mean nothing after it.
unsafe impl Send for SendBatch {}

impl Messages {
    fn new(capacity: usize) -> Self {
        // SAFETY: plain bytes and pointers; all zero is a value of both (null pointers with length 0).
        let (name, header) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        Self {
            count: 0,
            names: vec![name; capacity],
            controls: vec![Control([0; CONTROL]); capacity],
            headers: vec![header; capacity],
        }
    }

    fn clear(&mut self) {
        self.count = 0;
    }

    /// Adds a message of these bytes; with `segment`, the kernel cuts it into datagrams of that length.
    fn push(&mut self, vectors: &mut [libc::iovec], addressed: &Addressed, segment: Option<u16>) {
        let header = &mut self.headers[self.count].msg_hdr;
        header.msg_namelen = self.names[self.count].write(&addressed.destination);
        header.msg_name = (&raw mut self.names[self.count]).cast();
        header.msg_iov = vectors.as_mut_ptr();
        header.msg_iovlen = vectors.len() as _;
        header.msg_flags = 0;
        write_control(header, &mut self.controls[self.count], addressed, segment);
        self.count += 1;
    }

    fn ready(&mut self) -> &mut [libc::mmsghdr] {
        &mut self.headers[..self.count]
    }
}

impl Name {
    /// Becomes this address: its length.
    fn write(&mut self, address: &SocketAddr) -> libc::socklen_t {
        match address {
            SocketAddr::V4(address) => {
                self.v4 = libc::sockaddr_in {
                    sin_family: libc::AF_INET as _,
                    sin_port: address.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: address.ip().to_bits().to_be() },
                    sin_zero: [0; 8],
                };
                size_of::<libc::sockaddr_in>() as _
            }
            SocketAddr::V6(address) => {
                self.v6 = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as _,
                    sin6_port: address.port().to_be(),
                    sin6_flowinfo: address.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                    sin6_scope_id: address.scope_id(),
                };
                size_of::<libc::sockaddr_in6>() as _
            }
        }
    }
}

/// Writes what differs from the socket's own type of service and TTL, and where the kernel is to cut.
fn write_control(header: &mut libc::msghdr, control: &mut Control, addressed: &Addressed, segment: Option<u16>) {
    let (level, class, hops) = if addressed.destination.is_ipv6() {
        (libc::IPPROTO_IPV6, libc::IPV6_TCLASS, libc::IPV6_HOPLIMIT)
    } else {
        (libc::IPPROTO_IP, libc::IP_TOS, libc::IP_TTL)
    };
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = CONTROL as _;
    let mut used = 0;
    // SAFETY: `CONTROL` bytes, aligned, hold three control messages of an integer each (`CMSG_SPACE(4)` is 24); the
    // pointers stay within them.
    unsafe {
        let mut next = libc::CMSG_FIRSTHDR(header);
        let mut add = |level, kind, value: &[u8]| {
            if let Some(message) = next.as_mut() {
                message.cmsg_level = level;
                message.cmsg_type = kind;
                message.cmsg_len = libc::CMSG_LEN(value.len() as u32) as _;
                ptr::copy_nonoverlapping(value.as_ptr(), libc::CMSG_DATA(message), value.len());
                used += libc::CMSG_SPACE(value.len() as u32) as usize;
                next = libc::CMSG_NXTHDR(header, message);
            }
        };
        if addressed.traffic_class != 0 {
            add(level, class, &libc::c_int::from(addressed.traffic_class).to_ne_bytes());
        }
        if addressed.ttl != DEFAULT_TTL {
            add(level, hops, &libc::c_int::from(addressed.ttl).to_ne_bytes());
        }
        if let Some(segment) = segment {
            add(libc::SOL_UDP, libc::UDP_SEGMENT, &segment.to_ne_bytes());
        }
    }
    header.msg_controllen = used as _;
    if used == 0 {
        header.msg_control = ptr::null_mut();
    }
}

/// The two system calls that [`send_all`] needs: a seam for tests.
trait Sender {
    /// Sends the first of `messages`, and as many more as it likes: how many, at least one.
    fn send(&mut self, messages: &mut [libc::mmsghdr]) -> Result<usize, Errno>;
    /// Waits a moment for room in the send buffer: whether there is some.
    fn wait(&mut self) -> bool;
}

struct System<'a>(BorrowedFd<'a>);

impl Sender for System<'_> {
    fn send(&mut self, messages: &mut [libc::mmsghdr]) -> Result<usize, Errno> {
        // SAFETY: each header describes memory that lives and does not change until the call is back.
        let count = unsafe {
            libc::sendmmsg(
                self.0.as_raw_fd(),
                messages.as_mut_ptr(),
                messages.len() as libc::c_uint,
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        };
        let sent = usize::try_from(count).map_err(|_| crate::receive::last_error());
        if sent == Err(Errno::INVAL) && stop_flow_labels(self.0) {
            warn!(
                "some program holds an IPv6 flow label for itself alone: the kernel labels what a socket sends from now on"
            );
        }
        sent
    }

    fn wait(&mut self) -> bool {
        poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], Some(&SEND_WAIT)).is_ok_and(|ready| ready > 0)
    }
}

/// Sends all messages, each of them or an error for it, and tells the outcome of one after the other.
///
/// An error is said of the first message that has not gone, and may belong to an earlier one (an ICMP answer that arrived
/// meanwhile): so each message is tried twice, after a moment where the buffer was full. Then the next one has its turn:
/// no error of one costs another.
fn send_all<S: Sender>(system: &mut S, messages: &mut [libc::mmsghdr], mut outcome: impl FnMut(&mut S, Outcome)) {
    let mut next = 0;
    let mut is_second_try = false;
    // One wait in vain is enough for a batch.
    let mut waits = true;
    while next < messages.len() {
        match system.send(&mut messages[next..]) {
            Ok(count) => {
                // `sendmmsg` may send fewer than asked; it never sends none.
                for _ in next..(next + count.max(1)).min(messages.len()) {
                    outcome(system, Ok(()));
                }
                next += count.max(1);
                is_second_try = false;
            }
            Err(Errno::INTR) => {}
            Err(error) if !is_second_try => {
                if waits && matches!(error, Errno::AGAIN | Errno::NOBUFS) {
                    waits = system.wait();
                }
                is_second_try = true;
            }
            Err(error) => {
                outcome(system, Err(error));
                next += 1;
                is_second_try = false;
            }
        }
    }
}

/// Under which reason a datagram that was not sent is counted.
pub(crate) fn drop_reason(error: Errno) -> DropReason {
    if error == Errno::MSGSIZE { DropReason::TooBig } else { DropReason::Socket }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers from a script, then sends everything.
    struct Script {
        answers: Vec<Result<usize, Errno>>,
        waits: usize,
        /// What a wait brings.
        room: bool,
        /// How many messages each call was given.
        calls: Vec<usize>,
    }

    impl Script {
        fn new(answers: &[Result<usize, Errno>]) -> Self {
            Self { answers: answers.iter().rev().copied().collect(), waits: 0, room: true, calls: Vec::new() }
        }
    }

    impl Sender for Script {
        fn send(&mut self, messages: &mut [libc::mmsghdr]) -> Result<usize, Errno> {
            self.calls.push(messages.len());
            self.answers.pop().unwrap_or(Ok(messages.len()))
        }

        fn wait(&mut self) -> bool {
            self.waits += 1;
            self.room
        }
    }

    /// Sends five messages by a script; the outcome of each.
    fn send_five(script: &mut Script) -> Vec<Outcome> {
        // SAFETY: all zero is a value of it, and the script does not look inside.
        let mut messages: Vec<libc::mmsghdr> = (0..5).map(|_| unsafe { std::mem::zeroed() }).collect();
        let mut outcomes = Vec::new();
        send_all(script, &mut messages, |_, outcome| outcomes.push(outcome));
        assert_eq!(outcomes.len(), 5, "each told once");
        outcomes
    }

    #[test]
    fn everything_goes_by_one_call() {
        let mut script = Script::new(&[]);
        assert_eq!(send_five(&mut script), vec![Ok(()); 5]);
        assert_eq!(script.calls, [5]);
    }

    #[test]
    fn a_short_count_goes_on_behind_it() {
        let mut script = Script::new(&[Ok(2), Ok(1)]);
        assert_eq!(send_five(&mut script), vec![Ok(()); 5]);
        assert_eq!(script.calls, [5, 3, 2]);
    }

    #[test]
    fn an_interruption_is_nothing() {
        let mut script = Script::new(&[Err(Errno::INTR); 7]);
        assert_eq!(send_five(&mut script), vec![Ok(()); 5]);
    }

    const ERRORS: [Errno; 9] = [
        Errno::NOBUFS,
        Errno::AGAIN,
        Errno::PERM,
        Errno::NETDOWN,
        Errno::NETUNREACH,
        Errno::HOSTUNREACH,
        Errno::CONNREFUSED,
        Errno::MSGSIZE,
        Errno::INVAL,
    ];

    #[test]
    fn an_error_that_passes_costs_nothing() {
        for error in ERRORS {
            let mut script = Script::new(&[Ok(1), Err(error)]);
            assert_eq!(send_five(&mut script), vec![Ok(()); 5], "{error}");
        }
    }

    #[test]
    fn an_error_that_stays_costs_one_message() {
        for error in ERRORS {
            let mut script = Script::new(&[Ok(2), Err(error), Err(error)]);
            assert_eq!(send_five(&mut script), [Ok(()), Ok(()), Err(error), Ok(()), Ok(())], "{error}");
            assert_eq!(script.calls, [5, 3, 3, 2], "{error}");
        }
    }

    #[test]
    fn a_full_buffer_is_waited_for_and_other_errors_are_not() {
        for error in ERRORS {
            let mut script = Script::new(&[Err(error)]);
            send_five(&mut script);
            assert_eq!(script.waits, usize::from(matches!(error, Errno::AGAIN | Errno::NOBUFS)), "{error}");
        }
    }

    #[test]
    fn a_buffer_that_stays_full_is_waited_for_once() {
        let mut script = Script { room: false, ..Script::new(&[Err(Errno::AGAIN); 100]) };
        assert_eq!(send_five(&mut script), vec![Err(Errno::AGAIN); 5]);
        assert_eq!(script.waits, 1);
    }

    #[test]
    fn errors_without_end_end() {
        for error in ERRORS {
            let mut script = Script::new(&[Err(error); 100]);
            assert_eq!(send_five(&mut script), vec![Err(error); 5], "{error}");
        }
    }

    #[test]
    fn what_does_not_fit_has_its_own_reason() {
        for error in ERRORS {
            let expected = if error == Errno::MSGSIZE { DropReason::TooBig } else { DropReason::Socket };
            assert_eq!(drop_reason(error), expected, "{error}");
        }
    }

    mod grouping;
}
