//! The unit for systemd: what it lets the program do is enough.

use std::{
    collections::BTreeSet,
    fs,
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use testbed::{Family, PATIENCE, Scratch, Underlay, ping, require, wait_until};

use crate::bed::{PROGRAM, TAP, configuration_file, flood_to_all, guest_address, kernel_peers, one_segment};

const UNIT: &str = include_str!("../../../../packaging/tap-vtep.service");

/// What `SystemCallFilter=` of the unit lets through.
fn allowed() -> BTreeSet<String> {
    let mut allowed = expand("@default");
    for filter in UNIT.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        match filter.strip_prefix('~') {
            Some(names) => {
                let refused = names.split_whitespace().flat_map(expand).collect::<BTreeSet<_>>();
                allowed.retain(|call| !refused.contains(call));
            }
            None => allowed.extend(filter.split_whitespace().flat_map(expand)),
        }
    }
    allowed
}

/// The system calls of a group, as systemd knows it; a call stands for itself.
fn expand(name: &str) -> BTreeSet<String> {
    if !name.starts_with('@') {
        return BTreeSet::from([name.to_owned()]);
    }
    let listed = testbed::run(&["systemd-analyze", "syscall-filter", name]);
    assert_eq!(listed.status, Some(0), "{listed}");
    let lines = listed.stdout.lines().skip(1).map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).flat_map(expand).collect()
}

/// From start to end, with SIGHUP, traffic, probes of its path and a TAP that comes back, there is no system call that the unit's filter refuses.
#[test]
fn the_filter_lets_every_system_call_through() {
    let underlay = Underlay::new(2);
    let ours = &underlay.host(0).namespace;
    let _peers = kernel_peers(&underlay, Family::V4);
    let files = Scratch::new();
    let address = format!("addresses = [\"{}/24\"]\n", guest_address(1, Family::V4));
    let lines = format!("{}\n{address}", flood_to_all(&underlay, Family::V4));
    let configuration =
        format!("[metrics]\nlisten = \"127.0.0.1:9472\"\n\n{}", one_segment(underlay.host(0), Family::V4, &lines));
    let nvgre = |name, vni, tap| {
        format!("\n[[segment]]\nname = \"{name}\"\nencapsulation = \"nvgre\"\nvni = {vni}\ntap = \"{tap}\"\n")
    };
    let configuration = configuration + &nvgre("green", 5001, "tap2");
    let configuration = configuration.replace("[underlay]\n", "[underlay]\npath_mtu_probe = \"1s\"\n");
    let calls = files.path("calls");
    let mut command = Command::new(require("strace"));
    command.args(["--follow-forks", "--quiet=all", "--output"]).arg(&calls).arg(PROGRAM);
    command.args(["run", "--config", &configuration_file(&files, &configuration), "--control"]);
    command.arg(files.path("control.sock")).stderr(Stdio::null());
    let mut strace = ours.start(command);
    let answers = || ours.run(&["curl", "--silent", "http://127.0.0.1:9472/healthz"]).stdout.contains("\"ok\"");
    wait_until("it runs", answers);
    assert_eq!(ping(ours, guest_address(2, Family::V4), 3).received, 3);

    let id = strace.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let program = Pid::from_raw(children.trim().parse().unwrap()).unwrap();
    configuration_file(&files, &(configuration + &nvgre("red", 5000, "tap1")));
    kill_process(program, Signal::HUP).unwrap();
    wait_until("the new segment is there", || ours.has_device("tap1"));
    ours.ip(&format!("link delete {TAP}"));
    wait_until("it is missed", || !answers());
    ours.ip(&format!("tuntap add {TAP} mode tap"));
    wait_until("it is back", answers);
    kill_process(program, Signal::TERM).unwrap();
    assert_eq!(strace.wait(PATIENCE).code(), Some(0));

    // `1234 sendmsg(…` and `1234 <... sendmsg resumed>…`; signals and ends have other forms.
    let text = fs::read_to_string(calls).unwrap();
    let names = text.lines().filter_map(|line| {
        let call = line.split_once(' ')?.1.trim_start();
        let call = call.strip_prefix("<... ").unwrap_or(call);
        let end = call.find(|character: char| !(character.is_ascii_alphanumeric() || character == '_'))?;
        (end > 0).then(|| call[..end].to_owned())
    });
    let made: BTreeSet<_> = names.collect();
    assert!(["sendmsg", "recvmmsg", "capset", "bpf"].iter().all(|call| made.contains(*call)), "{made:?}");
    let allowed = allowed();
    let refused: Vec<_> = made.difference(&allowed).collect();
    assert!(refused.is_empty(), "{refused:?}");
}
