//! A remote floods a segment with a million made-up MAC addresses, and what that did to the hosts behind others.
//!
//! ```text
//! cargo run --release -p fdb --example flood
//! ```

use std::time::{Duration, Instant};

use fdb::{ForwardingTable, Learn, RemoteId, SegmentId, SegmentOptions, TableOptions};
use overlay_types::MacAddr;

fn mac(kind: u8, number: u32) -> MacAddr {
    let [a, b, c, d] = number.to_be_bytes();
    MacAddr::new([2, kind, a, b, c, d])
}

fn main() {
    const HOSTS: u32 = 100;
    const FLOOD: u32 = 1_000_000;
    let table = ForwardingTable::new(TableOptions::default());
    let blue = SegmentId::new(42).expect("24 bits");
    table.add_segment(blue, SegmentOptions::default());
    let remote = |number| RemoteId::new(number).expect("a small number");

    for host in 0..HOSTS {
        let _ = table.learn(blue, mac(0, host), remote(1 + host % 10), Duration::ZERO);
    }
    let mut times: Vec<Duration> = (0..FLOOD)
        .filter_map(|number| {
            let start = Instant::now();
            let answer = table.learn(blue, mac(1, number), remote(0), Duration::ZERO);
            (answer == Learn::New).then(|| start.elapsed())
        })
        .collect();
    times.sort_unstable();
    let at = |parts: usize| times.get(times.len() * parts / 10_000).copied().unwrap_or_default();
    let left = (0..HOSTS).filter(|&host| table.lookup(blue, mac(0, host)).is_some()).count();
    println!("{} made-up addresses were learned, one after the other", times.len());
    println!("each took {:?} in the middle, {:?} at 99 %, {:?} at 99.99 %", at(5_000), at(9_900), at(9_999));
    println!("the segment has {} learned rows, and {left} of {HOSTS} hosts are still there", table.learned_len(blue));
}
