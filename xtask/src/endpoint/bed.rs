//! Two guests on two hosts, and what joins them.
//!
//! ```text
//! guest 1 eth0 -- endpoint on host 1 -- u0 ==== u0 -- endpoint on host 2 -- eth0 guest 2
//! ```
//!
//! All four are network namespaces with names of their own, removed with the bed.

use std::{
    any::Any,
    net::{IpAddr, SocketAddr},
    process::{Command, Stdio},
};

use testbed::{Background, Family, Host, KernelVtep, KernelVtepOptions, Namespace, TapVtep, ping, require, wait_until};

use super::{
    case::{Case, End, Layout},
    datagrams::Sockets,
    destinations, full_table, open_vswitch,
    setting::{Setting, offloads},
};
use crate::{
    bench::release,
    step::{Failure, Outcome},
};

/// The segment.
pub(super) const VNI: u32 = 42;
/// The TAP, while it is in the host.
pub(super) const TAP: &str = "tap0";
/// The guests' device.
pub(super) const DEVICE: &str = KernelVtep::GUEST_DEVICE;
/// What has to wait for a busy program in front of a TAP.
const QUEUE: u32 = 1000;
const UDP_PORT: u16 = 6000;

/// Guests that reach each other.
pub(super) struct Bed {
    guests: [Namespace; 2],
    /// What has to live as long.
    parts: Parts,
}

/// Programs, and whatever else lives as long as the guests.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) programs: Vec<TapVtep>,
    pub(super) others: Vec<Box<dyn Any>>,
}

impl Bed {
    /// Sets a case up, and waits until the guests reach each other.
    pub(super) fn new(case: &Case, setting: Setting) -> Result<Self, Failure> {
        let mut parts = Parts::default();
        let guests = match case.layout {
            Layout::Bare => bare(setting),
            Layout::Ends(ends, family) => {
                let hosts = setting.hosts()?;
                let guests = [0, 1].map(|place| parts.join(ends[place], [&hosts[place], &hosts[1 - place]], family));
                let [one, two] = guests;
                parts.others.push(Box::new(hosts));
                [one?, two?]
            }
            Layout::OpenVswitch { tunnel, packets } => open_vswitch::set_up(tunnel, packets, setting, &mut parts)?,
            Layout::FullTable => full_table::set_up(setting, &mut parts)?,
            Layout::Destinations(end) => destinations::set_up(end, setting, &mut parts)?,
        };
        let bed = Self { guests, parts };
        bed.wait_for_an_echo()?;
        Ok(bed)
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
    #[expect(clippy::unused_self, reason = "it is the same on every bed")]
    pub(super) fn far(&self) -> IpAddr {
        guest_address(2)
    }

    /// Datagrams to that address alone.
    pub(super) fn far_sockets(&self) -> Sockets {
        let far = SocketAddr::new(self.far(), UDP_PORT);
        Sockets { sink: far, destinations: vec![far] }
    }

    fn wait_for_an_echo(&self) -> Outcome {
        let replies = || ping(self.near_guest(), self.far(), 2).received == 2;
        super::attempt::attempt(|| {
            wait_until("the guests reach each other", replies);
            Ok(())
        })
        .map_err(|failure| {
            let logs = self.parts.programs.iter().flat_map(TapVtep::log);
            Failure([failure.0].into_iter().chain(logs).collect::<Vec<_>>().join("\n"))
        })
    }
}

impl Parts {
    /// Sets an endpoint up on the first of two hosts, and gives its guest.
    pub(super) fn join(&mut self, end: End, hosts: [&Host; 2], family: Family) -> Result<Namespace, Failure> {
        let [local, remote] = hosts.map(|host| host.address(family));
        let host = hosts[0];
        match end {
            End::Ours(more) => {
                let (vni, local, remote) = (VNI.to_string(), local.to_string(), remote.to_string());
                let options = ["--vni", &vni, "--tap", TAP, "--local", &local, "--remote", &remote];
                let options: Vec<_> = options.iter().chain(more).copied().collect();
                self.programs.push(TapVtep::run(&program(), &host.namespace, &options));
                Ok(guest_of_tap(host, family))
            }
            End::Configured(lines) => {
                let configuration = format!(
                    "[underlay]\nlocal = \"{local}\"\n[[segment]]\nname = \"bench\"\nvni = {VNI}\ntap = \"{TAP}\"\n\
                     flood = [\"{remote}\"]\n{lines}\n"
                );
                self.programs.push(TapVtep::configured(&program(), &host.namespace, &configuration));
                Ok(guest_of_tap(host, family))
            }
            End::Kernel { offloads: with_offloads } => {
                let vtep = KernelVtep::new(host, &KernelVtepOptions::to(&[remote]));
                if !with_offloads {
                    const OFF: &str = "tso off gso off gro off";
                    for device in [Host::DEVICE, vtep.access(), vtep.device()] {
                        offloads(&host.namespace, device, OFF)?;
                    }
                    offloads(&vtep.guest, DEVICE, OFF)?;
                }
                Ok(vtep.guest)
            }
            End::Naive => {
                self.others.push(Box::new(naive(host, local, remote)));
                Ok(guest_of_tap(host, family))
            }
        }
    }
}

/// The release build of our endpoint.
pub(super) fn program() -> String {
    release("tap-vtep").display().to_string()
}

/// As [`KernelVtep::guest_address`].
pub(super) fn guest_address(number: u8) -> IpAddr {
    IpAddr::from([10, 50, 0, number])
}

/// The guests on one veth, without hosts.
fn bare(setting: Setting) -> [Namespace; 2] {
    let guests = [1, 2].map(|number| Namespace::new(&format!("guest{number}")));
    veth(&guests[0], DEVICE, &guests[1], DEVICE, setting.mtu);
    for (guest, number) in guests.iter().zip(1..) {
        connect(guest, number);
    }
    guests
}

/// A cable between two namespaces.
pub(super) fn veth(here: &Namespace, device: &str, there: &Namespace, peer: &str, mtu: u32) {
    let name = there.name();
    here.ip(&format!("link add {device} mtu {mtu} type veth peer name {peer} mtu {mtu} netns {name}"));
}

/// Gives a guest's device its address, and sets it up.
pub(super) fn connect(guest: &Namespace, number: u8) {
    guest.add_address(DEVICE, guest_address(number), 24);
    guest.ip(&format!("link set {DEVICE} up"));
}

/// A guest whose device is the TAP of the host.
pub(super) fn guest_of_tap(host: &Host, family: Family) -> Namespace {
    let guest = Namespace::new(&format!("guest{}", host.number()));
    wait_until("the TAP is there", || host.namespace.has_device(TAP));
    // The same for all, but where options leave less.
    let own = host.namespace.device(TAP)["mtu"].as_u64().and_then(|mtu| u32::try_from(mtu).ok());
    let vxlan = host.mtu() - family.vxlan_overhead();
    let mtu = own.map_or(vxlan, |own| own.min(vxlan));
    host.namespace.ip(&format!("link set {TAP} netns {} name {DEVICE}", guest.name()));
    guest.ip(&format!("link set {DEVICE} mtu {mtu} txqueuelen {QUEUE}"));
    connect(&guest, host.number());
    guest
}

fn naive(host: &Host, local: IpAddr, remote: IpAddr) -> Background {
    let mut command = Command::new(require(&release("xtask").display().to_string()));
    command.args(["naive", "--tap", TAP, "--vni", &VNI.to_string()]);
    command.args(["--local", &local.to_string(), "--remote", &remote.to_string()]).stdin(Stdio::null());
    host.namespace.start(command)
}
