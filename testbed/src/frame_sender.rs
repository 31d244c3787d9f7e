//! Raw frames out of a device.

use std::{io, os::fd::IntoRawFd, thread, time::Duration};

use pnet_datalink::{Channel, Config, DataLinkSender};
use socket2::{Domain, SockFilter, Socket, Type};

use crate::{deadline::fail, namespace::Namespace};

/// How many frames go out in one burst, and the pause behind it: slow enough that no queue on the way overflows.
const BURST: usize = 8;
const PAUSE: Duration = Duration::from_micros(500);

/// Frames that wait for a program behind a TAP.
const QUEUE: u32 = 50_000;

/// How often a full device queue is tried again, each time after [`PAUSE`].
const ATTEMPTS: u32 = 1000;

/// Sends whole Ethernet frames out of one device (`AF_PACKET`). Out of a TAP they go to the program behind it, out of a
/// veth to its other end.
pub struct FrameSender {
    sender: Box<dyn DataLinkSender>,
    device: String,
}

impl FrameSender {
    /// For a device of a namespace.
    #[track_caller]
    #[must_use]
    pub fn new(namespace: &Namespace, device: &str) -> Self {
        // Room for what a program behind a TAP cannot take while a busy machine gives it no time.
        namespace.ip(&format!("link set {device} txqueuelen {QUEUE}"));
        match namespace.enter(|| open(device)) {
            Ok(sender) => Self { sender, device: device.to_owned() },
            Err(error) => fail(format_args!("raw socket on {device} in {namespace:?}: {error}")),
        }
    }

    /// Sends one frame; says what the system says.
    ///
    /// # Errors
    ///
    /// As `send(2)`: `EMSGSIZE` for a frame that the device does not take, `ENETDOWN` when it is down.
    pub fn try_send(&mut self, frame: &[u8]) -> io::Result<()> {
        self.sender.send_to(frame, None).unwrap_or_else(|| Err(io::ErrorKind::InvalidInput.into()))
    }

    /// Sends one frame. A full queue is waited for.
    #[track_caller]
    pub fn send(&mut self, frame: &[u8]) {
        for _ in 0..ATTEMPTS {
            match self.try_send(frame) {
                Ok(()) => return,
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {
                    thread::sleep(PAUSE);
                }
                Err(error) => fail(format_args!("a frame of {} bytes out of {}: {error}", frame.len(), self.device)),
            }
        }
        fail(format_args!("the queue of {} stays full", self.device));
    }

    /// Sends frames at some 15,000 a second; says how many.
    #[track_caller]
    pub fn send_all(&mut self, frames: impl IntoIterator<Item = Vec<u8>>) -> u64 {
        let mut sent = 0;
        for frame in frames {
            self.send(&frame);
            sent += 1;
            if sent % BURST as u64 == 0 {
                thread::sleep(PAUSE);
            }
        }
        sent
    }
}

fn open(device: &str) -> io::Result<Box<dyn DataLinkSender>> {
    let interface = pnet_datalink::interfaces()
        .into_iter()
        .find(|interface| interface.name == device)
        .ok_or_else(|| io::Error::other("no such device"))?;
    // The socket only sends: a filter keeps what the device receives out of its buffer.
    let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
    socket.attach_filter(&[SockFilter::new(RETURN, 0, 0, 0)])?;
    let config = Config { promiscuous: false, socket_fd: Some(socket.into_raw_fd()), ..Config::default() };
    match pnet_datalink::channel(&interface, config)? {
        Channel::Ethernet(sender, _) => Ok(sender),
        _ => Err(io::Error::other("not an Ethernet device")),
    }
}

/// Classic BPF, `BPF_RET | BPF_K`: take so many bytes of the packet, none for 0.
pub(crate) const RETURN: u16 = 0x06;
