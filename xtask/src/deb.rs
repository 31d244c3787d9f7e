//! `cargo xtask deb`: a Debian package of the program, and whether it is a good one.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    cargo, packages,
    step::{Failure, Outcome, Steps, quietly},
};

/// Where units, the example and the copyright are.
const RECIPE: &str = "packaging";
/// `systemd-analyze security` says 0 for a service that may nothing, and 100 for one that may everything.
const EXPOSURE: &str = "25";
const UNITS: [&str; 2] = ["tap-vtep.service", "tap-vtep@.service"];
/// The shells, and where Debian has their completions.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/tap-vtep"),
    ("fish", "usr/share/fish/vendor_completions.d/tap-vtep.fish"),
    ("zsh", "usr/share/zsh/vendor-completions/_tap-vtep"),
];

/// What is packaged.
#[derive(clap::Args)]
pub(crate) struct DebOptions {
    /// Where the package goes.
    #[arg(long, value_name = "DIRECTORY", default_value = "target/debian")]
    output: PathBuf,
    /// Package this program, in place of building one.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// Builds the program and the package.
pub(crate) fn run(options: &DebOptions) -> bool {
    let mut steps = Steps::new(false);
    steps.run("Debian packages", || packages::debian(packages::FOR_DEB));
    let program = options.program.clone().unwrap_or_else(|| crate::bench::release("tap-vtep"));
    if options.program.is_none() {
        steps.run("build", || cargo::run("build --release --package tap-vtep"));
    }
    steps.run("package", || {
        let file = package(&program, &options.output)?;
        println!("    {}", file.display());
        Ok(())
    });
    steps.finish()
}

/// As a step of the test command: the package of the release build, and what Debian's tools say of it.
pub(crate) fn check() -> Outcome {
    cargo::run("build --release --package tap-vtep")?;
    let output = Path::new("target/debian");
    let file = package(&crate::bench::release("tap-vtep"), output)?;
    let files = output.join("unpacked");
    remake(&files)?;
    quietly(Command::new("dpkg-deb").arg("--extract").arg(&file).arg(&files))?;
    quietly(Command::new("dpkg").args(["--dry-run", "--force-depends", "--install"]).arg(&file))?;
    let program = files.join("usr/bin/tap-vtep");
    let example = files.join("etc/tap-vtep/tap-vtep.toml.example");
    quietly(Command::new(&program).arg("check").arg("--config").arg(example))?;
    for (shell, script) in COMPLETIONS {
        quietly(Command::new(shell).arg("-n").arg(files.join(script)))?;
    }
    let pages = output.join("pages");
    for page in fs::read_dir(&pages)? {
        quietly(Command::new("mandoc").args(["-Tlint", "-Werror"]).arg(page?.path()))?;
    }
    check_units(&program, output)
}

/// What systemd says of the units. It looks for the program where the unit has it.
fn check_units(program: &Path, output: &Path) -> Outcome {
    let program = fs::canonicalize(program)?.display().to_string();
    for unit in UNITS {
        let text = fs::read_to_string(Path::new(RECIPE).join(unit))?;
        // A template is looked at as one of its instances.
        let copy = output.join(unit.replace('@', "@example"));
        fs::write(&copy, text.replace("/usr/bin/tap-vtep", &program))?;
        quietly(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&copy))?;
        let threshold = format!("--threshold={EXPOSURE}");
        quietly(Command::new("systemd-analyze").args(["security", "--offline=true", &threshold]).arg(&copy))?;
    }
    Ok(())
}

/// Makes the package from a program: where it is.
fn package(program: &Path, output: &Path) -> Result<PathBuf, Failure> {
    let root = output.join("root");
    remake(&root)?;
    install(program, &root.join("usr/bin/tap-vtep"), 0o755)?;
    quietly(Command::new("strip").arg("--strip-unneeded").arg(root.join("usr/bin/tap-vtep")))?;
    for unit in UNITS {
        install(&Path::new(RECIPE).join(unit), &root.join("usr/lib/systemd/system").join(unit), 0o644)?;
    }
    let example = "tap-vtep.toml.example";
    install(&Path::new(RECIPE).join(example), &root.join("etc/tap-vtep").join(example), 0o644)?;
    for (shell, file) in COMPLETIONS {
        write(&root.join(file), &output_of(Command::new(program).args(["completions", shell]))?)?;
    }
    let pages = output.join("pages");
    remake(&pages)?;
    quietly(Command::new(program).arg("man").arg(&pages))?;
    for page in fs::read_dir(&pages)? {
        let page = page?.path();
        let section = page.extension().map(|section| section.to_string_lossy().into_owned()).unwrap_or_default();
        let name = page.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        compress(&page, &root.join(format!("usr/share/man/man{section}/{name}.gz")))?;
    }
    let documents = root.join("usr/share/doc/tap-vtep");
    install(&Path::new(RECIPE).join("copyright"), &documents.join("copyright"), 0o644)?;
    compress(Path::new("CHANGELOG.md"), &documents.join("changelog.gz"))?;

    let control = root.join("DEBIAN");
    let version = env!("CARGO_PKG_VERSION");
    let architecture = output_of(Command::new("dpkg").arg("--print-architecture"))?;
    let architecture = architecture.trim();
    let sums = sums(&root)?;
    write(&control.join("md5sums"), &sums)?;
    write(&control.join("conffiles"), &format!("/etc/tap-vtep/{example}\n"))?;
    for script in ["postinst", "prerm", "postrm"] {
        install(&Path::new(RECIPE).join(script), &control.join(script), 0o755)?;
    }
    write(&control.join("control"), &description(version, architecture, &depends(program, output)?))?;
    let file = output.join(format!("tap-vtep_{version}_{architecture}.deb"));
    quietly(Command::new("dpkg-deb").args(["--root-owner-group", "--build"]).arg(&root).arg(&file))?;
    Ok(file)
}

fn description(version: &str, architecture: &str, depends: &str) -> String {
    let variable = |name: &str, otherwise: &str| env::var(name).unwrap_or_else(|_| otherwise.to_owned());
    let maintainer = variable("DEBFULLNAME", "tap-vtep");
    let address = variable("DEBEMAIL", "root@localhost");
    format!(
        "Package: tap-vtep\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: {maintainer} <{address}>\n\
         Depends: {depends}\nSection: net\nPriority: optional\n\
         Description: tunnel endpoint (VXLAN, Geneve, NVGRE) in user space\n \
         It joins the layer-2 network behind a TAP device with those behind other\n \
         endpoints: Linux, Open vSwitch, Flannel, itself.\n"
    )
}

/// The libraries that a program is linked with, as Debian names their packages.
fn depends(program: &Path, output: &Path) -> Result<String, Failure> {
    // It wants to stand in a source package.
    let source = output.join("source");
    write(&source.join("debian/control"), "Source: tap-vtep\n\nPackage: tap-vtep\nArchitecture: any\n")?;
    let program = fs::canonicalize(program)?;
    let mut command = Command::new("dpkg-shlibdeps");
    command.arg("-O").arg("-e").arg(program).current_dir(source);
    let found = output_of(&mut command)?;
    let depends = found.lines().find_map(|line| line.strip_prefix("shlibs:Depends="));
    depends.map(str::to_owned).ok_or_else(|| Failure(format!("dpkg-shlibdeps: {found}")))
}

/// A line for each installed file, as `md5sum` has them.
fn sums(root: &Path) -> Result<String, Failure> {
    let mut command = Command::new("find");
    command.args([".", "-type", "f", "-printf", "%P\\0"]).current_dir(root);
    let found = output_of(&mut command)?;
    let mut files: Vec<_> = found.split_terminator('\0').collect();
    files.sort_unstable();
    output_of(Command::new("md5sum").args(files).current_dir(root))
}

fn remake(directory: &Path) -> Outcome {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    Ok(fs::create_dir_all(directory)?)
}

fn make_parent(file: &Path) -> Outcome {
    Ok(file.parent().map_or(Ok(()), fs::create_dir_all)?)
}

fn install(from: &Path, to: &Path, mode: u32) -> Outcome {
    make_parent(to)?;
    fs::copy(from, to).map_err(|error| Failure(format!("{}: {error}", from.display())))?;
    Ok(fs::set_permissions(to, fs::Permissions::from_mode(mode))?)
}

fn write(file: &Path, text: &str) -> Outcome {
    make_parent(file)?;
    Ok(fs::write(file, text)?)
}

/// As Debian wants manual pages: without name and time of the file that was compressed.
fn compress(from: &Path, to: &Path) -> Outcome {
    make_parent(to)?;
    let output = Command::new("gzip").args(["--best", "--no-name", "--stdout"]).arg(from).output()?;
    if !output.status.success() {
        return Err(Failure(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Ok(fs::write(to, output.stdout)?)
}

/// What a command says.
fn output_of(command: &mut Command) -> Result<String, Failure> {
    let output = command.output().map_err(|error| Failure(format!("{command:?}: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure(format!("{command:?}: {}: {said}", output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
