//! A router: the shards it holds, the links it serves, and the way of a stanza between them.

use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vesta_engine::{Engine, Hosts, Store};
use vesta_wire::attach::{Leader, RequestId, RouterInfo, ToManager};
use vesta_wire::cluster::{ClusterDialer, ClusterId, Identity};
use vesta_wire::ids::shard_of;
use vesta_wire::link::{AttachAcceptor, ForwardAcceptor, ForwardDialer, OwnerLink, RouterLink};
use vesta_wire::raft::RaftDialer;
use vesta_wire::{NodeId, ShardId, Term};
use vesta_xmpp::sasl::{Answer, Question, SaslCondition};
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{Envelope, StanzaError};

use crate::config::RouterConfig;
use crate::links::forward::Forwarder;
use crate::links::managers::{ManagerHandle, Managers};
use crate::links::{attach, forward, owner};
use crate::meta::MetaMachine;
use crate::metrics::RouterMetrics;
use crate::raft::Group;
use crate::shard::leading::{Leading, Refused, ShardMachine};
use crate::shard::ports::ShardPorts;
use crate::shard::queue::{contain, run_inline};
use crate::shard::work::{Arrived, Token, Work, overloaded};

/// How many SASL questions are worked at. More wait; [`ASKED_MAX`] bounds them.
const ASKED_AT_ONCE: usize = 256;
/// How many SASL questions may wait. More are answered `temporary-auth-failure`.
const ASKED_MAX: usize = 8_192;
/// How long a router that stops waits for the others to take what is on its way to them.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// How a router reaches others.
#[derive(Clone)]
pub struct Dialers {
    /// For Raft.
    pub raft: Arc<dyn RaftDialer>,
    /// For stanzas.
    pub forward: Arc<dyn ForwardDialer>,
    /// For the cluster's own business.
    pub cluster: Arc<dyn ClusterDialer>,
}

/// See the module's documentation.
pub struct Router {
    /// What it was told.
    pub config: RouterConfig,
    /// The decisions.
    pub engine: Arc<Engine>,
    /// Durable data.
    pub store: Arc<dyn Store>,
    /// The virtual hosts.
    pub hosts: Arc<Hosts>,
    /// The connection managers.
    pub managers: Managers,
    /// What is counted.
    pub metrics: Arc<RouterMetrics>,
    /// How others are reached.
    pub dialers: Dialers,
    /// Ends everything.
    pub cancel: CancellationToken,
    /// Every task of this router that is not a leadership's.
    pub tasks: TaskTracker,
    /// What the disk says of this node's place in a cluster; `None` until it has been read.
    membership: watch::Sender<Option<Membership>>,
    meta: OnceLock<Group<MetaMachine>>,
    shards: RwLock<Vec<Slot>>,
    /// Whether the cluster is founded, as far as this node knows.
    founded: watch::Sender<bool>,
    forwarder: Forwarder,
    asked: Arc<Semaphore>,
    asking: Arc<Semaphore>,
}

/// Where a node belongs: the cluster and its Raft id there; `None` while its disk is empty.
type Membership = Option<(ClusterId, NodeId)>;

/// What this node knows of and has of one shard.
#[derive(Default)]
struct Slot {
    group: Option<Group<ShardMachine>>,
    leading: Option<Arc<Leading>>,
    /// Whether `leading` may act just now.
    acts: bool,
    leader: Option<NodeId>,
    term: Term,
}

/// What a router is made of.
pub struct Parts {
    /// See [`Router::config`].
    pub config: RouterConfig,
    /// See [`Router::engine`].
    pub engine: Arc<Engine>,
    /// See [`Router::store`].
    pub store: Arc<dyn Store>,
    /// See [`Router::hosts`].
    pub hosts: Arc<Hosts>,
    /// See [`Router::dialers`].
    pub dialers: Dialers,
    /// See [`Router::metrics`].
    pub metrics: Arc<RouterMetrics>,
}

impl Router {
    /// A router that is in no cluster yet. [`crate::meta::join`] brings it into one.
    pub fn new(parts: Parts) -> Arc<Self> {
        let (forwarder, forwarding) = Forwarder::new();
        let router = Arc::new(Self {
            config: parts.config,
            engine: parts.engine,
            store: parts.store,
            hosts: parts.hosts,
            managers: Managers::default(),
            metrics: parts.metrics,
            dialers: parts.dialers,
            cancel: CancellationToken::new(),
            tasks: TaskTracker::new(),
            membership: watch::Sender::new(None),
            meta: OnceLock::new(),
            shards: RwLock::default(),
            founded: watch::Sender::new(false),
            forwarder,
            asked: Arc::new(Semaphore::new(ASKED_MAX)),
            asking: Arc::new(Semaphore::new(ASKED_AT_ONCE)),
        });
        router.spawn(forward::run(router.clone(), forwarding));
        router.spawn(crate::sweep::run(router.clone()));
        router.spawn(crate::retention::run(router.clone()));
        router
    }

    /// Spawns a task that ends with the router.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        self.tasks.spawn(async move {
            let _ = cancel.run_until_cancelled_owned(future).await;
        });
    }

    /// What the disk says of this node's place in a cluster.
    pub fn set_membership(&self, membership: Option<(ClusterId, NodeId)>) {
        self.membership.send_replace(Some(membership));
    }

    /// Takes the router's place in the cluster. Called once.
    pub fn enter(&self, meta: Group<MetaMachine>) {
        let first = self.meta.set(meta).is_ok();
        debug_assert!(first, "a router enters one cluster, once");
    }

    /// The cluster and this node's Raft id there, once it is in one.
    pub fn member(&self) -> Option<(ClusterId, NodeId)> {
        self.membership.borrow().flatten()
    }

    /// Who this is. Waits until the disk has been read: a router that is only starting must not be taken for a new one, or a
    /// founder that has lost its own disk would found a second cluster.
    pub async fn identity(&self) -> Identity {
        let known = self.membership.subscribe().wait_for(Option::is_some).await.map(|known| known.flatten());
        Identity { name: self.config.name.clone(), member: known.ok().flatten() }
    }

    /// Counts the clusters that were founded on this database: terms start anew in each.
    pub fn generation(&self) -> u64 {
        self.meta.get().map_or(0, |meta| meta.read(|machine| machine.0.generation()))
    }

    /// This node's Raft id; 0 before it is in a cluster.
    pub fn node(&self) -> NodeId {
        self.member().map_or(NodeId(0), |(_, node)| node)
    }

    /// The group `meta`, once this node is in a cluster.
    pub fn meta(&self) -> Option<&Group<MetaMachine>> {
        self.meta.get()
    }

    /// The number of shards; 0 before the cluster is founded.
    pub fn shards(&self) -> u32 {
        self.meta.get().map_or(0, |meta| meta.read(|machine| machine.0.shards()))
    }

    /// The cluster is founded: its number of shards is known.
    pub fn set_founded(&self) {
        self.founded.send_replace(true);
    }

    /// Waits until the cluster is founded.
    pub async fn founded(&self) {
        // The sender lives as long as the router.
        let _ = self.founded.subscribe().wait_for(|founded| *founded).await;
    }

    /// All routers of the cluster.
    pub fn routers(&self) -> Vec<RouterInfo> {
        self.meta.get().map_or_else(Vec::new, |meta| meta.read(|machine| machine.0.routers().cloned().collect()))
    }

    /// One router of the cluster.
    pub fn router(&self, node: NodeId) -> Option<RouterInfo> {
        self.meta.get()?.read(|machine| machine.0.router(node).cloned())
    }

    /// This node holds a replica of the shard.
    pub fn hold(&self, shard: ShardId, group: Group<ShardMachine>) {
        self.with_slot(shard, |slot| slot.group = Some(group));
    }

    /// The replica of a shard, if this node has one.
    pub fn group(&self, shard: ShardId) -> Option<Group<ShardMachine>> {
        self.shards.read().get(shard.0 as usize)?.group.clone()
    }

    /// Begins to lead a shard (`leading` acts at once), or has ended to.
    pub fn lead(&self, shard: ShardId, leading: Option<Arc<Leading>>) {
        self.with_slot(shard, |slot| {
            slot.acts = leading.is_some();
            slot.leading = leading;
        });
        self.metrics.led_shards.set(self.led_shards().len() as i64);
    }

    /// Whether the leadership of a shard may act, as far as Raft knows. Returns whether it is a change.
    pub fn set_acts(&self, shard: ShardId, acts: bool) -> bool {
        let is_change = self.with_slot(shard, |slot| std::mem::replace(&mut slot.acts, acts) != acts);
        self.metrics.led_shards.set(self.led_shards().len() as i64);
        if acts && is_change {
            self.forwarder.leader_changed(shard);
        }
        is_change
    }

    /// The leadership of a shard, if this node leads it.
    pub fn leading(&self, shard: ShardId) -> Option<Arc<Leading>> {
        let slots = self.shards.read();
        let slot = slots.get(shard.0 as usize).filter(|slot| slot.acts)?;
        slot.leading.clone()
    }

    /// The leadership of a shard, also while it is in doubt or coming to its end.
    pub fn holding(&self, shard: ShardId) -> Option<Arc<Leading>> {
        self.shards.read().get(shard.0 as usize)?.leading.clone()
    }

    /// Every shard that this node leads.
    pub fn led_shards(&self) -> Vec<Arc<Leading>> {
        self.shards.read().iter().filter(|slot| slot.acts).filter_map(|slot| slot.leading.clone()).collect()
    }

    /// Every leadership of this node, also those in doubt.
    pub fn held_shards(&self) -> Vec<Arc<Leading>> {
        self.shards.read().iter().filter_map(|slot| slot.leading.clone()).collect()
    }

    /// What this node's own replica knows of a shard's leader.
    pub fn set_leader(&self, leader: Leader) {
        self.update_leader(leader, |slot| leader.term > slot.term || leader.node != slot.leader);
    }

    /// What another router says of a shard's leader. That it knows none in a term whose leader is known is no news: a leader
    /// that has yet to apply what came before it, or that nobody answers for a while, says so too.
    pub fn learn_leader(&self, leader: Leader) {
        self.update_leader(leader, |slot| leader.term > slot.term || (slot.leader.is_none() && leader.node.is_some()));
    }

    /// A router can't be reached: where no replica here tells who leads, somebody else is to be asked.
    pub fn forget_leader(&self, node: NodeId) {
        let mut slots = self.shards.write();
        for slot in slots.iter_mut().filter(|slot| slot.group.is_none() && slot.leader == Some(node)) {
            slot.leader = None;
        }
    }

    fn update_leader(&self, leader: Leader, is_news: impl FnOnce(&Slot) -> bool) {
        let changed = self.with_slot(leader.shard, |slot| {
            let is_news = leader.term >= slot.term && is_news(slot);
            if is_news {
                slot.term = leader.term;
                slot.leader = leader.node;
            }
            is_news
        });
        if changed {
            attach::tell_leader(self, leader.shard);
            self.forwarder.leader_changed(leader.shard);
        }
    }

    /// Whom this node takes for a shard's leader.
    pub fn leader(&self, shard: ShardId) -> Leader {
        let slots = self.shards.read();
        let (node, term) = slots.get(shard.0 as usize).map_or((None, Term(0)), |slot| (slot.leader, slot.term));
        Leader { shard, term, node }
    }

    /// Whom this node takes for the leaders of all shards.
    pub fn leaders(&self) -> Vec<Leader> {
        (0..self.shards()).map(|shard| self.leader(ShardId(shard))).collect()
    }

    fn with_slot<R>(&self, shard: ShardId, act: impl FnOnce(&mut Slot) -> R) -> R {
        let mut slots = self.shards.write();
        let at = shard.0 as usize;
        if slots.len() <= at {
            slots.resize_with(at + 1, Slot::default);
        }
        act(&mut slots[at])
    }

    /// Gives a stanza to the owner of its `to`: here, or through the link to the router that leads its shard. What can't be routed
    /// comes back as an error.
    pub fn route(self: &Arc<Self>, arrived: Arrived) {
        let Some(to) = &arrived.stanza.to else {
            tracing::error!(kind = ?arrived.stanza.kind, "a stanza without address was to be routed");
            return arrived.token.done();
        };
        if !self.hosts.serves(to.domain()) {
            return self.fail(arrived, &Condition::RemoteServerNotFound.into());
        }
        self.metrics.routed();
        let account = to.to_bare();
        let shard = shard_of(account.as_str(), self.shards());
        // What waits for the shard's leader goes first, so that nothing is overtaken (P3). A leadership that is coming to its end
        // still takes what has to stay behind the events that it hands on.
        let leading = if self.forwarder.is_idle(shard) { self.holding(shard) } else { None };
        let Some(leading) = leading else { return self.forward(shard, arrived) };
        match leading.submit(&account, Work::Inbound(arrived)) {
            Ok(()) => {}
            Err(Refused::Over(work)) => {
                if let Work::Inbound(arrived) = *work {
                    self.forward(shard, arrived);
                }
            }
            Err(Refused::Full(work)) => {
                if let Work::Inbound(arrived) = *work {
                    self.metrics.refused("stanza");
                    self.fail(arrived, &overloaded());
                }
            }
        }
    }

    /// Gives a stanza to the leader of its shard through the forwarder.
    pub fn forward(self: &Arc<Self>, shard: ShardId, arrived: Arrived) {
        if let Err(arrived) = self.forwarder.push(shard, arrived) {
            let busy = StanzaError::new(Condition::ResourceConstraint)
                .with_text("The server is too busy to pass this on. Try again later.");
            self.fail(arrived, &busy);
        }
    }

    /// A stanza can't be routed: its sender is told, and that is that.
    pub fn fail(self: &Arc<Self>, arrived: Arrived, error: &StanzaError) {
        self.bounce(&arrived.stanza, error);
        arrived.token.done();
    }

    /// Sends an error back to the sender of a stanza, if it may be answered.
    pub fn bounce(self: &Arc<Self>, stanza: &Envelope, error: &StanzaError) {
        self.metrics.bounced();
        let Some(answer) = stanza.error(error) else { return };
        if answer.to.as_ref().is_some_and(|to| self.hosts.serves(to.domain())) {
            self.route(Arrived { stanza: Arc::new(answer), ingress: None, token: Token::none() });
        }
    }

    /// Answers a step of SASL. Runs beside the account's other events: deriving keys takes milliseconds.
    pub fn authenticate(
        self: &Arc<Self>,
        leading: Arc<Leading>,
        manager: Arc<ManagerHandle>,
        request: RequestId,
        question: Question,
    ) {
        let Ok(asked) = self.asked.clone().try_acquire_owned() else {
            self.metrics.authentication("overloaded");
            let answer = Answer::Denied(SaslCondition::TemporaryAuthFailure);
            return manager.send(ToManager::Answered { request, answer });
        };
        let router = self.clone();
        let work = Box::pin(async move {
            // The semaphore is never closed.
            let _turn = router.asking.acquire().await;
            let ports = ShardPorts::new(&leading);
            let answer = contain("a step of SASL", router.engine.authenticate(question, &ports)).await;
            let answer = answer.unwrap_or(Answer::Denied(SaslCondition::TemporaryAuthFailure));
            router.metrics.authentication(match &answer {
                Answer::Salt { .. } => "salt",
                Answer::Accepted { .. } => "accepted",
                Answer::Denied(condition) => condition.name(),
            });
            manager.send(ToManager::Answered { request, answer });
            drop(asked);
        });
        if let Some(rest) = run_inline(work) {
            self.spawn(rest);
        }
    }

    /// Stops: what is on its way to other routers goes there, leaderships end, links close, tasks are waited for.
    pub async fn stop(&self) {
        // What is left then is a client's, whose manager sends it again, or it is presence.
        let _ = tokio::time::timeout(STOP_PATIENCE, self.forwarder.drained()).await;
        self.cancel.cancel();
        for leading in self.held_shards() {
            leading.end().await;
            self.lead(leading.shard, None);
        }
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// What takes the links that others make to a router.
pub struct Acceptor(pub Arc<Router>);

impl AttachAcceptor for Acceptor {
    fn accept(&self, link: RouterLink, peer: Option<String>) {
        self.0.spawn(attach::serve(self.0.clone(), link, peer));
    }
}

impl ForwardAcceptor for Acceptor {
    fn accept(&self, link: OwnerLink, peer: Option<String>) {
        self.0.spawn(owner::serve(self.0.clone(), link, peer));
    }
}
