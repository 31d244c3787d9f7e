//! Watches for an interface that goes away and comes back as a new one of the same name, and for its MTU.
#![allow(unsafe_code)]

use std::{
    io, mem,
    net::{Ipv4Addr, UdpSocket},
    os::fd::AsRawFd as _,
};

use rustix::net::netdevice::name_to_index;

use crate::interface_request::interface_request;

/// One interface, by its name.
pub(crate) struct InterfaceWatch {
    pub(crate) name: String,
    /// Any socket can be asked for interfaces.
    socket: UdpSocket,
    index: Option<u32>,
    /// The last index that sockets were bound to.
    bound: Option<u32>,
}

/// What has happened to it.
pub(crate) enum Change {
    Gone,
    New(u32),
}

impl InterfaceWatch {
    pub(crate) fn new(name: String) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let index = name_to_index(&socket, &name).ok();
        Ok(Self { name, socket, index, bound: index })
    }

    pub(crate) fn index_of(&self, name: &str) -> Option<u32> {
        name_to_index(&self.socket, name).ok()
    }

    /// Its MTU now; `None` while it is away.
    pub(crate) fn mtu(&self) -> Option<u32> {
        let mut request = interface_request(&self.name);
        // SAFETY: SIOCGIFMTU reads and writes within the `ifreq` that it is given, which outlives the call.
        let status = unsafe { libc::ioctl(self.socket.as_raw_fd(), libc::SIOCGIFMTU as _, &raw mut request) };
        // SAFETY: SIOCGIFMTU has filled this member.
        if status < 0 { None } else { u32::try_from(unsafe { request.ifr_ifru.ifru_mtu }).ok() }
    }

    /// Whether it was there at the last look.
    pub(crate) fn is_there(&self) -> bool {
        self.index.is_some()
    }

    /// What has happened since the last look.
    pub(crate) fn look(&mut self) -> Option<Change> {
        let index = self.index_of(&self.name);
        let was_there = mem::replace(&mut self.index, index).is_some();
        match index {
            None => was_there.then_some(Change::Gone),
            Some(index) if self.bound == Some(index) => None,
            Some(index) => {
                self.bound = Some(index);
                Some(Change::New(index))
            }
        }
    }

    /// The sockets are not bound to it after all.
    pub(crate) fn forget(&mut self) {
        self.bound = None;
    }
}
