//! Stanzas on their way to shards that another router leads.
//!
//! One task decides: it holds a [`Lane`] per shard, and the links to the other routers. A frame that a peer refuses, or whose link
//! breaks, goes again in order; what has waited too long comes back to its sender as an error. Everything together is bounded by
//! [`PENDING_MAX`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, mpsc};
use vesta_wire::attach::VERSION;
use vesta_wire::forward::{FromOwner, ToOwner};
use vesta_wire::{NodeId, ShardId};
use vesta_xmpp::StanzaError;
use vesta_xmpp::hash::HashMap;
use vesta_xmpp::stanza_error::Condition;

use super::lane::Lane;
use crate::clock;
use crate::router::Router;
use crate::shard::leading::{Leading, Refused};
use crate::shard::work::{Arrived, Work, overloaded};

/// The most stanzas that wait for other routers, in all (P7). More come back as errors.
pub const PENDING_MAX: usize = 65_536;
/// How long a stanza waits for its shard's leader before it comes back as an error.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often the deadlines are looked at, and links that broke are made again.
const TICK: Duration = Duration::from_millis(250);
/// How many stanzas are taken at once.
const BATCH: usize = 256;

/// A stanza that waits for, or is on its way to, the leader of its shard.
#[derive(Debug)]
struct Pending {
    shard: ShardId,
    arrived: Arrived,
    since: Instant,
}

/// The entrance to the task.
pub struct Forwarder {
    sender: mpsc::Sender<Pending>,
    shared: Arc<Shared>,
}

/// What the task has to say to those who ask it nothing.
#[derive(Default)]
struct Shared {
    /// Per shard, how many stanzas wait or are on their way.
    pending: RwLock<Vec<AtomicU32>>,
    total: AtomicUsize,
    /// Told when nothing is pending any more.
    emptied: Notify,
    leaders: Mutex<Vec<ShardId>>,
    leader_changed: Notify,
}

/// The task's ends of the channels.
pub struct Forwarding {
    receiver: mpsc::Receiver<Pending>,
    events: mpsc::Receiver<Event>,
    events_sender: mpsc::Sender<Event>,
    shared: Arc<Shared>,
}

/// What happens on the links to peers.
enum Event {
    Up(NodeId, mpsc::Sender<ToOwner>),
    Down(NodeId),
    Answers(NodeId, Vec<FromOwner>),
}

impl Shared {
    fn enter(&self, shard: ShardId) {
        let at = shard.0 as usize;
        if self.pending.read().len() <= at {
            let mut pending = self.pending.write();
            if pending.len() <= at {
                pending.resize_with(at + 1, AtomicU32::default);
            }
        }
        self.pending.read()[at].fetch_add(1, Ordering::SeqCst);
        self.total.fetch_add(1, Ordering::SeqCst);
    }

    fn leave(&self, shard: ShardId) {
        self.pending.read()[shard.0 as usize].fetch_sub(1, Ordering::SeqCst);
        if self.total.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.emptied.notify_waiters();
        }
    }
}

impl Forwarder {
    /// The entrance, and what [`run`] needs.
    pub fn new() -> (Self, Forwarding) {
        let (sender, receiver) = mpsc::channel(PENDING_MAX);
        let (events_sender, events) = mpsc::channel(4 * BATCH);
        let shared = Arc::<Shared>::default();
        let entrance = Self { sender, shared: shared.clone() };
        (entrance, Forwarding { receiver, events, events_sender, shared })
    }

    /// Whether nothing is pending for a shard: what comes now overtakes nothing.
    pub fn is_idle(&self, shard: ShardId) -> bool {
        self.shared.pending.read().get(shard.0 as usize).is_none_or(|count| count.load(Ordering::SeqCst) == 0)
    }

    /// Adds a stanza for an account of a shard.
    ///
    /// # Errors
    /// It comes back: too many are pending.
    pub fn push(&self, shard: ShardId, arrived: Arrived) -> Result<(), Arrived> {
        if self.shared.total.load(Ordering::SeqCst) >= PENDING_MAX {
            return Err(arrived);
        }
        self.shared.enter(shard);
        self.sender.try_send(Pending { shard, arrived, since: clock::instant() }).map_err(|error| {
            self.shared.leave(shard);
            error.into_inner().arrived
        })
    }

    /// Waits until nothing is pending.
    pub async fn drained(&self) {
        loop {
            let mut emptied = std::pin::pin!(self.shared.emptied.notified());
            emptied.as_mut().enable();
            if self.shared.total.load(Ordering::SeqCst) == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// A shard has another leader.
    pub fn leader_changed(&self, shard: ShardId) {
        self.shared.leaders.lock().push(shard);
        self.shared.leader_changed.notify_one();
    }
}

/// The task's state.
struct Task {
    router: Arc<Router>,
    shared: Arc<Shared>,
    events: mpsc::Sender<Event>,
    lanes: HashMap<ShardId, Lane<Pending>>,
    peers: HashMap<NodeId, Peer>,
}

/// Another router.
#[derive(Default)]
struct Peer {
    sender: Option<mpsc::Sender<ToOwner>>,
    connecting: bool,
    last_number: u64,
    /// The shards of the frames that are not answered.
    in_flight: HashMap<u64, ShardId>,
}

/// Runs until the router ends.
pub async fn run(router: Arc<Router>, forwarding: Forwarding) {
    let Forwarding { mut receiver, mut events, events_sender, shared } = forwarding;
    let mut task = Task {
        router,
        shared: shared.clone(),
        events: events_sender,
        lanes: HashMap::default(),
        peers: HashMap::default(),
    };
    let mut tick = tokio::time::interval(TICK);
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            biased;
            Some(event) = events.recv() => task.event(event),
            () = shared.leader_changed.notified() => {
                for shard in std::mem::take(&mut *shared.leaders.lock()) {
                    task.go_on(shard);
                }
            }
            count = receiver.recv_many(&mut batch, BATCH) => {
                if count == 0 {
                    return;
                }
                for pending in batch.drain(..) {
                    let shard = pending.shard;
                    task.lanes.entry(shard).or_default().push(pending);
                    task.go_on(shard);
                }
            }
            _ = tick.tick() => task.tick(clock::instant()),
        }
        task.router.metrics.forward_queue.set(shared.total.load(Ordering::Relaxed) as i64);
    }
}

/// What sending one stanza came to.
enum Sent {
    OnItsWay,
    NotNow,
}

impl Task {
    /// Sends what waits for a shard, as far as its leader is known and there is room.
    fn go_on(&mut self, shard: ShardId) {
        while let Sent::OnItsWay = self.send_next(shard) {}
        if self.lanes.get(&shard).is_some_and(Lane::is_over) {
            self.lanes.remove(&shard);
        }
    }

    fn send_next(&mut self, shard: ShardId) -> Sent {
        if let Some(leading) = self.router.leading(shard) {
            return self.submit_next(shard, &leading);
        }
        let Some(node) = self.leader(shard) else { return Sent::NotNow };
        self.forward_next(shard, node)
    }

    /// To this router's own leadership.
    fn submit_next(&mut self, shard: ShardId, leading: &Arc<Leading>) -> Sent {
        let Some(lane) = self.lanes.get_mut(&shard).filter(|lane| lane.next_for(None).is_some()) else {
            return Sent::NotNow;
        };
        let Some(Pending { arrived, since, .. }) = lane.take_next() else { return Sent::NotNow };
        let Some(account) = arrived.stanza.to.as_ref().map(|to| to.to_bare()) else { return Sent::NotNow };
        match leading.submit(&account, Work::Inbound(arrived)) {
            Ok(()) => {}
            Err(Refused::Over(work)) => {
                if let Work::Inbound(arrived) = *work {
                    lane.put_back(Pending { shard, arrived, since });
                }
                return Sent::NotNow;
            }
            Err(Refused::Full(work)) => {
                if let Work::Inbound(arrived) = *work {
                    self.router.fail(arrived, &overloaded());
                }
            }
        }
        self.shared.leave(shard);
        Sent::OnItsWay
    }

    /// To another router.
    fn forward_next(&mut self, shard: ShardId, node: NodeId) -> Sent {
        let peer = self.peers.entry(node).or_default();
        let Some(sender) = &peer.sender else {
            self.connect(node);
            return Sent::NotNow;
        };
        let Some(lane) = self.lanes.get_mut(&shard) else { return Sent::NotNow };
        let restarts = lane.restarts(node);
        let Some(Pending { arrived, .. }) = lane.next_for(Some(node)) else { return Sent::NotNow };
        let number = peer.last_number + 1;
        let (ingress, stanza) = (arrived.ingress, arrived.stanza.clone());
        if sender.try_send(ToOwner::Stanza { number, shard, ingress, restarts, stanza }).is_err() {
            return Sent::NotNow;
        }
        if let Some(pending) = lane.take_next() {
            lane.sent(node, number, pending);
        }
        peer.last_number = number;
        peer.in_flight.insert(number, shard);
        self.router.metrics.forwarded();
        Sent::OnItsWay
    }

    /// The shard's leader, or (where no replica here tells) one of its voters, who will know.
    fn leader(&self, shard: ShardId) -> Option<NodeId> {
        let own = self.router.node();
        if let Some(known) = self.router.leader(shard).node {
            return Some(known).filter(|node| *node != own);
        }
        if self.router.group(shard).is_some() {
            return None;
        }
        let voters = self.router.meta()?.read(|machine| machine.0.voters(shard).to_vec());
        let is_linked = |node: &NodeId| self.peers.get(node).is_some_and(|peer| peer.sender.is_some());
        voters.iter().copied().find(is_linked).or_else(|| voters.iter().copied().find(|node| *node != own))
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Up(node, sender) => {
                let peer = self.peers.entry(node).or_default();
                peer.sender = Some(sender);
                self.go_on_with_all();
            }
            Event::Down(node) => {
                if let Some(peer) = self.peers.get_mut(&node) {
                    peer.sender = None;
                    peer.connecting = false;
                    peer.in_flight.clear();
                }
                self.lanes.values_mut().for_each(|lane| lane.lost(node));
                // Where no replica here tells of the next leader, somebody else is to be asked.
                self.router.forget_leader(node);
            }
            Event::Answers(node, answers) => answers.into_iter().for_each(|answer| self.answer(node, answer)),
        }
    }

    fn answer(&mut self, node: NodeId, answer: FromOwner) {
        match answer {
            FromOwner::Done { numbers } => {
                for number in numbers {
                    if let Some(pending) = self.answered(node, number) {
                        pending.arrived.token.done();
                    }
                }
            }
            FromOwner::Failed { number, error } => {
                if let Some(pending) = self.answered(node, number) {
                    self.router.fail(pending.arrived, &error);
                }
            }
            // Sent again with the next tick, or at once if that is news of another leader.
            FromOwner::NotLeader { number, leader } => {
                if let Some(shard) = self.in_flight(node, number)
                    && let Some(lane) = self.lanes.get_mut(&shard)
                {
                    lane.refused(number);
                    self.router.learn_leader(leader);
                }
            }
        }
    }

    /// The shard of a frame that is not answered any more from now on.
    fn in_flight(&mut self, node: NodeId, number: u64) -> Option<ShardId> {
        self.peers.get_mut(&node)?.in_flight.remove(&number)
    }

    /// A frame is answered for good: what waits behind it may go on.
    fn answered(&mut self, node: NodeId, number: u64) -> Option<Pending> {
        let shard = self.in_flight(node, number)?;
        let pending = self.lanes.get_mut(&shard)?.answered(number);
        if pending.is_some() {
            self.shared.leave(shard);
        }
        self.go_on(shard);
        pending
    }

    fn tick(&mut self, now: Instant) {
        for shard in self.lanes.keys().copied().collect::<Vec<_>>() {
            self.expire(shard, now);
        }
        self.go_on_with_all();
    }

    fn expire(&mut self, shard: ShardId, now: Instant) {
        let late = StanzaError::new(Condition::ResourceConstraint)
            .with_text("The part of the server that is in charge does not answer. Try again later.");
        let Some(lane) = self.lanes.get_mut(&shard) else { return };
        while let Some(pending) = lane.take_next() {
            if now.saturating_duration_since(pending.since) < PATIENCE {
                return lane.put_back(pending);
            }
            self.shared.leave(shard);
            self.router.fail(pending.arrived, &late);
        }
    }

    fn go_on_with_all(&mut self) {
        for shard in self.lanes.keys().copied().collect::<Vec<_>>() {
            self.go_on(shard);
        }
    }

    /// Makes the link to a peer, unless that is under way.
    fn connect(&mut self, node: NodeId) {
        let peer = self.peers.entry(node).or_default();
        if peer.connecting {
            return;
        }
        let Some(info) = self.router.router(node) else { return };
        peer.connecting = true;
        let (router, events) = (self.router.clone(), self.events.clone());
        self.router.spawn(async move {
            match router.dialers.forward.forward(&info).await {
                Ok(mut link) => {
                    let hello = ToOwner::Hello { node: router.node(), version: VERSION };
                    if link.sender.send(hello).await.is_ok() && events.send(Event::Up(node, link.sender)).await.is_ok()
                    {
                        let mut answers = Vec::new();
                        while link.receiver.recv_many(&mut answers, BATCH).await > 0 {
                            if events.send(Event::Answers(node, std::mem::take(&mut answers))).await.is_err() {
                                return;
                            }
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, router = %info.name, "no link to another router");
                    tokio::time::sleep(TICK).await;
                }
            }
            // The task has gone only when the router ends.
            let _ = events.send(Event::Down(node)).await;
        });
    }
}
