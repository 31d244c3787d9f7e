//! A small state for the tests of the journal: prefixes, each of one owner, none overlapping.
#![allow(dead_code)] // each test uses some of it

use std::{
    collections::BTreeMap,
    format,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    string::String,
    time::Duration,
};

use ipam::{Event, EventKind, Journaled};
use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

/// What is granted, by its first address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leases {
    pub(crate) leases: BTreeMap<IpAddr, Lease>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) prefix: IpNet,
    pub(crate) owner: String,
    pub(crate) at: Duration,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Change {
    Grant { prefix: IpNet, owner: String, at: Duration },
    Release { prefix: IpNet, at: Duration },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    Overlaps { prefix: IpNet, with: IpNet },
    NotGranted { prefix: IpNet },
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Overlaps { prefix, with } => write!(f, "{prefix} overlaps with {with}"),
            Self::NotGranted { prefix } => write!(f, "{prefix} is not granted"),
        }
    }
}

impl std::error::Error for Unfit {}

impl Leases {
    pub(crate) fn grant(&mut self, prefix: IpNet, owner: &str, at: Duration) -> Result<Change, Unfit> {
        let prefix = prefix.trunc();
        // The last that begins before its end is the only one that can overlap.
        let before = self.leases.range(..=prefix.broadcast()).next_back();
        if let Some((_, lease)) = before.filter(|(_, lease)| lease.prefix.broadcast() >= prefix.network()) {
            return Err(Unfit::Overlaps { prefix, with: lease.prefix });
        }
        self.leases.insert(prefix.network(), Lease { prefix, owner: owner.into(), at });
        Ok(Change::Grant { prefix, owner: owner.into(), at })
    }

    pub(crate) fn release(&mut self, prefix: IpNet, at: Duration) -> Result<Change, Unfit> {
        match self.leases.get(&prefix.network()) {
            Some(lease) if lease.prefix == prefix => {
                self.leases.remove(&prefix.network());
                Ok(Change::Release { prefix, at })
            }
            _ => Err(Unfit::NotGranted { prefix }),
        }
    }

    /// The lowest address of 10.0.0.0/8 that is free.
    pub(crate) fn allocate(&mut self, owner: &str, at: Duration) -> Result<(IpNet, Change), Unfit> {
        let mut free = u32::from(Ipv4Addr::new(10, 0, 0, 0));
        for address in self.leases.keys() {
            if *address != IpAddr::V4(free.into()) {
                break;
            }
            free += 1;
        }
        let prefix = single(free);
        Ok((prefix, self.grant(prefix, owner, at)?))
    }

    pub(crate) fn owner(&self, prefix: IpNet) -> Option<&str> {
        self.leases.get(&prefix.network()).filter(|lease| lease.prefix == prefix).map(|lease| lease.owner.as_str())
    }
}

impl Journaled for Leases {
    type Change = Change;
    type Error = Unfit;

    const FORM: u32 = 0x7e57;

    fn empty() -> Self {
        Self::default()
    }

    fn apply(&mut self, change: &Change) -> Result<(), Unfit> {
        match change {
            Change::Grant { prefix, owner, at } => self.grant(*prefix, owner, *at).map(drop),
            Change::Release { prefix, at } => self.release(*prefix, *at).map(drop),
        }
    }

    fn changes(&self) -> impl Iterator<Item = Change> + '_ {
        self.leases.values().cloned().map(|Lease { prefix, owner, at }| Change::Grant { prefix, owner, at })
    }

    fn event(change: &Change) -> Option<Event> {
        Some(match change.clone() {
            Change::Grant { prefix, owner, at } => Event { prefix, at, kind: EventKind::Granted { owner } },
            Change::Release { prefix, at } => Event { prefix, at, kind: EventKind::Released },
        })
    }
}

/// The prefix of one IPv4 address.
pub(crate) fn single(address: u32) -> IpNet {
    Ipv4Net::new_assert(address.into(), 32).into()
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A directory of its own, that goes with the value.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    /// Below the target directory: on a disk, not in memory.
    pub(crate) fn new(name: &str) -> Self {
        let directory = option_env!("CARGO_TARGET_TMPDIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let path = directory.join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
