//! What the kernel is asked about an interface by `ioctl`.
#![allow(unsafe_code)]

use std::mem;

/// A request about the interface with this name, with nothing else in it. A name of more than 15 bytes is cut: it is for the
/// caller to have checked it.
pub(crate) fn interface_request(name: &str) -> libc::ifreq {
    // SAFETY: `ifreq` is plain bytes and addresses of none of ours; zero is a value of it.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    // A zero stays behind it.
    for (place, byte) in request.ifr_name[..libc::IFNAMSIZ - 1].iter_mut().zip(name.bytes()) {
        *place = byte.cast_signed();
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_is_behind_each_name() {
        for name in ["", "eth0", "fifteen-letters", "more-than-fifteen-letters"] {
            let request = interface_request(name);
            let letters = request.ifr_name.iter().map(|byte| byte.cast_unsigned()).take_while(|byte| *byte != 0);
            assert!(letters.eq(name.bytes().take(15)), "{name}");
            assert_eq!(request.ifr_name[15], 0);
        }
    }
}
