//! Who gets the frames for one multicast group.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use core::iter::FusedIterator;

use overlay_types::MacAddr;
use thiserror::Error;

use crate::{flood::FloodList, remote::RemoteId, segment_id::SegmentId};

mod group;

use group::is_always_flooded;
pub use group::{MulticastGroup, NotAGroup};

/// There are as many memberships as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no place for one more member of a multicast group: there are {max}")]
pub struct MulticastGroupsFull {
    /// How many there may be.
    pub max: usize,
}

/// Who gets a frame for a group that nobody joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Unregistered {
    /// Everybody, as without this table (RFC 4541 §2.1.2: a switch may default to it).
    #[default]
    Flood,
    /// Those who get every group: the routers.
    Routers,
}

/// The remotes that get the frames for each multicast group of each segment: selective multicast, as IGMP and MLD snooping
/// (RFC 4541) or the selective multicast routes of an EVPN (RFC 9251) tell the control plane.
///
/// A plain value, as [`FloodList`] is: the caller puts a copy into what its readers see. A copy costs a pointer for each
/// segment, a change after that the groups of its one segment. [`receivers`](Self::receivers) does not allocate.
///
/// A frame shows the MAC address of its group, and several groups share one: its receivers are the members of them all.
/// Which sources a member wants (RFC 3376, RFC 3810) is not looked at; it gets the group.
///
/// ```
/// use fdb::{MulticastGroups, RemoteId, SegmentId};
///
/// let (blue, first, router) = (SegmentId::new(42).unwrap(), RemoteId::new(1).unwrap(), RemoteId::new(9).unwrap());
/// let mut groups = MulticastGroups::new(4096);
/// let group = "239.1.2.3".parse()?;
/// groups.join(blue, group, first)?;
/// groups.join_all(blue, router)?;
/// let receivers = groups.receivers(blue, group.mac()).unwrap();
/// assert_eq!(receivers.collect::<Vec<_>>(), [first, router]);
///
/// // Nobody joined: the frame goes to the segment's flood list.
/// assert!(groups.receivers(blue, "01:00:5e:00:11:22".parse()?).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(into = "stored::Groups", try_from = "stored::Groups")
)]
pub struct MulticastGroups {
    max_members: usize,
    members: usize,
    segments: BTreeMap<SegmentId, Arc<Segment>>,
}

/// The groups of one segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Segment {
    unregistered: Unregistered,
    /// Those who get every group.
    everything: FloodList,
    /// Who joined what. The lists below are made of it.
    members: BTreeSet<(MacAddr, RemoteId, MulticastGroup)>,
    by_mac: BTreeMap<MacAddr, FloodList>,
}

impl Segment {
    fn len(&self) -> usize {
        self.members.len() + self.everything.len()
    }

    fn leave(&mut self, group: MulticastGroup, remote: RemoteId) -> bool {
        let mac = group.mac();
        let left = self.members.remove(&(mac, remote, group));
        let another = self.members.range((mac, remote, MulticastGroup::SMALLEST)..).next();
        let still_there = another.is_some_and(|&(other, member, _)| (other, member) == (mac, remote));
        if left
            && !still_there
            && let Some(list) = self.by_mac.get_mut(&mac)
        {
            list.remove(remote);
            if list.is_empty() {
                self.by_mac.remove(&mac);
            }
        }
        left
    }
}

impl MulticastGroups {
    /// No groups yet, and never more than so many memberships: one is one remote in one group of one segment, or in all
    /// groups of it.
    #[must_use]
    pub const fn new(max_members: usize) -> Self {
        Self { max_members, members: 0, segments: BTreeMap::new() }
    }

    /// A remote has receivers of a group. `false` where that was known.
    ///
    /// # Errors
    ///
    /// [`MulticastGroupsFull`] where there are as many memberships as there may be.
    pub fn join(
        &mut self,
        segment: SegmentId,
        group: MulticastGroup,
        remote: RemoteId,
    ) -> Result<bool, MulticastGroupsFull> {
        let member = (group.mac(), remote, group);
        self.add(
            segment,
            |groups| groups.members.contains(&member),
            |groups| {
                groups.members.insert(member);
                groups.by_mac.entry(group.mac()).or_default().insert(remote);
            },
        )
    }

    /// A remote has no receivers of a group any more. `false` where it had none.
    pub fn leave(&mut self, segment: SegmentId, group: MulticastGroup, remote: RemoteId) -> bool {
        self.take(segment, |groups| groups.leave(group, remote))
    }

    /// A remote gets every group of a segment: it has a multicast router behind it (RFC 4541 §2.1.1), or it does not say
    /// which groups it wants (RFC 9251 §8). `false` where that was known.
    ///
    /// # Errors
    ///
    /// [`MulticastGroupsFull`] where there are as many memberships as there may be.
    pub fn join_all(&mut self, segment: SegmentId, remote: RemoteId) -> Result<bool, MulticastGroupsFull> {
        self.add(
            segment,
            |groups| groups.everything.contains(remote),
            |groups| {
                groups.everything.insert(remote);
            },
        )
    }

    /// Undoes [`join_all`](Self::join_all): the remote gets the groups that it joined. `false` where it did not get all.
    pub fn leave_all(&mut self, segment: SegmentId, remote: RemoteId) -> bool {
        self.take(segment, |groups| groups.everything.remove(remote))
    }

    /// Says who gets a frame for a group of a segment that nobody joined. [`Unregistered::Flood`] unless it is said.
    pub fn set_unregistered(&mut self, segment: SegmentId, unregistered: Unregistered) {
        if self.unregistered(segment) != unregistered {
            Arc::make_mut(self.segments.entry(segment).or_default()).unregistered = unregistered;
            self.tidy(segment);
        }
    }

    /// Who gets a frame for a group of a segment that nobody joined.
    #[must_use]
    pub fn unregistered(&self, segment: SegmentId) -> Unregistered {
        self.segments.get(&segment).map_or_else(Unregistered::default, |groups| groups.unregistered)
    }

    /// A remote is gone: it gets no group of any segment any more.
    pub fn remove_remote(&mut self, remote: RemoteId) {
        let named = |groups: &Segment| {
            groups.everything.contains(remote) || groups.members.iter().any(|&(_, member, _)| member == remote)
        };
        let segments: BTreeSet<SegmentId> =
            self.segments.iter().filter(|(_, groups)| named(groups)).map(|(&segment, _)| segment).collect();
        for segment in segments {
            let Some(groups) = self.segments.get_mut(&segment) else { continue };
            let groups = Arc::make_mut(groups);
            let before = groups.len();
            groups.everything.remove(remote);
            groups.members.retain(|&(_, member, _)| member != remote);
            groups.by_mac.retain(|_, list| {
                list.remove(remote);
                !list.is_empty()
            });
            self.members -= before - groups.len();
            self.tidy(segment);
        }
    }

    /// A segment is gone, with its groups.
    pub fn remove_segment(&mut self, segment: SegmentId) {
        if let Some(groups) = self.segments.remove(&segment) {
            self.members -= groups.len();
        }
    }

    /// The remotes that get a frame for a group MAC address, each once. `None` where everybody does: the frame goes to the
    /// flood list of the segment. Does not allocate.
    ///
    /// `None` for broadcast, for groups that are [always flooded](MulticastGroup::is_always_flooded), and as
    /// [`Unregistered`] says for a group that nobody joined.
    #[must_use]
    #[inline]
    pub fn receivers(&self, segment: SegmentId, mac: MacAddr) -> Option<Receivers<'_>> {
        let groups = self.segments.get(&segment)?;
        if mac.is_broadcast() || !mac.is_multicast() || is_always_flooded(mac) {
            return None;
        }
        match (groups.by_mac.get(&mac), groups.unregistered) {
            (None, Unregistered::Flood) => None,
            (list, _) => Some(Receivers {
                members: list.map_or(&[], FloodList::as_slice),
                everything: groups.everything.as_slice(),
            }),
        }
    }

    /// Who joined what, in the order of segments and of the groups' MAC addresses. Those who get every group are not among
    /// them.
    pub fn members(&self) -> impl Iterator<Item = (SegmentId, MulticastGroup, RemoteId)> + '_ {
        self.segments.iter().flat_map(|(&segment, groups)| {
            groups.members.iter().map(move |&(_, remote, group)| (segment, group, remote))
        })
    }

    /// The remotes that get every group of a segment.
    #[must_use]
    pub fn all_groups(&self, segment: SegmentId) -> &[RemoteId] {
        self.segments.get(&segment).map_or(&[], |groups| groups.everything.as_slice())
    }

    /// How many memberships there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members
    }

    /// `true` where nobody joined anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members == 0
    }

    fn add(
        &mut self,
        segment: SegmentId,
        known: impl FnOnce(&Segment) -> bool,
        insert: impl FnOnce(&mut Segment),
    ) -> Result<bool, MulticastGroupsFull> {
        if self.segments.get(&segment).is_some_and(|groups| known(groups)) {
            return Ok(false);
        }
        if self.members >= self.max_members {
            return Err(MulticastGroupsFull { max: self.max_members });
        }
        insert(Arc::make_mut(self.segments.entry(segment).or_default()));
        self.members += 1;
        Ok(true)
    }

    fn take(&mut self, segment: SegmentId, remove: impl FnOnce(&mut Segment) -> bool) -> bool {
        let Some(groups) = self.segments.get_mut(&segment) else { return false };
        let removed = remove(Arc::make_mut(groups));
        self.members -= usize::from(removed);
        self.tidy(segment);
        removed
    }

    /// Forgets a segment of which there is nothing to say.
    fn tidy(&mut self, segment: SegmentId) {
        if self.segments.get(&segment).is_some_and(|groups| **groups == Segment::default()) {
            self.segments.remove(&segment);
        }
    }
}

/// The remotes that get a frame for a multicast group, each once, in the order of their numbers.
#[derive(Clone, Debug)]
pub struct Receivers<'a> {
    members: &'a [RemoteId],
    everything: &'a [RemoteId],
}

impl Iterator for Receivers<'_> {
    type Item = RemoteId;

    #[inline]
    fn next(&mut self) -> Option<RemoteId> {
        let next = match (self.members.first(), self.everything.first()) {
            (Some(&member), Some(&other)) => member.min(other),
            (first, second) => *first.or(second)?,
        };
        for list in [&mut self.members, &mut self.everything] {
            if let Some((first, rest)) = list.split_first()
                && *first == next
            {
                *list = rest;
            }
        }
        Some(next)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let (members, everything) = (self.members.len(), self.everything.len());
        (members.max(everything), Some(members + everything))
    }
}

impl FusedIterator for Receivers<'_> {}

/// How groups are stored.
#[cfg(feature = "serde")]
mod stored {
    use alloc::vec::Vec;

    use super::{FloodList, MulticastGroup, MulticastGroups, MulticastGroupsFull, RemoteId, SegmentId, Unregistered};

    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Groups {
        max_members: usize,
        segments: Vec<OfSegment>,
    }

    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct OfSegment {
        segment: SegmentId,
        unregistered: Unregistered,
        all_groups: FloodList,
        members: Vec<(MulticastGroup, RemoteId)>,
    }

    impl From<MulticastGroups> for Groups {
        fn from(groups: MulticastGroups) -> Self {
            let segments = groups.segments.iter().map(|(&segment, groups)| OfSegment {
                segment,
                unregistered: groups.unregistered,
                all_groups: groups.everything.clone(),
                members: groups.members.iter().map(|&(_, remote, group)| (group, remote)).collect(),
            });
            Self { max_members: groups.max_members, segments: segments.collect() }
        }
    }

    impl TryFrom<Groups> for MulticastGroups {
        type Error = MulticastGroupsFull;

        fn try_from(stored: Groups) -> Result<Self, MulticastGroupsFull> {
            let mut groups = Self::new(stored.max_members);
            for OfSegment { segment, unregistered, all_groups, members } in stored.segments {
                groups.set_unregistered(segment, unregistered);
                for remote in all_groups.iter() {
                    groups.join_all(segment, remote)?;
                }
                for (group, remote) in members {
                    groups.join(segment, group, remote)?;
                }
            }
            Ok(groups)
        }
    }
}

#[cfg(test)]
mod tests;
