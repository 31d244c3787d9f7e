//! Many destinations behind many remotes: nothing goes to the same place as what went before.
//!
//! The second host has an address for each remote, and its guest takes what is sent to any of the destinations. Our endpoint
//! listens on one address: to it the second host readdresses what comes for the others. The kernel's listens on all of them.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use overlay_types::MacAddr;
use testbed::{Family, Host, KernelVtep, KernelVtepOptions, Namespace, Scratch, TapVtep};

use super::{
    bed::{DEVICE, Parts, TAP, VNI, guest_of_tap, program},
    case::End,
    datagrams::Sockets,
    setting::Setting,
};
use crate::step::{Failure, Outcome};

pub(super) const DESTINATIONS: u16 = 1000;
pub(super) const REMOTES: u8 = 16;
/// The last byte of the first remote's address.
const FIRST_REMOTE: u8 = 101;
const UDP_PORT: u16 = 6000;
const BATCH: &str = "batch";

/// The address of a destination in the guests' network, its MAC address, and the remote that it is behind.
fn destination(number: u16) -> (Ipv4Addr, MacAddr, Ipv4Addr) {
    let [high, low] = number.to_be_bytes();
    let remote = FIRST_REMOTE + (number % u16::from(REMOTES)) as u8;
    (Ipv4Addr::new(10, 51, high, low), MacAddr::new([0x02, 3, 0, 0, high, low]), Ipv4Addr::new(10, 200, 0, remote))
}

/// A socket for whatever comes, and all destinations.
pub(super) fn sockets() -> Sockets {
    let address = |number| SocketAddr::new(destination(number).0.into(), UDP_PORT);
    Sockets { sink: (Ipv4Addr::UNSPECIFIED, UDP_PORT).into(), destinations: (0..DESTINATIONS).map(address).collect() }
}

/// Endpoints of one kind on both hosts, the first with a row for each destination.
pub(super) fn set_up(end: End, setting: Setting, parts: &mut Parts) -> Result<[Namespace; 2], Failure> {
    let hosts = setting.hosts()?;
    for number in 0..REMOTES {
        let address = Ipv4Addr::new(10, 200, 0, FIRST_REMOTE + number);
        hosts[1].namespace.add_address(Host::DEVICE, address.into(), 24);
    }
    let guests = match end {
        End::Ours(_) | End::Configured(_) => ours(&hosts, parts)?,
        End::Kernel { .. } => kernel(&hosts),
        End::Naive => return Err(Failure("has one remote".to_owned())),
    };
    guests[0].ip(&format!("route add 10.51.0.0/16 dev {DEVICE}"));
    batch(&guests[0], "ip", |number, text| {
        let (ip, mac, _) = destination(number);
        writeln!(text, "neigh add {ip} lladdr {mac} dev {DEVICE} nud permanent")
    });
    guests[1].ip("route add local 10.51.0.0/16 dev lo");
    // Whatever MAC address a frame is for, it is for this guest.
    let take_all = format!(
        "table netdev guest {{ chain incoming {{ type filter hook ingress device \"{DEVICE}\" priority 0; meta pkttype set host; }}; }}"
    );
    filter(&guests[1], &take_all)?;
    parts.others.push(Box::new(hosts));
    Ok(guests)
}

fn ours(hosts: &[Host; 2], parts: &mut Parts) -> Result<[Namespace; 2], Failure> {
    let [one, two] = hosts.each_ref().map(|host| host.address(Family::V4));
    let mut rows = String::new();
    for number in 0..DESTINATIONS {
        let (_, mac, remote) = destination(number);
        // Writing to a string cannot fail.
        let _ = write!(rows, "[[segment.fdb]]\nmac = \"{mac}\"\nremote = \"{remote}\"\n");
    }
    for (host, local, remote, rows) in [(&hosts[0], one, two, &*rows), (&hosts[1], two, one, "")] {
        let configuration = configuration(local, remote, rows);
        parts.programs.push(TapVtep::configured(&program(), &host.namespace, &configuration));
    }
    let last = FIRST_REMOTE + REMOTES - 1;
    let readdress = format!(
        "table ip host {{ chain incoming {{ type filter hook prerouting priority raw; \
         ip daddr 10.200.0.{FIRST_REMOTE}-10.200.0.{last} ip daddr set {two}; }}; }}"
    );
    filter(&hosts[1].namespace, &readdress)?;
    Ok(hosts.each_ref().map(|host| guest_of_tap(host, Family::V4)))
}

fn configuration(local: IpAddr, remote: IpAddr, rows: &str) -> String {
    format!(
        "[underlay]\nlocal = \"{local}\"\n\n\
         [[segment]]\nname = \"blue\"\nvni = {VNI}\ntap = \"{TAP}\"\nflood = [\"{remote}\"]\n{rows}"
    )
}

fn kernel(hosts: &[Host; 2]) -> [Namespace; 2] {
    let [one, two] = hosts.each_ref().map(|host| host.address(Family::V4));
    let vteps = [(&hosts[0], two), (&hosts[1], one)]
        .map(|(host, remote)| KernelVtep::new(host, &KernelVtepOptions::to(&[remote])));
    let [device, access] = [vteps[0].device(), vteps[1].access()];
    batch(&hosts[0].namespace, "bridge", |number, text| {
        let (_, mac, remote) = destination(number);
        writeln!(text, "fdb add {mac} dev {device} dst {remote} self static")?;
        writeln!(text, "fdb add {mac} dev {device} master static")
    });
    batch(&hosts[1].namespace, "bridge", |number, text| {
        let (_, mac, _) = destination(number);
        writeln!(text, "fdb add {mac} dev {access} master static")
    });
    vteps.map(|vtep| vtep.guest)
}

/// Has `ip` or `bridge` make something for each destination in one call.
fn batch(namespace: &Namespace, tool: &str, line: impl Fn(u16, &mut String) -> std::fmt::Result) {
    let mut text = String::new();
    for number in 0..DESTINATIONS {
        // Writing to a string cannot fail.
        let _ = line(number, &mut text);
    }
    let files = Scratch::new();
    let words = format!("-batch {}", files.write(BATCH, &text).display());
    if tool == "ip" {
        namespace.ip(&words)
    } else {
        namespace.bridge(&words)
    };
}

/// `nft` with this rule set.
fn filter(namespace: &Namespace, rules: &str) -> Outcome {
    let finished = namespace.run(&["nft", rules]);
    let why = finished.stderr.lines().next().unwrap_or_default();
    if finished.status == Some(0) { Ok(()) } else { Err(Failure(format!("nft: {why}"))) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_destination_has_its_addresses_and_each_remote_some_destinations() {
        let all: Vec<_> = (0..DESTINATIONS).map(destination).collect();
        let count = |set: BTreeSet<String>| set.len();
        assert_eq!(count(all.iter().map(|(ip, ..)| ip.to_string()).collect()), usize::from(DESTINATIONS));
        assert_eq!(count(all.iter().map(|(_, mac, _)| mac.to_string()).collect()), usize::from(DESTINATIONS));
        assert_eq!(count(all.iter().map(|(.., remote)| remote.to_string()).collect()), usize::from(REMOTES));
        assert!(all.iter().all(|(_, mac, _)| mac.is_unicast()));
        assert_eq!(sockets().destinations.len(), usize::from(DESTINATIONS));
    }
}
