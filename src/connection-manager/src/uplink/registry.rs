//! All sessions of this manager, by number.

use std::sync::Arc;

use parking_lot::Mutex;
use vesta_wire::{SessionId, ShardId};
use vesta_xmpp::hash::HashMap;

use super::session::Session;

/// As many as shards by default: links of different shards don't meet at a lock.
const STRIPES: usize = 64;

type Stripe = Mutex<HashMap<SessionId, Arc<Session>>>;

/// Bounded by the connections that are admitted, and by ended sessions whose end no router has accepted yet.
#[derive(Debug)]
pub(super) struct Registry {
    stripes: Box<[Stripe]>,
}

impl Registry {
    pub(super) fn new() -> Self {
        Self { stripes: (0..STRIPES).map(|_| Stripe::default()).collect() }
    }

    fn stripe(&self, shard: ShardId) -> &Stripe {
        &self.stripes[shard.0 as usize % STRIPES]
    }

    /// Puts a session in; one of an older epoch leaves.
    pub(super) fn insert(&self, session: &Arc<Session>) -> Option<Arc<Session>> {
        self.stripe(session.id.shard).lock().insert(session.id, session.clone())
    }

    /// Takes a session out, if it is still the one.
    pub(super) fn remove(&self, session: &Arc<Session>) {
        let mut stripe = self.stripe(session.id.shard).lock();
        if stripe.get(&session.id).is_some_and(|held| Arc::ptr_eq(held, session)) {
            stripe.remove(&session.id);
        }
    }

    /// The session of a number.
    pub(super) fn find(&self, id: SessionId) -> Option<Arc<Session>> {
        self.stripe(id.shard).lock().get(&id).cloned()
    }

    /// The sessions of a shard.
    pub(super) fn of_shard(&self, shard: ShardId) -> Vec<Arc<Session>> {
        let stripe = self.stripe(shard).lock();
        stripe.values().filter(|session| session.id.shard == shard).cloned().collect()
    }

    /// All sessions, some at a time.
    pub(super) fn for_each(&self, mut act: impl FnMut(&Arc<Session>)) {
        for stripe in &self.stripes {
            let sessions: Vec<_> = stripe.lock().values().cloned().collect();
            sessions.iter().for_each(&mut act);
        }
    }
}
