//! Pods get an IPv4 and an IPv6 address: both or none.
//!
//! ```text
//! cargo run -p ipam --example dual_stack_pod
//! ```

use std::{error::Error, time::Duration};

use ipam::{AddressPoolOptions, DualStack, DualStackOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let mut ipv4 = AddressPoolOptions::new("10.1.0.0/29".parse()?);
    ipv4.gateway = Some("10.1.0.1".parse()?);
    let mut ipv6 = AddressPoolOptions::new("2001:db8:1::/64".parse()?);
    ipv6.gateway = Some("2001:db8:1::1".parse()?);
    let mut pools = DualStack::<String>::new(DualStackOptions::new(ipv4, ipv6))?;
    let now = Duration::from_secs(1_700_000_000);

    let mut first = None;
    for number in 0.. {
        let pod = format!("pod-{number}");
        match pools.allocate(pod.as_str(), now) {
            Ok(addresses) => {
                println!("{pod} gets {addresses}");
                first.get_or_insert(addresses);
            }
            Err(error) => {
                println!("{pod} gets nothing. {error}");
                break;
            }
        }
    }
    for (family, usage) in [("IPv4", pools.ipv4().usage()), ("IPv6", pools.ipv6().usage())] {
        println!("{family}: {} given, {} free", usage.allocated, usage.free);
    }

    if let Some(addresses) = first {
        pools.release_from(addresses, "pod-0", now)?;
        println!("\npod-0 is gone; pod-9 gets {}", pools.allocate("pod-9", now)?);
    }
    println!("{:?}", pools.release_all("pod-9", now));
    Ok(())
}
