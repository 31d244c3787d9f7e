//! Two hosts in network namespaces that have no name, joined by a virtual cable.
//!
//! A namespace lives as long as a process or a file descriptor holds it. These are held by this process and its
//! children alone: when they end, in whatever way, the namespaces and all interfaces in them are gone.
#![allow(unsafe_code)] // `unshare` is an unsafe function.

use std::{
    env,
    fs::{self, DirBuilder, File},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::DirBuilderExt as _,
    },
    path::{Path, PathBuf},
    process,
};

use ipnet::IpNet;
use overlay_types::MacAddr;
use rustix::{
    mount::{MountFlags, MountPropagationFlags, mount, mount_change},
    process::{getegid, geteuid},
    thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe},
};

use super::{DemoError, Doing as _};
use crate::netlink::{Link, Netlink};

/// The name of the interface to the cable, on both hosts.
pub(super) const UNDERLAY_DEVICE: &str = "eth0";

/// A host: a network namespace and what the demonstration knows of it.
pub(super) struct Host {
    /// `A` or `B`.
    pub(super) name: char,
    /// Its address on the cable.
    pub(super) underlay: Ipv4Addr,
    /// The MAC address of its end of the cable.
    pub(super) underlay_mac: MacAddr,
    /// Its address in the virtual network.
    pub(super) overlay: Ipv4Addr,
    /// The same of IPv6, where this machine has it.
    pub(super) overlay6: Option<Ipv6Addr>,
    namespace: OwnedFd,
    netlink: Netlink,
}

impl Host {
    /// The host of the network namespace that the calling thread is in; `number` is the last part of its addresses.
    fn here(name: char, number: u8) -> Result<Self, DemoError> {
        let namespace = File::open("/proc/thread-self/ns/net").doing("hold a network namespace")?.into();
        let netlink = Netlink::open().doing("open a netlink socket")?;
        Ok(Self {
            name,
            underlay: Ipv4Addr::new(192, 0, 2, number),
            underlay_mac: MacAddr::new([0x02, 0, 0, 0, 0, 0x09 + number]),
            overlay: Ipv4Addr::new(10, 42, 0, number),
            overlay6: has_ipv6().then(|| Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, number.into())),
            namespace,
            netlink,
        })
    }

    /// Moves the calling thread into this host: sockets and processes that it makes are there from now on.
    pub(super) fn enter(&self) -> Result<(), DemoError> {
        move_into_link_name_space(self.namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(io::Error::from)
            .doing("enter a network namespace")
    }

    /// An interface of this host.
    pub(super) fn link(&self, name: &str) -> Result<Link, DemoError> {
        let link = self.netlink.link(name).doing("look at an interface")?;
        link.ok_or_else(|| io::ErrorKind::NotFound.into()).doing("find an interface")
    }

    /// The overlay's addresses with their prefix lengths, as `ip address add` takes them.
    pub(super) fn overlay_networks(&self) -> impl Iterator<Item = String> {
        [format!("{}/24", self.overlay)].into_iter().chain(self.overlay6.map(|address| format!("{address}/64")))
    }

    fn connect(&self) -> io::Result<()> {
        let Some(link) = self.netlink.link(UNDERLAY_DEVICE)? else { return Err(io::ErrorKind::NotFound.into()) };
        let network = IpNet::new_assert(IpAddr::V4(self.underlay), 24);
        self.netlink.add_address(link.index, network)?;
        self.netlink.set_up(link.index)
    }
}

/// Makes two hosts and the cable between them. Moves the calling thread, which must be the only one of the process.
pub(super) fn pair() -> Result<[Host; 2], DemoError> {
    leave_the_network()?;
    let a = Host::here('A', 1)?;
    unshare(UnshareFlags::NEWNET).doing("make a second network namespace")?;
    let b = Host::here('B', 2)?;
    let end = |host: &Host| (UNDERLAY_DEVICE, host.underlay_mac);
    a.netlink
        .add_veth(end(&a), end(&b), b.namespace.as_fd())
        .and_then(|()| a.connect())
        .and_then(|()| b.connect())
        .doing("lay a virtual cable (veth) between the two hosts")?;
    Ok([a, b])
}

/// Moves into a new network namespace; for a user who may not, in a user namespace of its own.
fn leave_the_network() -> Result<(), DemoError> {
    let (uid, gid) = (geteuid(), getegid());
    if uid.is_root() {
        match unshare(UnshareFlags::NEWNET) {
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {}
            result => return result.doing("make a network namespace"),
        }
    }
    let enter = || {
        unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNET)?;
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("0 {} 1", uid.as_raw()))?;
        fs::write("/proc/self/gid_map", format!("0 {} 1", gid.as_raw()))
    };
    enter().map_err(|error| DemoError::NoNamespaces { error, remedy: remedy() })
}

fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: only `FILES` takes descriptors away from other threads, and nobody here asks for it.
    Ok(unsafe { unshare_unsafe(flags) }?)
}

/// How this machine is made to allow user namespaces.
fn remedy() -> &'static str {
    let is = |path: &str, value: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
    if geteuid().is_root() {
        "give the container CAP_SYS_ADMIN and CAP_NET_ADMIN"
    } else if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        "run as root, or allow them with `sudo sysctl kernel.unprivileged_userns_clone=1`"
    } else if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        "run as root, or allow them with `sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`"
    } else if is("/proc/sys/user/max_user_namespaces", "0") {
        "run as root, or allow them with `sudo sysctl user.max_user_namespaces=10000`"
    } else {
        "run as root"
    }
}

/// `true` where a new interface gets IPv6.
fn has_ipv6() -> bool {
    fs::read_to_string("/proc/sys/net/ipv6/conf/default/disable_ipv6").is_ok_and(|text| text.trim() == "0")
}

/// A directory that only this process and its children see, or, where mounting is not allowed, that only this user
/// may enter.
pub(super) struct PrivateDirectory {
    path: PathBuf,
    mounted: bool,
}

impl PrivateDirectory {
    /// Makes one. Moves the calling thread into a mount namespace of its own.
    pub(super) fn new() -> Result<Self, DemoError> {
        let temporary = env::temp_dir();
        if cover(&temporary).is_ok() {
            return Ok(Self { path: temporary, mounted: true });
        }
        let path = temporary.join(format!("tap-vtep-demo-{}", process::id()));
        DirBuilder::new().mode(0o700).create(&path).doing("make a temporary directory")?;
        Ok(Self { path, mounted: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        if !self.mounted {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Puts an empty file system over `path`, in a mount namespace of its own: it is gone with the last process in there.
fn cover(path: &Path) -> io::Result<()> {
    unshare(UnshareFlags::NEWNS)?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    Ok(mount("tmpfs", path, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=0700")?)
}
