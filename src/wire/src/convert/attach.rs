//! `attach.proto`: frames between connection managers and routers.

use bytes::Bytes;
use vesta_xmpp::client_state::ClientState;
use vesta_xmpp::management::{Refusal, TooMany};
use vesta_xmpp::sasl::{Answer, Hash, Question, SaslCondition};
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{BareJid, Secret};

use super::{Malformed, bare_jid, full_jid, required};
use crate::attach::{
    Announced, BoundSession, Digest, EndReason, Inbound, RequestId, Resumable, ResumedSession, Target, ToManager,
    ToRouter,
};
use crate::proto::{to_manager, to_router};
use crate::{Epoch, ManagerName, NodeId, Sequence, ShardId, StreamId, Term, proto};

impl From<ToRouter> for proto::ToRouter {
    fn from(frame: ToRouter) -> Self {
        use to_router::Frame;
        let frame = match frame {
            ToRouter::Hello { manager, version } => Frame::Hello(to_router::Hello {
                manager: manager.name.to_string(),
                incarnation: manager.incarnation,
                version,
            }),
            ToRouter::Ask { request, question } => Frame::Ask(to_router::Ask {
                request: request.0,
                account: question.account().to_string(),
                question: Some(question.into()),
            }),
            ToRouter::Bind { request, account, resource, stream } => Frame::Bind(to_router::Bind {
                request: request.0,
                account: account.to_string(),
                resource,
                stream: stream.0,
            }),
            ToRouter::Register { request, account, stanza } => Frame::Register(to_router::Register {
                request: request.0,
                account: account.to_string(),
                stanza: Some(stanza.into()),
            }),
            ToRouter::Announce { session, epoch, jid, stream, received, delivered, accepted, logged } => {
                Frame::Announce(to_router::Announce {
                    session: Some(session.into()),
                    epoch: epoch.0,
                    jid: jid.to_string(),
                    stream: stream.0,
                    received: received.0,
                    accepted: accepted.0,
                    delivered: delivered.0,
                    logged,
                })
            }
            ToRouter::Inbound { session, epoch, sequence, event } => Frame::Inbound(to_router::Inbound {
                session: Some(session.into()),
                epoch: epoch.0,
                sequence: sequence.0,
                event: Some(event.into()),
            }),
            ToRouter::Delivered { session, epoch, sequence } => Frame::Delivered(to_router::Delivered {
                session: Some(session.into()),
                epoch: epoch.0,
                sequence: sequence.0,
            }),
            ToRouter::Resume { request, account, session, digest, handled, stream } => {
                Frame::Resume(to_router::Resume {
                    request: request.0,
                    account: account.to_string(),
                    session,
                    digest: Bytes::copy_from_slice(&digest.0),
                    handled,
                    stream: stream.0,
                })
            }
            ToRouter::Restore { session, epoch, last, stanzas } => Frame::Restore(to_router::Restore {
                session: Some(session.into()),
                epoch: epoch.0,
                last: last.0,
                stanzas: stanzas.into_iter().map(Into::into).collect(),
            }),
            ToRouter::Detached { session, epoch } => {
                Frame::Detached(to_router::Detached { session: Some(session.into()), epoch: epoch.0 })
            }
            ToRouter::State { session, epoch, state, since_before } => Frame::State(to_router::State {
                session: Some(session.into()),
                epoch: epoch.0,
                inactive: state == ClientState::Inactive,
                since_before,
            }),
            ToRouter::Taken { receipt, refused } => Frame::Taken(to_router::Taken { receipt, refused }),
            ToRouter::Ping => Frame::Ping(to_router::Ping {}),
        };
        Self { frame: Some(frame) }
    }
}

impl TryFrom<proto::ToRouter> for ToRouter {
    type Error = Malformed;

    fn try_from(frame: proto::ToRouter) -> Result<Self, Malformed> {
        use to_router::Frame;
        Ok(match frame.frame.ok_or(Malformed("to_router.frame"))? {
            Frame::Hello(hello) => ToRouter::Hello {
                manager: ManagerName { name: hello.manager.into(), incarnation: hello.incarnation },
                version: hello.version,
            },
            Frame::Ask(ask) => ToRouter::Ask {
                request: RequestId(ask.request),
                question: question(bare_jid(&ask.account, "ask.account")?, ask.question)?,
            },
            Frame::Bind(bind) => ToRouter::Bind {
                request: RequestId(bind.request),
                account: bare_jid(&bind.account, "bind.account")?,
                resource: bind.resource,
                stream: StreamId(bind.stream),
            },
            Frame::Register(register) => ToRouter::Register {
                request: RequestId(register.request),
                account: bare_jid(&register.account, "register.account")?,
                stanza: required(register.stanza, "register.stanza")?,
            },
            Frame::Announce(announce) => ToRouter::Announce {
                session: required(announce.session, "announce.session")?,
                epoch: Epoch(announce.epoch),
                jid: full_jid(&announce.jid, "announce.jid")?,
                stream: StreamId(announce.stream),
                received: Sequence(announce.received),
                delivered: Sequence(announce.delivered),
                accepted: Sequence(announce.accepted),
                logged: announce.logged,
            },
            Frame::Inbound(inbound) => ToRouter::Inbound {
                session: required(inbound.session, "inbound.session")?,
                epoch: Epoch(inbound.epoch),
                sequence: Sequence(inbound.sequence),
                event: required(inbound.event, "inbound.event")?,
            },
            Frame::Delivered(delivered) => ToRouter::Delivered {
                session: required(delivered.session, "delivered.session")?,
                epoch: Epoch(delivered.epoch),
                sequence: Sequence(delivered.sequence),
            },
            Frame::Resume(resume) => ToRouter::Resume {
                request: RequestId(resume.request),
                account: bare_jid(&resume.account, "resume.account")?,
                session: resume.session,
                digest: digest(&resume.digest, "resume.digest")?,
                handled: resume.handled,
                stream: StreamId(resume.stream),
            },
            Frame::Restore(restore) => ToRouter::Restore {
                session: required(restore.session, "restore.session")?,
                epoch: Epoch(restore.epoch),
                last: Sequence(restore.last),
                stanzas: restore.stanzas.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            },
            Frame::Detached(detached) => ToRouter::Detached {
                session: required(detached.session, "detached.session")?,
                epoch: Epoch(detached.epoch),
            },
            Frame::State(state) => ToRouter::State {
                session: required(state.session, "state.session")?,
                epoch: Epoch(state.epoch),
                state: if state.inactive { ClientState::Inactive } else { ClientState::Active },
                since_before: state.since_before,
            },
            Frame::Taken(taken) => ToRouter::Taken { receipt: taken.receipt, refused: taken.refused },
            Frame::Ping(_) => ToRouter::Ping,
        })
    }
}

impl From<Question> for to_router::ask::Question {
    fn from(question: Question) -> Self {
        use to_router::ask;
        match question {
            Question::Salt { hash, .. } => ask::Question::Salt(ask::Salt { hash: hash_to_proto(hash).into() }),
            Question::Proof { hash, auth_message, proof, .. } => ask::Question::Proof(ask::Proof {
                hash: hash_to_proto(hash).into(),
                auth_message: auth_message.into(),
                proof: Bytes::copy_from_slice(proof.expose()),
            }),
            Question::Password { password, .. } => {
                ask::Question::Password(ask::Password { password: Bytes::copy_from_slice(password.expose()) })
            }
        }
    }
}

fn question(account: BareJid, question: Option<to_router::ask::Question>) -> Result<Question, Malformed> {
    use to_router::ask;
    Ok(match question.ok_or(Malformed("ask.question"))? {
        ask::Question::Salt(salt) => Question::Salt { account, hash: hash_from_proto(salt.hash())? },
        ask::Question::Proof(proof) => Question::Proof {
            account,
            hash: hash_from_proto(proof.hash())?,
            auth_message: proof.auth_message.into(),
            proof: Secret::new(proof.proof),
        },
        ask::Question::Password(password) => Question::Password { account, password: Secret::new(password.password) },
    })
}

fn hash_to_proto(hash: Hash) -> proto::ScramHash {
    match hash {
        Hash::Sha1 => proto::ScramHash::Sha1,
        Hash::Sha256 => proto::ScramHash::Sha256,
        Hash::Sha512 => proto::ScramHash::Sha512,
    }
}

fn hash_from_proto(hash: proto::ScramHash) -> Result<Hash, Malformed> {
    match hash {
        proto::ScramHash::Unspecified => Err(Malformed("ask.hash")),
        proto::ScramHash::Sha1 => Ok(Hash::Sha1),
        proto::ScramHash::Sha256 => Ok(Hash::Sha256),
        proto::ScramHash::Sha512 => Ok(Hash::Sha512),
    }
}

impl From<Inbound> for to_router::inbound::Event {
    fn from(event: Inbound) -> Self {
        match event {
            Inbound::Stanza(stanza) => Self::Stanza(stanza.into()),
            Inbound::Rejected(answer) => {
                Self::Rejected(to_router::inbound::Rejected { answer: answer.map(Into::into) })
            }
            Inbound::Ended(reason) => Self::Ended(end_reason_to_proto(reason).into()),
            Inbound::Resumable(Resumable { digest, seconds, sent_before }) => {
                Self::Resumable(to_router::inbound::Resumable {
                    digest: Bytes::copy_from_slice(&digest.0),
                    seconds,
                    sent_before: sent_before.0,
                })
            }
        }
    }
}

impl TryFrom<to_router::inbound::Event> for Inbound {
    type Error = Malformed;

    fn try_from(event: to_router::inbound::Event) -> Result<Self, Malformed> {
        use to_router::inbound::Event;
        match event {
            Event::Stanza(stanza) => Ok(Inbound::Stanza(stanza.try_into()?)),
            Event::Rejected(rejected) => Ok(Inbound::Rejected(rejected.answer.map(TryInto::try_into).transpose()?)),
            Event::Ended(reason) => end_reason_from_proto(reason).map(Inbound::Ended),
            Event::Resumable(resumable) => Ok(Inbound::Resumable(Resumable {
                digest: digest(&resumable.digest, "resumable.digest")?,
                seconds: resumable.seconds,
                sent_before: Sequence(resumable.sent_before),
            })),
        }
    }
}

fn digest(bytes: &[u8], field: &'static str) -> Result<Digest, Malformed> {
    bytes.try_into().map(Digest).map_err(|_| Malformed(field))
}

fn end_reason_to_proto(reason: EndReason) -> proto::EndReason {
    match reason {
        EndReason::Closed => proto::EndReason::Closed,
        EndReason::Lost => proto::EndReason::Lost,
        EndReason::Failed => proto::EndReason::Failed,
        EndReason::Draining => proto::EndReason::Draining,
    }
}

fn end_reason_from_proto(reason: i32) -> Result<EndReason, Malformed> {
    match proto::EndReason::try_from(reason) {
        Ok(proto::EndReason::Closed) => Ok(EndReason::Closed),
        Ok(proto::EndReason::Lost) => Ok(EndReason::Lost),
        Ok(proto::EndReason::Failed) => Ok(EndReason::Failed),
        Ok(proto::EndReason::Draining) => Ok(EndReason::Draining),
        Ok(proto::EndReason::Unspecified) | Err(_) => Err(Malformed("inbound.ended")),
    }
}

impl From<ToManager> for proto::ToManager {
    fn from(frame: ToManager) -> Self {
        use to_manager::Frame;
        let frame = match frame {
            ToManager::Welcome { version, node, shards, routers, leaders } => Frame::Welcome(to_manager::Welcome {
                version,
                node: node.0,
                shards,
                routers: routers.into_iter().map(Into::into).collect(),
                leaders: leaders.into_iter().map(Into::into).collect(),
            }),
            ToManager::Leaders(leaders) => {
                Frame::Leaders(to_manager::Leaders { leaders: leaders.into_iter().map(Into::into).collect() })
            }
            ToManager::Answered { request, answer } => {
                Frame::Answered(to_manager::Answered { request: request.0, answer: Some(answer.into()) })
            }
            ToManager::Bound { request, result } => Frame::Bound(to_manager::Bound {
                request: request.0,
                result: Some(match result {
                    Ok(session) => to_manager::bound::Result::Session(session.into()),
                    Err(error) => to_manager::bound::Result::Error(error.into()),
                }),
            }),
            ToManager::Resumed { request, result } => Frame::Resumed(to_manager::Resumed {
                request: request.0,
                result: Some(match result {
                    Ok(session) => to_manager::resumed::Result::Session(session.into()),
                    Err(refusal) => refusal.into(),
                }),
            }),
            ToManager::Registered { request, stanza } => {
                Frame::Registered(to_manager::Registered { request: request.0, stanza: Some(stanza.into()) })
            }
            ToManager::NotLeader { request, leader } => {
                Frame::NotLeader(to_manager::NotLeader { request: request.0, leader: Some(leader.into()) })
            }
            ToManager::Announced { session, epoch, outcome } => Frame::Announced(to_manager::Announced {
                session: Some(session.into()),
                epoch: epoch.0,
                outcome: Some(outcome.into()),
            }),
            ToManager::Deliver { shard, term, targets, stanza, receipt } => Frame::Deliver(to_manager::Deliver {
                receipt,
                shard: shard.0,
                term: term.0,
                targets: targets.into_iter().map(Into::into).collect(),
                stanza: Some(stanza.into()),
            }),
            ToManager::Accepted { session, epoch, sequence } => Frame::Accepted(to_manager::Accepted {
                session: Some(session.into()),
                epoch: epoch.0,
                sequence: sequence.0,
            }),
            ToManager::Close { session, epoch, error } => Frame::Close(to_manager::Close {
                session: Some(session.into()),
                epoch: epoch.0,
                error: Some(error.into()),
            }),
            ToManager::Pong => Frame::Pong(to_manager::Pong {}),
        };
        Self { frame: Some(frame) }
    }
}

impl TryFrom<proto::ToManager> for ToManager {
    type Error = Malformed;

    fn try_from(frame: proto::ToManager) -> Result<Self, Malformed> {
        use to_manager::Frame;
        Ok(match frame.frame.ok_or(Malformed("to_manager.frame"))? {
            Frame::Welcome(welcome) => ToManager::Welcome {
                version: welcome.version,
                node: NodeId(welcome.node),
                shards: Some(welcome.shards).filter(|shards| *shards > 0).ok_or(Malformed("welcome.shards"))?,
                routers: welcome.routers.into_iter().map(Into::into).collect(),
                leaders: welcome.leaders.into_iter().map(Into::into).collect(),
            },
            Frame::Leaders(news) => ToManager::Leaders(news.leaders.into_iter().map(Into::into).collect()),
            Frame::Answered(answered) => ToManager::Answered {
                request: RequestId(answered.request),
                answer: answered.answer.map(Into::into).ok_or(Malformed("answered.answer"))?,
            },
            Frame::Bound(bound) => ToManager::Bound {
                request: RequestId(bound.request),
                result: match bound.result.ok_or(Malformed("bound.result"))? {
                    to_manager::bound::Result::Session(session) => Ok(session.try_into()?),
                    to_manager::bound::Result::Error(error) => Err(error.into()),
                },
            },
            Frame::Resumed(resumed) => ToManager::Resumed {
                request: RequestId(resumed.request),
                result: resumed_from_proto(resumed.result.ok_or(Malformed("resumed.result"))?)?,
            },
            Frame::Registered(registered) => ToManager::Registered {
                request: RequestId(registered.request),
                stanza: required(registered.stanza, "registered.stanza")?,
            },
            Frame::NotLeader(refused) => ToManager::NotLeader {
                request: RequestId(refused.request),
                leader: required(refused.leader, "not_leader.leader")?,
            },
            Frame::Announced(announced) => ToManager::Announced {
                session: required(announced.session, "announced.session")?,
                epoch: Epoch(announced.epoch),
                outcome: announced.outcome.map(Into::into).ok_or(Malformed("announced.outcome"))?,
            },
            Frame::Deliver(deliver) => ToManager::Deliver {
                receipt: deliver.receipt,
                shard: ShardId(deliver.shard),
                term: Term(deliver.term),
                targets: deliver.targets.into_iter().map(Into::into).collect(),
                stanza: required(deliver.stanza, "deliver.stanza")?,
            },
            Frame::Accepted(accepted) => ToManager::Accepted {
                session: required(accepted.session, "accepted.session")?,
                epoch: Epoch(accepted.epoch),
                sequence: Sequence(accepted.sequence),
            },
            Frame::Close(close) => ToManager::Close {
                session: required(close.session, "close.session")?,
                epoch: Epoch(close.epoch),
                error: required(close.error, "close.error")?,
            },
            Frame::Pong(_) => ToManager::Pong,
        })
    }
}

impl From<Answer> for to_manager::answered::Answer {
    fn from(answer: Answer) -> Self {
        use to_manager::answered;
        match answer {
            Answer::Salt { salt, iterations } => Self::Salt(answered::Salt { salt: salt.into(), iterations }),
            Answer::Accepted { server_signature } => {
                Self::Accepted(answered::Accepted { server_signature: server_signature.into() })
            }
            Answer::Denied(condition) => Self::Denied(answered::Denied { condition: condition.name().to_owned() }),
        }
    }
}

impl From<to_manager::answered::Answer> for Answer {
    fn from(answer: to_manager::answered::Answer) -> Self {
        use to_manager::answered::Answer as Proto;
        match answer {
            Proto::Salt(salt) => Answer::Salt { salt: salt.salt.into(), iterations: salt.iterations },
            Proto::Accepted(accepted) => Answer::Accepted { server_signature: accepted.server_signature.into() },
            Proto::Denied(denied) => Answer::Denied(
                SaslCondition::from_name(&denied.condition).unwrap_or(SaslCondition::TemporaryAuthFailure),
            ),
        }
    }
}

impl From<BoundSession> for to_manager::bound::Session {
    fn from(bound: BoundSession) -> Self {
        Self { session: Some(bound.session.into()), epoch: bound.epoch.0, jid: bound.jid.to_string() }
    }
}

impl TryFrom<to_manager::bound::Session> for BoundSession {
    type Error = Malformed;

    fn try_from(bound: to_manager::bound::Session) -> Result<Self, Malformed> {
        Ok(Self {
            session: required(bound.session, "bound.session")?,
            epoch: Epoch(bound.epoch),
            jid: full_jid(&bound.jid, "bound.jid")?,
        })
    }
}

impl From<ResumedSession> for to_manager::resumed::Session {
    fn from(resumed: ResumedSession) -> Self {
        Self {
            session: Some(resumed.bound.session.into()),
            epoch: resumed.bound.epoch.0,
            jid: resumed.bound.jid.to_string(),
            seconds: resumed.seconds,
            accepted: resumed.accepted.0,
            received_before: resumed.received_before.0,
            delivered: resumed.delivered.0,
            sent_before: resumed.sent_before.0,
            logged: resumed.logged,
        }
    }
}

impl TryFrom<to_manager::resumed::Session> for ResumedSession {
    type Error = Malformed;

    fn try_from(resumed: to_manager::resumed::Session) -> Result<Self, Malformed> {
        Ok(Self {
            bound: BoundSession {
                session: required(resumed.session, "resumed.session")?,
                epoch: Epoch(resumed.epoch),
                jid: full_jid(&resumed.jid, "resumed.jid")?,
            },
            seconds: resumed.seconds,
            accepted: Sequence(resumed.accepted),
            received_before: Sequence(resumed.received_before),
            delivered: Sequence(resumed.delivered),
            sent_before: Sequence(resumed.sent_before),
            logged: resumed.logged,
        })
    }
}

impl From<Refusal> for to_manager::resumed::Result {
    fn from(refusal: Refusal) -> Self {
        use to_manager::resumed;
        match refusal {
            Refusal::Failed { condition, handled } => {
                Self::Failed(resumed::Failed { condition: condition.name().to_owned(), handled })
            }
            Refusal::TooMany(TooMany { handled, sent }) => Self::TooMany(resumed::TooMany { handled, sent }),
        }
    }
}

fn resumed_from_proto(result: to_manager::resumed::Result) -> Result<Result<ResumedSession, Refusal>, Malformed> {
    use to_manager::resumed::Result as Proto;
    Ok(match result {
        Proto::Session(session) => Ok(session.try_into()?),
        Proto::Failed(failed) => Err(Refusal::Failed {
            condition: Condition::from_name(&failed.condition).unwrap_or(Condition::ItemNotFound),
            handled: failed.handled,
        }),
        Proto::TooMany(counts) => Err(Refusal::TooMany(TooMany { handled: counts.handled, sent: counts.sent })),
    })
}

impl From<Announced> for to_manager::announced::Outcome {
    fn from(outcome: Announced) -> Self {
        use to_manager::announced;
        match outcome {
            Announced::Continues { accepted, lacks } => {
                Self::Continues(announced::Continues { accepted: accepted.0, lacks })
            }
            Announced::Unknown => Self::Unknown(announced::Unknown {}),
            Announced::NotLeader(leader) => Self::NotLeader(leader.into()),
        }
    }
}

impl From<to_manager::announced::Outcome> for Announced {
    fn from(outcome: to_manager::announced::Outcome) -> Self {
        use to_manager::announced::Outcome;
        match outcome {
            Outcome::Continues(continues) => {
                Announced::Continues { accepted: Sequence(continues.accepted), lacks: continues.lacks }
            }
            Outcome::Unknown(_) => Announced::Unknown,
            Outcome::NotLeader(leader) => Announced::NotLeader(leader.into()),
        }
    }
}

impl From<Target> for to_manager::deliver::Target {
    fn from(target: Target) -> Self {
        Self { session: target.session, epoch: target.epoch.0, sequence: target.sequence.0 }
    }
}

impl From<to_manager::deliver::Target> for Target {
    fn from(target: to_manager::deliver::Target) -> Self {
        Self { session: target.session, epoch: Epoch(target.epoch), sequence: Sequence(target.sequence) }
    }
}
