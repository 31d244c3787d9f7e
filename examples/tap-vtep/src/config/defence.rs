//! The keys of a segment that keep its TAP's side in bounds: `storm`, `anti_spoofing` and `allowed`.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use overlay_types::MacAddr;
use serde::Deserialize;
use toml::Spanned;
use vtep::{AllowedSources, Storm};

use super::{Problem, segment::unicast};

/// A station that may speak on the TAP.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AllowedTable {
    mac: Spanned<MacAddr>,
    #[serde(default)]
    ips: Vec<Spanned<IpAddr>>,
}

/// Who may speak on the TAP: those of the list, or with `anti_spoofing` alone the TAP itself.
pub(super) fn allowed_sources(
    anti_spoofing: Option<&Spanned<bool>>,
    allowed: Option<&[AllowedTable]>,
    addresses: &[IpNet],
    path: &str,
) -> Result<Option<AllowedSources>, Problem> {
    let Some(allowed) = allowed else {
        let is_on = anti_spoofing.is_some_and(|value| *value.get_ref());
        return Ok(is_on.then(|| AllowedSources::own_station(addresses.iter().map(IpNet::addr).collect())));
    };
    if let Some(value) = anti_spoofing.filter(|value| !*value.get_ref()) {
        let reason = "there is a list of those who are allowed";
        return Err(Problem::at(value, format!("{path}.anti_spoofing"), reason));
    }
    let mut stations = BTreeMap::new();
    for (index, AllowedTable { mac, ips }) in allowed.iter().enumerate() {
        let key = |name: &str| format!("{path}.allowed[{index}].{name}");
        let station = unicast(mac, &key("mac"))?;
        for ip in ips {
            let value = ip.get_ref();
            if value.is_unspecified() || value.is_multicast() {
                return Err(Problem::at(ip, key("ips"), format!("{value} is not the address of one host")));
            }
        }
        let ips: Vec<_> = ips.iter().map(|ip| *ip.get_ref()).collect();
        if stations.insert(station, ips).is_some() {
            return Err(Problem::at(mac, key("mac"), format!("{station} is in the list already")));
        }
    }
    Ok(Some(AllowedSources::stations(stations)))
}

/// Rates that a bucket can keep.
pub(super) fn storm(storm: &Spanned<Storm>, path: &str) -> Result<Storm, Problem> {
    let value = *storm.get_ref();
    for (name, rate) in
        [("broadcast", value.broadcast), ("unknown_unicast", value.unknown_unicast), ("multicast", value.multicast)]
    {
        if rate.is_some_and(|rate| rate > Storm::MAX_RATE) {
            let reason = format!("must be at most {} frames a second", Storm::MAX_RATE);
            return Err(Problem::at(storm, format!("{path}.storm.{name}"), reason));
        }
    }
    if value.burst == Some(0) {
        return Err(Problem::at(storm, format!("{path}.storm.burst"), "must be a frame at least"));
    }
    Ok(value)
}
