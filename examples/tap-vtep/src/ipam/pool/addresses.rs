//! Single addresses of a subnet.

use std::{net::IpAddr, time::Duration};

use ipam::{AddressPool, AddressPoolChange, AddressPoolEdit};
use ipnet::IpNet;

use super::{PoolError, Request};
use crate::ipam::{cli::Kind, edit::Edit};

type Change = AddressPoolChange<String>;

pub(super) fn allocate(
    pool: &mut AddressPool<String>,
    request: &Request<'_>,
    now: Duration,
) -> Result<Vec<Change>, PoolError> {
    no_other(request)?;
    let owner = request.owner;
    let mut one = || {
        let address = pool.allocate(owner, now)?;
        Ok(Change::Granted { address, owner: owner.to_owned(), at: pool.now() })
    };
    (0..request.count).map(|_| one()).collect()
}

pub(super) fn claim(
    pool: &mut AddressPool<String>,
    prefix: IpNet,
    owner: &str,
    now: Duration,
) -> Result<Change, PoolError> {
    let address = single(prefix)?;
    pool.claim(address, owner, now)?;
    Ok(Change::Granted { address, owner: owner.to_owned(), at: pool.now() })
}

pub(super) fn release(
    pool: &mut AddressPool<String>,
    prefix: IpNet,
    owner: Option<&str>,
    now: Duration,
) -> Result<Change, PoolError> {
    let address = single(prefix)?;
    match owner {
        Some(owner) => pool.release_from(address, owner, now)?,
        None => pool.release(address, now)?,
    }
    Ok(Change::Released { address, at: pool.now() })
}

pub(super) fn release_all(pool: &mut AddressPool<String>, owner: &str, now: Duration) -> Vec<Change> {
    let addresses = pool.release_all(owner, now);
    addresses.into_iter().map(|address| Change::Released { address, at: pool.now() }).collect()
}

pub(super) fn edit(edit: Edit) -> Result<AddressPoolEdit, PoolError> {
    Ok(match edit {
        Edit::AddPrefix(_) | Edit::RemovePrefix(_) => return Err(PoolError::option(edit.option(), Kind::Addresses)),
        Edit::Reserve(range) => AddressPoolEdit::Reserve(range),
        Edit::Unreserve(range) => AddressPoolEdit::Unreserve(range),
        Edit::Exclude(range) => AddressPoolEdit::Exclude(range),
        Edit::Include(range) => AddressPoolEdit::Include(range),
        Edit::AddRange(range) => AddressPoolEdit::AddRange(range),
        Edit::RemoveRange(range) => AddressPoolEdit::RemoveRange(range),
        Edit::SetSubnet(subnet) => AddressPoolEdit::Subnet(subnet),
        Edit::Gateway(gateway) => AddressPoolEdit::Gateway(gateway.0),
    })
}

/// Refuses what is of other kinds of pools.
pub(super) fn no_other(request: &Request<'_>) -> Result<(), PoolError> {
    if request.length.is_some() {
        return Err(PoolError::option("--length", Kind::Addresses));
    }
    if request.node.is_some() { Err(PoolError::option("--node", Kind::Addresses)) } else { Ok(()) }
}

/// The address that a prefix of full length is.
pub(super) fn single(prefix: IpNet) -> Result<IpAddr, PoolError> {
    if prefix.prefix_len() == prefix.max_prefix_len() {
        Ok(prefix.addr())
    } else {
        Err(PoolError::NoAddress { prefix })
    }
}
