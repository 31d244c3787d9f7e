//! The lock against a second process.

use std::{
    format,
    fs::{self, File, OpenOptions},
    io::{Read, Seek, Write},
    path::Path,
    process,
    string::String,
    thread,
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};

use super::error::{DiskError, During, Holder, OpenError, Operation};

/// How often a holder that has not said yet who it is gets time to say so.
const PATIENCE: usize = 20;

/// A lock that is held until this value, or the process, is gone: the system takes it back from one that was killed.
///
/// The file stays. Who removes it could remove that of the next holder.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    pub(super) fn take(path: &Path) -> Result<Self, OpenError> {
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = open.during(Operation::Lock)?;
        for _ in 0..PATIENCE {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    let mut lock = Self { file };
                    lock.write_name();
                    return Ok(lock);
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {}
                Err(error) => return Err(DiskError::new(Operation::Lock, &error.into()).into()),
            }
            // What is read may still be the name of one before, which was killed.
            if let Some(holder) = read_name(&mut file).filter(is_alive) {
                return Err(OpenError::Locked { holder: Some(holder) });
            }
            thread::sleep(Duration::from_millis(1));
        }
        Err(OpenError::Locked { holder: None })
    }

    /// The name is for people: the lock holds without it, for instance where the disk is full.
    fn write_name(&mut self) {
        let program = std::env::current_exe().ok();
        let program = program.as_deref().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let name = format!("{} {program}\n", process::id());
        let _ =
            self.file.rewind().and_then(|()| self.file.set_len(0)).and_then(|()| self.file.write_all(name.as_bytes()));
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.file.set_len(0);
    }
}

fn read_name(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().ok()?;
    Read::by_ref(file).take(4096).read_to_string(&mut text).ok()?;
    let (pid, program) = text.strip_suffix('\n')?.split_once(' ')?;
    Some(Holder { pid: pid.parse().ok()?, program: program.into() })
}

/// Whether there is such a process; yes where that can't be known.
fn is_alive(holder: &Holder) -> bool {
    fs::exists("/proc/self").is_ok_and(|known| !known) || Path::new(&format!("/proc/{}", holder.pid)).exists()
}
