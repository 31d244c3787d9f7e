//! Whether this kernel cuts and merges UDP datagrams as it says: tried at start, byte by byte, before anybody's frames
//! depend on it.
//!
//! The trial runs between two sockets of its own on the loopback address, connected to each other, so that it can neither
//! disturb others nor be disturbed. It ends after [`PATIENCE`] whatever happens.
#![allow(unsafe_code)]

use std::{
    ffi::c_int,
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::AsRawFd as _,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{receive::last_error, underlay::set};

/// How long the whole trial may take. It takes some hundred microseconds where nothing is wrong.
const PATIENCE: Duration = Duration::from_millis(50);
/// The largest payload of a UDP datagram over IPv4, and so of one send that is cut.
const PAYLOAD_MAX: usize = 65_507;
/// More than any datagram, so that none can be cut off unseen.
const BUFFER: usize = 1 << 16;
/// Room for what a loopback socket is sent by one case, many times over.
const SOCKET_BUFFER: usize = 1 << 20;
/// Room for one control message with an integer.
const CONTROL: usize = 64;

/// What of the kernel's UDP offloads can be relied on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UdpOffloads {
    /// `UDP_SEGMENT`: one send is cut into many datagrams.
    pub(crate) segment: bool,
    /// `UDP_GRO`: many datagrams are received by one call.
    pub(crate) receive: bool,
    /// Why not, for the log, where one of them is `false`.
    pub(crate) reason: Option<Reason>,
}

/// What was wrong: which of the offloads, with which send, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    offload: &'static str,
    case: Option<Case>,
    fault: Fault,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.offload)?;
        if let Some(Case { total, segment }) = self.case {
            write!(f, "{total} bytes in datagrams of {segment}: ")?;
        }
        self.fault.fmt(f)
    }
}

/// How an answer of the kernel differs from what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("refused: {0}")]
    Refused(Errno),
    #[error("only {arrived} of {sent} datagrams arrived")]
    Lost { arrived: usize, sent: usize },
    #[error("datagram {datagram} arrived with {arrived} bytes instead of {sent}")]
    Length { datagram: usize, arrived: usize, sent: usize },
    #[error("datagram {datagram} arrived with other bytes")]
    Bytes { datagram: usize },
    #[error("more than {sent} datagrams arrived")]
    TooMany { sent: usize },
    #[error("a segment size of {0} was given")]
    SegmentSize(c_int),
}

/// One send: `total` bytes, to arrive as datagrams of `segment` bytes and one of what remains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Case {
    segment: u16,
    total: usize,
}

/// Datagrams fit an MTU of 1,500, should the loopback interface have been given one.
const CASES: [Case; 8] = [
    Case { segment: 1400, total: 14_000 },
    Case { segment: 1400, total: 4201 },
    Case { segment: 1400, total: 4199 },
    Case { segment: 1400, total: 1400 },
    Case { segment: 1400, total: 7 },
    Case { segment: 1, total: 64 },
    // 64 datagrams is the most that older kernels take, `PAYLOAD_MAX` the most that any takes.
    Case { segment: 1023, total: 64 * 1023 },
    Case { segment: 1448, total: PAYLOAD_MAX },
];

/// Tries what the kernel does with UDP datagrams of the family of `local`.
pub(crate) fn udp_offloads(local: IpAddr) -> UdpOffloads {
    match Loopback::open(local.is_ipv6()) {
        Ok(mut kernel) => check(&mut kernel),
        Err(error) => {
            let error = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            neither(Reason { offload: "loopback sockets", case: None, fault: Fault::Refused(error) })
        }
    }
}

fn neither(reason: Reason) -> UdpOffloads {
    UdpOffloads { segment: false, receive: false, reason: Some(reason) }
}

/// The kernel between two connected sockets: a seam for tests.
trait Kernel {
    /// Sends `payload` in datagrams of `segment` bytes.
    fn send(&mut self, payload: &[u8], segment: u16) -> Result<(), Errno>;
    /// From now on datagrams may be received merged.
    fn merge(&mut self) -> Result<(), Errno>;
    /// What has arrived next, if anything has within `patience`.
    fn receive(&mut self, buffer: &mut [u8], patience: Duration) -> Result<Option<Arrival>, Errno>;
}

/// What one call received.
struct Arrival {
    length: usize,
    /// The size of each datagram in it but the last, where the kernel says that it merged some.
    segment: Option<c_int>,
}

fn check(kernel: &mut impl Kernel) -> UdpOffloads {
    let mut trial = Trial { end: Instant::now() + PATIENCE, payload: pattern(), received: vec![0; BUFFER] };
    if let Err((case, fault)) = trial.all(kernel) {
        // What merges cannot be tried without what is cut.
        return neither(Reason { offload: "UDP_SEGMENT", case: Some(case), fault });
    }
    let merged = match kernel.merge() {
        Ok(()) => trial.all(kernel).map_err(|(case, fault)| (Some(case), fault)),
        Err(error) => Err((None, Fault::Refused(error))),
    };
    let reason = merged.err().map(|(case, fault)| Reason { offload: "UDP_GRO", case, fault });
    UdpOffloads { segment: true, receive: reason.is_none(), reason }
}

/// Bytes of which no run repeats soon: one that is in the wrong place is seen.
fn pattern() -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        // Numerical Recipes' linear congruential generator; its high bits are the good ones.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(PAYLOAD_MAX + CASES.len()).collect()
}

/// The memory of the trial, and when it ends.
struct Trial {
    end: Instant,
    payload: Vec<u8>,
    received: Vec<u8>,
}

impl Trial {
    fn all(&mut self, kernel: &mut impl Kernel) -> Result<(), (Case, Fault)> {
        // Each begins elsewhere in the pattern, so that what is left of one is not taken for the next.
        CASES
            .iter()
            .enumerate()
            .try_for_each(|(place, case)| self.one(kernel, *case, place).map_err(|fault| (*case, fault)))
    }

    fn one(&mut self, kernel: &mut impl Kernel, case: Case, place: usize) -> Result<(), Fault> {
        let payload = &self.payload[place..place + case.total];
        kernel.send(payload, case.segment).map_err(Fault::Refused)?;
        let mut expected = payload.chunks(case.segment.into()).enumerate();
        let sent = expected.len();
        while expected.len() > 0 {
            let patience = self.end.saturating_duration_since(Instant::now());
            let arrived = sent - expected.len();
            let arrival = kernel.receive(&mut self.received, patience).map_err(Fault::Refused)?;
            let Some(Arrival { length, segment }) = arrival else { return Err(Fault::Lost { arrived, sent }) };
            let received = &self.received[..length];
            let size = match segment {
                None => length,
                Some(size) => usize::try_from(size).ok().filter(|size| *size > 0).ok_or(Fault::SegmentSize(size))?,
            };
            if length == 0 {
                return Err(Fault::Length { datagram: arrived, arrived: 0, sent: case.segment.into() });
            }
            for datagram in received.chunks(size) {
                let (number, expected) = expected.next().ok_or(Fault::TooMany { sent })?;
                if datagram.len() != expected.len() {
                    let (arrived, sent) = (datagram.len(), expected.len());
                    return Err(Fault::Length { datagram: number, arrived, sent });
                }
                if datagram != expected {
                    return Err(Fault::Bytes { datagram: number });
                }
            }
        }
        // What is sent over the loopback has arrived when the send is back: nothing more is to come.
        match kernel.receive(&mut self.received, Duration::ZERO).map_err(Fault::Refused)? {
            None => Ok(()),
            Some(_) => Err(Fault::TooMany { sent }),
        }
    }
}

/// The kernel itself.
struct Loopback {
    sender: Socket,
    receiver: Socket,
}

impl Loopback {
    fn open(is_ipv6: bool) -> io::Result<Self> {
        let address = if is_ipv6 { IpAddr::from(Ipv6Addr::LOCALHOST) } else { Ipv4Addr::LOCALHOST.into() };
        let address = SocketAddr::new(address, 0);
        let socket = || {
            let kind = Type::DGRAM.nonblocking().cloexec();
            let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::UDP))?;
            socket.bind(&address.into())?;
            Ok::<_, io::Error>(socket)
        };
        let (sender, receiver) = (socket()?, socket()?);
        receiver.set_recv_buffer_size(SOCKET_BUFFER)?;
        sender.set_send_buffer_size(SOCKET_BUFFER)?;
        sender.connect(&receiver.local_addr()?)?;
        receiver.connect(&sender.local_addr()?)?;
        let mut kernel = Self { sender, receiver };
        // Somebody may have sent something before it was connected.
        while kernel.receive(&mut [0; 1], Duration::ZERO)?.is_some() {}
        Ok(kernel)
    }
}

/// Ancillary data, aligned as the kernel reads and writes it.
#[repr(align(8))]
struct Control([u8; CONTROL]);

impl Kernel for Loopback {
    fn send(&mut self, payload: &[u8], segment: u16) -> Result<(), Errno> {
        // In pieces that end within datagrams, as headers and payloads do.
        let (first, rest) = payload.split_at(payload.len().min(8));
        let (second, third) = rest.split_at(rest.len() / 3);
        let mut vectors = [first, second, third]
            .map(|piece| libc::iovec { iov_base: piece.as_ptr().cast_mut().cast(), iov_len: piece.len() });
        let mut control = Control([0; CONTROL]);
        let header = message(&mut vectors, &mut control);
        // SAFETY: the header leads to memory of this function that holds the one control message which is written, and to
        // bytes of `payload`, which the kernel only reads.
        let status = unsafe {
            let mut header = header;
            header.msg_controllen = libc::CMSG_SPACE(size_of::<u16>() as u32) as _;
            let option = libc::CMSG_FIRSTHDR(&raw const header);
            (*option).cmsg_level = libc::SOL_UDP;
            (*option).cmsg_type = libc::UDP_SEGMENT;
            (*option).cmsg_len = libc::CMSG_LEN(size_of::<u16>() as u32) as _;
            libc::CMSG_DATA(option).cast::<u16>().write_unaligned(segment);
            libc::sendmsg(self.sender.as_raw_fd(), &raw const header, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
        };
        if status < 0 { Err(last_error()) } else { Ok(()) }
    }

    fn merge(&mut self) -> Result<(), Errno> {
        set(&self.receiver, libc::SOL_UDP, libc::UDP_GRO, 1_i32)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }

    fn receive(&mut self, buffer: &mut [u8], patience: Duration) -> Result<Option<Arrival>, Errno> {
        // A wait of less than a second always fits.
        let patience = Timespec::try_from(patience).unwrap_or_default();
        if poll(&mut [PollFd::new(&self.receiver, PollFlags::IN)], Some(&patience))? == 0 {
            return Ok(None);
        }
        let mut vectors = [libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() }];
        let mut control = Control([0; CONTROL]);
        let mut header = message(&mut vectors, &mut control);
        // SAFETY: the header leads to `buffer` and to memory of this function, which nothing else touches; the macros walk
        // what the kernel wrote by the lengths in it.
        unsafe {
            let length = libc::recvmsg(self.receiver.as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT);
            let length = usize::try_from(length).map_err(|_| last_error())?;
            let mut segment = None;
            let mut next = libc::CMSG_FIRSTHDR(&raw const header);
            while let Some(option) = next.as_ref() {
                if (option.cmsg_level, option.cmsg_type) == (libc::SOL_UDP, libc::UDP_GRO) {
                    segment = Some(libc::CMSG_DATA(option).cast::<c_int>().read_unaligned());
                }
                next = libc::CMSG_NXTHDR(&raw const header, option);
            }
            Ok(Some(Arrival { length, segment }))
        }
    }
}

/// A message of a connected socket: these bytes and that control data.
fn message(vectors: &mut [libc::iovec], control: &mut Control) -> libc::msghdr {
    // SAFETY: plain integers and pointers; all zero is a value of it (null pointers with length 0).
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = vectors.as_mut_ptr();
    header.msg_iovlen = vectors.len() as _;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = CONTROL as _;
    header
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// What a kernel could do wrong.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Defect {
        None,
        RefusesToCut,
        RefusesToMerge,
        /// In the last datagram's last byte: what a sum over a wrong length would leave.
        WrongByte,
        /// Every datagram is one byte longer than asked, and the last shorter.
        WrongSize,
        LosesTheTail,
        LosesTheFirst,
        TailTwice,
        Swaps,
        /// Empty datagrams behind each.
        Empty,
        /// A merged run says that its datagrams are larger than they are.
        SaysLarger,
        /// … says nothing of them.
        SaysNothing,
        SaysZero,
        SaysLess,
    }

    /// A kernel as it should be, but for its defect, which shows in what is cut or in what is merged.
    struct Model {
        when_cut: Defect,
        when_merged: Defect,
        is_merging: bool,
        queue: VecDeque<Vec<u8>>,
        segment: u16,
    }

    impl Model {
        fn new(when_cut: Defect, when_merged: Defect) -> Self {
            Self { when_cut, when_merged, is_merging: false, queue: VecDeque::new(), segment: 0 }
        }

        fn defect(&self) -> Defect {
            if self.is_merging { self.when_merged } else { self.when_cut }
        }
    }

    impl Kernel for Model {
        fn send(&mut self, payload: &[u8], segment: u16) -> Result<(), Errno> {
            let defect = self.defect();
            if defect == Defect::RefusesToCut {
                return Err(Errno::NOPROTOOPT);
            }
            let size = usize::from(segment) + usize::from(defect == Defect::WrongSize);
            self.segment = segment;
            self.queue = payload.chunks(size).map(<[u8]>::to_vec).collect();
            let last = self.queue.len() - 1;
            match defect {
                Defect::WrongByte => *self.queue[last].last_mut().unwrap() ^= 1,
                Defect::LosesTheTail => drop(self.queue.pop_back()),
                Defect::LosesTheFirst => drop(self.queue.pop_front()),
                Defect::TailTwice => self.queue.push_back(self.queue[last].clone()),
                Defect::Swaps => self.queue.swap(0, last.min(1)),
                Defect::Empty => self.queue.insert(1, Vec::new()),
                _ => {}
            }
            Ok(())
        }

        fn merge(&mut self) -> Result<(), Errno> {
            self.is_merging = true;
            if self.when_merged == Defect::RefusesToMerge { Err(Errno::NOPROTOOPT) } else { Ok(()) }
        }

        fn receive(&mut self, buffer: &mut [u8], _: Duration) -> Result<Option<Arrival>, Errno> {
            let Some(mut bytes) = self.queue.pop_front() else { return Ok(None) };
            let mut segment = None;
            // Runs of five, so that not all of a send is one.
            for _ in 0..4 {
                if self.is_merging
                    && let Some(next) = self.queue.pop_front()
                {
                    bytes.extend(next);
                    segment = Some(c_int::from(self.segment));
                }
            }
            let segment = segment.and_then(|size| match self.when_merged {
                Defect::SaysLarger => Some(size + 1),
                Defect::SaysLess => Some((size - 1).max(1)),
                Defect::SaysZero => Some(0),
                Defect::SaysNothing => None,
                _ => Some(size),
            });
            buffer[..bytes.len()].copy_from_slice(&bytes);
            Ok(Some(Arrival { length: bytes.len(), segment }))
        }
    }

    #[test]
    fn a_kernel_that_does_it_right_is_believed() {
        let right = UdpOffloads { segment: true, receive: true, reason: None };
        assert_eq!(check(&mut Model::new(Defect::None, Defect::None)), right);
    }

    #[test]
    fn this_kernel_does_it_right() {
        let right = UdpOffloads { segment: true, receive: true, reason: None };
        assert_eq!(udp_offloads(Ipv4Addr::LOCALHOST.into()), right);
    }

    #[test]
    fn this_kernel_does_it_right_over_ipv6_where_it_has_that() {
        let offloads = udp_offloads(Ipv6Addr::LOCALHOST.into());
        match offloads.reason {
            None => assert!(offloads.segment && offloads.receive),
            Some(reason) => assert_eq!(reason.offload, "loopback sockets", "{reason}"),
        }
    }

    #[test]
    fn this_kernel_merges_what_it_cut() {
        let mut kernel = Loopback::open(false).unwrap();
        kernel.merge().unwrap();
        kernel.send(&pattern()[..4201], 1400).unwrap();
        let arrival = kernel.receive(&mut vec![0; BUFFER], PATIENCE).unwrap().unwrap();
        assert_eq!((arrival.length, arrival.segment), (4201, Some(1400)));
    }

    #[test]
    fn a_wrong_cut_is_seen_and_neither_is_used() {
        let first = CASES[0];
        for (defect, case, fault) in [
            (Defect::RefusesToCut, first, Fault::Refused(Errno::NOPROTOOPT)),
            (Defect::WrongByte, first, Fault::Bytes { datagram: 9 }),
            (Defect::WrongSize, first, Fault::Length { datagram: 0, arrived: 1401, sent: 1400 }),
            (Defect::LosesTheTail, first, Fault::Lost { arrived: 9, sent: 10 }),
            (Defect::LosesTheFirst, first, Fault::Bytes { datagram: 0 }),
            (Defect::TailTwice, first, Fault::TooMany { sent: 10 }),
            (Defect::Swaps, first, Fault::Bytes { datagram: 0 }),
            (Defect::Empty, first, Fault::Length { datagram: 1, arrived: 0, sent: 1400 }),
        ] {
            let expected = neither(Reason { offload: "UDP_SEGMENT", case: Some(case), fault });
            assert_eq!(check(&mut Model::new(defect, Defect::None)), expected, "{defect:?}");
        }
    }

    #[test]
    fn a_wrong_merge_is_seen_and_not_used() {
        let first = Some(CASES[0]);
        for (defect, case, fault) in [
            (Defect::RefusesToMerge, None, Fault::Refused(Errno::NOPROTOOPT)),
            (Defect::WrongByte, first, Fault::Bytes { datagram: 9 }),
            (Defect::LosesTheTail, first, Fault::Lost { arrived: 9, sent: 10 }),
            (Defect::SaysLarger, first, Fault::Length { datagram: 0, arrived: 1401, sent: 1400 }),
            (Defect::SaysLess, first, Fault::Length { datagram: 0, arrived: 1399, sent: 1400 }),
            (Defect::SaysNothing, first, Fault::Length { datagram: 0, arrived: 7000, sent: 1400 }),
            (Defect::SaysZero, first, Fault::SegmentSize(0)),
        ] {
            let reason = Some(Reason { offload: "UDP_GRO", case, fault });
            let expected = UdpOffloads { segment: true, receive: false, reason };
            assert_eq!(check(&mut Model::new(Defect::None, defect)), expected, "{defect:?}");
        }
    }

    #[test]
    fn a_defect_of_one_case_alone_is_seen() {
        /// Refuses one case, and only it.
        struct Picky(Model, usize);

        impl Kernel for Picky {
            fn send(&mut self, payload: &[u8], segment: u16) -> Result<(), Errno> {
                let Case { segment: other, total } = CASES[self.1];
                if (payload.len(), segment) == (total, other) {
                    return Err(Errno::INVAL);
                }
                self.0.send(payload, segment)
            }

            fn merge(&mut self) -> Result<(), Errno> {
                self.0.merge()
            }

            fn receive(&mut self, buffer: &mut [u8], patience: Duration) -> Result<Option<Arrival>, Errno> {
                self.0.receive(buffer, patience)
            }
        }

        for (place, case) in CASES.into_iter().enumerate() {
            let fault = Fault::Refused(Errno::INVAL);
            let expected = neither(Reason { offload: "UDP_SEGMENT", case: Some(case), fault });
            assert_eq!(check(&mut Picky(Model::new(Defect::None, Defect::None), place)), expected);
        }
    }

    #[test]
    fn cases_stay_within_what_every_kernel_takes() {
        for case in CASES {
            assert!(case.total <= PAYLOAD_MAX && case.total.div_ceil(case.segment.into()) <= 64, "{case:?}");
        }
        assert!(CASES.iter().any(|case| case.total == PAYLOAD_MAX));
        assert!(CASES.iter().any(|case| case.total.div_ceil(case.segment.into()) == 64 && case.segment > 1));
    }

    #[test]
    fn a_silent_kernel_is_not_waited_for_long() {
        let mut kernel = Loopback::open(false).unwrap();
        // Nothing arrives at a socket that is connected to another one.
        let elsewhere = Loopback::open(false).unwrap();
        kernel.receiver.connect(&elsewhere.sender.local_addr().unwrap()).unwrap();
        let offloads = check(&mut kernel);
        let fault = Fault::Lost { arrived: 0, sent: 10 };
        assert_eq!(offloads, neither(Reason { offload: "UDP_SEGMENT", case: Some(CASES[0]), fault }));
    }

    #[test]
    fn the_reason_is_one_line() {
        let offloads = check(&mut Model::new(Defect::LosesTheTail, Defect::None));
        assert_eq!(
            offloads.reason.unwrap().to_string(),
            "UDP_SEGMENT: 14000 bytes in datagrams of 1400: only 9 of 10 datagrams arrived"
        );
        let offloads = check(&mut Model::new(Defect::None, Defect::RefusesToMerge));
        assert!(offloads.reason.unwrap().to_string().starts_with("UDP_GRO: refused: "));
    }
}
