//! The loop: frames from TAPs into tunnels, datagrams from tunnels into TAPs. No allocation, no lock, no waiting for one
//! peer's sake.

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustix::{
    event::{EventfdFlags, epoll, eventfd},
    io::Errno,
};
use tokio::sync::{mpsc::UnboundedSender, oneshot};
use tracing::warn;
use vtep::{DataLane, DropReason, Encapsulation, Received, SegmentId, TapVerdict, UnderlayVerdict};

use crate::{
    receive::ReceiveBatch,
    send::{self, Outgoing, SendBatch, drop_reason},
    tap::Tap,
    underlay::{Receiver, SenderPool, Underlay},
};

/// Frames that are read from a TAP before they are sent.
const BATCH: usize = 64;
/// The largest frame that a TAP can bring.
const FRAME: usize = 1 << 16;
/// Room before a frame for its tunnel header.
const HEADROOM: usize = 8;
/// The same complaint is not made again for this long.
const QUIET: Duration = Duration::from_secs(60);

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
    /// Serve one more segment.
    AddSegment(SegmentId, Tap, Arc<SenderPool>),
    /// Serve it no more, and say when that is so.
    RemoveSegment(SegmentId, oneshot::Sender<()>),
    /// The segment has a TAP again.
    ReplaceTap(SegmentId, Tap),
    /// Serve one more socket.
    AddReceiver(Arc<Receiver>),
    /// Serve it no more.
    RemoveReceiver(Arc<Receiver>),
    Stop,
}

/// The control thread's hold on a worker.
#[derive(Clone)]
pub(crate) struct Remote {
    commands: Arc<Mutex<Vec<Command>>>,
    wake: Arc<OwnedFd>,
}

impl Remote {
    pub(crate) fn send(&self, command: Command) {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).push(command);
        // It can fail only when 2⁶⁴ commands wait.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

/// A segment as the worker serves it.
struct Port {
    segment: SegmentId,
    /// `None` while the TAP is away.
    tap: Option<Tap>,
    /// Who sends for it.
    pool: Arc<SenderPool>,
}

/// What a worker serves.
pub(crate) struct Work {
    pub(crate) lane: DataLane,
    pub(crate) underlay: Underlay,
    /// Where `now` counts from.
    pub(crate) origin: Instant,
    pub(crate) events: UnboundedSender<Event>,
}

/// One thread's whole state.
pub(crate) struct Worker {
    lane: DataLane,
    underlay: Underlay,
    /// By segment id.
    ports: Vec<Option<Port>>,
    /// A place is free again when its socket is served no more.
    receivers: Vec<Option<Arc<Receiver>>>,
    origin: Instant,
    events: UnboundedSender<Event>,
    epoll: OwnedFd,
    remote: Remote,
    frames: Vec<u8>,
    read: Vec<Read>,
    outgoing: SendBatch,
    incoming: ReceiveBatch,
    complaints: Complaints,
}

/// One frame of a batch from a TAP.
#[derive(Clone, Copy)]
struct Read {
    length: usize,
    flooded: bool,
    was_sent: bool,
    failure: Option<DropReason>,
}

impl Worker {
    pub(crate) fn new(work: Work) -> rustix::io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &wake, epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN)?;
        Ok(Self {
            lane: work.lane,
            underlay: work.underlay,
            ports: Vec::new(),
            receivers: Vec::new(),
            origin: work.origin,
            events: work.events,
            epoll,
            remote: Remote { commands: Arc::default(), wake: Arc::new(wake) },
            frames: vec![0; BATCH * (HEADROOM + FRAME)],
            read: Vec::with_capacity(BATCH),
            outgoing: SendBatch::new(),
            incoming: ReceiveBatch::new(),
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
    fn turn(&mut self, timeout: Option<&rustix::event::Timespec>) -> bool {
        let mut ready = [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 32];
        // It can be interrupted; nothing else can happen to an epoll that is ours.
        let count = epoll::wait(&self.epoll, &mut ready, timeout).unwrap_or(0);
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

    fn obey(&mut self) -> bool {
        // The count of waiting commands is of no interest, and neither is that it is zero already.
        let _ = rustix::io::read(&self.remote.wake, &mut [0; 8]);
        let commands = std::mem::take(&mut *self.remote.commands.lock().unwrap_or_else(PoisonError::into_inner));
        for command in commands {
            match command {
                Command::Stop => return false,
                Command::AddSegment(segment, tap, pool) => self.add_segment(segment, tap, pool),
                Command::RemoveSegment(segment, done) => {
                    self.remove_segment(segment);
                    // Whoever asked may have gone.
                    let _ = done.send(());
                }
                Command::ReplaceTap(segment, tap) => self.replace_tap(segment, tap),
                Command::AddReceiver(receiver) => self.add_receiver(receiver),
                Command::RemoveReceiver(receiver) => self.remove_receiver(&receiver),
            }
        }
        true
    }

    fn port(&mut self, segment: SegmentId) -> Option<&mut Port> {
        self.ports.get_mut(segment.get() as usize)?.as_mut()
    }

    fn add_segment(&mut self, segment: SegmentId, tap: Tap, pool: Arc<SenderPool>) {
        let place = segment.get() as usize;
        if self.ports.len() <= place {
            self.ports.resize_with(place + 1, || None);
        }
        self.ports[place] = Some(Port { segment, tap: None, pool });
        self.replace_tap(segment, tap);
    }

    fn remove_segment(&mut self, segment: SegmentId) {
        if let Some(port) = self.ports.get_mut(segment.get() as usize).and_then(Option::take)
            && let Some(tap) = port.tap
        {
            // The control thread may hold the same file, and then closing ours would leave it in the set.
            let _ = epoll::delete(&self.epoll, &tap);
        }
    }

    fn replace_tap(&mut self, segment: SegmentId, tap: Tap) {
        let data = epoll::EventData::new_u64(segment.get().into());
        let added = epoll::add(&self.epoll, &tap, data, epoll::EventFlags::IN);
        let Some(port) = self.port(segment) else { return };
        port.tap = Some(tap);
        if added.is_err() {
            self.tap_gone(segment);
        }
    }

    fn tap_gone(&mut self, segment: SegmentId) {
        let Some(port) = self.port(segment) else { return };
        if let Some(tap) = port.tap.take() {
            let _ = epoll::delete(&self.epoll, &tap);
        }
        // Nobody listens any more only while everything ends.
        let _ = self.events.send(Event::TapGone(segment));
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
        let now = self.origin.elapsed();
        // It may have been removed since the wait.
        let Some(Some(Port { segment, tap: Some(tap), pool })) = self.ports.get(place) else { return };
        let segment = *segment;
        self.read.clear();
        let mut is_gone = false;
        let mut batch =
            Batch { outgoing: &mut self.outgoing, pool, lane: &self.lane, complaints: &mut self.complaints, now };
        for _ in 0..BATCH {
            let index = self.read.len();
            let slot = &mut self.frames[slot(index)];
            let length = match tap.read(&mut slot[HEADROOM..]) {
                Ok(length) => length,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => break,
                Err(_) => {
                    is_gone = true;
                    break;
                }
            };
            let (header, frame) = slot.split_at_mut(HEADROOM);
            let TapVerdict::Send(encapsulated) = self.lane.from_tap(segment, &frame[..length], now) else { continue };
            header.copy_from_slice(encapsulated.header());
            self.read.push(Read { length, flooded: encapsulated.is_flooded(), was_sent: false, failure: None });
            let socket = pool.choose(encapsulated.source_port());
            for destination in encapsulated.destinations() {
                if batch.outgoing.is_full() {
                    batch.flush(&self.frames, &mut self.read);
                }
                batch.outgoing.push(Outgoing {
                    frame: index,
                    remote: destination.remote,
                    destination: send::socket_address(
                        self.underlay.socket_address(destination.address, destination.port),
                    ),
                    socket,
                    traffic_class: encapsulated.traffic_class,
                    ttl: encapsulated.ttl,
                });
            }
        }
        batch.flush(&self.frames, &mut self.read);
        for read in &self.read {
            if read.was_sent {
                self.lane.sent(segment, read.length, read.flooded);
            } else {
                self.lane.dropped(Some(segment), read.failure.unwrap_or(DropReason::Socket));
            }
        }
        if is_gone {
            self.tap_gone(segment);
        }
    }

    /// One batch of datagrams from a socket.
    fn serve_receiver(&mut self, index: usize) {
        let Some(Some(receiver)) = self.receivers.get(index) else { return };
        // Nothing there after all, or an error of something sent earlier: the next datagram is not worse for it.
        let Ok(count) = self.incoming.receive(receiver.as_fd()) else { return };
        let now = self.origin.elapsed();
        let mut gone = None;
        for index in 0..count {
            let Some(datagram) = self.incoming.datagram(index) else { continue };
            let received = Received {
                encapsulation: Encapsulation::Vxlan,
                port: receiver.port,
                source: datagram.source,
                ecn: datagram.ecn,
            };
            let UnderlayVerdict::Deliver { segment, frame } = self.lane.from_underlay(datagram.bytes, received, now)
            else {
                continue;
            };
            let port = self.ports.get(segment.get() as usize).and_then(Option::as_ref);
            let Some(tap) = port.and_then(|port| port.tap.as_ref()) else {
                self.lane.dropped(Some(segment), DropReason::Socket);
                continue;
            };
            match deliver(tap, frame) {
                Ok(()) => self.lane.delivered(segment, frame.len()),
                Err(error) => {
                    self.lane.dropped(Some(segment), DropReason::Socket);
                    if error == Errno::BADFD {
                        gone = Some(segment);
                    } else if self.complaints.is_new(error, now) {
                        warn!(%error, "the TAP does not take frames; they are counted as drops (socket)");
                    }
                }
            }
        }
        if let Some(segment) = gone {
            self.tap_gone(segment);
        }
    }
}

/// Writes a frame, again where a signal came between.
fn deliver(tap: &Tap, frame: &[u8]) -> Result<(), Errno> {
    loop {
        match tap.write(frame) {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

/// Where a frame of the batch lies, its headroom first.
fn slot(index: usize) -> std::ops::Range<usize> {
    index * (HEADROOM + FRAME)..(index + 1) * (HEADROOM + FRAME)
}

/// What sending a batch takes.
struct Batch<'a> {
    outgoing: &'a mut SendBatch,
    pool: &'a SenderPool,
    lane: &'a DataLane,
    complaints: &'a mut Complaints,
    now: Duration,
}

impl Batch<'_> {
    /// Sends everything, and notes for each frame what became of it.
    fn flush(&mut self, frames: &[u8], read: &mut [Read]) {
        let mut lengths = [0; BATCH];
        for (length, read) in lengths.iter_mut().zip(read.iter()) {
            *length = read.length;
        }
        let payload = |index: usize| &frames[slot(index)][..HEADROOM + lengths[index]];
        self.outgoing.flush(self.pool, payload, |outgoing, outcome| match outcome {
            Ok(()) => {
                read[outgoing.frame].was_sent = true;
                self.lane.sent_to(outgoing.remote);
            }
            Err(error) => {
                let reason = drop_reason(error);
                read[outgoing.frame].failure = Some(reason);
                if self.complaints.is_new(error, self.now) {
                    let remote = outgoing.destination.as_socket().map(|destination| destination.ip().to_string());
                    warn!(%error, remote, "cannot send; such frames are counted as drops ({reason})");
                }
            }
        });
    }
}

/// When each kind of error was last spoken of, so that a fault is said once and not for every packet.
struct Complaints {
    last: [Option<Duration>; HIGHEST_ERRNO + 1],
}

/// Linux's errors are numbered up to `EHWPOISON`.
const HIGHEST_ERRNO: usize = 133;

impl Default for Complaints {
    fn default() -> Self {
        Self { last: [None; HIGHEST_ERRNO + 1] }
    }
}

impl Complaints {
    fn is_new(&mut self, error: Errno, now: Duration) -> bool {
        let errno = usize::try_from(error.raw_os_error()).unwrap_or(HIGHEST_ERRNO).min(HIGHEST_ERRNO);
        let last = &mut self.last[errno];
        let is_new = last.is_none_or(|last| now.saturating_sub(last) >= QUIET);
        if is_new {
            *last = Some(now);
        }
        is_new
    }
}

#[cfg(test)]
mod tests;
