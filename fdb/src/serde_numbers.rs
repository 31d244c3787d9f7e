//! Numbers of segments, remotes and groups, as numbers; those out of range are refused. And what is packed into a number, by
//! its parts.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    destination::Destination,
    equal_cost::EqualCostId,
    remote::RemoteId,
    row::{Forward, RowState},
    segment_id::SegmentId,
};

macro_rules! as_number {
    ($($id:ident, $what:literal;)*) => {$(
        impl Serialize for $id {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_u32(self.get())
            }
        }

        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let number = u64::deserialize(deserializer)?;
                u32::try_from(number).ok().and_then(Self::new).ok_or_else(|| {
                    D::Error::custom(format_args!("the largest number of {} is {}, not {number}", $what, Self::MAX.get()))
                })
            }
        }
    )*};
}

as_number! {
    SegmentId, "a segment";
    RemoteId, "a remote";
    EqualCostId, "an equal-cost group";
}

/// A [`Destination`] by its name.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredDestination {
    Remote(RemoteId),
    EqualCost(EqualCostId),
    Blackhole,
}

impl Serialize for Destination {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let remote = self.remote().map(StoredDestination::Remote);
        let group = self.equal_cost().map(StoredDestination::EqualCost);
        remote.or(group).unwrap_or(StoredDestination::Blackhole).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Destination {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match StoredDestination::deserialize(deserializer)? {
            StoredDestination::Remote(remote) => remote.into(),
            StoredDestination::EqualCost(group) => group.into(),
            StoredDestination::Blackhole => Self::BLACKHOLE,
        })
    }
}

/// A [`Forward`] by its parts.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Forward")]
struct StoredForward {
    to: Destination,
    state: RowState,
}

impl Serialize for Forward {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        StoredForward { to: self.to(), state: self.state() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Forward {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        StoredForward::deserialize(deserializer).map(|forward| Self::new(forward.to, forward.state))
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString as _;

    use super::*;

    #[test]
    fn numbers_in_range() {
        assert_eq!(serde_json::to_string(&SegmentId::MAX).unwrap(), "16777215");
        assert_eq!(serde_json::from_str::<RemoteId>("16777214").unwrap(), RemoteId::MAX);
        for text in ["16777216", "-1", "4294967296", "\"1\"", "1.5"] {
            assert!(serde_json::from_str::<SegmentId>(text).is_err(), "{text}");
        }
        let error = serde_json::from_str::<EqualCostId>("65536").unwrap_err().to_string();
        assert!(error.starts_with("the largest number of an equal-cost group is 65535, not 65536"), "{error}");
    }
    #[test]
    fn destinations_by_name() {
        let remote = Destination::from(RemoteId::new(7).unwrap());
        for (to, expected) in [
            (remote, r#"{"to":{"remote":7},"state":"static"}"#),
            (Destination::BLACKHOLE, r#"{"to":"blackhole","state":"static"}"#),
        ] {
            let forward = Forward::new(to, RowState::Static);
            assert_eq!(serde_json::to_string(&forward).unwrap(), expected);
            assert_eq!(serde_json::from_str::<Forward>(expected).unwrap(), forward);
        }
    }
}
