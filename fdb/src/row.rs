//! What a row says, and how it is packed.

use core::time::Duration;

use overlay_types::MacAddr;

use crate::{groups::Kind, remote::RemoteId, rows::Value};

/// Who says that a MAC address is at a remote. The greater one prevails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowState {
    /// A frame received from there. Moves and ages.
    Learned,
    /// The registry of the cluster.
    Registry,
    /// The configuration.
    Static,
}

impl RowState {
    const fn to_bits(self) -> u8 {
        match self {
            Self::Learned => 1,
            Self::Registry => 2,
            Self::Static => 3,
        }
    }

    pub(crate) fn of(value: Value) -> Self {
        match value.state() {
            2 => Self::Registry,
            3 => Self::Static,
            _ => Self::Learned,
        }
    }

    pub(crate) const fn kind(self) -> Kind {
        match self {
            Self::Learned => Kind::Learned,
            Self::Registry | Self::Static => Kind::Owned,
        }
    }

    /// A value of this state.
    pub(crate) fn value(self, now: Duration, group: u32) -> Value {
        Value::new(self.to_bits(), tick(now), group)
    }
}

/// Who puts a row into the table by [`ForwardingTable::insert`](crate::ForwardingTable::insert).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The registry of the cluster.
    Registry,
    /// The configuration.
    Static,
}

impl From<Origin> for RowState {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Registry => Self::Registry,
            Origin::Static => Self::Static,
        }
    }
}

/// Where a frame for a MAC address goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Forward {
    /// The remote that has it.
    pub remote: RemoteId,
    /// Who says so.
    pub state: RowState,
}

/// The tick of a time: rows know the second of the last frame received.
pub(crate) fn tick(now: Duration) -> u32 {
    (now.as_secs() % u64::from(Value::TICKS)) as u32
}

/// The key of a MAC address: its 48 bits.
#[inline]
pub(crate) fn key_of(mac: MacAddr) -> u64 {
    let mut bytes = [0; 8];
    bytes[2..].copy_from_slice(&mac.octets());
    u64::from_be_bytes(bytes)
}

/// The MAC address of a key.
pub(crate) fn mac_of(key: u64) -> MacAddr {
    let [_, _, octets @ ..] = key.to_be_bytes();
    MacAddr::new(octets)
}
