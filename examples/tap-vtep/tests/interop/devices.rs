//! The TAP and the underlay device: made, attached to, gone and back, gone for good.

use std::time::Duration;

use rustix::process::Signal;
use testbed::{
    Family, Flood, Host, KernelVtep, KernelVtepOptions, PATIENCE, Ping, TapVtep, Underlay, ping, wait_until,
};

use crate::bed::{
    PORT, PROGRAM, TAP, VNI, add_guest_addresses, flood_to_all, guest_address, kernel_peers, one_segment, start,
};
use crate::shown::{Feature, With, shown_by_vxlan};

const ALL: Ping = Ping { sent: 3, received: 3, duplicates: 0 };

#[test]
fn a_tap_is_made_as_configured_and_removed_at_the_end() {
    let underlay = Underlay::new(2);
    let ours = &underlay.host(0).namespace;
    // A device that appears may have IPv6 here.
    ours.set_sysctl("net/ipv6/conf/default/disable_ipv6", "0");
    let lines = format!(
        "{}\nmtu = 1300\nmac = \"02:00:00:00:00:77\"\naddresses = [\"10.50.0.1/24\", \"fd00:50::1/64\"]",
        flood_to_all(&underlay, Family::V4)
    );
    let vtep = start(&underlay, Family::V4, &lines);
    let device = ours.device(TAP);
    assert_eq!((&device["mtu"], &device["address"]), (&1300.into(), &"02:00:00:00:00:77".into()));
    assert!(device["flags"].to_string().contains("\"UP\""), "{device}");
    let addresses = device["addr_info"].to_string();
    assert!(addresses.contains("\"10.50.0.1\"") && addresses.contains("\"fd00:50::1\""), "{addresses}");
    assert_eq!(vtep.show("segments")[0]["mtu"], 1300);
    assert_eq!(vtep.stop().status, Some(0));
    assert!(!ours.has_device(TAP));
}

#[test]
fn options_of_the_command_line_make_the_same() {
    let underlay = Underlay::new(2);
    let ours = &underlay.host(0).namespace;
    let (local, remote) = (underlay.host(0).address(Family::V4), underlay.host(1).address(Family::V4));
    let (local, remote) = (local.to_string(), remote.to_string());
    let vtep = TapVtep::run(
        PROGRAM,
        ours,
        &[
            "--vni",
            "42",
            "--tap",
            TAP,
            "--local",
            &local,
            "--remote",
            &remote,
            "--encapsulation",
            "vxlan",
            "--port",
            "8472",
            "--address",
            "10.50.0.1/24",
            "--mtu",
            "1400",
        ],
    );
    let device = ours.device(TAP);
    assert_eq!(device["mtu"], 1400);
    assert!(device["addr_info"].to_string().contains("\"10.50.0.1\""));
    let segment = &vtep.show("segments")[0];
    assert_eq!((&segment["port"], &segment["flood"]), (&8472.into(), &serde_json::json!([remote])));
    assert_eq!(vtep.stop().status, Some(0));
    assert!(!ours.has_device(TAP));
}

/// What the endpoint did not make stays.
#[test]
fn a_tap_that_exists_is_attached_to_and_left_in_place() {
    let underlay = Underlay::new(2);
    let ours = &underlay.host(0).namespace;
    let peers = kernel_peers(&underlay, Family::V4);
    ours.ip(&format!("tuntap add {TAP} mode tap"));
    ours.ip(&format!("link set {TAP} address 02:00:00:00:00:55 up"));
    let vtep = start(&underlay, Family::V4, &flood_to_all(&underlay, Family::V4));
    add_guest_addresses(&underlay);
    assert_eq!(ping(ours, peers[0].guest_address(Family::V4), 3), ALL);
    assert_eq!(ours.device(TAP)["address"], "02:00:00:00:00:55");
    assert_eq!(vtep.stop().status, Some(0));
    assert!(ours.has_device(TAP));
}

/// A TAP may live elsewhere: moved into a guest's namespace it goes on working.
#[test]
fn a_tap_that_is_moved_into_a_guest_goes_on() {
    let underlay = Underlay::new(2);
    let ours = &underlay.host(0).namespace;
    let peers = kernel_peers(&underlay, Family::V4);
    let _vtep = start(&underlay, Family::V4, &flood_to_all(&underlay, Family::V4));
    let guest = testbed::Namespace::new("guest1");
    ours.ip(&format!("link set {TAP} netns {} name eth0", guest.name()));
    guest.ip("link set eth0 up");
    guest.add_address("eth0", guest_address(1, Family::V4), 24);
    assert_eq!(ping(&guest, peers[0].guest_address(Family::V4), 3), ALL);
    assert_eq!(ping(&peers[0].guest, guest_address(1, Family::V4), 3), ALL);
}

/// Somebody deletes the TAP that the endpoint attached to, and makes it again.
#[test]
fn a_tap_that_is_deleted_and_made_again_is_taken_up_again() {
    let underlay = Underlay::new(2);
    let ours = &underlay.host(0).namespace;
    let peers = kernel_peers(&underlay, Family::V4);
    let make = || {
        ours.ip(&format!("tuntap add {TAP} mode tap"));
        ours.ip(&format!("link set {TAP} up"));
    };
    make();
    let mut vtep = start(&underlay, Family::V4, &flood_to_all(&underlay, Family::V4));
    for _ in 0..3 {
        ours.ip(&format!("link del {TAP}"));
        make();
        wait_until("the endpoint holds the new TAP", || {
            !vtep.is_running() || ours.device(TAP)["flags"].to_string().contains("LOWER_UP")
        });
        assert!(vtep.is_running(), "{:?}", vtep.log());
        add_guest_addresses(&underlay);
        assert_eq!(ping(ours, peers[0].guest_address(Family::V4), 3), ALL);
    }
    assert_eq!(vtep.stop().status, Some(0));
    shown_by_vxlan(Feature::Returns, With::Kernel, Family::V4);
}

/// A TAP that is gone for good, or whose name belongs to something else now, ends the program with status 1 and one clear line.
#[test]
fn a_tap_that_is_gone_for_good_ends_the_program() {
    for instead in ["nothing", "bridge"] {
        let underlay = Underlay::new(2);
        let ours = &underlay.host(0).namespace;
        let vtep = start(&underlay, Family::V4, &flood_to_all(&underlay, Family::V4));
        // Stopped, so that it sees the end only.
        vtep.signal(Signal::STOP);
        ours.ip(&format!("link del {TAP}"));
        if instead == "bridge" {
            ours.ip(&format!("link add {TAP} type bridge"));
        }
        vtep.signal(Signal::CONT);
        let exit = vtep.wait(PATIENCE * 3);
        assert_eq!(exit.status, Some(1), "{instead}: {exit:?}");
        let errors: Vec<_> = exit.log.iter().filter(|line| line.starts_with("tap-vtep:")).collect();
        assert!(errors.len() == 1 && errors[0].contains(TAP), "{instead}: {exit:?}");
        assert_eq!(exit.log.last(), Some(errors[0]), "{instead}: {exit:?}");
    }
}

/// The device of the underlay is pulled out and plugged in again: found again by its address and by its name, over IPv4
/// and IPv6.
#[test]
fn an_underlay_device_that_goes_and_comes_back_is_used_again() {
    for family in Family::ALL {
        for by_name in [false, true] {
            let underlay = Underlay::new(2);
            let ours = underlay.host(0);
            let peers = kernel_peers(&underlay, family);
            let mut configuration = one_segment(ours, family, &flood_to_all(&underlay, family));
            if by_name {
                let named = format!("[underlay]\ndevice = \"{}\"", Host::DEVICE);
                configuration = configuration.replace("[underlay]", &named);
            }
            let mut vtep = TapVtep::configured(PROGRAM, &ours.namespace, &configuration);
            add_guest_addresses(&underlay);
            assert_eq!(ping(&ours.namespace, peers[0].guest_address(Family::V4), 3), ALL);
            underlay.pull_out(ours);
            let away = ping(&ours.namespace, peers[0].guest_address(Family::V4), 2);
            assert_eq!(away.received, 0);
            assert!(vtep.is_running(), "{:?}", vtep.log());
            underlay.plug_in(ours);
            wait_until("traffic goes on", || {
                ping(&ours.namespace, peers[0].guest_address(Family::V4), 1).received == 1
            });
            assert_eq!(ping(&peers[0].guest, guest_address(1, Family::V4), 3), ALL, "{family:?}, by name: {by_name}");
            assert_eq!(vtep.stop().status, Some(0));
        }
    }
}

/// The same with a group: it is joined again on the new device.
#[test]
fn a_group_is_joined_again_on_a_device_that_comes_back() {
    for (family, group) in [(Family::V4, "239.1.1.1"), (Family::V6, "ff05::42")] {
        let underlay = Underlay::new(2);
        let ours = underlay.host(0);
        let options = KernelVtepOptions { vni: VNI, port: PORT, flood: Flood::Group(group.parse().unwrap()) };
        let peer = KernelVtep::new(underlay.host(1), &options);
        let configuration = one_segment(ours, family, &format!("group = \"{group}\""))
            .replace("[underlay]", &format!("[underlay]\ndevice = \"{}\"", Host::DEVICE));
        let _vtep = TapVtep::configured(PROGRAM, &ours.namespace, &configuration);
        add_guest_addresses(&underlay);
        assert_eq!(ping(&peer.guest, guest_address(1, Family::V4), 3), ALL);
        underlay.pull_out(ours);
        underlay.plug_in(ours);
        // From the peer's side: its question for the address goes to the group.
        wait_until("the group is joined again", || {
            peer.guest.ip("neigh flush dev eth0");
            ping(&peer.guest, guest_address(1, Family::V4), 1).received == 1
        });
    }
}

#[test]
fn an_underlay_device_that_goes_down_and_up_is_used_again() {
    let underlay = Underlay::new(2);
    let ours = &underlay.host(0).namespace;
    let peers = kernel_peers(&underlay, Family::V4);
    let mut vtep = start(&underlay, Family::V4, &flood_to_all(&underlay, Family::V4));
    add_guest_addresses(&underlay);
    assert_eq!(ping(ours, peers[0].guest_address(Family::V4), 3), ALL);
    ours.ip(&format!("link set {} down", Host::DEVICE));
    assert_eq!(ping(ours, peers[0].guest_address(Family::V4), 2).received, 0);
    assert!(vtep.is_running());
    ours.ip(&format!("link set {} up", Host::DEVICE));
    wait_until("traffic goes on", || ping(ours, peers[0].guest_address(Family::V4), 1).received == 1);
    assert_eq!(ping(ours, peers[0].guest_address(Family::V4), 3), ALL);
}

/// Two endpoints cannot hold one TAP: the second says so in one line and ends with status 1, and the first goes on.
#[test]
fn a_tap_that_another_program_holds_is_refused() {
    let underlay = Underlay::new(2);
    let ours = underlay.host(0);
    let mut first = start(&underlay, Family::V4, &flood_to_all(&underlay, Family::V4));
    let local = ours.address(Family::V4).to_string();
    let files = testbed::Scratch::new();
    let control = files.path("second.sock").display().to_string();
    let second = crate::bed::run_to_end(
        &underlay,
        &["run", "--vni", "43", "--port", "8472", "--tap", TAP, "--local", &local, "--control", &control],
    );
    assert_eq!(second.status, Some(1), "{second}");
    assert!(second.stderr.lines().last().is_some_and(|line| line.contains(TAP)), "{second}");
    assert!(first.is_running() && ours.namespace.has_device(TAP));
    testbed::stays("the first goes on", Duration::from_millis(100), || first.is_running());
}
