//! Two endpoints back to back, and strangers: any frames and datagrams in any order, against a model of what may be delivered
//! where.

#![no_main]

#[path = "../../vtep/tests/model/mod.rs"]
mod model;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| model::run(bytes));
