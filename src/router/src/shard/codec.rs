//! How a shard's commands, outcomes and snapshots are written into log entries: protobuf, so that fields can be added while two
//! versions run side by side. An entry that an older node can't read is refused by it, hence new commands wait for the cluster's
//! feature level.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use vesta_engine::session::Available;
use vesta_engine::{Session, SessionChange, SessionKey, Timestamp};
use vesta_wire::attach::Digest;
use vesta_wire::{ManagerName, StreamId};
use vesta_xmpp::{Envelope, FullJid, Jid};

use super::state::{Command, Departed, Outcome, Record, Resumption, ShardState};

/// Bytes that are no command, outcome or snapshot: a bug, or a node that is too old for what it reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a shard's log holds what this version can't read: {0}")]
pub struct CodecError(String);

fn missing(what: &str) -> CodecError {
    CodecError(format!("{what} is missing"))
}

impl From<prost::DecodeError> for CodecError {
    fn from(error: prost::DecodeError) -> Self {
        Self(error.to_string())
    }
}

#[derive(Clone, PartialEq, Message)]
struct KeyMessage {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(uint32, tag = "2")]
    epoch: u32,
}

#[derive(Clone, PartialEq, Message)]
struct ManagerMessage {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(fixed64, tag = "2")]
    incarnation: u64,
}

#[derive(Clone, PartialEq, Message)]
struct AvailableMessage {
    #[prost(sint32, tag = "1")]
    priority: i32,
    /// XML that stands alone.
    #[prost(bytes = "bytes", tag = "2")]
    stanza: Bytes,
    #[prost(uint64, tag = "3")]
    since_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
struct CommandMessage {
    #[prost(oneof = "CommandKind", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12")]
    kind: Option<CommandKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum CommandKind {
    #[prost(message, tag = "1")]
    Bind(BindMessage),
    #[prost(message, tag = "2")]
    End(KeyMessage),
    #[prost(message, tag = "3")]
    Available(ChangeMessage),
    #[prost(message, tag = "4")]
    Unavailable(KeyMessage),
    #[prost(message, tag = "5")]
    Interested(KeyMessage),
    #[prost(message, tag = "6")]
    AddDirected(ChangeMessage),
    #[prost(message, tag = "7")]
    RemoveDirected(ChangeMessage),
    #[prost(message, tag = "8")]
    Forget(KeysMessage),
    #[prost(message, tag = "9")]
    MakeResumable(MakeResumableMessage),
    #[prost(message, tag = "10")]
    Detach(DetachMessage),
    #[prost(message, tag = "11")]
    Resume(ResumeMessage),
    #[prost(message, tag = "12")]
    Carbons(CarbonsMessage),
}

#[derive(Clone, PartialEq, Message)]
struct MakeResumableMessage {
    #[prost(message, optional, tag = "1")]
    key: Option<KeyMessage>,
    #[prost(message, optional, tag = "2")]
    resumption: Option<ResumptionMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct DetachMessage {
    #[prost(message, optional, tag = "1")]
    key: Option<KeyMessage>,
    #[prost(uint64, tag = "2")]
    at_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
struct ResumeMessage {
    #[prost(message, optional, tag = "1")]
    key: Option<KeyMessage>,
    #[prost(message, optional, tag = "2")]
    manager: Option<ManagerMessage>,
    #[prost(uint64, tag = "3")]
    stream: u64,
}

#[derive(Clone, PartialEq, Message)]
struct ResumptionMessage {
    /// 32 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    digest: Bytes,
    #[prost(uint32, tag = "2")]
    seconds: u32,
    #[prost(uint64, tag = "3")]
    received_before: u64,
    #[prost(uint64, tag = "4")]
    sent_before: u64,
    #[prost(uint64, optional, tag = "5")]
    detached_at_ms: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct CarbonsMessage {
    #[prost(message, optional, tag = "1")]
    key: Option<KeyMessage>,
    #[prost(bool, tag = "2")]
    carbons: bool,
}

#[derive(Clone, PartialEq, Message)]
struct KeysMessage {
    #[prost(message, repeated, tag = "1")]
    keys: Vec<KeyMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct BindMessage {
    #[prost(string, tag = "1")]
    jid: String,
    #[prost(message, optional, tag = "2")]
    manager: Option<ManagerMessage>,
    #[prost(uint64, tag = "3")]
    stream: u64,
    #[prost(uint64, tag = "4")]
    at_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
struct ChangeMessage {
    #[prost(message, optional, tag = "1")]
    key: Option<KeyMessage>,
    #[prost(message, optional, tag = "2")]
    available: Option<AvailableMessage>,
    #[prost(string, tag = "3")]
    jid: String,
}

#[derive(Clone, PartialEq, Message)]
struct RecordMessage {
    #[prost(message, optional, tag = "1")]
    key: Option<KeyMessage>,
    #[prost(string, tag = "2")]
    jid: String,
    #[prost(uint64, tag = "3")]
    bound_at_ms: u64,
    #[prost(message, optional, tag = "4")]
    available: Option<AvailableMessage>,
    #[prost(bool, tag = "5")]
    interested: bool,
    #[prost(string, repeated, tag = "6")]
    directed: Vec<String>,
    #[prost(message, optional, tag = "7")]
    manager: Option<ManagerMessage>,
    #[prost(uint64, tag = "8")]
    stream: u64,
    #[prost(message, optional, tag = "9")]
    resumption: Option<ResumptionMessage>,
    #[prost(bool, tag = "10")]
    carbons: bool,
}

#[derive(Clone, PartialEq, Message)]
struct OutcomeMessage {
    #[prost(oneof = "OutcomeKind", tags = "1, 2, 3, 4, 5, 6")]
    kind: Option<OutcomeKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum OutcomeKind {
    #[prost(message, tag = "1")]
    Bound(BoundMessage),
    #[prost(bool, tag = "2")]
    TooMany(bool),
    #[prost(bool, tag = "3")]
    Ended(bool),
    #[prost(bool, tag = "4")]
    Changed(bool),
    #[prost(bool, tag = "5")]
    Unknown(bool),
    #[prost(message, tag = "6")]
    Resumed(KeyMessage),
}

#[derive(Clone, PartialEq, Message)]
struct BoundMessage {
    #[prost(message, optional, tag = "1")]
    session: Option<KeyMessage>,
    #[prost(message, optional, tag = "2")]
    replaced: Option<KeyMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct SnapshotMessage {
    #[prost(uint64, tag = "1")]
    last_session: u64,
    #[prost(message, repeated, tag = "2")]
    records: Vec<RecordMessage>,
    #[prost(message, repeated, tag = "3")]
    departed: Vec<DepartedMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct DepartedMessage {
    #[prost(message, optional, tag = "1")]
    record: Option<RecordMessage>,
    #[prost(bool, tag = "2")]
    replaced: bool,
}

impl Command {
    /// As a log entry.
    pub fn encode(&self) -> Bytes {
        let kind = match self {
            Command::Bind { jid, manager, stream, at } => CommandKind::Bind(BindMessage {
                jid: jid.to_string(),
                manager: Some(manager.into()),
                stream: stream.0,
                at_ms: at.0,
            }),
            Command::MakeResumable { key, resumption } => CommandKind::MakeResumable(MakeResumableMessage {
                key: Some((*key).into()),
                resumption: Some(resumption.into()),
            }),
            Command::Detach { key, at } => CommandKind::Detach(DetachMessage { key: Some((*key).into()), at_ms: at.0 }),
            Command::Resume { key, manager, stream } => CommandKind::Resume(ResumeMessage {
                key: Some((*key).into()),
                manager: Some(manager.into()),
                stream: stream.0,
            }),
            Command::End { key } => CommandKind::End((*key).into()),
            Command::Forget { keys } => {
                CommandKind::Forget(KeysMessage { keys: keys.iter().copied().map(KeyMessage::from).collect() })
            }
            Command::Change { key, change } => encode_change(*key, change),
        };
        CommandMessage { kind: Some(kind) }.encode_to_vec().into()
    }

    /// From a log entry.
    ///
    /// # Errors
    /// See [`CodecError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let kind = CommandMessage::decode(bytes)?.kind.ok_or_else(|| missing("a command this version knows"))?;
        let change = |key: SessionKey, change| Ok(Command::Change { key, change });
        match kind {
            CommandKind::Bind(bind) => Ok(Command::Bind {
                jid: full_jid(&bind.jid)?,
                manager: bind.manager.ok_or_else(|| missing("the manager"))?.into(),
                stream: StreamId(bind.stream),
                at: Timestamp(bind.at_ms),
            }),
            CommandKind::MakeResumable(message) => Ok(Command::MakeResumable {
                key: key(message.key)?,
                resumption: message.resumption.ok_or_else(|| missing("the resumption"))?.decode()?,
            }),
            CommandKind::Detach(message) => {
                Ok(Command::Detach { key: key(message.key)?, at: Timestamp(message.at_ms) })
            }
            CommandKind::Resume(message) => Ok(Command::Resume {
                key: key(message.key)?,
                manager: message.manager.ok_or_else(|| missing("the manager"))?.into(),
                stream: StreamId(message.stream),
            }),
            CommandKind::End(key) => Ok(Command::End { key: key.into() }),
            CommandKind::Forget(message) => {
                Ok(Command::Forget { keys: message.keys.into_iter().map(SessionKey::from).collect() })
            }
            CommandKind::Unavailable(key) => change(key.into(), SessionChange::Presence(None)),
            CommandKind::Interested(key) => change(key.into(), SessionChange::Interested),
            CommandKind::Carbons(message) => change(key(message.key)?, SessionChange::Carbons(message.carbons)),
            CommandKind::Available(message) => {
                let available = message.available.ok_or_else(|| missing("the presence"))?;
                change(key(message.key)?, SessionChange::Presence(Some(available.decode()?)))
            }
            CommandKind::AddDirected(message) => {
                change(key(message.key)?, SessionChange::AddDirected(jid(&message.jid)?))
            }
            CommandKind::RemoveDirected(message) => {
                change(key(message.key)?, SessionChange::RemoveDirected(jid(&message.jid)?))
            }
        }
    }
}

fn encode_change(session: SessionKey, change: &SessionChange) -> CommandKind {
    let key = || Some(session.into());
    let directed = |to: &Jid| ChangeMessage { key: key(), available: None, jid: to.to_string() };
    match change {
        SessionChange::Presence(None) => CommandKind::Unavailable(session.into()),
        SessionChange::Presence(Some(available)) => {
            CommandKind::Available(ChangeMessage { key: key(), available: Some(available.into()), jid: String::new() })
        }
        SessionChange::Interested => CommandKind::Interested(session.into()),
        SessionChange::Carbons(carbons) => CommandKind::Carbons(CarbonsMessage { key: key(), carbons: *carbons }),
        SessionChange::AddDirected(to) => CommandKind::AddDirected(directed(to)),
        SessionChange::RemoveDirected(to) => CommandKind::RemoveDirected(directed(to)),
    }
}

impl Outcome {
    /// As the reply of the state.
    pub fn encode(&self) -> Bytes {
        let kind = match self {
            Outcome::Bound { session, replaced } => OutcomeKind::Bound(BoundMessage {
                session: Some((*session).into()),
                replaced: replaced.map(KeyMessage::from),
            }),
            Outcome::Resumed { session } => OutcomeKind::Resumed((*session).into()),
            Outcome::TooMany => OutcomeKind::TooMany(true),
            Outcome::Ended => OutcomeKind::Ended(true),
            Outcome::Changed => OutcomeKind::Changed(true),
            Outcome::Unknown => OutcomeKind::Unknown(true),
        };
        OutcomeMessage { kind: Some(kind) }.encode_to_vec().into()
    }

    /// From the reply of the state.
    ///
    /// # Errors
    /// See [`CodecError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        match OutcomeMessage::decode(bytes)?.kind.ok_or_else(|| missing("an outcome this version knows"))? {
            OutcomeKind::Bound(bound) => {
                Ok(Outcome::Bound { session: key(bound.session)?, replaced: bound.replaced.map(SessionKey::from) })
            }
            OutcomeKind::Resumed(session) => Ok(Outcome::Resumed { session: session.into() }),
            OutcomeKind::TooMany(_) => Ok(Outcome::TooMany),
            OutcomeKind::Ended(_) => Ok(Outcome::Ended),
            OutcomeKind::Changed(_) => Ok(Outcome::Changed),
            OutcomeKind::Unknown(_) => Ok(Outcome::Unknown),
        }
    }
}

impl ShardState {
    /// The whole state.
    pub fn encode(&self) -> Bytes {
        let records = self.all().map(RecordMessage::from).collect();
        let departed = self.all_departed().map(DepartedMessage::from).collect();
        SnapshotMessage { last_session: self.last_session(), records, departed }.encode_to_vec().into()
    }

    /// From [`ShardState::encode`].
    ///
    /// # Errors
    /// See [`CodecError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let snapshot = SnapshotMessage::decode(bytes)?;
        let records = snapshot.records.into_iter().map(RecordMessage::decode).collect::<Result<Vec<_>, _>>()?;
        let departed = snapshot.departed.into_iter().map(DepartedMessage::decode).collect::<Result<Vec<_>, _>>()?;
        Ok(Self::from_parts(snapshot.last_session, records, departed))
    }
}

impl DepartedMessage {
    fn decode(self) -> Result<Departed, CodecError> {
        let record = self.record.ok_or_else(|| missing("the departed session"))?.decode()?;
        Ok(Departed { record, replaced: self.replaced })
    }
}

impl From<&Departed> for DepartedMessage {
    fn from(departed: &Departed) -> Self {
        Self { record: Some((&departed.record).into()), replaced: departed.replaced }
    }
}

impl RecordMessage {
    fn decode(self) -> Result<Record, CodecError> {
        let session = Session {
            key: key(self.key)?,
            jid: full_jid(&self.jid)?,
            bound_at: Timestamp(self.bound_at_ms),
            available: self.available.map(AvailableMessage::decode).transpose()?,
            interested: self.interested,
            carbons: self.carbons,
            directed: self.directed.iter().map(|text| jid(text)).collect::<Result<_, _>>()?,
        };
        Ok(Record {
            session: Arc::new(session),
            manager: self.manager.ok_or_else(|| missing("the manager"))?.into(),
            stream: StreamId(self.stream),
            resumption: self.resumption.map(ResumptionMessage::decode).transpose()?.map(Box::new),
        })
    }
}

impl ResumptionMessage {
    fn decode(self) -> Result<Resumption, CodecError> {
        Ok(Resumption {
            digest: Digest(self.digest.as_ref().try_into().map_err(|_| missing("a digest of 32 bytes"))?),
            seconds: self.seconds,
            received_before: self.received_before,
            sent_before: self.sent_before,
            detached_at: self.detached_at_ms.map(Timestamp),
        })
    }
}

impl From<&Resumption> for ResumptionMessage {
    fn from(resumption: &Resumption) -> Self {
        Self {
            digest: Bytes::copy_from_slice(&resumption.digest.0),
            seconds: resumption.seconds,
            received_before: resumption.received_before,
            sent_before: resumption.sent_before,
            detached_at_ms: resumption.detached_at.map(|at| at.0),
        }
    }
}

impl AvailableMessage {
    fn decode(self) -> Result<Available, CodecError> {
        Ok(Available {
            priority: i8::try_from(self.priority).map_err(|_| missing("a priority in its range"))?,
            stanza: Arc::new(Envelope::read_alone(&self.stanza).map_err(|error| CodecError(error.to_string()))?),
            since: Timestamp(self.since_ms),
        })
    }
}

impl From<&Available> for AvailableMessage {
    fn from(available: &Available) -> Self {
        let mut stanza = Vec::with_capacity(available.stanza.content.len() + 128);
        available.stanza.write_alone(&mut stanza);
        Self { priority: available.priority.into(), stanza: stanza.into(), since_ms: available.since.0 }
    }
}

impl From<&Record> for RecordMessage {
    fn from(record: &Record) -> Self {
        let session = &record.session;
        Self {
            key: Some(session.key.into()),
            jid: session.jid.to_string(),
            bound_at_ms: session.bound_at.0,
            available: session.available.as_ref().map(AvailableMessage::from),
            interested: session.interested,
            carbons: session.carbons,
            directed: session.directed.iter().map(Jid::to_string).collect(),
            manager: Some((&record.manager).into()),
            stream: record.stream.0,
            resumption: record.resumption.as_deref().map(ResumptionMessage::from),
        }
    }
}

impl From<SessionKey> for KeyMessage {
    fn from(key: SessionKey) -> Self {
        Self { number: key.number, epoch: key.epoch }
    }
}

impl From<KeyMessage> for SessionKey {
    fn from(message: KeyMessage) -> Self {
        Self { number: message.number, epoch: message.epoch }
    }
}

impl From<&ManagerName> for ManagerMessage {
    fn from(manager: &ManagerName) -> Self {
        Self { name: manager.name.to_string(), incarnation: manager.incarnation }
    }
}

impl From<ManagerMessage> for ManagerName {
    fn from(message: ManagerMessage) -> Self {
        Self { name: message.name.into(), incarnation: message.incarnation }
    }
}

fn key(message: Option<KeyMessage>) -> Result<SessionKey, CodecError> {
    message.map(SessionKey::from).ok_or_else(|| missing("the session"))
}

fn jid(text: &str) -> Result<Jid, CodecError> {
    Jid::parse(text).map_err(|error| CodecError(error.to_string()))
}

fn full_jid(text: &str) -> Result<FullJid, CodecError> {
    FullJid::parse(text).map_err(|error| CodecError(error.to_string()))
}

#[cfg(test)]
mod tests {
    use vesta_xmpp::{PresenceType, StanzaType};

    use super::*;

    fn available() -> Available {
        let mut stanza = Envelope::new(StanzaType::Presence(PresenceType::Available));
        stanza.from = Some(Jid::parse("juliet@example.com/balcony").expect("a JID"));
        stanza.content = Bytes::from_static(b"<show>away</show><priority>-1</priority>");
        Available { priority: -1, stanza: Arc::new(stanza), since: Timestamp(9) }
    }

    fn commands() -> Vec<Command> {
        let key = SessionKey { number: 3, epoch: 2 };
        let romeo = Jid::parse("romeo@example.net/orchard").expect("a JID");
        let change = |change| Command::Change { key, change };
        vec![
            Command::Bind {
                jid: FullJid::parse("juliet@example.com/balcony").expect("a full JID"),
                manager: ManagerName { name: "cm-1".into(), incarnation: u64::MAX },
                stream: StreamId(5),
                at: Timestamp(1_700_000_000_000),
            },
            Command::MakeResumable {
                key,
                resumption: Resumption {
                    digest: Digest([9; 32]),
                    seconds: 300,
                    received_before: 4,
                    sent_before: 2,
                    detached_at: Some(Timestamp(7)),
                },
            },
            Command::Detach { key, at: Timestamp(8) },
            Command::Resume {
                key,
                manager: ManagerName { name: "cm-2".into(), incarnation: 1 },
                stream: StreamId(u64::MAX),
            },
            Command::End { key },
            Command::Forget { keys: vec![key, SessionKey { number: 4, epoch: 1 }] },
            change(SessionChange::Presence(None)),
            change(SessionChange::Presence(Some(available()))),
            change(SessionChange::Interested),
            change(SessionChange::Carbons(true)),
            change(SessionChange::AddDirected(romeo.clone())),
            change(SessionChange::RemoveDirected(romeo)),
        ]
    }

    #[test]
    fn every_command_reads_as_it_was_written() {
        for command in commands() {
            assert_eq!(Command::decode(&command.encode()).expect("readable"), command);
        }
    }

    #[test]
    fn every_outcome_and_the_whole_state_read_as_they_were_written() {
        let mut state = ShardState::default();
        let mut outcomes: Vec<_> = commands().into_iter().map(|command| state.apply(command)).collect();
        let Command::Bind { jid, manager, at, .. } = commands().remove(0) else { panic!("the first one binds") };
        let again = Command::Bind { jid, manager, stream: StreamId(6), at };
        outcomes.push(state.apply(again));
        outcomes.push(state.apply(Command::End { key: SessionKey { number: 2, epoch: 1 } }));
        outcomes.push(Outcome::TooMany);
        outcomes.push(Outcome::Resumed { session: SessionKey { number: 2, epoch: 7 } });
        for outcome in outcomes {
            assert_eq!(Outcome::decode(&outcome.encode()).expect("readable"), outcome);
        }
        state.apply(commands().remove(0));
        let key = state.all().next().expect("a session").session.key;
        state.apply(Command::Change { key, change: SessionChange::Presence(Some(available())) });
        let Command::MakeResumable { resumption, .. } = commands().remove(1) else { panic!("the second one does") };
        state.apply(Command::MakeResumable { key, resumption });
        state.apply(Command::Change { key, change: SessionChange::Carbons(true) });
        let read = ShardState::decode(&state.encode()).expect("readable");
        assert_eq!(read.all().collect::<Vec<_>>(), state.all().collect::<Vec<_>>());
        assert!(state.all_departed().count() > 0);
        assert_eq!(read.all_departed().collect::<Vec<_>>(), state.all_departed().collect::<Vec<_>>());
        assert_eq!(read.last_session(), state.last_session());
    }

    #[test]
    fn what_is_no_command_is_refused() {
        assert!(Command::decode(b"\xFF\xFF").is_err());
        assert!(Command::decode(b"").is_err());
    }
}
