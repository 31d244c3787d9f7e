//! The crate against a plain way to do the same.

mod any;
mod coalesce;
mod model;
mod packet;
mod segment;
