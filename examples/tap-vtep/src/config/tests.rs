//! Configurations that are right, and every way in which one is wrong.

use std::{net::IpAddr, time::Duration};

use vtep::{AllowedSources, Dscp, EcnMode, Fragments, ReservedBits, Sources, Storm, Ttl, Vlan};

use super::*;

const SMALL: &str = "underlay = { local = \"192.0.2.1\" }\n[[segment]]\nname = \"blue\"\nvni = 42\ntap = \"blue0\"\n";

/// The one line that says what is wrong.
fn complaint(text: &str) -> String {
    let problem = Config::parse(text).expect_err("a configuration that is wrong");
    let (line, column) = problem.place(text);
    format!("{line}:{column}: {problem}")
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn every_key() {
    let config = Config::parse(
        r#"
            [underlay]
            local = "192.0.2.1"
            device = "eth0"
            super_frames = "tunnel-gso"
            path_mtu_probe = "15s"

            [workers]
            count = 4
            busy_poll = 50
            io_uring = false

            [metrics]
            listen = "[::1]:9472"

            [[segment]]
            name = "blue"
            encapsulation = "vxlan"
            vni = 42
            port = 8472
            tap = "blue0"
            mtu = 1400
            mac = "02:00:00:00:00:01"
            addresses = ["10.42.0.1/24", "fd00::1/64"]
            flood = ["192.0.2.2"]
            group = "239.1.1.1"
            learning = false
            ageing = "1h"
            max_entries = 100
            sources = "any"
            suppress = true
            reserved_bits = "reject"
            vlan = "carry"
            storm = { broadcast = 1000, unknown_unicast = 2000, multicast = 3000, burst = 40 }
            anti_spoofing = true
            allowed = [{ mac = "02:00:00:00:00:02", ips = ["10.42.0.3", "fd00::3"] }, { mac = "02:00:00:00:00:03" }]
            ecn = "compatibility"
            ttl = "inherit"
            dscp = 46
            df = false
            udp_checksum = false
            source_ports = [50000, 50100]

            [[segment.fdb]]
            mac = "5e:f8:4f:00:e3:37"
            remote = "192.0.2.2"

            [[segment.neighbor]]
            ip = "10.42.0.2"
            mac = "5e:f8:4f:00:e3:37"
        "#,
    )
    .unwrap();
    assert_eq!((&config.locals[..], config.device.as_deref()), (&[ip("192.0.2.1")][..], Some("eth0")));
    assert_eq!(config.super_frames, SuperFrames::TunnelGso);
    assert_eq!(config.path_mtu_probe, Duration::from_secs(15));
    assert_eq!(config.workers, WorkerOptions { count: 4, busy_poll: Duration::from_micros(50), io_uring: Some(false) });
    assert_eq!(config.metrics, Some("[::1]:9472".parse().unwrap()));
    let [segment] = config.segments.as_slice() else { panic!("one segment") };
    assert_eq!((segment.name.as_str(), segment.tap.as_str(), segment.mtu), ("blue", "blue0", Some(1400)));
    assert_eq!(segment.addresses, ["10.42.0.1/24".parse().unwrap(), "fd00::1/64".parse().unwrap()]);
    assert_eq!(segment.flood, [ip("192.0.2.2"), ip("239.1.1.1")]);
    let mac = "5e:f8:4f:00:e3:37".parse().unwrap();
    assert_eq!(segment.forwards, [(mac, ip("192.0.2.2"))]);
    assert_eq!(segment.neighbors, [(ip("10.42.0.2"), mac)]);
    assert!(!segment.df && !segment.udp_checksum);
    let mut rules = SegmentConfig::new(Vni::new(42).unwrap());
    rules.port = 8472;
    rules.mac = Some("02:00:00:00:00:01".parse().unwrap());
    rules.learning = false;
    rules.ageing = Some(Duration::from_secs(3600));
    rules.max_entries = 100;
    rules.sources = Sources::Any;
    rules.reserved_bits = ReservedBits::Reject;
    rules.vlan = Vlan::Carry;
    rules.fragments = Fragments::Allowed;
    rules.addresses = vec![ip("10.42.0.1"), ip("fd00::1")];
    rules.suppress = true;
    rules.storm =
        Some(Storm { broadcast: Some(1000), unknown_unicast: Some(2000), multicast: Some(3000), burst: Some(40) });
    rules.allowed_sources = Some(AllowedSources::stations([
        ("02:00:00:00:00:02".parse().unwrap(), vec![ip("10.42.0.3"), ip("fd00::3")]),
        ("02:00:00:00:00:03".parse().unwrap(), vec![]),
    ]));
    rules.ecn = EcnMode::Compatibility;
    rules.ttl = Ttl::Inherit;
    rules.dscp = Dscp::Fixed(46);
    rules.source_ports = 50000..=50100;
    assert_eq!(segment.rules, rules);
}

#[test]
fn what_is_not_said_is_by_the_book() {
    let config = Config::parse(SMALL).unwrap();
    assert_eq!(config.super_frames, SuperFrames::Auto);
    assert_eq!(config.path_mtu_probe, Duration::ZERO);
    assert_eq!(config.metrics, None);
    assert_eq!(config.workers, WorkerOptions { count: 1, busy_poll: Duration::ZERO, io_uring: None });
    let segment = &config.segments[0];
    assert_eq!(segment.rules, SegmentConfig::new(Vni::new(42).unwrap()));
    assert!(segment.df && segment.udp_checksum);
    assert_eq!(segment.mtu, None);
    let config = Config::parse(&SMALL.replace("tap = \"blue0\"", "ageing = \"0s\"")).unwrap();
    assert_eq!(config.segments[0].tap, "blue");
    assert_eq!(config.segments[0].rules.ageing, None);
    let config = Config::parse(&SMALL.replace("192.0.2.1", "auto")).unwrap();
    assert_eq!((config.locals, config.segments[0].local), (Vec::new(), None));
}

/// A configuration with these addresses and segments of these lines.
fn with_locals(locals: &str, segments: &[&str]) -> String {
    let segments = segments.iter().enumerate();
    let segments = segments.map(|(number, lines)| format!("[[segment]]\nname = \"s{number}\"\nvni = 42\n{lines}\n"));
    format!("underlay = {{ local = {locals} }}\n{}", segments.collect::<String>())
}

#[test]
fn a_segment_has_the_first_address_that_fits() {
    let locals = "[\"192.0.2.1\", \"192.0.2.9\", \"2001:db8::1\"]";
    for (lines, expected) in [
        ("port = 1", "192.0.2.1"),
        ("flood = [\"192.0.2.2\"]", "192.0.2.1"),
        ("flood = [\"2001:db8::2\"]", "2001:db8::1"),
        ("group = \"ff05::42\"", "2001:db8::1"),
        ("[[segment.fdb]]\nmac = \"02:00:00:00:00:02\"\nremote = \"2001:db8::2\"", "2001:db8::1"),
        ("local = \"192.0.2.9\"", "192.0.2.9"),
        ("local = \"192.0.2.9\"\nflood = [\"192.0.2.2\"]", "192.0.2.9"),
    ] {
        let config = Config::parse(&with_locals(locals, &[lines])).unwrap();
        assert_eq!(config.segments[0].local, Some(ip(expected)), "{lines}");
    }
    // On different addresses a VNI stands for different segments.
    let both = ["flood = [\"192.0.2.2\"]", "local = \"192.0.2.9\"", "flood = [\"2001:db8::2\"]"];
    let config = Config::parse(&with_locals(locals, &both)).unwrap();
    let locals: Vec<_> = config.segments.iter().map(|segment| segment.local.unwrap().to_string()).collect();
    assert_eq!(locals, ["192.0.2.1", "192.0.2.9", "2001:db8::1"]);
}

#[test]
fn addresses_that_do_not_fit_are_refused() {
    let mixed = "[\"192.0.2.1\", \"2001:db8::1\"]";
    for (locals, lines, expected) in [
        ("[]", "", "1:22: underlay.local: invalid length 0, expected an IP address, a list of them, or \"auto\""),
        ("1", "", "1:22: underlay.local: invalid type: integer `1`, expected an IP address"),
        ("[\"auto\"]", "", "1:22: underlay.local: \"auto\" is not an IP address"),
        ("[\"192.0.2.1\", \"192.0.2.1\"]", "", "1:22: underlay.local: 192.0.2.1 is in the list already"),
        ("[\"192.0.2.1\", \"::\"]", "", "1:22: underlay.local: :: is not the address of one host"),
        (mixed, "local = \"192.0.2.9\"", "5:9: segment[0].local: 192.0.2.9 is none of the addresses of underlay.local"),
        (
            "\"auto\"",
            "local = \"192.0.2.1\"",
            "5:9: segment[0].local: 192.0.2.1 is none of the addresses of underlay.local",
        ),
        (
            mixed,
            "flood = [\"192.0.2.2\", \"2001:db8::2\"]",
            "5:23: segment[0].flood[1]: 2001:db8::2 is an IPv6 address and the underlay is IPv4",
        ),
        (
            mixed,
            "local = \"2001:db8::1\"\nflood = [\"192.0.2.2\"]",
            "6:10: segment[0].flood[0]: 192.0.2.2 is an IPv4 address and the underlay is IPv6",
        ),
    ] {
        let complaint = complaint(&with_locals(locals, &[lines]));
        assert!(complaint.starts_with(expected), "{locals}, {lines}: {complaint}");
    }
    let twice = complaint(&with_locals(mixed, &["", "flood = [\"192.0.2.2\"]"]));
    assert!(twice.starts_with("8:7: segment[1].vni: segment \"s0\" has VNI 42 on port 4789"), "{twice}");
}

#[test]
fn anti_spoofing_alone_means_the_tap() {
    let with = |more: &str| Config::parse(&format!("{SMALL}{more}")).unwrap().segments[0].rules.allowed_sources.clone();
    let addresses = "addresses = [\"10.42.0.1/24\", \"fd00::1/64\"]";
    let own = AllowedSources::own_station(vec![ip("10.42.0.1"), ip("fd00::1")]);
    assert_eq!(with(&format!("anti_spoofing = true\n{addresses}")), Some(own));
    assert_eq!(with(&format!("anti_spoofing = false\n{addresses}")), None);
    assert_eq!(with("allowed = []"), Some(AllowedSources::stations([])));
}

#[test]
fn behind_a_group_anybody_may_be() {
    let with = |more: &str| Config::parse(&format!("{SMALL}{more}")).unwrap().segments[0].rules.sources;
    assert_eq!(with("flood = [\"192.0.2.2\"]"), Sources::Configured);
    assert_eq!(with("group = \"239.1.1.1\""), Sources::Any);
    assert_eq!(with("group = \"239.1.1.1\"\nsources = \"configured\""), Sources::Configured);
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (more, expected) in [
        ("colour = 1", "6:1: segment[0].colour: unknown field `colour`, expected one of "),
        ("vni = 43", "6:1: duplicate key"),
        ("mac = \"02:00:00:00:00\"", "6:7: segment[0].mac: a MAC address has 6 octets, not 5"),
        ("mac = \"01:00:00:00:00:01\"", "6:7: segment[0].mac: 01:00:00:00:00:01 is not a unicast MAC address"),
        (
            "flood = [\"192.0.2.2\", \"2001:db8::2\"]",
            "6:23: segment[0].flood[1]: 2001:db8::2 is an IPv6 address and the underlay is IPv4",
        ),
        ("flood = [\"192.0.2.2\", \"192.0.2.2\"]", "6:23: segment[0].flood[1]: 192.0.2.2 is in the list already"),
        ("flood = [\"0.0.0.0\"]", "6:10: segment[0].flood[0]: 0.0.0.0 is not the address of one host"),
        ("flood = [\"peer\"]", "6:10: segment[0].flood[0]: invalid IP address syntax"),
        ("group = \"192.0.2.2\"", "6:9: segment[0].group: 192.0.2.2 is not a multicast address"),
        ("port = 0", "6:8: segment[0].port: "),
        ("port = 65536", "6:8: segment[0].port: "),
        ("mtu = 575", "6:7: segment[0].mtu: must be from 576 to 65461"),
        ("mtu = 65462", "6:7: segment[0].mtu: must be from 576 to 65461"),
        ("ageing = \"soon\"", "6:10: segment[0].ageing: \"soon\" is not a duration such as \"300s\": "),
        ("ttl = 0", "6:7: segment[0].ttl: invalid value: integer `0`, expected a number from 1 to 255 or \"inherit\""),
        ("dscp = 64", "6:8: segment[0].dscp: "),
        ("ecn = \"off\"", "6:7: segment[0].ecn: unknown variant `off`, expected `normal` or `compatibility`"),
        ("sources = \"all\"", "6:11: segment[0].sources: unknown variant `all`, expected `configured` or `any`"),
        ("source_ports = [2, 1]", "6:16: segment[0].source_ports: "),
        ("source_ports = [0, 1]", "6:16: segment[0].source_ports: "),
        ("encapsulation = \"nvgre\"\nport = 47", "7:8: segment[0].port: nvgre has no port"),
        ("encapsulation = \"nvgre\"\nudp_checksum = true", "7:16: segment[0].udp_checksum: nvgre has no UDP header"),
        (
            "[[segment]]\nname = \"red\"\nencapsulation = \"nvgre\"\nvni = 16777215",
            "9:7: segment[1].vni: the VSID 16777215 is not for tenants (RFC 7637 §3.2)",
        ),
        ("vlan = 4095", "6:8: segment[0].vlan: "),
        ("vlan = \"map\"", "6:8: segment[0].vlan: "),
        (
            "vlan = 7\n[[segment]]\nname = \"red\"\nvni = 43\ntap = \"blue0\"\nvlan = 7",
            "11:8: segment[1].vlan: segment \"blue\" is VLAN 7 of blue0",
        ),
        (
            "vlan = 7\n[[segment]]\nname = \"red\"\nvni = 43\ntap = \"blue0\"",
            "10:7: segment[1].tap: segment \"blue\" has this TAP",
        ),
        (
            "vlan = 7\naddresses = [\"10.0.0.1/24\"]",
            "5:7: segment[0].addresses: 10.0.0.1/24 belongs on a VLAN interface of the trunk, not on the trunk",
        ),
        ("vni = 5000", "6:1: "),
        ("group_policy = 65536", "6:16: segment[0].group_policy: "),
        ("encapsulation = \"geneve\"\ngroup_policy = 1", "7:16: segment[0].group_policy: geneve has no group policy"),
        ("[[segment.option]]\nclass = 1\ntype = 1\ndata = \"\"", "7:9: segment[0].option: vxlan has no options"),
        (
            "encapsulation = \"geneve\"\n[[segment.option]]\nclass = 1\ntype = 1\ndata = \"0x12\"",
            "10:8: segment[0].option[0].data: \"0x12\" is not a number of bytes in hexadecimal, such as \"00010002\"",
        ),
        (
            "encapsulation = \"geneve\"\n[[segment.option]]\nclass = 1\ntype = 1\ndata = \"123456\"",
            "10:8: segment[0].option[0].data: ",
        ),
        (
            "[[segment]]\nname = \"red\"\nencapsulation = \"geneve\"\nport = 4789\nvni = 42",
            "9:8: segment[1].port: another segment speaks vxlan on port 4789",
        ),
        ("encapsulation = \"vlan\"", "6:17: segment[0].encapsulation: unknown encapsulation \"vlan\""),
        ("[registry]\nkind = \"etcd\"", "6:1: registry: is not supported yet"),
        ("[metrics]\nlisten = \"9472\"", "7:10: metrics.listen: invalid socket address syntax"),
        (
            "[metrics]\nlisten = \"127.0.0.1:0\"",
            "7:10: metrics.listen: 127.0.0.1:0 is not an address and a port to listen on",
        ),
        ("[metrics]\nport = 9472", "7:1: metrics.port: unknown field `port`, expected `listen`"),
        ("[metrics]", "6:1: metrics: missing field `listen`"),
        (
            "[[segment]]\nname = \"red\"\nvni = 42\ntap = \"red0\"",
            "8:7: segment[1].vni: segment \"blue\" has VNI 42 on port 4789",
        ),
        ("[[segment]]\nname = \"blue\"\nvni = 43", "7:8: segment[1].name: another segment is named \"blue\""),
        (
            "[[segment]]\nname = \"red\"\nvni = 43\ntap = \"blue0\"",
            "9:7: segment[1].tap: segment \"blue\" has this TAP",
        ),
        ("[[segment]]\nname = \"red\"", "6:1: segment[1]: missing field `vni`"),
        (
            "[[segment.fdb]]\nmac = \"02:00:00:00:00:02\"\nremote = \"239.1.1.1\"",
            "8:10: segment[0].fdb[0].remote: 239.1.1.1 is not the address of one host",
        ),
        (
            "[[segment.neighbor]]\nip = \"10.0.0.1\"\nmac = \"00:00:00:00:00:00\"",
            "8:7: segment[0].neighbor[0].mac: 00:00:00:00:00:00 is not a unicast MAC address",
        ),
        ("name =", "6:7: "),
    ] {
        let complaint = complaint(&format!("{SMALL}{more}\n"));
        assert!(complaint.starts_with(expected), "{more}: {complaint}");
        assert!(!complaint.contains('\n'), "{more}: {complaint}");
    }
}

#[test]
fn mistakes_in_what_must_be_there() {
    for (from, to, expected) in [
        ("42", "16777216", "4:7: segment[0].vni: a VNI has 24 bits: the largest is 16777215"),
        ("42", "-1", "4:7: segment[0].vni: "),
        ("42", "\"blue\"", "4:7: segment[0].vni: "),
        (
            "blue0",
            "a-very-long-name",
            "5:7: segment[0].tap: \"a-very-long-name\" has 16 bytes, an interface name has at most 15",
        ),
        ("blue0", "a/b", "5:7: segment[0].tap: \"a/b\" is not an interface name"),
        ("blue0", "tap%d", "5:7: segment[0].tap: \"tap%d\" is not an interface name"),
        ("192.0.2.1", "here", "1:22: underlay.local: \"here\" is neither an IP address nor \"auto\""),
        ("192.0.2.1", "224.0.0.1", "1:22: underlay.local: 224.0.0.1 is not the address of one host"),
        ("\"blue\"", "\"two words\"", "3:8: segment[0].name: must be a word without white space"),
    ] {
        let complaint = complaint(&SMALL.replace(from, to));
        assert!(complaint.starts_with(expected), "{to}: {complaint}");
    }
    assert_eq!(complaint("underlay = { local = \"192.0.2.1\" }"), "1:1: segment: there is no [[segment]]");
    assert!(complaint("").contains("missing field `underlay`"));
}

/// The keys that a section may have, as the complaint about an unknown one lists them.
fn known_keys(section: &str) -> Vec<String> {
    let complaint = complaint(section);
    let (_, expected) = complaint.split_once("unknown field `zz`, expected ").unwrap_or_else(|| panic!("{complaint}"));
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// tap-vtep.toml(5) is written by hand.
#[test]
fn every_key_is_in_the_manual_page_and_no_other() {
    let page = include_str!("../../../../packaging/tap-vtep.toml.5");
    let sections: BTreeMap<_, _> =
        page.split("\n.SH ").skip(1).filter_map(|section| section.split_once('\n')).collect();
    let segment = |inner: &str| format!("{SMALL}{inner}zz = 1\n");
    for (parent, text) in [
        ("", "zz = 1\n".to_owned()),
        ("underlay", "[underlay]\nzz = 1\n".to_owned()),
        ("workers", "[workers]\nzz = 1\n".to_owned()),
        ("metrics", "[metrics]\nzz = 1\n".to_owned()),
        ("segment", segment("")),
        ("segment.fdb", segment("[[segment.fdb]]\n")),
        ("segment.neighbor", segment("[[segment.neighbor]]\n")),
        ("segment.option", segment("[[segment.option]]\n")),
    ] {
        let section = |name: &str| {
            [format!("[{name}]"), format!("[[{name}]]")].iter().find_map(|name| sections.get(name.as_str())).copied()
        };
        let body = section(parent).unwrap_or_default();
        let listed: BTreeSet<_> = body.split(".TP\n.B ").skip(1).filter_map(|entry| entry.lines().next()).collect();
        let known = known_keys(&text);
        for key in &known {
            let path = if parent.is_empty() { key.clone() } else { format!("{parent}.{key}") };
            let is_there = listed.contains(key.as_str()) || section(&path).is_some();
            assert!(is_there, "packaging/tap-vtep.toml.5 does not have {path}");
        }
        for key in listed {
            assert!(known.iter().any(|known| known == key), "packaging/tap-vtep.toml.5 has {parent}.{key}");
        }
    }
}
