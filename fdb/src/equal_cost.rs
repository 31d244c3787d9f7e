//! Groups of remotes that reach the same stations: a flow goes to one of them.

use alloc::{collections::BTreeMap, vec::Vec};
use core::{cmp::Ordering as Order, fmt};

use ether_wire::flow::FlowHash;
use thiserror::Error;

use crate::{
    extents::{self, Extents, SMALL},
    remote::RemoteId,
    sync::{AtomicU32, Mutex, Ordering},
};

/// The number of an equal-cost group: its place in an [`EqualCostTable`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EqualCostId(u32);

impl EqualCostId {
    /// The largest number, 2¹⁶ − 1.
    pub const MAX: Self = Self(0xffff);

    /// The group `value`, or `None` above [`MAX`](Self::MAX).
    #[must_use]
    pub const fn new(value: u32) -> Option<Self> {
        if value <= Self::MAX.0 { Some(Self(value)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Debug for EqualCostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EqualCostId({})", self.0)
    }
}

/// A remote of an equal-cost group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct EqualCostMember {
    /// The remote.
    pub remote: RemoteId,
    /// Its part of the flows, beside the weights of the others. Not zero: who is to get nothing is no member.
    pub weight: u16,
}

impl EqualCostMember {
    /// A member of weight 1.
    #[must_use]
    pub const fn new(remote: RemoteId) -> Self {
        Self { remote, weight: 1 }
    }
}

/// Why a group is not what it was to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EqualCostError {
    /// More members than a group may have.
    #[error("{members} members, of at most {max}", max = EqualCostTable::MAX_MEMBERS)]
    TooManyMembers {
        /// How many there were to be.
        members: usize,
    },
    /// A remote is a member twice.
    #[error("remote {} is a member twice", .remote.get())]
    Duplicate {
        /// Which one.
        remote: RemoteId,
    },
    /// A weight of zero.
    #[error("remote {} has no weight", .remote.get())]
    NoWeight {
        /// Whose.
        remote: RemoteId,
    },
    /// There is no such group.
    #[error("no such group")]
    UnknownGroup,
    /// There are as many groups as there may be.
    #[error("no place for one more group: there are {max}")]
    TableFull {
        /// How many there may be.
        max: u32,
    },
}

/// Buckets of a group: eight for each of the most members.
const BUCKETS: usize = if SMALL { 8 } else { 512 };

/// One group, as readers see it: who has each bucket, `remote + 1`; 0 for nobody.
struct Group {
    buckets: [AtomicU32; BUCKETS],
}

impl Default for Group {
    fn default() -> Self {
        Self { buckets: core::array::from_fn(|_| AtomicU32::new(0)) }
    }
}

impl Group {
    fn holder(&self, bucket: usize) -> Option<RemoteId> {
        RemoteId::new(self.buckets[bucket].load(Ordering::Acquire).checked_sub(1)?)
    }
}

/// What only writers need.
#[derive(Default)]
struct Writer {
    groups: BTreeMap<EqualCostId, Vec<EqualCostMember>>,
    next: u32,
    free: Vec<u32>,
}

/// Groups of up to 64 remotes with weights, where each flow goes to one remote: the active-active peers of an Ethernet
/// segment (RFC 7432 §8.4), or several paths to one place (RFC 2992).
///
/// [`choose`](Self::choose) takes no lock, never waits and never allocates: it reads one word.
///
/// The choice is *resilient*, as that of Linux's resilient next-hop groups. The flows fall into 512 buckets by their hash,
/// and each bucket is one member's. A change gives other holders to as few buckets as the weights allow:
///
/// - a member that leaves gives its buckets to the others, and no other bucket moves;
/// - a member that comes takes its part from the others, and they take nothing from each other.
///
/// Each member has the number of buckets that is nearest to its weight, by the method of equal proportions, and one at
/// least. Readers see a change bucket by bucket, each of them before or after.
///
/// ```
/// use fdb::{EqualCostMember, EqualCostTable, RemoteId};
///
/// let table = EqualCostTable::new(1024);
/// let [first, second] = [1, 2].map(|number| EqualCostMember::new(RemoteId::new(number).unwrap()));
/// let group = table.insert(&[first, second])?;
/// let chosen = table.choose(group, 0x1234_5678).unwrap();
/// assert!(chosen == first.remote || chosen == second.remote);
///
/// table.set(group, &[second])?;
/// assert_eq!(table.choose(group, 0x1234_5678), Some(second.remote));
/// # Ok::<(), fdb::EqualCostError>(())
/// ```
pub struct EqualCostTable {
    max: u32,
    groups: Extents<Group, { if SMALL { 1 } else { 8 } }>,
    writer: Mutex<Writer>,
}

impl EqualCostTable {
    /// The most members of a group.
    pub const MAX_MEMBERS: usize = if SMALL { BUCKETS } else { BUCKETS / 8 };

    /// A table of up to `max_groups` groups (65,536 at most), of 2 KiB each once it is in use.
    #[must_use]
    pub fn new(max_groups: u32) -> Self {
        Self {
            max: max_groups.min(EqualCostId::MAX.0 + 1),
            groups: Extents::default(),
            writer: Mutex::new(Writer::default()),
        }
    }

    /// The remote that a flow goes to. `None` where the group has no members, or there is no such group.
    ///
    /// `flow` is the [`FlowHash`] of the frame or its number. Flows of one remote still have all source ports that the hash
    /// can give: what chooses here is mixed once more.
    #[must_use]
    #[inline]
    pub fn choose(&self, group: EqualCostId, flow: impl Into<FlowKey>) -> Option<RemoteId> {
        self.groups.get(group.0 as usize)?.holder(flow.into().bucket())
    }

    /// Makes a group. Without members it is one that leads nowhere.
    ///
    /// # Errors
    ///
    /// [`EqualCostError::TableFull`], and what is wrong with the members.
    pub fn insert(&self, members: &[EqualCostMember]) -> Result<EqualCostId, EqualCostError> {
        check(members)?;
        let mut writer = self.writer.lock();
        let full = EqualCostError::TableFull { max: self.max };
        let number = match writer.free.last() {
            Some(&number) => number,
            None if writer.next < self.max => writer.next,
            None => return Err(full),
        };
        let group = self.groups.get_or_grow(number as usize, extents::defaults).ok_or(full)?;
        if writer.free.pop().is_none() {
            writer.next += 1;
        }
        distribute(group, members);
        writer.groups.insert(EqualCostId(number), members.to_vec());
        Ok(EqualCostId(number))
    }

    /// Gives a group these members instead of those it had. Flows move as little as that allows.
    ///
    /// # Errors
    ///
    /// [`EqualCostError::UnknownGroup`], and what is wrong with the members. The group is then what it was.
    pub fn set(&self, group: EqualCostId, members: &[EqualCostMember]) -> Result<(), EqualCostError> {
        check(members)?;
        let mut writer = self.writer.lock();
        let known = writer.groups.get_mut(&group).ok_or(EqualCostError::UnknownGroup)?;
        *known = members.to_vec();
        if let Some(group) = self.groups.get(group.0 as usize) {
            distribute(group, members);
        }
        Ok(())
    }

    /// Takes a remote out of all groups: it can't be reached any more. In how many it was.
    pub fn remove_remote(&self, remote: RemoteId) -> usize {
        let mut writer = self.writer.lock();
        let mut left = 0;
        for (id, members) in &mut writer.groups {
            let before = members.len();
            members.retain(|member| member.remote != remote);
            if members.len() != before
                && let Some(group) = self.groups.get(id.0 as usize)
            {
                distribute(group, members);
                left += 1;
            }
        }
        left
    }

    /// Removes a group; its number may be given to another one. `false` where there was none. Rows that name it are the
    /// caller's affair, and go first.
    pub fn remove(&self, group: EqualCostId) -> bool {
        let mut writer = self.writer.lock();
        let removed = writer.groups.remove(&group).is_some();
        if removed {
            if let Some(group) = self.groups.get(group.0 as usize) {
                distribute(group, &[]);
            }
            writer.free.push(group.0);
        }
        removed
    }

    /// The members of a group, as they were given.
    #[must_use]
    pub fn members(&self, group: EqualCostId) -> Option<Vec<EqualCostMember>> {
        self.writer.lock().groups.get(&group).cloned()
    }

    /// The numbers of all groups, in order.
    #[must_use]
    pub fn ids(&self) -> Vec<EqualCostId> {
        self.writer.lock().groups.keys().copied().collect()
    }

    /// `true` where a remote is a member of a group.
    #[must_use]
    pub fn remote_in_use(&self, remote: RemoteId) -> bool {
        self.writer.lock().groups.values().flatten().any(|member| member.remote == remote)
    }
}

impl fmt::Debug for EqualCostTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EqualCostTable").field("max", &self.max).finish_non_exhaustive()
    }
}

/// What tells flows apart: a [`FlowHash`], or its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowKey(u32);

impl FlowKey {
    /// The bucket of the flow: each bit of the hash decides on each bit of it (the finalizer of `MurmurHash3`).
    #[inline]
    fn bucket(self) -> usize {
        let mut word = self.0;
        word = (word ^ word >> 16).wrapping_mul(0x85eb_ca6b);
        word = (word ^ word >> 13).wrapping_mul(0xc2b2_ae35);
        (word ^ word >> 16) as usize % BUCKETS
    }
}

impl From<FlowHash> for FlowKey {
    fn from(hash: FlowHash) -> Self {
        Self(hash.get())
    }
}

impl From<u32> for FlowKey {
    fn from(hash: u32) -> Self {
        Self(hash)
    }
}

fn check(members: &[EqualCostMember]) -> Result<(), EqualCostError> {
    if members.len() > EqualCostTable::MAX_MEMBERS {
        return Err(EqualCostError::TooManyMembers { members: members.len() });
    }
    for (index, member) in members.iter().enumerate() {
        if member.weight == 0 {
            return Err(EqualCostError::NoWeight { remote: member.remote });
        }
        if members[..index].iter().any(|other| other.remote == member.remote) {
            return Err(EqualCostError::Duplicate { remote: member.remote });
        }
    }
    Ok(())
}

/// A member while buckets are given out.
#[derive(Clone, Copy)]
struct Share {
    member: EqualCostMember,
    held: u64,
}

impl Share {
    /// Compares who has the better claim to one bucket more: `Less` for the better one. By the method of equal proportions
    /// a claim of weight `w` and `n` buckets is √(n (n + 1)) / w: none with nothing waits behind one with something.
    fn claim(&self, other: &Self) -> Order {
        let of = |share: &Self, by: &Self| share.held * (share.held + 1) * u64::from(by.member.weight).pow(2);
        of(self, other).cmp(&of(other, self)).then(self.member.remote.cmp(&other.member.remote))
    }

    /// With one bucket less.
    fn less(self) -> Self {
        Self { held: self.held.saturating_sub(1), ..self }
    }
}

/// Gives the buckets of a group to members, by weight, and moves as few as that takes.
///
/// First those that nobody has any more go, one by one, to the best claim. Then, while somebody's last bucket is a worse
/// claim than somebody else's next one, it changes hands. A divisor method as this is never takes a bucket from one that
/// stays because another one left, nor gives one to a member because another one came.
fn distribute(group: &Group, members: &[EqualCostMember]) {
    let mut shares: Vec<Share> = members.iter().map(|&member| Share { member, held: 0 }).collect();
    let mut free = Vec::new();
    for bucket in 0..BUCKETS {
        let holder = group.holder(bucket);
        match shares.iter_mut().find(|share| Some(share.member.remote) == holder) {
            Some(share) => share.held += 1,
            None => free.push(bucket),
        }
    }
    let give = |bucket: usize, share: &mut Share| {
        group.buckets[bucket].store(share.member.remote.get() + 1, Ordering::Release);
        share.held += 1;
    };
    for bucket in free {
        match shares.iter_mut().min_by(|a, b| a.claim(b)) {
            Some(share) => give(bucket, share),
            None => group.buckets[bucket].store(0, Ordering::Release),
        }
    }
    loop {
        let best = shares.iter().enumerate().min_by(|(_, a), (_, b)| a.claim(b));
        let worst = shares.iter().enumerate().max_by(|(_, a), (_, b)| a.less().claim(&b.less()));
        let (Some((to, best)), Some((from, worst))) = (best, worst) else { return };
        if from == to || best.claim(&worst.less()) != Order::Less {
            return;
        }
        let holder = Some(worst.member.remote);
        let Some(bucket) = (0..BUCKETS).find(|&bucket| group.holder(bucket) == holder) else { return };
        shares[from].held -= 1;
        give(bucket, &mut shares[to]);
    }
}

#[cfg(test)]
mod tests;

/// A reader beside a change, in every order (loom) or in many (shuttle).
#[cfg(all(test, any(loom, shuttle)))]
mod schedules {
    #[cfg(loom)]
    use loom::{model as explore, sync::Arc, thread};
    #[cfg(shuttle)]
    use shuttle::{sync::Arc, thread};

    use super::*;

    #[cfg(shuttle)]
    fn explore(test: impl Fn() + Sync + Send + 'static) {
        shuttle::check_random(test, 100_000);
    }

    #[test]
    fn a_flow_stays_with_a_member_that_stays() {
        explore(|| {
            let member = |number| EqualCostMember::new(RemoteId::new(number).unwrap());
            let table = Arc::new(EqualCostTable::new(1));
            let group = table.insert(&[member(1), member(2)]).unwrap();
            let stays = (0..).find(|&flow: &u32| table.choose(group, flow) == Some(member(1).remote)).unwrap();
            let moves = (0..).find(|&flow: &u32| table.choose(group, flow) == Some(member(2).remote)).unwrap();
            let reader = {
                let table = table.clone();
                thread::spawn(move || {
                    assert_eq!(table.choose(group, stays), Some(member(1).remote));
                    let first = table.choose(group, moves).unwrap();
                    assert!([member(2).remote, member(1).remote].contains(&first));
                    // Once moved, it does not go back.
                    assert!(first == member(2).remote || table.choose(group, moves) == Some(first));
                })
            };
            table.set(group, &[member(1)]).unwrap();
            reader.join().unwrap();
            assert_eq!(table.choose(group, moves), Some(member(1).remote));
        });
    }
}
