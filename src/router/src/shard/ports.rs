//! The engine's ports, on a shard's leader: the world of one event.

use std::sync::Arc;

use async_trait::async_trait;
use vesta_engine::ports::{Sessions, Undecided};
use vesta_engine::store::{Fence, Store};
use vesta_engine::{Hosts, Ports, Session, SessionChange, SessionKey, Timestamp};
use vesta_wire::Epoch;
use vesta_xmpp::{BareJid, Envelope, StreamError};

use super::leading::Leading;
use super::state::{Command, Outcome};
use super::work::{Token, Work};
use crate::clock;

/// See the module's documentation.
pub struct ShardPorts<'a> {
    /// The shard's leader.
    pub leading: &'a Arc<Leading>,
    /// The inbound frame that stands behind the event, if one does.
    pub token: Token,
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
        self.leading.deliver(account, targets, &stanza);
    }

    fn route(&self, stanza: Envelope) {
        self.leading.router.route(Arc::new(stanza), self.token.clone());
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
