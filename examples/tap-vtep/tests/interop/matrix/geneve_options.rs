//! Geneve options, of which Open vSwitch matches and sets any.

use overlay_types::MacAddr;
use testbed::{
    Direction, Encapsulation, Family, FrameSender, Host, Numbered, OpenVswitchVtep, Ping, Sniffer, ping, wait_until,
};

use super::{Pair, in_silence, peer::Peer};
use crate::{
    bed::{Counts, guest_address, stranger},
    shown::{Feature, With, shown},
};

const COUNT: u32 = 500;

/// The switch puts this option into each frame of its guest from now on.
fn send_option(peer: &OpenVswitchVtep, option: &str) {
    let flow =
        format!("priority=30,in_port={},actions=set_field:0xcafebabe->tun_metadata0,NORMAL", OpenVswitchVtep::ACCESS);
    peer.switch().openflow(&["del-flows", OpenVswitchVtep::BRIDGE, &format!("in_port={}", OpenVswitchVtep::ACCESS)]);
    peer.switch().openflow(&["del-tlv-map", OpenVswitchVtep::BRIDGE]);
    peer.switch().openflow(&["add-tlv-map", OpenVswitchVtep::BRIDGE, &format!("{option}->tun_metadata0")]);
    peer.switch().openflow(&["add-flow", OpenVswitchVtep::BRIDGE, &flow]);
}

/// RFC 8926 §3.5: the high bit of the type says that it is critical.
#[test]
fn unknown_options_are_ignored_and_unknown_critical_ones_refused() {
    for outer in Family::ALL {
        let pair = Pair::new(Encapsulation::Geneve, With::OpenVswitch, outer);
        let Peer::OpenVswitch(peer) = &pair.peer else { unreachable!("as it was made") };
        let options_len = 14 + if outer == Family::V4 { 20 } else { 40 } + 8;
        let with_options =
            Sniffer::new(&pair.underlay.host(0).namespace, Host::DEVICE, Direction::Incoming, move |frame| {
                // Two words, and the critical bit.
                frame.get(options_len).is_some_and(|first| first & 0x3f == 2)
            });
        send_option(peer, "{class=0x0102,type=0x01,len=4}");
        let drops = Counts::of(&pair.vtep).drops;
        let got = ping(&peer.guest, guest_address(1, Family::V4), 3);
        assert_eq!(got, Ping { sent: 3, received: 3, duplicates: 0 }, "{}", pair.context());
        wait_until("the option is on the wire", || with_options.count() >= 3);
        assert_eq!(Counts::of(&pair.vtep).drops, drops, "{}", pair.context());

        send_option(peer, "{class=0x0102,type=0x81,len=4}");
        let read = || (Counts::of(&pair.vtep), pair.peer.frames()[0]);
        let (before, sent_before) = in_silence(read);
        let frames = Numbered::new(MacAddr::BROADCAST, stranger(1), 1);
        let mut sender = FrameSender::new(&peer.guest, OpenVswitchVtep::GUEST_DEVICE);
        let dropped = || Counts::of(&pair.vtep).drops_in_all();
        super::traffic::send_in_step(&mut sender, frames.frames(COUNT), dropped);
        wait_until("all are dropped", || {
            Counts::of(&pair.vtep).drops_in_all() >= before.drops_in_all() + u64::from(COUNT)
        });
        let (after, sent) = in_silence(read);
        // The guest may have said something else meanwhile.
        let expected = before.clone().and_dropped("unknown_critical_option", sent - sent_before);
        assert_eq!((after.delivered, after.drops), (expected.delivered, expected.drops), "{}", pair.context());
        shown(Feature::OptionsIgnored, Encapsulation::Geneve, With::OpenVswitch, outer);
    }
}

#[test]
fn configured_options_are_in_every_frame() {
    for outer in Family::ALL {
        let option = "[[segment.option]]\nclass = 0x0102\ntype = 1\ndata = \"00010002\"\n";
        let pair = Pair::with_lines(Encapsulation::Geneve, With::OpenVswitch, outer, option);
        let Peer::OpenVswitch(peer) = &pair.peer else { unreachable!("as it was made") };
        let openflow = |words: &[&str]| peer.switch().openflow(words);
        openflow(&["add-tlv-map", OpenVswitchVtep::BRIDGE, "{class=0x0102,type=0x01,len=4}->tun_metadata0"]);
        for flow in [
            "priority=30,in_port=tunnel0,tun_metadata0=0x00010002,actions=NORMAL",
            "priority=20,in_port=tunnel0,actions=drop",
        ] {
            openflow(&["add-flow", OpenVswitchVtep::BRIDGE, flow]);
        }
        let before = pair.on_the_way();
        let [ours, theirs] = pair.guests();
        for inner in Family::ALL {
            let addresses = [1, 2].map(|number| guest_address(number, inner));
            super::traffic::ping_all_sizes(ours, theirs, addresses, &pair.context());
            super::traffic::streams(ours, theirs, addresses, &pair.context());
        }
        pair.expect_balance(before, "with an option");
        shown(Feature::OptionsSent, Encapsulation::Geneve, With::OpenVswitch, outer);
    }
}
