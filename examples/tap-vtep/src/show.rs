//! `tap-vtep show`, `fdb` and `neighbor`: ask the running endpoint, and print what it says for people or programs.

use std::path::Path;

use serde_json::Value;
use thiserror::Error;

use crate::{
    cli::{DEFAULT_CONTROL, FdbChange, NeighborChange, SERVICE_CONTROL, Show, ShowOptions},
    control::{Request, Response, Shown, ask},
};

/// Why a question got no good answer.
#[derive(Debug, Error)]
pub(crate) enum AskError {
    /// Nobody answers.
    #[error("no tap-vtep answers at {path}: {error}")]
    Unreachable { path: String, error: std::io::Error },
    /// The endpoint says no.
    #[error("{reason}")]
    Refused { status: u8, reason: String },
}

/// Shows a table.
pub(crate) fn show(what: &Show) -> Result<(), AskError> {
    let (shown, options) = match what {
        Show::Segments(options) => (Shown::Segments, options),
        Show::Fdb(options) => (Shown::Fdb, options),
        Show::Neighbors(options) => (Shown::Neighbors, options),
        Show::Remotes(options) => (Shown::Remotes, options),
        Show::Stats(options) => (Shown::Stats, options),
    };
    let ShowOptions { segment, json, control } = options;
    let value = question(&control.path, &Request::Show { what: shown, segment: segment.clone() })?;
    if *json {
        println!("{value}");
    } else {
        print!("{}", text(shown, &value));
    }
    Ok(())
}

/// Changes the forwarding table.
pub(crate) fn change_fdb(change: &FdbChange) -> Result<(), AskError> {
    let (control, request) = match change {
        FdbChange::Add { mac, remote, target, .. } => {
            (&target.control, Request::FdbAdd { mac: *mac, remote: *remote, segment: target.segment.clone() })
        }
        FdbChange::Del { mac, remote, target, .. } => {
            (&target.control, Request::FdbDel { mac: *mac, remote: *remote, segment: target.segment.clone() })
        }
        FdbChange::Flush { remote, learned, segment, control } => {
            (control, Request::FdbFlush { segment: segment.clone(), remote: *remote, learned: *learned })
        }
    };
    question(&control.path, &request).map(drop)
}

/// Changes the neighbour table.
pub(crate) fn change_neighbor(change: &NeighborChange) -> Result<(), AskError> {
    let (control, request) = match change {
        NeighborChange::Add { ip, mac, target } => {
            (&target.control, Request::NeighborAdd { ip: *ip, mac: *mac, segment: target.segment.clone() })
        }
        NeighborChange::Del { ip, mac, target } => {
            (&target.control, Request::NeighborDel { ip: *ip, mac: *mac, segment: target.segment.clone() })
        }
    };
    question(&control.path, &request).map(drop)
}

/// What the running endpoint answers.
pub(crate) fn question(path: &Path, request: &Request) -> Result<Value, AskError> {
    let path = control_path(path);
    match ask(path, request) {
        Ok(Response::Done(value)) => Ok(value),
        Ok(Response::Refused { status, reason }) => Err(AskError::Refused { status, reason }),
        Err(error) => Err(AskError::Unreachable { path: path.display().to_string(), error }),
    }
}

/// Where the running endpoint answers: that of the service where there is none at the usual place.
pub(crate) fn control_path(path: &Path) -> &Path {
    let service = Path::new(SERVICE_CONTROL);
    let is_service = path == Path::new(DEFAULT_CONTROL) && !path.exists() && service.exists();
    if is_service { service } else { path }
}

/// For people: one line for each row, columns as wide as they must be.
fn text(shown: Shown, value: &Value) -> String {
    match shown {
        Shown::Segments => table(
            value,
            &["name", "encapsulation", "vni", "port", "tap", "mtu", "local", "flood", "learning", "entries"],
        ),
        Shown::Fdb => table(value, &["segment", "mac", "remote", "state", "age_s"]),
        Shown::Neighbors => table(value, &["segment", "ip", "mac", "state"]),
        Shown::Remotes => table(value, &["address", "segments", "tx_packets", "rx_packets", "mtu", "last_heard_s"]),
        Shown::Stats => statistics(value),
    }
}

fn table(rows: &Value, columns: &[&str]) -> String {
    let rows = rows.as_array().map_or(&[][..], Vec::as_slice);
    let mut lines: Vec<Vec<String>> = vec![columns.iter().map(|column| column.to_uppercase()).collect()];
    lines.extend(rows.iter().map(|row| columns.iter().map(|column| cell(&row[column])).collect()));
    let widths: Vec<usize> = (0..columns.len())
        .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for line in lines {
        let cells: Vec<_> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(value) => if *value { "yes" } else { "no" }.to_owned(),
        Value::Array(values) if values.is_empty() => "-".to_owned(),
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join(","),
        value => value.to_string(),
    }
}

fn statistics(value: &Value) -> String {
    let mut lines = Vec::new();
    for segment in value["segments"].as_array().map_or(&[][..], Vec::as_slice) {
        lines.push(format!("segment {}", cell(&segment["name"])));
        for (title, frames, bytes) in [("sent", "tx_frames", "tx_bytes"), ("delivered", "rx_frames", "rx_bytes")] {
            lines.push(format!("  {title}: {} frames, {} bytes", segment[frames], segment[bytes]));
        }
        lines.push(format!("  flooded: {}", segment["flooded"]));
        lines.push(format!("  suppressed: {}", segment["suppressed"]));
        lines.extend(counts("dropped", &segment["drops"]));
        lines.extend(counts("not learned", &segment["not_learned"]));
        lines.extend(counts("neighbors", &segment["neighbors"]));
    }
    lines.push("of no segment".to_owned());
    lines.extend(counts("dropped", &value["drops"]));
    lines.join("\n") + "\n"
}

/// A line for each count that is not zero.
fn counts<'a>(title: &'a str, counts: &'a Value) -> impl Iterator<Item = String> + 'a {
    let counts = counts.as_object().into_iter().flatten();
    counts
        .filter(|(_, count)| count.as_u64() != Some(0))
        .map(move |(name, count)| format!("  {title}, {name}: {count}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = json!([
            {"segment": "blue", "ip": "10.42.0.2", "mac": "02:00:00:00:00:02", "state": "static"},
            {"segment": "a-long-name", "ip": "fd00::1", "mac": "02:00:00:00:00:03", "state": "static"},
        ]);
        assert_eq!(
            text(Shown::Neighbors, &rows),
            "SEGMENT      IP         MAC                STATE\n\
             blue         10.42.0.2  02:00:00:00:00:02  static\n\
             a-long-name  fd00::1    02:00:00:00:00:03  static\n",
        );
    }

    #[test]
    fn absent_values_are_dashes_and_lists_have_commas() {
        assert_eq!(cell(&json!(null)), "-");
        assert_eq!(cell(&json!([])), "-");
        assert_eq!(cell(&json!(["192.0.2.2", "192.0.2.3"])), "192.0.2.2,192.0.2.3");
        assert_eq!(cell(&json!(true)), "yes");
    }

    #[test]
    fn statistics_leave_zeros_out() {
        let value = json!({
            "segments": [{
                "name": "blue", "tx_frames": 2, "tx_bytes": 196, "rx_frames": 1, "rx_bytes": 98, "flooded": 1, "suppressed": 0,
                "drops": {"ecn": 0, "own_mac": 3}, "not_learned": {"table_full": 0, "dampened": 0, "invalid_mac": 1},
            }],
            "drops": {"unknown_vni": 7, "truncated": 0},
        });
        assert_eq!(
            text(Shown::Stats, &value),
            "segment blue\n  sent: 2 frames, 196 bytes\n  delivered: 1 frames, 98 bytes\n  flooded: 1\n  suppressed: 0\n  \
             dropped, own_mac: 3\n  not learned, invalid_mac: 1\nof no segment\n  dropped, unknown_vni: 7\n",
        );
    }
}
