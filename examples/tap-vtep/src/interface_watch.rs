//! Watches for an interface that goes away and comes back as a new one of the same name.

use std::{
    io,
    net::{Ipv4Addr, UdpSocket},
};

use rustix::net::netdevice::name_to_index;

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

    /// What has happened since the last look.
    pub(crate) fn look(&mut self) -> Option<Change> {
        let index = self.index_of(&self.name);
        let was_there = std::mem::replace(&mut self.index, index).is_some();
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
