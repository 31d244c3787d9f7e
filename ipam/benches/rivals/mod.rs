//! What one would take otherwise, and the pool itself, behind one interface.

mod bitmap;
mod buddies;
mod free_list;
mod iteration;

use std::time::Duration;

use ipam::{OwnerId, SubnetPool, SubnetPoolOptions};
use ipnet::IpNet;

pub(crate) use self::{bitmap::Bitmap, buddies::Buddies, free_list::FreeList, iteration::Iteration};

/// An owner, as large as an IPv6 address or a UUID.
pub(crate) type Owner = [u8; 16];

/// Gives subnets of a network and takes them back. None but the pool keeps whose they are.
pub(crate) trait Allocator {
    /// What it names a subnet by.
    type Subnet: Copy;

    fn new(network: IpNet) -> Self;

    /// The subnet that begins at this address of the network, counted from 0.
    fn subnet(&self, offset: u128, length: u8) -> Self::Subnet;

    /// Called before each round.
    fn begin(&mut self) {}

    fn allocate(&mut self, length: u8) -> Option<Self::Subnet>;

    /// Whether it was free.
    fn claim(&mut self, subnet: Self::Subnet) -> bool;

    /// Whether it was given.
    fn release(&mut self, subnet: Self::Subnet) -> bool;
}

/// The pool, with one owner; it gives subnets of this length only, or of any (0).
pub(crate) struct Ipam<const LENGTH: u8> {
    pool: SubnetPool<Owner>,
    id: OwnerId,
    network: IpNet,
}

pub(crate) const OWNER: Owner = *b"one of 16 bytes.";

/// A subnet of a network, by how many addresses it lies behind the first one.
pub(crate) fn subnet(network: IpNet, offset: u128, length: u8) -> IpNet {
    match network {
        IpNet::V4(network) => {
            let address = network.addr().to_bits() + u32::try_from(offset).unwrap();
            IpNet::new(std::net::Ipv4Addr::from_bits(address).into(), length).unwrap()
        }
        IpNet::V6(network) => {
            let address = network.addr().to_bits() + offset;
            IpNet::new(std::net::Ipv6Addr::from_bits(address).into(), length).unwrap()
        }
    }
}

impl<const LENGTH: u8> Allocator for Ipam<LENGTH> {
    type Subnet = IpNet;

    fn new(network: IpNet) -> Self {
        let mut options = SubnetPoolOptions::new([network]);
        if LENGTH > 0 {
            (options.shortest, options.longest) = (LENGTH, Some(LENGTH));
        }
        let mut pool = SubnetPool::new(options).unwrap();
        let id = pool.enroll(&OWNER).unwrap();
        Self { pool, id, network }
    }

    fn subnet(&self, offset: u128, length: u8) -> IpNet {
        subnet(self.network, offset, length)
    }

    fn begin(&mut self) {
        // Who has nothing is forgotten.
        self.id = self.pool.enroll(&OWNER).unwrap();
    }

    fn allocate(&mut self, length: u8) -> Option<IpNet> {
        self.pool.allocate(length, self.id, Duration::ZERO).ok()
    }

    fn claim(&mut self, subnet: IpNet) -> bool {
        self.pool.claim(subnet, self.id, Duration::ZERO).is_ok()
    }

    fn release(&mut self, subnet: IpNet) -> bool {
        self.pool.release(subnet).is_ok()
    }
}
