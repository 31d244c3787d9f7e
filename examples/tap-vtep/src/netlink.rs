//! The interfaces of this host, by rtnetlink: what there is, and what the program makes of it.
//!
//! A small blocking face over the asynchronous `rtnetlink`. Every error of the kernel keeps its errno, so that a
//! caller can tell `EPERM` from `ENODEV`.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsRawFd as _, BorrowedFd},
};

use futures_util::{Stream, StreamExt as _, pin_mut};
use ipnet::IpNet;
use overlay_types::MacAddr;
use rtnetlink::{
    AddressMessageBuilder, Error, Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_route::{
        AddressFamily,
        address::{AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope},
        link::{
            AfSpecInet, AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InetDevConf, InfoData, InfoKind, InfoVeth,
            LinkAttribute, LinkFlags, LinkMessage,
        },
        route::{
            RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteNextHopFlags, RouteScope,
            RouteType,
        },
    },
};
use tokio::runtime::{Builder, Runtime};

/// The longest name of an interface, in bytes (`IFNAMSIZ` less its zero).
const NAME_MAX: usize = 15;

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// Its number.
    pub(crate) index: u32,
    /// Its name.
    pub(crate) name: String,
    /// Its address, where it has one of six octets.
    pub(crate) mac: Option<MacAddr>,
    /// The largest packet that it takes, in bytes, without the Ethernet header.
    pub(crate) mtu: u32,
    /// `true` when it is set up, whether or not it has a carrier.
    pub(crate) up: bool,
    /// The largest super-frame that it is given, in bytes; 0 where the kernel does not say.
    pub(crate) gso_max_size: u32,
    /// The same for IPv4 alone; 0 before Linux 6.3, which has one bound for all.
    pub(crate) gso_ipv4_max_size: u32,
    /// How many frames it cuts a super-frame into at the most; 0 where the kernel does not say.
    pub(crate) gso_max_segs: u32,
    /// How many packets wait for it before one is dropped.
    pub(crate) tx_queue_len: u32,
    /// Packets received since it exists.
    pub(crate) rx_packets: u64,
    /// Packets sent since it exists.
    pub(crate) tx_packets: u64,
}

/// A connection to the kernel's tables, in the network namespace of the thread that opened it.
pub(crate) struct Netlink {
    runtime: Runtime,
    handle: Handle,
}

impl Netlink {
    /// Opens a connection in the network namespace of the calling thread. It stays in that one wherever the thread goes.
    pub(crate) fn open() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let handle = {
            let _context = runtime.enter();
            let (connection, handle, _) = rtnetlink::new_connection()?;
            runtime.spawn(connection);
            handle
        };
        Ok(Self { runtime, handle })
    }

    /// The interface with this name.
    pub(crate) fn link(&self, name: &str) -> io::Result<Option<Link>> {
        if name.is_empty() || name.len() > NAME_MAX {
            return Ok(None);
        }
        self.one_link(self.handle.link().get().match_name(name).execute())
    }

    /// The interface with this number.
    pub(crate) fn link_of_index(&self, index: u32) -> io::Result<Option<Link>> {
        self.one_link(self.handle.link().get().match_index(index).execute())
    }

    /// The interface that has this address.
    pub(crate) fn link_of_address(&self, address: IpAddr) -> io::Result<Option<Link>> {
        let index = self.addresses(None)?.iter().find(|entry| entry.ip == address).map(|entry| entry.link);
        index.map_or(Ok(None), |index| self.link_of_index(index))
    }

    /// The source address that the default route gives: of IPv4 if there is such a route, else of IPv6.
    ///
    /// That is the preferred source of the route with the lowest metric, or else the address of its interface that
    /// shares a network with the gateway, or else the first global one there.
    pub(crate) fn default_route_source(&self) -> io::Result<Option<IpAddr>> {
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut routes = self.default_routes(family)?;
            routes.sort_by_key(|route| route.metric);
            for route in routes {
                if let Some(source) = self.route_source(&route)? {
                    return Ok(Some(source));
                }
            }
        }
        Ok(None)
    }

    /// Sets the MTU of an interface, in bytes.
    pub(crate) fn set_mtu(&self, index: u32, mtu: u32) -> io::Result<()> {
        self.change(LinkUnspec::new_with_index(index).mtu(mtu))
    }

    /// Sets the MAC address of an interface.
    pub(crate) fn set_mac(&self, index: u32, mac: MacAddr) -> io::Result<()> {
        self.change(LinkUnspec::new_with_index(index).address(mac.octets().to_vec()))
    }

    /// Bounds the super-frames that an interface is given, in bytes with their IP header: of IPv6, and of IPv4.
    ///
    /// # Errors
    ///
    /// `EINVAL`: more than the device takes (`tso_max_size`, 65,536 of a TAP), or hardly more than headers.
    pub(crate) fn set_gso_max_size(&self, index: u32, bytes: u32) -> io::Result<()> {
        let message = LinkUnspec::new_with_index(index)
            .append_extra_attribute(LinkAttribute::GsoMaxSize(bytes))
            // Linux 6.3 and newer have a bound of its own for IPv4; others pass over what they don't know.
            .append_extra_attribute(LinkAttribute::GsoIpv4MaxSize(bytes));
        self.change(message)
    }

    /// Bounds how many segments a super-frame that an interface is given may have.
    ///
    /// # Errors
    ///
    /// `EINVAL`: more than the device takes (`tso_max_segs`, 65,535 of a TAP).
    pub(crate) fn set_gso_max_segs(&self, index: u32, segments: u32) -> io::Result<()> {
        let message = LinkUnspec::new_with_index(index);
        self.change(message.append_extra_attribute(LinkAttribute::GsoMaxSegs(segments)))
    }

    /// Sets how many packets wait for an interface before one is dropped.
    pub(crate) fn set_tx_queue_len(&self, index: u32, packets: u32) -> io::Result<()> {
        self.change(LinkUnspec::new_with_index(index).txqueuelen(packets))
    }

    /// Sets an interface up.
    pub(crate) fn set_up(&self, index: u32) -> io::Result<()> {
        self.change(LinkUnspec::new_with_index(index).up())
    }

    /// Puts an address on an interface, if it is not there already. An IPv6 address is usable at once, without duplicate
    /// address detection.
    pub(crate) fn add_address(&self, index: u32, address: IpNet) -> io::Result<()> {
        let mut request = self.handle.address().add(index, address.addr(), address.prefix_len());
        if address.addr().is_ipv6() {
            request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
        }
        match self.wait(request.execute()) {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
            result => result,
        }
    }

    /// Puts an address on an interface that is good for nothing but itself: no source for anything that leaves the host.
    pub(crate) fn add_host_address(&self, index: u32, address: IpNet) -> io::Result<()> {
        let mut request = self.handle.address().add(index, address.addr(), address.prefix_len());
        request.message_mut().header.scope = AddressScope::Host;
        self.wait(request.execute())
    }

    /// Has what comes in by an interface forwarded over IPv4, also from addresses of this host; the rest of the host stays as
    /// it is. The reverse path filter is loose there, also where that of all interfaces is strict: the higher number holds.
    ///
    /// This is what the sysctls `forwarding`, `accept_local` and `rp_filter` of the interface do, also where `/proc/sys` is
    /// read-only.
    pub(crate) fn forward_from(&self, index: u32) -> io::Result<()> {
        let mut settings = InetDevConf::default();
        settings.forwarding = 1;
        settings.accept_local = 1;
        settings.rp_filter = 2;
        let ipv4 = AfSpecUnspec::Inet(vec![AfSpecInet::DevConfRequest(settings)]);
        let message = LinkUnspec::new_with_index(index);
        self.change(message.append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![ipv4])))
    }

    /// Has IPv6 make no address by itself on an interface.
    pub(crate) fn make_no_ipv6_address(&self, index: u32) -> io::Result<()> {
        let ipv6 = AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)]);
        let message = LinkUnspec::new_with_index(index);
        match self.change(message.append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![ipv6]))) {
            // There is no IPv6 on this host, or not on this interface.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EINVAL)) => Ok(()),
            result => result,
        }
    }

    /// Has one address reached through an interface.
    pub(crate) fn add_host_route(&self, index: u32, destination: Ipv4Addr) -> io::Result<()> {
        let message = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(destination, 32)
            .output_interface(index)
            .scope(RouteScope::Link)
            .build();
        self.wait(self.handle.route().add(message).execute())
    }

    /// Has an interface ask nobody for MAC addresses: everything goes to its own.
    pub(crate) fn set_no_arp(&self, index: u32) -> io::Result<()> {
        self.change(LinkUnspec::new_with_index(index).arp(false))
    }

    /// Takes an address from an interface; no error when it is not there.
    pub(crate) fn remove_address(&self, index: u32, address: IpNet) -> io::Result<()> {
        let message = match address {
            IpNet::V4(address) => AddressMessageBuilder::<Ipv4Addr>::new()
                .index(index)
                .address(address.addr(), address.prefix_len())
                .build(),
            IpNet::V6(address) => AddressMessageBuilder::<Ipv6Addr>::new()
                .index(index)
                .address(address.addr(), address.prefix_len())
                .build(),
        };
        match self.wait(self.handle.address().del(message).execute()) {
            Err(error) if error.raw_os_error() == Some(libc::EADDRNOTAVAIL) => Ok(()),
            result => result,
        }
    }

    /// Makes a virtual cable: an interface `name` with this MAC address here, and its other end, `peer`, in another
    /// network namespace.
    pub(crate) fn add_veth(
        &self,
        (name, mac): (&str, MacAddr),
        (peer, peer_mac): (&str, MacAddr),
        peer_namespace: BorrowedFd<'_>,
    ) -> io::Result<()> {
        let peer = LinkMessageBuilder::<LinkUnspec>::new()
            .name(peer)
            .address(peer_mac.octets().to_vec())
            .setns_by_fd(peer_namespace.as_raw_fd())
            .build();
        let message = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
            .name(name)
            .address(mac.octets().to_vec())
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)));
        self.wait(self.handle.link().add(message.build()).execute())
    }

    fn change(&self, message: LinkMessageBuilder<LinkUnspec>) -> io::Result<()> {
        self.wait(self.handle.link().change(message.build()).execute())
    }

    fn wait<T>(&self, future: impl Future<Output = Result<T, Error>>) -> io::Result<T> {
        self.runtime.block_on(future).map_err(io_error)
    }

    fn all<T>(&self, stream: impl Stream<Item = Result<T, Error>>) -> io::Result<Vec<T>> {
        self.runtime.block_on(async {
            pin_mut!(stream);
            let mut items = Vec::new();
            while let Some(item) = stream.next().await {
                items.push(item.map_err(io_error)?);
            }
            Ok(items)
        })
    }

    fn one_link(&self, stream: impl Stream<Item = Result<LinkMessage, Error>>) -> io::Result<Option<Link>> {
        match self.all(stream) {
            Ok(messages) => Ok(messages.into_iter().next().map(link)),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The addresses of one interface, or of all, in the kernel's order.
    fn addresses(&self, index: Option<u32>) -> io::Result<Vec<Address>> {
        let mut request = self.handle.address().get();
        if let Some(index) = index {
            request = request.set_link_index_filter(index);
        }
        Ok(self.all(request.execute())?.iter().filter_map(address).collect())
    }

    fn default_routes(&self, family: AddressFamily) -> io::Result<Vec<DefaultRoute>> {
        let mut request = RouteMessage::default();
        request.header.address_family = family;
        match self.all(self.handle.route().get(request).execute()) {
            // Without IPv6 the kernel may answer for all families that it has.
            Ok(routes) => Ok(routes
                .iter()
                .filter(|route| route.header.address_family == family)
                .filter_map(default_route)
                .collect()),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EAFNOSUPPORT)) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn route_source(&self, route: &DefaultRoute) -> io::Result<Option<IpAddr>> {
        if route.source.is_some() {
            return Ok(route.source);
        }
        let Some(link) = route.link else { return Ok(None) };
        let addresses = self.addresses(Some(link))?;
        let mut usable = addresses.iter().filter(|entry| entry.usable && entry.ip.is_ipv4() == route.ipv4);
        let beside_the_gateway =
            usable.clone().find(|entry| route.gateway.is_some_and(|gateway| entry.reaches(gateway)));
        Ok(beside_the_gateway.or_else(|| usable.next()).map(|entry| entry.ip))
    }
}

/// An address of an interface.
struct Address {
    link: u32,
    ip: IpAddr,
    prefix_len: u8,
    /// Global, permanent and not in doubt: fit to be the source of a tunnel.
    usable: bool,
}

impl Address {
    fn reaches(&self, other: IpAddr) -> bool {
        IpNet::new(self.ip, self.prefix_len).is_ok_and(|network| network.contains(&other))
    }
}

fn address(message: &AddressMessage) -> Option<Address> {
    // On a point-to-point interface `Address` is the other end and `Local` is ours.
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let ip = local.or_else(|| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    })?;
    let flags = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Flags(flags) => Some(*flags),
        _ => None,
    });
    let flags = flags.unwrap_or(AddressFlags::from_bits_retain(message.header.flags.bits().into()));
    // `Secondary` marks a temporary address in IPv6.
    let unfit = AddressFlags::Secondary | AddressFlags::Tentative | AddressFlags::Dadfailed | AddressFlags::Deprecated;
    Some(Address {
        link: message.header.index,
        ip,
        prefix_len: message.header.prefix_len,
        usable: matches!(message.header.scope, AddressScope::Universe | AddressScope::Site) && !flags.intersects(unfit),
    })
}

/// A default route of the main table.
#[derive(Debug, PartialEq, Eq)]
struct DefaultRoute {
    ipv4: bool,
    metric: u32,
    source: Option<IpAddr>,
    gateway: Option<IpAddr>,
    link: Option<u32>,
}

fn default_route(message: &RouteMessage) -> Option<DefaultRoute> {
    let header = &message.header;
    let dead = header.flags.intersects(RouteFlags::Dead | RouteFlags::Linkdown);
    if header.destination_prefix_length != 0 || header.kind != RouteType::Unicast || dead {
        return None;
    }
    let mut table = u32::from(header.table);
    let mut route = DefaultRoute {
        ipv4: header.address_family == AddressFamily::Inet,
        metric: 0,
        source: None,
        gateway: None,
        link: None,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Priority(metric) => route.metric = *metric,
            RouteAttribute::PrefSource(source) => route.source = ip(source),
            RouteAttribute::Gateway(gateway) => route.gateway = ip(gateway),
            RouteAttribute::Oif(link) => route.link = Some(*link),
            RouteAttribute::MultiPath(hops) => {
                let unfit = RouteNextHopFlags::Dead | RouteNextHopFlags::Linkdown;
                let Some(hop) = hops.iter().find(|hop| !hop.flags.intersects(unfit)) else { continue };
                route.link = Some(hop.interface_index);
                route.gateway = hop.attributes.iter().find_map(|attribute| match attribute {
                    RouteAttribute::Gateway(gateway) => ip(gateway),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    (table == u32::from(RouteHeader::RT_TABLE_MAIN)).then_some(route)
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

fn link(message: LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        mac: None,
        mtu: 0,
        up: message.header.flags.contains(LinkFlags::Up),
        gso_max_size: 0,
        gso_ipv4_max_size: 0,
        gso_max_segs: 0,
        tx_queue_len: 0,
        rx_packets: 0,
        tx_packets: 0,
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::GsoMaxSize(bytes) => link.gso_max_size = bytes,
            LinkAttribute::GsoIpv4MaxSize(bytes) => link.gso_ipv4_max_size = bytes,
            LinkAttribute::GsoMaxSegs(segments) => link.gso_max_segs = segments,
            LinkAttribute::TxQueueLen(packets) => link.tx_queue_len = packets,
            LinkAttribute::Address(octets) => link.mac = <[u8; 6]>::try_from(octets).ok().map(MacAddr::new),
            LinkAttribute::Stats64(stats) => {
                link.rx_packets = stats.rx_packets;
                link.tx_packets = stats.tx_packets;
            }
            _ => {}
        }
    }
    link
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_keep_their_errno() {
        let netlink = Netlink::open().unwrap();
        let error = netlink.set_mtu(u32::try_from(i32::MAX).unwrap(), 1500).unwrap_err();
        assert!(matches!(error.raw_os_error(), Some(libc::ENODEV | libc::EPERM)), "{error}");
    }

    #[test]
    fn bounds_of_super_frames_cannot_be_set_where_nothing_is() {
        let netlink = Netlink::open().unwrap();
        let nowhere = u32::try_from(i32::MAX).unwrap();
        for result in [
            netlink.set_gso_max_size(nowhere, 32_000),
            netlink.set_gso_max_segs(nowhere, 64),
            netlink.set_tx_queue_len(nowhere, 1000),
        ] {
            let error = result.unwrap_err();
            assert!(matches!(error.raw_os_error(), Some(libc::ENODEV | libc::EPERM)), "{error}");
        }
    }

    /// A device of its own in a network namespace of its own.
    #[cfg(feature = "interop")]
    #[test]
    fn bounds_of_super_frames_are_set_and_read() {
        let namespace = testbed::Namespace::new("bounds");
        namespace.ip("tuntap add dev tap0 mode tap");
        let (before, after, refused) = namespace.enter(|| {
            let netlink = Netlink::open().unwrap();
            let before = netlink.link("tap0").unwrap().unwrap();
            netlink.set_gso_max_size(before.index, 64_000).unwrap();
            netlink.set_gso_max_segs(before.index, 64).unwrap();
            netlink.set_tx_queue_len(before.index, 1234).unwrap();
            let refused = netlink.set_gso_max_size(before.index, 1 << 20).unwrap_err();
            (before, netlink.link("tap0").unwrap().unwrap(), refused)
        });
        assert_eq!((before.gso_max_size, before.gso_max_segs), (65_536, 65_535));
        assert_eq!((after.gso_max_size, after.gso_ipv4_max_size), (64_000, 64_000));
        assert_eq!((after.gso_max_segs, after.tx_queue_len), (64, 1234));
        assert_eq!(refused.raw_os_error(), Some(libc::EINVAL));
    }

    #[test]
    fn links_are_found_by_name_number_and_address() {
        let netlink = Netlink::open().unwrap();
        let loopback = netlink.link("lo").unwrap().unwrap();
        assert_eq!((loopback.name.as_str(), loopback.mac), ("lo", Some(MacAddr::ZERO)));
        assert!(loopback.gso_max_size > 0, "{loopback:?}");
        assert_eq!(netlink.link_of_index(loopback.index).unwrap().unwrap().name, "lo");
        if loopback.up {
            let owner = netlink.link_of_address("127.0.0.1".parse().unwrap()).unwrap().unwrap();
            assert_eq!(owner.name, "lo");
        }
    }

    #[test]
    fn what_does_not_exist_is_none() {
        let netlink = Netlink::open().unwrap();
        for name in ["", "no-such-link", "a-name-of-more-than-fifteen-bytes"] {
            assert_eq!(netlink.link(name).unwrap(), None, "{name:?}");
        }
        assert_eq!(netlink.link_of_index(u32::try_from(i32::MAX).unwrap()).unwrap(), None);
        assert_eq!(netlink.link_of_address("203.0.113.77".parse().unwrap()).unwrap(), None);
    }

    fn message(prefix_len: u8, table: u8, attributes: Vec<RouteAttribute>) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        message.header.destination_prefix_length = prefix_len;
        message.header.table = table;
        message.header.kind = RouteType::Unicast;
        message.attributes = attributes;
        message
    }

    #[test]
    fn only_default_routes_of_the_main_table_count() {
        let gateway = RouteAttribute::Gateway(RouteAddress::Inet([192, 0, 2, 254].into()));
        let attributes = vec![RouteAttribute::Oif(3), RouteAttribute::Priority(100), gateway];
        let expected = DefaultRoute {
            ipv4: true,
            metric: 100,
            source: None,
            gateway: Some([192, 0, 2, 254].into()),
            link: Some(3),
        };
        assert_eq!(default_route(&message(0, 254, attributes.clone())), Some(expected));
        assert_eq!(default_route(&message(24, 254, attributes.clone())), None);
        assert_eq!(default_route(&message(0, 255, attributes.clone())), None);
        let mut dead = message(0, 254, attributes.clone());
        dead.header.flags = RouteFlags::Linkdown;
        assert_eq!(default_route(&dead), None);
        let mut unreachable = message(0, 254, attributes);
        unreachable.header.kind = RouteType::Unreachable;
        assert_eq!(default_route(&unreachable), None);
    }

    #[test]
    fn an_address_in_doubt_is_not_usable() {
        let mut message = AddressMessage::default();
        message.header.index = 3;
        message.header.prefix_len = 24;
        message.attributes =
            vec![AddressAttribute::Address([192, 0, 2, 2].into()), AddressAttribute::Local([192, 0, 2, 1].into())];
        let plain = address(&message).unwrap();
        assert_eq!((plain.ip, plain.usable), ([192, 0, 2, 1].into(), true));
        assert!(plain.reaches([192, 0, 2, 254].into()) && !plain.reaches([192, 0, 3, 1].into()));
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Permanent | AddressFlags::Tentative));
        assert!(!address(&message).unwrap().usable);
        message.attributes.pop();
        message.header.scope = AddressScope::Link;
        assert!(!address(&message).unwrap().usable);
    }
}
