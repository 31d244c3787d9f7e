//! `tap-vtep ipam history`: who had what, from when to when.

use ipam::journal::Interval;
use ipnet::IpNet;
use serde::Serialize;

use super::{
    IpamError,
    cli::PoolFile,
    output::{Align, Table, print, print_json},
    time::utc,
};

/// An interval, for programs.
#[derive(Serialize)]
struct Had<'a> {
    prefix: IpNet,
    owner: &'a str,
    from: u64,
    from_utc: String,
    to: Option<u64>,
    to_utc: Option<String>,
}

impl<'a> Had<'a> {
    fn new(interval: &'a Interval) -> Self {
        let Interval { prefix, owner, from, to } = interval;
        Self {
            prefix: *prefix,
            owner,
            from: from.as_secs(),
            from_utc: utc(*from),
            to: to.map(|to| to.as_secs()),
            to_utc: to.map(utc),
        }
    }
}

/// Shows who had what overlaps with a prefix.
pub(super) fn history(file: &PoolFile, of: IpNet, json: bool) -> Result<(), IpamError> {
    let pool = file.read()?;
    let intervals = file.history(of)?;
    if intervals.is_empty() && !pool.has(of) {
        return Err(IpamError::Outside { name: pool.name(of) });
    }
    if json {
        return print_json(&intervals.iter().map(Had::new).collect::<Vec<_>>());
    }
    if intervals.is_empty() {
        return print(&format!("nobody had {}\n", pool.name(of)));
    }
    let mut table =
        Table::new([("PREFIX", Align::Left), ("OWNER", Align::Left), ("FROM", Align::Left), ("TO", Align::Left)]);
    for Interval { prefix, owner, from, to } in &intervals {
        table.row([pool.name(*prefix), owner.clone(), utc(*from), to.map_or_else(|| "now".to_owned(), utc)]);
    }
    let mut text = String::new();
    table.write(&mut text, "");
    print(&text)
}
