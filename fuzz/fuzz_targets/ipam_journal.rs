//! The bytes of a journal: any, records with right checksums and any payload, and a good journal that was cut or in which a few
//! bits flipped. What opens is what was once there.

#![no_main]

use std::{collections::BTreeMap, fmt, fs, sync::LazyLock};

use arbitrary::Arbitrary;
use ipam::{
    Event, Journaled,
    journal::{Journal, JournalOptions, replay},
};
use libfuzzer_sys::fuzz_target;

/// Who has which number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Leases(BTreeMap<u16, u8>);

impl Journaled for Leases {
    type Change = (u16, Option<u8>);
    type Error = fmt::Error;

    fn empty() -> Self {
        Self::default()
    }

    fn apply(&mut self, &(number, owner): &Self::Change) -> Result<(), fmt::Error> {
        let before = match owner {
            Some(owner) => self.0.insert(number, owner),
            None => self.0.remove(&number),
        };
        // A number is given when nobody has it, and taken back from whoever has it.
        if before.is_some() == owner.is_some() { Err(fmt::Error) } else { Ok(()) }
    }

    fn changes(&self) -> impl Iterator<Item = Self::Change> + '_ {
        self.0.iter().map(|(&number, &owner)| (number, Some(owner)))
    }

    fn event(_: &Self::Change) -> Option<Event> {
        None
    }
}

#[derive(Arbitrary, Debug)]
enum Input {
    Bytes(Vec<u8>),
    /// Payloads of records.
    Payloads(Vec<Vec<u8>>),
    /// A good journal up to some byte, with zeros behind it.
    Cut {
        at: u16,
        zeros: u8,
    },
    /// A good journal with other bits: fewer than its checksums are sure to see.
    Flipped([Option<u16>; 3]),
}

/// A good journal, and the state after each of its changes.
static GOOD: LazyLock<(Vec<u8>, Vec<Leases>)> = LazyLock::new(|| good().expect("a journal can be made"));

fn good() -> Result<(Vec<u8>, Vec<Leases>), Box<dyn std::error::Error>> {
    let path = std::env::temp_dir().join(format!("ipam-journal-{}", std::process::id()));
    let mut state = Leases([(1, 1), (2, 1), (300, 2)].into());
    let mut states = vec![state.clone()];
    let journal = Journal::create(&path, state.clone(), JournalOptions::default())?;
    for at in 0..24_u16 {
        let change = (at / 2 * 100 + 7, (at % 2 == 0 || at % 5 == 0).then_some(3));
        if state.clone().apply(&change).is_err() {
            continue;
        }
        journal.change(|leases: &mut Leases| leases.apply(&change).map(|()| ((), [change])))?;
        state.apply(&change)?;
        states.push(state.clone());
    }
    drop(journal);
    let bytes = fs::read(&path)?;
    fs::remove_file(path)?;
    Ok((bytes, states))
}

/// A file of these records, as the journal writes it.
fn file(payloads: &[Vec<u8>]) -> Vec<u8> {
    let crc = |parts: &[&[u8]]| {
        let mut hasher = crc32fast::Hasher::new();
        parts.iter().for_each(|part| hasher.update(part));
        hasher.finalize().to_le_bytes()
    };
    let mut file = b"\x89IPAMJ\r\n\x01\0\0\0\0\0\0\0".to_vec();
    file.extend(crc(&[&file]));
    for payload in payloads.iter().filter(|payload| !payload.is_empty()) {
        let (offset, len) = ((file.len() as u64).to_le_bytes(), (payload.len() as u32).to_le_bytes());
        let sum = crc(&[payload]);
        file.extend(len);
        file.extend(crc(&[&offset, &len, &sum]));
        file.extend(sum);
        file.extend(payload);
        file.push(0xa5);
    }
    file
}

/// What opens is the same without what was left out at its end.
fn is_whole(bytes: &[u8]) {
    let Ok(replayed) = replay::<Leases>(bytes) else { return };
    let whole = &bytes[..usize::try_from(replayed.end).expect("within the bytes")];
    let again = replay::<Leases>(whole).expect("the whole records");
    assert_eq!((again.state, again.end, again.torn), (replayed.state, replayed.end, None));
    assert!(again.compacted <= again.end);
}

fuzz_target!(|input: Input| {
    let (good, states) = &*GOOD;
    match input {
        Input::Bytes(bytes) => is_whole(&bytes),
        Input::Payloads(payloads) => is_whole(&file(&payloads)),
        Input::Cut { at, zeros } => {
            let mut bytes = good[..usize::from(at).min(good.len())].to_vec();
            bytes.resize(bytes.len() + usize::from(zeros), 0);
            if let Ok(replayed) = replay::<Leases>(&bytes) {
                assert!(states.contains(&replayed.state));
                assert!(replayed.end <= bytes.len() as u64);
            }
            is_whole(&bytes);
        }
        Input::Flipped(bits) => {
            let mut bytes = good.clone();
            for bit in bits.into_iter().flatten().map(usize::from) {
                let len = bytes.len();
                bytes[bit / 8 % len] ^= 1 << (bit % 8);
            }
            match replay::<Leases>(&bytes) {
                Ok(replayed) if bytes == *good => {
                    assert_eq!((Some(&replayed.state), replayed.torn), (states.last(), None))
                }
                Ok(replayed) => assert!(states.contains(&replayed.state)),
                Err(_) => assert_ne!(bytes, *good),
            }
            is_whole(&bytes);
        }
    }
});
