//! A network with a subnet of which a range is given out: with a gateway, excluded addresses, and reserved ones that are given
//! only to who asks for them. Released addresses rest for a minute, and who comes again gets the same.
//!
//! ```text
//! cargo run -p ipam --example network_ranges
//! ```

use std::{error::Error, time::Duration};

use ipam::{AddressPool, AddressPoolEdit, AddressPoolOptions, AddressRange};

fn main() -> Result<(), Box<dyn Error>> {
    let mut options = AddressPoolOptions::new("192.168.56.0/24".parse()?);
    options.gateway = Some("192.168.56.1".parse()?);
    options.ranges = vec!["192.168.56.100-192.168.56.109".parse()?];
    options.excluded = vec!["192.168.56.100-192.168.56.101".parse()?];
    options.reserved = vec!["192.168.56.102-192.168.56.103".parse()?];
    options.cool_down = Duration::from_secs(60);
    options.sticky = 100;
    let mut pool = AddressPool::<String>::new(options)?;
    let mut now = Duration::from_secs(1_700_000_000);

    for pod in ["web-0", "web-1", "web-2"] {
        println!("{pod} gets {}", pool.allocate(pod, now)?);
    }
    let reserved = "192.168.56.102".parse()?;
    pool.claim(reserved, "database", now)?;
    println!("database gets {reserved}, which is reserved");
    for address in ["192.168.56.1", "192.168.56.100", "192.168.56.99", "192.168.56.104"] {
        if let Err(error) = pool.claim(address.parse()?, "intruder", now) {
            println!("refused: {error}");
        }
    }

    now += Duration::from_secs(10);
    pool.release_all("web-1", now);
    now += Duration::from_secs(10);
    println!("\nweb-1 was gone for ten seconds");
    println!("web-3 gets {}", pool.allocate("web-3", now)?);
    println!("web-1 gets {} again", pool.allocate("web-1", now)?);

    let edit = AddressPoolEdit::RemoveRange("192.168.56.104-192.168.56.105".parse::<AddressRange>()?);
    println!("\nwithout 104 and 105 these would lose their addresses:");
    for grant in pool.plan(edit)? {
        println!("  {} {}", grant.prefix.addr(), grant.owner);
    }
    if let Err(error) = pool.edit(edit) {
        println!("refused: {error}");
    }
    pool.add_range("192.168.56.200-192.168.56.209".parse()?)?;

    let usage = pool.usage();
    println!(
        "\n{} addresses: {} given, {} free, {} reserved, {} cooling down; the largest free prefix is a /{}",
        usage.total,
        usage.allocated,
        usage.free,
        usage.reserved,
        usage.cooling,
        usage.largest_free.unwrap_or_default()
    );
    Ok(())
}
