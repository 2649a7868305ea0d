//! The engine's ports, on a shard's leader: the world of one event.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use async_trait::async_trait;
use vesta_engine::log::Mark;
use vesta_engine::ports::{Sessions, Undecided};
use vesta_engine::store::{Change, Fence, Store};
use vesta_engine::{Hosts, Logged, Ports, Session, SessionChange, SessionKey, Timestamp};
use vesta_wire::Epoch;
use vesta_wire::forward::IngressId;
use vesta_xmpp::{BareJid, Envelope, StreamError};

use super::leading::Leading;
use super::state::{Command, Outcome};
use super::work::{Arrived, Token, Work};
use crate::clock;

/// See the module's documentation.
pub struct ShardPorts<'a> {
    /// The shard's leader.
    leading: &'a Arc<Leading>,
    /// Who waits for what the event brings forth.
    token: Token,
    /// The client's frame that the event is, if it is one: what it brings forth is numbered after it.
    frame: Option<IngressId>,
    parts: AtomicU32,
    /// Where the event's stanza came into the cluster.
    ingress: Option<IngressId>,
    /// Whether something was handed to the store, and the event's stanza is known to the engine from now on.
    is_logging: AtomicBool,
    /// Whether a stanza was delivered after the leadership had ended: nobody got it.
    is_futile: AtomicBool,
}

impl<'a> ShardPorts<'a> {
    /// For an event that nobody waits for.
    pub fn new(leading: &'a Arc<Leading>) -> Self {
        Self::with(leading, Token::none(), None, None)
    }

    /// For a stanza from a client.
    pub fn of_frame(leading: &'a Arc<Leading>, token: &Token, ingress: IngressId) -> Self {
        Self::with(leading, token.clone(), Some(ingress), Some(ingress))
    }

    /// For a stanza to the account.
    pub fn of_stanza(leading: &'a Arc<Leading>, token: &Token, ingress: Option<IngressId>) -> Self {
        Self::with(leading, token.clone(), None, ingress)
    }

    fn with(leading: &'a Arc<Leading>, token: Token, frame: Option<IngressId>, ingress: Option<IngressId>) -> Self {
        Self {
            leading,
            token,
            frame,
            parts: AtomicU32::new(0),
            ingress,
            is_logging: AtomicBool::new(false),
            is_futile: AtomicBool::new(false),
        }
    }

    /// Whether the event has handed something to [`Ports::log`].
    pub fn is_logging(&self) -> bool {
        self.is_logging.load(Ordering::Relaxed)
    }

    /// The event is over. Whether it was to some effect: if not, the leadership had ended, and the event is the next leader's.
    pub fn finish(self) -> bool {
        self.token.done();
        !self.is_futile.into_inner()
    }

    /// The same stanza gets the same number when its frame is worked at again, by another leader.
    fn next_part(&self) -> Option<IngressId> {
        let part = self.parts.fetch_add(1, Ordering::Relaxed);
        self.frame.map(|ingress| IngressId { part, ..ingress })
    }
}

#[async_trait]
impl Ports for ShardPorts<'_> {
    fn now(&self) -> Timestamp {
        clock::now()
    }

    fn random_id(&self) -> String {
        clock::random_id()
    }

    fn hosts(&self) -> &Hosts {
        &self.leading.router.hosts
    }

    fn sessions(&self, account: &BareJid) -> Sessions {
        self.leading.group.read(|machine| machine.0.records(account).map(|record| record.session.clone()).collect())
    }

    async fn change(
        &self,
        _account: &BareJid,
        key: SessionKey,
        change: SessionChange,
    ) -> Result<Option<Arc<Session>>, Undecided> {
        match self.leading.propose(Command::Change { key, change }).await? {
            Outcome::Changed => Ok(self.leading.session(key)),
            _ => Ok(None),
        }
    }

    fn deliver(&self, account: &BareJid, targets: &[SessionKey], stanza: Arc<Envelope>) {
        if !self.leading.deliver(account, targets, &stanza, &self.token) {
            self.is_futile.store(true, Ordering::Relaxed);
        }
    }

    fn answer(&self, account: &BareJid, session: SessionKey, answer: Arc<Envelope>) {
        if !self.token.answer(account, session, &answer) {
            self.deliver(account, &[session], answer);
        }
    }

    fn route(&self, stanza: Arc<Envelope>) {
        let ingress = self.next_part();
        self.leading.router.route(Arrived { stanza, ingress, token: self.token.clone() });
    }

    fn ingress(&self) -> Option<Mark> {
        let IngressId { session, sequence, part, .. } = self.ingress?;
        // Not the epoch: a session that is resumed goes on with its numbers.
        Some(Mark::ingress(self.leading.fence.generation, session.shard.0, session.number, sequence.0, part))
    }

    fn log(&self, account: &BareJid, changes: Vec<Change>, logged: Logged) {
        self.is_logging.store(true, Ordering::Relaxed);
        self.leading.log(account, changes, logged, self.ingress, &self.token);
    }

    async fn close(&self, account: &BareJid, key: SessionKey, error: StreamError) {
        self.leading.submit_or_refuse(account, Work::Close { session: key.number, epoch: Epoch(key.epoch), error });
    }

    async fn run_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        // An error means that the work panicked or the runtime ends; the caller finds no result either way.
        if let Err(error) = tokio::task::spawn_blocking(work).await {
            tracing::error!(%error, "work on a blocking thread did not end well");
        }
    }

    fn store(&self) -> &dyn Store {
        &*self.leading.router.store
    }

    fn fence(&self) -> Fence {
        self.leading.fence
    }
}
