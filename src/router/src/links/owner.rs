//! The links of routers that forward to this one: their stanzas come in here, for the shards that this router leads.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use vesta_wire::ShardId;
use vesta_wire::forward::{FromOwner, ToOwner};
use vesta_wire::link::OwnerLink;
use vesta_xmpp::hash::HashSet;
use vesta_xmpp::stanza_error::Condition;

use crate::router::Router;
use crate::shard::leading::Refused;
use crate::shard::work::{Arrived, Token, Work};

/// How many stanzas are taken at once.
const BATCH: usize = 256;

/// The answers on their way back over one link: as many as the other router has stanzas under way.
pub struct Answers {
    router: Arc<Router>,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    queue: Vec<FromOwner>,
    /// Shards of which a frame was refused: those behind it are refused too, until one says that the shard starts again.
    refusing: HashSet<ShardId>,
}

impl State {
    fn add(&mut self, answer: FromOwner) {
        match (self.queue.last_mut(), &answer) {
            (Some(FromOwner::Done { numbers }), FromOwner::Done { numbers: next })
                if numbers.end().checked_add(1) == Some(*next.start()) =>
            {
                *numbers = *numbers.start()..=*next.end();
            }
            _ => self.queue.push(answer),
        }
    }
}

impl Answers {
    fn new(router: Arc<Router>) -> Arc<Self> {
        Arc::new(Self { router, state: Mutex::default(), wake: Notify::new() })
    }

    /// A frame is done with.
    pub fn done(&self, number: u64) {
        self.send(FromOwner::Done { numbers: number..=number });
    }

    /// A frame is refused, and with it those of its shard behind it.
    pub fn refuse(&self, number: u64, shard: ShardId) {
        let leader = self.router.leader(shard);
        self.state.lock().refusing.insert(shard);
        self.send(FromOwner::NotLeader { number, leader });
    }

    fn send(&self, answer: FromOwner) {
        self.state.lock().add(answer);
        self.wake.notify_one();
    }

    /// Whether a frame of the shard may be worked at.
    fn takes(&self, shard: ShardId, restarts: bool) -> bool {
        let mut state = self.state.lock();
        if restarts {
            state.refusing.remove(&shard);
        }
        !state.refusing.contains(&shard)
    }

    async fn next(&self) -> Vec<FromOwner> {
        self.wake.notified().await;
        std::mem::take(&mut self.state.lock().queue)
    }
}

impl std::fmt::Debug for Answers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Answers").field("waiting", &self.state.lock().queue.len()).finish_non_exhaustive()
    }
}

/// Serves the link of another router that forwards to this one.
pub async fn serve(router: Arc<Router>, mut link: OwnerLink, peer: Option<String>) {
    let Some(ToOwner::Hello { node, version }) = link.receiver.recv().await else {
        tracing::warn!(?peer, "a router's link did not begin with hello");
        return;
    };
    tracing::info!(%node, ?peer, version, "router linked");
    let answers = Answers::new(router.clone());
    let writer = async {
        loop {
            for answer in answers.next().await {
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
            frames.drain(..).for_each(|frame| take(&router, &answers, frame));
        }
    };
    tokio::select! {
        () = writer => {}
        () = reader => {}
    }
    tracing::info!(%node, "router unlinked");
}

/// Takes one stanza. A frame whose token is dropped undone is refused.
fn take(router: &Arc<Router>, answers: &Arc<Answers>, frame: ToOwner) {
    let ToOwner::Stanza { number, shard, ingress, restarts, stanza } = frame else { return };
    let failed = |condition: Condition| answers.send(FromOwner::Failed { number, error: condition.into() });
    let Some(account) = stanza.to.as_ref().map(|to| to.to_bare()) else { return failed(Condition::BadRequest) };
    let token = Token::of_router(answers, number, shard);
    if !answers.takes(shard, restarts) {
        return;
    }
    let Some(leading) = router.leading(shard) else { return };
    match leading.submit(&account, Work::Inbound(Arrived { stanza, ingress, token })) {
        Ok(()) | Err(Refused::Over(_)) => {}
        Err(Refused::Full(work)) => {
            if let Some((stanza, token)) = work.stanza() {
                router.metrics.refused("stanza");
                router.bounce(&stanza, &crate::shard::work::overloaded());
                token.give_up();
            }
        }
    }
}
