//! Pool files: one process changes a file at a time, any number may look at it.

use std::{
    io::{self, Write as _},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use ipam::journal::{self, ChangeError, Journal, JournalOptions, OpenError, Report, Snapshot};
use ipnet::IpNet;

use super::{
    IpamError,
    cli::{Patience, PoolFile},
    pool::{Change, Pool, PoolError},
    time::now,
};

/// How long to wait before another process is asked again to be done.
const PAUSE: Duration = Duration::from_millis(5);

/// A pool file that this process changes.
#[derive(Debug)]
pub(super) struct Opened<'a> {
    path: &'a Path,
    journal: Journal<Pool>,
}

impl PoolFile {
    /// Makes the file.
    pub(super) fn create(&self, pool: &Pool, patience: Patience) -> Result<(), IpamError> {
        // Not even a lock is put beside a file of something else.
        if self.path.symlink_metadata().is_ok() {
            return Err(self.not_opened(OpenError::Exists));
        }
        let created = wait(patience, || Journal::create(&self.path, pool.clone(), JournalOptions::default()));
        created.map(drop).map_err(|error| self.not_opened(error))
    }

    /// Opens the file to change it.
    pub(super) fn open(&self, patience: Patience) -> Result<Opened<'_>, IpamError> {
        let opened = wait(patience, || Journal::open(&self.path, JournalOptions::default()));
        let (journal, torn) = opened.map_err(|error| self.not_opened(error))?;
        if let Some(torn) = torn {
            let file = self.path.display();
            // Nobody who reads on is no reason to fail.
            let _ = writeln!(
                io::stderr(),
                "tap-vtep: {file}: cut off {} bytes of a change that was never finished",
                torn.bytes,
            );
        }
        Ok(Opened { path: &self.path, journal })
    }

    /// The pool as it is now, whoever has the file open.
    pub(super) fn read(&self) -> Result<Pool, IpamError> {
        let snapshot = Snapshot::<Pool>::read(&self.path).map_err(|error| self.not_opened(error.into()))?;
        let mut pool = snapshot.into_state();
        pool.advance(now());
        Ok(pool)
    }

    /// Who had what overlaps with a prefix.
    pub(super) fn history(&self, of: IpNet) -> Result<Vec<journal::Interval>, IpamError> {
        journal::history::<Pool>(&self.path, Some(of)).map_err(|error| self.not_opened(error.into()))
    }

    /// Proves that the file is right.
    pub(super) fn check(&self) -> Result<Report, IpamError> {
        journal::check::<Pool>(&self.path).map_err(|error| self.not_opened(error.into()))
    }

    fn not_opened(&self, error: OpenError) -> IpamError {
        IpamError::File { file: self.path.display().to_string(), error }
    }
}

/// Tries until another process has the file no more, or until patience ends.
fn wait<T>(patience: Patience, attempt: impl Fn() -> Result<T, OpenError>) -> Result<T, OpenError> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(OpenError::Locked { .. }) if start.elapsed() < Duration::from_secs(patience.seconds.into()) => {
                thread::sleep(PAUSE);
            }
            done => return done,
        }
    }
}

impl Opened<'_> {
    /// Makes a change, and returns what was written down when that is durable. An error leaves the pool as it was.
    pub(super) fn change(
        &self,
        operation: impl FnOnce(&mut Pool) -> Result<Vec<Change>, PoolError>,
    ) -> Result<Vec<Change>, IpamError> {
        let changed = self.journal.change(|pool| {
            // Of several steps one may fail: then none is to be made.
            let mut trial = pool.clone();
            let changes = operation(&mut trial)?;
            *pool = trial;
            Ok((changes.clone(), changes))
        });
        changed.map_err(|error: ChangeError<PoolError>| match error {
            ChangeError::Refused(error) => error.into(),
            ChangeError::Journal(error) => {
                IpamError::File { file: self.path.display().to_string(), error: error.into() }
            }
        })
    }
}
