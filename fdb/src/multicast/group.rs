//! A multicast group, and the MAC address that its frames have.

use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use overlay_types::MacAddr;
use thiserror::Error;

/// A multicast group: one of IPv4 or IPv6, as IGMP and MLD name it, or one that is no more than a group MAC address.
///
/// ```
/// use core::net::IpAddr;
/// use fdb::MulticastGroup;
///
/// let group = MulticastGroup::try_from("239.129.2.3".parse::<IpAddr>()?)?;
/// assert_eq!(group.mac().to_string(), "01:00:5e:01:02:03");
/// assert_eq!("ff02::1:ff00:2".parse::<MulticastGroup>()?.mac().to_string(), "33:33:ff:00:00:02");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MulticastGroup(Kind);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    Ip(IpAddr),
    Mac(MacAddr),
}

impl MulticastGroup {
    /// The MAC address that frames for the group have.
    ///
    /// The low 23 bits of an IPv4 group behind `01:00:5e` (RFC 1112 §6.4), the low 32 bits of an IPv6 group behind `33:33`
    /// (RFC 2464 §7): 32 groups of IPv4 share each address, and 2⁸⁰ of IPv6.
    #[must_use]
    pub const fn mac(self) -> MacAddr {
        match self.0 {
            Kind::Ip(IpAddr::V4(group)) => Self::mac_of_ipv4(group),
            Kind::Ip(IpAddr::V6(group)) => Self::mac_of_ipv6(group),
            Kind::Mac(mac) => mac,
        }
    }

    /// The IP address of the group, where it has one.
    #[must_use]
    pub const fn ip(self) -> Option<IpAddr> {
        match self.0 {
            Kind::Ip(group) => Some(group),
            Kind::Mac(_) => None,
        }
    }

    /// `true` for a group that reaches everybody whoever joined: hosts do not report that they listen to it. 224.0.0.0/24
    /// (RFC 4541 §2.1.2), `ff00::/15` and `ff02::1` (RFC 4541 §3), and what shares a MAC address with one of these.
    #[must_use]
    pub const fn is_always_flooded(self) -> bool {
        is_always_flooded(self.mac()) || matches!(self.0, Kind::Ip(IpAddr::V6(group)) if group.segments()[0] & 0xe == 0)
    }

    /// Before all others.
    pub(super) const SMALLEST: Self = Self(Kind::Ip(IpAddr::V4(Ipv4Addr::UNSPECIFIED)));

    const fn mac_of_ipv4(group: Ipv4Addr) -> MacAddr {
        let [_, b, c, d] = group.octets();
        MacAddr::new([0x01, 0x00, 0x5e, b & 0x7f, c, d])
    }

    const fn mac_of_ipv6(group: Ipv6Addr) -> MacAddr {
        let [.., a, b, c, d] = group.octets();
        MacAddr::new([0x33, 0x33, a, b, c, d])
    }
}

/// `true` for the MAC addresses of 224.0.0.0/24 and of `ff02::1`.
pub(super) const fn is_always_flooded(mac: MacAddr) -> bool {
    matches!(mac.octets(), [0x01, 0x00, 0x5e, 0, 0, _] | [0x33, 0x33, 0, 0, 0, 1])
}

impl TryFrom<IpAddr> for MulticastGroup {
    type Error = NotAGroup;

    fn try_from(group: IpAddr) -> Result<Self, NotAGroup> {
        if group.is_multicast() { Ok(Self(Kind::Ip(group))) } else { Err(NotAGroup) }
    }
}

impl TryFrom<MacAddr> for MulticastGroup {
    type Error = NotAGroup;

    fn try_from(mac: MacAddr) -> Result<Self, NotAGroup> {
        if mac.is_multicast() && !mac.is_broadcast() { Ok(Self(Kind::Mac(mac))) } else { Err(NotAGroup) }
    }
}

impl FromStr for MulticastGroup {
    type Err = NotAGroup;

    fn from_str(text: &str) -> Result<Self, NotAGroup> {
        match (text.parse::<IpAddr>(), text.parse::<MacAddr>()) {
            (Ok(group), _) => group.try_into(),
            (_, Ok(mac)) => mac.try_into(),
            _ => Err(NotAGroup),
        }
    }
}

impl fmt::Display for MulticastGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Ip(group) => group.fmt(f),
            Kind::Mac(mac) => mac.fmt(f),
        }
    }
}

impl fmt::Debug for MulticastGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MulticastGroup({self})")
    }
}

/// An address that is no multicast group: a unicast or the broadcast address, or no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a multicast group of IPv4, IPv6 or Ethernet")]
pub struct NotAGroup;

#[cfg(feature = "serde")]
impl serde::Serialize for MulticastGroup {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for MulticastGroup {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = alloc::string::String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
