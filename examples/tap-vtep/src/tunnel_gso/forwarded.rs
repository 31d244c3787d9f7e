//! Whether the host forwards what it is given.

use std::sync::atomic::Ordering;

use super::TunnelGso;

/// Fewer super-frames between two looks say nothing: the last one may still be on its way.
const ENOUGH: u64 = 2;

/// What was given and what was forwarded at the last look.
#[derive(Debug, Default)]
pub(crate) struct Forwarded {
    last: Option<Counts>,
}

#[derive(Clone, Copy, Debug)]
struct Counts {
    given: u64,
    forwarded: u64,
}

impl Forwarded {
    /// `true` where super-frames were given to the host since the last look, and it has forwarded nothing at all: a firewall
    /// drops them. On a host that forwards other things, too, that cannot be seen.
    pub(crate) fn is_nothing(&mut self, tunnel: &TunnelGso) -> bool {
        let given = tunnel.given.load(Ordering::Relaxed);
        if self.last.is_some_and(|last| last.given == given) {
            return false;
        }
        let Some(forwarded) = std::fs::read_to_string("/proc/net/snmp").ok().as_deref().and_then(forwarded) else {
            return false;
        };
        self.look(Counts { given, forwarded })
    }

    fn look(&mut self, now: Counts) -> bool {
        match self.last {
            // What is given between the two readings is counted next time.
            Some(last) if now.given - last.given < ENOUGH => false,
            last => {
                self.last = Some(now);
                last.is_some_and(|last| last.forwarded == now.forwarded)
            }
        }
    }
}

/// IPv4 packets that this network namespace has forwarded, after its firewall: `ipForwDatagrams` of RFC 4293 in what the
/// kernel says of itself.
fn forwarded(snmp: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Ip: "));
    let place = lines.next()?.split_ascii_whitespace().position(|name| name == "ForwDatagrams")?;
    lines.next()?.split_ascii_whitespace().nth(place)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_read() {
        let snmp = "Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos\n\
                    Ip: 2 64 1000 0 0 77 0\nIcmp: InMsgs\nIcmp: 5\n";
        assert_eq!(forwarded(snmp), Some(77));
        assert_eq!(forwarded("Ip: Forwarding\nIp: 2\n"), None);
        assert_eq!(forwarded(""), None);
        assert!(forwarded(&std::fs::read_to_string("/proc/net/snmp").unwrap()).is_some());
    }

    #[test]
    fn only_given_and_none_forwarded_is_nothing() {
        let mut seen = Forwarded::default();
        let mut look = |given, forwarded| seen.look(Counts { given, forwarded });
        assert!(!look(10, 5), "nothing to compare with");
        assert!(!look(11, 5), "one may be on its way");
        assert!(!look(13, 6), "one of three");
        assert!(look(15, 6));
        assert!(!look(16, 6));
        assert!(look(17, 6));
        assert!(!look(1_000, 7));
    }
}
