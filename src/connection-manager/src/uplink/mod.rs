//! The way up: links to all routers, and the sessions whose frames go over them.
//!
//! | file | subject |
//! |---|---|
//! | [`peer`] | makes one link to one router, again and again |
//! | [`link`] | a link while it is up: who waits for room, who for an answer |
//! | [`routes`] | which router leads which shard |
//! | [`requests`] | SASL steps, binding and registration, asked until answered |
//! | [`session`] | where a connection and the links meet |
//! | [`window`] | what came from a client and is not yet accepted |
//! | [`outgoing`] | what waits to be written to a client |
//! | [`management`], [`resumption`] | XEP-0198: what is owed to a client, and asked of it; by what it resumes |
//! | [`backoff`] | pauses between attempts |
//! | [`registry`] | all sessions |
//! | [`frames`] | what routers send |
//!
//! A session that is told of a change of its shard's leader, or of a lost link, is announced to the leader; what was not
//! accepted goes again, in order, before anything new. While there is no leader sessions stay, frames wait in their
//! windows, and a full window stops the reading of its socket.

mod backoff;
mod frames;
mod link;
mod management;
pub(crate) mod outgoing;
mod peer;
mod registry;
mod requests;
mod resumption;
mod routes;
pub(crate) mod session;
pub(crate) mod window;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vesta_wire::attach::{BoundSession, EndReason, Leader, ResumedSession};
use vesta_wire::link::AttachDialer;
use vesta_wire::{ManagerName, ShardId, StreamId};

use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::Metrics;
use link::RouterLink;
use outgoing::OutgoingLimits;
use registry::Registry;
use routes::Routes;
use session::Session;

/// See the module's documentation.
pub(crate) struct Uplink {
    manager: ManagerName,
    dialer: Arc<dyn AttachDialer>,
    metrics: Metrics,
    clock: Clock,
    request_timeout: Duration,
    outgoing_limits: OutgoingLimits,
    routes: RwLock<Routes>,
    /// Counts changes of the routes, for those who wait for one.
    changes: watch::Sender<u64>,
    sessions: Registry,
    /// Shards whose presumed leader said that it is none: their sessions are announced again a little later.
    unsettled: Mutex<HashSet<ShardId>>,
    /// Addresses that a [`peer`] task looks after.
    addresses: Mutex<HashSet<Arc<str>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl fmt::Debug for Uplink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Uplink").field("manager", &self.manager).finish_non_exhaustive()
    }
}

impl Uplink {
    /// Starts linking to the configured routers.
    pub(crate) fn start(config: &Config, dialer: Arc<dyn AttachDialer>, metrics: Metrics, clock: Clock) -> Arc<Self> {
        let uplink = Arc::new(Self {
            manager: ManagerName { name: config.name.clone(), incarnation: crate::random::number() },
            dialer,
            metrics,
            clock,
            request_timeout: config.request_timeout,
            outgoing_limits: OutgoingLimits {
                bytes: config.limits.outgoing_bytes,
                stanzas: config.limits.outgoing_stanzas,
            },
            routes: RwLock::default(),
            changes: watch::Sender::new(0),
            sessions: Registry::new(),
            unsettled: Mutex::default(),
            addresses: Mutex::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        });
        for address in &config.routers {
            uplink.add_peer(address.clone());
        }
        uplink
    }

    /// Whether every shard's leader is known and linked.
    pub(crate) fn is_complete(&self) -> bool {
        self.routes.read().is_complete()
    }

    /// Waits until [`Uplink::is_complete`].
    pub(crate) async fn complete(&self) {
        let mut changes = self.changes.subscribe();
        while !self.is_complete() && changes.changed().await.is_ok() {}
    }

    /// All sessions, those included whose end is not yet accepted.
    pub(crate) fn for_each_session(&self, act: impl FnMut(&Arc<Session>)) {
        self.sessions.for_each(act);
    }

    /// Forgets a session that nobody has spoken of for long.
    pub(crate) fn forget(&self, session: &Arc<Session>) {
        self.sessions.remove(session);
    }

    /// Ends all links. What was not accepted is lost with this process.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Takes news of leaders; the sessions of shards that have a new one are announced to it.
    fn observe(&self, news: impl IntoIterator<Item = Leader>) {
        let changed: Vec<ShardId> = {
            let mut routes = self.routes.write();
            news.into_iter().filter(|leader| routes.observe(*leader)).map(|leader| leader.shard).collect()
        };
        for shard in &changed {
            self.attach_shard(*shard, true);
        }
        if !changed.is_empty() {
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Turns a shard's sessions to its leader: so many.
    fn attach_shard(&self, shard: ShardId, anew: bool) -> usize {
        let sessions = self.sessions.of_shard(shard);
        sessions.iter().for_each(|session| self.attach(session, anew));
        sessions.len()
    }

    fn attach(&self, session: &Arc<Session>, anew: bool) {
        session.attach(anew, || self.routes.read().to_leader(session.id.shard).cloned());
    }

    /// A session that a router has just bound.
    fn add_session(self: &Arc<Self>, bound: BoundSession, link: &Arc<RouterLink>) -> BoundHandle {
        self.add(Session::new(bound, link, self.clock.now_s()))
    }

    /// A session that a router has just let go on over a stream of this manager.
    fn add_resumed(self: &Arc<Self>, resumed: ResumedSession, link: &Arc<RouterLink>) -> BoundHandle {
        self.add(Session::resumed(resumed, link, self.clock.now_s()))
    }

    fn add(self: &Arc<Self>, session: Arc<Session>) -> BoundHandle {
        if let Some(older) = self.sessions.insert(&session) {
            let error = vesta_xmpp::StreamError::new(vesta_xmpp::stream_error::StreamCondition::Conflict);
            older.closed(error);
        }
        self.metrics.sessions.inc();
        // The leader may have changed before the session could be found: see to it that it is attached to the newest.
        self.attach(&session, false);
        BoundHandle { session, uplink: self.clone() }
    }
}

/// A live session, held by its connection. Dropping it ends the session, or detaches one that can be resumed.
pub(crate) struct BoundHandle {
    session: Arc<Session>,
    uplink: Arc<Uplink>,
}

impl BoundHandle {
    /// The session.
    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Tells the router why the session ends. What comes later changes nothing.
    pub(crate) fn end(&self, reason: EndReason) {
        if self.session.end(reason) {
            self.uplink.sessions.remove(&self.session);
        }
    }
}

impl Drop for BoundHandle {
    fn drop(&mut self) {
        self.end(EndReason::Lost);
        self.uplink.metrics.sessions.dec();
    }
}

impl fmt::Debug for BoundHandle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("BoundHandle").field(&self.session.id).finish()
    }
}

/// The number of a new stream.
pub(crate) fn next_stream() -> StreamId {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    StreamId(NEXT.fetch_add(1, Ordering::Relaxed))
}
