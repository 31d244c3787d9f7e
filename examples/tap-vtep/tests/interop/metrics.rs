//! Metrics and health, as Prometheus and those who watch over a service get them: curl asks, and another implementation's
//! parsers judge.

use std::{collections::BTreeMap, time::SystemTime};

use overlay_types::MacAddr;
use rustix::process::Signal;
use serde_json::Value;
use testbed::{Family, FrameSender, Numbered, PATIENCE, Scratch, TapVtep, Underlay, require, vxlan, wait_until};

use crate::{
    bed::{HandPeer, PROGRAM, TAP, VNI, configuration_file, expect_at, one_segment, only_line, run_to_end, stranger},
    service_manager::hold_worker,
};

const LISTEN: &str = "127.0.0.1:9472";

/// The parsers of the reference client of either format print each sample: name, labels in order, value.
const PARSE: &str = "
import sys, json
from prometheus_client import parser, openmetrics
import prometheus_client.openmetrics.parser
text = open(sys.argv[2]).read()
read = openmetrics.parser if sys.argv[1] == 'open' else parser
rows = []
for family in read.text_string_to_metric_families(text):
    assert family.type != 'unknown' and family.documentation, family
    for sample in family.samples:
        rows.append([sample.name, dict(sample.labels), sample.value])
print(json.dumps(rows))
";

/// What a request brings.
struct Answer {
    status: u16,
    content_type: String,
    body: String,
}

/// Asks by curl on the first host.
fn get(underlay: &Underlay, more: &[&str], path: &str) -> Option<Answer> {
    let url = format!("http://{LISTEN}{path}");
    let format = "\n%{http_code} %{content_type}";
    let words = [&["curl", "--silent", "--max-time", "5", "--write-out", format, &url][..], more].concat();
    let finished = underlay.host(0).namespace.run(&words);
    if finished.status != Some(0) {
        return None;
    }
    let (body, last) = finished.stdout.rsplit_once('\n').unwrap();
    let (status, content_type) = last.split_once(' ').unwrap();
    Some(Answer { status: status.parse().unwrap(), content_type: content_type.to_owned(), body: body.to_owned() })
}

/// Samples by name and labels, as in `name{label="value"}`; a label without a value is none.
type Samples = BTreeMap<String, f64>;

/// All samples, as a parser of this format reads them.
#[track_caller]
fn parse(format: &str, text: &str) -> Samples {
    let files = Scratch::new();
    let file = files.write("metrics.txt", text).display().to_string();
    let python = require("/usr/bin/python3").display().to_string();
    let finished = testbed::run(&[&python, "-c", PARSE, format, &file]);
    assert_eq!(finished.status, Some(0), "{finished}\n{text}");
    let rows: Vec<(String, BTreeMap<String, String>, f64)> = serde_json::from_str(&finished.stdout).unwrap();
    let count = rows.len();
    let name = |name: &str, labels: &BTreeMap<String, String>| {
        let labels = labels.iter().filter(|(_, value)| !value.is_empty());
        let labels: Vec<_> = labels.map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        format!("{name}{{{}}}", labels.join(","))
    };
    let samples: Samples = rows.iter().map(|(sample, labels, value)| (name(sample, labels), *value)).collect();
    assert_eq!(samples.len(), count, "a time series twice: {text}");
    samples
}

#[track_caller]
fn scrape(underlay: &Underlay, format: &str) -> Samples {
    let (accept, content_type) = match format {
        "open" => {
            ("Accept: application/openmetrics-text", "application/openmetrics-text; version=1.0.0; charset=utf-8")
        }
        _ => ("Accept: */*", "text/plain; version=0.0.4; charset=utf-8"),
    };
    let answer = get(underlay, &["--header", accept], "/metrics").expect("an answer");
    assert_eq!((answer.status, answer.content_type.as_str()), (200, content_type));
    parse(format, &answer.body)
}

/// What the control socket says of the same, under the same names.
fn shown(vtep: &TapVtep) -> Samples {
    let mut samples = Samples::new();
    let number = |value: &Value| value.as_f64().unwrap();
    let statistics = vtep.show("stats");
    for segment in statistics["segments"].as_array().unwrap() {
        let name = segment["name"].as_str().unwrap();
        for (counter, key) in [
            ("transmit_frames", "tx_frames"),
            ("transmit_bytes", "tx_bytes"),
            ("receive_frames", "rx_frames"),
            ("receive_bytes", "rx_bytes"),
            ("flooded_frames", "flooded"),
            ("suppressed_frames", "suppressed"),
        ] {
            samples.insert(format!("tap_vtep_{counter}_total{{segment=\"{name}\"}}"), number(&segment[key]));
        }
        for (counter, key) in [("drops", "drops"), ("not_learned", "not_learned")] {
            for (reason, count) in segment[key].as_object().unwrap() {
                let labels = format!("{{reason=\"{reason}\",segment=\"{name}\"}}");
                samples.insert(format!("tap_vtep_{counter}_total{labels}"), number(count));
            }
        }
    }
    for (reason, count) in statistics["drops"].as_object().unwrap() {
        samples.insert(format!("tap_vtep_drops_total{{reason=\"{reason}\"}}"), number(count));
    }
    for segment in vtep.show("segments").as_array().unwrap() {
        let name = segment["name"].as_str().unwrap();
        samples.insert(format!("tap_vtep_fdb_entries{{segment=\"{name}\"}}"), number(&segment["entries"]));
        samples.insert(format!("tap_vtep_segment_mtu_bytes{{segment=\"{name}\"}}"), number(&segment["mtu"]));
        let neighbors = vtep.show("neighbors");
        let neighbors = neighbors.as_array().unwrap().iter().filter(|row| row["segment"] == name).count();
        samples.insert(format!("tap_vtep_neighbor_entries{{segment=\"{name}\"}}"), number(&neighbors.into()));
        let text = |key: &str| segment[key].as_str().unwrap();
        let labels = format!(
            "{{encapsulation=\"{}\",segment=\"{name}\",tap=\"{}\",vni=\"{}\"}}",
            text("encapsulation"),
            text("tap"),
            segment["vni"]
        );
        samples.insert(format!("tap_vtep_segment_info{labels}"), 1.0);
    }
    let remotes = vtep.show("remotes");
    let remotes = remotes.as_array().unwrap();
    samples.insert("tap_vtep_remotes{}".to_owned(), number(&remotes.len().into()));
    for remote in remotes {
        let address = remote["address"].as_str().unwrap();
        for (metric, key) in [
            ("remote_transmit_packets_total", "tx_packets"),
            ("remote_receive_packets_total", "rx_packets"),
            ("remote_mtu_bytes", "mtu"),
        ] {
            samples.insert(format!("tap_vtep_{metric}{{remote=\"{address}\"}}"), number(&remote[key]));
        }
    }
    samples.insert("tap_vtep_workers{}".to_owned(), 1.0);
    samples.insert(format!("tap_vtep_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), 1.0);
    samples
}

fn two_segments(underlay: &Underlay) -> String {
    let neighbor = format!("[[segment.neighbor]]\nip = \"10.50.0.9\"\nmac = \"{}\"\n", stranger(9));
    let blue = one_segment(underlay.host(0), Family::V4, &format!("flood = [\"10.200.0.2\"]\n{neighbor}"));
    format!("{blue}\n[[segment]]\nname = \"red\"\nvni = 43\ntap = \"tap1\"\nflood = [\"10.200.0.3\"]\n")
}

fn with_metrics(listen: &str, configuration: &str) -> String {
    format!("[metrics]\nlisten = \"{listen}\"\n\n{configuration}")
}

/// Every number is the one that `show` has, and there is none that it does not have.
#[test]
fn what_is_scraped_is_what_is_shown() {
    let underlay = Underlay::new(3);
    let ours = &underlay.host(0).namespace;
    let before = SystemTime::now();
    let configuration = with_metrics(LISTEN, &two_segments(&underlay));
    let vtep = TapVtep::configured(PROGRAM, ours, &configuration);
    let peer = HandPeer::new(&underlay, 1, Family::V4);

    let frames = Numbered::new(MacAddr::BROADCAST, stranger(1), 1);
    FrameSender::new(ours, TAP).send_all(frames.frames(12));
    peer.send(&Numbered { source: stranger(2), ..frames }.frame(0));
    expect_at(&vtep, stranger(2), &peer.address());
    // A source that is none; a VNI that is none; nothing at all.
    peer.send(&Numbered { source: MacAddr::BROADCAST, ..frames }.frame(0));
    peer.send_datagram(&vxlan(VNI + 100, &frames.frame(0)));
    peer.send_datagram(&[]);
    wait_until("all is counted", || vtep.outer_counter("drops/truncated") == 1 && vtep.counter("tx_frames") == 12);

    for format in ["text", "open"] {
        let mut scraped = scrape(&underlay, format);
        // One of the remotes has been heard, since the test began.
        let heard = "tap_vtep_remote_last_heard_timestamp_seconds{remote=\"10.200.0.2\"}";
        let heard = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs_f64(scraped.remove(heard).unwrap() + 1.0);
        assert!(before <= heard && heard <= SystemTime::now() + std::time::Duration::from_secs(1));
        assert_eq!(scraped, shown(&vtep), "{format}");
    }
    let scraped = scrape(&underlay, "text");
    let is = |name: &str, value: f64| assert_eq!(scraped.get(name), Some(&value), "{name}");
    is("tap_vtep_transmit_frames_total{segment=\"blue\"}", 12.0);
    is("tap_vtep_flooded_frames_total{segment=\"blue\"}", 12.0);
    is("tap_vtep_remote_transmit_packets_total{remote=\"10.200.0.2\"}", 12.0);
    is("tap_vtep_transmit_frames_total{segment=\"red\"}", 0.0);
    is("tap_vtep_drops_total{reason=\"unknown_vni\"}", 1.0);
    is("tap_vtep_neighbor_entries{segment=\"blue\"}", 1.0);
    assert_eq!(vtep.stop().status, Some(0));
}

/// Whatever else is asked for is answered by the book, and nobody keeps others from asking.
#[test]
fn other_requests_are_refused() {
    let underlay = Underlay::new(2);
    let ours = &underlay.host(0).namespace;
    let configuration = with_metrics(LISTEN, &one_segment(underlay.host(0), Family::V4, ""));
    let vtep = TapVtep::configured(PROGRAM, ours, &configuration);
    let status = |more: &[&str], path: &str| get(&underlay, more, path).map(|answer| answer.status);
    assert_eq!(status(&[], "/"), Some(404));
    assert_eq!(status(&["--request", "POST"], "/metrics"), Some(405));
    assert_eq!(status(&["--head"], "/healthz"), Some(200));
    let long = format!("X-Long: {}", "x".repeat(20_000));
    assert_eq!(status(&["--header", &long], "/metrics"), Some(431));
    // As many silent connections as there may be: the next one waits until their time is over.
    let silent: Vec<_> = (0..16).map(|_| ours.enter(|| std::net::TcpStream::connect(LISTEN).unwrap())).collect();
    assert_eq!(status(&[], "/healthz"), None);
    wait_until("they are hung up on", || status(&[], "/healthz") == Some(200));
    drop(silent);
    assert_eq!(vtep.stop().status, Some(0));
}

/// SIGHUP adds, moves and removes it; what cannot be had changes nothing.
#[test]
fn a_new_configuration_moves_it() {
    let underlay = Underlay::new(2);
    let ours = &underlay.host(0).namespace;
    let plain = one_segment(underlay.host(0), Family::V4, "");
    let vtep = TapVtep::configured(PROGRAM, ours, &plain);
    let answers = || get(&underlay, &[], "/healthz").is_some_and(|answer| answer.status == 200);
    assert!(!answers());
    vtep.reload(&with_metrics(LISTEN, &plain));
    wait_until("it listens", answers);
    // All addresses, the one that it listens on among them.
    vtep.reload(&with_metrics("0.0.0.0:9472", &plain));
    let listening = |address: &str| {
        let sockets = ours.run(&["ss", "--no-header", "--listening", "--numeric", "--tcp"]).stdout;
        sockets.contains(&format!("{address} "))
    };
    wait_until("it listens on all addresses", || listening("0.0.0.0:9472"));
    assert!(answers());
    // Somebody else's, together with a segment that could be had.
    let taken = ours.enter(|| std::net::TcpListener::bind("127.0.0.1:9473").unwrap());
    let red = "\n[[segment]]\nname = \"red\"\nvni = 43\ntap = \"tap1\"\n";
    vtep.reload(&with_metrics("127.0.0.1:9473", &format!("{plain}{red}")));
    wait_until("it says so", || {
        vtep.log().iter().any(|line| line.contains("metrics.listen: cannot listen on 127.0.0.1:9473"))
    });
    assert!(answers() && !ours.has_device("tap1"));
    drop(taken);
    // A segment that cannot be had, together with an address that could be.
    let _other = ours.udp_socket(([10, 200, 0, 1], 5555));
    vtep.reload(&with_metrics("127.0.0.1:9473", &format!("{plain}{red}port = 5555\n")));
    wait_until("it says so", || vtep.log().iter().any(|line| line.contains("port 5555")));
    assert!(answers() && listening("0.0.0.0:9472") && !listening("127.0.0.1:9473"));
    vtep.reload(&plain);
    wait_until("it no longer listens", || !listening("0.0.0.0:9472"));
    assert_eq!(vtep.stop().status, Some(0));
}

#[test]
fn an_address_that_is_taken_fails_in_one_line() {
    let underlay = Underlay::new(1);
    let ours = &underlay.host(0).namespace;
    let _taken = ours.enter(|| std::net::TcpListener::bind(LISTEN).unwrap());
    let files = Scratch::new();
    let configuration = with_metrics(LISTEN, &one_segment(underlay.host(0), Family::V4, ""));
    let file = configuration_file(&files, &configuration);
    let control = files.path("control.sock").display().to_string();
    let finished = run_to_end(&underlay, &["run", "--config", &file, "--control", &control]);
    assert_eq!(finished.status, Some(1), "{finished}");
    assert!(only_line(&finished).contains(LISTEN), "{finished}");
    assert!(!ours.has_device(TAP));
}

/// 200 while it can carry frames; 503 and why, where it cannot.
#[test]
fn health_says_what_is_wrong() {
    let underlay = Underlay::new(2);
    let ours = underlay.host(0);
    let configuration = with_metrics(LISTEN, &one_segment(ours, Family::V4, "flood = [\"10.200.0.2\"]"));
    let mut vtep = TapVtep::configured(PROGRAM, &ours.namespace, &configuration);
    let health = || {
        let answer = get(&underlay, &[], "/healthz").unwrap();
        assert_eq!(answer.content_type, "application/json");
        (answer.status, answer.body)
    };
    let well = (200, "{\"problems\":[],\"status\":\"ok\"}\n".to_owned());
    let failing = |problem: &str| (503, format!("{{\"problems\":[\"{problem}\"],\"status\":\"failing\"}}\n"));
    assert_eq!(health(), well);
    // A TAP that is deleted, and is there again in time.
    ours.namespace.ip(&format!("link delete {TAP}"));
    wait_until("it is missed", || health() == failing(&format!("segment blue: TAP {TAP} is gone")));
    ours.namespace.ip(&format!("tuntap add {TAP} mode tap"));
    wait_until("it is back", || health() == well);
    // The underlay's interface.
    ours.namespace.ip(&format!("link delete {}", testbed::Host::DEVICE));
    let gone = format!("the underlay's interface {} is gone", testbed::Host::DEVICE);
    wait_until("it is missed", || health() == failing(&gone));
    underlay.plug_in(ours);
    wait_until("it is back", || health() == well);
    assert!(vtep.is_running());
    vtep.signal(Signal::TERM);
    assert_eq!(vtep.wait(PATIENCE).status, Some(0));
}

/// A worker that hangs is noticed, though the thread that answers does not hang.
#[test]
fn a_worker_that_hangs_is_noticed() {
    let underlay = Underlay::new(2);
    let ours = underlay.host(0);
    let configuration = with_metrics(LISTEN, &one_segment(ours, Family::V4, ""));
    let vtep = TapVtep::configured(PROGRAM, &ours.namespace, &configuration);
    let status = || get(&underlay, &[], "/healthz").map(|answer| (answer.status, answer.body));
    let hold = hold_worker(vtep.id());
    wait_until("it is noticed", || {
        status() == Some((503, "{\"problems\":[\"worker 0 does not turn\"],\"status\":\"failing\"}\n".to_owned()))
    });
    drop(hold);
    wait_until("it turns again", || status().is_some_and(|(status, _)| status == 200));
    assert_eq!(vtep.stop().status, Some(0));
}
