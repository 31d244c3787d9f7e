//! `tap-vtep ipam init`: what a pool is made of.

use std::net::IpAddr;

use ipam::{
    AddressPoolOptions, AddressRange, BlocksOptions, Choice, DualStackOptions, FlannelNetwork, SubnetPoolOptions,
};
use ipnet::IpNet;
use thiserror::Error;

use super::{
    IpamError,
    cli::{ChoiceName, InitOptions, Kind},
    pool::{Options, Pool, PoolError},
};

/// Among how many of the lowest one is chosen at random: as many as Flannel has.
const AMONG: u32 = 100;

/// What does not go together on the command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub(crate) enum InitError {
    #[error("--flannel takes one prefix, not {0}")]
    SeveralNetworks(usize),
    #[error("a pool of addresses has one subnet, or one of IPv4 and one of IPv6")]
    Subnets,
    #[error("{0} is a second gateway: a subnet has one")]
    SecondGateway(IpAddr),
    #[error("{0} is not of the family of any subnet of the pool")]
    NoSubnet(IpAddr),
    #[error("no random seed: {0}")]
    Seed(getrandom::Error),
}

/// Makes a pool file.
pub(super) fn init(options: &InitOptions) -> Result<(), IpamError> {
    let pool = Pool::new(pool_options(options)?)?;
    options.file.create(&pool, options.patience)
}

fn pool_options(options: &InitOptions) -> Result<Options, IpamError> {
    refuse_foreign(options)?;
    match options.kind {
        Kind::Subnets if options.flannel => flannel(options),
        Kind::Subnets => {
            let mut made = SubnetPoolOptions::new(options.prefixes.iter().copied());
            made.shortest = options.shortest.unwrap_or(0);
            made.longest = options.longest;
            made.window = options.window;
            made.reserved.clone_from(&options.reserve);
            made.choice = choice(options.choice)?;
            Ok(Options::Subnets(made))
        }
        Kind::Addresses => match options.prefixes[..] {
            [subnet] => Ok(Options::Addresses(addresses(options, subnet)?)),
            [first, second] if first.addr().is_ipv4() != second.addr().is_ipv4() => {
                let (ipv4, ipv6) = if first.addr().is_ipv4() { (first, second) } else { (second, first) };
                let both = DualStackOptions::new(addresses(options, ipv4)?, addresses(options, ipv6)?);
                Ok(Options::DualStack(both))
            }
            _ => Err(InitError::Subnets.into()),
        },
        Kind::Blocks => {
            let length = options.block_length.ok_or(PoolError::NoBlockLength)?;
            let mut made = BlocksOptions::new(options.prefixes.iter().copied(), length);
            made.max_blocks = options.cap;
            made.borrow = options.borrow;
            made.reclaim = options.reclaim;
            made.reserved.clone_from(&options.reserve);
            made.choice = choice(options.choice)?;
            Ok(Options::Blocks(made))
        }
    }
}

/// Refuses what belongs to another kind of pool.
fn refuse_foreign(options: &InitOptions) -> Result<(), PoolError> {
    let given = [
        ("--shortest", options.shortest.is_some(), Kind::Subnets),
        ("--longest", options.longest.is_some(), Kind::Subnets),
        ("--window", options.window.is_some(), Kind::Subnets),
        ("--flannel", options.flannel, Kind::Subnets),
        ("--gateway", !options.gateway.is_empty(), Kind::Addresses),
        ("--range", !options.range.is_empty(), Kind::Addresses),
        ("--exclude", !options.exclude.is_empty(), Kind::Addresses),
        ("--cool-down", options.cool_down.is_some(), Kind::Addresses),
        ("--sticky", options.sticky.is_some(), Kind::Addresses),
        ("--block-length", options.block_length.is_some(), Kind::Blocks),
        ("--cap", options.cap.is_some(), Kind::Blocks),
        ("--borrow", options.borrow, Kind::Blocks),
        ("--reclaim", options.reclaim, Kind::Blocks),
    ];
    match given.into_iter().find(|&(_, is_given, kind)| is_given && kind != options.kind) {
        Some((option, ..)) => Err(PoolError::option(option, options.kind)),
        None => Ok(()),
    }
}

fn flannel(options: &InitOptions) -> Result<Options, IpamError> {
    let [network] = options.prefixes[..] else {
        return Err(InitError::SeveralNetworks(options.prefixes.len()).into());
    };
    let mut network = FlannelNetwork::new(network);
    network.subnet_len = options.subnet_len;
    network.subnet_min = options.subnet_min;
    network.subnet_max = options.subnet_max;
    let mut made = network.options(seed()?).map_err(PoolError::from)?;
    made.reserved.clone_from(&options.reserve);
    Ok(Options::Subnets(made))
}

/// What of the options is for this subnet; each is for one of them.
fn addresses(options: &InitOptions, subnet: IpNet) -> Result<AddressPoolOptions, IpamError> {
    let is_ours = |address: IpAddr| address.is_ipv4() == subnet.addr().is_ipv4();
    if let Some(stray) = options
        .gateway
        .iter()
        .copied()
        .find(|&gateway| !options.prefixes.iter().any(|prefix| prefix.addr().is_ipv4() == gateway.is_ipv4()))
    {
        return Err(InitError::NoSubnet(stray).into());
    }
    let of_family = |ranges: &[AddressRange]| {
        ranges.iter().copied().filter(|range| options.prefixes.len() == 1 || is_ours(range.start())).collect()
    };
    let mut gateways = options.gateway.iter().copied().filter(|&gateway| is_ours(gateway));
    let mut made = AddressPoolOptions::new(subnet);
    made.gateway = gateways.next();
    if let Some(second) = gateways.next() {
        return Err(InitError::SecondGateway(second).into());
    }
    made.ranges = of_family(&options.range);
    made.excluded = of_family(&options.exclude);
    made.reserved = of_family(&options.reserve);
    made.choice = choice(options.choice)?;
    made.cool_down = options.cool_down.unwrap_or_default();
    made.sticky = options.sticky.unwrap_or_default();
    Ok(made)
}

fn choice(name: Option<ChoiceName>) -> Result<Choice, InitError> {
    Ok(match name.unwrap_or(ChoiceName::Lowest) {
        ChoiceName::Lowest => Choice::Lowest,
        ChoiceName::Next => Choice::Next,
        ChoiceName::Random => Choice::Random { among: AMONG, seed: seed()? },
        ChoiceName::BestFit => Choice::BestFit,
    })
}

fn seed() -> Result<u64, InitError> {
    getrandom::u64().map_err(InitError::Seed)
}
