//! Open vSwitch's user-space datapath, one instance on each host, as its manual sets it up: a bridge with the guest and the
//! tunnel, and one with the underlay.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use testbed::{Background, Family, Host, Namespace, Scratch, require, wait_until};

use super::{
    bed::{DEVICE, Parts, VNI, connect, veth},
    case::PacketIo,
    setting::{Setting, offloads},
};
use crate::step::{Failure, Outcome};

/// Debian's place of the data base's schema.
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";
/// The port of the guest.
const ACCESS: &str = "p0";
/// The bridge with the guest and the tunnel, and the one with the underlay.
const INNER: &str = "br-int";
const OUTER: &str = "br-ext";
/// Its ports for raw packets hand no checksum or segmentation state to tunnels.
const OFF: &str = "tx off tso off gso off gro off";
/// Seconds that a change may take.
const PATIENCE: &str = "20";

/// Both hosts with their guests.
pub(super) fn set_up(
    tunnel: &str,
    packets: PacketIo,
    setting: Setting,
    parts: &mut Parts,
) -> Result<[Namespace; 2], Failure> {
    let hosts = setting.hosts()?;
    let guests = [1, 2].map(|number| Namespace::new(&format!("guest{number}")));
    for (place, (host, guest)) in hosts.iter().zip(&guests).enumerate() {
        // All its tunnels add as much, or less: the same MTU for each.
        let mtu = host.mtu() - Family::V4.vxlan_overhead();
        veth(&host.namespace, ACCESS, guest, DEVICE, mtu);
        host.namespace.ip(&format!("link set {ACCESS} up"));
        connect(guest, host.number());
        offloads(guest, DEVICE, OFF)?;
        for device in [ACCESS, Host::DEVICE] {
            offloads(&host.namespace, device, OFF)?;
        }
        let instance = Instance::start(host, packets)?;
        instance.configure(&hosts[1 - place], tunnel, packets)?;
        parts.others.push(Box::new(instance));
    }
    parts.others.push(Box::new(hosts));
    Ok(guests)
}

/// The two daemons of a host, with their files. They go before the files do.
struct Instance {
    _daemons: [Background; 2],
    files: Scratch,
    namespace: Namespace,
    number: u8,
}

impl Instance {
    fn start(host: &Host, packets: PacketIo) -> Result<Self, Failure> {
        let files = Scratch::new();
        let directory = files.path("");
        let daemon = |words: &[&str]| Background::start(command(&host.namespace, &directory, words));
        let [database, socket] = ["conf.db", "db.sock"].map(|file| files.path(file).display().to_string());
        run(&mut command(&host.namespace, &directory, &["ovsdb-tool", "create", &database, SCHEMA]))?;
        let remote = format!("--remote=punix:{socket}");
        let control = |name| format!("--unixctl={}", files.path(name).display());
        let server = daemon(&["ovsdb-server", &database, &remote, &control("db.ctl")]);
        wait_until("ovsdb-server listens", || Path::new(&socket).exists());
        let (number, namespace) = (host.number(), host.namespace.clone());
        let change = |words: &str| change(&namespace, &directory, words);
        change("--no-wait init")?;
        if packets == PacketIo::AfXdp {
            // One polling thread for each instance, each on a processor of its own.
            change(&format!("--no-wait set Open_vSwitch . other_config:pmd-cpu-mask={:#x}", 1 << (number - 1)))?;
        }
        let switch = daemon(&["ovs-vswitchd", &format!("unix:{socket}"), &control("switch.ctl")]);
        Ok(Self { _daemons: [switch, server], files, namespace, number })
    }

    fn configure(&self, other: &Host, tunnel: &str, packets: PacketIo) -> Outcome {
        let (device, remote) = (Host::DEVICE, other.address(Family::V4));
        let kind = match packets {
            PacketIo::AfPacket => String::new(),
            PacketIo::AfXdp => {
                format!("-- set interface {device} type=afxdp -- set interface {ACCESS} type=afxdp")
            }
        };
        change(
            &self.namespace,
            &self.files.path(""),
            &format!(
                "add-br {INNER} -- set bridge {INNER} datapath_type=netdev \
                 -- add-br {OUTER} -- set bridge {OUTER} datapath_type=netdev \
                 -- add-port {INNER} {ACCESS} -- add-port {OUTER} {device} -- add-port {INNER} tunnel \
                 -- set interface tunnel type={tunnel} options:remote_ip={remote} options:key={VNI} {kind}"
            ),
        )?;
        // The underlay's address is that of the bridge now.
        let namespace = &self.namespace;
        namespace.ip(&format!("addr flush dev {device}"));
        namespace.ip(&format!("addr add 10.200.0.{}/24 dev {OUTER}", self.number));
        namespace.ip(&format!("link set {OUTER} up mtu {}", other.mtu()));
        namespace.ip(&format!("link set {INNER} up"));
        Ok(())
    }
}

/// A program of Open vSwitch that finds its files in this directory. `ip netns exec` gives it the namespace's `/sys`, too.
fn command(namespace: &Namespace, directory: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(require("ip"));
    command.args(["netns", "exec", namespace.name()]).arg(require(words[0])).args(&words[1..]);
    for variable in ["OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR"] {
        command.env(variable, directory);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// `ovs-vsctl <words>`, the words split at spaces.
fn change(namespace: &Namespace, directory: &Path, words: &str) -> Outcome {
    let database = format!("--db=unix:{}", directory.join("db.sock").display());
    let timeout = format!("--timeout={PATIENCE}");
    let words: Vec<_> = ["ovs-vsctl", &database, &timeout].into_iter().chain(words.split_whitespace()).collect();
    run(&mut command(namespace, directory, &words))
}

fn run(command: &mut Command) -> Outcome {
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let program = command.get_args().nth(3).unwrap_or_default().display();
    Err(Failure(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}
