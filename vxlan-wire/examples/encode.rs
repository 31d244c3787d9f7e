//! Puts a VXLAN header in front of a frame, then edits it in place, and prints both in hexadecimal.

use overlay_types::Vni;
use vxlan_wire::{GbpHeader, GroupPolicy, VxlanHeader};

fn print(what: &str, bytes: &[u8]) {
    print!("{what}: ");
    for byte in bytes {
        print!("{byte:02x}");
    }
    println!();
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let vni: Vni = "42".parse()?;
    // Room for the header, and an Ethernet header that is there already.
    let mut datagram = [0; VxlanHeader::LEN + 14];
    datagram[VxlanHeader::LEN..].copy_from_slice(b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\x00");
    VxlanHeader::new(vni).write_to(&mut datagram)?;
    print("VXLAN, VNI 42", &datagram);

    let (header, _frame) = VxlanHeader::from_prefix_mut(&mut datagram)?;
    header.set_vni(Vni::MAX);
    print("VXLAN, VNI 16777215", &datagram);

    let policy = GroupPolicy { id: 0x0123, dont_learn: true, policy_applied: false };
    GbpHeader::new(vni, Some(policy)).write_to(&mut datagram)?;
    print("Group Policy, group 0x0123, D", &datagram);
    Ok(())
}
