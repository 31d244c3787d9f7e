//! Values of the configuration that have a form of their own.

use std::{fmt, net::IpAddr, str::FromStr, time::Duration};

use serde::{
    Deserialize,
    de::{Deserializer, Error, SeqAccess, Unexpected, Visitor},
};
use vtep::{EcnMode, Vlan};

/// `"auto"` or an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Local {
    Auto,
    Address(IpAddr),
}

impl FromStr for Local {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            text => {
                text.parse().map(Self::Address).map_err(|_| format!("\"{text}\" is neither an IP address nor \"auto\""))
            }
        }
    }
}

/// The addresses that tunnels come from: one word as [`Local`] has it, or a list of addresses. Empty: the default route's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Locals(pub(super) Vec<IpAddr>);

impl From<Local> for Locals {
    fn from(local: Local) -> Self {
        match local {
            Local::Auto => Self(Vec::new()),
            Local::Address(address) => Self(vec![address]),
        }
    }
}

impl<'de> Deserialize<'de> for Locals {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrList;

        impl<'de> Visitor<'de> for WordOrList {
            type Value = Locals;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an IP address, a list of them, or \"auto\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                text.parse().map(Local::into).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut addresses = Vec::new();
                while let Some(text) = list.next_element::<String>()? {
                    let address = text.parse::<IpAddr>();
                    addresses.push(address.map_err(|_| A::Error::custom(format!("\"{text}\" is not an IP address")))?);
                }
                if addresses.is_empty() { Err(A::Error::invalid_length(0, &self)) } else { Ok(Locals(addresses)) }
            }
        }

        deserializer.deserialize_any(WordOrList)
    }
}

/// A duration as people write it: `300s`, `5m`, `1h`.
#[derive(Clone, Copy)]
pub(super) struct Age(pub(super) Duration);

impl<'de> Deserialize<'de> for Age {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = |error| D::Error::custom(format!("\"{text}\" is not a duration such as \"300s\": {error}"));
        humantime::parse_duration(&text).map(Self).map_err(wrong)
    }
}

/// The words of RFC 6040's two modes.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum EcnWord {
    Normal,
    Compatibility,
}

impl From<EcnWord> for EcnMode {
    fn from(word: EcnWord) -> Self {
        match word {
            EcnWord::Normal => Self::Normal,
            EcnWord::Compatibility => Self::Compatibility,
        }
    }
}

/// What becomes of VLAN tags: a word, or a number for a segment on a trunk.
#[derive(Clone, Copy)]
pub(super) enum VlanValue {
    Word(Vlan),
    Mapped(u16),
}

impl<'de> Deserialize<'de> for VlanValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Value;

        impl Visitor<'_> for Value {
            type Value = VlanValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"drop\", \"carry\" or a number from 1 to 4094")
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<VlanValue, E> {
                match u16::try_from(value) {
                    Ok(value @ 1..=4094) => Ok(VlanValue::Mapped(value)),
                    _ => Err(E::invalid_value(Unexpected::Signed(value), &self)),
                }
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<VlanValue, E> {
                match text {
                    "drop" => Ok(VlanValue::Word(Vlan::Drop)),
                    "carry" => Ok(VlanValue::Word(Vlan::Carry)),
                    _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }
        }

        deserializer.deserialize_any(Value)
    }
}

/// A number from `MIN` to `MAX`, or `"inherit"`.
#[derive(Clone, Copy)]
pub(super) enum NumberOrInherit<const MIN: u8, const MAX: u8> {
    Number(u8),
    Inherit,
}

impl<'de, const MIN: u8, const MAX: u8> Deserialize<'de> for NumberOrInherit<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Value<const MIN: u8, const MAX: u8>;

        impl<const MIN: u8, const MAX: u8> Visitor<'_> for Value<MIN, MAX> {
            type Value = NumberOrInherit<MIN, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a number from {MIN} to {MAX} or \"inherit\"")
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
                match u8::try_from(value) {
                    Ok(value) if (MIN..=MAX).contains(&value) => Ok(NumberOrInherit::Number(value)),
                    _ => Err(E::invalid_value(Unexpected::Signed(value), &self)),
                }
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                match text {
                    "inherit" => Ok(NumberOrInherit::Inherit),
                    _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }
        }

        deserializer.deserialize_any(Value::<MIN, MAX>)
    }
}
