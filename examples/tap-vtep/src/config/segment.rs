//! One `[[segment]]` of the configuration: read, and checked by itself and against those before it.

mod place;

use std::{collections::BTreeSet, net::IpAddr, num::NonZeroU16, ops::RangeInclusive};

use geneve_wire::{GeneveBuilder, GeneveHeader};
use ipnet::IpNet;
use overlay_types::{EtherType, MacAddr, Vni};
use serde::Deserialize;
use toml::Spanned;
use vtep::{
    Dscp, EcnMode, Encapsulation, Fragments, Mss, OptionClass, OptionType, ReservedBits, SegmentConfig, Sources, Storm,
    Ttl, TunnelOption,
};

use super::{
    Family, MAX_MTU, MIN_MTU, Problem, SegmentOptions, Taken, check_interface_name,
    defence::{self, AllowedTable},
    unplaced,
    values::{Age, EcnWord, NumberOrInherit, VlanValue},
};
use crate::cli::RunOptions;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SegmentTable {
    name: Spanned<String>,
    encapsulation: Option<Spanned<String>>,
    vni: Spanned<Vni>,
    port: Option<Spanned<NonZeroU16>>,
    tap: Option<Spanned<String>>,
    local: Option<Spanned<IpAddr>>,
    mtu: Option<Spanned<u16>>,
    mac: Option<Spanned<MacAddr>>,
    #[serde(default)]
    addresses: Vec<IpNet>,
    #[serde(default)]
    flood: Vec<Spanned<IpAddr>>,
    group: Option<Spanned<IpAddr>>,
    group_policy: Option<Spanned<u16>>,
    #[serde(default)]
    option: Vec<OptionTable>,
    learning: Option<bool>,
    ageing: Option<Age>,
    max_entries: Option<u32>,
    sources: Option<Sources>,
    suppress: Option<bool>,
    reserved_bits: Option<ReservedBits>,
    vlan: Option<Spanned<VlanValue>>,
    storm: Option<Spanned<Storm>>,
    anti_spoofing: Option<Spanned<bool>>,
    allowed: Option<Vec<AllowedTable>>,
    ecn: Option<EcnWord>,
    ttl: Option<NumberOrInherit<1, 255>>,
    dscp: Option<NumberOrInherit<0, 63>>,
    df: Option<bool>,
    clamp_mss: Option<bool>,
    udp_checksum: Option<Spanned<bool>>,
    source_ports: Option<Spanned<[u16; 2]>>,
    #[serde(default)]
    fdb: Vec<ForwardTable>,
    #[serde(default)]
    neighbor: Vec<NeighborTable>,
}

/// A Geneve option.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OptionTable {
    class: Spanned<u16>,
    #[serde(rename = "type")]
    option_type: u8,
    /// In hexadecimal.
    data: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ForwardTable {
    mac: Spanned<MacAddr>,
    remote: Spanned<IpAddr>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NeighborTable {
    ip: Spanned<IpAddr>,
    mac: Spanned<MacAddr>,
}

impl SegmentTable {
    /// The segment that command-line options stand for, named like its TAP.
    pub(super) fn from_options(options: &RunOptions, tap: String, vni: Vni) -> Self {
        Self {
            name: unplaced(tap),
            encapsulation: options.encapsulation.clone().map(unplaced),
            vni: unplaced(vni),
            port: options.port.map(unplaced),
            tap: None,
            local: None,
            mtu: options.mtu.map(unplaced),
            mac: None,
            addresses: options.address.clone(),
            flood: options.remote.iter().copied().map(unplaced).collect(),
            group: None,
            group_policy: None,
            option: Vec::new(),
            learning: None,
            ageing: None,
            max_entries: None,
            sources: None,
            suppress: None,
            reserved_bits: None,
            vlan: None,
            storm: None,
            anti_spoofing: None,
            allowed: None,
            ecn: None,
            ttl: None,
            dscp: None,
            df: None,
            clamp_mss: None,
            udp_checksum: None,
            source_ports: None,
            fdb: Vec::new(),
            neighbor: Vec::new(),
        }
    }

    /// `locals` are the underlay's addresses; none: it has one that is not known yet, of this family.
    pub(super) fn check(
        self,
        path: &str,
        locals: &[IpAddr],
        family: &mut Family,
        taken: &mut Taken,
    ) -> Result<SegmentOptions, Problem> {
        let key = |name: &str| format!("{path}.{name}");
        let encapsulation = self.encapsulation(&key("encapsulation"))?;
        self.check_header(path, encapsulation)?;
        let port = self.port.as_ref().map_or(encapsulation.default_port(), |port| port.get_ref().get());
        let (name, tap) = self.names(path, taken)?;
        let mtu = match &self.mtu {
            Some(mtu) if !(MIN_MTU..=MAX_MTU).contains(mtu.get_ref()) => {
                return Err(Problem::at(mtu, key("mtu"), format!("must be from {MIN_MTU} to {MAX_MTU}")));
            }
            mtu => mtu.as_ref().map(|mtu| *mtu.get_ref()),
        };
        let mac = self.mac.as_ref().map(|mac| unicast(mac, &key("mac"))).transpose()?;
        let own_local = self.own_local(&key("local"), locals)?;
        let mut own_family = own_local.map_or(*family, |local| Family { is_ipv6: Some(local.is_ipv6()) });
        let flood = self.flood(path, &mut own_family)?;
        let forwards = self.forwards(&key("fdb"), &mut own_family)?;
        let fits = |local: &&IpAddr| own_family.is_ipv6.is_none_or(|is_ipv6| is_ipv6 == local.is_ipv6());
        let local = own_local.or_else(|| locals.iter().find(fits).copied());
        if locals.is_empty() {
            // One address has one family for all.
            *family = own_family;
        }
        self.take_place(path, encapsulation, (local, port), taken)?;
        let udp_checksum = self.udp_checksum.as_ref().is_none_or(|value| *value.get_ref());
        let has_group = flood.iter().any(IpAddr::is_multicast);
        // Who is behind a group only its datagrams tell: with a group, sources are not known beforehand.
        let sources = self.sources.unwrap_or(if has_group { Sources::Any } else { Sources::Configured });
        if encapsulation.is_udp() && own_family.is_ipv6 == Some(true) {
            self.check_zero_checksum(path, (local, port), udp_checksum, sources, taken)?;
        }
        let neighbors = self.neighbors(&key("neighbor"))?;

        let mut rules = SegmentConfig::with_encapsulation(encapsulation, *self.vni.get_ref());
        rules.port = port;
        rules.group_policy = self.group_policy.as_ref().map(|id| *id.get_ref());
        rules.options = self.options(&key("option"))?;
        rules.mac = mac;
        rules.learning = self.learning.unwrap_or(rules.learning);
        rules.ageing = self.ageing.map_or(rules.ageing, |age| (!age.0.is_zero()).then_some(age.0));
        rules.max_entries = self.max_entries.unwrap_or(rules.max_entries);
        rules.sources = sources;
        rules.reserved_bits = self.reserved_bits.unwrap_or(rules.reserved_bits);
        let vlan_id = self.vlan_id();
        if let Some(VlanValue::Word(vlan)) = self.vlan.as_ref().map(|vlan| *vlan.get_ref()) {
            rules.vlan = vlan;
        }
        rules.suppress = self.suppress.unwrap_or(rules.suppress);
        rules.storm = self.storm.as_ref().map(|storm| defence::storm(storm, path)).transpose()?;
        rules.allowed_sources =
            defence::allowed_sources(self.anti_spoofing.as_ref(), self.allowed.as_deref(), &self.addresses, path)?;
        rules.ecn = self.ecn.map_or(rules.ecn, EcnMode::from);
        rules.ttl = match self.ttl {
            None => rules.ttl,
            Some(NumberOrInherit::Number(ttl)) => Ttl::Fixed(ttl),
            Some(NumberOrInherit::Inherit) => Ttl::Inherit,
        };
        rules.dscp = match self.dscp {
            None => rules.dscp,
            Some(NumberOrInherit::Number(dscp)) => Dscp::Fixed(dscp),
            Some(NumberOrInherit::Inherit) => Dscp::Inherit,
        };
        rules.fragments = if self.df == Some(false) { Fragments::Allowed } else { Fragments::Never };
        rules.mss = if self.clamp_mss == Some(true) { Mss::Clamp } else { Mss::Keep };
        rules.addresses = self.addresses.iter().map(IpNet::addr).collect();
        if let Some(range) = &self.source_ports {
            rules.source_ports = source_ports(range, &key("source_ports"))?;
        }
        Ok(SegmentOptions {
            name,
            tap,
            local,
            mtu,
            addresses: self.addresses,
            flood,
            forwards,
            neighbors,
            vlan_id,
            df: rules.fragments == Fragments::Never,
            udp_checksum,
            rules,
        })
    }

    fn encapsulation(&self, key: &str) -> Result<Encapsulation, Problem> {
        let Some(word) = &self.encapsulation else { return Ok(Encapsulation::Vxlan) };
        let name = word.get_ref();
        name.parse().map_err(|error| Problem::at(word, key, format!("unknown encapsulation \"{name}\"; {error}")))
    }

    /// No key says what the tunnel header does not have.
    fn check_header(&self, path: &str, encapsulation: Encapsulation) -> Result<(), Problem> {
        let key = |name: &str| format!("{path}.{name}");
        let not_here = |what: &str| format!("{encapsulation} has no {what}");
        if !encapsulation.is_udp() {
            if let Some(port) = &self.port {
                return Err(Problem::at(port, key("port"), not_here("port")));
            }
            if let Some(range) = &self.source_ports {
                return Err(Problem::at(range, key("source_ports"), not_here("port")));
            }
            if let Some(value) = &self.udp_checksum {
                return Err(Problem::at(value, key("udp_checksum"), not_here("UDP header")));
            }
        }
        if encapsulation == Encapsulation::Nvgre {
            // Those below 4096 are reserved, too, and yet what most people begin with.
            if *self.vni.get_ref() == Vni::MAX {
                let reason = "the VSID 16777215 is not for tenants (RFC 7637 §3.2)";
                return Err(Problem::at(&self.vni, key("vni"), reason));
            }
        }
        if let Some(id) = self.group_policy.as_ref().filter(|_| encapsulation != Encapsulation::Vxlan) {
            return Err(Problem::at(id, key("group_policy"), not_here("group policy")));
        }
        if let Some(option) = self.option.first().filter(|_| encapsulation != Encapsulation::Geneve) {
            return Err(Problem::at(&option.class, key("option"), not_here("options")));
        }
        Ok(())
    }

    /// The Geneve options, each of which fits, and all together.
    fn options(&self, path: &str) -> Result<Vec<TunnelOption>, Problem> {
        let mut header = [0; GeneveHeader::MAX_LEN];
        let mut builder = GeneveBuilder::new(&mut header, Vni::MIN, EtherType::TRANSPARENT_ETHERNET_BRIDGING)
            .map_err(|error| Problem::at(&self.vni, path.to_owned(), error.to_string()))?;
        let mut options = Vec::with_capacity(self.option.len());
        for (index, row) in self.option.iter().enumerate() {
            let text = row.data.get_ref();
            let data = hex(text).ok_or_else(|| {
                let reason = format!("\"{text}\" is not a number of bytes in hexadecimal, such as \"00010002\"");
                Problem::at(&row.data, format!("{path}[{index}].data"), reason)
            })?;
            let option = TunnelOption {
                class: OptionClass::new(*row.class.get_ref()),
                option_type: OptionType::new(row.option_type),
                data,
            };
            builder
                .push(option.class, option.option_type, &option.data)
                .map_err(|error| Problem::at(&row.data, format!("{path}[{index}].data"), error.to_string()))?;
            options.push(option);
        }
        Ok(options)
    }

    /// The names of segment and TAP; no two segments may share them.
    fn names(&self, path: &str, taken: &mut Taken) -> Result<(String, String), Problem> {
        let key = |name: &str| format!("{path}.{name}");
        let name = self.name.get_ref().clone();
        if name.is_empty() || name.contains(|character: char| character.is_whitespace() || character.is_control()) {
            return Err(Problem::at(&self.name, key("name"), "must be a word without white space"));
        }
        if !taken.names.insert(name.clone()) {
            return Err(Problem::at(&self.name, key("name"), format!("another segment is named \"{name}\"")));
        }
        let (tap, tap_key) = self.tap.as_ref().map_or((&self.name, "name"), |tap| (tap, "tap"));
        check_interface_name(tap, &key(tap_key))?;
        self.share_tap(tap, &key(tap_key), &name, &key("vlan"), taken)?;
        if let Some(address) = self.addresses.first().filter(|_| self.vlan_id().is_some()) {
            let reason = format!("{address} belongs on a VLAN interface of the trunk, not on the trunk");
            return Err(Problem::at(tap, key("addresses"), reason));
        }
        Ok((name, tap.get_ref().clone()))
    }

    /// The VLAN that it is on a trunk.
    fn vlan_id(&self) -> Option<u16> {
        match self.vlan.as_ref()?.get_ref() {
            VlanValue::Mapped(vlan) => Some(*vlan),
            VlanValue::Word(_) => None,
        }
    }

    /// A TAP is one segment's, or a trunk, and then each of its segments has a VLAN of its own.
    fn share_tap(
        &self,
        tap: &Spanned<String>,
        tap_key: &str,
        name: &str,
        vlan_key: &str,
        taken: &mut Taken,
    ) -> Result<(), Problem> {
        let vlan = self.vlan_id();
        let Some((other, vlans)) = taken.taps.get_mut(tap.get_ref()) else {
            let vlans = vlan.map(|vlan| (vlan, name.to_owned())).into_iter().collect();
            taken.taps.insert(tap.get_ref().clone(), (name.to_owned(), vlans));
            return Ok(());
        };
        let Some(vlan) = vlan.filter(|_| !vlans.is_empty()) else {
            return Err(Problem::at(tap, tap_key, format!("segment \"{other}\" has this TAP")));
        };
        match vlans.insert(vlan, name.to_owned()) {
            None => Ok(()),
            Some(other) => {
                let reason = format!("segment \"{other}\" is VLAN {vlan} of {}", tap.get_ref());
                Err(Problem { span: self.vlan.as_ref().map(Spanned::span), key: vlan_key.to_owned(), reason })
            }
        }
    }

    /// The flood list, and the group behind it.
    fn flood(&self, path: &str, family: &mut Family) -> Result<Vec<IpAddr>, Problem> {
        let mut flood = Vec::with_capacity(self.flood.len() + 1);
        for (index, address) in self.flood.iter().enumerate() {
            let key = format!("{path}.flood[{index}]");
            let remote = family.check(address, &key)?;
            if flood.contains(&remote) {
                return Err(Problem::at(address, key, format!("{remote} is in the list already")));
            }
            flood.push(remote);
        }
        if let Some(group) = &self.group {
            let key = format!("{path}.group");
            let address = family.check(group, &key)?;
            if !address.is_multicast() {
                return Err(Problem::at(group, key, format!("{address} is not a multicast address")));
            }
            if !flood.contains(&address) {
                flood.push(address);
            }
        }
        Ok(flood)
    }

    fn forwards(&self, path: &str, family: &mut Family) -> Result<Vec<(MacAddr, IpAddr)>, Problem> {
        let mut macs = BTreeSet::new();
        let row = |(index, row): (usize, &ForwardTable)| {
            let key = |name: &str| format!("{path}[{index}].{name}");
            let mac = unicast(&row.mac, &key("mac"))?;
            let remote = family.check(&row.remote, &key("remote"))?;
            if remote.is_multicast() {
                return Err(Problem::at(
                    &row.remote,
                    key("remote"),
                    format!("{remote} is not the address of one host"),
                ));
            }
            if !macs.insert(mac) {
                return Err(Problem::at(&row.mac, key("mac"), format!("{mac} has a row already")));
            }
            Ok((mac, remote))
        };
        self.fdb.iter().enumerate().map(row).collect()
    }

    fn neighbors(&self, path: &str) -> Result<Vec<(IpAddr, MacAddr)>, Problem> {
        let mut ips = BTreeSet::new();
        let row = |(index, row): (usize, &NeighborTable)| {
            let key = |name: &str| format!("{path}[{index}].{name}");
            let (ip, mac) = (*row.ip.get_ref(), unicast(&row.mac, &key("mac"))?);
            if ip.is_unspecified() || ip.is_multicast() {
                return Err(Problem::at(&row.ip, key("ip"), format!("{ip} is not the address of one host")));
            }
            if !ips.insert(ip) {
                return Err(Problem::at(&row.ip, key("ip"), format!("{ip} has a row already")));
            }
            Ok((ip, mac))
        };
        self.neighbor.iter().enumerate().map(row).collect()
    }
}

/// The bytes that this text means: two digits each.
fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<_> = text.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| (high << 4 | low) as u8).collect())
}

pub(super) fn unicast(mac: &Spanned<MacAddr>, key: &str) -> Result<MacAddr, Problem> {
    match *mac.get_ref() {
        value if value.is_unicast() => Ok(value),
        value => Err(Problem::at(mac, key, format!("{value} is not a unicast MAC address"))),
    }
}

fn source_ports(range: &Spanned<[u16; 2]>, key: &str) -> Result<RangeInclusive<u16>, Problem> {
    let [first, last] = *range.get_ref();
    if first == 0 || first > last {
        return Err(Problem::at(range, key, "must be two ports, the first not 0 and not above the second"));
    }
    Ok(first..=last)
}
