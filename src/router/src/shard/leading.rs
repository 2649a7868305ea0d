//! One leadership of one shard: from the moment when this node has applied everything of its own term until it is deposed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vesta_engine::ports::Undecided;
use vesta_engine::store::Fence;
use vesta_engine::{Account, Session, SessionKey};
use vesta_wire::{Epoch, ShardId, Term};
use vesta_xmpp::{BareJid, Envelope, StreamError};

use super::delivery::Delivery;
use super::queue::{Pushed, Queues, run_inline};
use super::state::{Command, Outcome, Record, ShardState};
use super::work::Work;
use crate::clock;
use crate::raft::{Group, Machine, RestoreError};
use crate::router::Router;

/// The shard's state as a Raft group applies it.
#[derive(Debug, Default)]
pub struct ShardMachine(pub ShardState);

impl Machine for ShardMachine {
    fn apply(&mut self, _index: u64, command: &[u8]) -> Bytes {
        match Command::decode(command) {
            Ok(command) => self.0.apply(command).encode(),
            Err(error) => crate::unreadable(&error),
        }
    }

    fn snapshot(&self) -> Bytes {
        self.0.encode()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        self.0 = ShardState::decode(snapshot).map_err(|error| RestoreError(error.to_string()))?;
        Ok(())
    }
}

/// Why an event came back.
pub enum Refused {
    /// The leadership has ended.
    Ended(Box<Work>),
    /// The account's queue is full.
    Full(Box<Work>),
}

/// How long to wait before something that the shard could not agree on is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// See the module's documentation.
pub struct Leading {
    /// The node.
    pub router: Arc<Router>,
    /// The shard.
    pub shard: ShardId,
    /// What this leadership writes with.
    pub fence: Fence,
    /// Since when.
    pub since: Instant,
    /// The replicated state.
    pub group: Group<ShardMachine>,
    /// Inboxes and outboxes.
    pub delivery: Delivery,
    queues: Queues,
    /// What could not be finished at once.
    tasks: TaskTracker,
    /// The router's: ends the tasks with the process.
    cancel: CancellationToken,
    ended: AtomicBool,
}

impl Leading {
    /// Begins to lead.
    pub fn new(router: Arc<Router>, shard: ShardId, generation: u64, term: Term, group: Group<ShardMachine>) -> Self {
        Self {
            shard,
            fence: Fence { shard: shard.0, generation, term: term.0 },
            since: clock::instant(),
            group,
            delivery: Delivery::new(shard, term),
            queues: Queues::default(),
            tasks: TaskTracker::new(),
            cancel: router.cancel.child_token(),
            ended: AtomicBool::new(false),
            router,
        }
    }

    /// Ends. What waits goes where it can go: stanzas for accounts to the next leader, clients' frames back to their managers. What
    /// is under way runs to its end: it can do no harm, since its proposals find no leader and its writes are fenced.
    pub async fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        for work in self.queues.drain() {
            self.hand_on(work);
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn hand_on(&self, work: Work) {
        match work {
            Work::Inbound { stanza, token } => self.router.route(stanza, token),
            Work::Outbound { token, .. } => token.abandon(),
            other => {
                self.refuse(other);
            }
        }
    }

    /// Adds an event to an account's queue, and runs it here and now if nobody is at it.
    ///
    /// # Errors
    /// The event comes back: the leadership has ended, or the account's queue is full.
    pub fn submit(self: &Arc<Self>, account: &BareJid, work: Work) -> Result<(), Refused> {
        if self.ended.load(Ordering::SeqCst) {
            return Err(Refused::Ended(Box::new(work)));
        }
        match self.queues.push(account, work) {
            Pushed::Waits => {}
            Pushed::Full(work) => return Err(Refused::Full(work)),
            Pushed::Run(caches) => {
                let run = Box::pin(run(self.clone(), account.clone(), caches));
                if let Some(rest) = run_inline(run) {
                    self.spawn(rest);
                }
            }
        }
        Ok(())
    }

    /// As [`Leading::submit`]; what comes back is handed on, or its sender is told.
    pub fn submit_or_refuse(self: &Arc<Self>, account: &BareJid, work: Work) {
        match self.submit(account, work) {
            Ok(()) => {}
            Err(Refused::Ended(work)) => self.hand_on(*work),
            Err(Refused::Full(work)) => self.router.metrics.refused(self.refuse(*work)),
        }
    }

    /// Spawns a task that ends with the process at the latest.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        self.tasks.spawn(async move {
            let _ = cancel.run_until_cancelled_owned(future).await;
        });
    }

    /// Answers an event that found its account's queue full.
    fn refuse(&self, work: Work) -> &'static str {
        match work {
            Work::Outbound { stanza, .. } | Work::Inbound { stanza, .. } => {
                if let Some(error) = stanza.error(&super::work::overloaded()) {
                    self.router.route_back(error);
                }
                "stanza"
            }
            Work::Bind { manager, request, .. } => {
                let result = Err(super::work::overloaded());
                manager.send(vesta_wire::attach::ToManager::Bound { request, result });
                "bind"
            }
            Work::Register { manager, request, stanza } => {
                if let Some(stanza) = stanza.error(&super::work::overloaded()) {
                    manager.send(vesta_wire::attach::ToManager::Registered { request, stanza });
                }
                "register"
            }
            // Dropped: the manager announces the session again and is told that it has ended.
            Work::StreamEnded { .. } | Work::Close { .. } | Work::Ended { .. } => "session",
            // The dropped sender tells the administrator.
            Work::Administer { .. } => "administer",
        }
    }

    /// Proposes a command to the shard and waits until it is applied.
    ///
    /// # Errors
    /// [`Undecided`]: it may still be applied.
    pub async fn propose(&self, command: Command) -> Result<Outcome, Undecided> {
        let reply = self.group.propose(command.encode()).await.map_err(|error| {
            tracing::warn!(shard = %self.shard, %error, "the shard could not agree");
            Undecided
        })?;
        Outcome::decode(&reply).map_err(|error| {
            tracing::error!(shard = %self.shard, %error, "the shard's reply can't be read");
            Undecided
        })
    }

    /// Ends a session in the replicated state. `None`: it had ended.
    ///
    /// # Errors
    /// As [`Leading::propose`].
    pub async fn end_session(&self, key: SessionKey) -> Result<Option<Record>, Undecided> {
        Ok(match self.propose(Command::End { key }).await? {
            Outcome::Ended(record) => Some(record),
            _ => None,
        })
    }

    /// A session has left the replicated state: closes its stream with `error`, if one is given, and has its contacts told.
    pub fn session_gone(self: &Arc<Self>, record: Record, error: Option<StreamError>) {
        let key = record.session.key;
        let (link, undelivered) = self.delivery.ended(key);
        if let Some(error) = error
            && let Some(link) = link.or_else(|| self.router.managers.link(&record.manager))
        {
            let session = vesta_wire::SessionId { shard: self.shard, number: key.number };
            link.send(vesta_wire::attach::ToManager::Close { session, epoch: Epoch(key.epoch), error });
        }
        let account = record.session.jid.to_bare();
        self.submit_or_refuse(&account, Work::Ended { session: record.session, undelivered });
    }

    /// Hands a stanza to sessions; a session whose client is too far behind ends.
    pub fn deliver(self: &Arc<Self>, account: &BareJid, targets: &[SessionKey], stanza: &Arc<Envelope>) {
        for key in self.delivery.deliver(targets, stanza) {
            let error = StreamError::new(vesta_xmpp::stream_error::StreamCondition::ResourceConstraint)
                .with_text("The client reads too slowly.");
            self.router.metrics.overflowed();
            self.submit_or_refuse(account, Work::Close { session: key.number, epoch: Epoch(key.epoch), error });
        }
    }

    /// Has an event processed again after a while: the shard could not agree. The queue keeps the account's order meanwhile for
    /// everything else.
    pub fn retry(self: &Arc<Self>, key: SessionKey, work: Work) {
        let Some(session) = self.session(key) else { return };
        let leading = self.clone();
        self.spawn(async move {
            tokio::time::sleep(RETRY_AFTER).await;
            leading.submit_or_refuse(&session.jid.to_bare(), work);
        });
    }

    /// The account of a session.
    pub fn account_of(&self, key: SessionKey) -> Option<BareJid> {
        self.group.read(|machine| machine.0.record(key).map(|record| record.session.jid.to_bare()))
    }

    /// The session with this key.
    pub fn session(&self, key: SessionKey) -> Option<Arc<Session>> {
        self.group.read(|machine| machine.0.record(key).map(|record| record.session.clone()))
    }
}

/// Runs the events of one account until none waits.
async fn run(leading: Arc<Leading>, jid: BareJid, account: Box<Account>) {
    let mut account = Some(account);
    while let Some(work) = leading.queues.next(&jid, &mut account) {
        // `next` takes the account only when it returns `None`.
        let Some(account) = account.as_mut() else { return };
        super::process::process(&leading, account, work).await;
    }
}
