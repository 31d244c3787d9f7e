//! `ipnet`'s iteration over all subnets of one length, and a set of those that are given.

use std::collections::HashSet;

use ipnet::{IpNet, IpSubnets};

use super::{Allocator, subnet};

/// `LENGTH`: of all its subnets. It goes on where it was: from the start each time it would be a thousand times as slow.
pub(crate) struct Iteration<const LENGTH: u8> {
    network: IpNet,
    next: IpSubnets,
    given: HashSet<IpNet>,
}

impl<const LENGTH: u8> Allocator for Iteration<LENGTH> {
    type Subnet = IpNet;

    fn new(network: IpNet) -> Self {
        Self { network, next: network.subnets(LENGTH).unwrap(), given: HashSet::new() }
    }

    fn subnet(&self, offset: u128, length: u8) -> IpNet {
        subnet(self.network, offset, length)
    }

    fn allocate(&mut self, _: u8) -> Option<IpNet> {
        let mut found = self.next.find(|subnet| !self.given.contains(subnet));
        if found.is_none() {
            self.next = self.network.subnets(LENGTH).unwrap();
            found = self.next.find(|subnet| !self.given.contains(subnet));
        }
        self.given.insert(found?);
        found
    }

    fn claim(&mut self, subnet: IpNet) -> bool {
        self.given.insert(subnet)
    }

    fn release(&mut self, subnet: IpNet) -> bool {
        self.given.remove(&subnet)
    }
}
