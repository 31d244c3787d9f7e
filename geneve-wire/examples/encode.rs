//! Writes a Geneve header with a typed and an untyped option, and prints it in hexadecimal.

use geneve_wire::{GeneveBuilder, GeneveHeader, OptionClass, OptionType, TypedOption};
use overlay_types::EtherType;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, byteorder::big_endian::U16};

/// Logical input and output port, as OVN sends them.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct LogicalPorts {
    input: U16,
    output: U16,
}

impl TypedOption for LogicalPorts {
    const CLASS: OptionClass = OptionClass::OVN;
    const TYPE: OptionType = OptionType::new(0x80);
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut datagram = [0; GeneveHeader::MAX_LEN];
    let mut builder = GeneveBuilder::new(&mut datagram, "42".parse()?, EtherType::TRANSPARENT_ETHERNET_BRIDGING)?;
    builder.push_typed(&LogicalPorts { input: 1.into(), output: 2.into() })?;
    builder.push(OptionClass::EXPERIMENTAL, OptionType::new(0x01), b"data")?;
    // Five bytes are no multiple of four: refused, and nothing is written.
    if let Err(error) = builder.push(OptionClass::EXPERIMENTAL, OptionType::new(0x02), b"data!") {
        println!("refused: {error}");
    }
    println!("{:?}", builder.header());
    let len = builder.finish();
    println!("{len} bytes of header, the payload goes behind: {:02x?}", &datagram[..len]);
    Ok(())
}
