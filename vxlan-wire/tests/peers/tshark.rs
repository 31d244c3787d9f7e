//! What we encode, read by tshark.

use geneve_wire::{GeneveBuilder, GeneveHeader, OptionClass, OptionType};
use nvgre_wire::{FlowId, NvgreHeader, Vsid};
use overlay_types::{EtherType, Vni};
use proptest::{collection::vec, prelude::*};
use vxlan_wire::{GbpHeader, GpeHeader, GroupPolicy, NextProtocol, VxlanHeader};

use crate::peers::{self, check_by_tshark, hex};

/// Behind each tunnel header: an Ethernet frame of a type for experiments.
const FRAME: &[u8; 18] = b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x88\xb5data";

/// One packet: the bytes of its tunnel header, and what tshark has to say about them, field by field.
struct Packet {
    tunnel: Vec<u8>,
    fields: Vec<String>,
}

/// Random packets in an underlay of IPv4 and UDP to `port`, or of IPv4 alone without a port.
fn check<T: std::fmt::Debug>(
    name: &str,
    port: Option<u16>,
    fields: &[&str],
    strategy: impl Strategy<Value = T>,
    encode: impl Fn(T) -> Packet,
) {
    check_by_tshark(name, &[], fields, strategy, |value| {
        let Packet { tunnel, fields } = encode(value);
        peers::Packet { frame: frame(port, &[&tunnel[..], FRAME].concat()), fields }
    });
}

/// An Ethernet frame around `tunnel`, which has no more than 1,400 bytes.
fn frame(port: Option<u16>, tunnel: &[u8]) -> Vec<u8> {
    let short = |len: usize| u16::try_from(len).expect("a short packet").to_be_bytes();
    let udp = port.map_or(Vec::new(), |port| {
        [51_234_u16.to_be_bytes(), port.to_be_bytes(), short(8 + tunnel.len()), [0, 0]].concat()
    });
    let protocol = if port.is_some() { 17 } else { NvgreHeader::IP_PROTOCOL };
    let [high, low] = short(20 + udp.len() + tunnel.len());
    let ip = [0x45, 0, high, low, 0, 0, 0x40, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
    [&b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\0"[..], &ip, &udp, tunnel].concat()
}

fn vni() -> impl Strategy<Value = Vni> {
    any::<[u8; 3]>().prop_map(Vni::from_be_bytes)
}

#[test]
fn vxlan() {
    let fields = ["vxlan.flags", "vxlan.vni", "vxlan.reserved8", "frame.protocols"];
    let strategy = (vni(), any::<u8>(), any::<[u8; 3]>(), any::<u8>());
    check("vxlan", Some(VxlanHeader::UDP_PORT), &fields, strategy, |(vni, flags, reserved, reserved2)| {
        let mut header = VxlanHeader::new(vni);
        header.set_flags(flags | VxlanHeader::FLAG_I);
        header.set_reserved(reserved);
        header.set_reserved2(reserved2);
        let mut tunnel = vec![0; VxlanHeader::LEN];
        header.write_to(&mut tunnel).expect("room for the header");
        // tshark takes the first 16 bits as flags.
        let fields = vec![
            format!("0x{:02x}{:02x}", header.flags(), reserved[0]),
            vni.to_string(),
            reserved2.to_string(),
            "eth:ethertype:ip:udp:vxlan:eth:ethertype:data".to_owned(),
        ];
        Packet { tunnel, fields }
    });
}

#[test]
fn group_policy() {
    let fields = ["vxlan.flags", "vxlan.gbp", "vxlan.vni"];
    let strategy = (vni(), any::<(u16, bool, bool)>());
    check("gbp", Some(GbpHeader::UDP_PORT), &fields, strategy, |(vni, (id, dont_learn, policy_applied))| {
        let policy = GroupPolicy { id, dont_learn, policy_applied };
        let mut tunnel = vec![0; GbpHeader::LEN];
        GbpHeader::new(vni, Some(policy)).write_to(&mut tunnel).expect("room for the header");
        let flags = 0x8800 | u16::from(dont_learn) << 6 | u16::from(policy_applied) << 3;
        Packet { tunnel, fields: vec![format!("{flags:#06x}"), id.to_string(), vni.to_string()] }
    });
}

#[test]
fn generic_protocol_extension() {
    let fields = ["vxlan.flags", "vxlan.next_proto", "vxlan.vni"];
    let strategy = (vni(), any::<u8>(), any::<(bool, bool)>());
    check("gpe", Some(GpeHeader::UDP_PORT), &fields, strategy, |(vni, protocol, (bum, oam))| {
        let mut header = GpeHeader::new(vni, NextProtocol::new(protocol));
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        header.set_flags(header.flags() | flag(bum, GpeHeader::FLAG_B) | flag(oam, GpeHeader::FLAG_O));
        let mut tunnel = vec![0; GpeHeader::LEN];
        header.write_to(&mut tunnel).expect("room for the header");
        Packet { tunnel, fields: vec![format!("{:#04x}", header.flags()), protocol.to_string(), vni.to_string()] }
    });
}

#[test]
fn geneve() {
    let fields = [
        "geneve.version",
        "geneve.flags.oam",
        "geneve.flags.critical",
        "geneve.proto_type",
        "geneve.vni",
        "geneve.option.class",
        "geneve.option.type",
        "geneve.option.length",
        "geneve.option.unknown.data",
    ];
    // Classes for experiments: tshark has no layouts of its own for them.
    let option = (0xff00..=0xffff_u16, any::<u8>(), vec(any::<[u8; 4]>(), 0..=31));
    let strategy = (vni(), any::<bool>(), any::<bool>(), vec(option, 0..6));
    check("geneve", Some(GeneveHeader::UDP_PORT), &fields, strategy, |(vni, control, ethernet, options)| {
        let protocol_type = if ethernet { EtherType::TRANSPARENT_ETHERNET_BRIDGING } else { EtherType::new(0x88b5) };
        let mut tunnel = vec![0; GeneveHeader::MAX_LEN];
        let mut builder = GeneveBuilder::new(&mut tunnel, vni, protocol_type).expect("room for the header");
        builder.set_control(control);
        let (mut classes, mut types, mut lengths, mut data) = (vec![], vec![], vec![], vec![]);
        let mut critical = false;
        for (class, option_type, words) in options {
            let bytes = words.concat();
            // More than 252 bytes in all: refused, so it is not there.
            if builder.push(OptionClass::new(class), OptionType::new(option_type), &bytes).is_err() {
                continue;
            }
            critical |= option_type & 0x80 != 0;
            classes.push(format!("{class:#06x}"));
            types.push(format!("{option_type:#04x}"));
            lengths.push((4 + bytes.len()).to_string());
            if !bytes.is_empty() {
                data.push(hex(&bytes));
            }
        }
        let len = builder.finish();
        tunnel.truncate(len);
        // Of all options together, before each of them.
        lengths.insert(0, (len - GeneveHeader::LEN).to_string());
        let fields = vec![
            "0".to_owned(),
            u8::from(control).to_string(),
            u8::from(critical).to_string(),
            format!("{:#06x}", protocol_type.get()),
            format!("{:#08x}", vni.get()),
            classes.join(";"),
            types.join(";"),
            lengths.join(";"),
            data.join(";"),
        ];
        Packet { tunnel, fields }
    });
}

#[test]
fn nvgre() {
    let fields = ["gre.flags_and_version", "gre.proto", "gre.key", "frame.protocols"];
    let strategy = (Vsid::MIN.get()..=Vsid::MAX.get(), any::<u8>());
    check("nvgre", None, &fields, strategy, |(vsid, flow_id)| {
        let header = NvgreHeader::new(Vsid::new(vsid).expect("not reserved"), FlowId::new(flow_id));
        let mut tunnel = vec![0; NvgreHeader::LEN];
        header.write_to(&mut tunnel).expect("room for the header");
        let fields = vec![
            "0x2000".to_owned(),
            "0x6558".to_owned(),
            format!("{:#010x}", vsid << 8 | u32::from(flow_id)),
            "eth:ethertype:ip:gre:eth:ethertype:data".to_owned(),
        ];
        Packet { tunnel, fields }
    });
}
