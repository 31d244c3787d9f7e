//! The overlays that are compared, all between the same two guests on the same two hosts.

use std::{
    net::IpAddr,
    process::{Command, Stdio},
};

use testbed::{Background, Family, Host, KernelVtep, KernelVtepOptions, Namespace, TapVtep, ping, require, wait_until};

use super::release;

/// What is between the guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// `tap-vtep`.
    TapVtep,
    /// The kernel's VXLAN under a bridge.
    Kernel,
    /// One packet by one system call: the module `naive`.
    Naive,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::TapVtep, Self::Kernel, Self::Naive];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::TapVtep => "tap-vtep",
            Self::Kernel => "kernel VXLAN",
            Self::Naive => "naive",
        }
    }
}

/// What has to live as long as the overlay stands.
enum Ends {
    Programs { _both: [TapVtep; 2] },
    Kernel { _both: [KernelVtep; 2] },
    Naive { _both: [Background; 2] },
}

/// Two guests that reach each other over one of the overlays.
///
/// ```text
/// guest 1 eth0 -- end on host 1 -- u0 ==== u0 -- end on host 2 -- eth0 guest 2
/// ```
pub(super) struct Overlay {
    _ends: Ends,
    guests: [Namespace; 2],
    _hosts: [Host; 2],
}

const VNI: u32 = 42;
const TAP: &str = "tap0";
/// What an IPv4 underlay with an MTU of 1500 leaves.
const MTU: u32 = 1450;

impl Overlay {
    /// Sets it up and waits until the guests reach each other.
    pub(super) fn new(kind: Kind, wire: bool) -> Self {
        let hosts = Host::pair();
        if wire {
            for host in &hosts {
                let words = ["ethtool", "-K", Host::DEVICE, "tx", "off", "tso", "off", "gso", "off"];
                assert_eq!(host.namespace.run(&words).status, Some(0), "{}", words.join(" "));
            }
        }
        let addresses = hosts.each_ref().map(|host| host.address(Family::V4));
        let ends = [0, 1].map(|here| (&hosts[here], addresses[here], addresses[1 - here]));
        let (ends, guests) = match kind {
            Kind::TapVtep => {
                let program = release("tap-vtep").display().to_string();
                let both = ends.map(|(host, local, remote)| {
                    let (vni, local, remote) = (VNI.to_string(), local.to_string(), remote.to_string());
                    let options = ["--vni", &vni, "--tap", TAP, "--local", &local, "--remote", &remote];
                    TapVtep::run(&program, &host.namespace, &options)
                });
                (Ends::Programs { _both: both }, hosts.each_ref().map(guest_of_tap))
            }
            Kind::Kernel => {
                let both = ends.map(|(host, _, remote)| KernelVtep::new(host, &KernelVtepOptions::to(&[remote])));
                let guests = both.each_ref().map(|end| end.guest.clone());
                (Ends::Kernel { _both: both }, guests)
            }
            Kind::Naive => {
                let both = ends.map(|(host, local, remote)| naive(host, local, remote));
                (Ends::Naive { _both: both }, hosts.each_ref().map(guest_of_tap))
            }
        };
        let overlay = Self { _ends: ends, guests, _hosts: hosts };
        wait_until("the guests reach each other", || ping(&overlay.guests[0], overlay.far(), 2).received == 2);
        overlay
    }

    /// The guest that sends.
    pub(super) fn near_guest(&self) -> &Namespace {
        &self.guests[0]
    }

    /// The guest that receives.
    pub(super) fn far_guest(&self) -> &Namespace {
        &self.guests[1]
    }

    /// The address of the guest that receives.
    #[expect(clippy::unused_self, reason = "it is the same in every overlay")]
    pub(super) fn far(&self) -> IpAddr {
        guest_address(2)
    }
}

/// As [`KernelVtep::guest_address`].
fn guest_address(number: u8) -> IpAddr {
    IpAddr::from([10, 50, 0, number])
}

/// A guest whose device is the TAP of the host.
fn guest_of_tap(host: &Host) -> Namespace {
    let guest = Namespace::new("guest");
    let device = KernelVtep::GUEST_DEVICE;
    wait_until("the TAP is there", || host.namespace.has_device(TAP));
    host.namespace.ip(&format!("link set {TAP} netns {} name {device}", guest.name()));
    guest.ip(&format!("link set {device} mtu {MTU} txqueuelen 1000"));
    guest.add_address(device, guest_address(host.number()), 24);
    guest.ip(&format!("link set {device} up"));
    guest
}

fn naive(host: &Host, local: IpAddr, remote: IpAddr) -> Background {
    let mut command = Command::new(require(&release("xtask").display().to_string()));
    command.args(["naive", "--tap", TAP, "--vni", &VNI.to_string()]);
    command.args(["--local", &local.to_string(), "--remote", &remote.to_string()]);
    host.namespace.start({
        command.stdin(Stdio::null());
        command
    })
}
