//! IPv6 flow labels, which spread tunnels over equal paths (RFC 6438).

use std::{
    ffi::c_int,
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use ether_wire::flow::FlowHash;

/// A label for each of these sockets, 65,536 at the most: at random, as RFC 6437 §3 has it, and no two the same.
pub(super) fn of_sockets(count: usize) -> io::Result<Vec<u32>> {
    let parts = count.max(1) as u64;
    let label = |part: u64| {
        // One out of each of equal parts of all hashes, and so of all labels.
        let first = (part << 32) / parts;
        let random = u64::from(getrandom::u32().map_err(io::Error::other)?);
        Ok(FlowHash::new((first + random / parts) as u32).ipv6_flow_label())
    };
    (0..count as u64).map(label).collect()
}

/// Has a socket send no labels of ours any more: while some program of the host holds a label for itself alone, the kernel refuses
/// all that are not leased (`EINVAL`). It makes labels by itself then, unless `net.ipv6.auto_flowlabels` says no.
///
/// `true` where the socket did send them.
pub(crate) fn stop_flow_labels(socket: BorrowedFd<'_>) -> bool {
    if !sends_flow_labels(socket) {
        return false;
    }
    let (off, length): (c_int, _) = (0, size_of::<c_int>() as libc::socklen_t);
    let (level, name) = (libc::IPPROTO_IPV6, libc::IPV6_FLOWINFO_SEND);
    // SAFETY: the pointer and the length describe `off`, which outlives the call; the kernel only reads it.
    let status = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const off).cast(), length) };
    status == 0
}

/// Whether a socket sends labels of ours. One for IPv4 sends none.
pub(super) fn sends_flow_labels(socket: BorrowedFd<'_>) -> bool {
    let (mut sends, mut length): (c_int, _) = (0, size_of::<c_int>() as libc::socklen_t);
    let (level, name) = (libc::IPPROTO_IPV6, libc::IPV6_FLOWINFO_SEND);
    // SAFETY: the pointers lead to values that outlive the call, the length says how large the first one is.
    let status = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut sends).cast(), &raw mut length) };
    status == 0 && sends != 0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn labels_are_of_twenty_bits_and_no_two_the_same() {
        for count in [0, 1, 2, 3, 7, 16, 1000] {
            let labels = of_sockets(count).unwrap();
            assert!(labels.iter().all(|label| (1..=0xf_ffff).contains(label)), "{labels:x?}");
            assert_eq!(labels.iter().collect::<BTreeSet<_>>().len(), count, "{labels:x?}");
        }
    }
}
