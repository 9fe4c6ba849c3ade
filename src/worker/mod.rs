//! The shell around the pure core: claims executions, drives them, recovers what others dropped.
//!
//! A worker owns executions, not stages. Its life: register, beat, sweep, claim; one `driver` per
//! execution. It decides nothing: `workflow` does. Never: work on an execution whose fence is lost.

mod attempt;
mod children;
mod commit;
mod driver;
mod gate;
mod inputs;
mod lease;
mod local;
mod log_buffer;
mod recorder;

mod signs;
mod upkeep;
mod watch;

pub use children::ChildRequests;
pub(crate) use children::after_end;

use crate::clock::Clock;
use crate::config::home::Home;
use crate::monitor::Thresholds;
use crate::stages::Registry;
use crate::store::{Begun, Claimed, Rate, Registration, Store, StoreError};
use crate::workflow::resources::{Offer, meets};
use driver::Driver;
use lease::{Beat, Lease, LockFile};
pub use local::Local;
use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use upkeep::Upkeep;
use uuid::Uuid;
use watch::Watch;

/// How a worker behaves.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// For people. Default: host name and process id.
    pub name: String,
    /// Executions at once. `MAX_PARALLEL_TASKS`, default 20.
    pub slots: usize,
    /// What it offers: stages that need more are left to others.
    pub offer: Offer,
    /// A worker that gave no sign of life for this long is dead. Default 20 s.
    pub lease: Duration,
    /// Between two signs of life. Default 1 s.
    pub heartbeat: Duration,
    /// Between two looks into the queue when it was empty. Default 100 ms.
    pub poll: Duration,
    /// How long attempts may go on after a stop was asked for. Default 20 s.
    pub drain: Duration,
    /// Between two lines of figures in the log; zero: none. Default 30 s.
    pub metrics_every: Duration,
    /// Between two checks, told in the log if they do not hold; zero: none. Default 60 s.
    pub health_every: Duration,
    /// What the checks compare with.
    pub thresholds: Thresholds,
    /// How many may hold a key at once, by pattern, for all workers from now on; none: as it is.
    pub key_limits: Option<Vec<(String, u32)>>,
    /// How fast services may be asked by all workers from now on; none: as it is.
    pub rates: Option<Vec<Rate>>,
    /// Take this execution and no other.
    pub only: Option<Uuid>,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        WorkerOptions {
            name: format!("{host}-{}", std::process::id()),
            slots: 20,
            offer: Offer::default(),
            lease: Duration::from_secs(20),
            heartbeat: Duration::from_secs(1),
            poll: Duration::from_millis(100),
            drain: Duration::from_secs(20),
            metrics_every: Duration::from_secs(30),
            health_every: Duration::from_secs(60),
            thresholds: Thresholds::default(),
            key_limits: None,
            rates: None,
            only: None,
        }
    }
}

/// What drivers share.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) stages: Registry,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) home: Home,
    /// What this worker offers.
    pub(crate) offer: Offer,
    pub(crate) local: Local,
    pub(crate) child_requests: Arc<dyn ChildRequests>,
}

/// The signs of life of a worker. They end when this is dropped.
struct Beats {
    results: mpsc::Receiver<Beat>,
    _task: JoinSet<()>,
}

/// A look into the queue that is under way.
struct Claiming<'a> {
    room: usize,
    answer: Pin<Box<dyn Future<Output = Vec<Claimed>> + Send + 'a>>,
}

async fn answer_of(claiming: &mut Option<Claiming<'_>>) -> Vec<Claimed> {
    match claiming {
        Some(claiming) => claiming.answer.as_mut().await,
        None => std::future::pending().await,
    }
}

/// Executions that are taken at once.
const CLAIMS_MAX: usize = 100;

/// A process's share of the work.
pub struct Worker {
    shared: Arc<Shared>,
    options: WorkerOptions,
}

/// What the loop tells a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Note {
    /// The execution is at this version now; somebody else may have appended.
    Version(u64),
}

/// A driver as the loop sees it.
struct Held {
    fence: Uuid,
    notes: mpsc::Sender<Note>,
}

/// The drivers under way.
#[derive(Default)]
struct Drivers {
    tasks: JoinSet<()>,
    held: HashMap<Uuid, Held>,
    by_task: HashMap<tokio::task::Id, Claimed>,
    /// The needs in the queue that we meet; what needs nothing comes first.
    needs: Vec<String>,
    /// Ours by the word of the last beat, and known to no driver.
    unknown: HashSet<Uuid>,
}

impl Worker {
    /// A worker over a store and the stage kinds it knows.
    pub fn new(
        store: Store,
        stages: Registry,
        clock: Arc<dyn Clock>,
        home: Home,
        local: Local,
        options: WorkerOptions,
    ) -> Self {
        let offer = options.offer.clone();
        let child_requests = Arc::new(children::NoRequests);
        let shared = Shared { store, stages, clock, home, offer, local, child_requests };
        Worker { shared: Arc::new(shared), options }
    }

    /// The same, with a way to make the requests of children.
    #[must_use]
    pub fn with_child_requests(mut self, requests: Arc<dyn ChildRequests>) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.child_requests = requests;
        }
        self
    }

    /// Works until `stop` fires and its attempts have ended or are cut off. A lost lease begins a
    /// new life under a new id; an unreachable database is waited for.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), StoreError> {
        let _upkeep = Upkeep::start(&self.shared);
        let _sweep = children::Sweep::start(&self.shared);
        let _watch = Watch::start(&self.shared, &self.options);
        while !stop.is_cancelled() {
            match self.live(&stop).await {
                Ok(Ending::Stopped) => return Ok(()),
                Ok(Ending::LeaseLost) => {
                    tracing::warn!("lease lost; beginning again under a new id")
                }
                Err(error) if error.may_pass() => {
                    tracing::warn!(%error, "the worker waits for the database");
                    wait(Duration::from_secs(1), &stop).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// One life: from registration to the end of the lease.
    async fn live(&self, stop: &CancellationToken) -> Result<Ending, StoreError> {
        let id = Uuid::now_v7();
        let lock = LockFile::hold(&self.shared.home.workers(), id)
            .map_err(|e| StoreError::Refused(format!("the worker's lock file: {e}")))?;
        let registration = Registration {
            worker_id: id,
            name: self.options.name.clone(),
            host: lease::host_identity(),
            pid: std::process::id(),
            lock_file: lock.path().to_string_lossy().into_owned(),
            slots: u32::try_from(self.options.slots).unwrap_or(u32::MAX),
            offer: self.options.offer.clone(),
            lease: self.options.lease,
        };
        if let Some(limits) = &self.options.key_limits {
            self.shared.store.replace_key_limits(limits).await?;
        }
        if let Some(rates) = &self.options.rates {
            self.shared.store.replace_rates(rates, self.shared.clock.now()).await?;
        }
        self.shared.store.register_worker(&registration).await?;
        tracing::info!(worker.id = %id, worker.name = %self.options.name, "worker registered");
        let lease = Lease::new(
            &self.shared.store,
            registration,
            &self.options,
            Arc::clone(&self.shared.clock),
        );
        let ending = self.work(id, lease, stop).await;
        self.shared.local.desk.close(id);
        if matches!(ending, Ending::Stopped) {
            // Whatever it still held is queued by this, not left to a sweep.
            let freed = self.shared.store.bury_worker(id, true).await?;
            tracing::info!(worker.id = %id, freed, "worker left");
        }
        Ok(ending)
    }

    async fn work(&self, id: Uuid, lease: Lease, stop: &CancellationToken) -> Ending {
        let stops = Stops::default();
        let mut drivers = Drivers { needs: vec![String::new()], ..Drivers::default() };
        let mut beats = self.keep_beating(lease, stops.drain.clone());
        let mut begun = self.open_desk(id);
        let mut next_claim = Instant::now();
        let mut claiming: Option<Claiming<'_>> = None;
        // Whether the last look into the queue found less than there was room for.
        let mut is_queue_empty = false;
        let mut deadline: Option<Instant> = None;
        loop {
            let is_draining = deadline.is_some();
            let free = self.options.slots.saturating_sub(drivers.held.len());
            let asked = claiming.as_ref().map_or(0, |c| c.room);
            let offered =
                if is_queue_empty && !is_draining { free.saturating_sub(asked) } else { 0 };
            let reserved = self.shared.local.desk.offer(id, offered);
            let has_room = free > reserved && claiming.is_none();
            tokio::select! {
                Some(beat) = beats.results.recv() => match beat {
                    Beat::Alive(versions) => {
                        let stranded = drivers.tell(&versions);
                        self.free_stranded(id, &stranded).await;
                        self.look_for_needs(&mut drivers).await;
                    }
                    Beat::Late => {}
                    Beat::Lost => {
                        stops.lost.cancel();
                        self.finish(&mut drivers).await;
                        return Ending::LeaseLost;
                    }
                },
                Some(ended) = drivers.tasks.join_next_with_id(), if !drivers.tasks.is_empty() => {
                    drivers.forget(ended);
                }
                Some(handover) = begun.recv() => {
                    self.drive_begun(id, handover, &mut drivers, &stops);
                }
                () = tokio::time::sleep_until(next_claim), if has_room && !is_draining => {
                    // While nothing waits, submissions of this process may have the other half.
                    let all = free - reserved;
                    let room = if is_queue_empty { all.div_ceil(2) } else { all }.min(CLAIMS_MAX);
                    let answer = Box::pin(self.claim(id, room, drivers.needs.clone()));
                    claiming = Some(Claiming { room, answer });
                    next_claim = Instant::now() + self.options.poll;
                }
                claimed = answer_of(&mut claiming), if claiming.is_some() => {
                    let room = claiming.take().map_or(0, |c| c.room);
                    is_queue_empty = claimed.len() < room;
                    if !is_queue_empty {
                        next_claim = Instant::now();
                    }
                    for claimed in claimed {
                        self.drive(id, claimed, &mut drivers, &stops);
                    }
                }
                () = stop.cancelled(), if !is_draining => {
                    stops.drain.cancel();
                    deadline = Some(Instant::now() + self.options.drain);
                }
                // Beats go on while what was cut off ends: nobody may take over before.
                () = sleep_until(deadline), if is_draining && !stops.halt.is_cancelled() => {
                    stops.halt.cancel();
                }
            }
            if deadline.is_some() && drivers.tasks.is_empty() && claiming.is_none() {
                return Ending::Stopped;
            }
        }
    }

    /// Gives signs of life beside the loop, so that nothing in it can hold them up.
    fn keep_beating(&self, mut lease: Lease, drain: CancellationToken) -> Beats {
        let (sender, results) = mpsc::channel(1);
        let mut ticks = tokio::time::interval(self.options.heartbeat);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut task = JoinSet::new();
        task.spawn(async move {
            loop {
                ticks.tick().await;
                let beat = lease.beat(drain.is_cancelled()).await;
                let is_lost = matches!(beat, Beat::Lost);
                if sender.send(beat).await.is_err() || is_lost {
                    return;
                }
            }
        });
        Beats { results, _task: task }
    }

    /// An answer that is lost may have given us executions; the beats will tell.
    async fn claim(&self, id: Uuid, room: usize, needs: Vec<String>) -> Vec<Claimed> {
        let now = self.shared.clock.now();
        let call = self.shared.store.claim_for(id, room, self.options.only, &needs, now);
        match tokio::time::timeout(self.options.lease / 6, call).await {
            Ok(Ok(claimed)) => claimed,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the queue cannot be read");
                Vec::new()
            }
            Err(_) => {
                tracing::warn!("the queue does not answer");
                Vec::new()
            }
        }
    }

    /// Which kinds of need stand in the queue changes seldom: a look per beat is enough.
    async fn look_for_needs(&self, drivers: &mut Drivers) {
        let call = self.shared.store.queued_needs();
        if let Ok(Ok(needs)) = tokio::time::timeout(self.options.lease / 6, call).await {
            drivers.needs = needs.into_iter().filter(|n| meets(&self.options.offer, n)).collect();
            drivers.needs.insert(0, String::new());
        }
    }

    /// Queues what we hold without a driver: the answer to a claim was lost, or a driver broke down.
    async fn free_stranded(&self, id: Uuid, stranded: &[Uuid]) {
        if stranded.is_empty() {
            return;
        }
        let call = self.shared.store.free_stranded(id, stranded);
        match tokio::time::timeout(self.options.lease / 6, call).await {
            Ok(Ok(freed)) => tracing::warn!(freed, "executions without a driver were queued again"),
            Ok(Err(error)) => tracing::warn!(%error, "executions without a driver wait"),
            Err(_) => tracing::warn!("executions without a driver wait: no answer"),
        }
    }

    fn drive(&self, id: Uuid, claimed: Claimed, drivers: &mut Drivers, stops: &Stops) {
        let driver = self.driver(id, claimed, drivers, stops);
        let task = drivers.tasks.spawn(driver.run());
        drivers.by_task.insert(task.id(), claimed);
    }

    /// Goes on with what a submission of this process has begun.
    fn drive_begun(&self, id: Uuid, begun: Begun, drivers: &mut Drivers, stops: &Stops) {
        let claimed = begun.claimed;
        let driver = self.driver(id, claimed, drivers, stops);
        let task = drivers.tasks.spawn(driver.run_begun(begun));
        drivers.by_task.insert(task.id(), claimed);
        self.shared.local.desk.counted(id);
    }

    fn driver(&self, id: Uuid, claimed: Claimed, drivers: &mut Drivers, stops: &Stops) -> Driver {
        let (notes, receiver) = mpsc::channel(16);
        drivers.held.insert(claimed.execution_id, Held { fence: claimed.fence, notes });
        Driver::new(Arc::clone(&self.shared), id, claimed, receiver, stops.clone())
    }

    /// Submissions of this process may begin with us, unless we are here for one execution only.
    fn open_desk(&self, id: Uuid) -> mpsc::UnboundedReceiver<Begun> {
        let (hands, begun) = mpsc::unbounded_channel();
        if self.options.only.is_none() {
            self.shared.local.desk.open(id, hands);
        }
        begun
    }

    /// Waits for every driver to end.
    async fn finish(&self, drivers: &mut Drivers) {
        while let Some(ended) = drivers.tasks.join_next_with_id().await {
            drivers.forget(ended);
        }
    }
}

type Joined = Result<(tokio::task::Id, ()), tokio::task::JoinError>;

enum Ending {
    Stopped,
    LeaseLost,
}

/// The ways in which drivers are told to stop.
#[derive(Clone, Default)]
pub(crate) struct Stops {
    /// Start nothing new; what runs may end.
    pub(crate) drain: CancellationToken,
    /// Cut off what runs, record that, and let go.
    pub(crate) halt: CancellationToken,
    /// Somebody else may own it by now: cut off what runs and write nothing more.
    pub(crate) lost: CancellationToken,
}

impl Drivers {
    /// Tells each driver the version its execution has in the database. Gives back those that have
    /// had no driver for two beats in a row: one alone may be a claim or an end under way.
    fn tell(&mut self, versions: &[(Uuid, u64)]) -> Vec<Uuid> {
        let mut unknown = HashSet::new();
        for (id, version) in versions {
            match self.held.get(id) {
                // A full channel holds a newer or equal hint already; the next beat repeats it.
                Some(held) => drop(held.notes.try_send(Note::Version(*version))),
                None => drop(unknown.insert(*id)),
            }
        }
        let stranded = unknown.intersection(&self.unknown).copied().collect();
        self.unknown = unknown;
        stranded
    }

    /// A driver has ended. Its execution may have been claimed again meanwhile, by us: then the entry
    /// is the new driver's.
    fn forget(&mut self, ended: Joined) {
        let task = match &ended {
            Ok((task, ())) => *task,
            Err(error) => error.id(),
        };
        let Some(claimed) = self.by_task.remove(&task) else { return };
        if self.held.get(&claimed.execution_id).is_some_and(|h| h.fence == claimed.fence) {
            self.held.remove(&claimed.execution_id);
        }
        if let Err(error) = ended {
            tracing::error!(%error, execution.id = %claimed.execution_id, "a driver broke down");
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn wait(time: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = stop.cancelled() => {}
    }
}
