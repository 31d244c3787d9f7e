//! Forwarding and neighbour tables of a VTEP: which remote has this MAC address, which MAC address has this IP address,
//! who gets a frame for everybody, and who may change any of that.
//!
//! - [`ForwardingTable`]: (segment, MAC address) → remote. Learned from frames, or put there by configuration or
//!   registry.
//! - [`RemoteTable`]: the remotes by address and by number, with what is known and counted of each.
//! - [`NeighborTable`]: (segment, IP address) → MAC address.
//!   It answers ARP and Neighbor Solicitation for others ([`NeighborTable::answer`]) and learns from both.
//! - [`FloodList`]: the remotes of one segment that get broadcast, unknown unicast and multicast.
//! - [`MulticastGroups`]: (segment, multicast group) → the remotes that want it.
//! - [`EqualCostTable`]: groups of remotes of which each flow goes to one, and stays with it.
//! - [`Snapshot`]: what the tables hold, as a value, to be restored by [`Tables::restore`].
//!
//! Everything takes `&self` and may be shared by any number of threads. **Readers never lock, never wait and never
//! allocate.** A frame that teaches nothing new takes no lock either, and writes at most once per second and row.
//! Nothing here reads a clock: `now` is an argument, the time since an origin that the caller chooses.
//!
//! ```
//! use core::{net::IpAddr, time::Duration};
//! use fdb::{ForwardingTable, Learn, Origin, Remote, RemoteTable, SegmentId, SegmentOptions, TableOptions};
//! use overlay_types::MacAddr;
//!
//! let secret = [7; 16]; // random, one for each start
//! let remotes = RemoteTable::new(secret, 65536);
//! let table = ForwardingTable::new(TableOptions::new(secret));
//! let blue = SegmentId::new(42).unwrap();
//! table.add_segment(blue, SegmentOptions::default());
//!
//! // From the configuration: this address is there and stays there.
//! let fixed = MacAddr::new([2, 0, 0, 0, 0, 1]);
//! let first = remotes.insert(Remote::new("192.0.2.1".parse()?))?;
//! table.insert(blue, fixed, first, Origin::Static, Duration::ZERO)?;
//!
//! // From the tunnel: a frame of another station, then one that claims the fixed address.
//! let second = remotes.intern("192.0.2.2".parse()?, Duration::ZERO)?;
//! assert_eq!(table.learn(blue, MacAddr::new([2, 0, 0, 0, 0, 2]), second, Duration::ZERO), Learn::New);
//! assert_eq!(table.learn(blue, fixed, second, Duration::ZERO), Learn::Owned { to: first.into() });
//!
//! // To the tunnel.
//! let forward = table.lookup(blue, fixed).unwrap();
//! let remote = forward.remote().unwrap();
//! assert_eq!(remotes.get(remote).unwrap().address, "192.0.2.1".parse::<IpAddr>()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Rules
//!
//! - Configuration prevails over registry, registry over what is learned: what a lower one says never moves or
//!   refreshes a higher one, and is counted.
//! - A learned row moves at once (RFC 7348 §4.1), but for a station that moves too often ([`Dampening`]).
//! - A row ages by frames *received* from its station. What is sent to it refreshes nothing.
//! - A group address or zero is never learned.
//! - A segment has a cap for learned rows. When it is reached, a remote with more rows than the newcomer's gives way,
//!   or else the newcomer's own remote: a flood of made-up addresses pushes out none but itself.
//! - What is learned, moves, ages, gives way or is refused is counted for each segment, by reason
//!   ([`ForwardingTable::counters`], [`NeighborTable::counters`]), and told to who watches ([`ForwardingTable::watch`]).
//! - The hash is keyed with a secret, a lookup looks at two cache lines of rows at most, and memory does not grow
//!   beyond the caps, whatever is received.
//!
//! # Features
//!
//! - `std` (default): writers wait for each other by the lock of the system; without it they spin.
//! - `serde`: all values in and out, a [`Snapshot`] among them. Numbers of segments, remotes and groups are numbers, addresses
//!   text, and a number out of range or an address that is none is refused.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

mod ageing;
mod buckets;
mod burst;
mod counters;
mod dampening;
mod destination;
mod equal_cost;
mod event;
mod extents;
mod fairness;
mod flood;
mod flush;
mod forward;
mod glance;
mod groups;
mod hash;
mod index;
mod learn;
mod multicast;
mod neighbor;
mod packed_address;
mod page;
mod prefixed;
mod proxy;
mod remote;
mod row;
mod rows;
#[cfg(all(test, any(loom, shuttle)))]
mod schedules;
mod segment;
mod segment_id;
#[cfg(feature = "serde")]
mod serde_numbers;
mod slot;
mod snapshot;
mod sync;
mod value;

pub use counters::SegmentCounters;
pub use dampening::Dampening;
pub use destination::Destination;
pub use equal_cost::{EqualCostError, EqualCostId, EqualCostMember, EqualCostTable, FlowKey};
pub use event::{Event, EventKind};
pub use flood::FloodList;
pub use flush::Flush;
pub use forward::{ForwardingTable, InsertError, TableOptions};
pub use learn::{Claim, Learn, NotLearned};
pub use multicast::{MulticastGroup, MulticastGroups, MulticastGroupsFull, NotAGroup, Receivers, Unregistered};
pub use neighbor::{
    LearnNeighbor, Neighbor, NeighborCounters, NeighborError, NeighborOptions, NeighborRow, NeighborState,
    NeighborTable, NotLearnedNeighbor,
};
pub use page::{Cursor, Row};
pub use proxy::{Answer, PassReason, ProxyError};
pub use remote::{Remote, RemoteId, RemoteStatistics, RemoteTable, RemoteTableFull};
pub use row::{Forward, Origin, RowState};
pub use segment::{NotLearnedCounters, SegmentOptions};
pub use segment_id::SegmentId;
pub use snapshot::{
    NotRestored, Refused, RestoreError, RestoreLimits, Restored, Snapshot, SnapshotGroup, SnapshotRemote,
    SnapshotSegment, Tables,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
