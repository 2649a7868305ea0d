//! The stage: routers in one process, the store that they share, and the wires between them, which can be cut.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vesta_engine::engine::Settings;
use vesta_engine::log::{LogEntry, LogId};
use vesta_engine::roster::{RosterItem, Subscription};
use vesta_engine::store::{Change, Credentials, Fence, Store};
use vesta_engine::testing::MemoryStore;
use vesta_engine::{Engine, Host, Hosts, Timestamp};
use vesta_wire::ShardId;
use vesta_wire::administration::{AccountCommand, AdministrationError, Outcome, SessionRecord};
use vesta_wire::attach::RouterInfo;
use vesta_wire::cluster::{Admission, AdmitRequest, ClusterAcceptor, ClusterDialer, Identity};
use vesta_wire::ids::shard_of;
use vesta_wire::link::{
    self, AttachAcceptor, ForwardAcceptor, ForwardDialer, ForwardLink, Link, LinkError, ManagerLink,
};
use vesta_wire::raft::{
    AppendReply, AppendRequest, RaftAcceptor, RaftCallError, RaftDialer, SnapshotRequest, TransferRequest, Vote,
    VoteReply, VoteRequest,
};
use vesta_xmpp::BareJid;

use super::module::TestModule;
use crate::meta::join::{JoinError, join};
use crate::raft::{RaftHost, RaftSettings};
use crate::{Acceptor, Dialers, Founder, LogPlace, Parts, Router, RouterConfig, RouterMetrics};

const HOST: &str = "example.com";
/// The names of the routers. Each is also its address.
pub(super) const NAMES: [&str; 3] = ["verona", "padua", "mantua"];
/// How many shards the clusters of the tests have.
pub(super) const SHARDS: u32 = 6;
/// How long a manager may be away.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// Waits for something that must come.
///
/// # Panics
/// It has not come after minutes.
pub(super) async fn soon<T>(what: &str, event: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(300), event).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: never happened"),
    }
}

/// A router and its replicas.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) router: Arc<Router>,
    pub(super) raft: RaftHost,
}

/// Routers by their names, and the links between them and to connection managers.
#[derive(Default)]
pub(super) struct Wires {
    nodes: Mutex<HashMap<String, Node>>,
    cut: Mutex<HashSet<String>>,
    /// Ends the links of a node when it is cut off.
    links: Mutex<HashMap<String, CancellationToken>>,
    tasks: TaskTracker,
}

impl Wires {
    /// Cuts a node off from everybody.
    pub(super) fn cut(&self, name: &str) {
        self.cut.lock().insert(name.to_owned());
        if let Some(links) = self.links.lock().remove(name) {
            links.cancel();
        }
    }

    /// Joins it again.
    pub(super) fn heal(&self, name: &str) {
        self.cut.lock().remove(name);
    }

    /// Breaks the links of a node, as a connection breaks: they can be made again at once.
    pub(super) fn break_links(&self, name: &str) {
        self.cut(name);
        self.heal(name);
    }

    pub(super) fn find(&self, from: &str, to: &str) -> Result<Node, LinkError> {
        let cut = self.cut.lock();
        let node = self.nodes.lock().get(to).cloned();
        node.filter(|_| !cut.contains(from) && !cut.contains(to))
            .ok_or_else(|| LinkError::Unreachable { address: to.to_owned(), reason: "cut".into() })
    }

    fn token(&self, name: &str) -> CancellationToken {
        self.links.lock().entry(name.to_owned()).or_default().clone()
    }

    /// A link between two names that breaks when one of them is cut off.
    fn link<A: Send + 'static, B: Send + 'static>(&self, from: &str, to: &str) -> (Link<A, B>, Link<B, A>) {
        let (near, relay_near) = link::pair();
        let (relay_far, far) = link::pair();
        let (one, other) = (self.token(from), self.token(to));
        self.tasks.spawn(async move {
            tokio::select! {
                () = one.cancelled() => {}
                () = other.cancelled() => {}
                () = relay(relay_near, relay_far) => {}
            }
        });
        (near, far)
    }

    /// A connection manager attaches.
    pub(super) fn attach(&self, manager: &str, router: &str) -> Result<ManagerLink, LinkError> {
        let node = self.find(manager, router)?;
        let (near, far) = self.link(manager, router);
        AttachAcceptor::accept(&Acceptor(node.router), far, None);
        Ok(near)
    }

    /// A router of the test's own making links to forward.
    pub(super) fn forward(&self, from: &str, to: &str) -> Result<ForwardLink, LinkError> {
        let node = self.find(from, to)?;
        let (near, far) = self.link(from, to);
        ForwardAcceptor::accept(&Acceptor(node.router), far, None);
        Ok(near)
    }
}

async fn relay<A, B>(mut near: Link<B, A>, mut far: Link<A, B>) {
    loop {
        let is_up = tokio::select! {
            frame = near.receiver.recv() => match frame {
                Some(frame) => far.sender.send(frame).await.is_ok(),
                None => false,
            },
            frame = far.receiver.recv() => match frame {
                Some(frame) => near.sender.send(frame).await.is_ok(),
                None => false,
            },
        };
        if !is_up {
            return;
        }
    }
}

/// What one router reaches others with.
struct Wire {
    from: String,
    wires: Arc<Wires>,
}

impl Wire {
    fn raft(&self, to: &RouterInfo) -> Result<RaftHost, LinkError> {
        Ok(self.wires.find(&self.from, &to.address)?.raft)
    }

    fn acceptor(&self, address: &str) -> Result<Acceptor, LinkError> {
        Ok(Acceptor(self.wires.find(&self.from, address)?.router))
    }
}

#[async_trait]
impl RaftDialer for Wire {
    async fn append(&self, to: &RouterInfo, request: AppendRequest) -> Result<AppendReply, RaftCallError> {
        let reply = self.raft(to)?.append(request).await?;
        self.raft(to)?;
        Ok(reply)
    }

    async fn vote(&self, to: &RouterInfo, request: VoteRequest) -> Result<VoteReply, RaftCallError> {
        let reply = self.raft(to)?.vote(request).await?;
        self.raft(to)?;
        Ok(reply)
    }

    async fn snapshot(&self, to: &RouterInfo, request: SnapshotRequest) -> Result<Vote, RaftCallError> {
        Ok(self.raft(to)?.snapshot(request).await?)
    }

    async fn transfer(&self, to: &RouterInfo, request: TransferRequest) -> Result<(), RaftCallError> {
        Ok(self.raft(to)?.transfer(request).await?)
    }
}

#[async_trait]
impl ForwardDialer for Wire {
    async fn forward(&self, router: &RouterInfo) -> Result<ForwardLink, LinkError> {
        self.wires.forward(&self.from, &router.address)
    }
}

#[async_trait]
impl ClusterDialer for Wire {
    async fn identify(&self, address: &str) -> Result<Identity, LinkError> {
        Ok(self.acceptor(address)?.identify().await)
    }

    async fn admit(&self, address: &str, request: AdmitRequest) -> Result<Admission, LinkError> {
        Ok(self.acceptor(address)?.admit(request).await)
    }

    async fn administer(
        &self,
        address: &str,
        command: AccountCommand,
    ) -> Result<Result<Outcome, AdministrationError>, LinkError> {
        Ok(self.acceptor(address)?.administer(command).await)
    }

    async fn sessions(&self, address: &str, host: Option<&str>, limit: u32) -> Result<Vec<SessionRecord>, LinkError> {
        Ok(self.acceptor(address)?.sessions(host, limit).await)
    }
}

/// A cluster.
pub(super) struct World {
    pub(super) wires: Arc<Wires>,
    pub(super) store: Arc<MemoryStore>,
    pub(super) module: Arc<TestModule>,
    names: Vec<&'static str>,
}

impl World {
    /// A cluster of one router.
    pub(super) async fn of_one() -> Self {
        Self::of(&NAMES[..1]).await
    }

    /// A cluster of three routers.
    pub(super) async fn of_three() -> Self {
        Self::of(&NAMES).await
    }

    async fn of(names: &[&'static str]) -> Self {
        let world = Self {
            wires: Arc::default(),
            store: Arc::new(MemoryStore::default()),
            module: Arc::default(),
            names: names.to_vec(),
        };
        let joining = world.names.iter().map(|name| world.start(name));
        let joined: Result<Vec<()>, _> = futures_util::future::join_all(joining).await.into_iter().collect();
        joined.expect("all routers join");
        soon("every shard is led", world.settled()).await;
        world
    }

    /// Waits until every shard has a leader that leads.
    async fn settled(&self) {
        let is_led = |shard| self.leader(ShardId(shard)).is_some();
        while !(0..SHARDS).all(is_led) {
            // Time is paused: it moves on when everybody waits.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Starts a router with an empty disk, in the place of one that was killed.
    pub(super) async fn start(&self, name: &'static str) -> Result<(), JoinError> {
        let node = self.make(name);
        self.wires.nodes.lock().insert(name.to_owned(), node.clone());
        self.wires.heal(name);
        soon("joining", join(node.router, node.raft)).await
    }

    /// A router that is in no cluster yet.
    pub(super) fn make(&self, name: &str) -> Node {
        let wire = Arc::new(Wire { from: name.to_owned(), wires: self.wires.clone() });
        let host = || Host { domain: HOST.to_owned() };
        let founders = self.names.iter().map(|name| Founder { name: (*name).into(), address: (*name).into() });
        let router = Router::new(Parts {
            config: RouterConfig {
                name: name.to_owned(),
                address: name.to_owned(),
                founders: founders.collect(),
                shards: SHARDS,
                log: LogPlace::Memory,
                manager_grace: GRACE,
            },
            engine: Arc::new(Engine::new(Settings::default(), [(host(), vec![self.module.clone() as _])])),
            store: self.store.clone(),
            hosts: Arc::new(Hosts::new([host()])),
            dialers: Dialers { raft: wire.clone(), forward: wire.clone(), cluster: wire },
            metrics: Arc::new(RouterMetrics::default()),
        });
        // Half as many heartbeats: time that passes costs the tests nothing else.
        let settings = RaftSettings { heartbeat: Duration::from_millis(500), ..RaftSettings::default() };
        let raft = RaftHost::in_memory(settings, Arc::new(|reason| panic!("Raft failed: {reason}")));
        Node { router, raft }
    }

    /// A router, also a dead one.
    pub(super) fn router(&self, name: &str) -> Arc<Router> {
        self.wires.nodes.lock()[name].router.clone()
    }

    /// Kills a router: nobody hears from it any more.
    pub(super) fn kill(&self, name: &str) {
        self.wires.cut(name);
        self.router(name).cancel.cancel();
        let raft = self.wires.nodes.lock()[name].raft.clone();
        self.wires.tasks.spawn(async move { raft.stop().await });
    }

    /// The router that leads a shard, by its own account.
    pub(super) fn leader(&self, shard: ShardId) -> Option<&'static str> {
        let leads =
            |name: &&&str| !self.wires.cut.lock().contains(**name) && self.router(name).leading(shard).is_some();
        self.names.iter().find(leads).copied()
    }

    /// An account whose shard this router leads.
    pub(super) async fn account_at(&self, router: &str) -> BareJid {
        self.accounts_at(router).await.remove(0)
    }

    /// Two accounts of different shards that this router leads.
    pub(super) async fn accounts_at(&self, router: &str) -> Vec<BareJid> {
        let jid = |number: u32| BareJid::parse(&format!("user{number}@{HOST}")).expect("a JID");
        let mut shards = HashSet::new();
        let mut found = Vec::new();
        for account in (0..1000).map(jid) {
            let shard = shard_of(account.as_str(), SHARDS);
            if self.leader(shard) == Some(router) && shards.insert(shard) {
                self.make_account(&account).await;
                found.push(account);
            }
        }
        assert!(!found.is_empty(), "{router} leads nothing");
        found
    }

    /// Makes an account that nobody can log in to.
    pub(super) async fn make_account(&self, account: &BareJid) {
        let nothing = Credentials { verifiers: BTreeMap::new() };
        self.store.create_account(FENCE, account, &nothing, Timestamp(1)).await.expect("the store works");
    }

    /// Puts an entry of long ago into an account's log: so many milliseconds after 1970.
    pub(super) async fn log_entry(&self, account: &BareJid, at: u64) {
        let entry = LogEntry {
            id: LogId::first_of(Timestamp(at)),
            peer: account.clone().into(),
            ingress: None,
            origin: None,
            archived: true,
            waiting: false,
            stanza: bytes::Bytes::from_static(b"<message xmlns='jabber:client'/>"),
        };
        self.store.write(FENCE, account, vec![Change::Log(entry)]).await.expect("the store works");
    }

    /// Lets each of two accounts see the other's presence.
    pub(super) async fn befriend(&self, one: &BareJid, other: &BareJid) {
        for (owner, contact) in [(one, other), (other, one)] {
            self.make_account(owner).await;
            let item =
                RosterItem { subscription: Subscription::Both, listed: true, ..RosterItem::new(contact.clone()) };
            let change = Change::RosterPut { version: 1, item };
            self.store.write(FENCE, owner, vec![change]).await.expect("the store works");
        }
    }
}

/// Of nobody in the cluster.
const FENCE: Fence = Fence { shard: u32::MAX, generation: 0, term: 0 };

/// The shard of an account.
pub(super) fn shard(account: &BareJid) -> ShardId {
    shard_of(account.as_str(), SHARDS)
}
