//! What most tests start from: our endpoint on the first host, and peers of either kind on the others.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use overlay_types::MacAddr;
use serde_json::Value;
pub(crate) use testbed::guest_address;
use testbed::{Family, Host, KernelVtep, KernelVtepOptions, Scratch, TapVtep, Underlay, ping, vxlan, wait_until};

use crate::tunnel::Tunnel;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_tap-vtep");

/// The TAP of most tests.
pub(crate) const TAP: &str = "tap0";

/// The VNI of most tests.
pub(crate) const VNI: u32 = 42;

/// RFC 7348 §5.
pub(crate) const PORT: u16 = 4789;

/// A configuration with one segment: [`VNI`] on [`TAP`], and these lines.
pub(crate) fn one_segment(host: &Host, family: Family, lines: &str) -> String {
    format!(
        "[underlay]\nlocal = \"{}\"\n\n[[segment]]\nname = \"blue\"\nvni = {VNI}\ntap = \"{TAP}\"\n{lines}\n",
        host.address(family)
    )
}

/// The same configuration with super-frames going out so: `"auto"`, `"socket"`, `"tunnel-gso"`.
pub(crate) fn with_super_frames(way: &str, configuration: &str) -> String {
    configuration.replace("[underlay]\n", &format!("[underlay]\nsuper_frames = \"{way}\"\n"))
}

/// Our endpoint on the first host, configured so.
pub(crate) fn start(underlay: &Underlay, family: Family, lines: &str) -> TapVtep {
    let host = underlay.host(0);
    TapVtep::configured(PROGRAM, &host.namespace, &one_segment(host, family, lines))
}

/// `flood = [ … ]` with all hosts but the first.
pub(crate) fn flood_to_all(underlay: &Underlay, family: Family) -> String {
    let others: Vec<_> = underlay.hosts()[1..].iter().map(|host| format!("\"{}\"", host.address(family))).collect();
    format!("flood = [{}]", others.join(", "))
}

/// Kernel VXLAN on all hosts but the first; each floods to all others.
pub(crate) fn kernel_peers(underlay: &Underlay, family: Family) -> Vec<KernelVtep> {
    let hosts = underlay.hosts();
    hosts[1..]
        .iter()
        .map(|host| {
            let others: Vec<_> = hosts
                .iter()
                .filter(|other| other.number() != host.number())
                .map(|other| other.address(family))
                .collect();
            KernelVtep::new(host, &KernelVtepOptions { vni: VNI, port: PORT, ..KernelVtepOptions::to(&others) })
        })
        .collect()
}

/// Gives the TAP of the first host the addresses of a guest of that host.
pub(crate) fn add_guest_addresses(underlay: &Underlay) {
    let namespace = &underlay.host(0).namespace;
    namespace.add_address(TAP, guest_address(1, Family::V4), 24);
    namespace.add_address(TAP, guest_address(1, Family::V6), 64);
}

/// The MAC address of our TAP.
pub(crate) fn tap_mac(underlay: &Underlay) -> MacAddr {
    underlay.host(0).namespace.device(TAP)["address"].as_str().unwrap().parse().unwrap()
}

/// A MAC address that nothing else has.
pub(crate) fn stranger(number: u32) -> MacAddr {
    let [a, b, c, d] = number.to_be_bytes();
    MacAddr::new([0x06, 0, a, b, c, d])
}

/// A peer that sends what the test makes by hand, and sees exactly what it is sent.
pub(crate) struct HandPeer {
    socket: UdpSocket,
    address: IpAddr,
    us: SocketAddr,
}

impl HandPeer {
    /// On the host with this index, on [`PORT`].
    pub(crate) fn new(underlay: &Underlay, host: usize, family: Family) -> Self {
        let address = underlay.host(host).address(family);
        let socket = underlay.host(host).namespace.udp_socket((address, PORT));
        Self { socket, address, us: (underlay.host(0).address(family), PORT).into() }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Sends our endpoint a datagram.
    pub(crate) fn send_datagram(&self, payload: &[u8]) {
        self.socket.send_to(payload, self.us).unwrap();
    }

    /// Sends our endpoint a frame in the segment [`VNI`].
    pub(crate) fn send(&self, frame: &[u8]) {
        self.send_datagram(&vxlan(VNI, frame));
    }

    /// The next datagram from our endpoint.
    pub(crate) fn receive(&self) -> Vec<u8> {
        let mut buffer = vec![0; 1 << 16];
        let len = self.socket.recv(&mut buffer).unwrap();
        buffer.truncate(len);
        buffer
    }
}

/// Runs the program in the namespace of the first host to its end, as `check` and a `run` that fails do.
pub(crate) fn run_to_end(underlay: &Underlay, words: &[&str]) -> testbed::Finished {
    let words: Vec<_> = [PROGRAM].iter().chain(words).copied().collect();
    underlay.host(0).namespace.run(&words)
}

/// A file with this configuration.
pub(crate) fn configuration_file(files: &Scratch, configuration: &str) -> String {
    files.write("vtep.toml", configuration).display().to_string()
}

/// What the hosts' devices on the underlay do for what they carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cable {
    /// As a veth is made: super-frames go across uncut, and nobody makes a checksum.
    Veth,
    /// Frames of the MTU with whole checksums, one by one.
    Wire,
    /// The same, merged again where they arrive.
    WireWithGro,
}

impl Cable {
    pub(crate) const ALL: [Self; 3] = [Self::Veth, Self::Wire, Self::WireWithGro];

    /// Makes all hosts' devices so.
    pub(crate) fn lay(self, underlay: &Underlay) {
        let offloads = match self {
            Self::Veth => return,
            Self::Wire => "tx off tso off gso off gro off",
            Self::WireWithGro => "tx off tso off gso off gro on",
        };
        underlay.hosts().iter().for_each(|host| host.namespace.set_offloads(Host::DEVICE, offloads));
    }
}

/// Our endpoint on the first two hosts, with the addresses of guests on their TAPs. What the first one's guest said
/// before the second was there is no longer on its way.
pub(crate) fn start_two(underlay: &Underlay, family: Family, lines: &str) -> [TapVtep; 2] {
    start_two_with("auto", Tunnel::Vxlan, underlay, family, lines)
}

/// The same by this tunnel, with super-frames going out so.
pub(crate) fn start_two_with(
    way: &str,
    tunnel: Tunnel,
    underlay: &Underlay,
    family: Family,
    lines: &str,
) -> [TapVtep; 2] {
    let both = [0, 1].map(|index| {
        let (here, there) = (underlay.host(index), underlay.host(1 - index));
        let lines = format!("flood = [\"{}\"]\n{lines}", there.address(family));
        let configuration = with_super_frames(way, &tunnel.one_segment(here, family, &lines));
        let vtep = TapVtep::configured(PROGRAM, &here.namespace, &configuration);
        for inner in Family::ALL {
            let prefix_len = if inner == Family::V4 { 24 } else { 64 };
            here.namespace.add_address(TAP, guest_address(here.number(), inner), prefix_len);
        }
        vtep
    });
    for inner in Family::ALL {
        wait_until("they reach each other", || {
            ping(&underlay.host(0).namespace, guest_address(2, inner), 1).received == 1
        });
    }
    both
}

/// How many frames of the first endpoint the second has not delivered, and those of the second the first, when for a
/// moment nothing has been on its way.
pub(crate) fn missing(both: &[TapVtep; 2]) -> [u64; 2] {
    let read = || both.each_ref().map(Counts::of);
    let mut counts = read();
    wait_until("the guests are silent for a moment", || {
        std::thread::sleep(Duration::from_millis(200));
        let before = std::mem::replace(&mut counts, read());
        counts == before
    });
    let [one, two] = counts;
    [one.sent.abs_diff(two.delivered), two.sent.abs_diff(one.delivered)]
}

/// Waits until what was sent since then has been delivered (what was on its way then, too), but for what the
/// system had no room for in the sockets.
pub(crate) fn expect_all_delivered(underlay: &Underlay, both: &[TapVtep; 2], before: [u64; 2], context: &str) {
    let lost = |host: &Host| {
        ["UdpRcvbufErrors", "Udp6RcvbufErrors"]
            .map(|counter| host.namespace.protocol_counter(counter))
            .iter()
            .sum::<u64>()
    };
    let in_sockets = [1, 0].map(|receiver| lost(underlay.host(receiver)));
    let is_delivered = || {
        let now = missing(both);
        // Of a message that a socket had no room for, nobody knows how many datagrams it had.
        (0..2).all(|way| in_sockets[way] > 0 || now[way] <= before[way])
    };
    wait_until(&format!("all is delivered, {before:?} but {:?}: {context}", missing(both)), is_delivered);
}

/// What the endpoint has counted since it started, all segments and the rest together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) delivered: u64,
    /// Questions that were answered, or held back.
    pub(crate) suppressed: u64,
    /// Reasons that were met.
    pub(crate) drops: BTreeMap<String, u64>,
}

impl Counts {
    pub(crate) fn of(vtep: &TapVtep) -> Self {
        let statistics = vtep.show("stats");
        let segments = statistics["segments"].as_array().unwrap();
        let sum = |counter: &str| segments.iter().map(|segment| segment[counter].as_u64().unwrap()).sum();
        let mut drops = BTreeMap::new();
        for row in segments.iter().chain([&statistics]) {
            for (reason, count) in row["drops"].as_object().unwrap() {
                *drops.entry(reason.clone()).or_default() += count.as_u64().unwrap();
            }
        }
        drops.retain(|_, count| *count > 0);
        Self { sent: sum("tx_frames"), delivered: sum("rx_frames"), suppressed: sum("suppressed"), drops }
    }

    /// Frames and datagrams that the endpoint has dealt with.
    pub(crate) fn total(&self) -> u64 {
        self.sent + self.delivered + self.suppressed + self.drops_in_all()
    }

    /// Drops for any reason.
    pub(crate) fn drops_in_all(&self) -> u64 {
        self.drops.values().sum()
    }

    /// The same with so many drops more.
    pub(crate) fn and_dropped(mut self, reason: &str, count: u64) -> Self {
        *self.drops.entry(reason.to_owned()).or_default() += count;
        self
    }

    /// The same with so many sent more.
    pub(crate) fn and_sent(self, count: u64) -> Self {
        Self { sent: self.sent + count, ..self }
    }

    /// The same with so many delivered more.
    pub(crate) fn and_delivered(self, count: u64) -> Self {
        Self { delivered: self.delivered + count, ..self }
    }

    /// Nothing has been dropped.
    #[track_caller]
    pub(crate) fn expect_no_drop(vtep: &TapVtep, context: &str) {
        let counts = Self::of(vtep);
        assert!(counts.drops.is_empty(), "{counts:?}: {context}");
    }

    /// Waits until the endpoint has dealt with as many, and compares.
    #[track_caller]
    pub(crate) fn expect(&self, vtep: &TapVtep) {
        wait_until(&format!("{self:?}; {:?}", Self::of(vtep)), || Self::of(vtep).total() >= self.total());
        assert_eq!(Self::of(vtep), *self);
    }
}

/// Waits until the table says that a MAC address is at this remote.
#[track_caller]
pub(crate) fn expect_at(vtep: &TapVtep, mac: MacAddr, remote: &str) {
    wait_until(&format!("{mac} is at {remote}: {}", vtep.show("fdb")), || {
        vtep.remote_of(mac).as_deref() == Some(remote)
    });
}

/// How many rows the table has.
pub(crate) fn rows(vtep: &TapVtep) -> usize {
    vtep.show("fdb").as_array().map(Vec::len).unwrap()
}

/// The lines of standard error that say something, one for a mistake.
pub(crate) fn only_line(finished: &testbed::Finished) -> &str {
    let lines: Vec<_> = finished.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{finished}");
    lines[0]
}

/// The keys of a JSON object, in order.
pub(crate) fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap_or_else(|| panic!("no object: {object}")).keys().map(String::as_str).collect()
}
