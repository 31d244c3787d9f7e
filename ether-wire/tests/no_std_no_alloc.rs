//! A program without std and without an allocator can be linked from `ether-wire`.
//!
//! A dependency that brings in std defines a second panic handler, and one that brings in alloc wants a global
//! allocator: either ends the build. It needs cargo, rustc and a linker.

#![cfg(target_os = "linux")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

/// A whole program: nothing of it comes from std, alloc or the start files of C.
const PROGRAM: &str = r#"
#![no_std]
#![no_main]

use core::{hint::black_box, panic::PanicInfo};

use ether_wire::{
    EthernetHeader, FlowHasher, Ipv4Header, Ipv6Header, TcpHeader, UdpHeader,
    arp::ArpPacket,
    checksum::checksum,
    flow::DEFAULT_SOURCE_PORTS,
    icmp,
    nd::NeighborSolicitation,
    outer::{InnerFrame, OuterTemplate, Underlay},
};

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

/// The core library of the toolchain is built to unwind and names this; nothing unwinds here.
#[unsafe(no_mangle)]
pub extern "C" fn rust_eh_personality() {}

fn run() -> Option<u32> {
    let mut buffer = black_box([0_u8; 1400]);
    let hash = FlowHasher::new(black_box([7; 16])).hash(&buffer);
    let underlay = Underlay::new(black_box([10, 0, 0, 1].into()), black_box([10, 0, 0, 2].into())).ok()?;
    let template = OuterTemplate::udp(underlay, 4789, DEFAULT_SOURCE_PORTS, black_box(&[0; 8])).ok()?;
    template.write_to(&mut buffer, InnerFrame::new(100, hash)).ok()?;
    let packet = Ipv4Header::decode(black_box(&buffer)).ok()?;
    let mut sum = u32::from(checksum(packet.payload)) + u32::from(UdpHeader::decode(packet.payload).ok()?.0.length());
    sum += u32::from(TcpHeader::decode(black_box(&buffer)).ok()?.header.window());
    sum += ArpPacket::decode(black_box(&buffer)).ok()?.0.sender_ip().to_bits();
    let packet = Ipv6Header::decode(black_box(&buffer)).ok()?;
    sum += NeighborSolicitation::decode(&packet).ok()?.message.reserved();
    let (header, behind) = EthernetHeader::from_prefix_mut(&mut buffer).ok()?;
    sum += icmp::too_big(black_box(&[0; 64]), 1450, behind).ok()? as u32;
    Some(sum + u32::from(header.ether_type().get()))
}

#[unsafe(no_mangle)]
pub extern "C" fn _start() -> ! {
    black_box(run());
    loop {}
}
"#;

/// Links the program against `ether-wire` with these features.
fn link(name: &str, features: &str) -> Output {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = temporary.join(name);
    fs::create_dir_all(folder.join("src")).expect("a folder for the program");
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         ether-wire = {{ path = '{}', features = [{features}] }}\n\n[profile.release]\npanic = \"abort\"\n",
        here.display(),
    );
    fs::write(folder.join("Cargo.toml"), manifest).expect("the manifest of the program");
    fs::write(folder.join("src/main.rs"), PROGRAM).expect("the source of the program");
    // The same versions as in the workspace, so that nothing is looked for on the network.
    fs::copy(here.join("../Cargo.lock"), folder.join("Cargo.lock")).expect("the lock file");
    Command::new(env!("CARGO"))
        .args(["rustc", "--release", "--offline", "--bin", name, "--"])
        // The C library is there for `memcpy` and the like alone, which a compiler may always call.
        .args(["-Clink-arg=-nostartfiles", "-Clink-arg=-lc"])
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", temporary.join("no-std-no-alloc"))
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .expect("cargo runs")
}

#[test]
fn a_program_without_std_and_alloc_links() {
    let output = link("ether-without-std", "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The proof can fail: the feature `bytes` needs an allocator, and the program has none.
#[test]
fn a_program_with_alloc_does_not() {
    let output = link("ether-with-alloc", "\"bytes\"");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("no global memory allocator found"), "{text}");
}
