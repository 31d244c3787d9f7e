//! The running endpoint's end of a capture: what the workers recorded goes to whoever asked.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rtrb::Consumer;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    sync::oneshot,
    time::sleep,
};

use super::{
    record::{Direction, Head},
    recorder::{Only, Plan, Recorder},
};
use crate::{
    STATUS_FAILED,
    control::Response,
    state::{Segment, State},
    worker::Command,
};

/// How long nothing is looked for where nothing was.
const PAUSE: Duration = Duration::from_millis(10);
/// What is handed on at once.
const CHUNK: usize = 256 << 10;

/// What somebody wants to see.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// One segment; else all.
    pub(super) segment: Option<String>,
    pub(super) inner: bool,
    pub(super) outer: bool,
    pub(super) snaplen: u32,
}

/// A capture that runs. It ends when this goes.
pub(crate) struct Source {
    state: Arc<State>,
    plan: Arc<Plan>,
    segments: Vec<Segment>,
    rings: Vec<Consumer<u8>>,
}

impl Source {
    /// Has the workers record; and the interfaces, for the client.
    pub(crate) async fn start(state: &Arc<State>, wanted: Wanted) -> Result<(Self, Value), Response> {
        let segments = state.segments();
        let mut segments: Vec<_> = segments.iter().cloned().collect();
        if let Some(name) = &wanted.segment {
            let names: Vec<_> = segments.iter().map(Segment::name).collect();
            let missing = format!("no segment is named \"{name}\"; there is {}", names.join(", "));
            segments.retain(|segment| segment.name() == name);
            if segments.is_empty() {
                return Err(Response::wrong(missing));
            }
        }
        if state.is_capturing.swap(true, Ordering::AcqRel) {
            let reason = "another capture is running: one at a time".to_owned();
            return Err(Response::Refused { status: STATUS_FAILED, reason });
        }
        let plan = plan(state, &segments, &wanted);
        let mut interfaces: Vec<_> = segments
            .iter()
            .map(|segment| json!({"name": segment.plan.options.tap, "segment": segment.name()}))
            .collect();
        interfaces.extend(plan.underlays.iter().map(|local| json!({"name": format!("underlay {local}")})));
        let mut source = Self { state: Arc::clone(state), plan: Arc::new(plan), segments, rings: Vec::new() };
        let mut started = Vec::new();
        for worker in &state.workers {
            let [(outbound, out_ring), (inbound, in_ring)] = [(); 2].map(|()| Recorder::new(Arc::clone(&source.plan)));
            source.rings.extend([out_ring, in_ring]);
            let (sender, receiver) = oneshot::channel();
            worker.send(Command::Record(Some(Box::new([outbound, inbound])), sender));
            started.push(receiver);
        }
        for started in started {
            // A worker that has ended records nothing more.
            let _ = started.await;
        }
        Ok((source, interfaces.into()))
    }

    /// Hands on what is recorded until the client wants no more, or is gone.
    pub(crate) async fn stream(mut self, mut stream: UnixStream) -> io::Result<()> {
        let (mut reading, mut writing) = stream.split();
        let (mut chunk, mut nothing) = (Vec::with_capacity(CHUNK), [0]);
        while self.is_same() {
            chunk.clear();
            self.drain(&mut chunk);
            let pause = if chunk.is_empty() { PAUSE } else { Duration::ZERO };
            writing.write_all(&chunk).await?;
            tokio::select! {
                biased;
                // It says nothing more; so it has closed its half.
                _ = reading.read(&mut nothing) => break,
                () = sleep(pause) => {}
            }
        }
        let stopped: Vec<_> = self.stop();
        for stopped in stopped {
            let _ = stopped.await;
        }
        loop {
            chunk.clear();
            self.drain(&mut chunk);
            if chunk.is_empty() {
                break;
            }
            writing.write_all(&chunk).await?;
        }
        let total = (Head::LEN + self.plan.lost.len() * size_of::<u64>()) as u32;
        let head =
            Head { total, original: 0, time: 0, interface: Head::END, direction: Direction::Inbound, comment: 0 };
        chunk.extend(head.to_bytes());
        self.plan.lost.iter().for_each(|lost| chunk.extend(lost.load(Ordering::Relaxed).to_le_bytes()));
        writing.write_all(&chunk).await?;
        writing.shutdown().await
    }

    /// Whether the segments that are recorded are still those that the client was told of: numbers are given again.
    fn is_same(&self) -> bool {
        let now = self.state.segments();
        self.segments.iter().all(|segment| {
            now.iter().any(|now| {
                (now.id, now.name(), &now.plan.options.tap) == (segment.id, segment.name(), &segment.plan.options.tap)
            })
        })
    }

    /// Appends whole records, the oldest first, until there are none or `chunk` has enough.
    fn drain(&mut self, chunk: &mut Vec<u8>) {
        while chunk.len() < CHUNK {
            let first = self.rings.iter_mut().filter_map(|ring| head(ring).map(|head| (head, ring)));
            let Some((head, ring)) = first.min_by_key(|(head, _)| head.time) else { return };
            let at = chunk.len();
            chunk.resize(at + head.total as usize, 0);
            // It was just seen to be whole.
            let _ = ring.pop_entire_slice(&mut chunk[at..]);
        }
    }

    fn stop(&self) -> Vec<oneshot::Receiver<()>> {
        let stop = |worker: &crate::worker::Remote| {
            let (sender, receiver) = oneshot::channel();
            worker.send(Command::Record(None, sender));
            receiver
        };
        self.state.workers.iter().map(stop).collect()
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        drop(self.stop());
        // Workers obey in order: the next capture begins behind this one's end.
        self.state.is_capturing.store(false, Ordering::Release);
    }
}

fn plan(state: &State, segments: &[Segment], wanted: &Wanted) -> Plan {
    let mut taps = Vec::new();
    for (interface, segment) in (0..).zip(segments) {
        let place = segment.id.get() as usize;
        if taps.len() <= place {
            taps.resize(place + 1, None);
        }
        taps[place] = Some(interface);
    }
    let only = segments.first().filter(|_| wanted.segment.is_some()).map(|segment| {
        let rules = &segment.plan.options.rules;
        Only { encapsulation: rules.encapsulation, port: rules.port, underlay: rules.underlay, vni: rules.vni.get() }
    });
    let underlays: Vec<_> = state.underlays.iter().map(|underlay| underlay.local).collect();
    Plan {
        taps,
        first_underlay: segments.len() as u32,
        only,
        inner: wanted.inner,
        outer: wanted.outer,
        snaplen: wanted.snaplen as usize,
        lost: (0..segments.len() + underlays.len()).map(|_| AtomicU64::new(0)).collect(),
        underlays,
    }
}

/// The head of the first record, where this is whole.
fn head(ring: &mut Consumer<u8>) -> Option<Head> {
    let slots = ring.slots();
    let chunk = ring.read_chunk(Head::LEN).ok()?;
    let mut bytes = [0; Head::LEN];
    let (first, second) = chunk.as_slices();
    bytes[..first.len()].copy_from_slice(first);
    bytes[first.len()..].copy_from_slice(second);
    let head = Head::from_bytes(bytes);
    (head.total as usize <= slots).then_some(head)
}
