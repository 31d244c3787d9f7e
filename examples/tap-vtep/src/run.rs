//! `tap-vtep run`: makes what the configuration says, serves it until it is told to end, and takes it away again.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, UdpSocket},
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::{io::Errno, net::netdevice::name_to_index};
use thiserror::Error;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};
use tracing::{info, warn};
use vtep::{ControlError, Endpoint, EndpointOptions, SegmentId};

use crate::{
    cli::RunOptions,
    config::{Config, ConfigError},
    control::Listener,
    netlink::Netlink,
    plan::{Plan, PlanError, PlannedSegment},
    state::{Segment, State},
    tap::Tap,
    underlay::{Receiver, SenderPool, Underlay},
    worker::{Command, Event, Remote, Work, Worker},
};

/// How often time passes for the endpoint, and devices are looked at.
const TICK: Duration = Duration::from_millis(250);
/// How long a TAP may be away before it is gone for good.
const TAP_WAIT: Duration = Duration::from_secs(5);

/// Why the endpoint did not start, or ended before it was told to.
#[derive(Debug, Error)]
pub(crate) enum RunError {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Plan(#[from] PlanError),
    #[error("control socket {path}: {error}")]
    Control { path: String, error: io::Error },
    #[error("segment {segment}: TAP {tap}: {reason}")]
    Tap { segment: String, tap: String, reason: TapProblem },
    #[error("segment {segment}: {error}")]
    Segment { segment: String, error: ControlError },
    #[error("cannot listen on {address} port {port}: {reason}")]
    Listen { address: IpAddr, port: u16, reason: String },
    #[error("cannot open a sending socket on {address}: {error}")]
    Send { address: IpAddr, error: io::Error },
    #[error("segment {segment}: TAP {tap} is gone: it was deleted, and has not come back within {} s", TAP_WAIT.as_secs())]
    TapGone { segment: String, tap: String },
    #[error("{0}")]
    System(#[from] io::Error),
}

/// What went wrong with a TAP, and what helps.
#[derive(Debug, Error)]
pub(crate) enum TapProblem {
    #[error("there is no /dev/net/tun: the kernel has no TUN/TAP support, or the device node is missing")]
    NoDevice,
    #[error("no permission: CAP_NET_ADMIN is needed, and the right to open /dev/net/tun")]
    NoPermission,
    #[error("an interface of this name exists and is no TAP")]
    NoTap,
    #[error("another program holds it")]
    Busy,
    #[error("cannot set its {what}: {error}")]
    Set { what: &'static str, error: io::Error },
    #[error("{0}")]
    Other(io::Error),
}

impl From<io::Error> for TapProblem {
    fn from(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NODEV | Errno::NXIO) => Self::NoDevice,
            Some(Errno::ACCESS | Errno::PERM) => Self::NoPermission,
            Some(Errno::INVAL) => Self::NoTap,
            Some(Errno::BUSY) => Self::Busy,
            _ => Self::Other(error),
        }
    }
}

/// The configuration that the options give or name.
pub(crate) fn read_config(options: &RunOptions) -> Result<Config, ConfigError> {
    match &options.config {
        Some(file) => Config::read(file),
        None => Config::from_options(options),
    }
}

/// Runs until SIGTERM or SIGINT.
pub(crate) fn run(options: &RunOptions) -> Result<(), RunError> {
    let config = read_config(options)?;
    let netlink = Netlink::open()?;
    let plan = Plan::new(config, &netlink)?;
    let path = &options.control.path;
    let listener =
        Listener::bind(path).map_err(|error| RunError::Control { path: path.display().to_string(), error })?;
    let mut running = Running::start(plan, &netlink)?;
    // The facade has a runtime of its own; a second one cannot start inside it, nor it inside this one.
    drop(netlink);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(running.serve(&listener));
    running.stop();
    for line in running.state.summary() {
        info!("{line}");
    }
    result
}

/// An endpoint that is served.
struct Running {
    state: Arc<State>,
    /// By segment id. A second holder of the worker's files: it asks them for their MAC.
    taps: BTreeMap<SegmentId, Tap>,
    sockets: Sockets,
    worker: Remote,
    thread: Option<JoinHandle<()>>,
    events: UnboundedReceiver<Event>,
    /// TAPs that are away, and since when.
    away: BTreeMap<SegmentId, Instant>,
    watch: InterfaceWatch,
}

impl Running {
    /// Makes everything. On an error what was made goes with the files that hold it.
    fn start(plan: Plan, netlink: &Netlink) -> Result<Self, RunError> {
        let origin = Instant::now();
        let mut secret = [0; 16];
        getrandom::fill(&mut secret).map_err(io::Error::other)?;
        let endpoint = Endpoint::new(EndpointOptions::new(secret));
        let mut segments = Vec::with_capacity(plan.segments.len());
        for planned in plan.segments {
            let id = add_segment(&endpoint, &planned, origin)
                .map_err(|error| RunError::Segment { segment: planned.options.name.clone(), error })?;
            segments.push(Segment { id, plan: planned });
        }

        let mut taps = BTreeMap::new();
        for segment in &segments {
            let options = &segment.plan.options;
            let opened = open_tap(&segment.plan, netlink).and_then(|tap| {
                // It has no carrier before it is up, and may still get another MAC.
                endpoint.set_mac(segment.id, tap.mac()?).map_err(|error| TapProblem::Other(io::Error::other(error)))?;
                Ok(tap)
            });
            let tap = opened.map_err(|reason| RunError::Tap {
                segment: options.name.clone(),
                tap: options.tap.clone(),
                reason,
            })?;
            taps.insert(segment.id, tap);
        }

        let sockets = Sockets::open(&plan.underlay, &segments)?;
        let lane = endpoint.lane().ok_or_else(|| io::Error::other("no data lane is free"))?;
        let (sender, events) = unbounded_channel();
        let mut ports = Vec::with_capacity(segments.len());
        for segment in &segments {
            let pool = sockets.pool_of(&segment.plan);
            ports.push((segment.id, taps[&segment.id].try_clone()?, pool));
        }
        let worker = Worker::new(Work {
            lane,
            underlay: plan.underlay.clone(),
            taps: ports,
            pools: Arc::clone(&sockets.pools),
            receivers: Arc::clone(&sockets.receivers),
            origin,
            events: sender,
        })
        .map_err(io::Error::from)?;
        let remote = worker.remote();
        let thread = thread::Builder::new().name("worker-0".to_owned()).spawn(move || worker.run())?;
        let watch = InterfaceWatch::new(plan.underlay_interface)?;
        let state = State { endpoint, underlay: plan.underlay, underlay_mtu: plan.underlay_mtu, segments, origin };
        Ok(Self {
            state: Arc::new(state),
            taps,
            sockets,
            worker: remote,
            thread: Some(thread),
            events,
            away: BTreeMap::new(),
            watch,
        })
    }

    async fn serve(&mut self, listener: &Listener) -> Result<(), RunError> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let answers = listener.serve(Arc::clone(&self.state));
        tokio::pin!(answers);
        self.say_ready();
        let result = loop {
            tokio::select! {
                error = &mut answers => break error.map_err(RunError::System),
                _ = terminate.recv() => break Ok(()),
                _ = interrupt.recv() => break Ok(()),
                _ = hangup.recv() => warn!("SIGHUP: reading the configuration again is not supported yet; nothing changed"),
                Some(event) = self.events.recv() => self.handle(&event),
                _ = tick.tick() => {
                    self.state.endpoint.handle_timeout(self.state.now());
                    self.follow_macs();
                    self.follow_underlay();
                    if let Err(error) = self.bring_back_taps().await {
                        break Err(error);
                    }
                }
            }
        };
        // Nobody waits for this but the service manager, if there is one.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        result
    }

    fn say_ready(&self) {
        for Segment { plan, .. } in &self.state.segments {
            let options = &plan.options;
            info!(
                segment = options.name,
                tap = options.tap,
                vni = options.rules.vni.get(),
                port = options.rules.port,
                mtu = options.rules.mtu,
                "{} segment from {}",
                options.rules.encapsulation,
                self.state.underlay.local,
            );
        }
        info!("ready");
        if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
            warn!(%error, "cannot tell the service manager that the endpoint is ready");
        }
    }

    fn handle(&mut self, event: &Event) {
        match event {
            Event::TapGone(id) => {
                self.taps.remove(id);
                if self.away.insert(*id, Instant::now()).is_none()
                    && let Some(segment) = self.segment(*id)
                {
                    warn!(
                        segment = segment.name(),
                        tap = segment.plan.options.tap,
                        "the TAP was deleted; waiting {} s for it to come back",
                        TAP_WAIT.as_secs(),
                    );
                }
            }
        }
    }

    fn segment(&self, id: SegmentId) -> Option<&Segment> {
        self.state.segments.iter().find(|segment| segment.id == id)
    }

    /// Attaches to TAPs that were away and are there again; an error when one has been away for too long.
    async fn bring_back_taps(&mut self) -> Result<(), RunError> {
        for (id, since) in self.away.clone() {
            let Some(segment) = self.segment(id).cloned() else { continue };
            let options = segment.plan.options.clone();
            if self.watch.index_of(&options.tap).is_some() {
                let plan = segment.plan.clone();
                let opened = spawn_blocking(move || -> Result<Tap, TapProblem> { open_tap(&plan, &Netlink::open()?) });
                // One that is not whole yet, or no TAP, has until the end of the wait.
                if let Ok(tap) = opened.await.map_err(io::Error::other)? {
                    info!(segment = options.name, tap = options.tap, "the TAP is back");
                    self.worker.send(Command::ReplaceTap(id, tap.try_clone()?));
                    self.taps.insert(id, tap);
                    self.away.remove(&id);
                    continue;
                }
            }
            if since.elapsed() >= TAP_WAIT {
                return Err(RunError::TapGone { segment: options.name, tap: options.tap });
            }
        }
        Ok(())
    }

    /// Takes over MAC addresses that were changed from outside.
    fn follow_macs(&self) {
        for (id, tap) in &self.taps {
            // A TAP that is just being deleted has no MAC, and is told of by the worker.
            let Ok(mac) = tap.mac() else { continue };
            if self.state.endpoint.config(*id).is_some_and(|config| config.mac != Some(mac))
                && self.state.endpoint.set_mac(*id, mac).is_ok()
                && let Some(segment) = self.segment(*id)
            {
                info!(segment = segment.name(), %mac, "the TAP's MAC address was changed");
            }
        }
    }

    /// Binds to the underlay's interface again when it has been made anew.
    fn follow_underlay(&mut self) {
        match self.watch.look() {
            Some(Change::Gone) => warn!(interface = self.watch.name, "the underlay's interface is gone"),
            Some(Change::New(index)) => {
                self.state.underlay.interface.store(index, Ordering::Relaxed);
                match self.sockets.rebind(&self.state.underlay) {
                    Ok(()) => info!(interface = self.watch.name, "the underlay's interface is back"),
                    Err(error) => {
                        // Its address is not there yet, say: again at the next look.
                        self.watch.forget();
                        warn!(interface = self.watch.name, %error, "cannot use the underlay's interface yet");
                    }
                }
            }
            None => {}
        }
    }

    /// Ends the worker. TAPs that we made go when the last file closes.
    fn stop(&mut self) {
        self.worker.send(Command::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            warn!("the worker had panicked");
        }
        self.taps.clear();
    }
}

/// The segment with its flood list and static rows.
fn add_segment(endpoint: &Endpoint, planned: &PlannedSegment, origin: Instant) -> Result<SegmentId, ControlError> {
    let options = &planned.options;
    let id = endpoint.add_segment(options.rules.clone())?;
    for remote in &options.flood {
        endpoint.add_flood(id, *remote)?;
    }
    for (mac, remote) in &options.forwards {
        endpoint.add_forward(id, *mac, *remote, origin.elapsed())?;
    }
    for (ip, mac) in &options.neighbors {
        endpoint.add_neighbor(id, *ip, *mac)?;
    }
    Ok(id)
}

/// Makes the TAP or attaches to it, and sets what is not as it should be.
fn open_tap(planned: &PlannedSegment, netlink: &Netlink) -> Result<Tap, TapProblem> {
    let options = &planned.options;
    let tap = Tap::open(&options.tap)?;
    let set = |what| move |error| TapProblem::Set { what, error };
    let link = netlink.link(&options.tap)?.ok_or(Errno::NODEV).map_err(|error| TapProblem::Other(error.into()))?;
    if link.mtu != u32::from(options.rules.mtu) {
        netlink.set_mtu(link.index, options.rules.mtu.into()).map_err(set("MTU"))?;
    }
    if let Some(mac) = options.rules.mac
        && link.mac != Some(mac)
    {
        netlink.set_mac(link.index, mac).map_err(set("MAC address"))?;
    }
    if !link.up {
        netlink.set_up(link.index).map_err(set("state"))?;
    }
    for address in &options.addresses {
        netlink.add_address(link.index, *address).map_err(set("addresses"))?;
    }
    Ok(tap)
}

/// All sockets on the underlay.
struct Sockets {
    pools: Arc<[SenderPool]>,
    receivers: Arc<[Receiver]>,
}

impl Sockets {
    /// One receiving socket for each port, one for each group and port, and one pool for each kind of sending.
    fn open(underlay: &Underlay, segments: &[Segment]) -> Result<Self, RunError> {
        let mut receivers: Vec<Receiver> = Vec::new();
        let mut pools: Vec<SenderPool> = Vec::new();
        for Segment { plan, .. } in segments {
            let port = plan.options.rules.port;
            let groups = plan.options.flood.iter().filter(|address| address.is_multicast()).map(|group| Some(*group));
            for group in std::iter::once(None).chain(groups) {
                if receivers.iter().any(|receiver| (receiver.port, receiver.group) == (port, group)) {
                    continue;
                }
                let socket = match group {
                    None => underlay.receiver(port),
                    Some(group) => underlay.group_receiver(group, port),
                };
                let socket = socket.map_err(|error| RunError::Listen {
                    address: group.unwrap_or(underlay.local),
                    port,
                    reason: match Errno::from_io_error(&error) {
                        Some(Errno::ADDRINUSE) => "a kernel tunnel device or another program has it".to_owned(),
                        _ => error.to_string(),
                    },
                })?;
                receivers.push(Receiver { socket, port, group });
            }
            let options = plan.send_options();
            if !pools.iter().any(|pool| pool.options == options) {
                let address = underlay.local;
                pools.push(SenderPool::open(underlay, options).map_err(|error| RunError::Send { address, error })?);
            }
        }
        Ok(Self { pools: pools.into(), receivers: receivers.into() })
    }

    fn pool_of(&self, planned: &PlannedSegment) -> usize {
        let options = planned.send_options();
        self.pools.iter().position(|pool| pool.options == options).unwrap_or(0)
    }

    fn rebind(&self, underlay: &Underlay) -> io::Result<()> {
        for socket in self.pools.iter().flat_map(|pool| &pool.sockets) {
            underlay.rebind(socket)?;
        }
        for receiver in &*self.receivers {
            underlay.rebind(&receiver.socket)?;
            if let Some(group) = receiver.group {
                underlay.join(&receiver.socket, group)?;
            }
        }
        Ok(())
    }
}

/// Watches for an interface that goes and comes back as a new one of the same name.
struct InterfaceWatch {
    name: String,
    /// Any socket can be asked for interfaces.
    socket: UdpSocket,
    index: Option<u32>,
    /// The last index that sockets were bound to.
    bound: Option<u32>,
}

enum Change {
    Gone,
    New(u32),
}

impl InterfaceWatch {
    fn new(name: String) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let index = name_to_index(&socket, &name).ok();
        Ok(Self { name, socket, index, bound: index })
    }

    fn index_of(&self, name: &str) -> Option<u32> {
        name_to_index(&self.socket, name).ok()
    }

    /// What has happened since the last look.
    fn look(&mut self) -> Option<Change> {
        let index = self.index_of(&self.name);
        let was_there = std::mem::replace(&mut self.index, index).is_some();
        match index {
            None => was_there.then_some(Change::Gone),
            Some(index) if self.bound == Some(index) => None,
            Some(index) => {
                self.bound = Some(index);
                Some(Change::New(index))
            }
        }
    }

    /// The sockets are not bound to it after all.
    fn forget(&mut self) {
        self.bound = None;
    }
}
