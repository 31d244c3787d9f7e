//! `tap-vtep ipam list`: how full the pool is, and who has what.

use std::{io::IsTerminal as _, time::Duration};

use serde::Serialize;

use super::{
    IpamError,
    bar::bar,
    cli::{Kind, PoolFile},
    output::{Align, Table, print, print_json},
    pool::{Options, Part},
    row::Row,
    time::{age, now, utc},
};

/// All that there is to say.
#[derive(Serialize)]
struct Listing {
    kind: Option<String>,
    options: Option<Options>,
    usage: Vec<Part>,
    grants: Vec<Row>,
}

/// Shows a pool; of the grants those of one owner, if one is named.
pub(super) fn list(file: &PoolFile, owner: Option<&str>, json: bool) -> Result<(), IpamError> {
    let pool = file.read()?;
    let grants = pool.grants().filter(|row| owner.is_none_or(|owner| row.owner == owner)).collect();
    let listing = Listing {
        kind: pool.kind().map(|kind: Kind| kind.to_string()),
        options: pool.options(),
        usage: pool.parts(),
        grants,
    };
    if json {
        return print_json(&listing);
    }
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    print(&text(&listing, colours, now()))
}

fn text(listing: &Listing, colours: bool, now: Duration) -> String {
    let mut text = usage(&listing.usage, colours);
    let has_nodes = listing.grants.iter().any(|row| row.node.is_some());
    let titles = ["PREFIX", if has_nodes { "NODE" } else { "" }, "OWNER", "SINCE", "AGE"];
    let mut grants = Table::new(titles.map(|title| (title, Align::Left)));
    for row in &listing.grants {
        grants.row([
            row.name(),
            row.node.clone().unwrap_or_default(),
            row.owner.clone(),
            utc(row.since),
            age(row.since, now),
        ]);
    }
    if !grants.is_empty() {
        text.push('\n');
        grants.write(&mut text, "");
    }
    text
}

fn usage(parts: &[Part], colours: bool) -> String {
    let has_nodes = parts.iter().any(|part| part.node.is_some());
    let mut table = Table::new([
        ("PREFIX", Align::Left),
        (if has_nodes { "NODE" } else { "" }, Align::Left),
        ("USAGE", Align::Left),
        ("GRANTS", Align::Right),
        ("ALLOCATED", Align::Right),
        ("FREE", Align::Right),
        ("RESERVED", Align::Right),
        ("COOLING", Align::Right),
        ("LARGEST FREE", Align::Right),
        ("FRAGMENTATION", Align::Right),
    ]);
    for part in parts {
        table.row([
            part.prefix.map_or_else(|| "all".to_owned(), |prefix| prefix.to_string()),
            part.node.clone().unwrap_or_else(|| if has_nodes { "-" } else { "" }.to_owned()),
            bar(part, colours),
            part.grants.to_string(),
            part.allocated.to_string(),
            part.free.to_string(),
            part.reserved.to_string(),
            part.cooling.to_string(),
            part.largest_free.map_or_else(|| "-".to_owned(), |length| format!("/{length}")),
            part.fragmentation.map_or_else(|| "-".to_owned(), |part| format!("{:.1}%", part * 100.0)),
        ]);
    }
    let mut text = String::new();
    table.write(&mut text, "");
    text
}
