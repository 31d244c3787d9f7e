//! A disk that loses power at any operation, tears writes, forgets what was not synced, and refuses.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
    vec,
    vec::Vec,
};

use super::storage::{Directory, LogFile, ReadAt};

const SECTOR: usize = 512;
const BLOCK: usize = 4096;

/// What was done to a file since it was last synced.
#[derive(Clone, Debug)]
enum Unsynced {
    Write(usize, Vec<u8>),
    Resize(usize),
}

impl Unsynced {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, written) => {
                let end = offset + written.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset..end].copy_from_slice(written);
            }
            Self::Resize(size) => bytes.resize(*size, 0),
        }
    }

    /// What a crash may leave of it: nothing, all, a beginning of any length, any of its sectors.
    fn torn(&self) -> Vec<Vec<Self>> {
        let mut all = vec![vec![], vec![self.clone()]];
        if let Self::Write(offset, bytes) = self {
            // At each byte of a record; what is longer is a compacted part, or a block that is written anew.
            let step = (bytes.len() / 256).max(1);
            all.extend((1..bytes.len()).step_by(step).map(|cut| vec![Self::Write(*offset, bytes[..cut].to_vec())]));
            let mut sectors = Vec::new();
            let mut from = 0;
            while from < bytes.len() {
                let to = (((offset + from) / SECTOR + 1) * SECTOR - offset).min(bytes.len());
                sectors.push(Self::Write(offset + from, bytes[from..to].to_vec()));
                from = to;
            }
            if sectors.len() > 1 && sectors.len() <= 6 {
                all.extend((1..1_usize << sectors.len()).map(|kept| {
                    let kept = sectors.iter().enumerate().filter(|(sector, _)| kept >> sector & 1 == 1);
                    kept.map(|(_, sector)| sector.clone()).collect()
                }));
            }
        }
        all
    }
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// What is on the disk for certain.
    durable: Vec<u8>,
    /// What readers see.
    live: Vec<u8>,
    unsynced: Vec<Unsynced>,
}

impl Node {
    fn after_crash(&self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        let count = self.unsynced.len();
        assert!(count <= 6, "few are not synced at any time");
        // Any of them in their order, the last of these torn.
        for kept in 0..1_usize << count {
            let kept: Vec<_> = (0..count).filter(|index| kept >> index & 1 == 1).collect();
            let Some((last, before)) = kept.split_last() else {
                all.push(self.durable.clone());
                continue;
            };
            for torn in self.unsynced[*last].torn() {
                let mut bytes = self.durable.clone();
                for index in before {
                    self.unsynced[*index].apply(&mut bytes);
                }
                for part in torn {
                    part.apply(&mut bytes);
                }
                all.push(bytes);
            }
        }
        all.sort_unstable();
        all.dedup();
        all
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Name {
    Journal,
    New,
}

type Names = BTreeMap<Name, usize>;

/// Operations that fail: from one, as many, with an error. They are counted from 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    pub(super) at: usize,
    pub(super) count: usize,
    pub(super) kind: io::ErrorKind,
    /// A sync that fails takes the whole blocks with it that were to be written, with what was durable of them.
    pub(super) spoils: bool,
}

#[derive(Clone, Debug, Default)]
struct World {
    nodes: Vec<Node>,
    names: Names,
    /// What the names were since they were last synced; the first is durable.
    names_before: Vec<Names>,
    operations: usize,
    failure: Option<Failure>,
    /// From this operation on nothing is done any more.
    power_off: Option<usize>,
}

impl World {
    /// An operation that changes something: whether it is done.
    fn operation(&mut self) -> io::Result<()> {
        let number = self.operations;
        self.operations += 1;
        if self.power_off.is_some_and(|off| number >= off) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        match self.failure {
            Some(failure) if (failure.at..failure.at + failure.count).contains(&number) => Err(failure.kind.into()),
            _ => Ok(()),
        }
    }

    fn is_off(&self) -> bool {
        self.power_off.is_some_and(|off| self.operations > off)
    }

    /// Whether the last operation is the one at which the power went off: it may have come through.
    fn is_last(&self) -> bool {
        self.power_off.is_some_and(|off| self.operations == off + 1)
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<Mutex<World>>);

impl Disk {
    pub(super) fn failing(self, failure: Failure) -> Self {
        self.0.lock().unwrap().failure = Some(failure);
        self
    }

    pub(super) fn power_off_at(self, operation: usize) -> Self {
        self.0.lock().unwrap().power_off = Some(operation);
        self
    }

    pub(super) fn operations(&self) -> usize {
        self.0.lock().unwrap().operations
    }

    /// Each disk that there may be after a loss of power now.
    pub(super) fn after_crash(&self) -> Vec<Self> {
        let world = self.0.lock().unwrap();
        let mut all = Vec::new();
        for names in world.names_before.iter().chain([&world.names]) {
            let bytes = names.get(&Name::Journal).map(|node| world.nodes[*node].after_crash());
            // The new file counts only by being there.
            let new = names.get(&Name::New).map(|node| world.nodes[*node].live.clone());
            for bytes in bytes.map_or_else(|| vec![None], |all| all.into_iter().map(Some).collect()) {
                let mut after = World::default();
                for (name, bytes) in [(Name::Journal, bytes), (Name::New, new.clone())] {
                    if let Some(bytes) = bytes {
                        after.names.insert(name, after.nodes.len());
                        after.nodes.push(Node { durable: bytes.clone(), live: bytes, unsynced: Vec::new() });
                    }
                }
                after.names_before.push(after.names.clone());
                all.push(Self(Arc::new(Mutex::new(after))));
            }
        }
        all
    }

    /// The bytes of the journal's file.
    pub(super) fn journal(&self) -> Option<Vec<u8>> {
        let world = self.0.lock().unwrap();
        world.names.get(&Name::Journal).map(|node| world.nodes[*node].live.clone())
    }

    pub(super) fn has_journal(&self) -> bool {
        self.0.lock().unwrap().names.contains_key(&Name::Journal)
    }

    fn file(&self, node: usize) -> DiskFile {
        DiskFile { disk: self.clone(), node }
    }
}

pub(super) struct DiskFile {
    disk: Disk,
    node: usize,
}

impl DiskFile {
    fn change(&self, change: Unsynced, if_refused: Option<Unsynced>) -> io::Result<()> {
        let mut world = self.disk.0.lock().unwrap();
        let allowed = world.operation();
        let (is_off, is_last) = (world.is_off(), world.is_last());
        let node = &mut world.nodes[self.node];
        let done = if allowed.is_ok() || is_last { Some(change) } else { if_refused.filter(|_| !is_off) };
        if let Some(done) = done {
            done.apply(&mut node.live);
            node.unsynced.push(done);
        }
        allowed
    }
}

impl ReadAt for DiskFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let world = self.disk.0.lock().unwrap();
        world.nodes[self.node].live.as_slice().read_at(buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.0.lock().unwrap().nodes[self.node].live.len() as u64)
    }
}

impl LogFile for DiskFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        // A write that fails may have done half.
        let half = Unsynced::Write(offset, bytes[..bytes.len() / 2].to_vec());
        self.change(Unsynced::Write(offset, bytes.to_vec()), Some(half))
    }

    fn reserve(&self, _: u64, to: u64) -> io::Result<()> {
        // Small steps, so that they are many.
        self.change(Unsynced::Resize(usize::try_from(to).unwrap()), None)
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.change(Unsynced::Resize(usize::try_from(size).unwrap()), None)
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.disk.0.lock().unwrap();
        let allowed = world.operation();
        if world.is_off() {
            return allowed;
        }
        let spoils = world.failure.is_some_and(|failure| failure.spoils);
        let node = &mut world.nodes[self.node];
        let Node { durable, unsynced, .. } = node;
        for change in unsynced.drain(..) {
            match change {
                change if allowed.is_ok() => change.apply(durable),
                // The pages are clean for the system from now on, and the disk has none of them.
                Unsynced::Resize(_) => change.apply(durable),
                Unsynced::Write(offset, _) if spoils => {
                    let end = durable.len().min(offset);
                    durable[(offset / BLOCK * BLOCK).min(end)..end].fill(0);
                }
                Unsynced::Write(..) => {}
            }
        }
        allowed
    }
}

impl Directory for Disk {
    type File = DiskFile;

    fn open(&self) -> io::Result<DiskFile> {
        let node = *self.0.lock().unwrap().names.get(&Name::Journal).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.file(node))
    }

    fn create_new(&self) -> io::Result<DiskFile> {
        let mut world = self.0.lock().unwrap();
        world.operation()?;
        let node = world.nodes.len();
        world.nodes.push(Node::default());
        let before = world.names.clone();
        world.names_before.push(before);
        world.names.insert(Name::New, node);
        drop(world);
        Ok(self.file(node))
    }

    fn rename_new(&self) -> io::Result<()> {
        let mut world = self.0.lock().unwrap();
        let allowed = world.operation();
        if allowed.is_ok() || world.is_last() {
            let before = world.names.clone();
            let node = world.names.remove(&Name::New).ok_or(io::ErrorKind::NotFound)?;
            world.names.insert(Name::Journal, node);
            world.names_before.push(before);
        }
        allowed
    }

    fn remove_new(&self) -> io::Result<()> {
        let mut world = self.0.lock().unwrap();
        world.operation()?;
        let before = world.names.clone();
        world.names.remove(&Name::New);
        world.names_before.push(before);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.0.lock().unwrap();
        world.operation()?;
        world.names_before.clear();
        Ok(())
    }
}
