//! The ports onto a [`World`](super::World).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use vesta_xmpp::{BareJid, Envelope, Flags, StreamError};

use super::memory::MemoryStore;
use crate::log::Mark;
use crate::ports::{Sessions, Undecided};
use crate::store::{Change, Fence, Store, StoreError};
use crate::{Hosts, Logged, Ports, Session, SessionChange, SessionKey, Timestamp};

/// The one leader there is.
pub(super) const FENCE: Fence = Fence { shard: 0, generation: 1, term: 1 };

/// A bound session, and what it has received and not yet said so.
pub(super) struct Bound {
    /// The greatest [`Envelope::logged`] that it has got.
    pub(super) logged: u64,
    pub(super) session: Arc<Session>,
    pub(super) inbox: VecDeque<Envelope>,
    pub(super) closed: Option<StreamError>,
}

/// What is to happen next.
pub(super) enum Event {
    Inbound(Arc<Envelope>, Option<Mark>),
    Ended(Arc<Session>),
    Logged(BareJid, Logged, Option<Mark>, Result<(), StoreError>),
}

#[derive(Default)]
pub(super) struct State {
    pub(super) now: Timestamp,
    pub(super) ids: u64,
    pub(super) bound: Vec<Bound>,
    pub(super) ended: Vec<Bound>,
    pub(super) events: VecDeque<Event>,
    /// Domains elsewhere that can be reached, and what was sent to them.
    pub(super) remote_domains: Vec<String>,
    pub(super) remote: VecDeque<Envelope>,
    /// Whether the shard can't agree.
    pub(super) undecided: bool,
    /// What the stanza of the event that is going on is recognised by.
    pub(super) ingress: Option<Mark>,
    /// How many stanzas clients have sent, and whether the next one is the last one again.
    pub(super) frames: u64,
    /// How often keys were derived.
    pub(super) derivations: u64,
}

impl State {
    pub(super) fn end(&mut self, key: SessionKey, error: Option<StreamError>) {
        let Some(at) = self.bound.iter().position(|it| it.session.key == key) else { return };
        let mut bound = self.bound.remove(at);
        bound.closed = error;
        self.events.push_back(Event::Ended(bound.session.clone()));
        self.ended.push(bound);
    }
}

pub(super) struct WorldPorts {
    pub(super) hosts: Hosts,
    pub(super) store: MemoryStore,
    pub(super) state: Arc<Mutex<State>>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl WorldPorts {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

#[async_trait]
impl Ports for WorldPorts {
    fn now(&self) -> Timestamp {
        self.state().now
    }

    fn random_id(&self) -> String {
        let mut state = self.state();
        state.ids += 1;
        format!("id-{}", state.ids)
    }

    fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    fn reaches(&self, domain: &str) -> bool {
        self.hosts.serves(domain) || self.state().remote_domains.iter().any(|it| it == domain)
    }

    fn sessions(&self, account: &BareJid) -> Sessions {
        let of_account = |bound: &&Bound| bound.session.jid.bare_str() == account.as_str();
        self.state().bound.iter().filter(of_account).map(|bound| bound.session.clone()).collect()
    }

    async fn change(
        &self,
        _: &BareJid,
        key: SessionKey,
        change: SessionChange,
    ) -> Result<Option<Arc<Session>>, Undecided> {
        let mut state = self.state();
        if state.undecided {
            return Err(Undecided);
        }
        let Some(bound) = state.bound.iter_mut().find(|it| it.session.key == key) else { return Ok(None) };
        Arc::make_mut(&mut bound.session).apply(change);
        Ok(Some(bound.session.clone()))
    }

    fn deliver(&self, account: &BareJid, targets: &[SessionKey], stanza: Arc<Envelope>) {
        let mut state = self.state();
        for target in targets {
            let Some(bound) = state.bound.iter_mut().find(|it| it.session.key == *target) else { continue };
            assert_eq!(bound.session.jid.bare_str(), account.as_str(), "delivered to another account's session");
            if stanza.flags.has(Flags::AGAIN) && stanza.logged <= bound.logged {
                continue;
            }
            bound.logged = bound.logged.max(stanza.logged);
            let mut stanza = (*stanza).clone();
            stanza.to.get_or_insert_with(|| bound.session.jid.clone().into());
            bound.inbox.push_back(stanza);
        }
    }

    fn route(&self, stanza: Arc<Envelope>) {
        let domain = stanza.to.as_ref().expect("a routed stanza has an address").domain().to_owned();
        assert!(stanza.from.is_some(), "a routed stanza says from whom it is");
        assert!(self.reaches(&domain), "routed to nowhere: {domain}");
        let mut state = self.state();
        if self.hosts.serves(&domain) {
            let ingress = state.ingress;
            state.events.push_back(Event::Inbound(stanza, ingress));
        } else {
            state.remote.push_back(Arc::unwrap_or_clone(stanza));
        }
    }

    fn ingress(&self) -> Option<Mark> {
        self.state().ingress
    }

    fn log(&self, account: &BareJid, changes: Vec<Change>, logged: Logged) {
        let (state, owner) = (self.state.clone(), account.clone());
        let ingress = self.ingress();
        let done = move |outcome| lock(&state).events.push_back(Event::Logged(owner, logged, ingress, outcome));
        self.store.submit(FENCE, account, changes, Box::new(done));
    }

    async fn close(&self, _: &BareJid, key: SessionKey, error: StreamError) {
        self.state().end(key, Some(error));
    }

    async fn run_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        self.state().derivations += 1;
        work();
    }

    fn store(&self) -> &dyn Store {
        &self.store
    }

    fn fence(&self) -> Fence {
        FENCE
    }
}
