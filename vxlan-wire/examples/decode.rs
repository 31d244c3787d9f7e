//! Reads the payload of a VXLAN datagram, given as hexadecimal text, in each of the three layouts.
//!
//! `cargo run --example vxlan-decode -- 0880002a00002a00ffffffffffff`

use std::{env, process::ExitCode};

use vxlan_wire::{DecodeOptions, GbpHeader, GpeHeader, VxlanHeader};

fn main() -> ExitCode {
    let text = env::args().nth(1).unwrap_or_else(|| "8840012300002a00ffffffffffff".to_owned());
    let digits = text.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).map(|pair| u8::from_str_radix(pair, 16)));
    let Some(datagram) = digits.map(|byte| byte.ok()?.ok()).collect::<Option<Vec<u8>>>() else {
        eprintln!("{text:?} is not hexadecimal");
        return ExitCode::from(2);
    };
    for (name, options) in [("RFC 7348", DecodeOptions::RFC), ("Linux", DecodeOptions::LINUX)] {
        match VxlanHeader::decode_with(&datagram, options) {
            Ok((header, frame)) => println!("{name}: VNI {}, {} bytes of frame", header.vni(), frame.len()),
            Err(error) => println!("{name}: refused, {error}"),
        }
    }
    match GbpHeader::decode(&datagram) {
        Ok((header, _)) => println!("as Group Policy: {:?}", header.group_policy()),
        Err(error) => println!("as Group Policy: refused, {error}"),
    }
    match GpeHeader::decode(&datagram) {
        Ok((header, _)) => println!("as Generic Protocol Extension: carries protocol {}", header.payload_protocol()),
        Err(error) => println!("as Generic Protocol Extension: refused, {error}"),
    }
    ExitCode::SUCCESS
}
