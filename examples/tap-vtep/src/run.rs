//! `tap-vtep run`: makes what the configuration says, serves it until it is told to end, and takes it away again.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::io::Errno;
use thiserror::Error;
use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};
use tracing::{error, info, warn};
use vtep::{ControlError, Endpoint, EndpointOptions, SegmentId};

use crate::{
    apply::open_tap,
    cli::RunOptions,
    config::{Config, ConfigError, SuperFrames},
    control::Listener,
    health::Health,
    interface_watch::{Change, InterfaceWatch},
    lone_frames::LoneFrames,
    metrics,
    netlink::Netlink,
    path_mtu::PathMtus,
    path_probe::PathProbe,
    plan::{Plan, PlanError, PlannedUnderlay},
    privileges, scheduling,
    self_test::{Reason, udp_offloads},
    service_manager::ServiceManager,
    sockets::Sockets,
    state::{Segment, State},
    tap::TapQueues,
    tunnel_gso::{Forwarded, TunnelGso},
    underlay::Underlay,
    worker::{Command, Event, Remote, Work, Worker, WorkerOptions},
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
    #[error("cannot receive NVGRE on {address} (it takes CAP_NET_RAW): {reason}")]
    ListenGre { address: IpAddr, reason: String },
    #[error("metrics.listen: cannot listen on {address}: {error}")]
    Metrics { address: SocketAddr, error: io::Error },
    #[error("cannot open a sending socket on {address}: {error}")]
    Send { address: IpAddr, error: io::Error },
    #[error("segment {segment}: TAP {tap} is gone: it was deleted, and has not come back within {} s", TAP_WAIT.as_secs())]
    TapGone { segment: String, tap: String },
    #[error("underlay.local, underlay.device or underlay.super_frames is another one: that takes a restart")]
    OtherUnderlay,
    #[error("no tunnel GSO: {0}")]
    TunnelGso(String),
    #[error("cannot give up capabilities: {0}")]
    Privileges(Errno),
    #[error("workers.io_uring: this kernel has none, or keeps it from us: {0}")]
    IoUring(Errno),
    #[error("the [workers] are others: that takes a restart")]
    OtherWorkers,
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
    let config = match &options.config {
        Some(file) => Config::read(file),
        None => Config::from_options(options),
    };
    config?.with(options)
}

/// Runs until SIGTERM or SIGINT.
pub(crate) fn run(options: &RunOptions) -> Result<(), RunError> {
    let config = read_config(options)?;
    let netlink = Netlink::open()?;
    let plan = Plan::new(config, &netlink)?;
    let path = &options.control.path;
    let listener =
        Listener::bind(path).map_err(|error| RunError::Control { path: path.display().to_string(), error })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = Signals::new(&runtime)?;
    let mut running = Running::start(&plan, &netlink)?;
    let result = running.adopt(plan, &netlink).and_then(|()| {
        privileges::give_up_all_but_needed().map_err(RunError::Privileges)?;
        running.say_ready();
        loop {
            // Netlink has a runtime of its own, which cannot run inside this one: a new configuration is applied between two
            // turns.
            match runtime.block_on(running.serve(&listener, &mut signals))? {
                Ended::Stop => return Ok(()),
                Ended::Reload => running.reload(options, &netlink),
                Ended::OtherMtu => running.follow_mtus(&netlink),
            }
        }
    });
    running.stop();
    if result.is_ok() {
        for line in running.state.summary() {
            info!("{line}");
        }
    }
    result
}

/// The signals that mean something here.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new(runtime: &Runtime) -> io::Result<Self> {
        let _context = runtime.enter();
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// The helper TAP for super-frames, where that is how some go out; and why not others, where they could have.
fn open_tunnel(plan: &Plan, netlink: &Netlink) -> Result<(Option<Arc<TunnelGso>>, Vec<String>), RunError> {
    let is_forced = plan.super_frames == SuperFrames::TunnelGso;
    // One helper TAP serves one address.
    let Some(planned) =
        plan.underlays.iter().find(|planned| planned.underlay.local.is_ipv4()).or(plan.underlays.first())
    else {
        return Ok((None, Vec::new()));
    };
    let local = planned.underlay.local;
    // Routes decide which way a forwarded packet takes, whatever sockets are bound to.
    let is_bound = planned.underlay.device.is_some();
    let suits = || !is_bound && TunnelGso::suits(&planned.interface).unwrap_or(false);
    let has_gre = || plan.segments.iter().any(|segment| segment.local == local && !segment.send_options().is_udp);
    let (udp, gre) = match plan.super_frames {
        SuperFrames::Socket => (false, false),
        SuperFrames::TunnelGso => (true, has_gre()),
        SuperFrames::Auto => (suits(), local.is_ipv4() && !is_bound && has_gre()),
    };
    if !udp && !gre {
        return Ok((None, Vec::new()));
    }
    let open = || {
        if is_bound {
            return Err("underlay.device is set, and routes decide which way a forwarded packet takes".to_owned());
        }
        TunnelGso::open(netlink, local).map_err(|error| error.to_string())
    };
    let mut reasons = Vec::new();
    let tunnel = open().map(|mut tunnel| {
        let taken = [udp.then(|| tunnel.take_udp(netlink)), gre.then(|| tunnel.take_gre(netlink))];
        reasons.extend(taken.into_iter().flatten().filter_map(Result::err).map(|error| error.to_string()));
        tunnel
    });
    let tunnel = tunnel.map_err(|reason| reasons.push(reason)).ok();
    match reasons.first() {
        Some(reason) if is_forced => Err(RunError::TunnelGso(reason.clone())),
        _ => Ok((tunnel.filter(|tunnel| tunnel.takes() != (false, false)).map(Arc::new), reasons)),
    }
}

/// The underlays with what the kernel can do for them, and why not all, if so.
fn equip(plan: &Plan, tunnel: Option<&Arc<TunnelGso>>) -> (Box<[Underlay]>, Option<Reason>) {
    let mut no_offloads = None;
    // Both families have code of their own in the kernel.
    let mut tried: [Option<(bool, bool)>; 2] = [None; 2];
    let mut underlays: Box<[_]> = plan.underlays.iter().map(|planned| planned.underlay.clone()).collect();
    for underlay in &mut underlays {
        let tried = &mut tried[usize::from(underlay.local.is_ipv6())];
        (underlay.segments, underlay.merges) = *tried.get_or_insert_with(|| {
            let offloads = udp_offloads(underlay.local);
            no_offloads = no_offloads.take().or(offloads.reason);
            (offloads.segment, offloads.receive)
        });
        underlay.tunnel = tunnel.filter(|tunnel| underlay.local == tunnel.local()).cloned();
    }
    (underlays, no_offloads)
}

/// Why [`Running::serve`] came back.
enum Ended {
    Stop,
    Reload,
    /// An interface of the underlay has another MTU than before.
    OtherMtu,
}

/// An endpoint that is served.
pub(crate) struct Running {
    pub(crate) state: Arc<State>,
    /// By segment id. A second holder of the workers' files: it asks them for their MAC.
    pub(crate) taps: BTreeMap<SegmentId, TapQueues>,
    /// TAPs that are away, and since when.
    pub(crate) away: BTreeMap<SegmentId, Instant>,
    pub(crate) sockets: Sockets,
    pub(crate) workers: Vec<Remote>,
    pub(crate) options: WorkerOptions,
    pub(crate) super_frames: SuperFrames,
    /// Sends super-frames whole, where that is the way.
    tunnel: Option<Arc<TunnelGso>>,
    /// Why super-frames do not leave whole, where they could have.
    no_tunnel: Vec<String>,
    /// Why datagrams are sent or received one by one, if they are.
    no_offloads: Option<Reason>,
    metrics: metrics::Server,
    manager: ServiceManager,
    /// Why the last SIGHUP changed nothing.
    refused: Option<String>,
    threads: Vec<JoinHandle<()>>,
    events: UnboundedReceiver<Event>,
    /// One for the interface of each underlay.
    watches: Vec<InterfaceWatch>,
    forwarded: Forwarded,
    pub(crate) path_mtus: PathMtus,
}

impl Running {
    /// An endpoint and its workers, without segments.
    fn start(plan: &Plan, netlink: &Netlink) -> Result<Self, RunError> {
        let origin = Instant::now();
        let mut secret = [0; 16];
        getrandom::fill(&mut secret).map_err(io::Error::other)?;
        let options = plan.workers;
        let (tunnel, no_tunnel) = open_tunnel(plan, netlink)?;
        let (underlays, no_offloads) = equip(plan, tunnel.as_ref());
        let mut endpoint_options = EndpointOptions::new(secret);
        endpoint_options.lanes = options.count;
        let endpoint = Endpoint::new(endpoint_options);
        endpoint.set_local_addresses(&underlays.iter().map(|underlay| underlay.local).collect::<Vec<_>>());
        let (sender, events) = unbounded_channel();
        let (mut workers, mut threads) = (Vec::new(), Vec::new());
        for index in 0..options.count {
            let lane = endpoint.lane().ok_or_else(|| io::Error::other("no data lane is free"))?;
            let events = sender.clone();
            let lone_frames = LoneFrames::new(options.io_uring).map_err(RunError::IoUring)?;
            let work = Work { lane, origin, events, lone_frames, options };
            let worker = Worker::new(work).map_err(io::Error::from)?;
            workers.push(worker.remote());
            let run = move || {
                // The main thread keeps its own until segments are made, and says when it cannot give them up.
                let _ = privileges::give_up_all_but_needed();
                // Who keeps it from us has a reason; it works all the same.
                let _ = scheduling::interrupt_nobody();
                worker.run();
            };
            threads.push(thread::Builder::new().name(format!("worker-{index}")).spawn(run)?);
        }
        let watch = |planned: &PlannedUnderlay| InterfaceWatch::new(planned.interface.clone());
        let watches = plan.underlays.iter().map(watch).collect::<io::Result<_>>()?;
        Ok(Self {
            state: Arc::new(State::new(endpoint, underlays, workers.clone(), origin)),
            taps: BTreeMap::new(),
            away: BTreeMap::new(),
            sockets: Sockets::default(),
            workers,
            options,
            super_frames: plan.super_frames,
            no_tunnel,
            tunnel,
            no_offloads,
            metrics: metrics::Server::default(),
            manager: ServiceManager::from_environment(),
            refused: None,
            threads,
            events,
            watches,
            forwarded: Forwarded::default(),
            path_mtus: PathMtus::new(PathProbe::new(plan.path_mtu_probe)),
        })
    }

    async fn serve(&mut self, listener: &Listener, signals: &mut Signals) -> Result<Ended, RunError> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let answers = listener.serve(Arc::clone(&self.state));
        let scrapes = self.metrics.serve(Arc::clone(&self.state))?;
        tokio::pin!(answers, scrapes);
        loop {
            tokio::select! {
                ended = &mut answers => ended?,
                never = &mut scrapes => match never {},
                _ = signals.terminate.recv() => break,
                _ = signals.interrupt.recv() => break,
                _ = signals.hangup.recv() => return Ok(Ended::Reload),
                Some(event) = self.events.recv() => self.handle(&event),
                _ = tick.tick() => {
                    self.state.endpoint.handle_timeout(self.state.now());
                    self.follow_macs();
                    let is_other_mtu = self.follow_underlays();
                    self.path_mtus.look(&self.state);
                    self.follow_tunnel().await;
                    self.bring_back_taps().await?;
                    self.examine();
                    if is_other_mtu {
                        return Ok(Ended::OtherMtu);
                    }
                }
            }
        }
        ServiceManager::stopping();
        Ok(Ended::Stop)
    }

    /// Brings what runs, and where metrics can be had, in line with `plan`; on an error outside of us nothing has changed.
    fn adopt(&mut self, plan: Plan, netlink: &Netlink) -> Result<(), RunError> {
        let (before, wanted) = (self.metrics.address(), plan.metrics);
        if let (Err(error), Some(address)) = (self.metrics.listen_on(wanted), wanted) {
            return Err(RunError::Metrics { address, error });
        }
        self.apply(plan, netlink).inspect_err(|_| {
            // It was listening there a moment ago.
            let _ = self.metrics.listen_on(before);
        })
    }

    /// Looks whether the workers turn and the interfaces are there, and tells the service manager.
    fn examine(&mut self) {
        let now = self.state.now();
        let is_stuck = |worker: &usize| {
            let worker = &self.workers[*worker];
            worker.ask(now);
            worker.pulse.is_stuck(now)
        };
        let stuck = (0..self.workers.len()).filter(is_stuck).collect();
        let taps = self.away.keys().filter_map(|id| self.segment(*id));
        let taps = taps.map(|segment| format!("segment {}: TAP {}", segment.name(), segment.plan.options.tap));
        // Several addresses may be on one interface.
        let mut underlays: Vec<_> = self.watches.iter().filter(|watch| !watch.is_there()).collect();
        underlays.dedup_by(|one, other| one.name == other.name);
        let underlays = underlays.iter().map(|watch| format!("the underlay's interface {}", watch.name));
        let health = Health { stuck, missing: taps.chain(underlays).collect() };
        if health.stuck.is_empty() {
            self.manager.alive();
        }
        self.state.set_health(health);
        self.manager.status(self.status());
    }

    /// Reads the configuration again, and applies what has changed; on an error all goes on as it was.
    fn reload(&mut self, options: &RunOptions, netlink: &Netlink) {
        ServiceManager::reloading();
        self.read_again(options, netlink);
        self.manager.ready(self.status());
    }

    fn read_again(&mut self, options: &RunOptions, netlink: &Netlink) {
        if options.config.is_none() {
            warn!("SIGHUP: there is no configuration file to read again; nothing changed");
            return;
        }
        let applied = read_config(options)
            .map_err(RunError::from)
            .and_then(|config| self.adopt(Plan::new(config, netlink)?, netlink));
        match applied {
            Ok(()) => {
                self.refused = None;
                self.say_segments();
                info!("the configuration was read again");
            }
            Err(error) => {
                error!("SIGHUP: {error}; the segments that there are go on");
                self.refused = Some(error.to_string());
            }
        }
    }

    fn say_ready(&mut self) {
        self.say_segments();
        if let Some(tunnel) = &self.tunnel {
            let which = match tunnel.takes() {
                (true, false) => "super-frames",
                (false, _) => "super-frames of NVGRE",
                (true, true) => "super-frames, also of NVGRE,",
            };
            info!(device = tunnel.device(), "{which} leave whole, by tunnel GSO");
        }
        for reason in &self.no_tunnel {
            info!("super-frames leave by sockets: {reason}");
        }
        if let Some(reason) = &self.no_offloads {
            warn!("{reason}; datagrams are sent or received one by one");
        }
        info!("ready");
        self.manager.ready(self.status());
    }

    /// How it is, in one line.
    fn status(&self) -> String {
        let problems = self.state.health().problems();
        if !problems.is_empty() {
            return problems.join("; ");
        }
        let (segments, workers) = (self.state.segments().len(), self.workers.len());
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let counts = format!("{segments} segment{}, {workers} worker{}", plural(segments), plural(workers));
        self.refused.iter().fold(counts, |counts, reason| format!("{counts}; SIGHUP: {reason}"))
    }

    fn say_segments(&self) {
        for Segment { plan, .. } in &*self.state.segments() {
            let options = &plan.options;
            info!(
                segment = options.name,
                tap = options.tap,
                vni = options.rules.vni.get(),
                port = options.rules.port,
                mtu = options.rules.mtu,
                "{} segment from {}",
                options.rules.encapsulation,
                plan.local,
            );
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
                self.examine();
            }
        }
    }

    fn segment(&self, id: SegmentId) -> Option<Segment> {
        self.state.segments().iter().find(|segment| segment.id == id).cloned()
    }

    /// Attaches to TAPs that were away and are there again; an error when one has been away for too long.
    async fn bring_back_taps(&mut self) -> Result<(), RunError> {
        for (id, since) in self.away.clone() {
            let Some(segment) = self.segment(id) else { continue };
            let options = segment.plan.options.clone();
            if self.watches.iter().any(|watch| watch.index_of(&options.tap).is_some()) {
                let (plan, workers) = (segment.plan.clone(), self.workers.len());
                let opened = match self.shared_tap(&segment) {
                    Some(tap) => tap.try_clone().map_err(TapProblem::Other),
                    None => spawn_blocking(move || -> Result<TapQueues, TapProblem> {
                        open_tap(&plan, workers, &Netlink::open()?)
                    })
                    .await
                    .map_err(io::Error::other)?,
                };
                // One that is not whole yet, or no TAP, has until the end of the wait.
                if let Ok(tap) = opened {
                    info!(segment = options.name, tap = options.tap, "the TAP is back");
                    for (index, worker) in self.workers.iter().enumerate() {
                        worker.send(Command::ReplaceTap(id, tap.for_worker(index, segment.plan.mapping())?));
                    }
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

    /// The TAP of a segment that another one on the same trunk has already.
    fn shared_tap(&self, segment: &Segment) -> Option<&TapQueues> {
        let segments = self.state.segments();
        let mut others = segments.iter().filter(|other| other.plan.options.tap == segment.plan.options.tap);
        others.find_map(|other| self.taps.get(&other.id))
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

    /// Has the host forward super-frames again where somebody has changed that.
    async fn follow_tunnel(&mut self) {
        let Some(tunnel) = self.tunnel.clone().filter(|tunnel| tunnel.is_open()) else { return };
        if tunnel.is_forwarding() {
            if self.forwarded.is_nothing(&tunnel) {
                warn!(
                    "the host drops super-frames that it is to forward, perhaps by its firewall; they go by sockets from now on"
                );
                tunnel.close();
            }
            return;
        }
        let device = tunnel.device().to_owned();
        let renewed = spawn_blocking(move || {
            let netlink = Netlink::open().map_err(|error| error.to_string())?;
            tunnel.renew(&netlink).map_err(|error| error.to_string())
        });
        match renewed.await {
            Ok(Ok(())) => warn!(device, "somebody turned forwarding off; it is on again, for super-frames"),
            Ok(Err(error)) => warn!(device, %error, "somebody turned forwarding off"),
            Err(error) => warn!(%error, "cannot look after the helper TAP"),
        }
    }

    /// Binds to the underlays' interfaces again when they have been made anew. Returns whether one has another MTU.
    fn follow_underlays(&mut self) -> bool {
        let mut is_other_mtu = false;
        for (underlay, watch) in self.state.underlays.iter().zip(&mut self.watches) {
            if let Some(mtu) = watch.mtu() {
                is_other_mtu |= underlay.mtu.swap(mtu, Ordering::Relaxed) != mtu;
            }
            match watch.look() {
                Some(Change::Gone) => warn!(interface = watch.name, "the underlay's interface is gone"),
                Some(Change::New(index)) => {
                    underlay.interface.store(index, Ordering::Relaxed);
                    self.path_mtus.close_sockets();
                    match self.sockets.rebind(underlay) {
                        Ok(()) => info!(interface = watch.name, "the underlay's interface is back"),
                        Err(error) => {
                            // Its address is not there yet, say: again at the next look.
                            watch.forget();
                            warn!(interface = watch.name, %error, "cannot use the underlay's interface yet");
                        }
                    }
                }
                None => {}
            }
        }
        is_other_mtu
    }

    /// Ends the workers. TAPs that we made go when the last file closes.
    fn stop(&mut self) {
        for worker in &self.workers {
            worker.send(Command::Stop);
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                warn!("a worker had panicked");
            }
        }
        self.taps.clear();
    }
}
