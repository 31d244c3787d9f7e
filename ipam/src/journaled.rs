//! What a journal keeps: state that changes by values.

use alloc::{string::String, vec::Vec};
use core::time::Duration;

use ipnet::IpNet;
use serde::{Serialize, de::DeserializeOwned};

/// State that changes by values: what the journal keeps.
pub trait Journaled: Sized {
    /// One change, as it is written down: it says what came out (this prefix, this owner), not what was asked for.
    type Change: Serialize + DeserializeOwned + Clone;
    /// Why a change does not fit the state: a damaged file, never a user's mistake.
    type Error: core::error::Error + Send + Sync + 'static;

    /// Which kind of state this is, and which form its changes have, as a number of its own. It is in the file's header, and a
    /// file of another one is refused. A new number is due when changes written before can't be read any more.
    const FORM: u32 = 0;

    /// The state before the first change.
    fn empty() -> Self;

    /// Does what the change says.
    ///
    /// # Errors
    ///
    /// When the change does not fit: it would make two grants overlap, it ends what was not granted, it lies outside of all
    /// pools. The state may then be anything; it is thrown away.
    fn apply(&mut self, change: &Self::Change) -> Result<(), Self::Error>;

    /// The changes that make this state out of an empty one, in order.
    fn changes(&self) -> impl Iterator<Item = Self::Change> + '_;

    /// What a change means for history; `None` where it is no grant and no end of one.
    fn event(change: &Self::Change) -> Option<Event>;

    /// What is wrong with the state as a whole, each as a sentence: for the journal's `check`. What a single change
    /// does wrong is refused by [`apply`](Self::apply).
    fn findings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A change as history tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// The prefix; a single address is one of full length.
    pub prefix: IpNet,
    /// When, since the Unix epoch.
    pub at: Duration,
    /// What happened to it.
    pub kind: EventKind,
}

/// What happened to a prefix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EventKind {
    /// It was given to an owner.
    Granted {
        /// Whose it is from then on, as text.
        owner: String,
    },
    /// It was taken back.
    Released,
}
