//! The underlay's interface gets another MTU while the program runs: segments without an MTU of their own follow.

use testbed::{Family, FrameSender, Host, TapVtep, Underlay, wait_until};

use crate::bed::{Counts, PROGRAM, TAP, flood_to_all, one_segment, stranger};

#[test]
fn segments_and_taps_follow_the_underlay_s_mtu() {
    for outer in Family::ALL {
        let underlay = Underlay::new(2);
        let host = underlay.host(0);
        let flood = flood_to_all(&underlay, outer);
        let others: String = [
            "name = \"fixed\"\nvni = 43\ntap = \"fixed0\"\nmtu = 1300\n",
            "name = \"one\"\nvni = 44\ntap = \"trunk0\"\nvlan = 7\n",
            "name = \"two\"\nencapsulation = \"nvgre\"\nvni = 5000\ntap = \"trunk0\"\nvlan = 8\n",
            "name = \"three\"\nvni = 45\ntap = \"trunk1\"\nvlan = 7\nmtu = 1400\n",
            "name = \"four\"\nvni = 46\ntap = \"trunk1\"\nvlan = 8\n",
        ]
        .map(|lines| format!("[[segment]]\n{lines}{flood}\n"))
        .concat();
        let configuration = one_segment(host, outer, &flood) + &others;
        let vtep = TapVtep::configured(PROGRAM, &host.namespace, &configuration);
        let overhead = u64::from(outer.vxlan_overhead());
        let number = |device: &str, key: &str| host.namespace.device(device)[key].as_u64().unwrap();
        let bound = number(TAP, "gso_max_size");
        for mtu in [1400_u64, 9000, 1500] {
            let context = format!("{outer:?}, {mtu}");
            host.namespace.ip(&format!("link set {} mtu {mtu}", Host::DEVICE));
            let fitting = mtu - overhead;
            let shown = || -> Vec<u64> {
                let segments = vtep.show("segments");
                segments.as_array().unwrap().iter().map(|segment| segment["mtu"].as_u64().unwrap()).collect()
            };
            let shared = fitting.min(1400);
            let expected = [fitting, 1300, fitting, fitting, shared, shared];
            wait_until(&format!("they follow, {:?}: {context}", shown()), || shown() == expected);
            let of_taps = [TAP, "fixed0", "trunk0", "trunk1"].map(|tap| number(tap, "mtu"));
            assert_eq!(of_taps, [fitting, 1300, fitting, shared], "{context}");
            assert_eq!(number(TAP, "gso_max_size") == bound, mtu == 1500, "{context}");

            // The data path's own limit.
            let before = Counts::of(&vtep);
            let frames = [0, 1].map(|more| {
                let mut frame = vec![0xff; 14 + (fitting + more) as usize];
                frame[6..12].copy_from_slice(&stranger(1).octets());
                frame
            });
            host.namespace.ip(&format!("link set {TAP} mtu 9500"));
            let mut sender = FrameSender::new(&host.namespace, TAP);
            for frame in &frames {
                sender.send(frame);
            }
            before.and_sent(1).and_dropped("too_big", 1).expect(&vtep);
        }
        let says = |words: &str| vtep.log().iter().filter(|line| line.contains(words)).count();
        let (small, large) = (1400 - overhead, 1500 - overhead);
        assert_eq!(says(&format!("the underlay's MTU is 1400, and the segment's {small} instead of {large}")), 3);
        assert_eq!(says("segment=\"fixed\""), 1, "{:?}", vtep.log());
        assert_eq!(vtep.stop().status, Some(0));
    }
}
