//! TCP, by iperf3.

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use testbed::{require, wait_until};

use super::bed::Bed;
use crate::step::Failure;

/// What the receiver got.
#[derive(Debug, PartialEq)]
pub(super) struct Moved {
    pub(super) bytes: f64,
    pub(super) bits_per_second: f64,
}

const PORT: &str = "5201";
/// `st` of a socket that listens, and its port, in `/proc/net/tcp`.
const LISTENS: (&str, &str) = (":1451 ", " 0A ");
/// For connecting, and for the results.
const PATIENCE: Duration = Duration::from_secs(10);

/// Moves bytes from the near guest to the far one.
pub(super) fn run(bed: &Bed, streams: u8, seconds: u32) -> Result<Moved, Failure> {
    let mut command = Command::new(require("iperf3"));
    command.args(["-s", "-1", "-4", "-p", PORT]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let server = bed.far_guest().start(command);
    let sockets = format!("/proc/{}/net/tcp", server.id());
    wait_until("iperf3 listens", || {
        let listening = |line: &str| line.contains(LISTENS.0) && line.contains(LISTENS.1);
        fs::read_to_string(&sockets).is_ok_and(|table| table.lines().any(listening))
    });
    let (far, seconds_text, streams) = (bed.far().to_string(), seconds.to_string(), streams.to_string());
    // The namespace's own default of congestion control cannot be set.
    let client = [
        "iperf3",
        "-c",
        &far,
        "-p",
        PORT,
        "-t",
        &seconds_text,
        "-P",
        &streams,
        "-C",
        "cubic",
        "-J",
        "--connect-timeout",
        "3000",
    ];
    let limit = Duration::from_secs(seconds.into()) + PATIENCE;
    let finished = bed.near_guest().run_within(limit, &client);
    parse(&finished.stdout)
}

fn parse(report: &str) -> Result<Moved, Failure> {
    let report: Value =
        serde_json::from_str(report).map_err(|error| Failure(format!("iperf3 says no JSON: {error}")))?;
    if let Some(error) = report["error"].as_str() {
        return Err(Failure(format!("iperf3: {error}")));
    }
    let received = &report["end"]["sum_received"];
    match (received["bytes"].as_f64(), received["bits_per_second"].as_f64()) {
        (Some(bytes), Some(bits_per_second)) => Ok(Moved { bytes, bits_per_second }),
        _ => Err(Failure("iperf3 does not say what was received".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_received_counts() {
        let report = r#"{"start": {}, "end": {
            "sum_sent": {"bytes": 3000, "bits_per_second": 24000.5},
            "sum_received": {"start": 0, "end": 1.0, "bytes": 2500, "bits_per_second": 20000.25}
        }}"#;
        assert_eq!(parse(report).ok(), Some(Moved { bytes: 2500.0, bits_per_second: 20000.25 }));
    }

    #[test]
    fn an_error_is_said() {
        let said = |report| parse(report).map_err(|failure| failure.0);
        assert_eq!(said(r#"{"end": {}, "error": "unable to connect"}"#), Err("iperf3: unable to connect".into()));
        assert_eq!(said(r#"{"end": {}}"#), Err("iperf3 does not say what was received".into()));
        assert!(said("").is_err_and(|error| error.starts_with("iperf3 says no JSON")));
    }
}
