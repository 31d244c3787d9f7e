//! What a row says, and how it is packed.

use core::{fmt, time::Duration};

use overlay_types::MacAddr;

use crate::{destination::Destination, remote::RemoteId, value::Value};

/// Who says where a MAC address is. The greater one prevails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum RowState {
    /// A frame received from there. Moves and ages.
    Learned,
    /// The registry of the cluster.
    Registry,
    /// The configuration.
    Static,
}

impl RowState {
    /// The bits that a state takes.
    pub(crate) const BITS: u32 = 2;

    pub(crate) const fn to_bits(self) -> u32 {
        match self {
            Self::Learned => 0,
            Self::Registry => 1,
            Self::Static => 2,
        }
    }

    #[inline]
    pub(crate) const fn from_bits(bits: u32) -> Self {
        match bits {
            0 => Self::Learned,
            1 => Self::Registry,
            _ => Self::Static,
        }
    }
}

/// Who puts a row into the table by [`ForwardingTable::insert`](crate::ForwardingTable::insert).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
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

/// What the table says of a MAC address: where its frames go, and who says so.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Forward(u32); // `state(2) destination(26)`: one word, so that lookups answer in registers

impl Forward {
    /// The bits in use.
    pub(crate) const BITS: u32 = Destination::BITS + RowState::BITS;

    /// That frames go there because of this.
    #[must_use]
    pub const fn new(to: Destination, state: RowState) -> Self {
        Self(state.to_bits() << Destination::BITS | to.to_bits())
    }

    /// Where frames go.
    #[must_use]
    #[inline]
    pub const fn to(self) -> Destination {
        Destination::from_bits(self.0)
    }

    /// The remote that they go to; `None` for a destination that is no single remote.
    #[must_use]
    #[inline]
    pub const fn remote(self) -> Option<RemoteId> {
        self.to().remote()
    }

    /// Who says so.
    #[must_use]
    #[inline]
    pub const fn state(self) -> RowState {
        RowState::from_bits(self.0 >> Destination::BITS)
    }

    pub(crate) const fn to_bits(self) -> u32 {
        self.0
    }

    #[inline]
    pub(crate) const fn from_bits(bits: u32) -> Self {
        Self(bits & ((1 << Self::BITS) - 1))
    }
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forward").field("to", &self.to()).field("state", &self.state()).finish()
    }
}

/// The tick of a time: rows know the second of the last frame received.
pub(crate) fn tick(now: Duration) -> u32 {
    (now.as_secs() % u64::from(Value::TICKS)) as u32
}

/// The key of a MAC address: its 48 bits, with 16 zeros below.
#[inline]
pub(crate) fn key_of(mac: MacAddr) -> u64 {
    let mut bytes = [0; 8];
    bytes[..6].copy_from_slice(&mac.octets());
    u64::from_be_bytes(bytes)
}

/// The MAC address of a key.
pub(crate) fn mac_of(key: u64) -> MacAddr {
    let [octets @ .., _, _] = key.to_be_bytes();
    MacAddr::new(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forward_holds_its_fields() {
        for to in [Destination::BLACKHOLE, RemoteId::MAX.into(), RemoteId::new(0).unwrap().into()] {
            for state in [RowState::Learned, RowState::Registry, RowState::Static] {
                let forward = Forward::new(to, state);
                assert_eq!((forward.to(), forward.state(), forward.remote()), (to, state, to.remote()));
                assert_eq!(Forward::from_bits(forward.to_bits() | 1 << Forward::BITS), forward);
            }
        }
    }

    #[test]
    fn keys_are_there_and_back() {
        for mac in [[0; 6], [0xff; 6], [2, 0, 0, 0, 0, 1], [0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc]] {
            assert_eq!(mac_of(key_of(MacAddr::new(mac))), MacAddr::new(mac));
        }
        assert_eq!(key_of(MacAddr::new([0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc])), 0x1234_5678_9abc_0000);
    }
}
