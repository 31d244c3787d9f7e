//! Fields that stand in network order in a header, as people read them: numbers and addresses (feature `serde`).

use core::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zerocopy::big_endian::{U16, U32};

/// A field and what it says.
pub(crate) trait Field: Copy {
    type Value: Serialize + for<'de> Deserialize<'de>;

    fn value(self) -> Self::Value;
    fn from_value(value: Self::Value) -> Self;
}

macro_rules! impl_field {
    ($field:ty, $value:ty, $to:expr, $from:expr) => {
        impl Field for $field {
            type Value = $value;

            fn value(self) -> $value {
                $to(self)
            }

            fn from_value(value: $value) -> Self {
                $from(value)
            }
        }
    };
}

impl_field!(U16, u16, U16::get, U16::new);
impl_field!(U32, u32, U32::get, U32::new);
impl_field!([u8; 4], Ipv4Addr, Ipv4Addr::from, |address: Ipv4Addr| address.octets());
impl_field!([u8; 16], Ipv6Addr, Ipv6Addr::from, |address: Ipv6Addr| address.octets());

pub(crate) fn serialize<F: Field, S: Serializer>(field: &F, serializer: S) -> Result<S::Ok, S::Error> {
    field.value().serialize(serializer)
}

pub(crate) fn deserialize<'de, F: Field, D: Deserializer<'de>>(deserializer: D) -> Result<F, D::Error> {
    F::Value::deserialize(deserializer).map(F::from_value)
}
