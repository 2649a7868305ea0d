//! One leadership of one shard: from the moment when this node has applied everything of its own term until another term begins.
//!
//! Between the two it may be *held*: no majority has answered for a while. Nobody else can have led in this term, so that all
//! that is in memory still holds when a majority answers again; until then events wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vesta_engine::ports::Undecided;
use vesta_engine::store::Fence;
use vesta_engine::{Account, Session, SessionKey};
use vesta_wire::attach::{RequestId, ToManager};
use vesta_wire::{Epoch, SessionId, ShardId, Term};
use vesta_xmpp::hash::HashMap;
use vesta_xmpp::management::Counters;
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::stream_error::StreamCondition;
use vesta_xmpp::{BareJid, Envelope, StanzaType, StreamError};

use super::dedup::Seen;
use super::delivery::{Delivery, Remains};
use super::logging::Logs;
use super::process::process;
use super::queue::{Phase, Pushed, Queues, Turn, contain, run_inline};
use super::resuming::LastCounts;
use super::state::{Command, Departed, Outcome, ShardState};
use super::work::{Arrived, Token, Work, overloaded};
use crate::clock;
use crate::links::managers::ManagerHandle;
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
    /// The leadership is over.
    Over(Box<Work>),
    /// The account's queue is full.
    Full(Box<Work>),
}

/// How long to wait before something that the shard could not agree on is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long the end of a leadership waits for what is under way.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// See the module's documentation.
pub struct Leading {
    /// The node.
    pub router: Arc<Router>,
    /// The shard.
    pub shard: ShardId,
    /// What this leadership writes with.
    pub fence: Fence,
    /// Since when it acts without a break.
    since: Mutex<Instant>,
    /// The replicated state.
    pub group: Group<ShardMachine>,
    /// Inboxes and outboxes.
    pub delivery: Delivery,
    /// The stanzas that were worked at.
    pub seen: Seen,
    queues: Queues,
    /// What clients that come too late to resume are told.
    pub last_counts: Mutex<LastCounts>,
    /// Since when detached sessions are known to be so. Bounded by the replicated state.
    detached: Mutex<HashMap<u64, Instant>>,
    /// Departed sessions that are seen to, and whether their contacts have been told. Bounded by the replicated state.
    departing: Mutex<HashMap<SessionKey, bool>>,
    /// What has become durable, on its way back from the store.
    pub(super) logs: Logs,
    /// What could not be finished at once.
    tasks: TaskTracker,
    /// The router's: ends the tasks with the process.
    cancel: CancellationToken,
    /// Nothing is worked at any more.
    pub(super) over: CancellationToken,
    /// And what waited is handed on.
    handed_on: CancellationToken,
}

/// A leadership's life.
impl Leading {
    /// Begins to lead.
    pub fn new(router: Arc<Router>, shard: ShardId, term: Term, group: Group<ShardMachine>) -> Self {
        Self {
            shard,
            fence: Fence { shard: shard.0, generation: router.generation(), term: term.0 },
            since: Mutex::new(clock::instant()),
            group,
            delivery: Delivery::new(shard, term),
            seen: Seen::default(),
            queues: Queues::default(),
            last_counts: Mutex::default(),
            detached: Mutex::default(),
            departing: Mutex::default(),
            logs: Logs::default(),
            tasks: TaskTracker::new(),
            cancel: router.cancel.child_token(),
            over: CancellationToken::new(),
            handed_on: CancellationToken::new(),
            router,
        }
    }

    /// No majority answers: from now on events wait.
    pub fn hold(&self) {
        self.queues.enter(Phase::Held);
    }

    /// A majority answers again: events are worked at, those that waited first. Managers that were away meanwhile get their time
    /// to come back.
    pub fn resume(self: &Arc<Self>) {
        *self.since.lock() = clock::instant();
        self.enter(Phase::Open);
    }

    /// Since when it acts without a break.
    pub fn since(&self) -> Instant {
        *self.since.lock()
    }

    /// Ends. What waits goes where it can go: stanzas for accounts to the next leader, clients' frames back to their managers. What
    /// is under way is waited for, but not for ever: it can do no harm, since it proposes nothing any more and its writes are
    /// fenced.
    pub async fn end(self: &Arc<Self>) {
        self.over.cancel();
        for (key, stanzas) in self.delivery.close() {
            self.send_after(key, stanzas);
        }
        self.enter(Phase::Over);
        self.tasks.close();
        let _ = tokio::time::timeout(END_PATIENCE, self.tasks.wait()).await;
        self.handed_on.cancel();
    }

    /// Waits until the leadership has ended and what waited is handed on.
    pub async fn handed_on(&self) {
        let _ = tokio::time::timeout(END_PATIENCE, self.handed_on.cancelled()).await;
    }

    fn enter(self: &Arc<Self>, phase: Phase) {
        for (account, caches) in self.queues.enter(phase) {
            self.start(account, caches);
        }
    }

    /// What a session was never sent is sent after it, to the next leader: to its full JID, since other sessions have it already.
    fn send_after(&self, key: SessionKey, stanzas: Vec<Arc<Envelope>>) {
        let Some(session) = self.session(key) else { return };
        // A push without `from` is of the leader's own making: it is made anew when the roster is read again.
        for stanza in stanzas.into_iter().filter(|stanza| stanza.from.is_some()) {
            let stanza = Arc::unwrap_or_clone(stanza).with_to(session.jid.clone());
            self.pass(Arrived { stanza: Arc::new(stanza), ingress: None, token: Token::none() });
        }
    }

    fn pass(&self, arrived: Arrived) {
        self.router.forward(self.shard, arrived);
    }
}

/// Events.
impl Leading {
    /// Adds an event to an account's queue, and runs it here and now if nobody is at it.
    ///
    /// # Errors
    /// The event comes back: the leadership is over, or the account's queue is full.
    pub fn submit(self: &Arc<Self>, account: &BareJid, work: Work) -> Result<(), Refused> {
        match self.queues.push(account, work) {
            Pushed::Waits => {}
            Pushed::Full(work) => return Err(Refused::Full(work)),
            Pushed::Over(work) => return Err(Refused::Over(work)),
            Pushed::Run(caches) => self.start(account.clone(), caches),
        }
        Ok(())
    }

    /// As [`Leading::submit`]; what comes back is handed on, or its sender is told.
    pub fn submit_or_refuse(self: &Arc<Self>, account: &BareJid, work: Work) {
        match self.submit(account, work) {
            Ok(()) => {}
            Err(Refused::Over(work)) => self.hand_on(*work),
            Err(Refused::Full(work)) => self.refuse(*work),
        }
    }

    fn start(self: &Arc<Self>, account: BareJid, caches: Box<Account>) {
        if let Some(rest) = run_inline(Box::pin(run(self.clone(), account, caches))) {
            self.spawn(rest);
        }
    }

    /// Spawns a task that ends with the process at the latest.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        self.tasks.spawn(async move {
            let _ = cancel.run_until_cancelled_owned(future).await;
        });
    }

    /// The leadership is over: an event goes to whoever can do something about it.
    pub fn hand_on(&self, work: Work) {
        match work {
            // Dropped undone, it is refused: its router sends it to the next leader, in order with what is behind it.
            Work::Inbound(arrived) if arrived.token.is_of_router() => {}
            Work::Inbound(arrived) => self.pass(arrived),
            Work::Logged(durable) => {
                if let Some(arrived) = durable.into_arrived() {
                    self.hand_on(Work::Inbound(arrived));
                }
            }
            // Dropped undone: the manager sends both to the next leader. A lost manager's session ends there too.
            Work::Outbound { .. } | Work::Rejected { .. } | Work::MakeResumable { .. } | Work::StreamEnded { .. } => {}
            // Said again to the next leader; a lost manager's session is detached there.
            Work::Detach { .. } => {}
            // The next leader knows that it has missed something too.
            Work::Refresh { .. } => {}
            Work::Bind { manager, request, .. } | Work::Register { manager, request, .. } => {
                self.not_leader(&manager, request);
            }
            Work::Resume { resume, .. } => self.not_leader(&resume.manager, resume.request),
            // The next leader finds the session departed and tells its contacts.
            Work::Ended { undelivered, .. } => {
                let messages = undelivered.into_iter().filter(|it| matches!(it.kind, StanzaType::Message(_)));
                for stanza in messages.filter(|stanza| stanza.to.is_some()) {
                    self.pass(Arrived { stanza, ingress: None, token: Token::none() });
                }
            }
            // The stream must end (T20); the next leader finds that nobody announces its session.
            Work::Close { session, epoch, error } => {
                let key = SessionKey { number: session, epoch: epoch.0 };
                let manager = self.group.read(|machine| machine.0.record(key).map(|record| record.manager.clone()));
                if let Some(link) = manager.and_then(|manager| self.router.managers.link(&manager)) {
                    self.send_close(&link, key, error);
                }
            }
            // The dropped sender tells the administrator.
            Work::Administer { .. } => {}
        }
    }

    /// Has a manager ask the shard's leader, or here again after a while.
    pub fn not_leader(&self, manager: &ManagerHandle, request: RequestId) {
        manager.send(ToManager::NotLeader { request, leader: self.router.leader(self.shard) });
    }

    /// Answers an event that found its account's queue full.
    fn refuse(&self, work: Work) {
        self.router.metrics.refused(match work {
            Work::Inbound(Arrived { stanza, token, .. }) => {
                self.router.bounce(&stanza, &overloaded());
                token.done();
                "stanza"
            }
            Work::Bind { manager, request, .. } => {
                manager.send(ToManager::Bound { request, result: Err(overloaded()) });
                "bind"
            }
            Work::Register { manager, request, stanza } => {
                if let Some(stanza) = stanza.error(&overloaded()) {
                    manager.send(ToManager::Registered { request, stanza });
                }
                "register"
            }
            // The manager asks again a little later.
            Work::Resume { resume, .. } => {
                self.not_leader(&resume.manager, resume.request);
                "resume"
            }
            // The dropped sender tells the administrator.
            Work::Administer { .. } => "administer",
            // Tried again with the next sweep. The others are never refused.
            Work::StreamEnded { .. }
            | Work::Outbound { .. }
            | Work::Logged(_)
            | Work::Rejected { .. }
            | Work::MakeResumable { .. }
            | Work::Detach { .. }
            | Work::Refresh { .. }
            | Work::Close { .. }
            | Work::Ended { .. } => "session",
        });
    }

    /// Has an event processed again after a while: the shard could not agree. The account's other events go on meanwhile.
    pub fn retry(self: &Arc<Self>, account: &BareJid, work: Work) {
        let (leading, account) = (self.clone(), account.clone());
        self.spawn(async move {
            // Over or not: then it is handed on.
            let _ = leading.over.run_until_cancelled(tokio::time::sleep(RETRY_AFTER)).await;
            leading.submit_or_refuse(&account, work);
        });
    }

    /// Proposes a command to the shard and waits until it is applied.
    ///
    /// # Errors
    /// [`Undecided`]: it may still be applied.
    pub async fn propose(&self, command: Command) -> Result<Outcome, Undecided> {
        // This node may lead again, in a newer term: then its newer leadership proposes.
        if self.over.is_cancelled() {
            return Err(Undecided);
        }
        let reply = self.group.propose(command.encode()).await.map_err(|error| {
            tracing::warn!(shard = %self.shard, %error, "the shard could not agree");
            Undecided
        })?;
        Outcome::decode(&reply).map_err(|error| {
            tracing::error!(shard = %self.shard, %error, "the shard's reply can't be read");
            Undecided
        })
    }
}

/// Sessions.
impl Leading {
    /// A session has departed: closes its stream with `error`, or with `conflict` where another has taken its resource, and has its
    /// contacts told. Does nothing where that is under way.
    pub fn depart(self: &Arc<Self>, key: SessionKey, error: Option<StreamError>) {
        let departed = self.group.read(|machine| machine.0.departed(key).cloned());
        let Some(Departed { record, replaced }) = departed else { return };
        if self.departing.lock().insert(key, false).is_some() {
            return;
        }
        let Remains { link, undelivered, accepted } = self.delivery.ended(key);
        if let (Some(resumption), Some(accepted)) = (&record.resumption, accepted) {
            let counters = Counters::new(resumption.received_before, resumption.sent_before);
            self.last_counts.lock().insert(resumption.digest, counters.handled(accepted.0));
        }
        self.attached_again(key);
        let link = link.filter(|link| !link.is_gone()).or_else(|| self.router.managers.link(&record.manager));
        let conflict =
            || StreamError::new(StreamCondition::Conflict).with_text("Another stream has bound this resource.");
        let error = if replaced { Some(conflict()) } else { error };
        if let (Some(link), Some(error)) = (link, error) {
            self.send_close(&link, key, error);
        }
        let account = record.session.jid.to_bare();
        self.submit_or_refuse(&account, Work::Ended { session: record.session, undelivered });
    }

    /// Ends a session's stream at its manager.
    pub fn send_close(&self, link: &ManagerHandle, key: SessionKey, error: StreamError) {
        let session = SessionId { shard: self.shard, number: key.number };
        link.send(ToManager::Close { session, epoch: Epoch(key.epoch), error });
    }

    /// The contacts of a departed session have been told.
    pub fn told(&self, key: SessionKey) {
        self.departing.lock().insert(key, true);
    }

    /// Sees to departed sessions that nobody sees to: an earlier leader's, or those whose end was applied late. Has those
    /// forgotten whose contacts have been told.
    pub fn settle_departed(self: &Arc<Self>) {
        let departed: Vec<_> =
            self.group.read(|machine| machine.0.all_departed().map(|departed| departed.record.session.key).collect());
        let mut told = Vec::new();
        for key in departed {
            let is_told = self.departing.lock().get(&key).copied();
            match is_told {
                Some(true) => told.push(key),
                Some(false) => {}
                None => self.depart(key, None),
            }
        }
        if told.is_empty() {
            return;
        }
        let leading = self.clone();
        self.spawn(async move {
            if leading.propose(Command::Forget { keys: told.clone() }).await.is_ok() {
                let mut departing = leading.departing.lock();
                departing.retain(|key, _| !told.contains(key));
            }
        });
    }

    /// Hands a stanza to sessions; a session whose client is too far behind ends. `false`: the leadership is over, nobody got it.
    /// `token`: of what brought the stanza forth.
    pub fn deliver(
        self: &Arc<Self>,
        account: &BareJid,
        targets: &[SessionKey],
        stanza: &Arc<Envelope>,
        token: &Token,
    ) -> bool {
        let Some(overflowing) = self.delivery.deliver(targets, stanza, token) else { return false };
        for key in overflowing {
            let error = StreamError::new(StreamCondition::ResourceConstraint).with_text("The client reads too slowly.");
            self.router.metrics.overflowed();
            self.submit_or_refuse(account, Work::Close { session: key.number, epoch: Epoch(key.epoch), error });
        }
        true
    }

    /// For how long a detached session has waited for its client, as far as this leadership knows: at least so long, never longer.
    pub fn detached_for(&self, key: SessionKey, now: Instant) -> Duration {
        now.saturating_duration_since(*self.detached.lock().entry(key.number).or_insert(now))
    }

    /// A session is not detached any more.
    pub fn attached_again(&self, key: SessionKey) {
        self.detached.lock().remove(&key.number);
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
    let is_connected = || leading.group.read(|machine| machine.0.is_connected(&jid));
    while let Some(turn) = leading.queues.next(&jid, &mut account, is_connected) {
        match turn {
            Turn::HandOn(work) => leading.hand_on(work),
            Turn::Process(work) => {
                let caches = account.get_or_insert_with(|| Box::new(Account::new(jid.clone())));
                let stanza = work.stanza();
                match contain("an account's event", process(&leading, caches, work)).await {
                    Some(()) => {
                        if let Some((_, token)) = stanza {
                            token.done();
                        }
                    }
                    None => {
                        // What a panic has left of the caches is not to be relied on.
                        account = account.take().map(|caches| Box::new(caches.after_panic()));
                        if let Some((stanza, token)) = stanza {
                            leading.router.bounce(&stanza, &Condition::InternalServerError.into());
                            token.give_up();
                        }
                    }
                }
            }
        }
    }
}
