//! Which sockets the segments need: shared where segments have a port or a way of sending in common.

use std::{io, net::IpAddr, sync::Arc};

use rustix::io::Errno;
use vtep::Encapsulation;

use crate::{
    plan::PlannedSegment,
    run::RunError,
    underlay::{Receiver, SenderPool, Underlay},
};

/// All sockets on the underlays: of each, one that receives for each port, one for each group and port, and a pool for each
/// kind of sending.
#[derive(Clone, Default)]
pub(crate) struct Sockets {
    pools: Vec<Arc<SenderPool>>,
    pub(crate) receivers: Vec<Arc<Receiver>>,
}

impl Sockets {
    /// What these segments need: of the sockets that there are those, and new ones for the rest.
    pub(crate) fn for_segments(
        &self,
        underlays: &[Underlay],
        workers: usize,
        segments: &[PlannedSegment],
    ) -> Result<Self, RunError> {
        let mut sockets = Self::default();
        for segment in segments {
            let options = &segment.options;
            let number = options.rules.underlay;
            let underlay = &underlays[usize::from(number)];
            let (encapsulation, port) = (options.rules.encapsulation, options.rules.port);
            let groups = options.flood.iter().filter(|address| address.is_multicast()).map(|group| Some(*group));
            for group in std::iter::once(None).chain(groups) {
                let is_it = |receiver: &&Arc<Receiver>| {
                    (receiver.underlay, receiver.encapsulation, receiver.port, receiver.group)
                        == (number, encapsulation, port, group)
                };
                if sockets.receivers.iter().any(|receiver| is_it(&receiver)) {
                    continue;
                }
                let mut there = self.receivers.iter().filter(is_it).cloned().peekable();
                if there.peek().is_some() {
                    sockets.receivers.extend(there);
                } else {
                    let opened = open_receivers(underlay, workers, encapsulation, port, group)?;
                    sockets.receivers.extend(opened.into_iter().map(Arc::new));
                }
            }
            if sockets.pool_for(segment).is_some() {
                continue;
            }
            let pool = match self.pool_for(segment) {
                Some(pool) => Arc::clone(pool),
                None => Arc::new(
                    SenderPool::open(underlay, segment.send_options())
                        .map_err(|error| RunError::Send { address: underlay.local, error })?,
                ),
            };
            sockets.pools.push(pool);
        }
        Ok(sockets)
    }

    /// Who sends for a segment.
    pub(crate) fn pool_for(&self, segment: &PlannedSegment) -> Option<&Arc<SenderPool>> {
        let wanted = segment.send_options();
        let number = segment.options.rules.underlay;
        self.pools.iter().find(|pool| pool.underlay.number == number && pool.options == wanted)
    }

    /// Has each socket take zero checksums over IPv6 where a segment of its port sends them, and nowhere else (RFC 6936 §5).
    pub(crate) fn take_zero_checksums(&self, underlays: &[Underlay], segments: &[PlannedSegment]) -> io::Result<()> {
        for receiver in self.receivers.iter().filter(|receiver| receiver.encapsulation.is_udp()) {
            let takes =
                segments.iter().any(|segment| segment.zero_checksum_port() == Some((receiver.underlay, receiver.port)));
            underlays[usize::from(receiver.underlay)].take_zero_checksums(&receiver.socket, takes)?;
        }
        Ok(())
    }

    /// Binds those of an underlay to its interface again, after it has been made anew.
    pub(crate) fn rebind(&self, underlay: &Underlay) -> io::Result<()> {
        let pools = self.pools.iter().filter(|pool| pool.underlay.number == underlay.number);
        for socket in pools.flat_map(|pool| pool.all_sockets()) {
            underlay.rebind(socket)?;
        }
        for receiver in self.receivers.iter().filter(|receiver| receiver.underlay == underlay.number) {
            underlay.rebind(&receiver.socket)?;
            if let Some(group) = receiver.group {
                underlay.join(&receiver.socket, group)?;
            }
        }
        Ok(())
    }
}

/// A socket for each worker; the kernel spreads flows over them. For a group and for NVGRE one: each would get a copy of
/// everything.
fn open_receivers(
    underlay: &Underlay,
    workers: usize,
    encapsulation: Encapsulation,
    port: u16,
    group: Option<IpAddr>,
) -> Result<Vec<Receiver>, RunError> {
    let open = || match group {
        None if !encapsulation.is_udp() => Ok(vec![underlay.gre_receiver()?]),
        Some(group) if !encapsulation.is_udp() => Ok(vec![underlay.gre_group_receiver(group)?]),
        None if workers > 1 => {
            // Sockets that share a port can be joined by another program's: first see that it is free.
            drop(underlay.receiver(port, false)?);
            (0..workers).map(|_| underlay.receiver(port, true)).collect()
        }
        None => Ok(vec![underlay.receiver(port, false)?]),
        Some(group) => Ok(vec![underlay.group_receiver(group, port)?]),
    };
    let opened: io::Result<Vec<_>> = open();
    let sockets = opened.map_err(|error| {
        let address = group.unwrap_or(underlay.local);
        let reason = match Errno::from_io_error(&error) {
            Some(Errno::ADDRINUSE) => "a kernel tunnel device or another program has it".to_owned(),
            _ => error.to_string(),
        };
        if encapsulation.is_udp() {
            RunError::Listen { address, port, reason }
        } else {
            RunError::ListenGre { address, reason }
        }
    })?;
    let underlay = underlay.number;
    let receiver = |(worker, socket)| Receiver { socket, underlay, encapsulation, port, group, worker };
    Ok(sockets.into_iter().enumerate().map(receiver).collect())
}
