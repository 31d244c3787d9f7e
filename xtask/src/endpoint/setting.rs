//! The underlay between the hosts: what a frame meets on it.

use std::fmt;

use testbed::{Host, Namespace};

use crate::step::{Failure, Outcome};

/// How the cable between the hosts behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cable {
    /// A veth as it is: super-frames cross it whole, checksums are left to hardware that is not there.
    Veth,
    /// Frames of at most the MTU with whole checksums, merged by the receiver as a network card's driver does.
    WireGro,
    /// The same without a receiver that merges.
    Wire,
}

/// A cable and its MTU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) cable: Cable,
    pub(super) mtu: u32,
}

impl Setting {
    pub(super) const VETH: Self = Self { cable: Cable::Veth, mtu: ORDINARY_MTU };
    pub(super) const WIRE_GRO: Self = Self { cable: Cable::WireGro, mtu: ORDINARY_MTU };
    pub(super) const WIRE: Self = Self { cable: Cable::Wire, mtu: ORDINARY_MTU };
    pub(super) const VETH_9000: Self = Self { cable: Cable::Veth, mtu: 9000 };
    pub(super) const WIRE_GRO_9000: Self = Self { cable: Cable::WireGro, mtu: 9000 };

    /// For people.
    pub(super) fn title(self) -> String {
        let cable = match self.cable {
            Cable::Veth => "veth",
            Cable::WireGro => "wire",
            Cable::Wire => "wire without GRO",
        };
        if self.mtu == ORDINARY_MTU { cable.to_owned() } else { format!("{cable}, MTU {}", self.mtu) }
    }

    /// Two hosts with this cable between them.
    pub(super) fn hosts(self) -> Result<[Host; 2], Failure> {
        let hosts = Host::pair_with_mtu(self.mtu);
        for host in &hosts {
            let (namespace, device) = (&host.namespace, Host::DEVICE);
            match self.cable {
                Cable::Veth => {}
                Cable::WireGro => offloads(namespace, device, "tx off tso off gso off gro on")?,
                Cable::Wire => offloads(namespace, device, "tx off tso off gso off")?,
            }
        }
        Ok(hosts)
    }
}

const ORDINARY_MTU: u32 = 1500;

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.cable {
            Cable::Veth => "veth",
            Cable::WireGro => "wire-gro",
            Cable::Wire => "wire",
        })?;
        if self.mtu == ORDINARY_MTU { Ok(()) } else { write!(f, "-{}", self.mtu) }
    }
}

/// `ethtool -K <device> <words>`.
pub(super) fn offloads(namespace: &Namespace, device: &str, words: &str) -> Outcome {
    let line: Vec<_> = ["ethtool", "-K", device].into_iter().chain(words.split_whitespace()).collect();
    match namespace.run(&line) {
        finished if finished.status == Some(0) => Ok(()),
        finished => Err(Failure(format!("{}: {}", line.join(" "), finished.stderr.trim()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_named_with_an_mtu_that_is_out_of_the_ordinary() {
        let names = [Setting::VETH, Setting::WIRE_GRO, Setting::WIRE, Setting::VETH_9000].map(|it| it.to_string());
        assert_eq!(names, ["veth", "wire-gro", "wire", "veth-9000"]);
        assert_eq!(Setting::VETH_9000.title(), "veth, MTU 9000");
    }
}
