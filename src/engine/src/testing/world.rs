//! The world, and the actors in it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use vesta_xmpp::sasl::{Answer, Question};
use vesta_xmpp::stream_error::StreamCondition;
use vesta_xmpp::{BareJid, Envelope, FullJid};

use super::memory::MemoryStore;
use super::transcript::{matches, printed, stanza};
use super::world_ports::{Bound, Event, FENCE, State, WorldPorts};
use crate::engine::{AdminCommand, AdminError, Settings};
use crate::log::Mark;
use crate::module::Module;
use crate::roster::{RosterItem, Subscription};
use crate::store::{Change, Credentials, Store};
use crate::{Account, Engine, Host, Hosts, Ports, Session, SessionKey};

/// The virtual hosts of every world.
const HOSTS: [&str; 2] = ["example.com", "example.net"];
/// More events than this follow from no single stanza.
const EVENTS_MAX: usize = 10_000;

/// Accounts of `example.com` and `example.net`, with the stanzas between them.
pub struct World {
    engine: Engine,
    ports: WorldPorts,
    accounts: RefCell<HashMap<BareJid, Account>>,
}

/// A connected resource.
#[derive(Clone, Copy)]
pub struct Actor<'w> {
    world: &'w World,
    key: SessionKey,
}

impl World {
    /// A world in which these modules are switched on for both hosts.
    pub fn new(modules: Vec<Arc<dyn Module>>) -> Self {
        Self::with_settings(Settings::default(), modules)
    }

    /// A world with other settings.
    pub fn with_settings(settings: Settings, modules: Vec<Arc<dyn Module>>) -> Self {
        let host = |domain: &str| Host { domain: domain.to_owned() };
        let engine = Engine::new(settings, HOSTS.map(|domain| (host(domain), modules.clone())));
        let ports = WorldPorts {
            hosts: Hosts::new(HOSTS.map(host)),
            store: MemoryStore::default(),
            state: Arc::new(Mutex::new(State::default())),
        };
        Self { engine, ports, accounts: RefCell::default() }
    }

    /// The store behind it.
    pub fn store(&self) -> &MemoryStore {
        &self.ports.store
    }

    /// Makes an account, if there is none. Nobody can log in to it: with a password it is made by [`World::administer`].
    pub fn account(&self, jid: &str) -> BareJid {
        let jid = BareJid::parse(jid).expect("the test's JID");
        let nothing = Credentials { verifiers: BTreeMap::new() };
        if ready(self.ports.store.create_account(FENCE, &jid, &nothing, self.ports.now())) == Ok(true) {
            self.accounts.borrow_mut().remove(&jid);
        }
        jid
    }

    /// Binds a session. Its account is made where there is none.
    pub fn connect(&self, jid: &str) -> Actor<'_> {
        let jid = FullJid::parse(jid).expect("the test's JID");
        self.account(jid.bare_str());
        let mut state = self.ports.state();
        state.ids += 1;
        let key = SessionKey { number: state.ids, epoch: 1 };
        let session = Session {
            key,
            jid,
            bound_at: state.now,
            available: None,
            interested: false,
            carbons: false,
            directed: BTreeSet::new(),
        };
        state.bound.push(Bound { session: Arc::new(session), inbox: Default::default(), logged: 0, closed: None });
        Actor { world: self, key }
    }

    /// Binds a session that asks for its roster and sends presence, and forgets all that anybody received meanwhile.
    pub fn online(&self, jid: &str) -> Actor<'_> {
        let actor = self.connect(jid);
        actor.sends("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>");
        actor.sends("<presence/>");
        self.forget_received();
        actor
    }

    /// Lets each of two accounts see the other's presence.
    pub fn befriend(&self, one: &str, other: &str) {
        for (owner, contact) in [(one, other), (other, one)] {
            let contact = BareJid::parse(contact).expect("the test's JID");
            let item = RosterItem { subscription: Subscription::Both, listed: true, ..RosterItem::new(contact) };
            self.put_roster_item(owner, item);
        }
    }

    /// Puts an item into an account's stored roster, as if it had been there all along.
    pub fn put_roster_item(&self, account: &str, item: RosterItem) {
        let account = self.account(account);
        let version = ready(self.ports.store.roster(&account)).expect("the store works").version + 1;
        let change = Change::RosterPut { version, item };
        ready(self.ports.store.write(FENCE, &account, vec![change])).expect("the store works");
        self.accounts.borrow_mut().remove(&account);
    }

    /// Makes a domain reachable that is served elsewhere.
    pub fn remote_domain(&self, domain: &str) {
        self.ports.state().remote_domains.push(domain.to_owned());
    }

    /// A stanza comes from elsewhere.
    pub fn remote_sends(&self, xml: &str) {
        self.ports.state().events.push_back(Event::Inbound(Arc::new(stanza(xml)), None));
        self.settle();
    }

    /// The next stanza that went elsewhere is this one.
    ///
    /// # Panics
    /// It is not.
    #[track_caller]
    pub fn remote_receives(&self, expected: &str) {
        let received = self.ports.state().remote.pop_front();
        assert_received("elsewhere", received, expected);
    }

    /// Nobody has received anything that no `receives` has named.
    ///
    /// # Panics
    /// Somebody has.
    #[track_caller]
    pub fn nobody_receives_anything(&self) {
        let state = self.ports.state();
        for bound in &state.bound {
            if let Some(stanza) = bound.inbox.front() {
                panic!("{} received, unexpectedly:\n  {}", bound.session.jid, printed(stanza));
            }
        }
        if let Some(stanza) = state.remote.front() {
            panic!("sent elsewhere, unexpectedly:\n  {}", printed(stanza));
        }
    }

    /// Forgets what has been received so far.
    pub fn forget_received(&self) {
        let mut state = self.ports.state();
        state.bound.iter_mut().for_each(|bound| bound.inbox.clear());
        state.remote.clear();
    }

    /// Forgets what the engine has cached of every account, as if their shards had got another leader.
    pub fn forget_caches(&self) {
        self.accounts.borrow_mut().clear();
    }

    /// From now on nothing becomes durable.
    pub fn hold_store(&self) {
        self.store().hold();
    }

    /// What was held becomes durable, in order, and all that follows happens.
    pub fn release_store(&self) {
        self.store().release();
        self.settle();
    }

    /// Time goes by.
    pub fn advance(&self, milliseconds: u64) {
        self.ports.state().now.0 += milliseconds;
    }

    /// From now on the shard can't agree on changes to sessions, or can again.
    pub fn set_undecided(&self, undecided: bool) {
        self.ports.state().undecided = undecided;
    }

    /// [`Engine::prune`] on this host: how many messages it took.
    pub fn prune(&self, host: &str, limit: u32) -> u64 {
        ready(self.engine.prune(host, self.store(), self.ports.now(), limit)).expect("the store works")
    }

    /// An administrator's command.
    ///
    /// # Errors
    /// The engine's.
    pub fn administer(&self, account: &str, command: AdminCommand) -> Result<(), AdminError> {
        let account = BareJid::parse(account).expect("the test's JID");
        let outcome =
            self.with_account(&account, |engine, account, ports| ready(engine.administer(account, command, ports)));
        self.settle();
        outcome
    }

    /// A step of SASL.
    pub fn authenticate(&self, question: Question) -> Answer {
        ready(self.engine.authenticate(question, &self.ports))
    }

    /// Registration before authentication; `account` is the one that the request names.
    pub fn register(&self, account: &str, host: &str, request: &str) -> Envelope {
        let account = BareJid::parse(account).expect("the test's JID");
        let host = BareJid::parse(host).expect("the test's JID");
        self.with_account(&account, |engine, account, ports| {
            ready(engine.register(account, &host, &stanza(request), ports))
        })
    }

    /// How often keys were derived off the threads that serve events, since the world began.
    pub fn derivations(&self) -> u64 {
        self.ports.state().derivations
    }

    /// The engine of this world.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    fn with_account<T>(&self, jid: &BareJid, event: impl FnOnce(&Engine, &mut Account, &WorldPorts) -> T) -> T {
        let mut account = self.accounts.borrow_mut().remove(jid).unwrap_or_else(|| Account::new(jid.clone()));
        let result = event(&self.engine, &mut account, &self.ports);
        self.accounts.borrow_mut().insert(jid.clone(), account);
        result
    }

    /// Lets everything happen that follows from what has happened.
    fn settle(&self) {
        for _ in 0..EVENTS_MAX {
            let Some(event) = self.ports.state().events.pop_front() else { return };
            self.ports.state().ingress = None;
            match event {
                Event::Inbound(stanza, ingress) => {
                    let to = stanza.to.as_ref().expect("a routed stanza has an address").to_bare();
                    self.ports.state().ingress = ingress;
                    self.with_account(&to, |engine, account, ports| ready(engine.inbound(account, stanza, ports)));
                }
                Event::Logged(account, logged, ingress, outcome) => {
                    self.ports.state().ingress = ingress;
                    self.with_account(&account, |engine, account, ports| {
                        ready(engine.logged(account, logged, outcome, ports));
                    });
                }
                Event::Ended(session) => {
                    let account = session.jid.to_bare();
                    self.with_account(&account, |engine, account, ports| {
                        ready(engine.ended(account, &session, ports));
                    });
                }
            }
        }
        panic!("the stanzas beget stanzas without end");
    }
}

impl Actor<'_> {
    /// Sends a stanza. `from` is stamped.
    ///
    /// # Panics
    /// The session has ended.
    #[track_caller]
    pub fn sends(&self, xml: &str) {
        self.world.ports.state().frames += 1;
        self.sends_frame(xml);
    }

    /// A stanza comes again that came last, because its frame was not accepted.
    ///
    /// # Panics
    /// The session has ended.
    #[track_caller]
    pub fn sends_again(&self, xml: &str) {
        self.sends_frame(xml);
    }

    #[track_caller]
    fn sends_frame(&self, xml: &str) {
        let session = self.session().expect("the session is still there");
        let stanza = Arc::new(stanza(xml).with_from(session.jid.clone()));
        let frame = self.world.ports.state().frames;
        self.world.ports.state().ingress = Some(Mark::ingress(1, 0, self.key.number, frame, 0));
        self.world.with_account(&session.jid.to_bare(), |engine, account, ports| {
            ready(engine.outbound(account, &session, stanza, ports));
        });
        self.world.settle();
    }

    /// The next stanza that it received is this one.
    ///
    /// # Panics
    /// It is not.
    #[track_caller]
    pub fn receives(&self, expected: &str) {
        let received = self.with_bound(|bound| bound.inbox.pop_front());
        assert_received(&self.name(), received, expected);
    }

    /// The next stanzas that it received are these, in whatever order.
    ///
    /// # Panics
    /// They are not.
    #[track_caller]
    pub fn receives_in_any_order(&self, expected: &[&str]) {
        let name = self.name();
        let mut open = expected.to_vec();
        for _ in expected {
            let Some(stanza) = self.with_bound(|bound| bound.inbox.pop_front()) else {
                panic!("{name} received nothing, expected one of:\n  {}", open.join("\n  "));
            };
            match open.iter().position(|expected| matches(&stanza, expected)) {
                Some(at) => drop(open.swap_remove(at)),
                None => panic!("{name} received\n  {}\nexpected one of\n  {}", printed(&stanza), open.join("\n  ")),
            }
        }
    }

    /// It has received nothing that no `receives` has named.
    ///
    /// # Panics
    /// It has.
    #[track_caller]
    pub fn receives_nothing(&self) {
        if let Some(stanza) = self.with_bound(|bound| bound.inbox.pop_front()) {
            panic!("{} received, unexpectedly:\n  {}", self.name(), printed(&stanza));
        }
    }

    /// Takes the next stanza that it received, whatever it is.
    pub fn takes(&self) -> Option<Envelope> {
        self.with_bound(|bound| bound.inbox.pop_front())
    }

    /// The stream ends, in whatever way.
    pub fn disconnects(&self) {
        self.world.ports.state().end(self.key, None);
        self.world.settle();
    }

    /// The stream ends, and these stanzas turn out to have never reached the client: those that nobody has named yet.
    pub fn is_lost(&self) {
        let undelivered: Vec<_> = self.with_bound(|bound| bound.inbox.drain(..).map(Arc::new).collect());
        let account = self.with_bound(|bound| bound.session.jid.to_bare());
        self.disconnects();
        self.world.with_account(&account, |engine, account, ports| {
            ready(engine.undelivered(account, undelivered, ports));
        });
        self.world.settle();
    }

    /// The stream error that the server has ended it with.
    pub fn closed_with(&self) -> Option<StreamCondition> {
        self.with_bound(|bound| bound.closed.as_ref().map(|error| error.condition))
    }

    /// The session as the cluster knows it; `None` when it has ended.
    pub fn session(&self) -> Option<Arc<Session>> {
        let state = self.world.ports.state();
        state.bound.iter().find(|bound| bound.session.key == self.key).map(|bound| bound.session.clone())
    }

    fn name(&self) -> String {
        self.with_bound(|bound| bound.session.jid.to_string())
    }

    fn with_bound<T>(&self, look: impl FnOnce(&mut Bound) -> T) -> T {
        let mut state = self.world.ports.state();
        let State { bound, ended, .. } = &mut *state;
        let bound = bound.iter_mut().chain(ended).find(|bound| bound.session.key == self.key);
        look(bound.expect("the session was bound in this world"))
    }
}

#[track_caller]
fn assert_received(who: &str, received: Option<Envelope>, expected: &str) {
    let Some(stanza) = received else { panic!("{who} received nothing, expected:\n  {expected}") };
    assert!(matches(&stanza, expected), "{who} received\n  {}\nexpected\n  {expected}", printed(&stanza));
}

/// Runs a future that never waits: nothing in this world does.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("something in this world waits"),
    }
}
