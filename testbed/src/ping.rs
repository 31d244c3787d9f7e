//! Echo requests.

use std::net::IpAddr;

use crate::{deadline::fail, namespace::Namespace};

/// What came of some echo requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// Requests sent.
    pub sent: u32,
    /// Replies, each request's first.
    pub received: u32,
    /// Replies that came more than once.
    pub duplicates: u32,
}

/// Sends `count` echo requests of 64 bytes at once, and waits two seconds for the last reply.
#[track_caller]
#[must_use]
pub fn ping(namespace: &Namespace, address: IpAddr, count: u32) -> Ping {
    ping_with(namespace, address, count, &[])
}

/// The same with more options of ping(8).
#[track_caller]
#[must_use]
pub fn ping_with(namespace: &Namespace, address: IpAddr, count: u32, options: &[&str]) -> Ping {
    let (address, count) = (address.to_string(), count.to_string());
    // Once it has a reply, it waits no longer than its interval for the others, whatever `-W` says.
    let mut arguments = vec!["ping", "-n", "-q", "-l", &count, "-i", "2", "-W", "2", "-c", &count];
    arguments.extend(options);
    arguments.push(&address);
    let finished = namespace.run(&arguments);
    parse(&finished.stdout).unwrap_or_else(|| fail(format_args!("{}: {finished}", arguments.join(" "))))
}

/// Reads `3 packets transmitted, 3 received, +1 duplicates, 0% packet loss, time 42ms`.
fn parse(output: &str) -> Option<Ping> {
    let line = output.lines().find(|line| line.contains("packets transmitted"))?;
    let count = |what: &str| {
        let part = line.split(", ").find(|part| part.ends_with(what))?;
        part.trim_start_matches('+').split(' ').next()?.parse().ok()
    };
    Some(Ping {
        sent: count("packets transmitted")?,
        received: count(" received")?,
        duplicates: count(" duplicates").unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_read() {
        let summary = "\n--- ::1 ping statistics ---\n5 packets transmitted, 4 received, +2 duplicates, 20% packet loss, time 4ms\n";
        assert_eq!(parse(summary), Some(Ping { sent: 5, received: 4, duplicates: 2 }));
        let summary = "3 packets transmitted, 0 received, +3 errors, 100% packet loss, time 2ms";
        assert_eq!(parse(summary), Some(Ping { sent: 3, received: 0, duplicates: 0 }));
        assert_eq!(parse("connect: Network is unreachable"), None);
    }
}
