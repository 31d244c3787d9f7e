//! The TAP device: an Ethernet interface of the host whose other end is a file of ours.
#![allow(unsafe_code)]

use std::{
    io, mem,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use overlay_types::MacAddr;
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

/// A file that is one queue of a TAP device. Closing it removes the device, unless the device is persistent.
#[derive(Debug)]
pub(crate) struct Tap(OwnedFd);

impl Tap {
    /// Makes a TAP device, or attaches to one that exists. Reads and writes don't wait.
    ///
    /// # Errors
    ///
    /// `ENOENT`, `EACCES`: no `/dev/net/tun`, or not for us. `EPERM`: `CAP_NET_ADMIN` is missing. `EINVAL`: an interface of
    /// this name exists and is no TAP. `EBUSY`: another program holds it.
    pub(crate) fn open(name: &str) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::open("/dev/net/tun", flags, Mode::empty())?;
        match set_interface(&file, name, 0) {
            // One that was made with several queues wants to hear that.
            Err(Errno::INVAL) => set_interface(&file, name, libc::IFF_MULTI_QUEUE)?,
            result => result?,
        }
        Ok(Self(file))
    }

    /// The device's MAC address now, wherever it has been moved to.
    pub(crate) fn mac(&self) -> io::Result<MacAddr> {
        let mut request = empty_request();
        // SAFETY: SIOCGIFHWADDR writes within the `ifreq` that it is given, which outlives the call.
        let status = unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SIOCGIFHWADDR as _, &raw mut request) };
        if status < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: SIOCGIFHWADDR has filled this member; six of its bytes are the address of an Ethernet device.
        let data = unsafe { request.ifr_ifru.ifru_hwaddr }.sa_data;
        let mut octets = [0; 6];
        for (octet, byte) in octets.iter_mut().zip(data) {
            *octet = byte.cast_unsigned();
        }
        Ok(MacAddr::new(octets))
    }

    /// The same file for a second holder.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// A file that can be read and written in a TAP's stead.
    #[cfg(test)]
    pub(crate) fn from_fd(file: OwnedFd) -> Self {
        Self(file)
    }

    /// Reads one frame, from its Ethernet header on.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> rustix::io::Result<usize> {
        rustix::io::read(&self.0, buffer)
    }

    /// Writes one frame.
    pub(crate) fn write(&self, frame: &[u8]) -> rustix::io::Result<()> {
        rustix::io::write(&self.0, frame).map(drop)
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn empty_request() -> libc::ifreq {
    // SAFETY: `ifreq` is plain bytes and addresses of none of ours; zero is a value of it.
    unsafe { mem::zeroed() }
}

fn set_interface(file: &OwnedFd, name: &str, more_flags: i32) -> rustix::io::Result<()> {
    let mut request = empty_request();
    // The configuration has checked that it fits, with a zero behind it.
    for (place, byte) in request.ifr_name[..libc::IFNAMSIZ - 1].iter_mut().zip(name.bytes()) {
        *place = byte.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI | more_flags) as i16;
    // SAFETY: TUNSETIFF reads and writes within the `ifreq` that it is given, which outlives the call.
    let status = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) };
    if status < 0 { Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)) } else { Ok(()) }
}
