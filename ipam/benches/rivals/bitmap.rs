//! A bit for each subnet of one length, and above it a bit for each word of them.

use ipnet::IpNet;

use super::Allocator;

/// `LENGTH`: of all its subnets.
pub(crate) struct Bitmap<const LENGTH: u8> {
    /// Bits that are set are free.
    words: Vec<u64>,
    /// Words that are not 0.
    summary: Vec<u64>,
    /// log₂ of the addresses of a subnet.
    order: u8,
}

impl<const LENGTH: u8> Allocator for Bitmap<LENGTH> {
    type Subnet = usize;

    fn new(network: IpNet) -> Self {
        let count = 1_usize << (LENGTH - network.prefix_len());
        let order = network.max_prefix_len() - LENGTH;
        Self { words: vec![u64::MAX; count / 64], summary: vec![u64::MAX; count / 64 / 64], order }
    }

    fn subnet(&self, offset: u128, _: u8) -> usize {
        usize::try_from(offset >> self.order).unwrap()
    }

    fn allocate(&mut self, _: u8) -> Option<usize> {
        let top = self.summary.iter().position(|&word| word != 0)?;
        let word = top * 64 + self.summary[top].trailing_zeros() as usize;
        let number = word * 64 + self.words[word].trailing_zeros() as usize;
        self.claim(number);
        Some(number)
    }

    fn claim(&mut self, number: usize) -> bool {
        let word = &mut self.words[number / 64];
        let was_free = *word >> (number % 64) & 1 == 1;
        *word &= !(1 << (number % 64));
        if *word == 0 {
            self.summary[number / 64 / 64] &= !(1 << (number / 64 % 64));
        }
        was_free
    }

    fn release(&mut self, number: usize) -> bool {
        let word = &mut self.words[number / 64];
        let was_free = *word >> (number % 64) & 1 == 1;
        *word |= 1 << (number % 64);
        self.summary[number / 64 / 64] |= 1 << (number / 64 % 64);
        !was_free
    }
}
