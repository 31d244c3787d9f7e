//! An IPv4 and an IPv6 address at once. Each address is a change of its own, and those of one command are one record.

use std::{net::IpAddr, time::Duration};

use ipam::{AddressPool, AddressPoolChange, AddressPoolEdit, DualStack, DualStackChange, Family};

use super::{PoolError, Request, addresses};
use crate::ipam::{edit::Edit, row::Row};

type Pool = DualStack<String>;
type Change = DualStackChange<String>;

pub(super) fn allocate(pool: &mut Pool, request: &Request<'_>, now: Duration) -> Result<Vec<Change>, PoolError> {
    addresses::no_other(request)?;
    let owner = request.owner;
    let mut changes = Vec::new();
    for _ in 0..request.count {
        let both = pool.allocate(owner, now)?;
        let granted = |address, at| AddressPoolChange::Granted { address, owner: owner.to_owned(), at };
        changes.push(Change::Ipv4(granted(both.ipv4.into(), pool.ipv4().now())));
        changes.push(Change::Ipv6(granted(both.ipv6.into(), pool.ipv6().now())));
    }
    Ok(changes)
}

pub(super) fn release_all(pool: &mut Pool, owner: &str, now: Duration) -> Vec<Change> {
    let ipv4 = addresses::release_all(pool.ipv4_mut(), owner, now).into_iter().map(Change::Ipv4);
    let ipv6 = addresses::release_all(pool.ipv6_mut(), owner, now).into_iter().map(Change::Ipv6);
    ipv4.chain(ipv6).collect()
}

/// The pool of this family.
fn of(pool: &Pool, family: Family) -> &AddressPool<String> {
    match family {
        Family::Ipv4 => pool.ipv4(),
        Family::Ipv6 => pool.ipv6(),
    }
}

/// Does something with the pool that an address is of.
pub(super) fn with<E>(
    pool: &mut Pool,
    address: IpAddr,
    operation: impl FnOnce(&mut AddressPool<String>) -> Result<AddressPoolChange<String>, E>,
) -> Result<Change, E> {
    match address {
        IpAddr::V4(_) => operation(pool.ipv4_mut()).map(Change::Ipv4),
        IpAddr::V6(_) => operation(pool.ipv6_mut()).map(Change::Ipv6),
    }
}

/// Of which pool a change is: by its family.
fn family(edit: Edit) -> Result<Family, PoolError> {
    match edit {
        Edit::AddPrefix(prefix) | Edit::RemovePrefix(prefix) | Edit::SetSubnet(prefix) => Ok(Family::of(prefix.addr())),
        Edit::Reserve(range)
        | Edit::Unreserve(range)
        | Edit::Exclude(range)
        | Edit::Include(range)
        | Edit::AddRange(range)
        | Edit::RemoveRange(range) => Ok(range.family()),
        Edit::Gateway(gateway) => gateway.0.map(Family::of).ok_or(PoolError::WhichGateway),
    }
}

pub(super) fn orphans(pool: &Pool, edit: Edit) -> Result<Vec<Row>, PoolError> {
    let what: AddressPoolEdit = addresses::edit(edit)?;
    Ok(of(pool, family(edit)?).plan(what)?.map(|grant| Row::address(&grant)).collect())
}

pub(super) fn edit(pool: &mut Pool, edit: Edit) -> Result<Change, PoolError> {
    let (family, edit) = (family(edit)?, addresses::edit(edit)?);
    let changed = |pool: &mut AddressPool<String>| {
        pool.edit(edit)?;
        Ok(AddressPoolChange::Edited { edit, at: pool.now() })
    };
    match family {
        Family::Ipv4 => changed(pool.ipv4_mut()).map(Change::Ipv4),
        Family::Ipv6 => changed(pool.ipv6_mut()).map(Change::Ipv6),
    }
}
