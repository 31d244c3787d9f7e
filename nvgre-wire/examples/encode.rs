//! Puts an NVGRE header in front of a frame, and a plain GRE header with all its fields, and prints both in hexadecimal.

use nvgre_wire::{FlowId, GreFields, NvgreHeader};
use overlay_types::EtherType;

const FRAME: &[u8; 14] = b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\x00";

fn print(what: &str, bytes: &[u8]) {
    print!("{what}: ");
    for byte in bytes {
        print!("{byte:02x}");
    }
    println!();
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut packet = [0; NvgreHeader::LEN + FRAME.len()];
    packet[NvgreHeader::LEN..].copy_from_slice(FRAME);
    NvgreHeader::new("5000".parse()?, FlowId::new(7)).write_to(&mut packet)?;
    print("NVGRE, VSID 5000, FlowID 7", &packet);

    let fields = GreFields {
        protocol_type: EtherType::TRANSPARENT_ETHERNET_BRIDGING,
        checksum: true,
        key: Some(42),
        sequence_number: Some(1),
    };
    let mut packet = vec![0; fields.header_len() + FRAME.len()];
    packet[fields.header_len()..].copy_from_slice(FRAME);
    // The checksum is over header and payload, so the payload is there first.
    fields.write_to(&mut packet)?;
    print("GRE with everything", &packet);
    Ok(())
}
