//! The words of `tap-vtep ipam`.

use std::{net::IpAddr, path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use ipam::AddressRange;
use ipnet::IpNet;
use thiserror::Error;

use super::edit::Changes;

#[derive(Debug, Subcommand)]
pub(crate) enum IpamCommand {
    /// Make a pool file.
    #[command(after_help = "Examples:\n  \
        tap-vtep ipam init nodes.pool 10.42.0.0/16 --flannel\n  \
        tap-vtep ipam init blue.pool 192.0.2.0/24 --kind addresses --gateway 192.0.2.1 --cool-down 60s\n\n\
        A RANGE is an address, a prefix, or FIRST-LAST.")]
    Init(InitOptions),
    /// Give what is free, and print it.
    #[command(
        after_help = "With --json: [{\"prefix\", \"owner\", \"since\", \"since_utc\"}], as the grants of `list --json`."
    )]
    Allocate(AllocateOptions),
    /// Give just this prefix or address, also if it is reserved.
    Claim {
        #[command(flatten)]
        file: PoolFile,
        /// What to give.
        #[arg(value_name = "PREFIX|ADDRESS")]
        target: Target,
        /// Whose it is to be.
        #[arg(long, value_name = "NAME", value_parser = name, required_unless_present = "node")]
        owner: Option<String>,
        /// Blocks: the node that asks; without an owner for a block.
        #[arg(long, value_name = "NODE", value_parser = name)]
        node: Option<String>,
        #[command(flatten)]
        patience: Patience,
    },
    /// Take back a prefix or address, or all of an owner or a node (they are printed).
    #[command(override_usage = "tap-vtep ipam release [OPTIONS] <FILE> <PREFIX|ADDRESS> [--owner <NAME>]\n       \
        tap-vtep ipam release [OPTIONS] <FILE> --all --owner <NAME>\n       \
        tap-vtep ipam release [OPTIONS] <FILE> --node <NODE>")]
    Release(ReleaseOptions),
    /// Show how full the pool is, and who has what.
    #[command(after_help = LIST_HELP)]
    List {
        #[command(flatten)]
        file: PoolFile,
        /// Only the grants of this owner.
        #[arg(long, value_name = "NAME")]
        owner: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Say who had a prefix or address, from when to when.
    #[command(after_help = "What overlaps with it is shown, the oldest first.\n\n\
        With --json: [{\"prefix\", \"owner\", \"from\", \"from_utc\", \"to\", \"to_utc\"}], times as in `list --json`;\n\
        \"to\" and \"to_utc\" are null while it is the owner's.")]
    History {
        #[command(flatten)]
        file: PoolFile,
        /// What to look for.
        #[arg(value_name = "PREFIX|ADDRESS")]
        target: Target,
        #[command(flatten)]
        format: Format,
    },
    /// Prove that a pool file is right: no overlap, no leak, every grant inside its pool.
    #[command(after_help = "The exit status is 1 where something is wrong.\n\n\
        With --json: {\"sound\", \"bytes\", \"records\", \"changes\", \"grants\", \"torn_bytes\", \"findings\": [text]}.")]
    Check {
        #[command(flatten)]
        file: PoolFile,
        #[command(flatten)]
        format: Format,
    },
    /// Say what changes of the pool would orphan, and make them with --apply.
    #[command(
        override_usage = "tap-vtep ipam plan [OPTIONS] <FILE> <CHANGE>...",
        after_help = "The changes are made in the order that they are given in. The exit status is 1 where a grant would be orphaned.\n\n\
        With --json: {\"changes\": [{\"change\", \"value\", \"orphans\": [grant]}], \"applied\"}, grants as in `list --json`."
    )]
    Plan {
        #[command(flatten)]
        file: PoolFile,
        #[command(flatten)]
        changes: Changes,
        /// Make the changes, if they orphan nothing.
        #[arg(long)]
        apply: bool,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        patience: Patience,
    },
}

const LIST_HELP: &str = "In the bars: # allocated, + reserved, ~ cooling down, . free. Numbers are in addresses.\n\n\
    With --json: {\"kind\", \"options\", \"usage\": [usage], \"grants\": [grant]}.\n\
    A usage is {\"prefix\", \"node\", \"total\", \"allocated\", \"free\", \"reserved\", \"cooling\", \"grants\", \"largest_free\",\n\
    \"fragmentation\"}: numbers, but for 2^128, which is text. \"prefix\" is null for the whole of a pool with several prefixes,\n\
    \"node\" for what is no node's block, \"largest_free\" where nothing is free, and the last two for blocks.\n\
    A grant is {\"prefix\", \"owner\", \"since\", \"since_utc\"}, with \"address\" where it is a single address of a pool of\n\
    addresses or blocks, and \"node\" where that is of blocks. \"since\" is in seconds since the Unix epoch, \"since_utc\"\n\
    text (RFC 3339).";

/// What kind of pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Kind {
    /// Subnets of any length out of the prefixes.
    Subnets,
    /// Single addresses of a subnet; of an IPv4 and an IPv6 subnet, one of each at a time.
    Addresses,
    /// Addresses of blocks that belong to nodes.
    Blocks,
}

/// Which of the free ones is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum ChoiceName {
    /// The lowest.
    Lowest,
    /// The lowest behind the one that was given last.
    Next,
    /// One at random among the lowest 100.
    Random,
    /// The lowest in the smallest free block that has room.
    BestFit,
}

/// What a pool is made of.
#[derive(Args, Debug)]
pub(crate) struct InitOptions {
    #[command(flatten)]
    pub(crate) file: PoolFile,
    /// What is given out of. Addresses: one subnet, or one of IPv4 and one of IPv6.
    #[arg(value_name = "PREFIX", required = true)]
    pub(crate) prefixes: Vec<IpNet>,
    /// What the pool gives.
    #[arg(long, value_enum, default_value_t = Kind::Subnets)]
    pub(crate) kind: Kind,
    /// Set aside: given only to who asks by name. May be repeated.
    #[arg(long, value_name = "RANGE")]
    pub(crate) reserve: Vec<AddressRange>,
    /// Which of the free ones is given [default: lowest].
    #[arg(long, value_enum)]
    pub(crate) choice: Option<ChoiceName>,

    /// The shortest prefix length that is given [default: 0].
    #[arg(long, value_name = "N", help_heading = "Subnets")]
    pub(crate) shortest: Option<u8>,
    /// The longest prefix length that is given [default: that of one address].
    #[arg(long, value_name = "N", help_heading = "Subnets")]
    pub(crate) longest: Option<u8>,
    /// Only subnets within this range are part of the pool.
    #[arg(long, value_name = "RANGE", help_heading = "Subnets")]
    pub(crate) window: Option<AddressRange>,
    /// As Flannel does it: subnets of one length, without the first one, at random among the lowest 100.
    #[arg(long, help_heading = "Subnets", conflicts_with_all = ["shortest", "longest", "window", "choice"])]
    pub(crate) flannel: bool,
    /// Flannel's `SubnetLen` [default: 24, IPv6: 64].
    #[arg(long, value_name = "N", help_heading = "Subnets", requires = "flannel")]
    pub(crate) subnet_len: Option<u8>,
    /// Flannel's `SubnetMin` [default: the second subnet].
    #[arg(long, value_name = "IP", help_heading = "Subnets", requires = "flannel")]
    pub(crate) subnet_min: Option<IpAddr>,
    /// Flannel's `SubnetMax` [default: the last subnet].
    #[arg(long, value_name = "IP", help_heading = "Subnets", requires = "flannel")]
    pub(crate) subnet_max: Option<IpAddr>,

    /// The router's address, which is not given. Dual stack: one of each family.
    #[arg(long, value_name = "IP", help_heading = "Addresses")]
    pub(crate) gateway: Vec<IpAddr>,
    /// Only addresses of these ranges are part of the pool. May be repeated.
    #[arg(long, value_name = "RANGE", help_heading = "Addresses")]
    pub(crate) range: Vec<AddressRange>,
    /// Not part of the pool. May be repeated.
    #[arg(long, value_name = "RANGE", help_heading = "Addresses")]
    pub(crate) exclude: Vec<AddressRange>,
    /// How long a released address is given to nobody but its last owner, such as 60s [default: 0s].
    #[arg(long, value_name = "TIME", help_heading = "Addresses", value_parser = humantime::parse_duration)]
    pub(crate) cool_down: Option<Duration>,
    /// Of how many released addresses the last owner is remembered, who gets them again [default: 0].
    #[arg(long, value_name = "N", help_heading = "Addresses")]
    pub(crate) sticky: Option<u32>,

    /// The prefix length of the blocks.
    #[arg(long, value_name = "N", help_heading = "Blocks")]
    pub(crate) block_length: Option<u8>,
    /// How many blocks a node gets at most [default: any number].
    #[arg(long, value_name = "N", help_heading = "Blocks")]
    pub(crate) cap: Option<u32>,
    /// Have a node that gets no more blocks take addresses of other nodes' blocks.
    #[arg(long, help_heading = "Blocks")]
    pub(crate) borrow: bool,
    /// Take a block back as soon as its last address is released.
    #[arg(long, help_heading = "Blocks")]
    pub(crate) reclaim: bool,

    #[command(flatten)]
    pub(crate) patience: Patience,
}

/// What is to be given.
#[derive(Args, Debug)]
pub(crate) struct AllocateOptions {
    #[command(flatten)]
    pub(crate) file: PoolFile,
    #[command(flatten)]
    pub(crate) owner: OwnerName,
    /// Subnets: the prefix length [default: the only one that the pool gives].
    #[arg(long, value_name = "N")]
    pub(crate) length: Option<u8>,
    #[command(flatten)]
    pub(crate) node: NodeName,
    /// How many: all of them or none.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) count: u32,
    #[command(flatten)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

/// What is to be taken back.
#[derive(Args, Debug)]
pub(crate) struct ReleaseOptions {
    #[command(flatten)]
    pub(crate) file: PoolFile,
    /// What to take back.
    #[arg(value_name = "PREFIX|ADDRESS", required_unless_present_any = ["all", "node"])]
    pub(crate) target: Option<Target>,
    /// Only if it is this owner's.
    #[arg(long, value_name = "NAME")]
    pub(crate) owner: Option<String>,
    /// All that the owner has.
    #[arg(long, requires = "owner", conflicts_with = "target")]
    pub(crate) all: bool,
    /// Blocks: all of this node, which is gone.
    #[arg(long, value_name = "NODE", conflicts_with_all = ["target", "owner", "all"])]
    pub(crate) node: Option<String>,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

#[derive(Args, Debug)]
pub(crate) struct PoolFile {
    /// The pool file.
    #[arg(value_name = "FILE")]
    pub(crate) path: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct OwnerName {
    /// Whose it is to be.
    #[arg(id = "owner", long = "owner", value_name = "NAME", value_parser = name)]
    pub(crate) name: String,
}

#[derive(Args, Debug)]
pub(crate) struct NodeName {
    /// Blocks: the node that asks.
    #[arg(id = "node", long = "node", value_name = "NODE", value_parser = name)]
    pub(crate) name: Option<String>,
}

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Format {
    /// One JSON document in place of text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How long to wait for another process that has the file.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// How many seconds to wait while another process has the file.
    #[arg(long = "wait", value_name = "SECONDS", default_value_t = 5)]
    pub(crate) seconds: u32,
}

/// A name that keeps to its line.
fn name(text: &str) -> Result<String, NameError> {
    match text {
        "" => Err(NameError::Empty),
        text if text.chars().any(char::is_control) => Err(NameError::Control),
        text => Ok(text.to_owned()),
    }
}

/// Why this is no name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
enum NameError {
    #[error("a name is not empty")]
    Empty,
    #[error("a name has no control characters")]
    Control,
}

/// A prefix, or an address: a prefix of full length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Target(pub(crate) IpNet);

/// It is neither.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("neither an address nor a prefix")]
pub(crate) struct TargetError;

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let prefix = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        prefix.map(Self).map_err(|_| TargetError)
    }
}
