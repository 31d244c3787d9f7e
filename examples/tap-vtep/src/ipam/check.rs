//! `tap-vtep ipam check`: the proof that a pool file is right.

use std::fmt::Write as _;

use ipam::journal::Report;
use serde::Serialize;

use super::{
    IpamError,
    cli::PoolFile,
    output::{print, print_json},
};

/// What was found, for programs.
#[derive(Serialize)]
struct Checked {
    sound: bool,
    bytes: u64,
    records: u64,
    changes: u64,
    grants: u64,
    torn_bytes: u64,
    findings: Vec<String>,
}

/// Checks a file, and says whether it is right.
pub(super) fn check(file: &PoolFile, json: bool) -> Result<bool, IpamError> {
    let report = file.check()?;
    let checked = Checked {
        sound: report.is_sound(),
        bytes: report.bytes,
        records: report.records,
        changes: report.changes,
        grants: report.granted,
        torn_bytes: report.torn.map_or(0, |torn| torn.bytes),
        findings: report.findings.iter().map(ToString::to_string).collect(),
    };
    if json {
        print_json(&checked)?;
    } else {
        print(&text(&file.path.display().to_string(), &report, &checked))?;
    }
    Ok(checked.sound)
}

fn text(file: &str, report: &Report, checked: &Checked) -> String {
    let mut text = String::new();
    for finding in &checked.findings {
        let _ = writeln!(text, "{file}: {finding}");
    }
    if let Some(torn) = report.torn {
        let _ = writeln!(
            text,
            "{file}: {} bytes from byte {} on are of a change that was never finished; the next change cuts them off",
            torn.bytes, torn.offset,
        );
    }
    if report.is_sound() {
        let Checked { bytes, records, changes, grants, .. } = checked;
        let _ = write!(
            text,
            "{file}: sound\n  \
             bytes: {bytes} (records: {records}); each record is what its checksum says\n  \
             changes: {changes}; each fits the state before it\n  \
             grants: {grants}; none overlaps with another, each is inside the pool\n  \
             addresses: what is allocated, free, reserved and cooling is all that the pool has\n",
        );
    }
    text
}
