//! An endpoint with much to look through: many segments, and many rows that it has learned.

use std::{
    fmt::Write as _,
    net::{IpAddr, UdpSocket},
    thread,
    time::Duration,
};

use overlay_types::MacAddr;
use testbed::{Family, Host, Namespace, TapVtep, frame, vxlan};

use super::{
    bed::{Parts, TAP, VNI, guest_of_tap, program},
    setting::Setting,
};
use crate::step::{Failure, Outcome};

const SEGMENTS: u32 = 64;
/// Learned rows of all segments together.
const ROWS: u32 = 100_000;
/// RFC 7348 §5.
const PORT: u16 = 4789;
/// Datagrams in one burst, and the pause behind it: slow enough for every endpoint.
const BURST: u32 = 64;
const PAUSE: Duration = Duration::from_millis(1);
/// What got lost is sent again so often.
const ATTEMPTS: u32 = 4;
const PAYLOAD: [u8; 46] = [0x5a; 46];

/// Ours on both hosts, both with full tables.
pub(super) fn set_up(setting: Setting, parts: &mut Parts) -> Result<[Namespace; 2], Failure> {
    let hosts = setting.hosts()?;
    let addresses = hosts.each_ref().map(|host| host.address(Family::V4));
    let mut guests = Vec::new();
    for here in 0..hosts.len() {
        let there = 1 - here;
        let configuration = configuration(addresses[here], addresses[there]);
        let vtep = TapVtep::configured(&program(), &hosts[here].namespace, &configuration);
        guests.push(guest_of_tap(&hosts[here], Family::V4));
        fill(&vtep, &hosts[there], addresses[here])?;
        parts.programs.push(vtep);
    }
    parts.others.push(Box::new(hosts));
    <[_; 2]>::try_from(guests).map_err(|_| Failure("not two guests".to_owned()))
}

/// The guest's segment, and others that only have tables.
fn configuration(local: IpAddr, remote: IpAddr) -> String {
    let mut text = format!("[underlay]\nlocal = \"{local}\"\n");
    for number in 0..SEGMENTS {
        let tap = if number == 0 { TAP.to_owned() } else { format!("other{number}") };
        let vni = VNI + number;
        // Writing to a string cannot fail.
        let _ = write!(text, "\n[[segment]]\nname = \"{tap}\"\nvni = {vni}\ntap = \"{tap}\"\nflood = [\"{remote}\"]\n");
    }
    text
}

/// The address in row `number`, and the segment that it is in.
fn row(number: u32) -> (u32, MacAddr) {
    let [a, b, c, d] = number.to_be_bytes();
    (VNI + number % SEGMENTS, MacAddr::new([0x02, 1, a, b, c, d]))
}

/// Has an endpoint learn from frames that the other host sends.
fn fill(vtep: &TapVtep, from: &Host, to: IpAddr) -> Outcome {
    let socket: UdpSocket = from.namespace.udp_socket((from.address(Family::V4), 0));
    socket.connect((to, PORT))?;
    let nobody = MacAddr::new([0x02, 2, 0, 0, 0, 0]);
    let mut known = 0;
    for _ in 0..ATTEMPTS {
        for number in 0..ROWS {
            let (vni, mac) = row(number);
            socket.send(&vxlan(vni, &frame(nobody, mac, &PAYLOAD)))?;
            if number % BURST == 0 {
                thread::sleep(PAUSE);
            }
        }
        thread::sleep(PAUSE * 100);
        known = vtep.show("fdb").as_array().map_or(0, Vec::len);
        if known >= ROWS as usize {
            return Ok(());
        }
    }
    Err(Failure(format!("the endpoint has learned {known} rows, not {ROWS}")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_row_is_another_one_and_no_segment_has_too_many() {
        let rows: BTreeSet<_> = (0..ROWS).map(row).collect();
        assert_eq!(rows.len(), ROWS as usize);
        assert!(rows.iter().all(|(vni, mac)| (VNI..VNI + SEGMENTS).contains(vni) && mac.is_unicast()));
        // What an endpoint learns for a segment unless it is told otherwise.
        assert!(ROWS.div_ceil(SEGMENTS) < 8192);
    }

    #[test]
    fn each_segment_has_a_tap() {
        let text = configuration([10, 200, 0, 1].into(), [10, 200, 0, 2].into());
        assert_eq!(text.matches("[[segment]]").count(), SEGMENTS as usize);
        assert!(text.contains("name = \"tap0\"\nvni = 42\n") && text.contains("vni = 105\n"));
    }
}
