//! Flannel's subnets for 200 nodes: who got what, a node that goes and comes back, and how full the network is.
//!
//! `cargo run -p ipam --example flannel`

use std::{error::Error, time::Duration};

use ipam::{FlannelNetwork, SubnetPool};

fn main() -> Result<(), Box<dyn Error>> {
    // As in Flannel's configuration: {"Network": "10.42.0.0/16"}. Subnets are /24 then, but for the first of them.
    let network = FlannelNetwork::new("10.42.0.0/16".parse()?);
    let length = network.length()?;
    let mut pool = SubnetPool::<String>::new(network.options(7)?)?;
    let now = Duration::from_secs(1_700_000_000); // since the Unix epoch

    for number in 1..=200 {
        pool.allocate(length, &*format!("node-{number}"), now)?;
    }
    println!("The first of {} in the order of their addresses:", pool.usage().grants);
    for grant in pool.grants().take(5) {
        println!("  {:<15} {}", grant.prefix.to_string(), grant.owner);
    }

    // A node goes.
    let [subnet] = pool.release_all("node-17")[..] else { return Err("a node has one subnet".into()) };
    println!("node-17 had {subnet}; whose is it now? {:?}", pool.get(subnet.addr()).map(|grant| grant.owner));

    // It comes back, and asks for what it had. Had somebody else got it meanwhile, the error would say who.
    match pool.claim(subnet, "node-17", now) {
        Ok(()) => println!("node-17 has {subnet} again"),
        Err(error) => println!("node-17 needs another one: {error}"),
    }
    if let Err(error) = pool.claim(subnet, "node-18", now) {
        println!("node-18 is refused: {error}");
    }

    let usage = pool.usage();
    println!("{} of {} addresses are given, {} are free", usage.allocated, usage.total, usage.free);
    if let Some(largest) = usage.largest_free {
        println!("the largest free prefix is a /{largest}; {:.0} % is elsewhere", usage.fragmentation * 100.0);
    }
    Ok(())
}
