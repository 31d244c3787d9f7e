//! A cluster's addresses in blocks that belong to nodes: affinity, a cap, borrowing, and a node that dies.
//!
//! ```text
//! cargo run -p ipam --example blocks
//! ```

use std::{error::Error, time::Duration};

use ipam::{Blocks, BlocksOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let mut options = BlocksOptions::new(["10.244.0.0/26".parse()?], 29);
    options.max_blocks = Some(2);
    options.borrow = true;
    let mut blocks = Blocks::<String>::new(options)?;
    let now = Duration::from_secs(1_700_000_000);

    for pod in 0..17 {
        match blocks.allocate("node-a", format!("a-{pod}").as_str(), now) {
            Ok(grant) if grant.is_new => println!("a-{pod} gets {} of a new block, {}", grant.address, grant.block),
            Ok(_) => {}
            Err(error) => println!("a-{pod} gets nothing: {error}"),
        }
    }
    for pod in 0..3 {
        blocks.allocate("node-b", format!("b-{pod}").as_str(), now)?;
    }
    let borrowed = blocks.allocate("node-a", "a-17", now)?;
    println!("a-17 gets {} of node-b's block, {}", borrowed.address, borrowed.block);
    show(&blocks);

    let released = blocks.release_node("node-b");
    println!(
        "\nnode-b is dead: {} addresses are free again. Others have some of {:?}",
        released.addresses.len(),
        released.kept
    );
    show(&blocks);

    if let Some(block) = blocks.release(borrowed.address)? {
        println!("\na-17 is gone, and with it {block}");
    }
    show(&blocks);
    Ok(())
}

fn show(blocks: &Blocks<String>) {
    for grant in blocks.blocks() {
        let (node, usage) = (grant.node.map_or("no node", String::as_str), grant.usage);
        println!(
            "  {:15} {node:8} {} given ({} lent), {} free",
            grant.block.to_string(),
            usage.allocated,
            usage.lent,
            usage.free
        );
    }
    let usage = blocks.usage();
    println!(
        "  {} of {} addresses given, {} blocks",
        usage.addresses.allocated, usage.addresses.total, usage.blocks.grants
    );
}
