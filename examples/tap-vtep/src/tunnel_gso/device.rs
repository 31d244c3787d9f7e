//! The helper TAP: made, and written to.
#![allow(unsafe_code)]

use std::{
    ffi::{c_int, c_uint, c_ulong},
    io::{self, IoSlice},
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
};

use offload::VirtioNetTunnelHeader;
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

use crate::interface_request::interface_request;

/// The kernel puts the first free number in its place. A name that is taken, by a TAP that somebody else made, is never
/// attached to.
const NAME: &str = "tv-gso%d";

// linux/if_tun.h since 6.17.
const TUN_F_UDP_TUNNEL_GSO: c_uint = 0x080;
const TUN_F_UDP_TUNNEL_GSO_CSUM: c_uint = 0x100;

/// A TAP that takes super-frames in UDP tunnels. Closing it removes the device.
#[derive(Debug)]
pub(super) struct HelperTap {
    file: OwnedFd,
    name: String,
}

impl HelperTap {
    /// Makes a device `tv-gso0`, or with the next free number, that is down.
    ///
    /// # Errors
    ///
    /// `EINVAL`: the kernel does not know tunnel GSO. `ENOENT`, `EACCES`, `EPERM`: no TAP, or not for us.
    pub(super) fn open() -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::open("/dev/net/tun", flags, Mode::empty())?;
        let mut request = interface_request(NAME);
        request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as i16;
        // SAFETY: TUNSETIFF reads and writes within the `ifreq` that it is given.
        unsafe { control(&file, libc::TUNSETIFF as _, (&raw mut request) as c_ulong)? };
        let name = request.ifr_name.iter().take_while(|byte| **byte != 0).map(|byte| byte.cast_unsigned());
        let name = String::from_utf8(name.collect()).map_err(io::Error::other)?;
        let length = c_int::try_from(VirtioNetTunnelHeader::LEN).map_err(io::Error::other)?;
        let little_endian: c_int = 1;
        let offloads = libc::TUN_F_CSUM
            | libc::TUN_F_TSO4
            | libc::TUN_F_TSO6
            | libc::TUN_F_USO4
            | libc::TUN_F_USO6
            | TUN_F_UDP_TUNNEL_GSO
            | TUN_F_UDP_TUNNEL_GSO_CSUM;
        // SAFETY: the first two read an integer by its address, the last one takes its argument as it is.
        unsafe {
            control(&file, libc::TUNSETVNETHDRSZ as _, (&raw const length) as c_ulong)?;
            control(&file, libc::TUNSETVNETLE as _, (&raw const little_endian) as c_ulong)?;
            control(&file, libc::TUNSETOFFLOAD as _, c_ulong::from(offloads))?;
        }
        Ok(Self { file, name })
    }

    /// Says to the host that nobody is at the other end: it sends nothing there. What is written comes in all the same.
    pub(super) fn set_no_carrier(&self) -> io::Result<()> {
        let carrier: c_int = 0;
        // SAFETY: TUNSETCARRIER reads an integer by its address.
        unsafe { control(&self.file, libc::TUNSETCARRIER as _, (&raw const carrier) as c_ulong) }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Writes one frame with its header, in pieces.
    pub(super) fn write(&self, pieces: &[IoSlice<'_>]) -> Result<(), Errno> {
        rustix::io::writev(&self.file, pieces).map(drop)
    }

    /// Reads one frame with its header.
    pub(super) fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        rustix::io::read(&self.file, buffer)
    }
}

impl AsFd for HelperTap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// # Safety
///
/// `argument` is what `request` asks for: a value, or the address of memory that it may read and write.
unsafe fn control(file: &OwnedFd, request: libc::Ioctl, argument: c_ulong) -> io::Result<()> {
    // SAFETY: as the caller says.
    let status = unsafe { libc::ioctl(file.as_raw_fd(), request, argument) };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
