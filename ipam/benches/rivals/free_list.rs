//! A tree of all free subnets of one length, one by one.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::Allocator;

/// `LENGTH`: of all its subnets.
pub(crate) struct FreeList<const LENGTH: u8> {
    free: BTreeSet<u128>,
    order: u8,
}

impl<const LENGTH: u8> Allocator for FreeList<LENGTH> {
    type Subnet = u128;

    fn new(network: IpNet) -> Self {
        let count = 1 << (LENGTH - network.prefix_len());
        Self { free: (0..count).collect(), order: network.max_prefix_len() - LENGTH }
    }

    fn subnet(&self, offset: u128, _: u8) -> u128 {
        offset >> self.order
    }

    fn allocate(&mut self, _: u8) -> Option<u128> {
        self.free.pop_first()
    }

    fn claim(&mut self, number: u128) -> bool {
        self.free.remove(&number)
    }

    fn release(&mut self, number: u128) -> bool {
        self.free.insert(number)
    }
}
