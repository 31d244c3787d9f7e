//! `tap-vtep capture`: workers copy packets with what became of them into rings, a task of the control thread hands them to
//! the client, and the client writes the file: what goes wrong with that is the client's trouble alone.

mod client;
mod inbound_notes;
mod pcapng;
mod record;
mod recorder;
mod source;

#[cfg(test)]
pub(crate) use self::recorder::of_first_segment;
pub(crate) use self::{
    client::run,
    inbound_notes::InboundNotes,
    recorder::{Recorder, Verdict},
    source::{Source, Wanted},
};
