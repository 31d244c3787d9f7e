//! Looks at the machine code that a user of a crate gets from a release build.
//!
//! A test includes it by `#[path = "../../testdata/release_code.rs"] mod release_code;`. It needs cargo and rustc alone.

use std::{env, fs, path::Path, process::Command};

/// Compiles `source` as a library that depends on this crate and `overlay-types`, and asserts that each of these
/// functions calls nothing: what could panic would call the panic machinery, so that there is no panic path either.
///
/// A function of `source` is `pub`, `#[inline(never)]` and not generic, so that it stands in the assembly by its name.
pub(crate) fn assert_calls_nothing(source: &str, functions: &[&str]) {
    // Of this one it is known that it can panic: the test can fail.
    let source = format!(
        "{source}
        #[inline(never)]
        pub fn known_to_panic(bytes: &[u8], len: usize) -> &[u8] {{
            &bytes[..len]
        }}"
    );
    let assembly = assembly(&source);
    assert!(!calls(&assembly, "known_to_panic").is_empty(), "a call is found");
    for function in functions {
        let calls = calls(&assembly, function);
        assert!(calls.is_empty(), "{function} calls:\n{}", calls.join("\n"));
    }
}

/// The instructions of `function` by which it leaves itself for other code.
fn calls(assembly: &str, function: &str) -> Vec<String> {
    let label = format!("{}{function}", function.len());
    let mut lines = assembly.lines().skip_while(|line| !(line.ends_with(':') && line.contains(&label)));
    assert!(lines.next().is_some(), "{function} is not in the assembly");
    let body: Vec<_> = lines.take_while(|line| !line.starts_with(".Lfunc_end")).map(str::trim).collect();
    assert!(body.iter().any(|line| line.starts_with("ret")), "{function} has a whole body");
    body.into_iter().filter(|line| leaves(line)).map(str::to_owned).collect()
}

/// `true` for a call, a trap, and a jump to a name that is not a label of the function itself.
fn leaves(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let (instruction, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match env::consts::ARCH {
        // A jump through a register is a `match`.
        "x86_64" => {
            instruction.starts_with("call")
                || instruction == "ud2"
                || (instruction == "jmp" && !target.starts_with(".L") && !target.starts_with('*'))
        }
        "aarch64" => matches!(instruction, "bl" | "blr" | "brk") || (instruction == "b" && !target.starts_with(".L")),
        other => panic!("how a call looks on {other} is not known here"),
    }
}

/// The assembly of a release build of `source`, as a crate in a workspace of its own.
fn assembly(source: &str) -> String {
    let crate_name = env!("CARGO_PKG_NAME");
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = temporary.join(format!("release-code-of-{crate_name}"));
    fs::create_dir_all(folder.join("src")).expect("a folder for the probe");
    let manifest = format!(
        "[package]\nname = \"probe-of-{crate_name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [dependencies]\n{crate_name} = {{ path = '{}' }}\noverlay-types = {{ path = '{}' }}\n\n\
         [profile.release]\ncodegen-units = 1\n",
        here.display(),
        here.join("../overlay-types").display(),
    );
    fs::write(folder.join("Cargo.toml"), manifest).expect("the manifest of the probe");
    fs::write(folder.join("src/lib.rs"), source).expect("the source of the probe");
    // The same versions as in the workspace, so that nothing is looked for on the network.
    fs::copy(here.join("../Cargo.lock"), folder.join("Cargo.lock")).expect("the lock file");

    let assembly = folder.join("probe.s");
    let output = Command::new(env!("CARGO"))
        .args(["rustc", "--release", "--offline", "--lib", "--", "-Cdebuginfo=0", "-Csymbol-mangling-version=v0"])
        .arg(format!("--emit=asm={}", assembly.display()))
        .current_dir(&folder)
        // One for all crates of the workspace, so that what they depend on is built once.
        .env("CARGO_TARGET_DIR", temporary.join("release-code"))
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read_to_string(assembly).expect("the assembly is text")
}
