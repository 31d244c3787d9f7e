//! Links a program that has neither std nor an allocator nor anything to panic with.
//!
//! A test includes it by `#[path = "../../testdata/no_std_no_alloc.rs"] mod no_std_no_alloc;`. It needs cargo, rustc and a
//! linker.
//!
//! It proves what `#![no_std]` alone does not: a dependency that brings in std defines a second panic handler, and one
//! that brings in alloc wants a global allocator, and either ends the build. What links cannot allocate, whatever it does.
//! And where a panic path is left after optimisation, the panic handler stays, with a name in it that nothing defines.

use std::{
    env, fs,
    path::Path,
    process::{Command, Output},
};

/// A whole program around `run`: nothing of it comes from std, alloc or the start files of C.
const FRAME: &str = r#"
#![no_std]
#![no_main]

use core::{hint::black_box, panic::PanicInfo};

unsafe extern "C" {
    /// Nowhere.
    safe fn there_is_a_panic_path() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    there_is_a_panic_path()
}

/// The core library of the toolchain is built to unwind and names this; nothing unwinds here.
#[unsafe(no_mangle)]
pub extern "C" fn rust_eh_personality() {}

#[unsafe(no_mangle)]
pub extern "C" fn _start() -> ! {
    black_box(run());
    loop {}
}
"#;

/// Asserts that a program links that has `run`, a function that takes nothing, and calls it. `black_box` is in scope,
/// for numbers that the compiler cannot know, so that all of it is really there.
pub(crate) fn assert_links(run: &str) {
    let output = link(run, "without", "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Asserts that the other proof can fail: with an index that nobody checks the program does not link.
pub(crate) fn assert_panics_are_found(run: &str) {
    let run =
        format!("{run}\n#[unsafe(no_mangle)]\npub extern \"C\" fn nth(at: usize) -> u8 {{ black_box([1_u8, 2])[at] }}");
    let run = run.replacen("Option<u32> {", "Option<u32> {\n    black_box(nth(black_box(1)));", 1);
    let output = link(&run, "panicking", "");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("there_is_a_panic_path"), "{text}");
}

/// Asserts that the proof can fail: the feature `bytes` needs an allocator, and the program has none.
pub(crate) fn assert_needs_allocator(run: &str) {
    let output = link(run, "with", "\"bytes\"");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("no global memory allocator found"), "{text}");
}

/// Links the program against this crate with these features, and `overlay-types`.
fn link(run: &str, alloc: &str, features: &str) -> Output {
    let crate_name = env!("CARGO_PKG_NAME");
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let name = format!("{crate_name}-{alloc}-alloc");
    let folder = temporary.join(&name);
    fs::create_dir_all(folder.join("src")).expect("a folder for the program");
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         overlay-types = {{ path = '{}' }}\n{crate_name} = {{ path = '{}', features = [{features}] }}\n\n\
         [profile.release]\npanic = \"abort\"\nlto = true\ncodegen-units = 1\n",
        here.join("../overlay-types").display(),
        here.display(),
    );
    fs::write(folder.join("Cargo.toml"), manifest).expect("the manifest of the program");
    fs::write(folder.join("src/main.rs"), [FRAME, run].concat()).expect("the source of the program");
    // The same versions as in the workspace, so that nothing is looked for on the network.
    fs::copy(here.join("../Cargo.lock"), folder.join("Cargo.lock")).expect("the lock file");

    Command::new(env!("CARGO"))
        .args(["rustc", "--release", "--offline", "--bin", &name, "--"])
        // The C library is there for `memcpy` and the like alone, which a compiler may always call.
        .args(["-Clink-arg=-nostartfiles", "-Clink-arg=-lc"])
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", temporary.join("no-std-no-alloc"))
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .expect("cargo runs")
}
