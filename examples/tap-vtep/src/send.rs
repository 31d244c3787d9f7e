//! Datagrams out: many by one system call, and an answer to each way in which that fails.
#![allow(unsafe_code)]

use std::{
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    ptr,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use socket2::SockAddr;
use vtep::{DropReason, RemoteId};

use crate::underlay::{DEFAULT_TTL, SenderPool};

/// Datagrams that one batch holds; a frame for more remotes takes several.
const CAPACITY: usize = 256;
/// How long a full send buffer is waited for. A wire empties it within this; one that doesn't costs a drop, not the loop.
const SEND_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };
/// Room for two control messages with an integer each.
const CONTROL: usize = 64;

/// One datagram to be: bytes that stay where they are until the batch has gone.
#[derive(Clone)]
pub(crate) struct Outgoing {
    /// Which frame of the worker's it carries.
    pub(crate) frame: usize,
    pub(crate) remote: RemoteId,
    pub(crate) destination: SockAddr,
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
    controls: Vec<Control>,
    vectors: Vec<libc::iovec>,
    messages: Vec<libc::mmsghdr>,
}

#[derive(Clone, Copy)]
#[repr(align(8))]
struct Control([u8; CONTROL]);

// SAFETY: the pointers in it are set before each call and mean nothing after it.
unsafe impl Send for SendBatch {}

impl SendBatch {
    pub(crate) fn new() -> Self {
        // SAFETY: plain bytes and pointers; all zero is a value of it (null pointers with length 0).
        let message = unsafe { std::mem::zeroed() };
        Self {
            outgoing: Vec::with_capacity(CAPACITY),
            order: Vec::with_capacity(CAPACITY),
            controls: vec![Control([0; CONTROL]); CAPACITY],
            vectors: vec![libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; CAPACITY],
            messages: vec![message; CAPACITY],
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.outgoing.len() == CAPACITY
    }

    pub(crate) fn push(&mut self, outgoing: Outgoing) {
        debug_assert!(!self.is_full(), "the worker flushes a full batch");
        self.outgoing.push(outgoing);
    }

    /// Sends everything, and tells the outcome of each datagram once. `payload` gives the bytes of a frame, tunnel header first.
    pub(crate) fn flush<'a>(
        &mut self,
        pool: &SenderPool,
        payload: impl Fn(usize) -> &'a [u8],
        mut outcome: impl FnMut(&Outgoing, Outcome),
    ) {
        // One call for each socket in use; within a socket, and so within a flow, order stays.
        self.order.clear();
        self.order.extend(0..self.outgoing.len());
        let outgoing = &self.outgoing;
        let key = |index: &usize| (outgoing[*index].socket, *index);
        if !self.order.is_sorted_by_key(key) {
            self.order.sort_unstable_by_key(key);
        }
        let mut done = 0;
        while done < self.order.len() {
            let socket = self.outgoing[self.order[done]].socket;
            let run = self.order[done..].iter().take_while(|index| self.outgoing[**index].socket == socket).count();
            for place in 0..run {
                let outgoing = &self.outgoing[self.order[done + place]];
                let bytes = payload(outgoing.frame);
                self.vectors[place] = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
                let header = &mut self.messages[place].msg_hdr;
                header.msg_name = outgoing.destination.as_ptr().cast_mut().cast();
                header.msg_namelen = outgoing.destination.len();
                header.msg_iov = &raw mut self.vectors[place];
                header.msg_iovlen = 1;
                header.msg_flags = 0;
                write_control(header, &mut self.controls[place], outgoing);
            }
            let (order, outgoing) = (&self.order[done..], &self.outgoing);
            send_all(&mut System(pool.sockets[socket].as_fd()), &mut self.messages[..run], |place, result| {
                outcome(&outgoing[order[place]], result);
            });
            done += run;
        }
        self.outgoing.clear();
    }
}

/// Writes what differs from the socket's own type of service and TTL.
fn write_control(header: &mut libc::msghdr, control: &mut Control, outgoing: &Outgoing) {
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = CONTROL as _;
    let (level, class, hops) = if outgoing.destination.is_ipv6() {
        (libc::IPPROTO_IPV6, libc::IPV6_TCLASS, libc::IPV6_HOPLIMIT)
    } else {
        (libc::IPPROTO_IP, libc::IP_TOS, libc::IP_TTL)
    };
    let mut used = 0;
    let wanted = [
        (class, outgoing.traffic_class, outgoing.traffic_class != 0),
        (hops, outgoing.ttl, outgoing.ttl != DEFAULT_TTL),
    ];
    // SAFETY: `CONTROL` bytes, aligned, hold two control messages of an integer each (`CMSG_SPACE(4)` is 24); the pointers
    // stay within them.
    unsafe {
        let mut next = libc::CMSG_FIRSTHDR(header);
        for (kind, value, is_needed) in wanted {
            if is_needed && let Some(message) = next.as_mut() {
                message.cmsg_level = level;
                message.cmsg_type = kind;
                message.cmsg_len = libc::CMSG_LEN(size_of::<libc::c_int>() as u32) as _;
                libc::CMSG_DATA(message).cast::<libc::c_int>().write_unaligned(value.into());
                used += libc::CMSG_SPACE(size_of::<libc::c_int>() as u32) as usize;
                next = libc::CMSG_NXTHDR(header, message);
            }
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
        usize::try_from(count).map_err(|_| crate::receive::last_error())
    }

    fn wait(&mut self) -> bool {
        poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], Some(&SEND_WAIT)).is_ok_and(|ready| ready > 0)
    }
}

/// Sends all messages, each of them or an error for it.
///
/// An error is said of the first message that has not gone, and may belong to an earlier one (an ICMP answer that arrived
/// meanwhile): so each message is tried twice, after a moment where the buffer was full. Then the next one has its turn:
/// no error of one costs another.
fn send_all(system: &mut impl Sender, messages: &mut [libc::mmsghdr], mut outcome: impl FnMut(usize, Outcome)) {
    let mut next = 0;
    let mut is_second_try = false;
    // One wait in vain is enough for a batch.
    let mut waits = true;
    while next < messages.len() {
        match system.send(&mut messages[next..]) {
            Ok(count) => {
                // `sendmmsg` may send fewer than asked; it never sends none.
                for place in next..(next + count.max(1)).min(messages.len()) {
                    outcome(place, Ok(()));
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
                outcome(next, Err(error));
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

/// A destination for [`Outgoing`].
pub(crate) fn socket_address(destination: SocketAddr) -> SockAddr {
    SockAddr::from(destination)
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
        let mut outcomes = vec![None; 5];
        send_all(script, &mut messages, |place, outcome| {
            assert!(outcomes[place].replace(outcome).is_none(), "told twice");
        });
        outcomes.into_iter().map(|outcome| outcome.expect("told once")).collect()
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
}
