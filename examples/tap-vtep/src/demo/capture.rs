//! The packets that arrive at one end of the cable, by a packet socket.

use std::{
    io::{self, Read as _},
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};

use super::{DemoError, Doing as _, hosts::Host, interrupt};

/// How long a packet that has been received already may take to show up.
const LIMIT: Duration = Duration::from_secs(2);

/// A running capture of the IPv4 packets that a host receives.
pub(super) struct Capture(Socket);

impl Capture {
    pub(super) fn start(host: &Host) -> Result<Self, DemoError> {
        host.enter()?;
        let open = || {
            let protocol = Protocol::from(i32::from((libc::ETH_P_IP as u16).to_be()));
            let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
            socket.set_read_timeout(Some(interrupt::PATIENCE))?;
            Ok::<_, io::Error>(socket)
        };
        open().doing("open a packet socket").map(Self)
    }

    /// The first packet for which `wanted` gives a value; `None` if there is none.
    pub(super) fn find<T>(mut self, wanted: impl Fn(&[u8]) -> Option<T>) -> Result<Option<T>, DemoError> {
        let mut buffer = vec![0; 1 << 16];
        let read = || match self.0.read(&mut buffer) {
            Ok(length) => Ok(wanted(&buffer[..length])),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(None),
            Err(error) => Err(error).doing("read from a packet socket"),
        };
        interrupt::wait(LIMIT, read)
    }
}
