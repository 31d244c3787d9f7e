//! Subnets of any length.

use std::time::Duration;

use ipam::{AddressRange, SubnetPool, SubnetPoolChange};
use ipnet::IpNet;

use super::{Part, PoolError, Request};
use crate::ipam::{cli::Kind, edit::Edit, row::Row};

type Pool = SubnetPool<String>;
type Change = SubnetPoolChange<String>;

pub(super) fn allocate(pool: &mut Pool, request: &Request<'_>, now: Duration) -> Result<Vec<Change>, PoolError> {
    if request.node.is_some() {
        return Err(PoolError::option("--node", Kind::Subnets));
    }
    let length = request.length.map_or_else(|| only_length(pool), Ok)?;
    let owner = request.owner;
    let mut one = || {
        let prefix = pool.allocate(length, owner, now)?;
        Ok(Change::Granted { prefix, owner: owner.to_owned(), at: now })
    };
    (0..request.count).map(|_| one()).collect()
}

/// The length that the pool gives, if it gives one only.
fn only_length(pool: &Pool) -> Result<u8, PoolError> {
    let (shortest, longest) = (pool.options().shortest, pool.options().longest.unwrap_or(pool.family().width()));
    if shortest == longest { Ok(shortest) } else { Err(PoolError::NoLength { shortest, longest }) }
}

pub(super) fn claim(pool: &mut Pool, prefix: IpNet, owner: &str, now: Duration) -> Result<Change, PoolError> {
    pool.claim(prefix, owner, now)?;
    Ok(Change::Granted { prefix, owner: owner.to_owned(), at: now })
}

pub(super) fn release(pool: &mut Pool, prefix: IpNet, owner: Option<&str>, now: Duration) -> Result<Change, PoolError> {
    if prefix.trunc() != prefix {
        return Err(PoolError::HostBits { given: prefix, prefix: prefix.trunc() });
    }
    // A clock that was set back does not end a grant before it began.
    let since = pool.get(prefix.addr()).map_or(Duration::ZERO, |grant| grant.since);
    match owner {
        Some(owner) => pool.release_from(prefix, owner)?,
        None => pool.release(prefix)?,
    }
    Ok(Change::Released { prefix, at: now.max(since) })
}

pub(super) fn release_all(pool: &mut Pool, owner: &str, now: Duration) -> Vec<Change> {
    let latest = pool.grants_of(owner).map(|grant| grant.since).max().unwrap_or_default();
    let prefixes = pool.release_all(owner);
    prefixes.into_iter().map(|prefix| Change::Released { prefix, at: now.max(latest) }).collect()
}

/// The whole pool, where it has several prefixes, and each prefix.
pub(super) fn parts(pool: &Pool) -> Vec<Part> {
    let parts: Vec<Part> = pool.usage_by_prefix().map(|(prefix, usage)| Part::new(Some(prefix), &usage)).collect();
    let whole = Part::new(None, &pool.usage());
    (parts.len() > 1).then_some(whole).into_iter().chain(parts).collect()
}

pub(super) fn orphans(pool: &Pool, edit: Edit) -> Result<Vec<Row>, PoolError> {
    Ok(match edit_change(edit)? {
        Change::PrefixRemoved(prefix) => pool.orphans(prefix).map(|grant| Row::prefix(&grant)).collect(),
        _ => Vec::new(),
    })
}

pub(super) fn edit(pool: &mut Pool, edit: Edit) -> Result<Change, PoolError> {
    match edit {
        Edit::AddPrefix(prefix) => pool.add_prefix(prefix)?,
        Edit::RemovePrefix(prefix) => pool.remove_prefix(prefix)?,
        Edit::Reserve(range) => pool.reserve(range)?,
        Edit::Unreserve(range) => pool.unreserve(range)?,
        _ => {}
    }
    edit_change(edit)
}

fn edit_change(edit: Edit) -> Result<Change, PoolError> {
    match edit {
        Edit::AddPrefix(prefix) => Ok(Change::PrefixAdded(prefix)),
        Edit::RemovePrefix(prefix) => Ok(Change::PrefixRemoved(prefix)),
        Edit::Reserve(range) => Ok(Change::Reserved(range)),
        Edit::Unreserve(range) => Ok(Change::Unreserved(range)),
        edit => Err(PoolError::option(edit.option(), Kind::Subnets)),
    }
}

/// What is wrong with the pool as a whole, by its grants alone.
pub(super) fn findings(pool: &Pool) -> Vec<String> {
    let prefixes = &pool.options().prefixes;
    let mut findings = super::grant_findings(pool.grants(), prefixes, &pool.usage());
    let within = |prefix: IpNet| {
        let Some(window) = pool.options().window else { return Some(prefix.into()) };
        AddressRange::new(prefix.network().max(window.start()), prefix.broadcast().min(window.end())).ok()
    };
    let ranges: Vec<AddressRange> = prefixes.iter().copied().filter_map(within).collect();
    findings.extend(super::total_finding(&ranges, Vec::new(), pool.usage().total));
    findings
}
