//! A stream over TCP, compared by its SHA-256.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use sha2::{Digest, Sha256};

use crate::{deadline::fail, namespace::Namespace};

/// No transfer stands still for so long.
const STALL: Duration = Duration::from_secs(20);

/// What one side counted and hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// Bytes.
    pub bytes: u64,
    /// SHA-256 of them.
    pub sha256: [u8; 32],
}

/// Both sides of a transfer.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// What was written.
    pub sent: Side,
    /// What was read.
    pub received: Side,
}

/// Sends so many bytes, no two blocks alike, from one namespace to an address in another over one TCP connection.
#[track_caller]
#[must_use]
pub fn transfer(from: &Namespace, to: &Namespace, address: IpAddr, bytes: u64) -> Transfer {
    let listener = match to.enter(|| TcpListener::bind(SocketAddr::new(address, 0))) {
        Ok(listener) => listener,
        Err(error) => fail(format_args!("TCP at {address} in {to:?}: {error}")),
    };
    let outcome = thread::scope(|scope| {
        // The connection first: a listener that nobody ever calls would wait for ever.
        let remote = listener.local_addr()?;
        let stream = from.enter(|| TcpStream::connect_timeout(&remote, STALL))?;
        let (accepted, _) = listener.accept()?;
        let reader = scope.spawn(move || receive(accepted));
        let sent = send(stream, bytes);
        let received = reader.join().unwrap_or_else(|_| Err(io::Error::other("the reader panicked")));
        io::Result::Ok(Transfer { sent: sent?, received: received? })
    });
    outcome.unwrap_or_else(|error| fail(format_args!("TCP from {from:?} to {address}: {error}")))
}

fn send(mut stream: TcpStream, bytes: u64) -> io::Result<Side> {
    stream.set_write_timeout(Some(STALL))?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 16];
    // Xorshift: every block differs, so that one that is lost, doubled or misplaced shows.
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut left = bytes;
    while left > 0 {
        for word in block.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_be_bytes());
        }
        let len = block.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        stream.write_all(&block[..len])?;
        hash.update(&block[..len]);
        left -= len as u64;
    }
    stream.shutdown(Shutdown::Write)?;
    Ok(Side { bytes, sha256: hash.finalize().into() })
}

fn receive(mut stream: TcpStream) -> io::Result<Side> {
    stream.set_read_timeout(Some(STALL))?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        match stream.read(&mut block)? {
            0 => return Ok(Side { bytes, sha256: hash.finalize().into() }),
            len => {
                hash.update(&block[..len]);
                bytes += len as u64;
            }
        }
    }
}
