//! `tap-vtep explain`: asks the running endpoint what would happen to a frame, and prints it for people or programs.

use std::io::{self, Read as _};

use ether_wire::Ecn;
use serde_json::Value;

use crate::{
    STATUS_USAGE,
    cli::ExplainOptions,
    control::Request,
    hex,
    show::{AskError, question},
};

/// More than any packet has, in digits with something between.
const LONGEST: u64 = 1 << 20;

/// Asks and prints.
pub(crate) fn explain(options: &ExplainOptions) -> Result<(), AskError> {
    let wrong = |reason| AskError::Refused { status: STATUS_USAGE, reason };
    let mut text = options.bytes.join(" ");
    if text == "-" {
        text.clear();
        let read = io::stdin().take(LONGEST).read_to_string(&mut text);
        read.map_err(|error| wrong(format!("standard input: {error}")))?;
    }
    let bytes = hex::decode(&text).map_err(|error| wrong(error.to_string()))?;
    if bytes.len() > usize::from(u16::MAX) {
        return Err(wrong(format!("{} bytes: no packet is longer than {}", bytes.len(), u16::MAX)));
    }
    let request = Request::Explain {
        segment: options.target.segment.clone(),
        from: options.from,
        ecn: options.ecn.map_or(0, Ecn::bits),
        bytes: hex::encode(&bytes),
    };
    let value = question(&options.target.control.path, &request)?;
    if options.json {
        println!("{value}");
    } else {
        print!("{}", for_people(&value));
    }
    Ok(())
}

/// The ECN field by its names in RFC 3168.
pub(crate) fn parse_ecn(word: &str) -> Result<Ecn, String> {
    let names = [("not-ect", Ecn::NotEct), ("ect0", Ecn::Ect0), ("ect1", Ecn::Ect1), ("ce", Ecn::Ce)];
    let found = names.iter().find(|(name, _)| *name == word);
    found.map(|(_, ecn)| *ecn).ok_or_else(|| "one of not-ect, ect0, ect1, ce".to_owned())
}

fn for_people(value: &Value) -> String {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut lines: Vec<String> = Vec::new();
    let mut line = |title: &str, said: &str| lines.push(format!("{title:<12} {said}"));
    match value["segment"].as_str() {
        Some(name) => line("segment", &format!("{name} ({}, VNI {})", word(&value["encapsulation"]), value["vni"])),
        None => line("segment", "none"),
    }
    line("from", &word(&value["from"]));
    let frame = &value["frame"];
    if frame["source"].is_null() {
        line("frame", &format!("{} bytes", frame["length"]));
    } else {
        let stations = format!("{} to {}", word(&frame["source"]), word(&frame["destination"]));
        line("frame", &format!("{} bytes, {stations}, type {}", frame["length"], word(&frame["ether_type"])));
    }
    for (title, row) in [("source", &value["source_row"]), ("destination", &value["destination_row"])] {
        if row.is_null() {
            continue;
        }
        let place = row["remote"].as_str().map_or_else(|| "nowhere".to_owned(), |remote| format!("behind {remote}"));
        let age = row["age_s"].as_u64().map_or_else(String::new, |age| format!(", heard {age} s ago"));
        line(title, &format!("{} is {place} ({}{age})", word(&row["mac"]), word(&row["state"])));
    }
    if value["forgets_source"] == true {
        line("source", "its row would be forgotten: the station speaks here");
    }
    match value["match"].as_str() {
        Some("row") => line("match", "the row of the destination"),
        Some("broadcast") => line("match", "none: broadcast, flooded"),
        Some("multicast") => line("match", "none: multicast, flooded"),
        Some(_) => line("match", "none: no row has the destination, flooded"),
        None => {}
    }
    match value["verdict"].as_str() {
        Some("drop") => line("verdict", &format!("drop: {}", word(&value["reason"]))),
        Some("answer") => line("verdict", &format!("answered here with {}", word(&value["reply"]))),
        Some("deliver") => line("verdict", &format!("deliver to {}", word(&value["tap"]))),
        _ => line("verdict", &word(&value["verdict"])),
    }
    if value["source_port"].is_u64() {
        line("source port", &value["source_port"].to_string());
    }
    for to in value["destinations"].as_array().into_iter().flatten() {
        let port = to["port"].as_u64().map_or_else(String::new, |port| format!(" port {port}"));
        let by_kernel: Vec<_> = to["by_kernel"].as_array().into_iter().flatten().map(word).collect();
        let mut said = vec![format!("{}{port}, {} bytes", word(&to["remote"]), to["length"])];
        if !by_kernel.is_empty() {
            said.push(format!("the kernel fills in {}", by_kernel.join(" and ")));
        }
        if to["fragmented"] == true {
            said.push("the kernel fragments it, for it is larger than the underlay's MTU".to_owned());
        }
        line("to", &said.join("; "));
        dump(&to["bytes"]).for_each(|bytes| line("", &bytes));
    }
    dump(&value["bytes"]).for_each(|bytes| line("", &bytes));
    lines.push(String::new());
    lines.join("\n")
}

/// Sixteen bytes a line, with where they begin.
fn dump(digits: &Value) -> impl Iterator<Item = String> {
    let digits = digits.as_str().unwrap_or_default();
    digits.as_bytes().chunks(32).enumerate().map(|(number, bytes)| {
        let bytes: Vec<_> = bytes.chunks(2).map(String::from_utf8_lossy).collect();
        format!("{:04x}  {}", number * 16, bytes.join(" "))
    })
}
