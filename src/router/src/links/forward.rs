//! Stanzas on their way to shards that another router leads.
//!
//! One task decides: it holds, per shard, what waits for a leader, and per peer, what was sent and not answered. A frame that a
//! peer refuses, or whose link breaks, goes back to the front of its shard's queue, in order; what has waited too long comes back
//! to its sender as an error. Everything together is bounded by [`PENDING_MAX`].

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, mpsc};
use vesta_wire::attach::VERSION;
use vesta_wire::forward::{FromOwner, IngressId, ToOwner};
use vesta_wire::link::OwnerLink;
use vesta_wire::{NodeId, ShardId};
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{Envelope, StanzaError};

use crate::clock;
use crate::router::Router;
use crate::shard::leading::Refused;
use crate::shard::work::{Token, Work};

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
pub struct Pending {
    shard: ShardId,
    /// The stanza.
    pub stanza: Arc<Envelope>,
    ingress: Option<IngressId>,
    token: Token,
    since: Instant,
}

impl Pending {
    /// A stanza for an account of `shard`.
    pub fn new(shard: ShardId, stanza: Arc<Envelope>, token: Token) -> Self {
        Self { shard, stanza, ingress: token.next_part(), token, since: clock::instant() }
    }
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
    Answer(NodeId, FromOwner),
}

impl Shared {
    fn count(&self, shard: ShardId, change: i32) {
        let at = shard.0 as usize;
        if self.pending.read().len() <= at {
            self.pending.write().resize_with(at + 1, AtomicU32::default);
        }
        self.pending.read()[at].fetch_add(change as u32, Ordering::SeqCst);
        self.total.fetch_add(change as usize, Ordering::SeqCst);
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

    /// Adds a stanza.
    ///
    /// # Errors
    /// It comes back: too many are pending.
    pub fn push(&self, pending: Pending) -> Result<(), Pending> {
        let shard = pending.shard;
        if self.shared.total.load(Ordering::SeqCst) >= PENDING_MAX {
            return Err(pending);
        }
        self.shared.count(shard, 1);
        self.sender.try_send(pending).map_err(|error| {
            self.shared.count(shard, -1);
            error.into_inner()
        })
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
    waiting: HashMap<ShardId, VecDeque<Pending>>,
    peers: HashMap<NodeId, Peer>,
}

/// Another router.
#[derive(Default)]
struct Peer {
    sender: Option<mpsc::Sender<ToOwner>>,
    connecting: bool,
    last_number: u64,
    in_flight: BTreeMap<u64, Pending>,
}

/// Runs until the router ends.
pub async fn run(router: Arc<Router>, forwarding: Forwarding) {
    let Forwarding { mut receiver, mut events, events_sender, shared } = forwarding;
    let mut task =
        Task { router, shared: shared.clone(), events: events_sender, waiting: HashMap::new(), peers: HashMap::new() };
    let mut tick = tokio::time::interval(TICK);
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            biased;
            Some(event) = events.recv() => task.event(event),
            () = shared.leader_changed.notified() => {
                for shard in std::mem::take(&mut *shared.leaders.lock()) {
                    task.send_waiting(shard);
                }
            }
            count = receiver.recv_many(&mut batch, BATCH) => {
                if count == 0 {
                    return;
                }
                for pending in batch.drain(..) {
                    let shard = pending.shard;
                    task.waiting.entry(shard).or_default().push_back(pending);
                    task.send_waiting(shard);
                }
            }
            _ = tick.tick() => task.tick(clock::instant()),
        }
        task.router.metrics.forward_queue.set(shared.total.load(Ordering::Relaxed) as i64);
    }
}

impl Task {
    /// Sends what waits for a shard, as far as its leader is known and there is room.
    fn send_waiting(&mut self, shard: ShardId) {
        while let Some(pending) = self.waiting.get_mut(&shard).and_then(VecDeque::pop_front) {
            if let Err(pending) = self.send(pending) {
                self.waiting.entry(shard).or_default().push_front(pending);
                return;
            }
        }
        self.waiting.remove(&shard);
    }

    /// Sends one stanza.
    fn send(&mut self, pending: Pending) -> Result<(), Pending> {
        if self.router.leading(pending.shard).is_some() {
            return self.submit(pending);
        }
        let Some(node) = self.leader(pending.shard) else { return Err(pending) };
        let peer = self.peers.entry(node).or_default();
        let Some(sender) = &peer.sender else {
            self.connect(node);
            return Err(pending);
        };
        let Pending { shard, ingress, .. } = pending;
        let number = peer.last_number + 1;
        match sender.try_send(ToOwner::Stanza { number, shard, ingress, stanza: pending.stanza.clone() }) {
            Ok(()) => {
                peer.last_number = number;
                peer.in_flight.insert(number, pending);
                self.router.metrics.forwarded();
                Ok(())
            }
            Err(_) => Err(pending),
        }
    }

    /// The shard's leader, or (where no replica here tells) one of its voters, who will know.
    fn leader(&self, shard: ShardId) -> Option<NodeId> {
        let own = self.router.node();
        let known = self.router.leader(shard).node;
        let guess = || {
            let meta = self.router.meta()?;
            meta.read(|machine| machine.0.voters(shard).iter().copied().find(|node| *node != own))
        };
        let has_replica = self.router.group(shard).is_some();
        known.or_else(|| if has_replica { None } else { guess() }).filter(|node| *node != own)
    }

    fn submit(&mut self, pending: Pending) -> Result<(), Pending> {
        let Pending { shard, ingress, since, .. } = pending;
        let Some(leading) = self.router.leading(shard) else { return Err(pending) };
        let Some(account) = pending.stanza.to.as_ref().map(|to| to.to_bare()) else { return Ok(()) };
        let work = Work::Inbound { stanza: pending.stanza, token: pending.token };
        let outcome = leading.submit(&account, work);
        let refused = match outcome {
            Ok(()) => None,
            Err(Refused::Ended(work)) => Some((work, false)),
            Err(Refused::Full(work)) => Some((work, true)),
        };
        if let Some((work, full)) = refused
            && let Work::Inbound { stanza, token } = *work
        {
            if !full {
                return Err(Pending { shard, stanza, ingress, token, since });
            }
            self.router.bounce(&stanza, &crate::shard::work::overloaded());
        }
        self.shared.count(shard, -1);
        Ok(())
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Up(node, sender) => {
                let peer = self.peers.entry(node).or_default();
                peer.sender = Some(sender);
                peer.connecting = false;
                let shards: Vec<_> = self.waiting.keys().copied().collect();
                for shard in shards {
                    self.send_waiting(shard);
                }
            }
            Event::Down(node) => {
                if let Some(peer) = self.peers.get_mut(&node) {
                    peer.sender = None;
                    peer.connecting = false;
                    let unanswered = std::mem::take(&mut peer.in_flight);
                    self.wait_again(unanswered.into_values().collect());
                }
            }
            Event::Answer(node, answer) => self.answer(node, answer),
        }
    }

    fn answer(&mut self, node: NodeId, answer: FromOwner) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        match answer {
            FromOwner::Done { number } => {
                if let Some(pending) = peer.in_flight.remove(&number) {
                    self.shared.count(pending.shard, -1);
                }
            }
            FromOwner::Failed { number, error } => {
                if let Some(pending) = peer.in_flight.remove(&number) {
                    self.shared.count(pending.shard, -1);
                    self.router.bounce(&pending.stanza, &error);
                }
            }
            FromOwner::NotLeader { number, leader } => {
                // What was sent behind it to the same shard is refused as well: take all of it back, in order.
                let Some(shard) = peer.in_flight.get(&number).map(|pending| pending.shard) else { return };
                let refused: Vec<_> = peer
                    .in_flight
                    .range(number..)
                    .filter(|(_, pending)| pending.shard == shard)
                    .map(|(number, _)| *number)
                    .collect();
                let refused: Vec<_> = refused.iter().filter_map(|number| peer.in_flight.remove(number)).collect();
                self.wait_again(refused);
                self.router.learn_leader(leader);
            }
        }
    }

    /// Puts stanzas back to the front of their shards' queues.
    fn wait_again(&mut self, stanzas: Vec<Pending>) {
        for pending in stanzas.into_iter().rev() {
            self.waiting.entry(pending.shard).or_default().push_front(pending);
        }
    }

    fn tick(&mut self, now: Instant) {
        let shards: Vec<_> = self.waiting.keys().copied().collect();
        for shard in shards {
            while let Some(oldest) = self.waiting.get(&shard).and_then(VecDeque::front) {
                if now.saturating_duration_since(oldest.since) < PATIENCE {
                    break;
                }
                if let Some(expired) = self.waiting.get_mut(&shard).and_then(VecDeque::pop_front) {
                    self.shared.count(shard, -1);
                    let late = StanzaError::new(Condition::ResourceConstraint)
                        .with_text("The part of the server that is in charge does not answer. Try again later.");
                    self.router.bounce(&expired.stanza, &late);
                }
            }
            self.send_waiting(shard);
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
                        while let Some(answer) = link.receiver.recv().await {
                            if events.send(Event::Answer(node, answer)).await.is_err() {
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

/// Answers on their way back to a router that forwards: as many as it has stanzas under way.
#[derive(Debug)]
pub struct Answers {
    queue: Mutex<Vec<FromOwner>>,
    wake: Notify,
}

impl Answers {
    /// Sends an answer.
    pub fn send(&self, answer: FromOwner) {
        self.queue.lock().push(answer);
        self.wake.notify_one();
    }
}

/// Serves the link of another router that forwards to this one.
pub async fn serve(router: Arc<Router>, mut link: OwnerLink, peer: Option<String>) {
    let Some(ToOwner::Hello { node, version }) = link.receiver.recv().await else {
        tracing::warn!(?peer, "a router's link did not begin with hello");
        return;
    };
    tracing::info!(%node, ?peer, version, "router linked");
    let answers = Arc::new(Answers { queue: Mutex::default(), wake: Notify::new() });
    let writer = async {
        loop {
            answers.wake.notified().await;
            let waiting = std::mem::take(&mut *answers.queue.lock());
            for answer in waiting {
                if link.sender.send(answer).await.is_err() {
                    return;
                }
            }
        }
    };
    let receiver = &mut link.receiver;
    let reader = async {
        let mut frames = Vec::with_capacity(BATCH);
        while receiver.recv_many(&mut frames, BATCH).await > 0 {
            for frame in frames.drain(..) {
                take(&router, &answers, frame);
            }
        }
    };
    tokio::select! {
        () = writer => {}
        () = reader => {}
    }
    tracing::info!(%node, "router unlinked");
}

fn take(router: &Arc<Router>, answers: &Arc<Answers>, frame: ToOwner) {
    let ToOwner::Stanza { number, shard, ingress, stanza } = frame else { return };
    let failed = |condition: Condition| answers.send(FromOwner::Failed { number, error: condition.into() });
    let Some(account) = stanza.to.as_ref().map(|to| to.to_bare()) else { return failed(Condition::BadRequest) };
    let not_leader = || answers.send(FromOwner::NotLeader { number, leader: router.leader(shard) });
    let Some(leading) = router.leading(shard) else { return not_leader() };
    let token = Token::forwarded(ingress, number, answers);
    match leading.submit(&account, Work::Inbound { stanza, token }) {
        Ok(()) => {}
        Err(Refused::Ended(work)) => {
            work.abandon();
            not_leader();
        }
        Err(Refused::Full(work)) => {
            work.abandon();
            failed(Condition::ResourceConstraint);
        }
    }
}
