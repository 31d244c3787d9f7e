//! Reads a Geneve datagram, given as hexadecimal text, with its options.
//!
//! `cargo run --example geneve-decode -- 0240655800002a000102800100010002ffffffffffff`

use std::{env, process::ExitCode};

use geneve_wire::{DecodeOptions, GenevePacket};

fn main() -> ExitCode {
    let text = env::args().nth(1).unwrap_or_else(|| "0240655800002a000102800100010002ffffffffffff".to_owned());
    let digits = text.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).map(|pair| u8::from_str_radix(pair, 16)));
    let Some(datagram) = digits.map(|byte| byte.ok()?.ok()).collect::<Option<Vec<u8>>>() else {
        eprintln!("{text:?} is not hexadecimal");
        return ExitCode::from(2);
    };
    match GenevePacket::decode(&datagram) {
        Ok(packet) => {
            let header = packet.header();
            println!("VNI {}, protocol type {}", header.vni(), header.protocol_type());
            for option in packet.options() {
                println!("option {} of class {}: {:02x?}", option.option_type(), option.class(), option.data());
            }
            println!("{:02x?}", packet.typed_payload());
            if let Err(error) = packet.options().refuse_unknown_critical(|_, _| false) {
                println!("an endpoint without options drops it: {error}");
            }
        }
        Err(error) => println!("refused: {error}"),
    }
    match GenevePacket::decode_with(&datagram, DecodeOptions::LINUX) {
        Ok(packet) => println!("Linux: {} bytes of payload", packet.payload().len()),
        Err(error) => println!("Linux: refused, {error}"),
    }
    ExitCode::SUCCESS
}
