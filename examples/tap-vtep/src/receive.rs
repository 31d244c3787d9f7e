//! Datagrams in: many by one system call.
#![allow(unsafe_code)]

use std::{
    net::IpAddr,
    ops::Range,
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

use ether_wire::{DecodeOptions, Ipv4Header, ecn::Ecn};
use rustix::io::Errno;

use crate::underlay::source_address;

/// Messages that one call takes at the most: a datagram each, or as many of one flow as the kernel merged.
pub(crate) const BATCH: usize = 64;
/// A whole message always fits: over a veth a peer's super-frame may come as one datagram. Pages that nothing was written
/// to cost nothing.
const MESSAGE: usize = 1 << 16;
/// Room for two control messages with an integer each.
const CONTROL: usize = 64;

/// The memory of one batch.
pub(crate) struct ReceiveBatch {
    memory: Vec<u8>,
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<Control>,
    vectors: Vec<libc::iovec>,
    messages: Vec<libc::mmsghdr>,
}

/// Ancillary data, aligned as the kernel writes it.
#[derive(Clone, Copy)]
#[repr(align(8))]
struct Control([u8; CONTROL]);

/// One datagram or several that the kernel merged, and what their outer headers said: all the same.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) source: IpAddr,
    /// The UDP port that it came from; of GRE it says nothing.
    pub(crate) source_port: u16,
    pub(crate) ecn: Ecn,
    /// Where its bytes lie in [`ReceiveBatch::memory`].
    pub(crate) bytes: Range<usize>,
    /// The length of each datagram; the last may be shorter.
    segment: usize,
}

impl Message {
    /// The length of each of several datagrams; `None` for one alone.
    pub(crate) fn segment(&self) -> Option<u16> {
        if self.bytes.len() > self.segment { u16::try_from(self.segment).ok() } else { None }
    }

    /// Makes it one datagram.
    pub(crate) fn take_as_one(&mut self) {
        self.segment = self.bytes.len();
    }

    /// What a raw socket received, without the IPv4 header and options that it delivers, too; a raw IPv6 socket delivers none.
    /// `None` where it is no whole IPv4 packet.
    pub(crate) fn behind_ip_header(mut self, memory: &[u8]) -> Option<Self> {
        if self.source.is_ipv4() {
            // The kernel has seen to the checksum, and may have written to the options since.
            let packet = memory.get(self.bytes.clone())?;
            let packet = Ipv4Header::decode_with(packet, DecodeOptions::LENGTHS).ok()?;
            let start = self.bytes.start + packet.header.header_length();
            self.bytes = start..start + packet.payload.len();
        }
        Some(self)
    }

    /// Where each of its datagrams lies. One without a byte is one, too.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = Range<usize>> {
        let Range { start, end } = self.bytes;
        let count = (end - start).div_ceil(self.segment).max(1);
        let segment = self.segment;
        (0..count).map(move |index| start + index * segment..(start + (index + 1) * segment).min(end))
    }
}

// SAFETY: the pointers in it lead to its own memory, are set before each call and mean nothing after it.
unsafe impl Send for ReceiveBatch {}

impl ReceiveBatch {
    pub(crate) fn new() -> Self {
        // SAFETY: both are plain bytes and pointers; all zero is a value of them (null pointers with length 0).
        let (name, message) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        Self {
            memory: vec![0; BATCH * MESSAGE],
            names: vec![name; BATCH],
            controls: vec![Control([0; CONTROL]); BATCH],
            vectors: vec![libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; BATCH],
            messages: vec![message; BATCH],
        }
    }

    /// Receives what is there, without waiting; how many, 1 to [`BATCH`].
    ///
    /// # Errors
    ///
    /// `EAGAIN` when there is nothing. Any other error says nothing about the socket's future.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> Result<usize, Errno> {
        for (index, buffer) in self.memory.chunks_exact_mut(MESSAGE).enumerate() {
            self.vectors[index] = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: MESSAGE };
            let header = &mut self.messages[index].msg_hdr;
            header.msg_name = (&raw mut self.names[index]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_iov = &raw mut self.vectors[index];
            header.msg_iovlen = 1;
            header.msg_control = self.controls[index].0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL as _;
            header.msg_flags = 0;
        }
        // SAFETY: each header describes memory of `self` that nothing else touches during the call.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.messages.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        usize::try_from(count).map_err(|_| last_error())
    }

    /// The message at this place of the last batch; `None` where it has no address that we know.
    pub(crate) fn message(&self, index: usize) -> Option<Message> {
        let message = &self.messages[index];
        let source = source_address(&self.names[index])?;
        let (source, source_port) = (source.ip(), source.port());
        let ancillary = Ancillary::of(&message.msg_hdr);
        let length = (message.msg_len as usize).min(MESSAGE);
        let start = index * MESSAGE;
        // At least 1: where the kernel merged nothing it says nothing, and a datagram may be empty.
        let segment = ancillary.segment.unwrap_or(length).max(1);
        Some(Message {
            source,
            source_port,
            ecn: Ecn::from_bits(ancillary.traffic_class),
            bytes: start..start + length,
            segment,
        })
    }

    /// The memory of the batch, in which messages lie.
    pub(crate) fn memory(&mut self) -> &mut [u8] {
        &mut self.memory
    }
}

/// What the kernel said of a message beside its bytes.
#[derive(Default)]
struct Ancillary {
    /// The outer type of service or traffic class.
    traffic_class: u8,
    /// The length of each of the merged datagrams.
    segment: Option<usize>,
}

impl Ancillary {
    fn of(header: &libc::msghdr) -> Self {
        let mut ancillary = Self::default();
        // SAFETY: the kernel filled this header and its ancillary data, which lie in the batch's memory; the macros walk them by
        // the lengths in them.
        unsafe {
            let mut next = libc::CMSG_FIRSTHDR(header);
            while let Some(control) = next.as_ref() {
                let data = libc::CMSG_DATA(control);
                match (control.cmsg_level, control.cmsg_type) {
                    // IPv4 gives one byte, IPv6 and UDP an integer.
                    (libc::IPPROTO_IP, libc::IP_TOS) => ancillary.traffic_class = *data,
                    (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                        let class = data.cast::<libc::c_int>().read_unaligned();
                        ancillary.traffic_class = u8::try_from(class).unwrap_or(0);
                    }
                    (libc::SOL_UDP, libc::UDP_GRO) => {
                        ancillary.segment = usize::try_from(data.cast::<libc::c_int>().read_unaligned()).ok();
                    }
                    _ => {}
                }
                next = libc::CMSG_NXTHDR(header, control);
            }
        }
        ancillary
    }
}

/// What the last system call of this thread failed with.
pub(crate) fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    /// Where the payload of these bytes lies, that lie behind others in a batch and before others.
    fn behind_ip_header(source: IpAddr, bytes: &[u8]) -> Option<Range<usize>> {
        const BEFORE: usize = 100;
        let memory = [&[0x45; BEFORE], bytes, &[0x45; 100]].concat();
        let bytes = BEFORE..BEFORE + bytes.len();
        let message =
            Message { source, source_port: 0, ecn: Ecn::NotEct, segment: bytes.len().max(1), bytes: bytes.clone() };
        let message = message.behind_ip_header(&memory)?;
        assert!(bytes.start <= message.bytes.start && message.bytes.end <= bytes.end);
        assert_eq!(message.segment(), None);
        assert!(message.datagrams().eq([message.bytes.clone()]));
        Some(message.bytes.start - BEFORE..message.bytes.end - BEFORE)
    }

    #[test]
    fn every_header_length_is_cut_off_and_no_other_first_byte_is_taken() {
        for (first, length, total) in (0..=u8::MAX)
            .flat_map(|first| (0..=80_usize).map(move |length| (first, length)))
            .flat_map(|(first, length)| (0..=90_usize).map(move |total| (first, length, total)))
        {
            let mut packet = vec![0; length];
            let head = [first, 0, 0, total as u8];
            let known = head.len().min(length);
            packet[..known].copy_from_slice(&head[..known]);
            let header = usize::from(first & 15) * 4;
            let is_whole = first >> 4 == 4 && header >= 20 && header <= total && total <= length;
            let expected = is_whole.then_some(header..total);
            assert_eq!(behind_ip_header(Ipv4Addr::LOCALHOST.into(), &packet), expected, "{first:#x} {length} {total}");
        }
    }

    #[test]
    fn ipv6_comes_without_a_header() {
        for length in 0..80 {
            assert_eq!(behind_ip_header(Ipv6Addr::LOCALHOST.into(), &vec![0x45; length]), Some(0..length));
        }
    }
}
