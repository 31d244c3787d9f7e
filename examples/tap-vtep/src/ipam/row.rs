//! A grant, to be shown.

use std::{net::IpAddr, time::Duration};

use ipam::Grant;
use ipnet::IpNet;
use serde::{Serialize, Serializer, ser::SerializeStruct as _};

use super::time::utc;

/// What somebody has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Row {
    pub(crate) prefix: IpNet,
    /// Whether it is a single address of a pool of addresses.
    pub(crate) is_address: bool,
    pub(crate) owner: String,
    /// The node that has it, where blocks belong to nodes.
    pub(crate) node: Option<String>,
    pub(crate) since: Duration,
}

impl Row {
    /// A grant of a pool of subnets.
    pub(super) fn prefix(grant: &Grant<'_, String>) -> Self {
        Self { prefix: grant.prefix, is_address: false, owner: grant.owner.clone(), node: None, since: grant.since }
    }

    /// A grant of a pool of addresses.
    pub(super) fn address(grant: &Grant<'_, String>) -> Self {
        Self { is_address: true, ..Self::prefix(grant) }
    }

    fn single(&self) -> Option<IpAddr> {
        self.is_address.then(|| self.prefix.addr())
    }

    /// The prefix, or the address.
    pub(crate) fn name(&self) -> String {
        self.single().map_or_else(|| self.prefix.to_string(), |address| address.to_string())
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_struct("Row", 6)?;
        row.serialize_field("prefix", &self.prefix)?;
        match self.single() {
            Some(address) => row.serialize_field("address", &address)?,
            None => row.skip_field("address")?,
        }
        row.serialize_field("owner", &self.owner)?;
        match &self.node {
            Some(node) => row.serialize_field("node", node)?,
            None => row.skip_field("node")?,
        }
        row.serialize_field("since", &self.since.as_secs())?;
        row.serialize_field("since_utc", &utc(self.since))?;
        row.end()
    }
}
