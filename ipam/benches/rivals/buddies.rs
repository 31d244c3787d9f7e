//! Trees of the free blocks of each size: blocks are halved and joined again.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::Allocator;

/// Of any length, as a pool's subnets are. It does not know what is given: a wrong release goes unnoticed.
pub(crate) struct Buddies {
    /// By log₂ of their size; offsets in the network.
    free: Vec<BTreeSet<u128>>,
    width: u8,
}

impl Buddies {
    /// Takes a block out of the free one of this order that has it.
    fn cut(&mut self, (base, order): (u128, u8), from: u8) {
        for half in (order..from).rev() {
            // The half that is not wanted stays free.
            self.free[usize::from(half)].insert((base >> half ^ 1) << half);
        }
    }
}

impl Allocator for Buddies {
    /// Offset, and log₂ of the size.
    type Subnet = (u128, u8);

    fn new(network: IpNet) -> Self {
        let width = network.max_prefix_len();
        let order = width - network.prefix_len();
        let mut free = vec![BTreeSet::new(); usize::from(order) + 1];
        free[usize::from(order)].insert(0);
        Self { free, width }
    }

    fn subnet(&self, offset: u128, length: u8) -> (u128, u8) {
        (offset, self.width - length)
    }

    fn allocate(&mut self, length: u8) -> Option<(u128, u8)> {
        let order = self.width - length;
        let (from, base) = (order..)
            .zip(&mut self.free[usize::from(order)..])
            .find_map(|(from, free)| Some((from, free.pop_first()?)))?;
        self.cut((base, order), from);
        Some((base, order))
    }

    fn claim(&mut self, (base, order): (u128, u8)) -> bool {
        let around = (order..)
            .zip(&mut self.free[usize::from(order)..])
            .find_map(|(from, free)| free.remove(&(base >> from << from)).then_some(from));
        if let Some(from) = around {
            self.cut((base, order), from);
        }
        around.is_some()
    }

    fn release(&mut self, (mut base, mut order): (u128, u8)) -> bool {
        let largest = self.free.len() as u8 - 1;
        while order < largest && self.free[usize::from(order)].remove(&(base ^ 1 << order)) {
            base &= !(1 << order);
            order += 1;
        }
        self.free[usize::from(order)].insert(base)
    }
}
