//! `tap-vtep ipam allocate`, `claim` and `release`: who has what changes.

use ipam::{Event, EventKind, Journaled as _};

use super::{
    IpamError,
    cli::{AllocateOptions, Patience, PoolFile, ReleaseOptions},
    output::{print, print_json},
    pool::{Change, Pool, Request},
    row::Row,
    time::now,
};

/// Gives what is free, and prints it.
pub(super) fn allocate(options: &AllocateOptions) -> Result<(), IpamError> {
    let AllocateOptions { file, owner, length, node, count, format, patience } = options;
    let request = Request { owner: &owner.name, length: *length, node: node.name.as_deref(), count: *count };
    let mut given = Vec::new();
    let changes = file.open(*patience)?.change(|pool| {
        let changes = pool.allocate(&request, now())?;
        given = granted(pool, &changes, request.node);
        Ok(changes)
    })?;
    drop(changes);
    if format.json { print_json(&given) } else { print(&lines(given.iter().map(Row::name))) }
}

fn granted(pool: &Pool, changes: &[Change], node: Option<&str>) -> Vec<Row> {
    let granted = changes.iter().filter_map(Pool::event).filter_map(|event| match event {
        Event { prefix, at, kind: EventKind::Granted { owner } } => Some(Row {
            prefix,
            is_address: pool.gives_addresses(),
            owner,
            node: node.map(ToOwned::to_owned),
            since: at,
        }),
        _ => None,
    });
    granted.collect()
}

/// Gives just this.
pub(super) fn claim(
    file: &PoolFile,
    prefix: ipnet::IpNet,
    owner: Option<&str>,
    node: Option<&str>,
    patience: Patience,
) -> Result<(), IpamError> {
    file.open(patience)?.change(|pool| pool.claim(prefix, owner, node, now())).map(drop)
}

/// Takes something back; where it was not named, it is printed.
pub(super) fn release(options: &ReleaseOptions) -> Result<(), IpamError> {
    let ReleaseOptions { file, target, owner, all: _, node, patience } = options;
    let mut taken = Vec::new();
    file.open(*patience)?.change(|pool| {
        let changes = match (target, owner, node) {
            (Some(target), owner, _) => return pool.release(target.0, owner.as_deref(), now()),
            (None, _, Some(node)) => pool.release_node(node, now())?,
            (None, owner, None) => pool.release_all(owner.as_deref().unwrap_or_default(), now())?,
        };
        let released = changes.iter().filter_map(Pool::event).filter(|event| event.kind == EventKind::Released);
        taken.extend(released.map(|event| pool.name(event.prefix)));
        Ok(changes)
    })?;
    print(&lines(taken.into_iter()))
}

fn lines(names: impl Iterator<Item = String>) -> String {
    names.map(|name| name + "\n").collect()
}
