//! A learning switch: ports are remotes, and a frame goes where its destination was last seen.
//!
//! ```text
//! cargo run -p fdb --example learning_switch
//! ```

use std::time::Duration;

use fdb::{ForwardingTable, RemoteId, SegmentId, SegmentOptions, TableOptions};
use overlay_types::MacAddr;

/// The ports that a frame leaves by.
fn switch(table: &ForwardingTable, port: u32, source: MacAddr, destination: MacAddr, now: Duration) -> Vec<u32> {
    const PORTS: u32 = 4;
    let vlan = SegmentId::new(1).expect("24 bits");
    let arrival = RemoteId::new(port).expect("a small number");
    // What it teaches is said in the answer; a switch goes on either way.
    let _ = table.learn(vlan, source, arrival, now);
    match table.lookup(vlan, destination) {
        Some(forward) if forward.remote() == Some(arrival) => Vec::new(),
        Some(forward) => forward.remote().map(RemoteId::get).into_iter().collect(),
        None => (0..PORTS).filter(|&other| other != port).collect(),
    }
}

fn main() {
    // A switch that is to withstand its users takes a secret at random.
    let table = ForwardingTable::new(TableOptions::default());
    table.add_segment(SegmentId::new(1).expect("24 bits"), SegmentOptions::default());
    let (alice, bob) = (MacAddr::new([2, 0, 0, 0, 0, 0xa]), MacAddr::new([2, 0, 0, 0, 0, 0xb]));
    for (second, port, source, destination) in [(0, 0, alice, bob), (1, 2, bob, alice), (2, 0, alice, bob)] {
        let ports = switch(&table, port, source, destination, Duration::from_secs(second));
        println!("{second} s: {source} at port {port} to {destination}: leaves by {ports:?}");
    }
    let aged = table.age(Duration::from_secs(301), usize::MAX);
    println!("301 s: {aged} of them aged: nothing was received from bob for 300 s");
}
