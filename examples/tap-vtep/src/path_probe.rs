//! Finds paths that lose large packets while nobody says so: black holes (RFC 2923 §2.1). A tunnel has no acknowledgements, so
//! echo requests to the remote's own address ask, one small and one as large as we may send (the idea of RFC 8899). Where the
//! small one is answered and the large one is not, three times in a row, the largest that is answered is searched for, and
//! taken for the path MTU until a large one comes back again.
//!
//! A remote that answers no small request is not judged: its firewall may drop them all. One that drops large ones only is
//! taken for a black hole; that costs throughput, and no packet.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use tracing::{info, warn};

use crate::underlay::{Underlay, echo::EchoSocket};

/// How long a reply is waited for: RFC 8899 §5.1.1 wants a second at least.
const WAIT: Duration = Duration::from_secs(1);
/// So many large requests in a row are lost by no accident (RFC 8899 §5.1.2).
const LOSSES: u8 = 3;
/// How long what was found holds when nothing is answered any more (RFC 1191 §6.3).
const LIFETIME: Duration = Duration::from_secs(600);
/// Sizes that are tried at a time when it is searched: three rounds find the one among those of jumbo frames.
const SIZES: u32 = 24;
/// Replies that are read at one look: bounds the time that it takes.
const BUDGET: usize = 4096;

/// The probes to all remotes.
pub(crate) struct PathProbe {
    /// How long after one the next; zero for never.
    pub(crate) interval: Duration,
    requests: Requests,
    asked: BTreeMap<IpAddr, Asked>,
}

/// Where requests go out.
struct Requests {
    /// One for each family.
    sockets: [Option<EchoSocket>; 2],
    next_number: u32,
    /// Whether it was said that there is no socket to be had.
    is_said: bool,
}

/// What one remote is asked, and what it has said so far.
#[derive(Default)]
struct Asked {
    /// When the next request is due, or what is missing counts as lost.
    due: Duration,
    /// The size of a request as large as we may send.
    large: u16,
    /// The requests that are under way, from small to large: their sizes, and which were answered.
    sent: Vec<(u16, bool)>,
    /// The number of the first of them.
    first: u32,
    /// Rounds in a row in which large requests were lost.
    losses: u8,
    /// While it is searched: the smallest size that was lost.
    lost: Option<u16>,
    /// What the path carries, where that is less than it should, and until when that holds.
    found: Option<(u16, Duration)>,
}

impl PathProbe {
    pub(crate) const fn new(interval: Duration) -> Self {
        Self {
            interval,
            requests: Requests { sockets: [None, None], next_number: 0, is_said: false },
            asked: BTreeMap::new(),
        }
    }

    /// What probes have found that the path to a remote carries, where it loses more.
    pub(crate) fn found(&self, remote: IpAddr) -> Option<u16> {
        self.asked.get(&remote)?.found.map(|(mtu, _)| mtu)
    }

    /// Forgets remotes that are none any more.
    pub(crate) fn retain(&mut self, is_known: impl Fn(&IpAddr) -> bool) {
        self.asked.retain(|remote, _| is_known(remote));
    }

    /// Opens the sockets anew for the next request: the interface is another one.
    pub(crate) fn close_sockets(&mut self) {
        self.requests.sockets = [None, None];
    }

    /// Hears the replies that have come, and draws conclusions from those that have not.
    pub(crate) fn hear(&mut self, underlays: &[Underlay], now: Duration) {
        if self.interval.is_zero() {
            self.asked.clear();
            self.close_sockets();
            return;
        }
        for socket in self.requests.sockets.iter().flatten() {
            for (remote, number) in std::iter::from_fn(|| socket.receive()).take(BUDGET) {
                if let Some(asked) = self.asked.get_mut(&remote) {
                    asked.hear(number);
                }
            }
        }
        let Self { interval, requests, asked } = self;
        for (remote, asked) in asked {
            asked.found = asked.found.filter(|(_, end)| now < *end);
            if asked.sent.is_empty() || now < asked.due {
                continue;
            }
            let before = asked.found.map(|(mtu, _)| mtu);
            let sizes = asked.conclude(small(remote.is_ipv6()), now);
            match (before, asked.found.map(|(mtu, _)| mtu)) {
                (before, Some(mtu)) if before != Some(mtu) => {
                    warn!(%remote, mtu, "the path to {remote} loses packets above {mtu} bytes, and nobody says so");
                }
                (Some(_), None) => info!(%remote, "the path to {remote} no longer loses large packets"),
                _ => {}
            }
            asked.due = now + if sizes.is_empty() { *interval } else { WAIT };
            requests.send(*remote, &sizes, asked, underlays);
        }
    }

    /// Asks a remote that is sent frames in packets of up to `large` bytes, if it is its turn.
    pub(crate) fn ask(&mut self, remote: IpAddr, large: u16, underlays: &[Underlay], now: Duration) {
        let small = small(remote.is_ipv6());
        if self.interval.is_zero() || large <= small {
            return;
        }
        let asked = self.asked.entry(remote).or_default();
        if asked.sent.is_empty() && now >= asked.due {
            asked.large = large;
            let sizes = asked.check(small);
            asked.due = now + WAIT;
            self.requests.send(remote, &sizes, asked, underlays);
        }
    }
}

impl Requests {
    /// Sends requests of these sizes; those before are forgotten.
    fn send(&mut self, remote: IpAddr, sizes: &[u16], asked: &mut Asked, underlays: &[Underlay]) {
        asked.sent.clear();
        asked.first = self.next_number;
        let family = |underlay: &&Underlay| underlay.local.is_ipv6() == remote.is_ipv6();
        let Some(underlay) = underlays.iter().find(family) else { return };
        let socket = &mut self.sockets[usize::from(remote.is_ipv6())];
        if socket.is_none() && !sizes.is_empty() {
            match EchoSocket::open(underlay) {
                Ok(opened) => *socket = Some(opened),
                Err(error) if !self.is_said => {
                    self.is_said = true;
                    warn!(%error, "cannot probe paths (it takes CAP_NET_RAW)");
                }
                Err(_) => {}
            }
        }
        let Some(socket) = socket else { return };
        for size in sizes {
            // One that our own interface refuses is as good as lost.
            let _ = socket.send(underlay, remote, self.next_number, *size);
            asked.sent.push((*size, false));
            self.next_number = self.next_number.wrapping_add(1);
        }
    }
}

impl Asked {
    fn hear(&mut self, number: u32) {
        if let Some((_, answered)) = self.sent.get_mut(number.wrapping_sub(self.first) as usize) {
            *answered = true;
        }
    }

    /// The sizes that show whether all is as it was.
    fn check(&self, small: u16) -> Vec<u16> {
        let found = self.found.map(|(mtu, _)| mtu).filter(|mtu| (small + 1..self.large).contains(mtu));
        [Some(small), found, Some(self.large)].into_iter().flatten().collect()
    }

    /// What the answers mean. Returns the sizes to ask for at once, if any.
    fn conclude(&mut self, small: u16, now: Duration) -> Vec<u16> {
        let largest = self.sent.iter().rposition(|(_, answered)| *answered);
        let lost = self.lost.take();
        // Where not even the smallest is answered, nothing is known of large ones.
        let Some(largest) = largest else {
            self.losses = 0;
            return Vec::new();
        };
        let carried = self.sent[largest].0;
        if carried == self.large {
            (self.losses, self.found) = (0, None);
            return Vec::new();
        }
        let next = self.sent.get(largest + 1).map(|(size, _)| *size);
        if lost.is_none() {
            if self.found.is_some_and(|(mtu, _)| mtu == carried) {
                (self.losses, self.found) = (0, Some((carried, now + LIFETIME)));
                return Vec::new();
            }
            self.losses += 1;
            if self.losses < LOSSES {
                return self.check(small);
            }
        }
        let lost = next.or(lost).unwrap_or(self.large);
        let sizes = between(carried, lost);
        if sizes.len() > 1 {
            self.lost = Some(lost);
            return sizes;
        }
        (self.losses, self.found) = (0, Some((carried, now + LIFETIME)));
        Vec::new()
    }
}

/// What every path carries, but for a few (RFC 791 §3.1, RFC 8200 §5).
const fn small(is_ipv6: bool) -> u16 {
    if is_ipv6 { 1280 } else { 576 }
}

/// A size that is carried, and sizes between it and one that is lost, evenly spaced.
fn between(carried: u16, lost: u16) -> Vec<u16> {
    let gap = u32::from(lost) - u32::from(carried);
    let count = SIZES.min(gap - 1);
    (0..=count).map(|place| carried + (gap * place / (count + 1)) as u16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1000);

    /// Asks by a path until it is done; returns the rounds that it took.
    fn probe(asked: &mut Asked, small: u16, carries: impl Fn(u16) -> bool) -> usize {
        let mut sizes = asked.check(small);
        let mut rounds = 0;
        while !sizes.is_empty() {
            assert!(sizes.is_sorted_by(|one, next| one < next), "{sizes:?}");
            asked.sent = sizes.iter().map(|size| (*size, carries(*size))).collect();
            sizes = asked.conclude(small, NOW);
            rounds += 1;
        }
        rounds
    }

    #[test]
    fn every_path_mtu_is_found_exactly() {
        for (is_ipv6, large) in [(false, 1500), (true, 1500), (false, 9000), (true, 9000), (true, 1282), (false, 577)] {
            let small = small(is_ipv6);
            for mtu in small..=large {
                let mut asked = Asked { large, ..Asked::default() };
                let rounds = probe(&mut asked, small, |size| size <= mtu);
                let expected = (mtu < large).then_some((mtu, NOW + LIFETIME));
                assert_eq!((asked.found, asked.losses, asked.lost), (expected, 0, None), "{mtu} of {large}");
                assert!(rounds <= usize::from(LOSSES) + 3, "{mtu} of {large}: {rounds} rounds");
                // What was found is confirmed by one round, and what was wrong is found anew.
                assert_eq!(probe(&mut asked, small, |size| size <= mtu), 1);
                assert_eq!(asked.found, expected);
                let less = small + (mtu - small) / 2;
                probe(&mut asked, small, |size| size <= less);
                assert_eq!(asked.found, (less < large).then_some((less, NOW + LIFETIME)));
                assert_eq!((probe(&mut asked, small, |_| true), asked.found), (1, None));
            }
        }
    }

    #[test]
    fn a_remote_that_answers_nothing_is_not_judged() {
        let mut asked = Asked { large: 1500, ..Asked::default() };
        assert_eq!((probe(&mut asked, 576, |_| false), asked.found), (1, None));
        // Nor one that falls silent under the search.
        asked.losses = LOSSES - 1;
        asked.sent = vec![(576, true), (1500, false)];
        let sizes = asked.conclude(576, NOW);
        assert_eq!((sizes.len(), asked.lost), (SIZES as usize + 1, Some(1500)));
        asked.sent = sizes.iter().map(|size| (*size, false)).collect();
        assert!(asked.conclude(576, NOW).is_empty());
        assert_eq!((asked.found, asked.losses, asked.lost), (None, 0, None));
    }

    #[test]
    fn one_lost_request_is_no_black_hole() {
        let mut asked = Asked { large: 1500, ..Asked::default() };
        for _ in 1..LOSSES {
            asked.sent = vec![(576, true), (1500, false)];
            assert_eq!(asked.conclude(576, NOW), [576, 1500]);
        }
        asked.sent = vec![(576, true), (1500, true)];
        assert!(asked.conclude(576, NOW).is_empty());
        assert_eq!((asked.found, asked.losses), (None, 0));
    }

    #[test]
    fn replies_count_for_the_round_that_is_under_way() {
        let mut asked = Asked { first: u32::MAX, sent: vec![(576, false), (1500, false)], ..Asked::default() };
        for old in [u32::MAX - 1, 1, 7] {
            asked.hear(old);
        }
        assert_eq!(asked.sent, [(576, false), (1500, false)]);
        asked.hear(0);
        assert_eq!(asked.sent, [(576, false), (1500, true)]);
    }
}
