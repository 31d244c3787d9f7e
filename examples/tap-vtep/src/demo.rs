//! `tap-vtep demo`: two hosts, a VTEP on each, and what happens between them, told to somebody who has never seen one.
//!
//! All of it is real: two network namespaces, this program twice, and packets. Nothing outside of them is touched, and
//! nothing is left when the demonstration ends, in whatever way it does.

mod capture;
mod dissect;
mod endpoint;
mod hosts;
mod interrupt;
mod ping;
mod screen;
mod transfer;

use std::{
    fs::OpenOptions,
    io,
    net::IpAddr,
    time::{Duration, Instant},
};

use rustix::process::geteuid;
use serde_json::Value;
use thiserror::Error;
use vtep::Encapsulation;

use self::{
    capture::Capture,
    dissect::{Names, echo_request},
    endpoint::Endpoint,
    hosts::{Host, PrivateDirectory, UNDERLAY_DEVICE},
    ping::{Pings, ping},
    screen::Screen,
    transfer::{Transfer, gigabits, transfer},
};

/// The name of the TAP on both hosts.
const TAP: &str = "blue0";
/// The virtual network that the two hosts share.
const VNI: u32 = 4242;

const INTRODUCTION: &str = "
A VTEP (VXLAN tunnel endpoint) takes the Ethernet frames of a virtual network, puts each of them
into a UDP or GRE packet, and sends it over an ordinary network to the VTEP of another host, which
takes it out again. So two hosts share an Ethernet segment although there is only IP between them.

           host A                                       host B
   +--------------------+                       +--------------------+
   | blue0    10.42.0.1 | < - - VNI 4242 - - >  | blue0    10.42.0.2 |   overlay: what programs see
   |   |                |                       |   |                |
   | tap-vtep           |                       | tap-vtep           |   a VTEP on each host
   |   |                |                       |   |                |
   | eth0     192.0.2.1 |=======================| eth0     192.0.2.2 |   underlay: the cable
   +--------------------+                       +--------------------+
";

/// What the command line says.
pub(crate) struct DemoOptions {
    /// The tunnel header.
    pub(crate) encapsulation: Encapsulation,
    /// How many megabytes to move by TCP.
    pub(crate) megabytes: u32,
}

/// Why the demonstration ended early, in one line.
#[derive(Debug, Error)]
pub(crate) enum DemoError {
    /// No TAP devices on this machine.
    #[error("there is no /dev/net/tun: `sudo modprobe tun` loads it; a container needs `--device /dev/net/tun`")]
    NoTun,
    /// No TAP devices for this user.
    #[error("/dev/net/tun may not be opened: {remedy}")]
    TunNotPermitted {
        /// What to do about it.
        remedy: &'static str,
    },
    /// No network namespaces for this user.
    #[error("a network namespace of one's own is not allowed here ({error}): {remedy}")]
    NoNamespaces {
        /// What the kernel said.
        error: io::Error,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A system call that should have worked.
    #[error("cannot {doing}: {error}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// What the kernel said.
        error: io::Error,
    },
    /// A VTEP did not do what it should.
    #[error("the VTEP of host {host} {what}: {last}")]
    Endpoint {
        /// Whose.
        host: char,
        /// What it did.
        what: &'static str,
        /// The last line that it wrote.
        last: String,
    },
    /// Nobody there.
    #[error("no answer from {address} to {requests} echo requests")]
    NoAnswer {
        /// Who should have answered.
        address: IpAddr,
        /// How often it was asked.
        requests: u32,
    },
    /// The tunnel carried an echo request, but the cable did not.
    #[error("no encapsulated echo request was seen on the cable")]
    NoPacket,
    /// A table without the row that all these packets should have made.
    #[error("the VTEP of host {host} has not learned where host {other} is")]
    NotLearned {
        /// Whose table.
        host: char,
        /// Who is not in it.
        other: char,
    },
    /// A connection on which nothing moves.
    #[error("the TCP connection stalled after {arrived} of {bytes} bytes")]
    Stalled {
        /// Bytes that arrived.
        arrived: u64,
        /// Bytes that were to arrive.
        bytes: u64,
    },
    /// A thread of this program panicked.
    #[error("a thread of the demonstration failed")]
    Thread,
    /// Somebody asked for the end.
    #[error("interrupted; everything it made is gone")]
    Interrupted,
}

/// What a failed system call was for.
trait Doing<T> {
    /// Names it. After an interruption the failure is its consequence.
    fn doing(self, doing: &'static str) -> Result<T, DemoError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: &'static str) -> Result<T, DemoError> {
        self.or_else(|error| interrupt::check().and(Err(DemoError::System { doing, error })))
    }
}

/// Runs the demonstration, to standard output. The calling thread must be the only one of the process, and ends up in
/// another network namespace.
///
/// # Errors
///
/// The first thing that went wrong; what was made is gone then, too.
pub(crate) fn run(options: &DemoOptions) -> Result<(), DemoError> {
    look_for_tun()?;
    interrupt::install().doing("handle signals")?;
    let start = Instant::now();
    let hosts = hosts::pair()?;
    let [a, b] = &hosts;
    let directory = PrivateDirectory::new()?;
    let mut screen = Screen::new();
    screen.title("tap-vtep demo: two hosts, one virtual Ethernet between them")?;
    screen.block(INTRODUCTION)?;

    screen.step("Two hosts are made")?;
    screen.line("Two network namespaces stand for the hosts, and a veth pair for the cable between their eth0.")?;
    screen.line("They are outside of everything else on this machine, and gone when the demonstration ends.")?;

    screen.step("A VTEP is started on each")?;
    let endpoints = [
        Endpoint::start([a, b], options.encapsulation, directory.path())?,
        Endpoint::start([b, a], options.encapsulation, directory.path())?,
    ];
    for (host, other) in [(a, b), (b, a)] {
        let overlay = host.overlay_networks().next().unwrap_or_default();
        let mtu = host.link(TAP)?.mtu;
        screen.line(format_args!(
            "{}: tap-vtep run --encapsulation {} --vni {VNI} --tap {TAP} --local {} --remote {} --address {overlay}",
            host.name, options.encapsulation, host.underlay, other.underlay,
        ))?;
        screen.line(format_args!(
            "   {TAP} is up, MTU {mtu}: with its outer headers, a frame fits into one packet of the cable"
        ))?;
    }

    screen.step("Host A pings host B, through the tunnel")?;
    let capture = Capture::start(b)?;
    let pings = ping(a, b.overlay.into())?;
    show_pings(&mut screen, &pings, b.overlay.into())?;
    let pings6 = if let Some(address) = b.overlay6 {
        let pings = ping(a, address.into())?;
        show_pings(&mut screen, &pings, address.into())?;
        Some(pings)
    } else {
        screen.line("IPv6 is not tried: it is switched off on this machine.")?;
        None
    };

    screen.step("One of these packets, as it came over the cable to host B")?;
    show_packet(&mut screen, capture, &hosts)?;

    screen.step("Many bytes by TCP, from host A to host B")?;
    let bytes = u64::from(options.megabytes) * 1_000_000;
    let transfer = transfer([a, b], bytes, |arrived, elapsed| show_progress(&mut screen, arrived, bytes, elapsed));
    screen.end_progress()?;
    let transfer = transfer?;
    screen.line(format_args!(
        "{} MB in {:.1} s, {:.2} Gbit/s; every byte arrived as it was sent.",
        options.megabytes,
        transfer.elapsed.as_secs_f64(),
        transfer.gigabits(),
    ))?;
    if cfg!(debug_assertions) {
        screen.line("This is a debug build: one made with `cargo build --release` is several times faster.")?;
    }

    screen.step("What each VTEP has learned: which MAC address is behind which other host")?;
    for (host, other, endpoint) in [(a, b, &endpoints[0]), (b, a, &endpoints[1])] {
        show_table(&mut screen, host, other, &endpoint.show("fdb")?)?;
    }
    let drops: u64 =
        endpoints.iter().map(|endpoint| endpoint.show("stats").map(|stats| drops(&stats))).sum::<Result<_, _>>()?;
    let counters = a.link(UNDERLAY_DEVICE)?;

    interrupt::check()?;
    for endpoint in endpoints {
        endpoint.stop()?;
    }
    drop(directory);
    screen.block("\n")?;
    screen.title("Summary")?;
    let (sent, received) = (counters.tx_packets, counters.rx_packets);
    let overhead = options.encapsulation.mtu_overhead(false);
    let figures = Figures { pings, pings6, transfer, sent, received, drops, overhead };
    show_summary(&mut screen, &figures, start.elapsed())
}

/// An error where TAP devices cannot be made, so that this is said before anything is made.
fn look_for_tun() -> Result<(), DemoError> {
    match OpenOptions::new().read(true).write(true).open("/dev/net/tun") {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV | libc::ENXIO)) => {
            Err(DemoError::NoTun)
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(DemoError::TunNotPermitted {
            remedy: if geteuid().is_root() {
                "give the container the device with `--device /dev/net/tun`"
            } else {
                "run as root, or allow it to all with `sudo chmod 0666 /dev/net/tun`"
            },
        }),
        Err(error) => Err(error).doing("open /dev/net/tun"),
    }
}

fn show_pings(screen: &mut Screen, pings: &Pings, to: IpAddr) -> Result<(), DemoError> {
    screen.line(format_args!(
        "{to:<11} first answer after {} (its MAC was looked up), then {} of {}, median {}",
        milliseconds(pings.first),
        pings.answered,
        pings.sent,
        milliseconds(pings.median)
    ))
}

fn show_packet(screen: &mut Screen, capture: Capture, hosts: &[Host; 2]) -> Result<(), DemoError> {
    let mut names = Names { macs: Vec::new(), ips: Vec::new() };
    for host in hosts {
        names.macs.push((host.underlay_mac, format!("{UNDERLAY_DEVICE} of host {}", host.name)));
        if let Some(mac) = host.link(TAP)?.mac {
            names.macs.push((mac, format!("{TAP} of host {}", host.name)));
        }
        names.ips.push((host.underlay, format!("{UNDERLAY_DEVICE} of host {}", host.name)));
        names.ips.push((host.overlay, format!("{TAP} of host {}", host.name)));
    }
    let fields = capture.find(|packet| echo_request(packet, &names))?.ok_or(DemoError::NoPacket)?;
    let mut layer = "";
    for field in fields {
        // A header is named at its first field only.
        let name = if field.layer == layer { "" } else { field.layer };
        layer = field.layer;
        screen.line(format_args!("{name:<14}  {:<20}  {}", field.bytes, field.meaning))?;
    }
    Ok(())
}

fn show_progress(screen: &mut Screen, arrived: u64, bytes: u64, elapsed: Duration) -> Result<(), DemoError> {
    let done = (20 * arrived).checked_div(bytes).unwrap_or(20) as usize;
    screen.progress(format_args!(
        "[{:<20}] {} of {} MB, {:.2} Gbit/s",
        "#".repeat(done.min(20)),
        arrived / 1_000_000,
        bytes / 1_000_000,
        gigabits(arrived, elapsed)
    ))
}

/// A forwarding table as `show fdb --json` gives it. The other host's TAP must be in it.
fn show_table(screen: &mut Screen, host: &Host, other: &Host, table: &Value) -> Result<(), DemoError> {
    let others = other.link(TAP)?.mac.map(|mac| mac.to_string());
    let mut learned = false;
    for row in table.as_array().map(Vec::as_slice).unwrap_or_default() {
        let word = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or("?");
        let is_the_others = others.as_deref() == Some(word("mac"));
        learned |= is_the_others;
        let owner = if is_the_others { format!("{TAP} of host {}", other.name) } else { "unknown".to_owned() };
        let age = row.get("age_s").and_then(Value::as_f64).map(|age| format!(", heard from {age:.0} s ago"));
        screen.line(format_args!(
            "{}: {} ({owner}) is behind {}   {}{}",
            host.name,
            word("mac"),
            word("remote"),
            word("state"),
            age.unwrap_or_default()
        ))?;
    }
    if learned { Ok(()) } else { Err(DemoError::NotLearned { host: host.name, other: other.name }) }
}

/// All drops that `show stats --json` counts.
fn drops(stats: &Value) -> u64 {
    let sum = |of: &Value| -> u64 {
        let counts = of.get("drops").and_then(Value::as_object);
        counts.map_or(0, |counts| counts.values().filter_map(Value::as_u64).sum())
    };
    let segments = stats.get("segments").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    sum(stats) + segments.iter().map(sum).sum::<u64>()
}

/// What was measured.
struct Figures {
    pings: Pings,
    pings6: Option<Pings>,
    transfer: Transfer,
    /// Packets that left host A on the cable.
    sent: u64,
    /// Packets that came to host A.
    received: u64,
    drops: u64,
    /// Bytes that stand before each frame: outer Ethernet header to tunnel header.
    overhead: u16,
}

fn show_summary(screen: &mut Screen, figures: &Figures, elapsed: Duration) -> Result<(), DemoError> {
    let ipv6 =
        figures.pings6.as_ref().map_or(String::new(), |pings| format!(", {} on IPv6", milliseconds(pings.median)));
    screen.line(format_args!("round trip   {} on IPv4{ipv6} (median)", milliseconds(figures.pings.median)))?;
    screen.line(format_args!(
        "throughput   {:.2} Gbit/s by TCP, one connection, {} MB",
        figures.transfer.gigabits(),
        figures.transfer.bytes / 1_000_000
    ))?;
    screen.line(format_args!(
        "the cable    {} packets from A to B, {} from B to A; each with {overhead} bytes of outer headers",
        thousands(figures.sent),
        thousands(figures.received),
        overhead = figures.overhead,
    ))?;
    screen.line(format_args!("dropped      {} frames by the two VTEPs", thousands(figures.drops)))?;
    screen.line(format_args!("cleaned up   hosts, cable and VTEPs are gone; it took {:.1} s", elapsed.as_secs_f64()))
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.3} ms", duration.as_secs_f64() * 1e3)
}

/// A number with a comma after each three digits.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_are_readable() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
        assert_eq!(milliseconds(Duration::from_micros(51)), "0.051 ms");
    }

    #[test]
    fn all_drops_are_counted() {
        let stats = json!({
            "segments": [{"name": "blue0", "drops": {"own_mac": 1, "socket": 2}}, {"name": "red0", "drops": {}}],
            "drops": {"unknown_vni": 4},
        });
        assert_eq!(drops(&stats), 7);
        assert_eq!(drops(&json!(null)), 0);
    }

    #[test]
    fn the_introduction_fits() {
        assert!(INTRODUCTION.lines().all(|line| line.is_ascii() && line.len() <= 100));
    }

    #[test]
    fn errors_are_one_line() {
        let error = io::Error::from_raw_os_error(libc::EPERM);
        for error in [
            DemoError::NoTun,
            DemoError::TunNotPermitted { remedy: "run as root" },
            DemoError::NoNamespaces { error, remedy: "run as root" },
            DemoError::Interrupted,
        ] {
            assert!(!error.to_string().contains('\n') && error.to_string().len() < 150, "{error}");
        }
    }
}
