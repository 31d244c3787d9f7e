//! The underlay's device and the TAP go away and come back while traffic flows both ways: each frame and each datagram is
//! counted once, as sent, as delivered or as a drop, and what is counted as delivered has been.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use overlay_types::MacAddr;
use testbed::{Family, FrameSender, Numbered, Sniffer, TapVtep, Underlay, guest_mac, wait_until};

use crate::{
    bed::{Counts, HandPeer, TAP, flood_to_all, start, stranger},
    tunnel::Tunnel,
};

/// How long traffic flows between two changes.
const WHILE: Duration = Duration::from_millis(400);

/// Sends one after the other, some 2000 in a second, until it is told to end: how many.
fn send_until(end: &AtomicBool, mut send: impl FnMut(u32) -> bool) -> u64 {
    let mut sent = 0;
    for number in 0.. {
        if end.load(Ordering::Relaxed) {
            break;
        }
        sent += u64::from(send(number));
        thread::sleep(Duration::from_micros(400));
    }
    sent
}

/// Sends by both ways while `change` happens: how many each.
fn under_traffic(
    one: impl FnMut(u32) -> bool + Send,
    other: impl FnMut(u32) -> bool + Send,
    change: impl FnOnce(),
) -> [u64; 2] {
    let end = &AtomicBool::new(false);
    thread::scope(|scope| {
        let one = scope.spawn(move || send_until(end, one));
        let other = scope.spawn(move || send_until(end, other));
        let changed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(change));
        end.store(true, Ordering::Relaxed);
        let sent = [one, other].map(|sending| sending.join().unwrap());
        changed.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        sent
    })
}

fn frame(stream: u32, number: u32) -> Vec<u8> {
    let source = if stream == 1 { stranger(1) } else { guest_mac(2) };
    Numbered::new(MacAddr::BROADCAST, source, stream).frame(number)
}

/// The sum of `sent` and of the drops for these reasons alone is `total`.
fn expect_counted(vtep: &TapVtep, before: &Counts, out: u64, reasons: &[&str]) -> Counts {
    let since = || {
        let now = Counts::of(vtep);
        (now.sent - before.sent + now.drops_in_all() - before.drops_in_all(), now)
    };
    wait_until(&format!("{out} are counted: {:?}", since()), || since().0 >= out);
    let (counted, now) = since();
    assert_eq!(counted, out, "{now:?}");
    for reason in now.drops.keys() {
        assert!(reasons.contains(&reason.as_str()), "{now:?}");
    }
    now
}

/// Three times the device is pulled out and plugged in.
#[test]
fn an_underlay_that_goes_and_comes_back_costs_no_count() {
    for (tunnel, family) in [
        (Tunnel::Vxlan, Family::V4),
        (Tunnel::Vxlan, Family::V6),
        (Tunnel::Geneve, Family::V4),
        (Tunnel::Nvgre, Family::V4),
    ] {
        let underlay = Underlay::new(2);
        let ours = underlay.host(0);
        let vtep = tunnel.start(&underlay, family, &flood_to_all(&underlay, family));
        // Without this the other host says for each packet that nobody is there.
        let other = tunnel.start_on(&underlay, 1, family, &format!("flood = [\"{}\"]", ours.address(family)));
        let arriving = Sniffer::of_stream(&underlay.host(1).namespace, TAP, 1);
        let delivered = Sniffer::of_stream(&ours.namespace, TAP, 2);
        let before = Counts::of(&vtep);
        let mut from_tap = FrameSender::new(&ours.namespace, TAP);
        let mut from_other = FrameSender::new(&underlay.host(1).namespace, TAP);
        let [out, back] = under_traffic(
            |number| from_tap.try_send(&frame(1, number)).is_ok(),
            |number| from_other.try_send(&frame(2, number)).is_ok(),
            || {
                for _ in 0..3 {
                    thread::sleep(WHILE);
                    underlay.pull_out(ours);
                    thread::sleep(WHILE);
                    let so_far = (arriving.count(), delivered.count());
                    underlay.plug_in(ours);
                    wait_until(&format!("traffic goes on both ways: {tunnel:?} over {family:?}"), || {
                        arriving.count() > so_far.0 && delivered.count() > so_far.1
                    });
                }
            },
        );
        let now = expect_counted(&vtep, &before, out, &["socket", "too_big"]);
        assert!(out > 1000 && back > 1000, "{out} and {back} are little traffic");
        assert!(now.drops_in_all() > 0, "the device was never away: {now:?}");
        // What is delivered is counted, no more and no less, and comes once.
        delivered.expect(now.delivered - before.delivered);
        for (sniffer, stream, most) in [(&delivered, 2, back), (&arriving, 1, now.sent - before.sent)] {
            let mut numbers = sniffer.numbers(stream);
            assert!(numbers.len() as u64 <= most);
            let all = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), all, "a frame came twice");
        }
        drop(other);
    }
}

/// The TAP is deleted and made again three times while datagrams arrive: each is delivered or a drop.
#[test]
fn a_tap_that_goes_and_comes_back_costs_no_count() {
    for family in Family::ALL {
        let underlay = Underlay::new(2);
        let ours = &underlay.host(0).namespace;
        let peer = HandPeer::new(&underlay, 1, family);
        let make = || {
            ours.ip(&format!("tuntap add {TAP} mode tap"));
            ours.ip(&format!("link set {TAP} up"));
        };
        make();
        let mut vtep = start(&underlay, family, &flood_to_all(&underlay, family));
        let mut delivered = 0;
        let before = Counts::of(&vtep);
        let end = AtomicBool::new(false);
        let sent = thread::scope(|scope| {
            let sending = scope.spawn(|| {
                send_until(&end, |number| {
                    peer.send(&frame(2, number));
                    true
                })
            });
            let changed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                for _ in 0..3 {
                    let sniffer = Sniffer::of_stream(ours, TAP, 2);
                    thread::sleep(WHILE);
                    let so_far = sniffer.count();
                    assert!(so_far > 0, "nothing is delivered");
                    delivered += so_far;
                    ours.ip(&format!("link del {TAP}"));
                    thread::sleep(WHILE);
                    make();
                    wait_until("the endpoint holds the new TAP", || {
                        !vtep.is_running() || ours.device(TAP)["flags"].to_string().contains("LOWER_UP")
                    });
                    assert!(vtep.is_running(), "{:?}", vtep.log());
                }
            }));
            end.store(true, Ordering::Relaxed);
            let sent = sending.join().unwrap();
            changed.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            sent
        });
        let counted = || {
            let now = Counts::of(&vtep);
            (now.delivered - before.delivered + now.drops_in_all() - before.drops_in_all(), now)
        };
        wait_until(&format!("{sent} are counted: {:?}", counted()), || counted().0 >= sent);
        let (all, now) = counted();
        assert_eq!(all, sent, "{now:?}");
        assert_eq!(now.drops.keys().collect::<Vec<_>>(), ["socket"], "{now:?}");
        // Those between a look at the sniffer and the end of its TAP are delivered, too.
        assert!(now.delivered - before.delivered >= delivered, "{now:?}, {delivered}");
        // And it goes on.
        let sniffer = Sniffer::of_stream(ours, TAP, 3);
        peer.send(&Numbered::new(MacAddr::BROADCAST, guest_mac(2), 3).frame(0));
        sniffer.expect(1);
        assert_eq!(vtep.stop().status, Some(0));
    }
}
