//! Echo requests (ICMP for IPv4 and IPv6) and their answers, over a raw socket.

use std::{
    io::{self, Read as _},
    net::{IpAddr, SocketAddr},
    process,
    time::{Duration, Instant},
};

use ether_wire::{IpProtocol, Ipv4Header, checksum::checksum};
use socket2::{Domain, Protocol, Socket, Type};

use super::{DemoError, Doing as _, hosts::Host, interrupt};

/// How many echo requests are sent in a row, beside the first.
const COUNT: u32 = 100;
/// How long one answer may take.
const LIMIT: Duration = Duration::from_secs(1);
/// How many of them may stay without an answer at first, while addresses are still being found.
const TRIES: u32 = 5;
/// What an echo request carries.
pub(super) const MESSAGE: &[u8; 40] = b"hello from host A, in a frame, in a tube";

/// Type, code, checksum, identifier, sequence number (RFC 792, RFC 4443 §4.1).
const HEADER_LEN: usize = 8;

/// What a row of echo requests showed.
pub(super) struct Pings {
    /// The round trip of the first one; finding the other's MAC address is in it.
    pub(super) first: Duration,
    /// Of those behind it, how many were answered, …
    pub(super) answered: u32,
    /// … of how many.
    pub(super) sent: u32,
    /// The median of their round trips.
    pub(super) median: Duration,
}

/// Sends echo requests from a host to an address, one at a time.
pub(super) fn ping(from: &Host, to: IpAddr) -> Result<Pings, DemoError> {
    from.enter()?;
    let socket = open(to).doing("open a raw socket")?;
    let mut first = None;
    for sequence in 0..TRIES as u16 {
        first = echo(&socket, to, sequence)?;
        if first.is_some() {
            break;
        }
    }
    let first = first.ok_or(DemoError::NoAnswer { address: to, requests: TRIES })?;
    let mut round_trips = Vec::new();
    for sequence in 0..COUNT as u16 {
        round_trips.extend(echo(&socket, to, TRIES as u16 + sequence)?);
    }
    round_trips.sort_unstable();
    let median = *round_trips.get(round_trips.len() / 2).ok_or(DemoError::NoAnswer { address: to, requests: COUNT })?;
    Ok(Pings { first, answered: round_trips.len() as u32, sent: COUNT, median })
}

fn open(to: IpAddr) -> io::Result<Socket> {
    let (domain, protocol) = match to {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    socket.set_read_timeout(Some(interrupt::PATIENCE))?;
    socket.connect(&SocketAddr::new(to, 0).into())?;
    Ok(socket)
}

/// One echo request: how long its answer took, or `None` without one.
fn echo(socket: &Socket, to: IpAddr, sequence: u16) -> Result<Option<Duration>, DemoError> {
    let identifier = process::id() as u16;
    let start = Instant::now();
    match socket.send(&request(to, identifier, sequence)) {
        Err(error) if error.kind() != io::ErrorKind::HostUnreachable => {
            return Err(error).doing("send an echo request");
        }
        _ => {}
    }
    let mut buffer = [0; 2048];
    while start.elapsed() < LIMIT {
        interrupt::check()?;
        match (&*socket).read(&mut buffer) {
            Ok(length) if is_reply(to, &buffer[..length], identifier, sequence) => return Ok(Some(start.elapsed())),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            // Nobody has answered to ARP or Neighbor Discovery yet.
            Err(error) if error.kind() == io::ErrorKind::HostUnreachable => return Ok(None),
            Err(error) => return Err(error).doing("receive an echo reply"),
        }
    }
    Ok(None)
}

fn request(to: IpAddr, identifier: u16, sequence: u16) -> Vec<u8> {
    let kind = if to.is_ipv4() { 8 } else { 128 };
    let mut message = vec![kind, 0, 0, 0];
    message.extend(identifier.to_be_bytes());
    message.extend(sequence.to_be_bytes());
    message.extend(MESSAGE);
    if to.is_ipv4() {
        // The kernel computes that of ICMPv6.
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    message
}

/// `true` for the answer to this request. A raw IPv4 socket gives whole packets, an IPv6 one what is in them.
fn is_reply(to: IpAddr, bytes: &[u8], identifier: u16, sequence: u16) -> bool {
    let (kind, message) = match to {
        IpAddr::V4(_) => match Ipv4Header::decode(bytes) {
            Ok(packet) if packet.header.protocol() == IpProtocol::ICMP => (0, packet.payload),
            _ => return false,
        },
        IpAddr::V6(_) => (129, bytes),
    };
    let wanted = [identifier.to_be_bytes(), sequence.to_be_bytes()].concat();
    message.len() == HEADER_LEN + MESSAGE.len()
        && message[..2] == [kind, 0]
        && message[4..8] == wanted
        && message[HEADER_LEN..] == MESSAGE[..]
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    #[test]
    fn a_request_has_its_checksum() {
        assert_eq!(checksum(&request(V4, 0x1234, 7)), 0);
        assert_eq!(request(V6, 0x1234, 7)[..8], [128, 0, 0, 0, 0x12, 0x34, 0, 7]);
    }

    #[test]
    fn only_its_own_answer_counts() {
        let packet = |kind: u8, sequence: u16| {
            let mut message = request(V4, 9, sequence);
            message[0] = kind;
            let header =
                Ipv4Header::new(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST, IpProtocol::ICMP, 20 + message.len() as u16);
            [&header.to_bytes()[..], &message].concat()
        };
        assert!(is_reply(V4, &packet(0, 7), 9, 7));
        assert!(!is_reply(V4, &packet(0, 8), 9, 7));
        assert!(!is_reply(V4, &packet(0, 7), 8, 7));
        assert!(!is_reply(V4, &packet(8, 7), 9, 7));
        let whole = packet(0, 7);
        for length in 0..whole.len() {
            assert!(!is_reply(V4, &whole[..length], 9, 7));
        }
        let mut message = request(V6, 9, 7);
        assert!(!is_reply(V6, &message, 9, 7));
        message[0] = 129;
        assert!(is_reply(V6, &message, 9, 7));
    }
}
