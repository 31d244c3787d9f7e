//! Reads a GRE packet, given as hexadecimal text, and says why it is not NVGRE if it is not.
//!
//! `cargo run --example nvgre-decode -- 2000655800102a07ffffffffffff`

use std::{env, process::ExitCode};

use nvgre_wire::GrePacket;

fn main() -> ExitCode {
    let text = env::args().nth(1).unwrap_or_else(|| "a00065580000000000102a07ffffffffffff".to_owned());
    let digits = text.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).map(|pair| u8::from_str_radix(pair, 16)));
    let Some(bytes) = digits.map(|byte| byte.ok()?.ok()).collect::<Option<Vec<u8>>>() else {
        eprintln!("{text:?} is not hexadecimal");
        return ExitCode::from(2);
    };
    let packet = match GrePacket::decode(&bytes) {
        Ok(packet) => packet,
        Err(error) => {
            println!("refused: {error}");
            return ExitCode::SUCCESS;
        }
    };
    println!("GRE, protocol type {}, {} bytes of payload", packet.header().protocol_type(), packet.payload().len());
    println!("key {:?}, sequence number {:?}", packet.key(), packet.sequence_number());
    if let Err(error) = packet.verify_checksum() {
        println!("{error}");
    }
    match packet.as_nvgre() {
        Ok(header) => match header.vsid() {
            Ok(vsid) => println!("NVGRE, VSID {vsid}, FlowID {}", header.flow_id()),
            Err(error) => println!("NVGRE, but {error}"),
        },
        Err(error) => println!("{error}"),
    }
    ExitCode::SUCCESS
}
