//! The replicated state of a shard: which sessions are bound, by which connection manager, in which presence.
//!
//! A deterministic machine: every replica applies the same [`Command`]s in the same order. Each command may come twice, since
//! a proposal that timed out may have been committed.
//!
//! A session that can be resumed (XEP-0198) stays when its connection is lost: *detached*, its resource bound, its presence as it
//! was, until a client resumes it over another stream or its leader ends it.
//!
//! A session that has ended stays here as [`Departed`] until its leader has told the contacts and said [`Command::Forget`]: so a
//! leader that dies in between leaves nobody online who is not (P5), and neither does an end that was applied after its proposer
//! had stopped waiting.

use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;
use vesta_engine::{Session, SessionChange, SessionKey, Timestamp};
use vesta_wire::attach::Digest;
use vesta_wire::{ManagerName, StreamId};
use vesta_xmpp::hash::HashMap;
use vesta_xmpp::{BareJid, FullJid};

/// The most sessions an account may have: one more is refused with `resource-constraint` (RFC 6120 §7.6.2.1).
pub const SESSIONS_PER_ACCOUNT_MAX: usize = 64;

/// A session and where its stream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What the engine knows of it.
    pub session: Arc<Session>,
    /// The connection manager that holds its stream.
    pub manager: ManagerName,
    /// The stream there.
    pub stream: StreamId,
    /// How it can be resumed, if its client has asked for that.
    pub resumption: Option<Box<Resumption>>,
}

/// What a session's next stream has to prove, and where its stanzas are counted from (XEP-0198 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumption {
    /// What proves that it is the session's client.
    pub digest: Digest,
    /// For how long the session stays detached, in seconds.
    pub seconds: u32,
    /// The last frame from the client that is not counted.
    pub received_before: u64,
    /// The last frame to the client that is not counted.
    pub sent_before: u64,
    /// When its connection was lost, for people to read; `None` while it has one. Leaders measure the time that is left by their own
    /// monotonic clocks, so that a clock that jumps ends no session: a new leader begins anew.
    pub detached_at: Option<Timestamp>,
}

impl Record {
    /// How it waits for its client, if it does.
    pub fn detached(&self) -> Option<&Resumption> {
        self.resumption.as_deref().filter(|it| it.detached_at.is_some())
    }
}

/// A session that has ended, and whose contacts may not know yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departed {
    /// The session as it was.
    pub record: Record,
    /// Whether another stream has taken its resource.
    pub replaced: bool,
}

/// A change of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Binds a resource. The newest wins: a session that holds it ends.
    Bind {
        /// The full JID.
        jid: FullJid,
        /// The manager that asks.
        manager: ManagerName,
        /// The stream there. The same stream binding again gets the session that it has.
        stream: StreamId,
        /// When.
        at: Timestamp,
    },
    /// A session can be resumed from now on.
    MakeResumable {
        /// Which.
        key: SessionKey,
        /// How.
        resumption: Resumption,
    },
    /// The connection of a session that can be resumed is lost.
    Detach {
        /// Which.
        key: SessionKey,
        /// When.
        at: Timestamp,
    },
    /// Another stream takes a session over, in its next epoch. Whoever proposes this has seen the proof.
    Resume {
        /// Which, as it was.
        key: SessionKey,
        /// The manager that asks.
        manager: ManagerName,
        /// The stream there. The same stream resuming again gets the epoch that it has.
        stream: StreamId,
    },
    /// Ends a session: it has departed.
    End {
        /// Which.
        key: SessionKey,
    },
    /// All that follows from these sessions' ends is done.
    Forget {
        /// Which.
        keys: Vec<SessionKey>,
    },
    /// Changes what is known of a session.
    Change {
        /// Which.
        key: SessionKey,
        /// What.
        change: SessionChange,
    },
}

/// What a [`Command`] came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Bound.
    Bound {
        /// The new session.
        session: SessionKey,
        /// The session that had the resource before: it has departed.
        replaced: Option<SessionKey>,
    },
    /// The session goes on, in this epoch.
    Resumed {
        /// As it is now.
        session: SessionKey,
    },
    /// The account has [`SESSIONS_PER_ACCOUNT_MAX`] sessions.
    TooMany,
    /// The session has departed, now or before.
    Ended,
    /// Changed, or forgotten.
    Changed,
    /// The command named a session that is not there, or an older epoch of it.
    Unknown,
}

/// See the module's documentation.
#[derive(Clone, Debug, Default)]
pub struct ShardState {
    /// The last session number given.
    last_session: u64,
    /// By number.
    sessions: BTreeMap<u64, Record>,
    /// Those that have ended, by number.
    departed: BTreeMap<u64, Departed>,
    /// Numbers by account, in the order of binding.
    accounts: HashMap<BareJid, SmallVec<[u64; 2]>>,
    /// How many sessions each manager holds.
    managers: HashMap<ManagerName, u64>,
}

impl ShardState {
    /// Applies a command.
    pub fn apply(&mut self, command: Command) -> Outcome {
        match command {
            Command::Bind { jid, manager, stream, at } => self.bind(jid, manager, stream, at),
            Command::MakeResumable { key, resumption } => self.change(key, |record| {
                record.resumption = Some(Box::new(resumption));
            }),
            Command::Detach { key, at } => self.change(key, |record| {
                if let Some(resumption) = record.resumption.as_mut() {
                    resumption.detached_at.get_or_insert(at);
                }
            }),
            Command::Resume { key, manager, stream } => self.resume(key, manager, stream),
            Command::End { key } => self.end(key),
            Command::Forget { keys } => {
                for key in keys {
                    self.departed.remove(&key.number);
                }
                Outcome::Changed
            }
            Command::Change { key, change } => {
                self.change(key, |record| Arc::make_mut(&mut record.session).apply(change))
            }
        }
    }

    fn change(&mut self, key: SessionKey, change: impl FnOnce(&mut Record)) -> Outcome {
        match self.sessions.get_mut(&key.number).filter(|record| record.session.key == key) {
            Some(record) => {
                change(record);
                Outcome::Changed
            }
            None => Outcome::Unknown,
        }
    }

    fn resume(&mut self, key: SessionKey, manager: ManagerName, stream: StreamId) -> Outcome {
        let Some(record) = self.sessions.get_mut(&key.number) else { return Outcome::Unknown };
        if record.manager == manager && record.stream == stream {
            return Outcome::Resumed { session: record.session.key };
        }
        let Some(resumption) = record.resumption.as_mut().filter(|_| record.session.key == key) else {
            return Outcome::Unknown;
        };
        resumption.detached_at = None;
        let session = Arc::make_mut(&mut record.session);
        session.key.epoch += 1;
        let resumed = session.key;
        record.stream = stream;
        let before = std::mem::replace(&mut record.manager, manager.clone());
        self.release(&before);
        *self.managers.entry(manager).or_default() += 1;
        Outcome::Resumed { session: resumed }
    }

    /// A manager holds one session less.
    fn release(&mut self, manager: &ManagerName) {
        if let Some(count) = self.managers.get_mut(manager) {
            *count -= 1;
            if *count == 0 {
                self.managers.remove(manager);
            }
        }
    }

    fn bind(&mut self, jid: FullJid, manager: ManagerName, stream: StreamId, at: Timestamp) -> Outcome {
        let account = jid.to_bare();
        if let Some(record) = self.records(&account).find(|it| it.manager == manager && it.stream == stream) {
            return Outcome::Bound { session: record.session.key, replaced: None };
        }
        let replaced = self.records(&account).find(|it| it.session.jid == jid).map(|it| it.session.key);
        if replaced.is_none() && self.accounts.get(&account).map_or(0, SmallVec::len) >= SESSIONS_PER_ACCOUNT_MAX {
            return Outcome::TooMany;
        }
        if let Some(key) = replaced {
            self.depart(key.number, true);
        }
        self.last_session += 1;
        let key = SessionKey { number: self.last_session, epoch: 1 };
        let session = Session {
            key,
            jid,
            bound_at: at,
            available: None,
            interested: false,
            carbons: false,
            directed: std::collections::BTreeSet::new(),
        };
        self.insert(Record { session: Arc::new(session), manager, stream, resumption: None });
        Outcome::Bound { session: key, replaced }
    }

    fn end(&mut self, key: SessionKey) -> Outcome {
        if self.record(key).is_some() {
            self.depart(key.number, false);
        }
        if self.departed(key).is_some() { Outcome::Ended } else { Outcome::Unknown }
    }

    fn depart(&mut self, number: u64, replaced: bool) {
        if let Some(record) = self.remove(number) {
            self.departed.insert(number, Departed { record, replaced });
        }
    }

    fn insert(&mut self, record: Record) {
        *self.managers.entry(record.manager.clone()).or_default() += 1;
        self.accounts.entry(record.session.jid.to_bare()).or_default().push(record.session.key.number);
        self.sessions.insert(record.session.key.number, record);
    }

    fn remove(&mut self, number: u64) -> Option<Record> {
        let record = self.sessions.remove(&number)?;
        let account = record.session.jid.bare_str();
        if let Some(numbers) = self.accounts.get_mut(account) {
            numbers.retain(|it| *it != number);
            if numbers.is_empty() {
                self.accounts.remove(account);
            }
        }
        self.release(&record.manager);
        Some(record)
    }

    /// The session with this key, of this epoch exactly.
    pub fn record(&self, key: SessionKey) -> Option<&Record> {
        self.sessions.get(&key.number).filter(|record| record.session.key == key)
    }

    /// The session with this number, of whatever epoch.
    pub fn of_number(&self, number: u64) -> Option<&Record> {
        self.sessions.get(&number)
    }

    /// The departed session with this key.
    pub fn departed(&self, key: SessionKey) -> Option<&Departed> {
        self.departed.get(&key.number).filter(|departed| departed.record.session.key == key)
    }

    /// All departed sessions.
    pub fn all_departed(&self) -> impl Iterator<Item = &Departed> {
        self.departed.values()
    }

    /// Whether an account has a session.
    pub fn is_connected(&self, account: &BareJid) -> bool {
        self.accounts.contains_key(account)
    }

    /// The sessions of an account, in the order of binding.
    pub fn records(&self, account: &BareJid) -> impl Iterator<Item = &Record> {
        self.accounts.get(account).into_iter().flatten().filter_map(|number| self.sessions.get(number))
    }

    /// All sessions, in the order of binding.
    pub fn all(&self) -> impl Iterator<Item = &Record> {
        self.sessions.values()
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is no session.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// The managers that hold sessions, and how many each.
    pub fn managers(&self) -> impl Iterator<Item = (&ManagerName, u64)> {
        self.managers.iter().map(|(name, count)| (name, *count))
    }

    /// For snapshots: the last number that was given.
    pub(super) fn last_session(&self) -> u64 {
        self.last_session
    }

    /// From a snapshot.
    pub(super) fn from_parts(
        last_session: u64,
        records: impl IntoIterator<Item = Record>,
        departed: impl IntoIterator<Item = Departed>,
    ) -> Self {
        let departed = departed.into_iter().map(|it| (it.record.session.key.number, it)).collect();
        let mut state = Self { last_session, departed, ..Self::default() };
        for record in records {
            state.insert(record);
        }
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(state: &mut ShardState, jid: &str, stream: u64) -> Outcome {
        state.apply(Command::Bind {
            jid: FullJid::parse(jid).expect("a full JID"),
            manager: ManagerName { name: "cm-1".into(), incarnation: 7 },
            stream: StreamId(stream),
            at: Timestamp(1),
        })
    }

    fn key(outcome: &Outcome) -> SessionKey {
        match outcome {
            Outcome::Bound { session, .. } => *session,
            other => panic!("not bound: {other:?}"),
        }
    }

    #[test]
    fn the_newest_stream_takes_a_resource_over() {
        let mut state = ShardState::default();
        let first = bind(&mut state, "juliet@example.com/balcony", 1);
        let second = bind(&mut state, "juliet@example.com/balcony", 2);
        let Outcome::Bound { replaced: Some(replaced), .. } = &second else { panic!("{second:?}") };
        assert_eq!(*replaced, key(&first));
        assert_ne!(key(&first), key(&second));
        assert_eq!(state.len(), 1);
        assert!(state.departed(key(&first)).is_some_and(|departed| departed.replaced));
    }

    #[test]
    fn a_bind_that_is_repeated_gets_the_same_session() {
        let mut state = ShardState::default();
        let first = bind(&mut state, "juliet@example.com/balcony", 1);
        assert_eq!(bind(&mut state, "juliet@example.com/balcony", 1), first);
        assert_eq!(bind(&mut state, "juliet@example.com/another-random-one", 1), first);
        assert_eq!(state.len(), 1);
    }

    fn manager(name: &str) -> ManagerName {
        ManagerName { name: name.into(), incarnation: 7 }
    }

    fn resumption() -> Resumption {
        Resumption { digest: Digest([7; 32]), seconds: 300, received_before: 1, sent_before: 0, detached_at: None }
    }

    fn resume(state: &mut ShardState, key: SessionKey, by: &str, stream: u64) -> Outcome {
        state.apply(Command::Resume { key, manager: manager(by), stream: StreamId(stream) })
    }

    #[test]
    fn a_detached_session_stays_bound_and_goes_on_in_its_next_epoch() {
        let mut state = ShardState::default();
        let session = key(&bind(&mut state, "juliet@example.com/balcony", 1));
        state.apply(Command::MakeResumable { key: session, resumption: resumption() });
        state.apply(Command::Detach { key: session, at: Timestamp(5) });
        state.apply(Command::Detach { key: session, at: Timestamp(9) });
        let detached = state.record(session).and_then(Record::detached).and_then(|it| it.detached_at);
        assert_eq!(detached, Some(Timestamp(5)), "the first loss counts");

        let next = SessionKey { epoch: 2, ..session };
        assert_eq!(resume(&mut state, session, "cm-2", 4), Outcome::Resumed { session: next });
        assert!(state.record(next).is_some_and(|record| record.detached().is_none()));
        assert_eq!(state.managers().collect::<Vec<_>>(), [(&manager("cm-2"), 1)]);
        assert_eq!(state.apply(Command::End { key: session }), Outcome::Unknown, "the old stream ends nothing");
    }

    #[test]
    fn of_two_who_resume_a_session_at_once_one_has_it_and_a_repeated_one_gets_what_it_has() {
        let mut state = ShardState::default();
        let session = key(&bind(&mut state, "juliet@example.com/balcony", 1));
        assert_eq!(resume(&mut state, session, "cm-2", 4), Outcome::Unknown, "nobody asked for that");
        state.apply(Command::MakeResumable { key: session, resumption: resumption() });
        let next = SessionKey { epoch: 2, ..session };
        assert_eq!(resume(&mut state, session, "cm-2", 4), Outcome::Resumed { session: next });
        assert_eq!(resume(&mut state, session, "cm-2", 4), Outcome::Resumed { session: next });
        assert_eq!(resume(&mut state, session, "cm-1", 9), Outcome::Unknown, "of an epoch that is over");
        assert_eq!(
            resume(&mut state, next, "cm-1", 9),
            Outcome::Resumed { session: SessionKey { epoch: 3, ..session } }
        );
        assert_eq!(state.len(), 1);
    }

    #[test]
    fn an_account_has_a_bounded_number_of_sessions() {
        let mut state = ShardState::default();
        for n in 0..SESSIONS_PER_ACCOUNT_MAX as u64 {
            key(&bind(&mut state, &format!("juliet@example.com/{n}"), n));
        }
        assert_eq!(bind(&mut state, "juliet@example.com/one-more", 999), Outcome::TooMany);
        key(&bind(&mut state, "juliet@example.com/0", 1000));
    }

    #[test]
    fn a_session_that_has_ended_is_kept_until_it_may_be_forgotten() {
        let mut state = ShardState::default();
        let session = key(&bind(&mut state, "juliet@example.com/balcony", 1));
        assert_eq!(state.apply(Command::Change { key: session, change: SessionChange::Interested }), Outcome::Changed);
        assert_eq!(state.apply(Command::End { key: session }), Outcome::Ended);
        assert!(state.is_empty());
        assert_eq!(state.managers().count(), 0);
        assert_eq!(state.accounts.len(), 0);
        assert_eq!(state.apply(Command::End { key: session }), Outcome::Ended, "again");
        let departed = state.departed(session).expect("kept");
        assert!(departed.record.session.interested && !departed.replaced);
        assert_eq!(state.apply(Command::Forget { keys: vec![session] }), Outcome::Changed);
        assert_eq!(state.apply(Command::End { key: session }), Outcome::Unknown);
        assert_eq!(state.all_departed().count(), 0);
    }
}
