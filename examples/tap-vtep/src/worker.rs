//! The loop: frames from TAPs into tunnels, datagrams from tunnels into TAPs. No allocation, no lock, no waiting for one
//! peer's sake.

use std::{
    collections::BTreeMap,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use tokio::sync::{mpsc::UnboundedSender, oneshot};
use tracing::warn;
use vtep::{DataLane, SegmentId};

use crate::{
    capture::Recorder,
    complaints::Complaints,
    delivering::Destination,
    health::Pulse,
    inbound::Inbound,
    lone_frames::LoneFrames,
    outbound::{Outbound, Source, TapGone, Way},
    tap::Tap,
    trunk::Mapping,
    underlay::{Receiver, SenderPool},
};

const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

const WAKE: u64 = u64::MAX;
const FIRST_RECEIVER: u64 = 1 << 32;

/// What the worker tells the control thread.
#[derive(Debug)]
pub(crate) enum Event {
    /// The TAP's file is dead: its interface was deleted.
    TapGone(SegmentId),
}

/// What the control thread tells the worker.
pub(crate) enum Command {
    /// Serve one more segment, of this name.
    AddSegment(SegmentId, Arc<str>, Tap, Arc<SenderPool>),
    /// Serve it no more, and say when that is so.
    RemoveSegment(SegmentId, oneshot::Sender<()>),
    /// The segment has a TAP again.
    ReplaceTap(SegmentId, Tap),
    /// Serve one more socket.
    AddReceiver(Arc<Receiver>),
    /// Serve it no more, and say when the worker has let go of it.
    RemoveReceiver(Arc<Receiver>, oneshot::Sender<()>),
    /// Record what goes out and what comes in; or record no more. And say when that is so.
    Record(Option<Box<[Recorder; 2]>>, oneshot::Sender<()>),
    Stop,
}

/// The control thread's hold on a worker.
#[derive(Clone)]
pub(crate) struct Remote {
    commands: Arc<Mutex<Vec<Command>>>,
    wake: Arc<OwnedFd>,
    pub(crate) pulse: Arc<Pulse>,
}

impl Remote {
    pub(crate) fn send(&self, command: Command) {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).push(command);
        self.wake();
    }

    /// Asks the worker whether it turns.
    pub(crate) fn ask(&self, now: Duration) {
        if self.pulse.ask(now) {
            self.wake();
        }
    }

    fn wake(&self) {
        // It can fail only when 2⁶⁴ commands wait.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

/// A segment as the worker serves it.
struct Port {
    segment: SegmentId,
    name: Arc<str>,
    /// `None` while the TAP is away.
    tap: Option<Tap>,
    /// Who sends for it.
    pool: Arc<SenderPool>,
}

impl Port {
    /// How its frames go out; `None` while the TAP is away.
    fn way<'a>(&'a self, lane: &'a DataLane, now: Duration) -> Option<Way<'a>> {
        let Self { segment, name, tap, pool } = self;
        Some(Way { lane, segment: *segment, name, pool, now, tap: tap.as_ref()? })
    }
}

/// How many workers there are, and how they wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WorkerOptions {
    /// How many, each with a queue of each TAP and a receiving socket for each port.
    pub(crate) count: usize,
    /// How long they look for work before they sleep.
    pub(crate) busy_poll: Duration,
    /// Whether they write frames by `io_uring`; `None`: where the kernel has it.
    pub(crate) io_uring: Option<bool>,
}

/// What a worker serves.
pub(crate) struct Work {
    pub(crate) lane: DataLane,
    /// Where `now` counts from.
    pub(crate) origin: Instant,
    pub(crate) events: UnboundedSender<Event>,
    /// How frames that merge with no other get into TAPs.
    pub(crate) lone_frames: LoneFrames,
    pub(crate) options: WorkerOptions,
}

/// One thread's whole state.
pub(crate) struct Worker {
    lane: DataLane,
    /// By segment id.
    ports: Vec<Option<Port>>,
    /// By name: the place of the segment that has each VLAN.
    trunks: BTreeMap<Arc<str>, BTreeMap<u16, usize>>,
    /// A place is free again when its socket is served no more.
    receivers: Vec<Option<Arc<Receiver>>>,
    origin: Instant,
    events: UnboundedSender<Event>,
    options: WorkerOptions,
    epoll: OwnedFd,
    remote: Remote,
    outbound: Outbound,
    inbound: Inbound,
    complaints: Complaints,
}

impl Worker {
    pub(crate) fn new(work: Work) -> rustix::io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &wake, epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN)?;
        Ok(Self {
            lane: work.lane,
            ports: Vec::new(),
            trunks: BTreeMap::new(),
            receivers: Vec::new(),
            origin: work.origin,
            events: work.events,
            options: work.options,
            epoll,
            remote: Remote { commands: Arc::default(), wake: Arc::new(wake), pulse: Arc::default() },
            outbound: Outbound::new(),
            inbound: Inbound::new(work.lone_frames),
            complaints: Complaints::default(),
        })
    }

    pub(crate) fn remote(&self) -> Remote {
        self.remote.clone()
    }

    /// Works until it is told to stop.
    pub(crate) fn run(mut self) {
        while self.turn(None) {}
    }

    /// Waits for something to do, and does one batch of each kind that is there. `false` when told to stop.
    fn turn(&mut self, timeout: Option<&Timespec>) -> bool {
        let mut ready = [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 32];
        let count = self.wait(&mut ready, timeout);
        self.lane.refresh();
        for event in &ready[..count] {
            match event.data.u64() {
                WAKE => {
                    if !self.obey() {
                        return false;
                    }
                    // A segment that was just added may have the number of one that this lane still sees.
                    self.lane.refresh();
                }
                receiver if receiver >= FIRST_RECEIVER => self.serve_receiver((receiver - FIRST_RECEIVER) as usize),
                port => self.serve_tap(port as usize),
            }
        }
        true
    }

    /// Waits until there is something to do: how many events.
    fn wait(&self, ready: &mut [epoll::Event], timeout: Option<&Timespec>) -> usize {
        if !self.options.busy_poll.is_zero() {
            let start = Instant::now();
            loop {
                let count = epoll::wait(&self.epoll, &mut *ready, Some(&AT_ONCE)).unwrap_or(0);
                if count > 0 {
                    return count;
                }
                if start.elapsed() >= self.options.busy_poll {
                    break;
                }
                // Whoever has the same core goes first.
                thread::yield_now();
            }
        }
        // It can be interrupted; nothing else can happen to an epoll that is ours.
        epoll::wait(&self.epoll, ready, timeout).unwrap_or(0)
    }

    fn obey(&mut self) -> bool {
        // The count of waiting commands is of no interest, and neither is that it is zero already.
        let _ = rustix::io::read(&self.remote.wake, &mut [0; 8]);
        self.remote.pulse.answer();
        let commands = std::mem::take(&mut *self.remote.commands.lock().unwrap_or_else(PoisonError::into_inner));
        for command in commands {
            match command {
                Command::Stop => return false,
                Command::AddSegment(segment, name, tap, pool) => self.add_segment(segment, name, tap, pool),
                Command::RemoveSegment(segment, done) => {
                    self.remove_segment(segment);
                    // Whoever asked may have gone.
                    let _ = done.send(());
                }
                Command::ReplaceTap(segment, tap) => self.replace_tap(segment, tap),
                Command::AddReceiver(receiver) => self.add_receiver(receiver),
                Command::RemoveReceiver(receiver, done) => {
                    self.remove_receiver(&receiver);
                    drop(receiver);
                    let _ = done.send(());
                }
                Command::Record(recorders, done) => {
                    (self.outbound.recorder, self.inbound.recorder) = match recorders {
                        Some(recorders) => {
                            let [outbound, inbound] = *recorders;
                            (Some(Box::new(outbound)), Some(Box::new(inbound)))
                        }
                        None => (None, None),
                    };
                    let _ = done.send(());
                }
            }
        }
        true
    }

    fn port(&mut self, segment: SegmentId) -> Option<&mut Port> {
        self.ports.get_mut(segment.get() as usize)?.as_mut()
    }

    fn add_segment(&mut self, segment: SegmentId, name: Arc<str>, tap: Tap, pool: Arc<SenderPool>) {
        let place = segment.get() as usize;
        if self.ports.len() <= place {
            self.ports.resize_with(place + 1, || None);
        }
        self.ports[place] = Some(Port { segment, name, tap: None, pool });
        self.replace_tap(segment, tap);
    }

    fn remove_segment(&mut self, segment: SegmentId) {
        if let Some(port) = self.ports.get_mut(segment.get() as usize).and_then(Option::take)
            && let Some(tap) = port.tap
        {
            // The control thread may hold the same file, and then closing ours would leave it in the set.
            let _ = epoll::delete(&self.epoll, &tap);
            if let Some(Mapping { trunk, vlan }) = tap.mapping
                && let Some(places) = self.trunks.get_mut(&trunk)
            {
                places.remove(&vlan);
                self.choose_reader(&trunk);
            }
        }
    }

    /// Of the segments on a trunk, one is woken for what it brings, and serves them all.
    fn choose_reader(&self, trunk: &str) {
        let places = self.trunks.get(trunk).into_iter().flat_map(BTreeMap::values);
        let mut reader = false;
        for place in places {
            let Some(Some(Port { segment, tap: Some(tap), .. })) = self.ports.get(*place) else { continue };
            let reads = tap.reads && !reader;
            reader |= reads;
            let _ = epoll::modify(&self.epoll, tap, epoll::EventData::new_u64(segment.get().into()), wanted(reads));
        }
    }

    fn replace_tap(&mut self, segment: SegmentId, tap: Tap) {
        let data = epoll::EventData::new_u64(segment.get().into());
        let added = epoll::add(&self.epoll, &tap, data, wanted(tap.reads));
        let Some(port) = self.port(segment) else { return };
        let mapping = tap.mapping.clone();
        port.tap = Some(tap);
        if let Some(Mapping { trunk, vlan }) = mapping {
            self.trunks.entry(Arc::clone(&trunk)).or_default().insert(vlan, segment.get() as usize);
            self.choose_reader(&trunk);
        }
        if added.is_err() {
            self.tap_gone(segment);
        }
    }

    fn tap_gone(&mut self, segment: SegmentId) {
        let Some(Port { tap: Some(tap), .. }) = self.port(segment) else { return };
        // Of a trunk only the reader hears that it has died.
        let trunk = tap.mapping.as_ref().map(|mapping| Arc::clone(&mapping.trunk));
        let places = match trunk.and_then(|trunk| self.trunks.remove(&trunk)) {
            Some(places) => places.into_values().collect(),
            None => vec![segment.get() as usize],
        };
        for place in places {
            let Some(Some(port)) = self.ports.get_mut(place) else { continue };
            if let Some(tap) = port.tap.take() {
                let _ = epoll::delete(&self.epoll, &tap);
            }
            // Nobody listens any more only while everything ends.
            let _ = self.events.send(Event::TapGone(port.segment));
        }
    }

    fn add_receiver(&mut self, receiver: Arc<Receiver>) {
        let place = self.receivers.iter().position(Option::is_none).unwrap_or(self.receivers.len());
        let data = epoll::EventData::new_u64(FIRST_RECEIVER + place as u64);
        if let Err(error) = epoll::add(&self.epoll, &receiver, data, epoll::EventFlags::IN) {
            warn!(%error, port = receiver.port, "cannot wait for datagrams");
            return;
        }
        if place == self.receivers.len() {
            self.receivers.push(None);
        }
        self.receivers[place] = Some(receiver);
    }

    fn remove_receiver(&mut self, receiver: &Arc<Receiver>) {
        for place in &mut self.receivers {
            if place.as_ref().is_some_and(|other| Arc::ptr_eq(other, receiver)) {
                let _ = epoll::delete(&self.epoll, receiver);
                *place = None;
            }
        }
    }

    /// One batch of frames from a TAP.
    fn serve_tap(&mut self, place: usize) {
        // It may have been removed since the wait.
        let Some(Some(port)) = self.ports.get(place) else { return };
        let Port { segment, tap: Some(tap), .. } = port else { return };
        let segment = *segment;
        let (lane, now) = (&self.lane, self.origin.elapsed());
        let result = match &tap.mapping {
            None => match port.way(lane, now) {
                Some(way) => self.outbound.serve(tap, Source::Segment(way), &mut self.complaints),
                None => Ok(()),
            },
            Some(mapping) => {
                let places = self.trunks.get(&mapping.trunk);
                let way_of = |vlan| self.ports.get(*places?.get(&vlan)?)?.as_ref()?.way(lane, now);
                self.outbound.serve(tap, Source::Trunk(lane, now, &way_of), &mut self.complaints)
            }
        };
        if result == Err(TapGone) {
            self.tap_gone(segment);
        }
    }

    /// One batch of datagrams from a socket.
    fn serve_receiver(&mut self, index: usize) {
        let Some(Some(receiver)) = self.receivers.get(index) else { return };
        let (lane, ports) = (&self.lane, &self.ports);
        let destination = |place: u32| {
            let port = ports.get(place as usize)?.as_ref()?;
            Some(Destination { segment: port.segment, name: &port.name, tap: port.tap.as_ref() })
        };
        let mut gone = None;
        let now = self.origin.elapsed();
        self.inbound.serve(receiver, lane, destination, now, &mut self.complaints, &mut gone);
        if let Some(segment) = gone {
            self.tap_gone(segment);
        }
    }
}

/// That a TAP has died is said in any case.
const fn wanted(reads: bool) -> epoll::EventFlags {
    if reads { epoll::EventFlags::IN } else { epoll::EventFlags::empty() }
}

#[cfg(test)]
mod tests;
