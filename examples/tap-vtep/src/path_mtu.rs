//! Follows what the kernel learns of the paths to remotes, so that their limits are known before frames run into them, and end
//! when the kernel lets them end.

use std::{collections::BTreeMap, net::IpAddr};

use tracing::{info, warn};
use vtep::{Path, Vlan};

use crate::{
    path_probe::PathProbe,
    state::State,
    underlay::{Underlay, path::PathSocket},
};

/// Paths that are asked for at one look: bounds the time that it takes.
const BUDGET: usize = 512;

/// What is known of the paths.
pub(crate) struct PathMtus {
    /// One for each family.
    sockets: [Option<PathSocket>; 2],
    seen: BTreeMap<IpAddr, Seen>,
    /// How many were asked for: whose turn it is.
    turn: usize,
    /// Finds what the kernel is not told.
    pub(crate) probe: PathProbe,
}

/// A path at the last look.
#[derive(Clone, Copy, Default)]
struct Seen {
    tx_packets: u64,
    /// What the kernel said, where that was too little.
    kernel: Option<u16>,
}

impl PathMtus {
    pub(crate) const fn new(probe: PathProbe) -> Self {
        Self { sockets: [None, None], seen: BTreeMap::new(), turn: 0, probe }
    }

    /// Opens the sockets anew at the next look: the underlay's interface is another one.
    pub(crate) fn close_sockets(&mut self) {
        self.sockets = [None, None];
        self.probe.close_sockets();
    }

    /// Asks the kernel for the paths to remotes that were sent something since the last look.
    pub(crate) fn look(&mut self, state: &State) {
        self.probe.hear(&state.underlays, state.now());
        let paths = state.endpoint.paths();
        self.forget_others(&paths);
        let used: Vec<_> = paths.into_iter().filter(|path| self.is_used(path)).collect();
        if used.is_empty() {
            return;
        }
        let wanted = wanted(state);
        let count = used.len().min(BUDGET);
        for place in 0..count {
            self.follow(&used[(self.turn + place) % used.len()], wanted, state);
        }
        self.turn = self.turn.wrapping_add(count);
    }

    fn forget_others(&mut self, paths: &[Path]) {
        if self.seen.len() > paths.len() {
            let known: std::collections::BTreeSet<_> = paths.iter().map(|path| path.remote).collect();
            self.seen.retain(|remote, _| known.contains(remote));
            self.probe.retain(|remote| known.contains(remote));
        }
    }

    /// Whether something was sent there since the last look. To a group, no path leads.
    fn is_used(&mut self, path: &Path) -> bool {
        if path.remote.is_multicast() {
            return false;
        }
        let seen = self.seen.entry(path.remote).or_default();
        std::mem::replace(&mut seen.tx_packets, path.tx_packets) != path.tx_packets
    }

    fn follow(&mut self, path: &Path, wanted: u32, state: &State) {
        let family = |underlay: &&Underlay| underlay.local.is_ipv6() == path.remote.is_ipv6();
        let Some(underlay) = state.underlays.iter().find(family) else { return };
        let socket = &mut self.sockets[usize::from(path.remote.is_ipv6())];
        if socket.is_none() {
            *socket = PathSocket::open(underlay).ok();
        }
        // Without one, the workers find out by what is refused.
        let Some(socket) = socket else { return };
        // Without a route there is no path, and nothing to learn.
        let Ok(kernel) = socket.mtu(underlay, path.remote) else { return };
        let large = wanted.min(kernel.into()) as u16;
        self.probe.ask(path.remote, large, &state.underlays, state.now());
        let kernel = (u32::from(kernel) < wanted).then_some(kernel);
        let seen = self.seen.entry(path.remote).or_default();
        let before = std::mem::replace(&mut seen.kernel, kernel);
        match kernel.into_iter().chain(self.probe.found(path.remote)).min() {
            Some(mtu) => {
                // It may have been forgotten meanwhile.
                let _ = state.endpoint.set_path_mtu(path.remote, mtu, state.now());
            }
            None if path.path_mtu.is_some() => state.endpoint.forget_path_mtu(path.remote),
            None => {}
        }
        match (before, kernel) {
            (before, Some(mtu)) if before != kernel => {
                warn!(remote = %path.remote, mtu, "the path to {} carries packets of {mtu} bytes only", path.remote);
            }
            (Some(_), None) => {
                info!(remote = %path.remote, "the path to {} carries whole packets again", path.remote);
            }
            _ => {}
        }
    }
}

/// The largest packet of the underlay that a segment may want to send.
fn wanted(state: &State) -> u32 {
    /// Two tags are as many as anybody carries.
    const TAGS: u32 = 8;
    let segments = state.segments();
    let of_each = segments.iter().filter(|segment| segment.plan.options.df).map(|segment| {
        let rules = &segment.plan.options.rules;
        let tags = if rules.vlan == Vlan::Drop { 0 } else { TAGS };
        u32::from(rules.mtu) + u32::from(rules.mtu_overhead()) + tags
    });
    of_each.max().unwrap_or(0)
}
