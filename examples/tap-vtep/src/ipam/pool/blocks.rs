//! Addresses of blocks that belong to nodes.

use std::{iter, time::Duration};

use ipam::{AddressRange, Amount, Blocks, BlocksChange};
use ipnet::IpNet;

use super::{Part, PoolError, Request, addresses::single};
use crate::ipam::{cli::Kind, edit::Edit, row::Row};

type Pool = Blocks<String>;
type Change = BlocksChange<String>;

pub(super) fn allocate(pool: &mut Pool, request: &Request<'_>, now: Duration) -> Result<Vec<Change>, PoolError> {
    if request.length.is_some() {
        return Err(PoolError::option("--length", Kind::Blocks));
    }
    let (node, owner) = (request.node.ok_or(PoolError::NoNode)?, request.owner);
    let mut one = || {
        let address = pool.allocate(node, owner, now)?.address;
        Ok(Change::Granted { address, node: node.to_owned(), owner: owner.to_owned(), at: now })
    };
    (0..request.count).map(|_| one()).collect()
}

pub(super) fn claim(
    pool: &mut Pool,
    prefix: IpNet,
    owner: &str,
    node: Option<&str>,
    now: Duration,
) -> Result<Change, PoolError> {
    let (address, node) = (single(prefix)?, node.ok_or(PoolError::NoNode)?);
    pool.claim(address, node, owner, now)?;
    Ok(Change::Granted { address, node: node.to_owned(), owner: owner.to_owned(), at: now })
}

pub(super) fn claim_block(
    pool: &mut Pool,
    block: IpNet,
    node: Option<&str>,
    now: Duration,
) -> Result<Change, PoolError> {
    if single(block).is_ok() {
        return Err(PoolError::NoOwner);
    }
    let node = node.ok_or(PoolError::NoNode)?;
    pool.claim_block(block, node, now)?;
    Ok(Change::BlockGranted { block, node: Some(node.to_owned()), at: now })
}

/// Takes back an address, or a block of which nobody has one.
pub(super) fn release(pool: &mut Pool, prefix: IpNet, owner: Option<&str>, now: Duration) -> Result<Change, PoolError> {
    if owner.is_none() && prefix.prefix_len() == pool.options().block_length && single(prefix).is_err() {
        pool.release_block(prefix)?;
        return Ok(Change::BlockReleased { block: prefix, at: now });
    }
    let address = single(prefix)?;
    // A clock that was set back does not end a grant before it began.
    let since = pool.get(address).map_or(Duration::ZERO, |grant| grant.since);
    match owner {
        Some(owner) => pool.release_from(address, owner)?,
        None => pool.release(address)?,
    };
    Ok(Change::Released { address, at: now.max(since) })
}

pub(super) fn release_all(pool: &mut Pool, owner: &str, now: Duration) -> Vec<Change> {
    let at = latest(pool, now);
    pool.release_all(owner).into_iter().map(|address| Change::Released { address, at }).collect()
}

/// Each address by itself, so that it has its history, and then the node.
pub(super) fn release_node(pool: &mut Pool, node: &str, now: Duration) -> Result<Vec<Change>, PoolError> {
    if pool.usage_of(node).is_none() {
        return Err(PoolError::Nothing { owner: node.to_owned() });
    }
    let at = latest(pool, now);
    let released = pool.release_node(node);
    let addresses = released.addresses.into_iter().map(|address| Change::Released { address, at });
    Ok(addresses.chain(iter::once(Change::NodeReleased { node: node.to_owned(), at })).collect())
}

/// Now, or later where a clock was set back since a grant.
fn latest(pool: &Pool, now: Duration) -> Duration {
    pool.grants().map(|grant| grant.since).fold(now, Duration::max)
}

pub(super) fn grants(pool: &Pool) -> impl Iterator<Item = Row> {
    pool.grants().map(|grant| Row { node: pool.node_of(grant.prefix.addr()).cloned(), ..Row::address(&grant) })
}

/// The whole pool, and each block that is given.
pub(super) fn parts(pool: &Pool) -> Vec<Part> {
    let prefix = match pool.options().prefixes[..] {
        [prefix] => Some(prefix),
        _ => None,
    };
    let whole = Part::new(prefix, &pool.usage().addresses);
    let blocks = pool.blocks().map(|grant| Part {
        prefix: Some(grant.block),
        node: grant.node.cloned(),
        total: grant.usage.total,
        allocated: Amount::from(grant.usage.allocated as u128),
        free: grant.usage.free,
        reserved: grant.usage.reserved,
        cooling: Amount::ZERO,
        grants: grant.usage.allocated,
        largest_free: None,
        fragmentation: None,
    });
    iter::once(whole).chain(blocks).collect()
}

pub(super) fn edit(pool: &mut Pool, edit: Edit) -> Result<Change, PoolError> {
    let Edit::AddPrefix(prefix) = edit else { return Err(PoolError::option(edit.option(), Kind::Blocks)) };
    pool.add_prefix(prefix)?;
    Ok(Change::PrefixAdded(prefix))
}

/// What is wrong with the pool as a whole, by its grants and blocks alone.
pub(super) fn findings(pool: &Pool) -> Vec<String> {
    let prefixes = &pool.options().prefixes;
    let usage = pool.usage();
    let ranges: Vec<AddressRange> = prefixes.iter().copied().map(AddressRange::from).collect();
    let mut findings = super::grant_findings(pool.grants(), prefixes, &usage.addresses);
    findings.extend(super::total_finding(&ranges, Vec::new(), usage.addresses.total));
    let lost = pool.grants().filter(|grant| pool.block_of(grant.prefix.addr()).is_none());
    findings.extend(lost.map(|grant| format!("{} is of no block that is given", grant.prefix.addr())));
    findings
}
