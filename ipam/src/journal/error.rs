//! Why a journal can't be opened, or a change not be made durable.

use std::{
    fmt::{self, Display, Formatter},
    io,
    string::String,
};

/// What was asked of the file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Operation {
    /// Find, open or make a file.
    Open,
    /// Take the lock.
    Lock,
    /// Read.
    Read,
    /// Write records.
    Write,
    /// Make what was written durable.
    Sync,
    /// Reserve room for the records to come.
    Reserve,
    /// Cut off what is not to be there.
    Truncate,
    /// Put the new file in the place of the old one.
    Rename,
}

impl Display for Operation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Open => "open",
            Self::Lock => "lock",
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "make durable",
            Self::Reserve => "reserve room in",
            Self::Truncate => "truncate",
            Self::Rename => "replace",
        })
    }
}

/// What the file system answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("cannot {operation} the journal: {}", self.answer())]
pub struct DiskError {
    /// What was asked of it.
    pub operation: Operation,
    /// The kind of the error, such as [`StorageFull`](io::ErrorKind::StorageFull).
    pub kind: io::ErrorKind,
    /// The number that the system has for it.
    pub code: Option<i32>,
}

impl DiskError {
    pub(super) fn new(operation: Operation, error: &io::Error) -> Self {
        Self { operation, kind: error.kind(), code: error.raw_os_error() }
    }

    /// Whether there was no room: on the disk, or in the user's quota. It passes when there is room again.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    fn answer(&self) -> io::Error {
        self.code.map_or_else(|| self.kind.into(), io::Error::from_raw_os_error)
    }
}

/// Says which operation it was.
pub(super) trait During<T> {
    fn during(self, operation: Operation) -> Result<T, DiskError>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, operation: Operation) -> Result<T, DiskError> {
        self.map_err(|error| DiskError::new(operation, &error))
    }
}

/// Where the bytes of a journal are not what was written, and what is wrong with them.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the journal is damaged at byte {offset}: {kind}")]
pub struct Damage {
    /// Where in the file: the first byte of the record, or of the header.
    pub offset: u64,
    /// What is wrong.
    pub kind: DamageKind,
}

/// What is wrong with the bytes of a journal.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DamageKind {
    /// No byte in it. A crash leaves no such file: one is made under another name and renamed.
    #[error("the file is empty")]
    Empty,
    /// It does not begin as journals do: it is a file of something else.
    #[error("this is no journal of ipam")]
    NotAJournal,
    /// It ends within the header.
    #[error("the file ends within its header, after {available} of {needed} bytes")]
    HeaderCut {
        /// Bytes that are there.
        available: u64,
        /// Bytes of a header.
        needed: u64,
    },
    /// The header's checksum is not that of its bytes.
    #[error("the checksum of the header does not fit")]
    HeaderChecksum,
    /// A version of the format that this version of the crate does not know.
    #[error("version {version} of the format is not known here, {known} is")]
    UnknownVersion {
        /// The file's.
        version: u32,
        /// This crate's.
        known: u32,
    },
    /// A file of another kind of state ([`Journaled::FORM`](crate::Journaled::FORM)).
    #[error("it holds state of form {form}, and {expected} is asked for")]
    OtherForm {
        /// The file's.
        form: u32,
        /// What the caller opens it as.
        expected: u32,
    },
    /// The head of a record: its length is not known.
    #[error("the head of a record does not fit its checksum")]
    RecordHead,
    /// The body of a record.
    #[error("a record of {length} bytes does not fit its checksum")]
    RecordChecksum {
        /// The length of its payload.
        length: u32,
    },
    /// A whole record, and not what this version writes.
    #[error("entry {entry} of the record cannot be decoded")]
    Entry {
        /// The entry's number in its record, from 0.
        entry: u64,
    },
    /// The compacted part that each file begins with is not complete.
    #[error("the file ends within its compacted part")]
    CompactedPartCut,
    /// The compacted part has another number of entries than its end says.
    #[error("the compacted part has {found} entries, its end says {said}")]
    CompactedPartCount {
        /// Entries that are there.
        found: u64,
        /// What its end says.
        said: u64,
    },
    /// An entry of the compacted part behind it, or a change in it.
    #[error("entry {entry} of the record does not belong in this part of the file")]
    Misplaced {
        /// The entry's number in its record, from 0.
        entry: u64,
    },
    /// A change that does not fit the state.
    #[error("entry {entry} of the record does not fit the state: {reason}")]
    Refused {
        /// The entry's number in its record, from 0.
        entry: u64,
        /// What the state says.
        reason: String,
    },
}

/// Who holds the lock of a journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    /// The number of the process, as it sees itself: in a container it is another one outside.
    pub pid: u32,
    /// The name of its program.
    pub program: String,
}

impl Display for Holder {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.pid, self.program)
    }
}

/// Why a journal can't be opened.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it open, or this one has.
    #[error("the journal is held by {}", .holder.as_ref().map_or_else(|| "another process".into(), std::string::ToString::to_string))]
    Locked {
        /// Who; `None` where it did not say so.
        holder: Option<Holder>,
    },
    /// There is a file where a new journal is to be.
    #[error("there is a file of that name")]
    Exists,
    /// The file system refuses, or the file is not what was written. It was not touched.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl From<DiskError> for OpenError {
    fn from(error: DiskError) -> Self {
        Self::Journal(error.into())
    }
}

/// Why the journal can't do what was asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The file system refuses.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The file is not what was written, or none of a journal. Of an open one it is said when the state has to be read again,
    /// after an error or a panic.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The changes of one call do not fit into a record, which is up to 4 GiB.
    #[error("the changes of one call are more than a record of 4 GiB holds")]
    TooLarge,
    /// A change can't be encoded: its `Serialize` refuses.
    #[error("a change cannot be encoded")]
    Unencodable,
}

impl JournalError {
    /// Whether there was no room on the disk. It passes when there is room again.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Disk(error) if error.is_full())
    }
}

/// Why a change was not made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ChangeError<E> {
    /// The state refuses, by what the closure returned: nothing is free, it belongs to another.
    #[error(transparent)]
    Refused(E),
    /// It can't be made durable. The state is what it was before.
    #[error(transparent)]
    Journal(#[from] JournalError),
}
