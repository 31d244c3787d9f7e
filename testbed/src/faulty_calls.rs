//! System calls of a program that fail a thousand times.

use std::{
    fs::{File, OpenOptions},
    net::Ipv4Addr,
    os::unix::fs::FileExt,
    path::PathBuf,
};

use rustix::io::Errno;

use crate::{command::run, deadline::fail, scratch::Scratch, tool::require};

/// A call of the C library that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `sendmmsg`.
    SendMany,
    /// `recvmmsg`.
    ReceiveMany,
    /// `writev`.
    WriteGathered,
}

/// A library for `LD_PRELOAD` that has calls of a program fail when the test says so. Beside [`crate::Fault`] it costs the
/// program no time, and can spare all destinations but one.
#[derive(Debug)]
pub struct FaultyCalls {
    preloaded: PathBuf,
    rows: File,
    files: Scratch,
}

const SOURCE: &str = include_str!("faulty_calls.c");
const CALLS: usize = 3;
const ROW: usize = 12;
const LEFT: usize = 8;

impl FaultyCalls {
    /// Compiles it.
    #[track_caller]
    #[must_use]
    pub fn new() -> Self {
        let files = Scratch::new();
        let source = files.write("faulty_calls.c", SOURCE).display().to_string();
        let library = files.path("faulty_calls.so");
        let compiler = require("cc").display().to_string();
        let compiled =
            run(&[&compiler, "-shared", "-fPIC", "-O2", "-Wall", "-o", &library.display().to_string(), &source]);
        if compiled.status != Some(0) {
            fail(format_args!("faulty_calls.c: {compiled}"));
        }
        let path = files.write("rows", "");
        let rows = OpenOptions::new().read(true).write(true).open(path);
        match rows.and_then(|rows| rows.set_len((CALLS * ROW) as u64).map(|()| rows)) {
            Ok(rows) => Self { preloaded: library, rows, files },
            Err(error) => fail(format_args!("the rows of faulty calls: {error}")),
        }
    }

    /// With what a program has to be started.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [("LD_PRELOAD", self.preloaded.clone()), ("FAULTY_CALLS", self.files.path("rows"))]
    }

    /// From now on a call fails so many times; [`Call::SendMany`] only for this destination, if there is one.
    #[track_caller]
    pub fn fail(&self, call: Call, error: Errno, destination: Option<Ipv4Addr>, times: u32) {
        let address = destination.unwrap_or(Ipv4Addr::UNSPECIFIED).octets();
        // The count last: with it the row holds.
        self.write(call, 0, &error.raw_os_error().to_ne_bytes());
        self.write(call, 4, &address);
        self.write(call, LEFT, &times.to_ne_bytes());
    }

    /// How many times it still has to fail.
    #[track_caller]
    #[must_use]
    pub fn left(&self, call: Call) -> u32 {
        let mut left = [0; 4];
        if let Err(error) = self.rows.read_exact_at(&mut left, (call as usize * ROW + LEFT) as u64) {
            fail(format_args!("the rows of faulty calls: {error}"));
        }
        u32::from_ne_bytes(left)
    }

    #[track_caller]
    fn write(&self, call: Call, at: usize, bytes: &[u8]) {
        if let Err(error) = self.rows.write_all_at(bytes, (call as usize * ROW + at) as u64) {
            fail(format_args!("the rows of faulty calls: {error}"));
        }
    }
}

impl Default for FaultyCalls {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_what_the_library_reads() {
        let calls = FaultyCalls::new();
        calls.fail(Call::ReceiveMany, Errno::NOMEM, Some(Ipv4Addr::new(10, 0, 0, 1)), 1000);
        assert_eq!([Call::SendMany, Call::ReceiveMany, Call::WriteGathered].map(|call| calls.left(call)), [0, 1000, 0]);
        let mut rows = [0; CALLS * ROW];
        calls.rows.read_exact_at(&mut rows, 0).unwrap();
        assert_eq!(rows[ROW..][..LEFT], [&12_u32.to_ne_bytes()[..], &[10, 0, 0, 1]].concat());
    }
}
