//! The file system as the journal uses it: few operations, so that a simulated one can fail at each of them.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, MetadataExt, fchown},
    path::{Path, PathBuf},
};

use rustix::fs::{FallocateFlags, fallocate};

/// Bytes that can be read at any place: a file, or a slice.
pub(super) trait ReadAt {
    /// Reads some bytes; 0 at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// How many bytes there are now.
    fn size(&self) -> io::Result<u64>;
}

/// The file of a journal.
pub(super) trait LogFile: ReadAt + Send + Sync {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes the bytes `from..to` be there, as zeros, with room on the disk. `from` is the size of the file.
    fn reserve(&self, from: u64, to: u64) -> io::Result<()>;

    fn truncate(&self, size: u64) -> io::Result<()>;

    /// Makes durable what was written, and the size.
    fn sync(&self) -> io::Result<()>;
}

/// The place of a journal: its file, and the one that is to replace it.
pub(super) trait Directory: Send + Sync {
    type File: LogFile;

    /// The journal's file, to read and write.
    fn open(&self) -> io::Result<Self::File>;

    /// An empty file beside it.
    fn create_new(&self) -> io::Result<Self::File>;

    /// Puts the new file in the place of the journal's.
    fn rename_new(&self) -> io::Result<()>;

    /// Removes the new file, if there is one.
    fn remove_new(&self) -> io::Result<()>;

    /// Makes durable which name leads to which file.
    fn sync(&self) -> io::Result<()>;
}

impl ReadAt for &[u8] {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or(&[]);
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

impl ReadAt for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match FileExt::read_at(self, buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

impl LogFile for File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn reserve(&self, from: u64, to: u64) -> io::Result<()> {
        let length = to.saturating_sub(from);
        match rustix::io::retry_on_intr(|| fallocate(self, FallocateFlags::empty(), from, length)) {
            // A file system that can't reserve: zeros that are written take room, too.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                let zeros = [0; 4096];
                let mut at = from;
                while at < to {
                    let count = (to - at).min(zeros.len() as u64);
                    self.write_all_at(&zeros[..count as usize], at)?;
                    at += count;
                }
                Ok(())
            }
            done => Ok(done?),
        }
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.set_len(size)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// The directory that a journal's file is in.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    new: PathBuf,
    directory: PathBuf,
}

impl Place {
    /// Of a file that is there. A symbolic link is followed, so that compaction replaces what it leads to.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self::at(fs::canonicalize(path)?))
    }

    /// Of a file that is to be made.
    pub(super) fn for_new(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        Ok(Self::at(fs::canonicalize(directory)?.join(name)))
    }

    fn at(path: PathBuf) -> Self {
        let directory: PathBuf = path.parent().unwrap_or(Path::new("/")).into();
        Self { new: beside(&path, ".new"), path, directory }
    }

    pub(super) fn exists(&self) -> bool {
        self.path.symlink_metadata().is_ok()
    }

    pub(super) fn lock_path(&self) -> PathBuf {
        beside(&self.path, ".lock")
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

impl Directory for Place {
    type File = File;

    fn open(&self) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(&self.path)
    }

    fn create_new(&self) -> io::Result<File> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&self.new)?;
        // It is to be as accessible as the one that it replaces. Only root can give it to another user.
        if let Ok(old) = self.path.metadata() {
            file.set_permissions(old.permissions())?;
            let mine = file.metadata()?;
            if (mine.uid(), mine.gid()) != (old.uid(), old.gid()) {
                fchown(&file, Some(old.uid()), Some(old.gid()))?;
            }
        }
        Ok(file)
    }

    fn rename_new(&self) -> io::Result<()> {
        fs::rename(&self.new, &self.path)
    }

    fn remove_new(&self) -> io::Result<()> {
        match fs::remove_file(&self.new) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }
}
