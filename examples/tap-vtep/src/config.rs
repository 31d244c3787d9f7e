//! What `tap-vtep run` is told, by a configuration file or by options: read, checked, and explained where it is wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    net::IpAddr,
    num::NonZeroU16,
    ops::{Range, RangeInclusive},
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use overlay_types::{MacAddr, Vni};
use serde::{
    Deserialize,
    de::{Deserializer, Error as _, IgnoredAny, Visitor},
};
use thiserror::Error;
use toml::Spanned;
use vtep::{Dscp, EcnMode, Encapsulation, ReservedBits, SegmentConfig, Sources, Ttl, Vlan};

use crate::cli::RunOptions;

/// Every IPv4 host must take packets of 576 bytes (RFC 791 §3.1); less is a slip of the pen.
pub(crate) const MIN_MTU: u16 = 576;
/// What one UDP datagram holds behind VXLAN, Ethernet and a VLAN tag, over IPv4 and IPv6.
pub(crate) const MAX_MTU: u16 = 65_535 - 40 - 8 - 8 - 14 - 4;
/// Linux's `IFNAMSIZ` less the final zero.
const MAX_INTERFACE_NAME: usize = 15;

/// The whole configuration, checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    /// Source address of the tunnels; `None`: the default route's.
    pub(crate) local: Option<IpAddr>,
    /// The interface to bind to.
    pub(crate) device: Option<String>,
    pub(crate) segments: Vec<SegmentOptions>,
}

/// One segment, checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SegmentOptions {
    pub(crate) name: String,
    pub(crate) tap: String,
    /// `None`: the underlay's less the overhead.
    pub(crate) mtu: Option<u16>,
    pub(crate) addresses: Vec<IpNet>,
    /// Unicast addresses, or a multicast group.
    pub(crate) flood: Vec<IpAddr>,
    pub(crate) forwards: Vec<(MacAddr, IpAddr)>,
    pub(crate) neighbors: Vec<(IpAddr, MacAddr)>,
    pub(crate) df: bool,
    pub(crate) udp_checksum: bool,
    /// The rest; `mtu` and `underlay_is_ipv6` are set when the underlay is known.
    pub(crate) rules: SegmentConfig,
}

impl Config {
    /// The family that the remotes ask for, where the configuration says so: `Some(true)` is IPv6.
    pub(crate) fn underlay_is_ipv6(&self) -> Option<bool> {
        let remotes = |segment: &SegmentOptions| {
            let mut addresses = segment.flood.iter().chain(segment.forwards.iter().map(|(_, remote)| remote));
            addresses.next().map(IpAddr::is_ipv6)
        };
        self.local.as_ref().map(IpAddr::is_ipv6).or_else(|| self.segments.iter().find_map(remotes))
    }

    /// Reads and checks a file.
    pub(crate) fn read(file: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(file)
            .map_err(|error| ConfigError::Read { file: file.to_owned(), error: error.kind() })?;
        Self::parse(&text).map_err(|problem| {
            let (line, column) = problem.place(&text);
            ConfigError::Wrong { file: file.to_owned(), line, column, problem }
        })
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let syntax = |error: &toml::de::Error, key: String| Problem {
            span: error.span(),
            key,
            reason: error.message().lines().collect::<Vec<_>>().join(": "),
        };
        let deserializer = toml::Deserializer::parse(text).map_err(|error| syntax(&error, String::new()))?;
        let file: File = serde_path_to_error::deserialize(deserializer)
            .map_err(|error| syntax(error.inner(), readable(&error.path().to_string())))?;
        file.check()
    }

    /// The configuration that command-line options stand for: one segment, named like its TAP.
    pub(crate) fn from_options(options: &RunOptions) -> Result<Self, ConfigError> {
        fn value<T>(value: T) -> Spanned<T> {
            Spanned::new(0..0, value)
        }
        let missing = |key: &str| {
            ConfigError::Option(Problem {
                span: None,
                key: format!("--{key}"),
                reason: "is needed where there is no --config".to_owned(),
            })
        };
        let tap = options.tap.clone().ok_or_else(|| missing("tap"))?;
        let file = File {
            underlay: Underlay { local: value(options.local.ok_or_else(|| missing("local"))?), device: None },
            metrics: None,
            registry: None,
            segment: vec![SegmentTable {
                encapsulation: options.encapsulation.clone().map(value),
                port: options.port,
                mtu: options.mtu.map(value),
                addresses: options.address.clone(),
                flood: options.remote.iter().copied().map(value).collect(),
                ..SegmentTable::new(value(tap), value(options.vni.ok_or_else(|| missing("vni"))?))
            }],
        };
        file.check().map_err(|problem| {
            // The options have the names of the keys, but for two.
            let key = problem.key.rsplit('.').next().unwrap_or_default();
            let key = match key.split('[').next().unwrap_or_default() {
                "flood" => "remote",
                "name" => "tap",
                key => key,
            };
            ConfigError::Option(Problem { key: format!("--{key}"), ..problem })
        })
    }
}

/// Why a configuration is refused: one line that says what and where.
#[derive(Debug, Error)]
pub(crate) enum ConfigError {
    #[error("{}: {error}", file.display())]
    Read { file: PathBuf, error: io::ErrorKind },
    #[error("{}:{line}:{column}: {problem}", file.display())]
    Wrong { file: PathBuf, line: usize, column: usize, problem: Problem },
    #[error("{0}")]
    Option(Problem),
}

/// What is wrong with which key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    span: Option<Range<usize>>,
    key: String,
    reason: String,
}

impl Problem {
    fn at<T>(value: &Spanned<T>, key: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self { span: Some(value.span()), key: key.into(), reason: reason.to_string() }
    }

    /// Line and column, from 1.
    fn place(&self, text: &str) -> (usize, usize) {
        let start = self.span.as_ref().map_or(0, |span| span.start).min(text.len());
        let before = &text.as_bytes()[..start];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        (line, column)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() || self.key == "." {
            write!(f, "{}", self.reason)
        } else {
            write!(f, "{}: {}", self.key, self.reason)
        }
    }
}

/// The path of a key without the steps that only the reader of positions takes.
fn readable(path: &str) -> String {
    path.split('.').filter(|step| !step.starts_with("$__")).collect::<Vec<_>>().join(".")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    underlay: Underlay,
    metrics: Option<Spanned<IgnoredAny>>,
    registry: Option<Spanned<IgnoredAny>>,
    #[serde(default)]
    segment: Vec<SegmentTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Underlay {
    local: Spanned<Local>,
    device: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SegmentTable {
    name: Spanned<String>,
    encapsulation: Option<Spanned<String>>,
    vni: Spanned<Vni>,
    port: Option<NonZeroU16>,
    tap: Option<Spanned<String>>,
    mtu: Option<Spanned<u16>>,
    mac: Option<Spanned<MacAddr>>,
    #[serde(default)]
    addresses: Vec<IpNet>,
    #[serde(default)]
    flood: Vec<Spanned<IpAddr>>,
    group: Option<Spanned<IpAddr>>,
    learning: Option<bool>,
    ageing: Option<Age>,
    max_entries: Option<u32>,
    sources: Option<Sources>,
    suppress: Option<Spanned<bool>>,
    reserved_bits: Option<ReservedBits>,
    vlan: Option<Vlan>,
    ecn: Option<EcnWord>,
    ttl: Option<NumberOrInherit<1, 255>>,
    dscp: Option<NumberOrInherit<0, 63>>,
    df: Option<bool>,
    udp_checksum: Option<Spanned<bool>>,
    source_ports: Option<Spanned<[u16; 2]>>,
    #[serde(default)]
    fdb: Vec<ForwardTable>,
    #[serde(default)]
    neighbor: Vec<NeighborTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForwardTable {
    mac: Spanned<MacAddr>,
    remote: Spanned<IpAddr>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NeighborTable {
    ip: Spanned<IpAddr>,
    mac: Spanned<MacAddr>,
}

impl File {
    fn check(self) -> Result<Config, Problem> {
        for (key, section) in [("metrics", &self.metrics), ("registry", &self.registry)] {
            if let Some(section) = section {
                return Err(Problem::at(section, key, "is not supported yet"));
            }
        }
        let local = match *self.underlay.local.get_ref() {
            Local::Auto => None,
            Local::Address(address) if address.is_unspecified() || address.is_multicast() => {
                let reason = format!("{address} is not the address of one host");
                return Err(Problem::at(&self.underlay.local, "underlay.local", reason));
            }
            Local::Address(address) => Some(address),
        };
        if let Some(device) = &self.underlay.device {
            check_interface_name(device, "underlay.device")?;
        }
        if self.segment.is_empty() {
            return Err(Problem { span: None, key: "segment".into(), reason: "there is no [[segment]]".into() });
        }
        let mut family = Family { is_ipv6: local.as_ref().map(IpAddr::is_ipv6) };
        let mut taken = Taken::default();
        let mut segments = Vec::with_capacity(self.segment.len());
        for (index, table) in self.segment.into_iter().enumerate() {
            segments.push(table.check(&format!("segment[{index}]"), &mut family, &mut taken)?);
        }
        Ok(Config { local, device: self.underlay.device.map(Spanned::into_inner), segments })
    }
}

/// The address family of the underlay, once something has said it.
struct Family {
    is_ipv6: Option<bool>,
}

impl Family {
    fn check(&mut self, address: &Spanned<IpAddr>, key: &str) -> Result<IpAddr, Problem> {
        let value = *address.get_ref();
        let is_ipv6 = *self.is_ipv6.get_or_insert(value.is_ipv6());
        if value.is_ipv6() != is_ipv6 {
            let (this, underlay) = if is_ipv6 { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") };
            return Err(Problem::at(
                address,
                key,
                format!("{value} is an {this} address and the underlay is {underlay}"),
            ));
        }
        if value.is_unspecified() {
            return Err(Problem::at(address, key, format!("{value} is not the address of one host")));
        }
        Ok(value)
    }
}

/// What two segments cannot share.
#[derive(Default)]
struct Taken {
    names: BTreeSet<String>,
    taps: BTreeMap<String, String>,
    vnis: BTreeMap<(u16, Vni), String>,
}

impl SegmentTable {
    /// A segment of which nothing but name and identifier is said.
    fn new(name: Spanned<String>, vni: Spanned<Vni>) -> Self {
        Self {
            name,
            encapsulation: None,
            vni,
            port: None,
            tap: None,
            mtu: None,
            mac: None,
            addresses: Vec::new(),
            flood: Vec::new(),
            group: None,
            learning: None,
            ageing: None,
            max_entries: None,
            sources: None,
            suppress: None,
            reserved_bits: None,
            vlan: None,
            ecn: None,
            ttl: None,
            dscp: None,
            df: None,
            udp_checksum: None,
            source_ports: None,
            fdb: Vec::new(),
            neighbor: Vec::new(),
        }
    }

    fn check(self, path: &str, family: &mut Family, taken: &mut Taken) -> Result<SegmentOptions, Problem> {
        let key = |name: &str| format!("{path}.{name}");
        let encapsulation = match &self.encapsulation {
            Some(word) => match word.get_ref().as_str() {
                "vxlan" => Encapsulation::Vxlan,
                other @ ("geneve" | "nvgre") => {
                    return Err(Problem::at(word, key("encapsulation"), format!("{other} is not supported yet")));
                }
                other => {
                    let reason = format!("unknown encapsulation \"{other}\"; there are vxlan, geneve and nvgre");
                    return Err(Problem::at(word, key("encapsulation"), reason));
                }
            },
            None => Encapsulation::Vxlan,
        };
        if let Some(suppress) = self.suppress.as_ref().filter(|suppress| *suppress.get_ref()) {
            return Err(Problem::at(suppress, key("suppress"), "is not supported yet"));
        }

        let name = self.name.get_ref().clone();
        if name.is_empty() || name.contains(|character: char| character.is_whitespace() || character.is_control()) {
            return Err(Problem::at(&self.name, key("name"), "must be a word without white space"));
        }
        if !taken.names.insert(name.clone()) {
            return Err(Problem::at(&self.name, key("name"), format!("another segment is named \"{name}\"")));
        }
        let (tap, tap_key) = self.tap.as_ref().map_or((&self.name, "name"), |tap| (tap, "tap"));
        check_interface_name(tap, &key(tap_key))?;
        if let Some(other) = taken.taps.insert(tap.get_ref().clone(), name.clone()) {
            return Err(Problem::at(tap, key(tap_key), format!("segment \"{other}\" has this TAP")));
        }
        let vni = *self.vni.get_ref();
        let port = self.port.map_or(encapsulation.default_port(), NonZeroU16::get);
        if let Some(other) = taken.vnis.insert((port, vni), name.clone()) {
            return Err(Problem::at(
                &self.vni,
                key("vni"),
                format!("segment \"{other}\" has VNI {vni} on port {port}"),
            ));
        }
        let mtu = match &self.mtu {
            Some(mtu) if !(MIN_MTU..=MAX_MTU).contains(mtu.get_ref()) => {
                return Err(Problem::at(mtu, key("mtu"), format!("must be from {MIN_MTU} to {MAX_MTU}")));
            }
            mtu => mtu.as_ref().map(|mtu| *mtu.get_ref()),
        };
        let unicast = |mac: &Spanned<MacAddr>, key: String| match *mac.get_ref() {
            value if value.is_unicast() => Ok(value),
            value => Err(Problem::at(mac, key, format!("{value} is not a unicast MAC address"))),
        };
        let mac = self.mac.as_ref().map(|mac| unicast(mac, key("mac"))).transpose()?;

        let mut flood = Vec::with_capacity(self.flood.len() + 1);
        for (index, address) in self.flood.iter().enumerate() {
            let key = format!("{}[{index}]", key("flood"));
            let remote = family.check(address, &key)?;
            if flood.contains(&remote) {
                return Err(Problem::at(address, key, format!("{remote} is in the list already")));
            }
            flood.push(remote);
        }
        if let Some(group) = &self.group {
            let address = family.check(group, &key("group"))?;
            if !address.is_multicast() {
                return Err(Problem::at(group, key("group"), format!("{address} is not a multicast address")));
            }
            if !flood.contains(&address) {
                flood.push(address);
            }
        }
        let has_group = flood.iter().any(IpAddr::is_multicast);

        let mut forwards: Vec<(MacAddr, IpAddr)> = Vec::with_capacity(self.fdb.len());
        let mut macs = BTreeSet::new();
        for (index, row) in self.fdb.iter().enumerate() {
            let key = |name: &str| format!("{}[{index}].{name}", key("fdb"));
            let mac = unicast(&row.mac, key("mac"))?;
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
            forwards.push((mac, remote));
        }
        let mut neighbors: Vec<(IpAddr, MacAddr)> = Vec::with_capacity(self.neighbor.len());
        let mut ips = BTreeSet::new();
        for (index, row) in self.neighbor.iter().enumerate() {
            let key = |name: &str| format!("{}[{index}].{name}", key("neighbor"));
            let (ip, mac) = (*row.ip.get_ref(), unicast(&row.mac, key("mac"))?);
            if ip.is_unspecified() || ip.is_multicast() {
                return Err(Problem::at(&row.ip, key("ip"), format!("{ip} is not the address of one host")));
            }
            if !ips.insert(ip) {
                return Err(Problem::at(&row.ip, key("ip"), format!("{ip} has a row already")));
            }
            neighbors.push((ip, mac));
        }

        let udp_checksum = self.udp_checksum.as_ref().is_none_or(|value| *value.get_ref());
        if let Some(value) = &self.udp_checksum
            && !udp_checksum
            && family.is_ipv6 == Some(true)
        {
            let reason = "sending zero over an IPv6 underlay (RFC 6936) is not supported yet";
            return Err(Problem::at(value, key("udp_checksum"), reason));
        }
        let source_ports = match &self.source_ports {
            Some(range) => source_ports(range, &key("source_ports"))?,
            None => SegmentConfig::new(vni).source_ports,
        };

        let mut rules = SegmentConfig::new(vni);
        rules.encapsulation = encapsulation;
        rules.port = port;
        rules.mac = mac;
        rules.learning = self.learning.unwrap_or(rules.learning);
        rules.ageing = self.ageing.map_or(rules.ageing, |age| (!age.0.is_zero()).then_some(age.0));
        rules.max_entries = self.max_entries.unwrap_or(rules.max_entries);
        // Who is behind a group only its datagrams tell: with a group, sources are not known beforehand.
        rules.sources = self.sources.unwrap_or(if has_group { Sources::Any } else { Sources::Configured });
        rules.reserved_bits = self.reserved_bits.unwrap_or(rules.reserved_bits);
        rules.vlan = self.vlan.unwrap_or(rules.vlan);
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
        rules.source_ports = source_ports;
        Ok(SegmentOptions {
            name,
            tap: tap.get_ref().clone(),
            mtu,
            addresses: self.addresses,
            flood,
            forwards,
            neighbors,
            df: self.df.unwrap_or(true),
            udp_checksum,
            rules,
        })
    }
}

fn source_ports(range: &Spanned<[u16; 2]>, key: &str) -> Result<RangeInclusive<u16>, Problem> {
    let [first, last] = *range.get_ref();
    if first == 0 || first > last {
        return Err(Problem::at(range, key, "must be two ports, the first not 0 and not above the second"));
    }
    Ok(first..=last)
}

fn check_interface_name(name: &Spanned<String>, key: &str) -> Result<(), Problem> {
    let text = name.get_ref();
    if text.len() > MAX_INTERFACE_NAME {
        let reason = format!("\"{text}\" has {} bytes, an interface name has at most {MAX_INTERFACE_NAME}", text.len());
        return Err(Problem::at(name, key, reason));
    }
    // What the kernel refuses, and `%`, which it would fill in.
    let refused = |character: char| character.is_whitespace() || character.is_control() || "/:%".contains(character);
    if text.is_empty() || text == "." || text == ".." || text.contains(refused) {
        return Err(Problem::at(name, key, format!("\"{text}\" is not an interface name")));
    }
    Ok(())
}

/// `"auto"` or an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Local {
    Auto,
    Address(IpAddr),
}

impl std::str::FromStr for Local {
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

impl<'de> Deserialize<'de> for Local {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A duration as people write it: `300s`, `5m`, `1h`.
#[derive(Clone, Copy)]
struct Age(Duration);

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
enum EcnWord {
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

/// A number from `MIN` to `MAX`, or `"inherit"`.
#[derive(Clone, Copy)]
enum NumberOrInherit<const MIN: u8, const MAX: u8> {
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

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
                match u8::try_from(value) {
                    Ok(value) if (MIN..=MAX).contains(&value) => Ok(NumberOrInherit::Number(value)),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Signed(value), &self)),
                }
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                match text {
                    "inherit" => Ok(NumberOrInherit::Inherit),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }
        }

        deserializer.deserialize_any(Value::<MIN, MAX>)
    }
}
