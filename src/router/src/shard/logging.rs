//! From the store back into the queues: what an account's log was to take is durable, or can't be.
//!
//! The store says so on a thread of its own, for many accounts at a time. One task of the leadership takes all that is said and puts it
//! into the queues, in order. Should the leadership end before, a stanza to the account goes to the next leader, who finds it in the log
//! if it got there; a client's frame stays undone and comes again.
//!
//! The channel needs no bound of its own: what is on its way through it was in the store's queue, which has one, and the engine lets
//! no more than some thousand entries of an account be under way (`vesta_engine::logging::LOGGING_MAX`).

use std::sync::{Arc, OnceLock};

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use vesta_engine::store::Change;
use vesta_engine::{Account, Logged, StoreError};
use vesta_wire::forward::IngressId;
use vesta_xmpp::BareJid;

use super::leading::Leading;
use super::ports::ShardPorts;
use super::work::{Arrived, Token, Work};

/// What the store has said of changes that it was handed.
#[derive(Debug)]
pub struct Durable {
    /// What follows.
    pub logged: Logged,
    /// Whether they are durable.
    pub outcome: Result<(), StoreError>,
    /// Where the stanza came into the cluster.
    pub ingress: Option<IngressId>,
    /// Who waits for it.
    pub token: Token,
}

impl Durable {
    /// The stanza to the account, as it came; `None` where there is none.
    pub fn into_arrived(self) -> Option<Arrived> {
        let stanza = self.logged.inbound()?.clone();
        Some(Arrived { stanza, ingress: self.ingress, token: self.token })
    }
}

/// The way from the store's threads. Its task runs from the first entry on.
#[derive(Debug, Default)]
pub struct Logs(OnceLock<mpsc::UnboundedSender<(BareJid, Box<Durable>)>>);

impl Leading {
    /// Hands changes to the store; see [`vesta_engine::Ports::log`].
    pub fn log(
        self: &Arc<Self>,
        account: &BareJid,
        changes: Vec<Change>,
        logged: Logged,
        ingress: Option<IngressId>,
        token: &Token,
    ) {
        let sender = self.logs.0.get_or_init(|| {
            let (sender, receiver) = mpsc::unbounded_channel();
            self.spawn(run(self.clone(), receiver));
            sender
        });
        // Weak: the store must not keep a leadership alive that has ended.
        let (sender, leading, runtime) = (sender.clone(), Arc::downgrade(self), Handle::current());
        let (owner, token) = (account.clone(), token.clone());
        let done = move |outcome| {
            let durable = Box::new(Durable { logged, outcome, ingress, token });
            if let Err(mpsc::error::SendError((_, durable))) = sender.send((owner, durable))
                && let Some(leading) = leading.upgrade()
            {
                let _entered = runtime.enter();
                leading.hand_on(Work::Logged(durable));
            }
        };
        self.router.store.submit(self.fence, account, changes, Box::new(done));
    }
}

/// Puts what the store says into the queues, until the leadership is over.
async fn run(leading: Arc<Leading>, mut receiver: mpsc::UnboundedReceiver<(BareJid, Box<Durable>)>) {
    while let Some(Some((account, durable))) = leading.over.run_until_cancelled(receiver.recv()).await {
        leading.submit_or_refuse(&account, Work::Logged(durable));
    }
    receiver.close();
    while let Some((account, durable)) = receiver.recv().await {
        leading.submit_or_refuse(&account, Work::Logged(durable));
    }
}

/// Processes what the store has said.
pub async fn logged(leading: &Arc<Leading>, account: &mut Account, durable: Durable) {
    let Durable { logged, outcome, ingress, token } = durable;
    let stanza = logged.inbound().cloned();
    let is_fenced = outcome == Err(StoreError::Fenced);
    let ports = ShardPorts::of_stanza(leading, &token, ingress);
    leading.router.engine.logged(account, logged, outcome, &ports).await;
    if ports.finish() && !is_fenced {
        return token.done();
    }
    // A newer leader sees to it. One that was only sent within this process would not come again by itself.
    if let Some(stanza) = stanza.filter(|_| !token.is_of_router()) {
        leading.retry(&account.jid, Work::Inbound(Arrived { stanza, ingress, token }));
    }
}
