//! The bytes of a journal: its header, its records, and the entries in them. The module's front page has them as a table.

use core::time::Duration;
use std::{string::String, vec::Vec};

use crc32fast::Hasher;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::error::{Damage, DamageKind, JournalError};

/// What a file begins with. No text does, and what changes line ends or takes bit 7 away is noticed.
const MAGIC: [u8; 8] = *b"\x89IPAMJ\r\n";
const VERSION: u32 = 1;
/// Magic, version, form, checksum.
pub(super) const HEADER: usize = 20;
/// Length, checksum of the head, checksum of the body.
pub(super) const HEAD: usize = 12;
/// The last byte of a record. It is not zero, so that a record of which the end was not written is seen to be one.
pub(super) const END: u8 = 0xa5;
/// Bytes of a record beside its payload.
pub(super) const FRAME: usize = HEAD + 1;

pub(super) fn header(form: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..16].copy_from_slice(&form.to_le_bytes());
    let checksum = crc32fast::hash(&header[..16]);
    header[16..].copy_from_slice(&checksum.to_le_bytes());
    header
}

/// `bytes` is what there is of the first [`HEADER`] bytes.
pub(super) fn check_header(bytes: &[u8], form: u32) -> Result<(), Damage> {
    let refuse = |kind| Err(Damage { offset: 0, kind });
    if bytes.is_empty() {
        return refuse(DamageKind::Empty);
    }
    let magic = bytes.len().min(MAGIC.len());
    if bytes[..magic] != MAGIC[..magic] {
        return refuse(DamageKind::NotAJournal);
    }
    if bytes.len() < HEADER {
        return refuse(DamageKind::HeaderCut { available: bytes.len() as u64, needed: HEADER as u64 });
    }
    if crc32fast::hash(&bytes[..16]) != word(bytes, 16) {
        return refuse(DamageKind::HeaderChecksum);
    }
    let version = word(bytes, 8);
    if version != VERSION {
        return refuse(DamageKind::UnknownVersion { version, known: VERSION });
    }
    if word(bytes, 12) != form {
        return refuse(DamageKind::OtherForm { form: word(bytes, 12), expected: form });
    }
    Ok(())
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The head of a record.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub(super) length: u32,
    body: u32,
}

impl Head {
    /// `None` where it is not what was written at this offset.
    pub(super) fn decode(bytes: &[u8], offset: u64) -> Option<Self> {
        let head = Self { length: word(bytes, 0), body: word(bytes, 8) };
        (checksum_of_head(offset, head.length, head.body) == word(bytes, 4)).then_some(head)
    }

    /// The size of the record.
    pub(super) fn size(self) -> u64 {
        u64::from(self.length) + FRAME as u64
    }

    /// `record` is as long as the head says.
    pub(super) fn is_whole(self, record: &[u8]) -> bool {
        crc32fast::hash(&record[HEAD..record.len() - 1]) == self.body && record.last() == Some(&END)
    }
}

/// A record knows where it belongs: one that a disk has put elsewhere is not taken for one.
fn checksum_of_head(offset: u64, length: u32, body: u32) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&offset.to_le_bytes());
    hasher.update(&length.to_le_bytes());
    hasher.update(&body.to_le_bytes());
    hasher.finalize()
}

/// A record that is being filled: entries, one after another.
#[derive(Default)]
pub(super) struct Record {
    /// The head's place, then the payload; empty where there is no entry.
    bytes: Vec<u8>,
}

impl Record {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many bytes it will take.
    pub(super) fn size(&self) -> u64 {
        if self.bytes.is_empty() { 0 } else { self.bytes.len() as u64 + 1 }
    }

    /// How far it is filled, for [`truncate`](Self::truncate).
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Takes back what was pushed since.
    pub(super) fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
    }

    pub(super) fn payload(&self) -> &[u8] {
        self.bytes.get(HEAD..).unwrap_or(&[])
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    pub(super) fn push<C: Serialize>(&mut self, entry: &Entry<C>) -> Result<(), JournalError> {
        if self.bytes.is_empty() {
            self.bytes.resize(HEAD, 0);
        }
        // Not by way of an iterator for each byte: `to_extend` would push them one by one.
        match postcard::serialize_with_flavor(entry, Appended(&mut self.bytes)) {
            Ok(()) if u32::try_from(self.bytes.len()).is_ok() => Ok(()),
            Ok(()) => Err(JournalError::TooLarge),
            Err(_) => Err(JournalError::Unencodable),
        }
    }

    /// The bytes of the record at this offset, to be written.
    pub(super) fn seal(&mut self, offset: u64) -> &[u8] {
        let length = self.payload().len() as u32;
        let body = crc32fast::hash(self.payload());
        self.bytes[..4].copy_from_slice(&length.to_le_bytes());
        self.bytes[4..8].copy_from_slice(&checksum_of_head(offset, length, body).to_le_bytes());
        self.bytes[8..12].copy_from_slice(&body.to_le_bytes());
        self.bytes.push(END);
        &self.bytes
    }
}

/// Appends to a vector, slice by slice.
struct Appended<'a>(&'a mut Vec<u8>);

impl postcard::ser_flavors::Flavor for Appended<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// What a record is a sequence of. The order of the variants is part of the format.
#[derive(Serialize, Deserialize)]
pub(super) enum Entry<C> {
    /// A change.
    Change(C),
    /// In the compacted part: a change that makes the state.
    State(C),
    /// In the compacted part: who had a prefix once.
    Past { prefix: IpNet, owner: String, from: Duration, to: Duration },
    /// In the compacted part: since when a prefix is whose it is, where the state's own change does not say the same.
    Since { prefix: IpNet, owner: String, from: Duration },
    /// The end of the compacted part, and how many entries it has.
    Compacted { entries: u64 },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_are_refused_are_named() {
        let kind = |bytes: &[u8]| check_header(bytes, 7).map_err(|damage| damage.kind);
        let good = header(7);
        assert_eq!(kind(&good), Ok(()));
        assert_eq!(kind(&[]), Err(DamageKind::Empty));
        assert_eq!(kind(b"SQLite format 3\0...."), Err(DamageKind::NotAJournal));
        assert_eq!(kind(&good[..3]), Err(DamageKind::HeaderCut { available: 3, needed: 20 }));
        assert_eq!(kind(&header(8)), Err(DamageKind::OtherForm { form: 8, expected: 7 }));
        let mut newer = good;
        newer[8] = 2;
        assert_eq!(kind(&newer), Err(DamageKind::HeaderChecksum));
        let checksum = crc32fast::hash(&newer[..16]);
        newer[16..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(kind(&newer), Err(DamageKind::UnknownVersion { version: 2, known: 1 }));
    }

    #[test]
    fn a_record_belongs_to_its_offset() {
        let mut record = Record::default();
        record.push(&Entry::Change(5_u8)).unwrap();
        let bytes = record.seal(40).to_vec();
        let head = Head::decode(&bytes, 40).unwrap();
        assert!(head.is_whole(&bytes) && head.size() == bytes.len() as u64 && head.length == 2);
        assert!(Head::decode(&bytes, 41).is_none());
    }
}
