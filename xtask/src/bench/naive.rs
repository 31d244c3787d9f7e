//! The simplest forwarder that there can be, to compare with: a fixed remote, no table, one packet by one system call.
#![allow(unsafe_code)]

use std::{
    fs::File,
    io::{self, Read, Write},
    net::{IpAddr, UdpSocket},
    os::fd::AsRawFd,
    thread,
};

use clap::Args;
use rustix::net::sockopt::{set_socket_recv_buffer_size_force, set_socket_send_buffer_size_force};

/// RFC 7348 §5.
const PORT: u16 = 4789;
const HEADER: usize = 8;
/// A whole datagram that was never cut.
const LONGEST: usize = 1 << 16;
/// As large as that of `tap-vtep`: what is compared is the loop.
const BUFFER: usize = 4 << 20;

/// Where it stands between.
#[derive(Args)]
pub(crate) struct NaiveOptions {
    /// The TAP that it makes.
    #[arg(long)]
    tap: String,
    /// The segment.
    #[arg(long)]
    vni: u32,
    /// The address here.
    #[arg(long)]
    local: IpAddr,
    /// The one remote.
    #[arg(long)]
    remote: IpAddr,
}

/// Forwards both ways, a thread for each, until it is killed.
pub(crate) fn run(options: &NaiveOptions) -> io::Result<()> {
    let tap = open_tap(&options.tap)?;
    let socket = UdpSocket::bind((options.local, PORT))?;
    socket.connect((options.remote, PORT))?;
    set_socket_recv_buffer_size_force(&socket, BUFFER)?;
    set_socket_send_buffer_size_force(&socket, BUFFER)?;
    let [_, vni @ ..] = options.vni.to_be_bytes();
    thread::scope(|scope| {
        scope.spawn(|| from_tap(&tap, &socket, vni));
        from_underlay(&socket, &tap);
    });
    Ok(())
}

fn from_tap(mut tap: &File, socket: &UdpSocket, vni: [u8; 3]) {
    let mut datagram = vec![0; LONGEST];
    datagram[0] = 0x08;
    datagram[4..7].copy_from_slice(&vni);
    loop {
        // What cannot be read or sent is lost; the next one may go.
        if let Ok(len) = tap.read(&mut datagram[HEADER..]) {
            let _ = socket.send(&datagram[..HEADER + len]);
        }
    }
}

fn from_underlay(socket: &UdpSocket, mut tap: &File) {
    let mut datagram = vec![0; LONGEST];
    loop {
        if let Ok(len @ HEADER..) = socket.recv(&mut datagram) {
            let _ = tap.write(&datagram[HEADER..len]);
        }
    }
}

fn open_tap(name: &str) -> io::Result<File> {
    let file = File::options().read(true).write(true).open("/dev/net/tun")?;
    // SAFETY: `ifreq` is plain bytes; zero is a value of it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name[..libc::IFNAMSIZ - 1].iter_mut().zip(name.bytes()) {
        *place = byte.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as i16;
    // SAFETY: TUNSETIFF reads and writes within the `ifreq` that it is given, which outlives the call.
    let status = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(file) }
}
