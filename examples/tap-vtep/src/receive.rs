//! Datagrams in: many by one system call.
#![allow(unsafe_code)]

use std::{
    net::IpAddr,
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

use ether_wire::ecn::Ecn;
use rustix::io::Errno;

use crate::underlay::source_address;

/// Datagrams that one call takes at the most.
pub(crate) const BATCH: usize = 64;
/// A whole datagram always fits: over a veth a peer's super-frame may come as one. Pages that nothing was written to cost
/// nothing.
const DATAGRAM: usize = 1 << 16;
/// Room for one control message with an integer.
const CONTROL: usize = 64;

/// The memory of one batch.
pub(crate) struct ReceiveBatch {
    buffers: Vec<u8>,
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<Control>,
    vectors: Vec<libc::iovec>,
    messages: Vec<libc::mmsghdr>,
}

/// Ancillary data, aligned as the kernel writes it.
#[derive(Clone, Copy)]
#[repr(align(8))]
struct Control([u8; CONTROL]);

/// One datagram and what its outer header said.
pub(crate) struct Datagram<'a> {
    pub(crate) source: IpAddr,
    pub(crate) ecn: Ecn,
    pub(crate) bytes: &'a mut [u8],
}

// SAFETY: the pointers in it lead to its own memory, are set before each call and mean nothing after it.
unsafe impl Send for ReceiveBatch {}

impl ReceiveBatch {
    pub(crate) fn new() -> Self {
        // SAFETY: both are plain bytes and pointers; all zero is a value of them (null pointers with length 0).
        let (name, message) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        Self {
            buffers: vec![0; BATCH * DATAGRAM],
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
        for (index, buffer) in self.buffers.chunks_exact_mut(DATAGRAM).enumerate() {
            self.vectors[index] = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: DATAGRAM };
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

    /// The datagram at this place of the last batch; `None` where it has no address that we know.
    pub(crate) fn datagram(&mut self, index: usize) -> Option<Datagram<'_>> {
        let message = &self.messages[index];
        let source = source_address(&self.names[index])?;
        let ecn = Ecn::from_bits(traffic_class(&message.msg_hdr).unwrap_or(0));
        let length = (message.msg_len as usize).min(DATAGRAM);
        let start = index * DATAGRAM;
        Some(Datagram { source, ecn, bytes: &mut self.buffers[start..start + length] })
    }
}

/// The outer type of service or traffic class.
fn traffic_class(header: &libc::msghdr) -> Option<u8> {
    // SAFETY: the kernel filled this header and its ancillary data, which lie in the batch's memory; the macros walk them by
    // the lengths in them.
    unsafe {
        let mut next = libc::CMSG_FIRSTHDR(header);
        while let Some(control) = next.as_ref() {
            match (control.cmsg_level, control.cmsg_type) {
                // IPv4 gives one byte, IPv6 an integer.
                (libc::IPPROTO_IP, libc::IP_TOS) => return Some(*libc::CMSG_DATA(control)),
                (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                    let class = libc::CMSG_DATA(control).cast::<libc::c_int>().read_unaligned();
                    return u8::try_from(class).ok();
                }
                _ => next = libc::CMSG_NXTHDR(header, control),
            }
        }
    }
    None
}

/// What the last system call of this thread failed with.
pub(crate) fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
