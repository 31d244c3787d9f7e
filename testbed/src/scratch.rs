//! A directory for the files of one test.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::deadline::fail;

/// What the names of our directories and namespaces begin with, before the process id.
pub(crate) const PREFIX: &str = "tv";

/// A number that no other call in this process gets.
pub(crate) fn unique() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The process that a name of ours belongs to, if it is one.
pub(crate) fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

/// `true` when `name` is one of ours and the process that made it is gone.
pub(crate) fn is_stale(name: &str) -> bool {
    owner(name).is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
}

/// A fresh directory, removed with all it holds when dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes one.
    #[track_caller]
    #[must_use]
    pub fn new() -> Self {
        let path = env::temp_dir().join(format!("{PREFIX}{}-{}", process::id(), unique()));
        match fs::create_dir(&path) {
            Ok(()) => Self(path),
            Err(error) => fail(format_args!("{}: {error}", path.display())),
        }
    }

    /// The path of a file in it.
    #[must_use]
    pub fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    /// Writes a file, and says where it is.
    #[track_caller]
    pub fn write(&self, file: &str, content: &str) -> PathBuf {
        let path = self.path(file);
        if let Err(error) = fs::write(&path, content) {
            fail(format_args!("{}: {error}", path.display()));
        }
        path
    }

    /// Removes the directories of processes that are gone.
    pub(crate) fn remove_stale() {
        let Ok(entries) = fs::read_dir(env::temp_dir()) else { return };
        for entry in entries.flatten() {
            if is_stale(&entry.file_name().to_string_lossy()) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_belongs_to_a_process() {
        assert_eq!(owner("tv123-0-host"), Some(123));
        assert_eq!(owner("tv123-7"), Some(123));
        assert_eq!(owner("tvx-7"), None);
        assert_eq!(owner("h1"), None);
        assert!(!is_stale(&format!("tv{}-0", process::id())));
        // No process has the number 0.
        assert!(is_stale("tv0-0-gone"));
    }

    #[test]
    fn a_directory_goes_with_its_value() {
        let scratch = Scratch::new();
        let file = scratch.write("a", "b");
        assert_eq!(fs::read_to_string(&file).ok().as_deref(), Some("b"));
        drop(scratch);
        assert!(!file.exists());
    }
}
