//! Makes what a plan says, as far as it is not there already: at the start everything, later what a configuration changed.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use overlay_types::MacAddr;
use rustix::io::Errno;
use tokio::sync::oneshot;
use tracing::{info, warn};
use vtep::{ControlError, Endpoint, SegmentId};

use crate::{
    netlink::Netlink,
    plan::{Plan, PlannedSegment, set_mtus},
    run::{RunError, Running, TapProblem},
    send::{SEGMENTS, super_frame_bound},
    state::Segment,
    tap::TapQueues,
    worker::Command,
};

/// Packets that may wait in a TAP that we made: a burst of what several flows send at once.
const QUEUE: u32 = 1000;

impl Running {
    /// Brings what runs in line with `plan`.
    ///
    /// What can fail for reasons outside (a TAP that another program holds, a port that is taken) comes first; on such an
    /// error nothing has changed. Segments that stay keep their TAP, their learned rows and their counters.
    pub(crate) fn apply(&mut self, plan: Plan, netlink: &Netlink) -> Result<(), RunError> {
        let underlays = &self.state.underlays;
        let wanted = plan.underlays.iter().map(|planned| (planned.underlay.local, &planned.underlay.device));
        let are_same = wanted.eq(underlays.iter().map(|underlay| (underlay.local, &underlay.device)));
        if !are_same || plan.super_frames != self.super_frames {
            return Err(RunError::OtherUnderlay);
        }
        if plan.workers != self.options {
            return Err(RunError::OtherWorkers);
        }
        self.path_mtus.probe.interval = plan.path_mtu_probe;
        let old = self.state.segments();
        let stays = |new: &PlannedSegment| {
            old.iter().find(|segment| segment.name() == new.options.name && is_same(&segment.plan, new)).cloned()
        };
        let planned: Vec<_> = plan.segments.into_iter().map(|new| (stays(&new), new)).collect();
        let gone: Vec<_> = (old.iter())
            .filter(|segment| !planned.iter().any(|(stays, _)| stays.as_ref().is_some_and(|s| s.id == segment.id)))
            .cloned()
            .collect();

        let all: Vec<_> = planned.iter().map(|(_, new)| new.clone()).collect();
        let sockets = self.sockets.for_segments(underlays, self.workers.len(), &all)?;
        let mut taps: BTreeMap<String, TapQueues> = BTreeMap::new();
        for (_, new) in planned.iter().filter(|(stays, _)| stays.is_none()) {
            // One that a segment gives up is taken over with whatever hangs on it.
            let held = gone.iter().find(|segment| segment.plan.options.tap == new.options.tap);
            // A trunk is shared with segments that stay, or with those before this one.
            let shared = || old.iter().find(|segment| segment.plan.options.tap == new.options.tap);
            let here = held.or_else(shared).and_then(|segment| self.taps.get(&segment.id));
            let tap = match here.or_else(|| taps.get(&new.options.tap)) {
                Some(tap) => tap.try_clone().map_err(TapProblem::Other),
                None => TapQueues::open(&new.options.tap, self.workers.len()).map_err(TapProblem::from),
            };
            let tap = tap.and_then(|tap| {
                let before = held.map(|segment| &segment.plan);
                configure_tap(before, new, netlink)?;
                Ok(tap)
            });
            taps.insert(new.options.tap.clone(), tap.map_err(|reason| tap_error(new, reason))?);
        }

        for segment in gone {
            for worker in &self.workers {
                let (done, is_done) = oneshot::channel();
                worker.send(Command::RemoveSegment(segment.id, done));
                // Its number may be used again only when each worker has let go of it; a worker that has ended has.
                let _ = is_done.blocking_recv();
            }
            let _ = self.state.endpoint.remove_segment(segment.id);
            self.taps.remove(&segment.id);
            self.away.remove(&segment.id);
        }
        let mut let_go = Vec::new();
        for receiver in &self.sockets.receivers {
            if !sockets.receivers.iter().any(|other| Arc::ptr_eq(other, receiver)) {
                let (done, is_done) = oneshot::channel();
                self.workers[receiver.worker].send(Command::RemoveReceiver(Arc::clone(receiver), done));
                let_go.push(is_done);
            }
        }
        // Their ports are free when this is done: the next configuration may want them again.
        for is_done in let_go {
            let _ = is_done.blocking_recv();
        }
        let before = std::mem::replace(&mut self.sockets, sockets);
        self.sockets.take_zero_checksums(underlays, &all)?;

        let mut segments = Vec::with_capacity(planned.len());
        for (stays, new) in planned {
            let id = match stays {
                Some(segment) => {
                    self.change(&segment, &new, netlink)?;
                    segment.id
                }
                None => self.add(&new, taps.get(&new.options.tap))?,
            };
            // Each has one since the sockets were opened.
            if let Some(pool) = self.sockets.pool_for(&new).cloned() {
                segments.push(Segment { id, plan: new, pool });
            }
        }
        self.state.set_segments(segments);
        // Last, so that what has come meanwhile finds its segment with all its remotes.
        for receiver in &self.sockets.receivers {
            if !before.receivers.iter().any(|other| Arc::ptr_eq(other, receiver)) {
                self.workers[receiver.worker].send(Command::AddReceiver(Arc::clone(receiver)));
            }
        }
        Ok(())
    }

    fn add(&mut self, new: &PlannedSegment, tap: Option<&TapQueues>) -> Result<SegmentId, RunError> {
        let refused = |error| RunError::Segment { segment: new.options.name.clone(), error };
        let endpoint = &self.state.endpoint;
        let id = add_segment(endpoint, new, self.state.origin).map_err(refused)?;
        if let (Some(tap), Some(pool)) = (tap, self.sockets.pool_for(new)) {
            let mac = tap.mac().map_err(|error| tap_error(new, TapProblem::Other(error)))?;
            endpoint.set_mac(id, mac).map_err(refused)?;
            for (index, worker) in self.workers.iter().enumerate() {
                let name = new.options.name.as_str().into();
                let tap = tap.for_worker(index, new.mapping())?;
                worker.send(Command::AddSegment(id, name, tap, Arc::clone(pool)));
            }
            self.taps.insert(id, tap.try_clone()?);
        }
        Ok(id)
    }

    /// Gives the segments, and their TAPs, the MTUs that the underlays' interfaces leave now.
    pub(crate) fn follow_mtus(&self, netlink: &Netlink) {
        let mut segments = self.state.segments().to_vec();
        let mut plans: Vec<_> = segments.iter().map(|segment| segment.plan.clone()).collect();
        let of_underlay = |number| self.state.underlays[usize::from(number)].mtu.load(Ordering::Relaxed);
        set_mtus(&mut plans, of_underlay);
        for (segment, plan) in segments.iter_mut().zip(plans) {
            let (before, options) = (segment.plan.options.rules.mtu, &plan.options);
            let mtu = options.rules.mtu;
            if mtu == before {
                continue;
            }
            let underlay = of_underlay(options.rules.underlay);
            info!(
                segment = options.name,
                mtu, "the underlay's MTU is {underlay}, and the segment's {mtu} instead of {before}"
            );
            match self.change(segment, &plan, netlink) {
                Ok(()) => segment.plan = plan,
                Err(error) => warn!("{error}"),
            }
        }
        self.state.set_segments(segments);
    }

    /// A segment that stays: what has changed in it.
    fn change(&self, old: &Segment, new: &PlannedSegment, netlink: &Netlink) -> Result<(), RunError> {
        let (id, now) = (old.id, self.state.now());
        let before = &old.plan.options;
        let after = &new.options;
        if before == after {
            return Ok(());
        }
        if let Err(error) = configure_tap(Some(&old.plan), new, netlink) {
            warn!(segment = after.name, tap = after.tap, "{error}");
        }
        let endpoint = &self.state.endpoint;
        let change = || {
            endpoint.set_rules(id, after.rules.clone())?;
            change_flood(endpoint, id, &before.flood, &after.flood)?;
            change_forwards(endpoint, id, &before.forwards, &after.forwards, now)?;
            change_neighbors(endpoint, id, &before.neighbors, &after.neighbors)
        };
        change().map_err(|error| RunError::Segment { segment: after.name.clone(), error })
    }
}

/// Whether a segment can stay as it is on the wire and on its TAP, whatever else of it changes.
fn is_same(old: &PlannedSegment, new: &PlannedSegment) -> bool {
    let (before, after) = (&old.options.rules, &new.options.rules);
    (before.encapsulation, before.vni, before.port, before.underlay)
        == (after.encapsulation, after.vni, after.port, after.underlay)
        && (&old.options.tap, old.options.vlan_id) == (&new.options.tap, new.options.vlan_id)
        && old.send_options() == new.send_options()
}

/// The segment with its flood list and static rows.
fn add_segment(endpoint: &Endpoint, new: &PlannedSegment, origin: Instant) -> Result<SegmentId, ControlError> {
    let options = &new.options;
    let id = endpoint.add_segment(options.rules.clone())?;
    let fill = || {
        change_flood(endpoint, id, &[], &options.flood)?;
        change_forwards(endpoint, id, &[], &options.forwards, origin.elapsed())?;
        change_neighbors(endpoint, id, &[], &options.neighbors)
    };
    fill().inspect_err(|_| {
        let _ = endpoint.remove_segment(id);
    })?;
    Ok(id)
}

fn change_flood(endpoint: &Endpoint, id: SegmentId, old: &[IpAddr], new: &[IpAddr]) -> Result<(), ControlError> {
    for remote in new.iter().filter(|remote| !old.contains(remote)) {
        endpoint.add_flood(id, *remote)?;
    }
    for remote in old.iter().filter(|remote| !new.contains(remote)) {
        endpoint.remove_flood(id, *remote)?;
    }
    Ok(())
}

fn change_forwards(
    endpoint: &Endpoint,
    id: SegmentId,
    old: &[(MacAddr, IpAddr)],
    new: &[(MacAddr, IpAddr)],
    now: Duration,
) -> Result<(), ControlError> {
    let (old, new): (BTreeMap<_, _>, BTreeMap<_, _>) = (old.iter().copied().collect(), new.iter().copied().collect());
    for (mac, remote) in new.iter().filter(|(mac, remote)| old.get(mac) != Some(remote)) {
        endpoint.add_forward(id, *mac, *remote, now)?;
    }
    for (mac, _) in old.iter().filter(|(mac, _)| !new.contains_key(mac)) {
        // Somebody may have removed it by hand.
        let _ = endpoint.remove_forward(id, *mac);
    }
    Ok(())
}

fn change_neighbors(
    endpoint: &Endpoint,
    id: SegmentId,
    old: &[(IpAddr, MacAddr)],
    new: &[(IpAddr, MacAddr)],
) -> Result<(), ControlError> {
    let (old, new): (BTreeMap<_, _>, BTreeMap<_, _>) = (old.iter().copied().collect(), new.iter().copied().collect());
    for (ip, mac) in new.iter().filter(|(ip, mac)| old.get(ip) != Some(mac)) {
        endpoint.add_neighbor(id, *ip, *mac)?;
    }
    for (ip, _) in old.iter().filter(|(ip, _)| !new.contains_key(ip)) {
        // Somebody may have removed it by hand.
        let _ = endpoint.remove_neighbor(id, *ip);
    }
    Ok(())
}

/// Makes the TAP or attaches to it, and sets what is not as it should be.
pub(crate) fn open_tap(segment: &PlannedSegment, workers: usize, netlink: &Netlink) -> Result<TapQueues, TapProblem> {
    let tap = TapQueues::open(&segment.options.tap, workers)?;
    configure_tap(None, segment, netlink)?;
    Ok(tap)
}

/// Sets what is not as it should be; addresses that only `old` has are taken away.
fn configure_tap(old: Option<&PlannedSegment>, new: &PlannedSegment, netlink: &Netlink) -> Result<(), TapProblem> {
    let options = &new.options;
    let before = old.map(|old| &old.options);
    if before.is_some_and(|before| {
        (before.rules.mtu, before.rules.mac, &before.addresses)
            == (options.rules.mtu, options.rules.mac, &options.addresses)
    }) {
        // It may have been moved to another network namespace, where it cannot be reached from here.
        return Ok(());
    }
    let set = |what| move |error| TapProblem::Set { what, error };
    let link = netlink.link(&options.tap)?.ok_or_else(|| TapProblem::Other(Errno::NODEV.into()))?;
    if link.mtu != u32::from(options.rules.mtu) {
        netlink.set_mtu(link.index, options.rules.mtu.into()).map_err(set("MTU"))?;
    }
    // A super-frame that is larger only takes one more system call: nothing to fail for.
    let bound = super_frame_bound(options.rules.mtu, options.rules.tunnel_header_len());
    let _ = netlink.set_gso_max_size(link.index, bound).and(netlink.set_gso_max_segs(link.index, SEGMENTS as u32));
    if !new.tap_exists {
        let _ = netlink.set_tx_queue_len(link.index, QUEUE);
    }
    if let Some(mac) = options.rules.mac
        && link.mac != Some(mac)
    {
        netlink.set_mac(link.index, mac).map_err(set("MAC address"))?;
    }
    if !link.up {
        netlink.set_up(link.index).map_err(set("state"))?;
    }
    for address in &options.addresses {
        netlink.add_address(link.index, *address).map_err(set("addresses"))?;
    }
    for address in before.map_or(&[][..], |before| &before.addresses) {
        if !options.addresses.contains(address) {
            netlink.remove_address(link.index, *address).map_err(set("addresses"))?;
        }
    }
    Ok(())
}

fn tap_error(segment: &PlannedSegment, reason: TapProblem) -> RunError {
    RunError::Tap { segment: segment.options.name.clone(), tap: segment.options.tap.clone(), reason }
}
