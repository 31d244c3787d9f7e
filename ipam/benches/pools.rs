//! The pool of subnets beside what one would take otherwise: all of a network given and taken back, and single ones in a
//! network with a million random grants.
//!
//! `IPAM_BENCH_GRANTS=10000` for less grants. The pool keeps an owner and a time for each; the others keep neither.
#![allow(missing_docs)] // of what `criterion_group!` makes

mod rivals;

use std::{
    collections::HashSet,
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use ipnet::IpNet;
use rivals::{Allocator, Bitmap, Buddies, FreeList, Ipam, Iteration};

/// Subnets that are given and taken back in a round.
const ROUND: usize = 1 << 16;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn grants() -> usize {
    std::env::var("IPAM_BENCH_GRANTS").ok().and_then(|grants| grants.parse().ok()).unwrap_or(1_000_000)
}

/// All of the network given, one after the other, and all taken back in this order.
fn all<A: Allocator>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, network: IpNet, length: u8) {
    let mut allocator = A::new(network);
    let mut given = Vec::with_capacity(ROUND);
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            allocator.begin();
            while let Some(subnet) = allocator.allocate(length) {
                given.push(subnet);
            }
            assert_eq!(given.len(), ROUND);
            for subnet in given.drain(..) {
                black_box(allocator.release(subnet));
            }
        });
    });
}

fn whole(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("65,536 /32 of a /16, given and taken back");
    group.sample_size(20).throughput(Throughput::Elements(ROUND as u64));
    let network = net("10.42.0.0/16");
    all::<Ipam<0>>(&mut group, "ipam", network, 32);
    all::<Bitmap<32>>(&mut group, "two-level bitmap", network, 32);
    all::<FreeList<32>>(&mut group, "BTreeSet of free blocks", network, 32);
    all::<Buddies>(&mut group, "BTreeSets by size", network, 32);
    all::<Iteration<32>>(&mut group, "ipnet + HashSet", network, 32);
    group.finish();

    let mut group = criterion.benchmark_group("65,536 /24 of a /8, given and taken back");
    group.sample_size(20).throughput(Throughput::Elements(ROUND as u64));
    let network = net("10.0.0.0/8");
    all::<Ipam<24>>(&mut group, "ipam, which gives /24 only", network, 24);
    all::<Ipam<0>>(&mut group, "ipam", network, 24);
    all::<Bitmap<24>>(&mut group, "two-level bitmap", network, 24);
    all::<FreeList<24>>(&mut group, "BTreeSet of free blocks", network, 24);
    all::<Buddies>(&mut group, "BTreeSets by size", network, 24);
    all::<Iteration<24>>(&mut group, "ipnet + HashSet", network, 24);
    group.finish();
}

/// A network with random grants.
struct Crowd {
    title: &'static str,
    network: IpNet,
    /// The lengths of its subnets.
    lengths: &'static [u8],
}

const CROWDS: [Crowd; 3] = [
    Crowd { title: "/32 of a /8", network: v4(8), lengths: &[32] },
    Crowd { title: "/64 of a /32", network: v6(32), lengths: &[64] },
    Crowd { title: "/56 to /64 of a /32", network: v6(32), lengths: &[64, 63, 62, 61, 60, 59, 58, 57, 56] },
];

const fn v4(length: u8) -> IpNet {
    IpNet::V4(ipnet::Ipv4Net::new_assert(std::net::Ipv4Addr::new(10, 0, 0, 0), length))
}

const fn v6(length: u8) -> IpNet {
    IpNet::V6(ipnet::Ipv6Net::new_assert(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), length))
}

impl Crowd {
    /// Offsets and lengths in random order, each other than those before; some overlap where lengths are mixed.
    fn subnets(&self) -> impl Iterator<Item = (u128, u8)> {
        let mut random = fastrand::Rng::with_seed(1);
        let (width, own) = (self.network.max_prefix_len(), self.network.prefix_len());
        let (lengths, mut known) = (self.lengths, HashSet::new());
        std::iter::from_fn(move || {
            let length = lengths[random.usize(0..lengths.len())];
            Some((random.u128(..) >> (128 - (length - own)) << (width - length), length))
        })
        .filter(move |subnet| known.insert(*subnet))
    }

    /// An allocator with all the grants, and so many subnets that are free and don't overlap.
    fn fill<A: Allocator>(&self) -> (A, Vec<A::Subnet>) {
        let mut allocator = A::new(self.network);
        allocator.begin();
        let (grants, mut subnets, mut count) = (grants(), self.subnets(), 0);
        while count < grants {
            let (offset, length) = subnets.next().unwrap();
            count += usize::from(allocator.claim(allocator.subnet(offset, length)));
        }
        let mut free = Vec::new();
        while free.len() < ROUND {
            let (offset, length) = subnets.next().unwrap();
            let subnet = allocator.subnet(offset, length);
            if allocator.claim(subnet) {
                free.push(subnet);
            }
        }
        for &subnet in &free {
            allocator.release(subnet);
        }
        (allocator, free)
    }

    /// One allocation, one claim and one release, each of many different ones: the rest of a round is not timed.
    fn bench<A: Allocator>(&self, criterion: &mut Criterion, name: &str) {
        let (mut allocator, free) = self.fill::<A>();
        // Taken back in another order than given.
        let mut others = free.clone();
        fastrand::Rng::with_seed(2).shuffle(&mut others);

        let mut timed = |what: &str, round: &mut dyn FnMut(&mut A) -> Duration| {
            let mut group = criterion.benchmark_group(format!("{what} among {} {}", grants(), self.title));
            group.sample_size(10).throughput(Throughput::Elements(ROUND as u64));
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|rounds| (0..rounds).map(|_| round(&mut allocator)).sum());
            });
            group.finish();
        };
        let mut given = Vec::with_capacity(ROUND);
        let lengths = self.lengths;
        timed("allocate", &mut |allocator| {
            let begin = Instant::now();
            for &length in lengths.iter().cycle().take(ROUND) {
                given.push(allocator.allocate(length).expect("most is free"));
            }
            let time = begin.elapsed();
            for subnet in given.drain(..) {
                assert!(allocator.release(subnet));
            }
            time
        });
        timed("claim", &mut |allocator| {
            let begin = Instant::now();
            for &subnet in &free {
                black_box(allocator.claim(subnet));
            }
            let time = begin.elapsed();
            for &subnet in &others {
                assert!(allocator.release(subnet));
            }
            time
        });
        timed("release", &mut |allocator| {
            for &subnet in &free {
                assert!(allocator.claim(subnet));
            }
            let begin = Instant::now();
            for &subnet in &others {
                black_box(allocator.release(subnet));
            }
            begin.elapsed()
        });
    }
}

fn single(criterion: &mut Criterion) {
    let [addresses, sites, mixed] = &CROWDS;
    addresses.bench::<Ipam<0>>(criterion, "ipam");
    addresses.bench::<Bitmap<32>>(criterion, "two-level bitmap");
    addresses.bench::<FreeList<32>>(criterion, "BTreeSet of free blocks");
    addresses.bench::<Buddies>(criterion, "BTreeSets by size");
    addresses.bench::<Iteration<32>>(criterion, "ipnet + HashSet");
    // Four billion are too many to be enumerated.
    sites.bench::<Ipam<0>>(criterion, "ipam");
    sites.bench::<Buddies>(criterion, "BTreeSets by size");
    sites.bench::<Iteration<64>>(criterion, "ipnet + HashSet");
    mixed.bench::<Ipam<0>>(criterion, "ipam");
    mixed.bench::<Buddies>(criterion, "BTreeSets by size");
}

criterion_group!(pools, whole, single);
criterion_main!(pools);
