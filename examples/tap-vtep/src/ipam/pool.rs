//! The pool that is in a pool file: one of several kinds.

mod addresses;
mod blocks;
mod dual_stack;
mod error;
mod subnets;

use std::{fmt, net::IpAddr, time::Duration};

use ipam::{
    AddressPool, AddressPoolChange, AddressPoolOptions, AddressRange, Amount, ApplyError, Blocks, BlocksChange,
    BlocksOptions, DualStack, DualStackChange, DualStackOptions, Event, Grant, Journaled, SubnetPool, SubnetPoolChange,
    SubnetPoolOptions, Usage,
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub(crate) use self::error::PoolError;
use super::{cli::Kind, edit::Edit, row::Row};

/// A pool of one of the kinds.
#[derive(Clone, Debug)]
pub(crate) enum Pool {
    /// The state before the first change, which says what pool it is.
    Unmade,
    Subnets(Box<SubnetPool<String>>),
    Addresses(Box<AddressPool<String>>),
    DualStack(Box<DualStack<String>>),
    Blocks(Box<Blocks<String>>),
}

/// What is written down.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Change {
    Subnets(SubnetPoolChange<String>),
    Addresses(AddressPoolChange<String>),
    DualStack(DualStackChange<String>),
    Blocks(BlocksChange<String>),
}

/// What a pool is made of.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Options {
    Subnets(SubnetPoolOptions),
    Addresses(AddressPoolOptions),
    DualStack(DualStackOptions),
    Blocks(BlocksOptions),
}

/// Who asks for how much.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) owner: &'a str,
    pub(crate) length: Option<u8>,
    pub(crate) node: Option<&'a str>,
    pub(crate) count: u32,
}

/// How full the pool or a part of it is, in addresses.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Part {
    /// Which part; `None` for the whole pool, where it has several prefixes.
    pub(crate) prefix: Option<IpNet>,
    /// Whose block it is.
    pub(crate) node: Option<String>,
    pub(crate) total: Amount,
    pub(crate) allocated: Amount,
    pub(crate) free: Amount,
    pub(crate) reserved: Amount,
    pub(crate) cooling: Amount,
    pub(crate) grants: usize,
    /// The length of the largest free prefix. This and the next are not known of blocks.
    pub(crate) largest_free: Option<u8>,
    pub(crate) fragmentation: Option<f64>,
}

impl Part {
    fn new(prefix: Option<IpNet>, usage: &Usage) -> Self {
        let &Usage { total, allocated, free, reserved, cooling, grants, largest_free, fragmentation, .. } = usage;
        let (node, fragmentation) = (None, Some(fragmentation));
        Self { prefix, node, total, allocated, free, reserved, cooling, grants, largest_free, fragmentation }
    }

    fn of_addresses(pool: &AddressPool<String>) -> Self {
        Self::new(Some(pool.options().subnet), &pool.usage())
    }
}

impl Pool {
    /// A pool of which nothing is given yet.
    pub(crate) fn new(options: Options) -> Result<Self, PoolError> {
        Ok(match options {
            Options::Subnets(options) => Self::Subnets(Box::new(SubnetPool::new(options)?)),
            Options::Addresses(options) => Self::Addresses(Box::new(AddressPool::new(options)?)),
            Options::DualStack(options) => Self::DualStack(Box::new(DualStack::new(options)?)),
            Options::Blocks(options) => Self::Blocks(Box::new(Blocks::new(options)?)),
        })
    }

    /// `None` where there is no pool yet: no pool file is like that.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match self {
            Self::Unmade => None,
            Self::Subnets(_) => Some(Kind::Subnets),
            Self::Addresses(_) | Self::DualStack(_) => Some(Kind::Addresses),
            Self::Blocks(_) => Some(Kind::Blocks),
        }
    }

    pub(crate) fn options(&self) -> Option<Options> {
        match self {
            Self::Unmade => None,
            Self::Subnets(pool) => Some(Options::Subnets(pool.options().clone())),
            Self::Addresses(pool) => Some(Options::Addresses(pool.options().clone())),
            Self::DualStack(pool) => {
                let (ipv4, ipv6) = (pool.ipv4().options().clone(), pool.ipv6().options().clone());
                Some(Options::DualStack(DualStackOptions::new(ipv4, ipv6)))
            }
            Self::Blocks(pool) => Some(Options::Blocks(pool.options().clone())),
        }
    }

    /// Tells the pool what time it is.
    pub(crate) fn advance(&mut self, now: Duration) {
        match self {
            Self::Unmade | Self::Subnets(_) | Self::Blocks(_) => {}
            Self::Addresses(pool) => pool.advance(now),
            Self::DualStack(pool) => pool.advance(now),
        }
    }

    /// Gives what is asked for; after an error the pool may be anything.
    pub(crate) fn allocate(&mut self, request: &Request<'_>, now: Duration) -> Result<Vec<Change>, PoolError> {
        match self {
            Self::Unmade => Err(PoolError::Unmade),
            Self::Subnets(pool) => Ok(wrapped(Change::Subnets, subnets::allocate(pool, request, now)?)),
            Self::Addresses(pool) => Ok(wrapped(Change::Addresses, addresses::allocate(pool, request, now)?)),
            Self::DualStack(pool) => Ok(wrapped(Change::DualStack, dual_stack::allocate(pool, request, now)?)),
            Self::Blocks(pool) => Ok(wrapped(Change::Blocks, blocks::allocate(pool, request, now)?)),
        }
    }

    /// Gives just this; a block where there is no owner.
    pub(crate) fn claim(
        &mut self,
        prefix: IpNet,
        owner: Option<&str>,
        node: Option<&str>,
        now: Duration,
    ) -> Result<Vec<Change>, PoolError> {
        if let (Some(_), Some(kind)) = (node, self.kind().filter(|&kind| kind != Kind::Blocks)) {
            return Err(PoolError::option("--node", kind));
        }
        let change = match (self, owner) {
            (Self::Unmade, _) => return Err(PoolError::Unmade),
            (Self::Blocks(pool), None) => Change::Blocks(blocks::claim_block(pool, prefix, node, now)?),
            (_, None) => return Err(PoolError::NoOwner),
            (Self::Subnets(pool), Some(owner)) => Change::Subnets(subnets::claim(pool, prefix, owner, now)?),
            (Self::Addresses(pool), Some(owner)) => Change::Addresses(addresses::claim(pool, prefix, owner, now)?),
            (Self::DualStack(pool), Some(owner)) => {
                let claim = |pool: &mut _| addresses::claim(pool, prefix, owner, now);
                Change::DualStack(dual_stack::with(pool, prefix.addr(), claim)?)
            }
            (Self::Blocks(pool), Some(owner)) => Change::Blocks(blocks::claim(pool, prefix, owner, node, now)?),
        };
        Ok(vec![change])
    }

    /// Takes back just this, if it is the owner's that is named.
    pub(crate) fn release(
        &mut self,
        prefix: IpNet,
        owner: Option<&str>,
        now: Duration,
    ) -> Result<Vec<Change>, PoolError> {
        let change = match self {
            Self::Unmade => return Err(PoolError::Unmade),
            Self::Subnets(pool) => Change::Subnets(subnets::release(pool, prefix, owner, now)?),
            Self::Addresses(pool) => Change::Addresses(addresses::release(pool, prefix, owner, now)?),
            Self::DualStack(pool) => {
                let release = |pool: &mut _| addresses::release(pool, prefix, owner, now);
                Change::DualStack(dual_stack::with(pool, prefix.addr(), release)?)
            }
            Self::Blocks(pool) => Change::Blocks(blocks::release(pool, prefix, owner, now)?),
        };
        Ok(vec![change])
    }

    /// Takes back all that an owner has.
    pub(crate) fn release_all(&mut self, owner: &str, now: Duration) -> Result<Vec<Change>, PoolError> {
        let changes = match self {
            Self::Unmade => return Err(PoolError::Unmade),
            Self::Subnets(pool) => wrapped(Change::Subnets, subnets::release_all(pool, owner, now)),
            Self::Addresses(pool) => wrapped(Change::Addresses, addresses::release_all(pool, owner, now)),
            Self::DualStack(pool) => wrapped(Change::DualStack, dual_stack::release_all(pool, owner, now)),
            Self::Blocks(pool) => wrapped(Change::Blocks, blocks::release_all(pool, owner, now)),
        };
        if changes.is_empty() { Err(PoolError::Nothing { owner: owner.to_owned() }) } else { Ok(changes) }
    }

    /// Takes back all that a node has.
    pub(crate) fn release_node(&mut self, node: &str, now: Duration) -> Result<Vec<Change>, PoolError> {
        match self {
            Self::Unmade => Err(PoolError::Unmade),
            Self::Subnets(_) => Err(PoolError::option("--node", Kind::Subnets)),
            Self::Addresses(_) | Self::DualStack(_) => Err(PoolError::option("--node", Kind::Addresses)),
            Self::Blocks(pool) => Ok(wrapped(Change::Blocks, blocks::release_node(pool, node, now)?)),
        }
    }

    /// All that was given, in the order of the addresses.
    pub(crate) fn grants(&self) -> Box<dyn Iterator<Item = Row> + '_> {
        match self {
            Self::Unmade => Box::new(std::iter::empty()),
            Self::Subnets(pool) => Box::new(pool.grants().map(|grant| Row::prefix(&grant))),
            Self::Addresses(pool) => Box::new(pool.grants().map(|grant| Row::address(&grant))),
            Self::DualStack(pool) => Box::new(pool.grants().map(|grant| Row::address(&grant))),
            Self::Blocks(pool) => Box::new(blocks::grants(pool)),
        }
    }

    /// How full the pool is, and each of its parts.
    pub(crate) fn parts(&self) -> Vec<Part> {
        match self {
            Self::Unmade => Vec::new(),
            Self::Subnets(pool) => subnets::parts(pool),
            Self::Addresses(pool) => vec![Part::of_addresses(pool)],
            Self::DualStack(pool) => vec![Part::of_addresses(pool.ipv4()), Part::of_addresses(pool.ipv6())],
            Self::Blocks(pool) => blocks::parts(pool),
        }
    }

    /// What is given out of.
    fn prefixes(&self) -> Vec<IpNet> {
        match self {
            Self::Unmade => Vec::new(),
            Self::Subnets(pool) => pool.options().prefixes.clone(),
            Self::Addresses(pool) => vec![pool.options().subnet],
            Self::DualStack(pool) => vec![pool.ipv4().options().subnet, pool.ipv6().options().subnet],
            Self::Blocks(pool) => pool.options().prefixes.clone(),
        }
    }

    /// Whether this is of the pool.
    pub(crate) fn has(&self, prefix: IpNet) -> bool {
        self.prefixes().iter().any(|of| of.contains(&prefix))
    }

    /// Whether it gives single addresses.
    pub(crate) fn gives_addresses(&self) -> bool {
        matches!(self.kind(), Some(Kind::Addresses | Kind::Blocks))
    }

    /// How a prefix is called: an address where the pool gives addresses.
    pub(crate) fn name(&self, prefix: IpNet) -> String {
        let is_address = self.gives_addresses() && prefix.prefix_len() == prefix.max_prefix_len();
        if is_address { prefix.addr().to_string() } else { prefix.to_string() }
    }

    /// What an edit would orphan.
    pub(crate) fn orphans(&self, edit: Edit) -> Result<Vec<Row>, PoolError> {
        match self {
            Self::Unmade => Err(PoolError::Unmade),
            Self::Subnets(pool) => subnets::orphans(pool, edit),
            Self::Addresses(pool) => Ok(pool.plan(addresses::edit(edit)?)?.map(|grant| Row::address(&grant)).collect()),
            Self::DualStack(pool) => dual_stack::orphans(pool, edit),
            Self::Blocks(_) => Ok(Vec::new()),
        }
    }

    /// Changes the pool, if that orphans nothing.
    pub(crate) fn edit(&mut self, edit: Edit) -> Result<Change, PoolError> {
        match self {
            Self::Unmade => Err(PoolError::Unmade),
            Self::Subnets(pool) => Ok(Change::Subnets(subnets::edit(pool, edit)?)),
            Self::Addresses(pool) => {
                let edit = addresses::edit(edit)?;
                pool.edit(edit)?;
                Ok(Change::Addresses(AddressPoolChange::Edited { edit, at: pool.now() }))
            }
            Self::DualStack(pool) => Ok(Change::DualStack(dual_stack::edit(pool, edit)?)),
            Self::Blocks(pool) => Ok(Change::Blocks(blocks::edit(pool, edit)?)),
        }
    }
}

fn wrapped<C>(wrap: fn(C) -> Change, changes: Vec<C>) -> Vec<Change> {
    changes.into_iter().map(wrap).collect()
}

/// What is wrong with the grants of a pool, by themselves: they overlap, are outside, or are not what is counted.
fn grant_findings<'a>(
    grants: impl Iterator<Item = Grant<'a, String>>,
    prefixes: &[IpNet],
    usage: &Usage,
) -> Vec<String> {
    let (mut findings, mut allocated, mut before) = (Vec::new(), 0_u128, None::<IpNet>);
    for Grant { prefix, owner, .. } in grants {
        if !prefixes.iter().any(|of| of.contains(&prefix)) {
            findings.push(format!("{prefix}, which is {owner}'s, is outside of the pool"));
        }
        if let Some(before) = before.filter(|before| before.contains(&prefix.addr())) {
            findings.push(format!("{prefix}, which is {owner}'s, overlaps with {before}"));
        }
        before = Some(prefix);
        allocated = allocated.wrapping_add(size(prefix));
    }
    if u128::try_from(usage.allocated).unwrap_or(0) != allocated {
        findings.push(format!("{} addresses count as allocated, the grants have {allocated}", usage.allocated));
    }
    findings
}

/// Whether the parts make up these ranges, of which none overlaps with another, but for the holes in them, which may.
fn total_finding(ranges: &[AddressRange], mut holes: Vec<AddressRange>, total: Amount) -> Option<String> {
    holes.sort_unstable_by_key(AddressRange::start);
    let mut all = 0_u128;
    for range in ranges {
        let (mut from, end) = (Some(number(range.start())), number(range.end()));
        for hole in holes.iter().map(|hole| (number(hole.start()), number(hole.end()))) {
            let Some(start) = from.filter(|&start| start <= hole.1 && hole.0 <= end) else { continue };
            all = all.wrapping_add(hole.0.saturating_sub(start));
            from = hole.1.checked_add(1).filter(|&next| next <= end);
        }
        if let Some(start) = from {
            // 2^128 wraps to 0, as below.
            all = all.wrapping_add(end - start).wrapping_add(1);
        }
    }
    (u128::try_from(total).unwrap_or(0) != all)
        .then(|| format!("the pool has {all} addresses, {total} are accounted for"))
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// How many addresses; 0 for the 2^128 of `::/0`, which a sum wraps to as well.
fn size(prefix: IpNet) -> u128 {
    1_u128.checked_shl(u32::from(prefix.max_prefix_len() - prefix.prefix_len())).unwrap_or(0)
}

fn address_findings(pool: &AddressPool<String>) -> Vec<String> {
    let AddressPoolOptions { subnet, gateway, ref ranges, ref excluded, .. } = *pool.options();
    let mut findings = grant_findings(pool.grants(), &[subnet], &pool.usage());
    let mut holes = excluded.clone();
    holes.extend(gateway.map(AddressRange::from));
    // RFC 3021 and RFC 6164: of two addresses both are for hosts.
    if subnet.prefix_len() + 1 < subnet.max_prefix_len() {
        holes.push(subnet.network().into());
        holes.extend(subnet.addr().is_ipv4().then(|| AddressRange::from(subnet.broadcast())));
    }
    let whole = [AddressRange::from(subnet)];
    findings.extend(total_finding(if ranges.is_empty() { &whole } else { ranges }, holes, pool.usage().total));
    findings
}

impl Journaled for Pool {
    type Change = Change;
    type Error = ApplyError;

    /// Not one of the library's: a file of this program says itself of which kind its pool is.
    const FORM: u32 = 0x7476_0001;

    fn empty() -> Self {
        Self::Unmade
    }

    fn apply(&mut self, change: &Change) -> Result<(), ApplyError> {
        match (&mut *self, change) {
            (Self::Unmade, change) => {
                *self = match change.clone() {
                    Change::Subnets(change) => Self::Subnets(Box::new(SubnetPool::restore([change])?)),
                    Change::Addresses(change) => Self::Addresses(Box::new(AddressPool::restore([change])?)),
                    Change::DualStack(change) => Self::DualStack(Box::new(DualStack::restore([change])?)),
                    Change::Blocks(change) => Self::Blocks(Box::new(Blocks::restore([change])?)),
                };
            }
            (Self::Subnets(pool), Change::Subnets(change)) => pool.apply(change)?,
            (Self::Addresses(pool), Change::Addresses(change)) => pool.apply(change)?,
            (Self::DualStack(pool), Change::DualStack(change)) => pool.apply(change)?,
            (Self::Blocks(pool), Change::Blocks(change)) => pool.apply(change)?,
            // It is one of another kind of pool.
            _ => return Err(ApplyError::Created),
        }
        Ok(())
    }

    fn changes(&self) -> impl Iterator<Item = Change> + '_ {
        let changes: Box<dyn Iterator<Item = Change>> = match self {
            Self::Unmade => Box::new(std::iter::empty()),
            Self::Subnets(pool) => Box::new(pool.changes().map(Change::Subnets)),
            Self::Addresses(pool) => Box::new(pool.changes().map(Change::Addresses)),
            Self::DualStack(pool) => Box::new(pool.changes().map(Change::DualStack)),
            Self::Blocks(pool) => Box::new(pool.changes().map(Change::Blocks)),
        };
        changes
    }

    fn event(change: &Change) -> Option<Event> {
        match change {
            Change::Subnets(change) => <Option<SubnetPool<String>>>::event(change),
            Change::Addresses(change) => <Option<AddressPool<String>>>::event(change),
            Change::DualStack(change) => <Option<DualStack<String>>>::event(change),
            Change::Blocks(change) => <Option<Blocks<String>>>::event(change),
        }
    }

    fn findings(&self) -> Vec<String> {
        match self {
            Self::Unmade => vec![PoolError::Unmade.to_string()],
            Self::Subnets(pool) => subnets::findings(pool),
            Self::Addresses(pool) => address_findings(pool),
            Self::DualStack(pool) => [pool.ipv4(), pool.ipv6()].into_iter().flat_map(address_findings).collect(),
            Self::Blocks(pool) => blocks::findings(pool),
        }
    }
}

/// What the pool gives.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Subnets => "subnets",
            Self::Addresses => "addresses",
            Self::Blocks => "blocks",
        })
    }
}

#[cfg(test)]
mod tests;
