//! A program without std and without an allocator can be linked from `vxlan-wire` and `overlay-types`.
//!
//! That proves what `#![no_std]` alone does not: a dependency that brings in std defines a second panic handler, and
//! one that brings in alloc wants a global allocator, and either ends the build. It needs cargo, rustc and a linker.

#![cfg(target_os = "linux")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A whole program: nothing of it comes from std, alloc or the start files of C.
const PROGRAM: &str = r#"
#![no_std]
#![no_main]

use core::panic::PanicInfo;

use overlay_types::{EtherType, MacAddr, Vni};
use vxlan_wire::{DecodeOptions, GbpHeader, GpeHeader, GroupPolicy, NextProtocol, VxlanHeader};

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

/// The core library of the toolchain is built to unwind and names this; nothing unwinds here.
#[unsafe(no_mangle)]
pub extern "C" fn rust_eh_personality() {}

/// Numbers that the compiler cannot know, so that all of it is really there.
fn opaque<T>(value: T) -> T {
    core::hint::black_box(value)
}

fn run() -> Result<u32, ()> {
    let mut buffer = opaque([0_u8; 64]);
    let vni: Vni = opaque("42").parse().map_err(drop)?;
    let mac: MacAddr = opaque("02:00:00:00:00:01").parse().map_err(drop)?;
    VxlanHeader::new(vni).write_to(&mut buffer).map_err(drop)?;
    let (header, frame) = VxlanHeader::decode_with(opaque(&buffer), DecodeOptions::LINUX).map_err(drop)?;
    let mut sum = header.vni().get() + frame.len() as u32 + u32::from(mac.octets()[0]);
    let policy = GroupPolicy { id: opaque(7), dont_learn: true, policy_applied: false };
    GbpHeader::new(vni, Some(policy)).write_to(&mut buffer).map_err(drop)?;
    sum += u32::from(GbpHeader::decode(opaque(&buffer)).map_err(drop)?.0.group_policy_id());
    GpeHeader::new(vni, NextProtocol::ETHERNET).write_to(&mut buffer).map_err(drop)?;
    sum += GpeHeader::decode(opaque(&buffer)).map_err(drop)?.0.vni().get();
    Ok(sum + u32::from(EtherType::IPV4.get()))
}

#[unsafe(no_mangle)]
pub extern "C" fn _start() -> ! {
    opaque(run().unwrap_or(1));
    loop {}
}
"#;

/// Links the program against `vxlan-wire` with these features.
fn link(name: &str, features: &str) -> (PathBuf, Output) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = temporary.join(name);
    fs::create_dir_all(folder.join("src")).expect("a folder for the program");
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         overlay-types = {{ path = '{}' }}\nvxlan-wire = {{ path = '{}', features = [{features}] }}\n\n\
         [profile.release]\npanic = \"abort\"\n",
        here.join("../overlay-types").display(),
        here.display(),
    );
    fs::write(folder.join("Cargo.toml"), manifest).expect("the manifest of the program");
    fs::write(folder.join("src/main.rs"), PROGRAM).expect("the source of the program");
    // The same versions as in the workspace, so that nothing is looked for on the network.
    fs::copy(here.join("../Cargo.lock"), folder.join("Cargo.lock")).expect("the lock file");

    let target = temporary.join("no-std-no-alloc");
    let output = Command::new(env!("CARGO"))
        .args(["rustc", "--release", "--offline", "--bin", name, "--"])
        // The C library is there for `memcpy` alone, which a compiler may always call.
        .args(["-Clink-arg=-nostartfiles", "-Clink-arg=-lc"])
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .expect("cargo runs");
    (target.join("release").join(name), output)
}

#[test]
fn a_program_without_std_and_alloc_links() {
    let (program, output) = link("without-std", "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(fs::metadata(program).expect("the program").len() > 0);
}

/// The proof can fail: the feature `bytes` needs an allocator, and the program has none.
#[test]
fn a_program_with_alloc_does_not() {
    let (_, output) = link("with-alloc", "\"bytes\"");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("no global memory allocator found"), "{text}");
}
