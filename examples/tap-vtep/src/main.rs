//! `tap-vtep`: a complete tunnel endpoint for VXLAN, Geneve and NVGRE, in user space.
//!
//! One file for each kind of side effect: [`tap`] and [`underlay`] hold the devices and sockets, [`receive`] and [`send`] move
//! datagrams, [`worker`] is the loop between them, [`netlink`] sets interfaces, [`control`] answers questions, [`run`]
//! makes all of it and takes it away again. What happens to a frame is decided by the crate `vtep` alone.

mod apply;
mod capture;
mod cli;
mod complaints;
mod config;
mod control;
mod delivering;
mod demo;
mod explain;
mod explanation;
mod health;
mod hex;
mod inbound;
mod interface_request;
mod interface_watch;
mod ipam;
mod lone_frames;
mod manual;
mod metrics;
mod netlink;
mod outbound;
mod outer_packet;
mod path_mtu;
mod path_probe;
mod plan;
mod privileges;
mod receive;
mod run;
mod scheduling;
mod self_test;
mod send;
mod service_manager;
mod show;
mod sockets;
mod state;
mod tap;
mod trunk;
mod tunnel_gso;
mod underlay;
mod worker;

use std::{
    env::{self, VarError},
    io::{self, IsTerminal as _, Write as _},
    path::Path,
    process::ExitCode,
};

use tracing_subscriber::EnvFilter;

use crate::{
    cli::Command, config::Config, demo::DemoOptions, netlink::Netlink, plan::Plan, run::RunError, show::AskError,
};

/// It failed at run time.
const STATUS_FAILED: u8 = 1;
/// Wrong usage or configuration.
const STATUS_USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    match cli.command {
        Command::Run(options) => {
            if let Err(error) = log_to_standard_error() {
                return complain(STATUS_USAGE, &error);
            }
            match run::run(&options) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error @ RunError::Config(_)) => complain(STATUS_USAGE, &error),
                Err(error) => complain(STATUS_FAILED, &error),
            }
        }
        Command::Check { config } => check(&config),
        Command::Demo { encapsulation: name, megabytes } => match name.parse() {
            Ok(encapsulation) => match demo::run(&DemoOptions { encapsulation, megabytes }) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => complain(STATUS_FAILED, &error),
            },
            Err(error) => {
                complain(STATUS_USAGE, &format!("--encapsulation: unknown encapsulation \"{name}\"; {error}"))
            }
        },
        Command::Show { what } => answered(show::show(&what)),
        Command::Fdb { change } => answered(show::change_fdb(&change)),
        Command::Neighbor { change } => answered(show::change_neighbor(&change)),
        Command::Explain(options) => answered(explain::explain(&options)),
        Command::Capture(options) => match capture::run(&options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(error.status(), &error),
        },
        Command::Ipam { command } => match ipam::run(&command) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(STATUS_FAILED),
            Err(error) => complain(error.status(), &error),
        },
        Command::Man { directory } => written(manual::pages(&directory), &directory.display()),
        Command::Completions { shell } => written(manual::completions(shell), &"standard output"),
    }
}

fn written(result: io::Result<()>, place: &dyn std::fmt::Display) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(STATUS_FAILED, &format!("{place}: {error}")),
    }
}

/// Says in one line what went wrong.
fn complain(status: u8, error: &dyn std::fmt::Display) -> ExitCode {
    // Nobody who reads on is no reason to panic.
    let _ = writeln!(io::stderr(), "tap-vtep: {error}");
    ExitCode::from(status)
}

fn answered(result: Result<(), AskError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ AskError::Unreachable { .. }) => complain(STATUS_FAILED, &error),
        Err(AskError::Refused { status, reason }) => complain(status, &reason),
    }
}

/// `tap-vtep check`: what a configuration would make on this host.
fn check(file: &Path) -> ExitCode {
    let config = match Config::read(file) {
        Ok(config) => config,
        Err(error) => return complain(STATUS_USAGE, &error),
    };
    let plan = Netlink::open().map_err(Into::into).and_then(|netlink| Plan::new(config, &netlink));
    match plan {
        Ok(plan) => {
            print!("{plan}");
            ExitCode::SUCCESS
        }
        // The file is right; this host is not the one that it was written for.
        Err(error) => {
            println!("{} is right, but not for this host as it is now: {error}", file.display());
            ExitCode::SUCCESS
        }
    }
}

fn log_to_standard_error() -> Result<(), String> {
    let filter = match env::var(EnvFilter::DEFAULT_ENV) {
        Ok(filter) => EnvFilter::try_new(&filter).map_err(|error| format!("RUST_LOG=\"{filter}\": {error}"))?,
        Err(VarError::NotPresent) => EnvFilter::new("info"),
        Err(error @ VarError::NotUnicode(_)) => return Err(format!("RUST_LOG: {error}")),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none())
        .init();
    Ok(())
}
