//! Frames that do not fit: the segment, or the path to whom they are for.

use std::{net::IpAddr, time::Duration};

use overlay_types::MacAddr;
use vtep::{
    Cut, DataLane, DropReason, Encapsulation, Endpoint, EndpointOptions, Fragments, OptionClass, OptionType, REPLY_LEN,
    SegmentConfig, SegmentId, TapVerdict, TunnelOption,
};

const HERE: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);
const THERE: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 2]);
const UNKNOWN: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 3]);
const START: Duration = Duration::from_secs(100);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Sent,
    /// Dropped, and its sender hears of this MTU.
    Told(u16),
    Dropped,
}

/// An endpoint whose one segment has `THERE` at the first of two remotes.
struct Bed {
    endpoint: Endpoint,
    lane: DataLane,
    segment: SegmentId,
    remotes: [IpAddr; 2],
}

impl Bed {
    fn new(config: SegmentConfig) -> Self {
        let remotes = if config.underlay_is_ipv6 { ["2001:db8::2", "2001:db8::3"] } else { ["192.0.2.2", "192.0.2.3"] };
        let remotes = remotes.map(ip);
        let endpoint = Endpoint::new(EndpointOptions::new([1; 16]));
        let segment = endpoint.add_segment(config).unwrap();
        for remote in remotes {
            endpoint.add_flood(segment, remote).unwrap();
        }
        endpoint.add_forward(segment, THERE, remotes[0], START).unwrap();
        let lane = endpoint.lane().unwrap();
        Self { endpoint, lane, segment, remotes }
    }

    fn refused(&self, frame: &[u8]) -> Fate {
        let before = self.too_big();
        let mut reply = [0; REPLY_LEN];
        let refused = match self.lane.from_tap(self.segment, frame, &mut reply, START) {
            TapVerdict::Send(_) => Fate::Sent,
            TapVerdict::Held => panic!("nothing is suppressed"),
            TapVerdict::Answer(answer) => {
                assert_eq!((&answer[..6], &answer[6..12]), (&frame[6..12], &frame[..6]));
                let mtu = if answer[12] == 8 { &answer[40..42] } else { &answer[60..62] };
                Fate::Told(u16::from_be_bytes([mtu[0], mtu[1]]))
            }
            TapVerdict::Drop(reason) => {
                assert_eq!(reason, DropReason::TooBig);
                Fate::Dropped
            }
        };
        assert_eq!(self.too_big() - before, u64::from(refused != Fate::Sent));
        refused
    }

    fn too_big(&self) -> u64 {
        self.endpoint.statistics(self.segment).unwrap().drops.get(DropReason::TooBig)
    }
}

fn config() -> SegmentConfig {
    let mut config = SegmentConfig::new("42".parse().unwrap());
    config.mac = Some(HERE);
    config
}

/// A frame with an IP packet of this length.
fn packet(destination: MacAddr, is_ipv6: bool, length: u16) -> Vec<u8> {
    let mut frame = [&destination.octets()[..], &HERE.octets()].concat();
    if is_ipv6 {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend((length - 40).to_be_bytes());
        frame.extend([17, 64]);
        for last in [1, 2] {
            frame.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
        }
    } else {
        frame.extend([0x08, 0, 0x45, 0]);
        frame.extend(length.to_be_bytes());
        frame.extend([0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    }
    frame.resize(14 + usize::from(length), 0);
    frame
}

/// With each encapsulation, over each underlay: what fits goes, and one byte more is answered.
#[test]
fn the_path_s_limit_is_what_outer_headers_leave() {
    let option = TunnelOption { class: OptionClass::new(0x102), option_type: OptionType::new(1), data: vec![0; 8] };
    for (encapsulation, options, overhead) in [
        (Encapsulation::Vxlan, vec![], 50),
        (Encapsulation::Geneve, vec![], 50),
        (Encapsulation::Geneve, vec![option], 62),
        (Encapsulation::Nvgre, vec![], 42),
    ] {
        for underlay_is_ipv6 in [false, true] {
            let vni = "5000".parse().unwrap();
            let mut config = SegmentConfig::with_encapsulation(encapsulation, vni);
            config.options.clone_from(&options);
            (config.underlay_is_ipv6, config.mtu) = (underlay_is_ipv6, 9000);
            let bed = Bed::new(config);
            let overhead = if underlay_is_ipv6 { overhead + 20 } else { overhead };
            assert_eq!(bed.refused(&packet(THERE, false, 9000)), Fate::Sent);
            bed.endpoint.set_path_mtu(bed.remotes[0], 1400, START).unwrap();
            for is_ipv6 in [false, true] {
                assert_eq!(bed.refused(&packet(THERE, is_ipv6, 1400 - overhead)), Fate::Sent, "{encapsulation}");
                let told = Fate::Told(1400 - overhead);
                assert_eq!(bed.refused(&packet(THERE, is_ipv6, 1400 - overhead + 1)), told, "{encapsulation}");
            }
            bed.endpoint.forget_path_mtu(bed.remotes[0]);
            assert_eq!(bed.refused(&packet(THERE, false, 9000)), Fate::Sent);
            assert_eq!(bed.refused(&packet(THERE, false, 9001)), Fate::Told(9000));
        }
    }
}

#[test]
fn a_flooded_frame_for_one_station_must_fit_all_paths_and_one_for_many_any() {
    let bed = Bed::new(config());
    bed.endpoint.set_path_mtu(bed.remotes[1], 1400, START).unwrap();
    assert_eq!(bed.refused(&packet(THERE, false, 1450)), Fate::Sent, "its remote is the other");
    assert_eq!(bed.refused(&packet(UNKNOWN, false, 1350)), Fate::Sent);
    assert_eq!(bed.refused(&packet(UNKNOWN, false, 1351)), Fate::Told(1350));
    assert_eq!(bed.refused(&packet(MacAddr::BROADCAST, false, 1450)), Fate::Sent);
    assert_eq!(bed.refused(&packet(MacAddr::BROADCAST, false, 1451)), Fate::Dropped, "nobody can be told");
}

#[test]
fn without_df_paths_have_no_limit() {
    let mut config = config();
    config.fragments = Fragments::Allowed;
    let bed = Bed::new(config);
    bed.endpoint.set_path_mtu(bed.remotes[0], 1400, START).unwrap();
    assert_eq!(bed.refused(&packet(THERE, false, 1450)), Fate::Sent);
    assert_eq!(bed.refused(&packet(THERE, false, 1451)), Fate::Told(1450));
}

#[test]
fn what_is_no_ip_is_dropped_and_counted() {
    let bed = Bed::new(config());
    let mut frame = packet(THERE, false, 1451);
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    assert_eq!(bed.refused(&frame), Fate::Dropped);
}

#[test]
fn answers_are_limited_and_counts_are_not() {
    let bed = Bed::new(config());
    let frame = packet(THERE, false, 1451);
    let answered = (0..5000).filter(|_| bed.refused(&frame) == Fate::Told(1450)).count();
    assert_eq!(answered, 1000);
    assert_eq!(bed.too_big(), 5000);
}

#[test]
fn what_the_system_refuses_is_answered_as_far_as_the_path_is_known() {
    let bed = Bed::new(config());
    let frame = packet(THERE, false, 1450);
    let cut = Cut { frames: 7, largest: 1464 };
    let mut reply = [0; REPLY_LEN];
    let refused = |reply: &mut [u8; REPLY_LEN]| match bed.lane.refused_too_big(bed.segment, &frame, cut, reply, START) {
        TapVerdict::Answer(answer) => Some(answer.len()),
        _ => None,
    };
    assert_eq!(refused(&mut reply), None, "it fits for all that is known");
    assert_eq!(bed.too_big(), 7);
    assert_eq!(bed.lane.set_path_mtu(bed.remotes[0], 1300, START), Ok(1300));
    assert_eq!(refused(&mut reply), Some(14 + 576));
    assert_eq!(reply[40..42], 1250_u16.to_be_bytes());
    assert_eq!(bed.too_big(), 14);
}
