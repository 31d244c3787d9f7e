//! Which datagrams go as one message, and what becomes of a message that is refused.

use std::{cell::RefCell, net::Ipv4Addr, sync::Arc};

use super::*;
use crate::underlay::{SendOptions, Underlay};

/// A message as the system was given it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    destination_port: u16,
    bytes: Vec<u8>,
    /// `UDP_SEGMENT`.
    segment: Option<u16>,
    /// Type of service and TTL, where they were given.
    traffic_class: Option<i32>,
    ttl: Option<i32>,
}

impl Message {
    fn of(header: &libc::msghdr) -> Self {
        let (mut segment, mut traffic_class, mut ttl) = (None, None, None);
        // SAFETY: the code under test made the header, and everything that it points to lives during the call.
        unsafe {
            let name = header.msg_name.cast::<libc::sockaddr_in>().read_unaligned();
            let vectors = std::slice::from_raw_parts(header.msg_iov, header.msg_iovlen as _);
            let bytes = vectors
                .iter()
                .flat_map(|vector| std::slice::from_raw_parts(vector.iov_base.cast::<u8>(), vector.iov_len))
                .copied()
                .collect();
            let mut next = libc::CMSG_FIRSTHDR(header);
            while let Some(control) = next.as_ref() {
                let data = libc::CMSG_DATA(control);
                match (control.cmsg_level, control.cmsg_type) {
                    (libc::SOL_UDP, libc::UDP_SEGMENT) => segment = Some(data.cast::<u16>().read_unaligned()),
                    (libc::IPPROTO_IP, libc::IP_TOS) => traffic_class = Some(data.cast::<i32>().read_unaligned()),
                    (libc::IPPROTO_IP, libc::IP_TTL) => ttl = Some(data.cast::<i32>().read_unaligned()),
                    _ => panic!("an unknown control message"),
                }
                next = libc::CMSG_NXTHDR(header, control);
            }
            Self { destination_port: u16::from_be(name.sin_port), bytes, segment, traffic_class, ttl }
        }
    }

    /// As the kernel cuts it (udp(7)).
    fn datagrams(&self) -> Vec<&[u8]> {
        match self.segment {
            Some(segment) => self.bytes.chunks(segment.into()).collect(),
            None => vec![&self.bytes],
        }
    }
}

/// Takes what it is given, but for messages that it refuses.
struct Network<R> {
    taken: Vec<Message>,
    refuse: R,
}

impl<R: FnMut(&Message) -> Option<Errno>> Sender for &RefCell<Network<R>> {
    fn send(&mut self, messages: &mut [libc::mmsghdr]) -> Result<usize, Errno> {
        let Network { taken, refuse } = &mut *self.borrow_mut();
        for (index, header) in messages.iter().enumerate() {
            let message = Message::of(&header.msg_hdr);
            match refuse(&message) {
                Some(error) if index == 0 => return Err(error),
                Some(_) => return Ok(index),
                None => taken.push(message),
            }
        }
        Ok(messages.len())
    }

    fn wait(&mut self) -> bool {
        false
    }
}

fn pool() -> SenderPool {
    let underlay = Underlay {
        number: 0,
        local: Ipv4Addr::LOCALHOST.into(),
        interface: Arc::default(),
        device: None,
        segments: true,
        merges: true,
        mtu: Arc::default(),
        tunnel: None,
    };
    let options = SendOptions { is_udp: true, df: true, udp_checksum: true, source_ports: 49152..=65535 };
    SenderPool::open(&underlay, options).unwrap()
}

/// A datagram to be: to the remote with this number, of that many bytes.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    remote: u16,
    length: usize,
    traffic_class: u8,
    ttl: u8,
    socket: usize,
}

fn to(remote: u16, length: usize) -> Wanted {
    Wanted { remote, length, traffic_class: 0, ttl: DEFAULT_TTL, socket: 0 }
}

/// What went, in order, and the outcome of each datagram wanted.
struct Sent {
    messages: Vec<Message>,
    outcomes: Vec<Outcome>,
}

impl Sent {
    /// How many datagrams each message carries.
    fn groups(&self) -> Vec<usize> {
        self.messages.iter().map(|message| message.datagrams().len()).collect()
    }
}

/// Sends these; the bytes of each say its number.
fn send(pool: &SenderPool, wanted: &[Wanted], refuse: impl FnMut(&Message) -> Option<Errno>) -> Sent {
    let mut memory = Vec::new();
    let mut batch = SendBatch::new();
    for (frame, wanted) in wanted.iter().enumerate() {
        let start = memory.len();
        memory.extend((0..wanted.length).map(|place| if place == 0 { frame as u8 } else { place as u8 }));
        batch.push(Outgoing {
            frame,
            bytes: start..memory.len(),
            remote: RemoteId::new(wanted.remote.into()).unwrap(),
            addressed: Addressed {
                destination: (Ipv4Addr::LOCALHOST, wanted.remote).into(),
                socket: wanted.socket,
                traffic_class: wanted.traffic_class,
                ttl: wanted.ttl,
            },
        });
    }
    let network = RefCell::new(Network { taken: Vec::new(), refuse });
    let mut outcomes = vec![None; wanted.len()];
    batch.flush_by(
        pool,
        |_| &network,
        &memory,
        |outgoing, outcome| {
            assert!(outcomes[outgoing.frame].replace(outcome).is_none(), "told twice");
        },
    );
    assert!(batch.is_empty());
    let outcomes: Vec<_> = outcomes.into_iter().map(|outcome| outcome.expect("each is told")).collect();
    let messages = network.into_inner().taken;

    // Whatever was grouped: what went are exactly the datagrams with a good outcome, in order for each remote and socket.
    for wanted_to in wanted {
        let went: Vec<_> = (messages.iter())
            .filter(|message| message.destination_port == wanted_to.remote)
            .flat_map(|message| {
                let class = message.traffic_class.unwrap_or(0);
                let ttl = message.ttl.unwrap_or(DEFAULT_TTL.into());
                message.datagrams().into_iter().map(move |bytes| (bytes.to_vec(), class, ttl))
            })
            .collect();
        let of_socket = |socket: usize| {
            wanted
                .iter()
                .enumerate()
                .filter(move |(_, other)| (other.remote, other.socket) == (wanted_to.remote, socket))
        };
        let expected: Vec<_> = (0..pool.sockets.len())
            .flat_map(of_socket)
            .filter(|(frame, _)| outcomes[*frame].is_ok())
            .map(|(frame, wanted)| {
                let bytes = (0..wanted.length).map(|place| if place == 0 { frame as u8 } else { place as u8 });
                (bytes.collect::<Vec<_>>(), i32::from(wanted.traffic_class), i32::from(wanted.ttl))
            })
            .collect();
        assert!(went == expected, "other datagrams to {} than wanted, or in another order", wanted_to.remote);
    }
    Sent { messages, outcomes }
}

fn groups(wanted: &[Wanted]) -> Vec<usize> {
    let sent = send(&pool(), wanted, |_| None);
    assert!(sent.outcomes.iter().all(Result::is_ok));
    sent.groups()
}

#[test]
fn equal_lengths_go_as_one_message() {
    assert_eq!(groups(&[to(1, 100); 3]), [3]);
    assert_eq!(groups(&[to(1, 100)]), [1]);
    let sent = send(&pool(), &[to(1, 100); 3], |_| None);
    assert_eq!((sent.messages[0].segment, sent.messages[0].bytes.len()), (Some(100), 300));
    let sent = send(&pool(), &[to(1, 100)], |_| None);
    assert_eq!(sent.messages[0].segment, None);
}

#[test]
fn a_shorter_one_is_the_last() {
    assert_eq!(groups(&[to(1, 100), to(1, 100), to(1, 99), to(1, 99), to(1, 100)]), [3, 1, 1]);
    assert_eq!(groups(&[to(1, 99), to(1, 100)]), [1, 1]);
    assert_eq!(groups(&[to(1, 100), to(1, 1), to(1, 1)]), [2, 1]);
}

#[test]
fn another_remote_socket_ttl_or_class_ends_the_group() {
    let first = to(1, 100);
    assert_eq!(groups(&[first, to(2, 100), first, to(2, 100)]), [2, 2]);
    for other in
        [Wanted { ttl: 9, ..first }, Wanted { traffic_class: 3, ..first }, Wanted { traffic_class: 0xb8, ..first }]
    {
        assert_eq!(groups(&[first, first, other, other, first]), [2, 2, 1], "{other:?}");
    }
    assert_eq!(groups(&[first, Wanted { socket: 1, ..first }, first]), [2, 1]);
}

#[test]
fn a_message_has_64_datagrams_and_65507_bytes_at_the_most() {
    assert_eq!(groups(&[to(1, 50); 129]), [64, 64, 1]);
    assert_eq!(groups(&[to(1, 1023); 65]), [64, 1]);
    assert_eq!(groups(&[to(1, 1024); 64]), [63, 1]);
    // 3 × 21,835 = 65,505, and one byte more each is too much.
    assert_eq!(groups(&[to(1, 21_835); 4]), [3, 1]);
    assert_eq!(groups(&[to(1, 21_836); 4]), [2, 2]);
    assert_eq!(groups(&[to(1, 65_507); 2]), [1, 1]);
}

#[test]
fn without_the_kernels_help_each_goes_alone() {
    let pool = pool();
    pool.refused(Errno::IO);
    assert_eq!(send(&pool, &[to(1, 100); 5], |_| None).groups(), [1; 5]);
}

const REFUSALS: [Errno; 3] = [Errno::IO, Errno::INVAL, Errno::MSGSIZE];

#[test]
fn a_group_that_is_refused_goes_one_by_one() {
    for error in REFUSALS {
        let pool = pool();
        let wanted = [&[to(1, 100); 4][..], &[to(2, 60); 3], &[to(1, 80)]].concat();
        let sent = send(&pool, &wanted, |message| message.segment.map(|_| error));
        assert_eq!(sent.outcomes, [Ok(()); 8], "{error}");
        assert_eq!(sent.groups(), [1; 8], "{error}");
        // Only what the interface cannot do at all ends the trying.
        assert_eq!(pool.segments(), error != Errno::IO, "{error}");
    }
}

#[test]
fn what_is_refused_alone_too_is_told_and_nothing_else() {
    for error in REFUSALS {
        let wanted = [&[to(1, 100); 4][..], &[to(2, 60); 3]].concat();
        // The frames 2 and 5, alone or with others.
        let sent = send(&pool(), &wanted, |message| {
            message.datagrams().iter().any(|bytes| matches!(bytes[0], 2 | 5)).then_some(error)
        });
        for (frame, outcome) in sent.outcomes.iter().enumerate() {
            let expected = if matches!(frame, 2 | 5) { Err(error) } else { Ok(()) };
            assert_eq!(*outcome, expected, "frame {frame}, {error}");
        }
        assert_eq!(sent.groups(), [1; 5], "{error}");
    }
}

#[test]
fn a_group_behind_one_that_is_refused_goes_as_one() {
    let wanted = [&[to(1, 100); 4][..], &[to(2, 60); 3]].concat();
    let sent = send(&pool(), &wanted, |message| {
        (message.segment.is_some() && message.destination_port == 1).then_some(Errno::INVAL)
    });
    assert_eq!(sent.outcomes, [Ok(()); 7]);
    assert_eq!(sent.groups(), [1, 1, 1, 1, 3]);
}

/// Lengths, remotes, sockets, marks and refusals in any mixture: `send` compares what went with what was told.
#[test]
fn whatever_comes_together_each_outcome_is_exact() {
    let mut state: u32 = 1;
    let mut any = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % below
    };
    let pool = pool();
    for _ in 0..60 {
        let count = 1 + any(200) as usize;
        let wanted: Vec<_> = (0..count)
            .map(|_| Wanted {
                remote: 1 + any(3) as u16,
                length: [40, 40, 40, 40, 30, 1400, 20_000][any(7) as usize],
                traffic_class: [0, 0, 0, 3][any(4) as usize],
                ttl: [DEFAULT_TTL, DEFAULT_TTL, DEFAULT_TTL, 9][any(4) as usize],
                socket: any(2) as usize,
            })
            .collect();
        let (lost, groups) = (any(3) as u8, any(3));
        let sent = send(&pool, &wanted, |message| {
            let is_lost = message.datagrams().iter().any(|bytes| bytes[0] % 16 < lost);
            (is_lost || message.segment.is_some() && groups == 0).then_some(Errno::INVAL)
        });
        for (frame, outcome) in sent.outcomes.iter().enumerate() {
            assert_eq!(outcome.is_err(), frame as u8 % 16 < lost, "frame {frame}");
        }
    }
}
