//! `cargo xtask bench codecs|tables|pools`: codecs, tables and pools beside others; and what all benches share.

mod figure;
mod micro;
mod naive;

use std::path::PathBuf;

pub(crate) use self::{
    figure::{Figure, median},
    micro::{MicroOptions, codecs, pools, tables},
    naive::{NaiveOptions, run as naive},
};

/// A program of the release build.
pub(crate) fn release(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let directory = std::path::absolute(target).unwrap_or_default();
    directory.join("release").join(name)
}
