//! Hosts, and the network between them.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use overlay_types::MacAddr;

use crate::{deadline::fail, family::Family, namespace::Namespace};

/// A host: a namespace with one device on the underlay.
#[derive(Debug)]
pub struct Host {
    /// Where it lives.
    pub namespace: Namespace,
    number: u8,
    mtu: u32,
}

impl Host {
    /// The name of its device on the underlay.
    pub const DEVICE: &str = "u0";

    /// Two hosts with nothing but a cable between them: what is measured is not the switch.
    #[track_caller]
    #[must_use]
    pub fn pair() -> [Self; 2] {
        Self::pair_with_mtu(1500)
    }

    /// The same with this MTU at both ends of the cable.
    #[track_caller]
    #[must_use]
    pub fn pair_with_mtu(mtu: u32) -> [Self; 2] {
        let pair = [1, 2].map(|number| Self::new(number, mtu));
        let [one, two] = &pair;
        one.namespace.ip(&format!(
            "link add {0} mtu {1} type veth peer name {0} mtu {1} netns {2}",
            Self::DEVICE,
            one.mtu,
            two.namespace.name()
        ));
        pair.iter().for_each(Self::connect);
        pair
    }

    #[track_caller]
    fn new(number: u8, mtu: u32) -> Self {
        Self { namespace: Namespace::new(&format!("host{number}")), number, mtu }
    }

    /// Sets its device up, with its addresses.
    #[track_caller]
    fn connect(&self) {
        self.namespace.ip(&format!("link set {} up", Self::DEVICE));
        self.namespace.add_address(Self::DEVICE, self.address(Family::V4), 24);
        self.namespace.add_address(Self::DEVICE, self.address(Family::V6), 64);
        // A host that has IPv6 has it on its loopback, too.
        self.namespace.enable_ipv6("lo");
    }

    /// 1 for the first.
    #[must_use]
    pub fn number(&self) -> u8 {
        self.number
    }

    /// The MTU of its device on the underlay.
    #[must_use]
    pub fn mtu(&self) -> u32 {
        self.mtu
    }

    /// The MAC address of its device on the underlay.
    #[track_caller]
    #[must_use]
    pub fn mac(&self) -> MacAddr {
        match self.namespace.device(Self::DEVICE)["address"].as_str().map(str::parse) {
            Some(Ok(mac)) => mac,
            _ => fail(format_args!("{:?} has no device {}", self.namespace, Self::DEVICE)),
        }
    }

    /// Its address on the underlay: `10.200.0.N` or `fd00:200::N`.
    #[must_use]
    pub fn address(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => Ipv4Addr::new(10, 200, 0, self.number).into(),
            Family::V6 => Ipv6Addr::new(0xfd00, 0x200, 0, 0, 0, 0, 0, self.number.into()).into(),
        }
    }
}

/// Hosts on one Ethernet: a switch in a namespace of its own that floods groups and passes on every frame unchanged.
#[derive(Debug)]
pub struct Underlay {
    hosts: Vec<Host>,
    // Last, so that the hosts' ends of the cables go first.
    switch: Namespace,
}

impl Underlay {
    /// So many hosts, with an MTU of 1500.
    #[track_caller]
    #[must_use]
    pub fn new(hosts: u8) -> Self {
        Self::with_mtu(hosts, 1500)
    }

    /// So many hosts, with this MTU on every device of the underlay.
    #[track_caller]
    #[must_use]
    pub fn with_mtu(hosts: u8, mtu: u32) -> Self {
        let switch = Namespace::new("switch");
        switch.ip(&format!("link add br0 mtu {mtu} type bridge mcast_snooping 0"));
        switch.ip("link set br0 up");
        // A bridge whose frames a host's firewall looks at drops those that IP would.
        for firewall in ["iptables", "ip6tables"] {
            let key = format!("net/bridge/bridge-nf-call-{firewall}");
            if Path::new("/proc/sys").join(&key).exists() {
                switch.set_sysctl(&key, "0");
            }
        }
        let hosts = (1..=hosts).map(|number| Host::new(number, mtu)).collect();
        let underlay = Self { hosts, switch };
        for host in &underlay.hosts {
            underlay.plug_in(host);
        }
        underlay
    }

    /// The host with this index, from 0.
    #[must_use]
    pub fn host(&self, index: usize) -> &Host {
        &self.hosts[index]
    }

    /// All hosts.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Makes the device of a host and gives it its addresses.
    #[track_caller]
    pub fn plug_in(&self, host: &Host) {
        let Host { namespace, number, mtu } = host;
        self.switch.ip(&format!(
            "link add port{number} mtu {mtu} type veth peer name {} mtu {mtu} netns {}",
            Host::DEVICE,
            namespace.name()
        ));
        self.switch.ip(&format!("link set port{number} master br0 up"));
        host.connect();
    }

    /// Deletes the device of a host, as if its card were pulled out.
    #[track_caller]
    pub fn pull_out(&self, host: &Host) {
        host.namespace.ip(&format!("link del {}", Host::DEVICE));
    }
}
