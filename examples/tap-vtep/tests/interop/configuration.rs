//! Mistakes in the configuration: one line with file, line and key, status 2, nothing made.

use serde_json::Value;
use testbed::{Family, Namespace, Scratch, Underlay};

use crate::bed::{TAP, configuration_file, only_line, run_to_end};

/// A configuration that is right; each mistake replaces or adds a line of it.
const RIGHT: &str = r#"[underlay]
local = "10.200.0.1"

[[segment]]
name = "blue"
encapsulation = "vxlan"
vni = 42
port = 4789
tap = "tap0"
mtu = 1400
mac = "02:00:00:00:00:01"
addresses = ["10.50.0.1/24"]
flood = ["10.200.0.2"]
learning = true
ageing = "300s"
max_entries = 8192
sources = "configured"
reserved_bits = "ignore"
ecn = "normal"
ttl = 64
dscp = "inherit"
df = true
udp_checksum = true
source_ports = [49152, 65535]

[[segment.fdb]]
mac = "5e:f8:4f:00:e3:37"
remote = "10.200.0.2"

[[segment.neighbor]]
ip = "10.50.0.2"
mac = "5e:f8:4f:00:e3:37"
"#;

/// The line of [`RIGHT`] that begins so is replaced; the number of the line that is wrong then, from 1.
fn replaced(begins: &str, by: &str) -> (String, usize) {
    let at = RIGHT.lines().position(|line| line.starts_with(begins)).unwrap();
    let lines: Vec<_> = RIGHT.lines().enumerate().map(|(number, line)| if number == at { by } else { line }).collect();
    (lines.join("\n") + "\n", at + 1 + by.lines().count() - 1)
}

/// [`RIGHT`] with more behind it, whose last line but `behind` is wrong.
fn extended(more: &str, behind: usize) -> (String, usize) {
    let text = format!("{RIGHT}{more}");
    let line = text.lines().count() - behind;
    (text, line)
}

fn devices(namespace: &Namespace) -> Vec<String> {
    let shown: Value = serde_json::from_str(&namespace.ip("-j link show")).unwrap();
    let names = shown.as_array().unwrap().iter().map(|device| device["ifname"].as_str().unwrap().to_owned());
    names.collect()
}

/// `check` and `run` both refuse it: status 2, one line that has the file with the line, and the key; nothing is made.
#[track_caller]
fn is_refused((configuration, line): (String, usize), key: &str) {
    let underlay = Underlay::new(1);
    let files = Scratch::new();
    let file = configuration_file(&files, &configuration);
    let control = files.path("control.sock");
    let before = devices(&underlay.host(0).namespace);
    let run = ["run", "--config", &file, "--control", &control.display().to_string()];
    for words in [&["check", "--config", &file][..], &run] {
        let finished = run_to_end(&underlay, words);
        assert_eq!(finished.status, Some(2), "{}: {finished}", words[0]);
        let said = only_line(&finished);
        assert!(said.contains(&format!("{file}:{line}:")), "{}: not at line {line}: {said}", words[0]);
        assert!(said.contains(key), "{}: {key} is not named: {said}", words[0]);
        assert_eq!(finished.stdout, "");
        assert_eq!(devices(&underlay.host(0).namespace), before, "{}: something was made", words[0]);
        assert!(!control.exists(), "{}: something was made", words[0]);
    }
}

#[test]
fn an_unknown_key() {
    is_refused(replaced("learning", "lerning = true"), "lerning");
    is_refused(replaced("local", "local = \"10.200.0.1\"\nport = 4789"), "port");
    is_refused(replaced("remote", "remote = \"10.200.0.2\"\nvni = 42"), "vni");
    is_refused(extended("\n[overlay]\nname = \"x\"\n", 1), "overlay");
}

#[test]
fn a_vni_beyond_24_bits() {
    is_refused(replaced("vni", "vni = 16777216"), "vni");
    is_refused(replaced("vni", "vni = -1"), "vni");
    is_refused(replaced("vni", "vni = \"blue\""), "vni");
}

#[test]
fn a_mac_address_that_is_none() {
    is_refused(replaced("mac = \"02", "mac = \"02:00:00:00:00\""), "mac");
    is_refused(replaced("mac = \"02", "mac = \"02:00:00:00:00:01:02\""), "mac");
    is_refused(replaced("mac = \"02", "mac = \"03:00:00:00:00:01\""), "mac");
    is_refused(replaced("mac = \"5e", "mac = \"5e:f8:4f:00:e3\""), "mac");
}

#[test]
fn an_address_of_the_other_family() {
    is_refused(replaced("flood", "flood = [\"fd00:200::2\"]"), "flood");
    is_refused(replaced("flood", "flood = [\"10.200.0.2\", \"fd00:200::2\"]"), "flood");
    is_refused(replaced("flood", "group = \"ff05::42\""), "group");
    is_refused(replaced("remote", "remote = \"fd00:200::2\""), "remote");
}

#[test]
fn an_address_that_is_none() {
    is_refused(replaced("flood", "flood = [\"10.200.0.256\"]"), "flood");
    is_refused(replaced("local", "local = \"10.200.0\""), "local");
    is_refused(replaced("addresses", "addresses = [\"10.50.0.1/33\"]"), "addresses");
    is_refused(replaced("ip =", "ip = \"10.50.0\""), "ip");
    is_refused(replaced("flood", "group = \"10.200.0.2\""), "group");
}

#[test]
fn a_port_that_is_none() {
    is_refused(replaced("port", "port = 0"), "port");
    is_refused(replaced("port", "port = 65536"), "port");
    is_refused(replaced("source_ports", "source_ports = [0, 100]"), "source_ports");
    is_refused(replaced("source_ports", "source_ports = [50000, 49999]"), "source_ports");
}

#[test]
fn a_vni_twice_on_a_port() {
    let second = "\n[[segment]]\nname = \"red\"\ntap = \"tap1\"\nvni = 42\n";
    is_refused(extended(second, 0), "vni");
}

#[test]
fn a_name_or_a_tap_twice() {
    is_refused(extended("\n[[segment]]\nvni = 43\ntap = \"tap1\"\nname = \"blue\"\n", 0), "name");
    is_refused(extended("\n[[segment]]\nvni = 43\nname = \"red\"\ntap = \"tap0\"\n", 0), "tap");
}

#[test]
fn a_tap_name_that_linux_does_not_take() {
    is_refused(replaced("tap", "tap = \"sixteen-letters-\""), "tap");
    is_refused(replaced("tap", "tap = \"\""), "tap");
    is_refused(replaced("tap", "tap = \"a/b\""), "tap");
}

#[test]
fn an_mtu_that_is_too_small_or_too_large() {
    is_refused(replaced("mtu", "mtu = 575"), "mtu");
    is_refused(replaced("mtu", "mtu = 65536"), "mtu");
}

#[test]
fn a_word_that_is_none() {
    is_refused(replaced("sources", "sources = \"some\""), "sources");
    is_refused(replaced("reserved_bits", "reserved_bits = \"drop\""), "reserved_bits");
    is_refused(replaced("ecn", "ecn = \"off\""), "ecn");
    is_refused(replaced("ttl", "ttl = 0"), "ttl");
    is_refused(replaced("dscp", "dscp = 64"), "dscp");
    is_refused(replaced("ageing", "ageing = \"soon\""), "ageing");
    is_refused(extended("\n[metrics]\nlisten = \"9472\"\n", 0), "metrics.listen");
    is_refused(replaced("encapsulation", "encapsulation = \"vlan\""), "encapsulation");
}

/// A key whose feature is not there yet is refused with a line that says so, never ignored.
#[test]
fn what_is_not_supported_yet_says_so() {
    let (configuration, line) = extended("\n[registry]\nkind = \"file\"\n", 1);
    is_refused((configuration.clone(), line), "registry");
    let underlay = Underlay::new(1);
    let files = Scratch::new();
    let finished = run_to_end(&underlay, &["check", "--config", &configuration_file(&files, &configuration)]);
    assert!(only_line(&finished).contains("not supported yet"), "{finished}");
}

#[test]
fn what_is_no_toml() {
    is_refused(replaced("vni", "vni = "), "");
    is_refused(replaced("[[segment.fdb", "[[segment.fdb]"), "");
}

#[test]
fn a_key_that_is_missing() {
    let underlay = Underlay::new(1);
    let files = Scratch::new();
    for key in ["vni", "name"] {
        let lines: Vec<_> = RIGHT.lines().filter(|line| !line.starts_with(key)).collect();
        let finished = run_to_end(&underlay, &["check", "--config", &configuration_file(&files, &lines.join("\n"))]);
        assert_eq!(finished.status, Some(2), "{finished}");
        assert!(only_line(&finished).contains(key), "{finished}");
    }
    for configuration in ["", "[underlay]\nlocal = \"10.200.0.1\"\n"] {
        let finished = run_to_end(&underlay, &["check", "--config", &configuration_file(&files, configuration)]);
        assert_eq!(finished.status, Some(2), "{finished}");
        only_line(&finished);
    }
}

#[test]
fn a_file_that_is_not_there() {
    let underlay = Underlay::new(1);
    for command in ["check", "run"] {
        let finished = run_to_end(&underlay, &[command, "--config", "/no/such/file.toml"]);
        assert_eq!(finished.status, Some(2), "{finished}");
        assert!(only_line(&finished).contains("/no/such/file.toml"), "{finished}");
    }
}

/// The same mistakes as options: status 2, one line that names the option, nothing made.
#[test]
fn options_that_are_wrong() {
    let underlay = Underlay::new(1);
    let ours = &underlay.host(0).namespace;
    let right = [("--vni", "42"), ("--tap", TAP), ("--local", "10.200.0.1"), ("--remote", "10.200.0.2")];
    let wrong = [
        ("--vni", "16777216"),
        ("--tap", "sixteen-letters-"),
        ("--local", "10.200.0"),
        ("--remote", "fd00:200::2"),
        ("--port", "0"),
        ("--mtu", "575"),
        ("--address", "10.50.0.1/33"),
        ("--encapsulation", "vlan"),
        ("--frobnicate", "1"),
    ];
    for (option, value) in wrong {
        let others = right.iter().filter(|(name, _)| *name != option);
        let words: Vec<_> = ["run"]
            .into_iter()
            .chain(others.flat_map(|(name, value)| [*name, *value]))
            .chain([option, value])
            .collect();
        let finished = run_to_end(&underlay, &words);
        assert_eq!(finished.status, Some(2), "{option} {value}: {finished}");
        assert!(only_line(&finished).contains(option), "{option} {value}: {finished}");
        assert!(!ours.has_device(TAP), "{option} {value}");
    }
    for missing in ["--vni", "--tap", "--local"] {
        let words: Vec<_> = ["run"]
            .into_iter()
            .chain(right.iter().filter(|(name, _)| *name != missing).flat_map(|(name, value)| [*name, *value]))
            .collect();
        let finished = run_to_end(&underlay, &words);
        assert_eq!(finished.status, Some(2), "without {missing}: {finished}");
        assert!(only_line(&finished).contains(missing), "without {missing}: {finished}");
    }
    for words in [&[][..], &["frobnicate"], &["show"], &["show", "frobs"], &["check"]] {
        let finished = run_to_end(&underlay, words);
        assert_eq!(finished.status, Some(2), "{words:?}: {finished}");
        assert!(finished.stdout.is_empty(), "{words:?}: {finished}");
    }
}

/// `check` says what would be made, and makes nothing; it needs neither the addresses nor the devices to be there.
#[test]
fn check_says_what_would_be_made() {
    let underlay = Underlay::new(1);
    let ours = &underlay.host(0).namespace;
    let files = Scratch::new();
    let file = configuration_file(&files, RIGHT);
    let before = devices(ours);
    let finished = run_to_end(&underlay, &["check", "--config", &file]);
    assert_eq!((finished.status, &*finished.stderr), (Some(0), ""), "{finished}");
    for word in ["blue", "42", "4789", "tap0", "1400", "02:00:00:00:00:01", "10.50.0.1/24", "10.200.0.2", "10.200.0.1"]
    {
        assert!(finished.stdout.contains(word), "{word} is not said: {finished}");
    }
    assert_eq!(devices(ours), before);
    // Elsewhere as well.
    let elsewhere = Namespace::new("elsewhere");
    let program = crate::bed::PROGRAM;
    assert_eq!(elsewhere.run(&[program, "check", "--config", &file]).status, Some(0));
}

/// The configuration of the program's words, whole, starts.
#[test]
fn a_configuration_with_every_key_runs() {
    let underlay = Underlay::new(2);
    let configuration = RIGHT.replace("[underlay]", "[underlay]\ndevice = \"u0\"");
    let vtep = testbed::TapVtep::configured(crate::bed::PROGRAM, &underlay.host(0).namespace, &configuration);
    let rows = vtep.show("fdb");
    assert_eq!((&rows[0]["mac"], &rows[0]["state"]), (&"5e:f8:4f:00:e3:37".into(), &"static".into()));
    let neighbors = vtep.show("neighbors");
    assert_eq!((&neighbors[0]["ip"], &neighbors[0]["mac"]), (&"10.50.0.2".into(), &"5e:f8:4f:00:e3:37".into()));
    assert_eq!(vtep.stop().status, Some(0));
}

/// `local = "auto"` takes the address of the default route.
#[test]
fn the_local_address_may_be_that_of_the_default_route() {
    for family in Family::ALL {
        let underlay = Underlay::new(2);
        let ours = &underlay.host(0).namespace;
        let gateway = underlay.host(1).address(family);
        ours.ip(&format!("route add default via {gateway}"));
        let configuration = format!(
            "[underlay]\nlocal = \"auto\"\n[[segment]]\nname = \"blue\"\nvni = 42\ntap = \"{TAP}\"\nflood = [\"{gateway}\"]\n"
        );
        let vtep = testbed::TapVtep::configured(crate::bed::PROGRAM, ours, &configuration);
        assert_eq!(vtep.show("segments")[0]["local"], underlay.host(0).address(family).to_string());
    }
}
