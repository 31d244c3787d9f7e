//! Many bytes by TCP from one host to the other, each one compared on arrival.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    DemoError, Doing as _,
    hosts::Host,
    interrupt::{self, PATIENCE},
};

/// How long a connection may take, and how long not a byte may arrive.
const LIMIT: Duration = Duration::from_secs(10);
/// What is written and read at once, and the length after which the content repeats.
const CHUNK: usize = 1 << 16;

/// A finished transfer.
pub(super) struct Transfer {
    pub(super) bytes: u64,
    /// From the first byte written until the last one was read.
    pub(super) elapsed: Duration,
}

impl Transfer {
    /// Gigabits a second.
    pub(super) fn gigabits(&self) -> f64 {
        gigabits(self.bytes, self.elapsed)
    }
}

/// Gigabits a second.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(super) fn gigabits(bytes: u64, elapsed: Duration) -> f64 {
    bytes as f64 * 8e-9 / elapsed.as_secs_f64().max(1e-9)
}

/// Moves `bytes` bytes from one host to the other and calls `progress` with what has arrived, and when, meanwhile.
pub(super) fn transfer(
    [from, to]: [&Host; 2],
    bytes: u64,
    progress: impl FnMut(u64, Duration) -> Result<(), DemoError>,
) -> Result<Transfer, DemoError> {
    to.enter()?;
    let listener = TcpListener::bind((to.overlay, 0)).doing("listen in the virtual network")?;
    let address = listener.local_addr().doing("listen in the virtual network")?;
    from.enter()?;
    let sender = TcpStream::connect_timeout(&address, LIMIT).doing("connect through the tunnel")?;
    let (receiver, _) = listener.accept().doing("accept a connection through the tunnel")?;
    stream(sender, receiver, bytes, progress)
}

fn stream(
    sender: TcpStream,
    receiver: TcpStream,
    bytes: u64,
    mut progress: impl FnMut(u64, Duration) -> Result<(), DemoError>,
) -> Result<Transfer, DemoError> {
    sender
        .set_write_timeout(Some(PATIENCE))
        .and_then(|()| receiver.set_read_timeout(Some(PATIENCE)))
        .doing("set up a connection")?;
    let content = content();
    let stop = AtomicBool::new(false);
    let arrived = AtomicU64::new(0);
    let start = Instant::now();
    thread::scope(|scope| {
        let sending = scope.spawn(|| send(sender, bytes, &content, &stop));
        let receiving = scope.spawn(|| receive(receiver, bytes, &content, &arrived, &stop).map(|()| start.elapsed()));
        let mut last = (0, start);
        let watched = loop {
            if receiving.is_finished() {
                break Ok(());
            }
            thread::sleep(PATIENCE);
            let now = arrived.load(Ordering::Relaxed);
            if now != last.0 {
                last = (now, Instant::now());
            }
            let result = interrupt::check().and_then(|()| progress(now, start.elapsed()));
            let result = match result {
                Ok(()) if last.1.elapsed() > LIMIT => Err(DemoError::Stalled { arrived: now, bytes }),
                result => result,
            };
            if result.is_err() {
                break result;
            }
        };
        stop.store(true, Ordering::Relaxed);
        watched?;
        // What the receiver says is the cause where both fail.
        let elapsed = receiving.join().map_err(|_| DemoError::Thread)?.doing("receive through the tunnel")?;
        sending.join().map_err(|_| DemoError::Thread)?.doing("send through the tunnel")?;
        Ok(Transfer { bytes, elapsed })
    })
}

fn send(mut stream: TcpStream, bytes: u64, content: &[u8], stop: &AtomicBool) -> io::Result<()> {
    let mut sent = 0;
    while sent < bytes && !stop.load(Ordering::Relaxed) {
        match stream.write(expected(content, sent, bytes)) {
            Ok(length) => sent += length as u64,
            Err(error) if is_pause(&error) => {}
            Err(error) => return Err(error),
        }
    }
    stream.shutdown(Shutdown::Write)
}

fn receive(
    mut stream: TcpStream,
    bytes: u64,
    content: &[u8],
    arrived: &AtomicU64,
    stop: &AtomicBool,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    let mut received = 0;
    while received < bytes && !stop.load(Ordering::Relaxed) {
        let expected = expected(content, received, bytes);
        match stream.read(&mut buffer[..expected.len()]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) if buffer[..length] != expected[..length] => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "other bytes arrived than were sent"));
            }
            Ok(length) => received += length as u64,
            Err(error) if is_pause(&error) => {}
            Err(error) => return Err(error),
        }
        arrived.store(received, Ordering::Relaxed);
    }
    Ok(())
}

/// Timeouts and signals, after which the flags are looked at.
fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

/// What stands at `position` in a transfer of `bytes` bytes, up to the next repetition.
fn expected(content: &[u8], position: u64, bytes: u64) -> &[u8] {
    let left = usize::try_from(bytes - position).unwrap_or(CHUNK);
    let rest = &content[position as usize % CHUNK..];
    &rest[..rest.len().min(left)]
}

/// Bytes in which no short pattern repeats, so that a piece lost or doubled is seen.
fn content() -> Vec<u8> {
    let mut state = 1_u32;
    let mut bytes = vec![0; CHUNK];
    for byte in &mut bytes {
        // Marsaglia's xorshift.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        *byte = state as u8;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (sender, listener.accept().unwrap().0)
    }

    #[test]
    fn all_bytes_arrive() {
        for bytes in [0, 1, CHUNK as u64 - 1, CHUNK as u64 + 1, 3_000_000] {
            let (sender, receiver) = connection();
            let transfer = stream(sender, receiver, bytes, |arrived, _| {
                assert!(arrived <= bytes);
                Ok(())
            });
            assert_eq!(transfer.unwrap().bytes, bytes);
        }
    }

    #[test]
    fn a_wrong_byte_is_seen() {
        let content = content();
        let (mut sender, receiver) = connection();
        let mut wrong = content.clone();
        wrong[1000] ^= 1;
        thread::scope(|scope| {
            scope.spawn(move || sender.write_all(&wrong[..]));
            let error = receive(receiver, CHUNK as u64, &content, &AtomicU64::new(0), &AtomicBool::new(false));
            assert_eq!(error.unwrap_err().kind(), io::ErrorKind::InvalidData);
        });
    }

    #[test]
    fn an_early_end_is_seen() {
        let content = content();
        let (mut sender, receiver) = connection();
        sender.write_all(&content[..10]).unwrap();
        drop(sender);
        let error = receive(receiver, 11, &content, &AtomicU64::new(0), &AtomicBool::new(false));
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_the_watcher_says_ends_it() {
        let (sender, receiver) = connection();
        let error = stream(sender, receiver, u64::MAX, |_, _| Err(DemoError::Interrupted)).err();
        assert!(matches!(error, Some(DemoError::Interrupted)));
    }

    #[test]
    fn figures() {
        assert!((gigabits(125_000_000, Duration::from_secs(1)) - 1.0).abs() < 1e-9);
    }
}
