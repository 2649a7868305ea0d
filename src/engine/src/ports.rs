//! What the engine asks of the world while it handles one event. The router implements it on the cluster, tests on maps.

use std::sync::Arc;

use async_trait::async_trait;
use smallvec::SmallVec;
use vesta_xmpp::{BareJid, Envelope, StreamError};

use crate::log::Mark;
use crate::store::{Change, Fence, Store};
use crate::{Hosts, Logged, Session, SessionChange, SessionKey, Timestamp};

/// Sessions of an account: one or two, mostly.
pub type Sessions = SmallVec<[Arc<Session>; 2]>;

/// The world of one event. Made anew for each, so that an implementation can tell what an event brought forth and when all of
/// that is done.
#[async_trait]
pub trait Ports: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// A new random identifier of 128 bit, as text that may stand in an attribute.
    fn random_id(&self) -> String;

    /// The virtual hosts served.
    fn hosts(&self) -> &Hosts;

    /// Whether [`Ports::route`] knows a way to this domainpart: a virtual host of ours, a component, a remote server. Where there
    /// is none the sender gets `remote-server-not-found`.
    fn reaches(&self, domain: &str) -> bool {
        self.hosts().serves(domain)
    }

    /// The account's bound sessions as of now, in the order of binding. The account must be the event's own.
    fn sessions(&self, account: &BareJid) -> Sessions;

    /// Changes a session's replicated record and returns it as it is then; `None` when it has ended meanwhile.
    ///
    /// # Errors
    /// The shard can't agree just now: answer `wait / resource-constraint`. It may still happen.
    async fn change(
        &self,
        account: &BareJid,
        key: SessionKey,
        change: SessionChange,
    ) -> Result<Option<Arc<Session>>, Undecided>;

    /// Hands a stanza to sessions of the event's own account: once each, in order. A stanza without `to` is written with each
    /// session's full JID.
    fn deliver(&self, account: &BareJid, targets: &[SessionKey], stanza: Arc<Envelope>);

    /// Hands the event's own session the answer to what it asked for, when all that the event brought forth is done: whoever is
    /// told of the change knows of it by then. Here that is at once.
    fn answer(&self, account: &BareJid, session: SessionKey, answer: Arc<Envelope>) {
        self.deliver(account, &[session], answer);
    }

    /// Sends a stanza on to the owner of its `to`: an account of a local host (this one too), or a remote domain. Stanzas
    /// routed to one address arrive in the order of the calls. What can't be routed comes back to `from` as an error.
    fn route(&self, stanza: Arc<Envelope>);

    /// What the event's stanza is recognised by when it comes again, because nobody knows whether it was done: where it came into the
    /// cluster. `None` for what a server made.
    fn ingress(&self) -> Option<Mark> {
        None
    }

    /// Hands changes of the event's own account to the store and returns at once. When they are durable, or can't be, `logged` comes
    /// back as an event of the account ([`Engine::logged`](crate::Engine::logged)): in the order of these calls, before events that
    /// came later, and what waits for this event waits for that one too. No changes: when those before them are.
    fn log(&self, account: &BareJid, changes: Vec<Change>, logged: Logged);

    /// Ends a session of the event's own account with a stream error. Its end comes back as an event.
    async fn close(&self, account: &BareJid, key: SessionKey, error: StreamError);

    /// Runs work that computes for milliseconds (a key's derivation) away from the threads that serve events, and returns when
    /// it is done. Here it runs in place.
    async fn run_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }

    /// Durable data.
    fn store(&self) -> &dyn Store;

    /// What proves to the store that no newer leader owns the account.
    fn fence(&self) -> Fence;
}

/// The cluster could not agree in time. The change may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shard has no leader or can't reach its majority just now")]
pub struct Undecided;
