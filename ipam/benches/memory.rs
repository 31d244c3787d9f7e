//! Memory for each grant of a pool, with owners of 16 bytes. Prints a table; needs some seconds.
//!
//! `IPAM_BENCH_GRANTS=10000` for less grants.
#![allow(clippy::cast_precision_loss)] // figures to be printed

use std::{collections::BTreeMap, hint::black_box, process::Command, time::Duration};

use ipam::{SubnetPool, SubnetPoolOptions};
use ipnet::IpNet;

type Owner = [u8; 16];

/// A network, and the lengths of its subnets.
const NETWORKS: [(&str, &str, [u8; 2]); 5] = [
    ("/32 of a /8, at random", "10.0.0.0/8", [32, 32]),
    ("/32 of a /8, side by side", "10.0.0.0/8", [32, 32]),
    ("/64 of a /32, at random", "2001:db8::/32", [64, 64]),
    ("/128 of ::/0, at random", "::/0", [128, 128]),
    ("/56 to /64 of a /32, at random", "2001:db8::/32", [56, 64]),
];

fn grants() -> usize {
    std::env::var("IPAM_BENCH_GRANTS").ok().and_then(|grants| grants.parse().ok()).unwrap_or(1_000_000)
}

/// The memory of this process that is in use, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn owner(number: usize) -> Owner {
    (number as u128).to_be_bytes()
}

/// Something of the network, of one of its lengths.
fn any_subnet(network: IpNet, [shortest, longest]: [u8; 2], random: &mut fastrand::Rng) -> IpNet {
    let length = random.u8(shortest..=longest);
    let own = network.prefix_len();
    match network {
        IpNet::V4(network) => {
            let address = network.addr().to_bits() | random.u32(..).checked_shr(own.into()).unwrap_or(0);
            IpNet::new(std::net::Ipv4Addr::from_bits(address).into(), length).unwrap().trunc()
        }
        IpNet::V6(network) => {
            let address = network.addr().to_bits() | random.u128(..).checked_shr(own.into()).unwrap_or(0);
            IpNet::new(std::net::Ipv6Addr::from_bits(address).into(), length).unwrap().trunc()
        }
    }
}

/// What the table asks of a process of its own: what one gave back, the next would get for nothing.
fn memory_of(name: &str, each: usize) {
    let by_name: BTreeMap<_, _> = NETWORKS.iter().map(|&(name, network, lengths)| (name, (network, lengths))).collect();
    let (network, lengths) = by_name[name];
    let network: IpNet = network.parse().unwrap();
    let (mut random, grants) = (fastrand::Rng::with_seed(1), grants());
    let before = resident();
    let mut pool = SubnetPool::<Owner>::new(SubnetPoolOptions::new([network])).unwrap();
    let mut count = 0;
    while count < grants {
        // Those of one owner were not given one after the other.
        let owner = owner(count % grants.div_ceil(each));
        let is_given = if name.ends_with("side by side") {
            pool.allocate(lengths[0], &owner, Duration::ZERO).is_ok()
        } else {
            pool.claim(any_subnet(network, lengths, &mut random), &owner, Duration::ZERO).is_ok()
        };
        count += usize::from(is_given);
    }
    println!("{:.1}", (resident() - before) as f64 / grants as f64);
    black_box(pool.usage());
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    if let [_, what, name, each] = &words[..]
        && what == "memory"
    {
        return memory_of(name, each.parse().unwrap());
    }
    println!("| bytes for each of {} grants | one owner each | an owner of ten | an owner of a thousand |", grants());
    println!("|---|---:|---:|---:|");
    for (name, ..) in NETWORKS {
        print!("| {name} |");
        for each in ["1", "10", "1000"] {
            let me = std::env::current_exe().unwrap();
            let output = Command::new(me).args(["memory", name, each]).output().unwrap();
            print!(" {} |", String::from_utf8_lossy(&output.stdout).trim());
        }
        println!();
    }
    println!();
}
