//! The TAP device: an Ethernet interface of the host whose other end is a file of ours.
#![allow(unsafe_code)]

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use offload::{Piece, VirtioNetHeader};
use overlay_types::MacAddr;
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

use crate::{
    interface_request::interface_request,
    receive::last_error,
    trunk::{Mapping, TAG_AT, TAG_LEN},
};

/// The most that a read brings: a virtio-net header and a super-frame.
pub(crate) const READ_MAX: usize = VirtioNetHeader::LEN + (1 << 16);
/// The most pieces of a frame that is written: a virtio-net header, a header, in two parts and a tag between them on a trunk,
/// and the payloads of a merged run.
const PIECES: usize = 4 + 128;

/// Whether an error of reading or writing says that the device was deleted. No other says that.
pub(crate) fn is_gone(error: Errno) -> bool {
    error == Errno::BADFD
}

/// A file that is one queue of a TAP device. Closing the last one removes the device, unless the device is persistent.
///
/// Each frame has a virtio-net header before it, in either direction: what of its checksum and of its cutting to size is
/// still to be done.
#[derive(Debug)]
pub(crate) struct Tap {
    file: OwnedFd,
    /// Whether this holder reads from it; else another one does.
    pub(crate) reads: bool,
    /// Where several segments share the device: which frames are this holder's.
    pub(crate) mapping: Option<Mapping>,
    /// Refuses super-frames as a device does that cannot take them.
    #[cfg(test)]
    pub(crate) refuses_super_frames: bool,
}

impl Tap {
    /// Makes a TAP device, or attaches to one that exists. Reads and writes don't wait. With `many_queues` it can be opened
    /// several times, for as many queues.
    ///
    /// # Errors
    ///
    /// `ENOENT`, `EACCES`: no `/dev/net/tun`, or not for us. `EPERM`: `CAP_NET_ADMIN` is missing. `EINVAL`: an interface of
    /// this name exists and is no TAP. `EBUSY`: another program holds it.
    fn open(name: &str, many_queues: bool) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::open("/dev/net/tun", flags, Mode::empty())?;
        match set_interface(&file, name, if many_queues { libc::IFF_MULTI_QUEUE } else { 0 }) {
            // One that was made with several queues wants to hear that.
            Err(Errno::INVAL) if !many_queues => set_interface(&file, name, libc::IFF_MULTI_QUEUE)?,
            result => result?,
        }
        take_super_frames(&file)?;
        Ok(Self::holding(file, true))
    }

    fn holding(file: OwnedFd, reads: bool) -> Self {
        Self {
            file,
            reads,
            mapping: None,
            #[cfg(test)]
            refuses_super_frames: false,
        }
    }

    /// The device's MAC address now, wherever it has been moved to.
    fn mac(&self) -> io::Result<MacAddr> {
        let mut request = interface_request("");
        // SAFETY: SIOCGIFHWADDR writes within the `ifreq` that it is given, which outlives the call.
        let status = unsafe { libc::ioctl(self.file.as_raw_fd(), libc::SIOCGIFHWADDR as _, &raw mut request) };
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
    fn try_clone(&self) -> io::Result<Self> {
        Ok(Self::holding(self.file.try_clone()?, self.reads))
    }

    /// A file that can be read and written in a TAP's stead.
    #[cfg(test)]
    pub(crate) fn from_fd(file: OwnedFd) -> Self {
        Self::holding(file, true)
    }

    /// Reads one frame, its virtio-net header first: how many bytes.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> rustix::io::Result<usize> {
        rustix::io::read(&self.file, buffer)
    }
}

/// A TAP device by as many queues as there are workers, or by one where it has no more.
#[derive(Debug)]
pub(crate) struct TapQueues(Vec<Tap>);

impl TapQueues {
    /// Opens that many queues; one where the device exists and was made for one.
    ///
    /// # Errors
    ///
    /// As [`Tap::open`].
    pub(crate) fn open(name: &str, count: usize) -> io::Result<Self> {
        if count > 1 {
            match (0..count).map(|_| Tap::open(name, true)).collect() {
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
                queues => return queues.map(Self),
            }
        }
        Tap::open(name, false).map(|tap| Self(vec![tap]))
    }

    /// Further holders of the same files: one for each queue.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        self.0.iter().map(Tap::try_clone).collect::<io::Result<_>>().map(Self)
    }

    /// The device's MAC address now, wherever it has been moved to.
    pub(crate) fn mac(&self) -> io::Result<MacAddr> {
        self.0[0].mac()
    }

    /// A further holder for this worker: of its queue, or of the first one, to write to, where there are fewer.
    pub(crate) fn for_worker(&self, worker: usize, mapping: Option<Mapping>) -> io::Result<Tap> {
        let queue = self.0.get(worker);
        let tap = queue.unwrap_or(&self.0[0]).try_clone()?;
        Ok(Tap { reads: queue.is_some(), mapping, ..tap })
    }
}

/// Memory for gathering what is written at once.
pub(crate) struct TapWriter(Vec<libc::iovec>);

// SAFETY: the pointers in it are set before each call and mean nothing after it.
unsafe impl Send for TapWriter {}

impl TapWriter {
    pub(crate) fn new() -> Self {
        Self(Vec::with_capacity(PIECES))
    }

    /// Writes one frame: `header`, and behind it pieces of `memory`; with the tag of the TAP's mapping, where it has one. Again
    /// where a signal came between.
    pub(crate) fn write(
        &mut self,
        tap: &Tap,
        virtio: VirtioNetHeader,
        header: &[u8],
        memory: &[u8],
        pieces: &[Piece],
    ) -> rustix::io::Result<()> {
        #[cfg(test)]
        if tap.refuses_super_frames && virtio.is_super_frame() {
            return Err(Errno::INVAL);
        }
        let tag = tap.mapping.as_ref().map(Mapping::tag);
        let virtio = if tag.is_some() { virtio.moved(TAG_LEN.cast_signed() as i16) } else { virtio }.to_bytes();
        self.0.clear();
        self.0.push(vector(&virtio));
        let mut parts = (!header.is_empty()).then_some(header).into_iter();
        // A run never has more; were it so, the frame would be short and the device refuse it.
        let mut payloads = pieces.iter().take(PIECES - 4).map(|piece| &memory[piece.range()]);
        if let Some(tag) = &tag
            && let Some((addresses, rest)) =
                parts.next().or_else(|| payloads.next()).and_then(|first| first.split_at_checked(TAG_AT))
        {
            self.0.extend([addresses, tag, rest].map(vector));
        }
        self.0.extend(parts.chain(payloads).map(vector));
        let count = libc::c_int::try_from(self.0.len()).unwrap_or(libc::c_int::MAX);
        loop {
            // SAFETY: each vector describes memory that lives and does not change until the call is back.
            let written = unsafe { libc::writev(tap.file.as_raw_fd(), self.0.as_ptr(), count) };
            if written >= 0 {
                return Ok(());
            }
            match last_error() {
                Errno::INTR => {}
                error => return Err(error),
            }
        }
    }
}

fn vector(bytes: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Has the host's stack leave checksums and cutting to us, as far as this kernel can: UDP segmentation came with Linux 6.2.
fn take_super_frames(file: &OwnedFd) -> rustix::io::Result<()> {
    let (little_endian, header): (libc::c_uint, libc::c_uint) = (1, VirtioNetHeader::LEN as _);
    // SAFETY: both requests read an integer, which outlives the call.
    let status = unsafe {
        libc::ioctl(file.as_raw_fd(), libc::TUNSETVNETLE as _, &raw const little_endian)
            | libc::ioctl(file.as_raw_fd(), libc::TUNSETVNETHDRSZ as _, &raw const header)
    };
    if status < 0 {
        return Err(last_error());
    }
    let tcp = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
    let mut result = Ok(());
    for offloads in [tcp | libc::TUN_F_USO4 | libc::TUN_F_USO6, tcp, libc::TUN_F_CSUM, 0] {
        // SAFETY: the request takes its argument as a number.
        let status = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETOFFLOAD as _, libc::c_ulong::from(offloads)) };
        result = if status < 0 { Err(last_error()) } else { Ok(()) };
        if result.is_ok() {
            break;
        }
    }
    result
}

fn set_interface(file: &OwnedFd, name: &str, more_flags: i32) -> rustix::io::Result<()> {
    // The configuration has checked that it fits.
    let mut request = interface_request(name);
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR | more_flags) as i16;
    // SAFETY: TUNSETIFF reads and writes within the `ifreq` that it is given, which outlives the call.
    let status = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) };
    if status < 0 { Err(last_error()) } else { Ok(()) }
}
