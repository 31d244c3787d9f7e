//! What a device of the underlay can do by itself: ethtool's features.
#![allow(unsafe_code)]

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, socket_with},
};

use crate::interface_request::interface_request;

// linux/ethtool.h
const GET_STRINGS: u32 = 0x1b;
const GET_STRING_SET_INFO: u32 = 0x37;
const GET_FEATURES: u32 = 0x3a;
const STRING_SET_FEATURES: u32 = 4;
const STRING_LENGTH: usize = 32;
const SIOCETHTOOL: libc::Ioctl = 0x8946;

/// What it takes for a super-frame in a tunnel to reach the wire, or the other end of a veth, without being cut by the
/// kernel on the way.
const NEEDED: [&str; 5] = [
    "tx-scatter-gather",
    "tx-tcp-segmentation",
    "tx-tcp6-segmentation",
    "tx-udp_tnl-segmentation",
    "tx-udp_tnl-csum-segmentation",
];
/// One of these, too: without them the kernel finishes each inner checksum, and cuts for that.
const CHECKSUMS: [&str; 2] = ["tx-checksum-ip-generic", "tx-checksum-ipv4"];

/// See [`TunnelGso::suits`](super::TunnelGso::suits).
pub(super) fn suits(device: &str) -> io::Result<bool> {
    let names = feature_names(device)?;
    let active = active_features(device, names.len())?;
    let active: Vec<&str> =
        names.iter().zip(active).filter_map(|(name, is_active)| is_active.then_some(name.as_str())).collect();
    Ok(are_enough(&active))
}

fn are_enough(active: &[&str]) -> bool {
    NEEDED.iter().all(|name| active.contains(name)) && CHECKSUMS.iter().any(|name| active.contains(name))
}

/// The kernel's features by number.
fn feature_names(device: &str) -> io::Result<Vec<String>> {
    // A command, reserved, a mask of 64 bits; then the count.
    let mut info = [GET_STRING_SET_INFO, 0, 0, 0, 0];
    let mask = (1_u64 << STRING_SET_FEATURES).to_ne_bytes();
    for (word, bytes) in info[2..4].iter_mut().zip(mask.as_chunks().0) {
        *word = u32::from_ne_bytes(*bytes);
    }
    ethtool(device, &mut info)?;
    let count = info[4] as usize;
    // A command, the set, the count; then the names.
    let mut strings = vec![0; 3 + count * STRING_LENGTH / 4];
    strings[..3].copy_from_slice(&[GET_STRINGS, STRING_SET_FEATURES, info[4]]);
    ethtool(device, &mut strings)?;
    let name = |words: &[u32]| {
        let bytes = words.iter().flat_map(|word| word.to_ne_bytes()).take_while(|byte| *byte != 0).collect();
        String::from_utf8(bytes).unwrap_or_default()
    };
    Ok(strings[3..].chunks(STRING_LENGTH / 4).map(name).collect())
}

/// Which of the first `count` features are on.
fn active_features(device: &str, count: usize) -> io::Result<Vec<bool>> {
    let blocks = count.div_ceil(32);
    // A command, the count of blocks; then blocks of: available, requested, active, never changed.
    let mut features = vec![0; 2 + blocks * 4];
    features[..2].copy_from_slice(&[GET_FEATURES, blocks as u32]);
    ethtool(device, &mut features)?;
    let is_active = |number: usize| features[2 + number / 32 * 4 + 2] >> (number % 32) & 1 != 0;
    Ok((0..count).map(is_active).collect())
}

/// `data` is a request of ethtool's, long enough for the answer.
fn ethtool(device: &str, data: &mut [u32]) -> io::Result<()> {
    let socket: OwnedFd = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    if device.len() >= libc::IFNAMSIZ {
        return Err(Errno::NODEV.into());
    }
    let mut request = interface_request(device);
    request.ifr_ifru.ifru_data = data.as_mut_ptr().cast();
    // SAFETY: SIOCETHTOOL reads and writes within `data`: no more strings than the kernel has just counted, and no more
    // blocks than the request says.
    let status = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_have_names_and_states() {
        let names = feature_names("lo").unwrap();
        for name in NEEDED.iter().chain(&CHECKSUMS) {
            assert!(names.iter().any(|other| other == name), "{name} is not among {names:?}");
        }
        let active = active_features("lo", names.len()).unwrap();
        let is_active = |name| active[names.iter().position(|other| other == name).unwrap()];
        // A loopback interface has the one and can't have the other.
        assert!(is_active("tx-scatter-gather"));
        assert!(!is_active("rx-vlan-filter"));
    }

    #[test]
    fn each_of_them_is_needed() {
        let all: Vec<&str> = NEEDED.iter().chain(&CHECKSUMS[..1]).copied().collect();
        assert!(are_enough(&all));
        for missing in &all {
            let others: Vec<&str> = all.iter().copied().filter(|name| name != missing).collect();
            assert!(!are_enough(&others), "{missing}");
        }
        let other_checksum: Vec<&str> = NEEDED.iter().chain(&CHECKSUMS[1..]).copied().collect();
        assert!(are_enough(&other_checksum));
    }

    #[test]
    fn what_does_not_exist_is_an_error() {
        for name in ["no-such-link", "", "a-name-of-more-than-fifteen-bytes"] {
            assert_eq!(suits(name).unwrap_err().raw_os_error(), Some(libc::ENODEV), "{name:?}");
        }
    }
}
