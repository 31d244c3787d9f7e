//! The words of the command line.

use std::{net::IpAddr, num::NonZeroU16, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use ipnet::IpNet;
use overlay_types::{MacAddr, Vni};
use vtep::Ecn;

use crate::{
    config::{Local, SuperFrames},
    ipam::cli::IpamCommand,
};

/// Where the control socket is unless `--control` says otherwise.
pub(crate) const DEFAULT_CONTROL: &str = "/run/tap-vtep.sock";

/// Where it is of the service that systemd runs, which may not write to `/run` itself.
pub(crate) const SERVICE_CONTROL: &str = "/run/tap-vtep/control.sock";

/// A tunnel endpoint (VTEP) for VXLAN, Geneve and NVGRE in user space.
///
/// It joins the layer-2 network behind a Linux TAP device with those behind other VTEPs (Linux, Open vSwitch, Flannel,
/// itself) by tunnels.
#[derive(Debug, Parser)]
#[command(name = "tap-vtep", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the endpoint in the foreground until SIGTERM or SIGINT.
    #[command(after_help = "Example:\n  \
        tap-vtep run --vni 42 --tap blue0 --local 192.0.2.1 --remote 192.0.2.2 --address 10.42.0.1/24\n\n\
        Environment:\n  \
        RUST_LOG  what is said on standard error: off, error, warn, info (the default) or debug, which has what is dropped, too:\n            \
        for each reason and segment a line a second of each worker at the most, with the remote and how many were left out")]
    Run(RunOptions),
    /// Say what a configuration would make, and make nothing.
    Check {
        /// The configuration file (TOML).
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Two hosts in two network namespaces, joined by two endpoints: ping, throughput, and what crossed the wire.
    Demo {
        /// The tunnel header: vxlan, geneve or nvgre.
        #[arg(long, default_value = "vxlan")]
        encapsulation: String,
        /// How many megabytes to move by TCP.
        #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        megabytes: u32,
    },
    /// Show what the running endpoint knows and counts.
    Show {
        #[command(subcommand)]
        what: Show,
    },
    /// Change the forwarding table of the running endpoint: which remote has which MAC.
    Fdb {
        #[command(subcommand)]
        change: FdbChange,
    },
    /// Change the neighbour table of the running endpoint: which MAC has which IP address.
    Neighbor {
        #[command(subcommand)]
        change: NeighborChange,
    },
    /// Say what the running endpoint would do with a frame: which row it meets, what becomes of it, and the bytes that would
    /// go out. Nothing is sent, learned or counted.
    #[command(after_help = "Example:\n  \
        tap-vtep explain ffffffffffff 020000000001 0806 …\n  \
        tap-vtep explain --from 192.0.2.2 - < datagram.hex")]
    Explain(ExplainOptions),
    /// Write frames and tunnel packets of the running endpoint to a file (pcapng), each with what became of it as its comment.
    ///
    /// Frames are those between TAP and program, of a trunk without their tag. Tunnel packets stand behind an IP header that is
    /// made again from what the program knows: of a received packet TTL and DSCP are 0 and the checksum is computed; of a sent
    /// one the identification is 0. A super-frame is one packet, and the comment says of how many frames. A capture is of the
    /// segments that there are when it begins, and ends with the first of them.
    #[command(after_help = "Examples:\n  \
        tap-vtep capture blue.pcapng\n  \
        tap-vtep capture --segment blue --inner - | tshark -r -")]
    Capture(CaptureOptions),
    /// Subnets and addresses out of a pool file, which survives crashes: nothing is given twice.
    Ipam {
        #[command(subcommand)]
        command: IpamCommand,
    },
    /// Write the manual pages to a directory.
    Man {
        /// The directory; it is made where there is none.
        directory: PathBuf,
    },
    /// Print the completions of a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

#[derive(Args, Debug)]
pub(crate) struct RunOptions {
    /// The configuration file (TOML), in place of the options below.
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "vni", "tap", "local", "remote", "encapsulation", "port", "address", "mtu",
    ])]
    pub(crate) config: Option<PathBuf>,
    /// The segment's VXLAN network identifier, 0 to 16777215.
    #[arg(long)]
    pub(crate) vni: Option<Vni>,
    /// The TAP device: made if it does not exist, attached to if it does. The segment is named like it.
    #[arg(long, value_name = "NAME")]
    pub(crate) tap: Option<String>,
    /// The source address of the tunnels, IPv4 or IPv6; "auto" takes the default route's.
    #[arg(long, value_name = "IP")]
    pub(crate) local: Option<Local>,
    /// Another endpoint, or a multicast group: who gets broadcast, unknown unicast and multicast. May be repeated.
    #[arg(long, value_name = "IP")]
    pub(crate) remote: Vec<IpAddr>,
    /// The tunnel header: vxlan, geneve or nvgre [default: vxlan].
    #[arg(long)]
    pub(crate) encapsulation: Option<String>,
    /// The UDP port [default: 4789].
    #[arg(long)]
    pub(crate) port: Option<NonZeroU16>,
    /// An address to put on the TAP, such as 10.42.0.1/24. May be repeated.
    #[arg(long, value_name = "IP/LENGTH")]
    pub(crate) address: Vec<IpNet>,
    /// The TAP's MTU [default: the underlay's less the overhead].
    #[arg(long)]
    pub(crate) mtu: Option<u16>,
    /// How super-frames leave; before what the file says [default: auto].
    #[arg(long, value_name = "WAY")]
    pub(crate) underlay: Option<SuperFrames>,
    /// How many workers: threads that carry frames, each with a queue of the TAP and sockets of its own [default: 1].
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<usize>,
    /// Look for work for so many microseconds before sleeping: shorter round trips, for more of a core [default: 0].
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) busy_poll: Option<u32>,
    /// Write small frames to TAPs by `io_uring`, or don't [default: where the kernel has it].
    #[arg(long, value_name = "BOOL")]
    pub(crate) io_uring: Option<bool>,
    #[command(flatten)]
    pub(crate) control: ControlSocket,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ControlSocket {
    /// The control socket.
    #[arg(long = "control", value_name = "PATH", default_value = DEFAULT_CONTROL)]
    pub(crate) path: PathBuf,
}

/// Which segment, and which running endpoint.
#[derive(Args, Debug)]
pub(crate) struct Target {
    /// The segment; needed where the endpoint has more than one.
    #[arg(long, value_name = "NAME")]
    pub(crate) segment: Option<String>,
    #[command(flatten)]
    pub(crate) control: ControlSocket,
}

#[derive(Args, Debug)]
pub(crate) struct ExplainOptions {
    /// The frame in hexadecimal digits, with or without whitespace and colons; "-" reads it from standard input. From a
    /// remote: a datagram from the tunnel header's first byte.
    #[arg(value_name = "HEX", required = true)]
    pub(crate) bytes: Vec<String>,
    /// It comes from the segment's TAP; so it is unless --from is given.
    #[arg(long, conflicts_with = "from")]
    pub(crate) from_tap: bool,
    /// It comes from this endpoint, through a tunnel.
    #[arg(long, value_name = "REMOTE")]
    pub(crate) from: Option<IpAddr>,
    /// The ECN field of the datagram's outer header: not-ect, ect0, ect1 or ce [default: not-ect].
    #[arg(long, requires = "from", value_parser = crate::explain::parse_ecn)]
    pub(crate) ecn: Option<Ecn>,
    /// One JSON document in place of lines.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Args, Debug)]
pub(crate) struct CaptureOptions {
    /// The file; "-" is standard output.
    pub(crate) file: PathBuf,
    /// Only this segment.
    #[arg(long, value_name = "NAME")]
    pub(crate) segment: Option<String>,
    /// Only frames, not the tunnel packets around them.
    #[arg(long, conflicts_with = "outer")]
    pub(crate) inner: bool,
    /// Only tunnel packets.
    #[arg(long)]
    pub(crate) outer: bool,
    /// End after so many packets.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End after this time, such as 10s or 5m.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// Keep so many bytes of each packet.
    #[arg(long, value_name = "N", default_value_t = 262_144, value_parser = clap::value_parser!(u32).range(1..=262_144))]
    pub(crate) snaplen: u32,
    #[command(flatten)]
    pub(crate) control: ControlSocket,
}

#[derive(Args, Debug)]
pub(crate) struct ShowOptions {
    /// Only this segment.
    #[arg(long, value_name = "NAME")]
    pub(crate) segment: Option<String>,
    /// One JSON document in place of a table.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) control: ControlSocket,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Show {
    /// The segments and their rules.
    Segments(ShowOptions),
    /// The forwarding table: which remote has which MAC.
    Fdb(ShowOptions),
    /// The neighbour table: which MAC has which IP address.
    Neighbors(ShowOptions),
    /// The other endpoints.
    Remotes(ShowOptions),
    /// What was sent, delivered and dropped.
    Stats(ShowOptions),
}

#[derive(Debug, Subcommand)]
pub(crate) enum FdbChange {
    /// Add a static row, in place of the row that is there.
    #[command(override_usage = "tap-vtep fdb add [OPTIONS] <MAC> remote <IP>")]
    Add {
        /// The inner MAC address.
        mac: MacAddr,
        /// The word "remote".
        #[arg(value_name = "remote", value_parser = ["remote"], hide = true)]
        word: String,
        /// The endpoint that has it.
        #[arg(value_name = "IP")]
        remote: IpAddr,
        #[command(flatten)]
        target: Target,
    },
    /// Remove a row.
    #[command(override_usage = "tap-vtep fdb del [OPTIONS] <MAC> [remote <IP>]")]
    Del {
        /// The inner MAC address.
        mac: MacAddr,
        /// The word "remote".
        #[arg(value_name = "remote", value_parser = ["remote"], hide = true, requires = "remote")]
        word: Option<String>,
        /// Only if this endpoint has it.
        #[arg(value_name = "IP")]
        remote: Option<IpAddr>,
        #[command(flatten)]
        target: Target,
    },
    /// Remove all rows, or those of a segment, of a remote, or the learned ones.
    Flush {
        /// Only rows at this endpoint.
        #[arg(long, value_name = "IP")]
        remote: Option<IpAddr>,
        /// Only learned rows.
        #[arg(long)]
        learned: bool,
        /// Only this segment.
        #[arg(long, value_name = "NAME")]
        segment: Option<String>,
        #[command(flatten)]
        control: ControlSocket,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum NeighborChange {
    /// Add a static row, in place of the row that is there.
    Add {
        /// The IP address inside the segment.
        ip: IpAddr,
        /// Its MAC address.
        mac: MacAddr,
        #[command(flatten)]
        target: Target,
    },
    /// Remove a row.
    Del {
        /// The IP address inside the segment.
        ip: IpAddr,
        /// Only if it has this MAC address.
        mac: Option<MacAddr>,
        #[command(flatten)]
        target: Target,
    },
}

/// Reads the command line; help and version go to standard output, a wrong word to standard error in one line.
pub(crate) fn parse() -> Result<Cli, std::process::ExitCode> {
    Cli::try_parse().map_err(|error| {
        if !error.use_stderr() {
            // Help that nobody can be told is no failure.
            let _ = error.print();
            return std::process::ExitCode::SUCCESS;
        }
        let text = error.render().to_string();
        // The first paragraph says what is wrong; usage and tips follow behind an empty line.
        let line: Vec<_> = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim).collect();
        eprintln!("tap-vtep: {}", line.join(" ").trim_start_matches("error: "));
        std::process::ExitCode::from(crate::STATUS_USAGE)
    })
}
