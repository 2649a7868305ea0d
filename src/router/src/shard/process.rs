//! What a shard's leader does with each event of an account.

use std::sync::Arc;

use vesta_engine::ports::Undecided;
use vesta_engine::{Account, Session, SessionKey};
use vesta_wire::attach::{BoundSession, EndReason, RequestId, ToManager};
use vesta_wire::forward::IngressId;
use vesta_wire::{Epoch, Sequence, SessionId, StreamId};
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::stream_error::StreamCondition;
use vesta_xmpp::{BareJid, Envelope, StanzaError, StreamError};

use super::leading::Leading;
use super::logging;
use super::ports::ShardPorts;
use super::resuming;
use super::state::{Command, Outcome};
use super::work::{Arrived, Token, Work};
use crate::clock;
use crate::links::managers::ManagerHandle;
use crate::sweep::{self, Fate};

/// Processes one event. Events of the account come one after the other.
pub async fn process(leading: &Arc<Leading>, account: &mut Account, work: Work) {
    let engine = &leading.router.engine;
    match work {
        Work::Outbound { ingress, stanza, token } => outbound(leading, account, ingress, stanza, token).await,
        Work::Rejected { session, answer, token } => {
            let is_answered = |answer: &Arc<Envelope>| leading.deliver(&account.jid, &[session], answer, &token);
            // Otherwise the leadership is over: the frame comes again to the next leader.
            if answer.as_ref().is_none_or(is_answered) {
                token.done();
            }
        }
        Work::Inbound(arrived) => inbound(leading, account, arrived).await,
        Work::Logged(durable) => logging::logged(leading, account, *durable).await,
        Work::Bind { manager, request, resource, stream } => {
            manager.send(match bind(leading, account, &manager, resource, stream).await.transpose() {
                Some(result) => ToManager::Bound { request, result },
                // It may be bound yet. The manager asks again, here or elsewhere, and its stream gets the session that it has.
                None => ToManager::NotLeader { request, leader: leading.router.leader(leading.shard) },
            });
        }
        Work::MakeResumable { session, place, resumable, token } => {
            match leading.propose(resuming::made_resumable(session, place, &resumable)).await {
                Ok(_) => token.done(),
                Err(_) => {
                    leading.retry(&account.jid, Work::MakeResumable { session, place, resumable, token });
                }
            }
        }
        Work::Refresh { session } => {
            if let Some(session) = leading.session(session) {
                engine.refresh(account, &session, &ShardPorts::new(leading)).await;
            }
        }
        Work::Resume { key, resume } => resuming::resume(leading, &account.jid, key, resume).await,
        Work::Detach { session, epoch } => {
            resuming::detach(leading, &account.jid, SessionKey { number: session, epoch: epoch.0 }).await;
        }
        Work::StreamEnded { session, epoch, reason, said_by } => {
            let key = SessionKey { number: session, epoch: epoch.0 };
            // The sweep may have looked while the session was being bound or resumed.
            match said_by.is_some().then_some(Fate::Ends).or_else(|| sweep::fate(leading, key)) {
                Some(Fate::Ends) => stream_ended(leading, &account.jid, key, reason, said_by).await,
                Some(Fate::Detaches) => resuming::detach(leading, &account.jid, key).await,
                None => {}
            }
        }
        Work::Close { session, epoch, error } => {
            close(leading, &account.jid, SessionKey { number: session, epoch: epoch.0 }, error).await;
        }
        Work::Ended { session, undelivered } => ended(leading, account, &session, undelivered).await,
        Work::Administer { command, reply } => {
            let outcome = engine.administer(account, command, &ShardPorts::new(leading)).await;
            // The administrator may have gone away: the command is carried out all the same.
            let _ = reply.send(outcome);
        }
        Work::Register { manager, request, stanza } => {
            register(leading, account, &manager, request, &stanza).await;
        }
    }
}

/// A stanza from a session's client.
async fn outbound(
    leading: &Arc<Leading>,
    account: &mut Account,
    ingress: IngressId,
    stanza: Arc<Envelope>,
    token: Token,
) {
    let key = SessionKey { number: ingress.session.number, epoch: ingress.epoch.0 };
    // A session that has ended meanwhile has nothing to say any more.
    let Some(session) = leading.session(key) else { return token.done() };
    let ports = ShardPorts::of_frame(leading, &token, ingress);
    leading.router.engine.outbound(account, &session, stanza, &ports).await;
    if ports.finish() {
        token.done();
    }
}

/// A stanza for the account.
async fn inbound(leading: &Arc<Leading>, account: &mut Account, arrived: Arrived) {
    let Arrived { stanza, ingress, token } = arrived;
    if ingress.is_some_and(|ingress| leading.seen.contains(&account.jid, ingress)) {
        leading.router.metrics.recognised();
        return token.done();
    }
    let ports = ShardPorts::of_stanza(leading, &token, ingress);
    leading.router.engine.inbound(account, stanza.clone(), &ports).await;
    let is_logging = ports.is_logging();
    if !ports.finish() {
        return leading.hand_on(Work::Inbound(Arrived { stanza, ingress, token }));
    }
    if let Some(ingress) = ingress.filter(|_| !is_logging) {
        leading.seen.insert(&account.jid, ingress);
    }
    token.done();
}

/// Binds a resource: the one asked for, or a random one (RFC 6120 §7.6, §7.7). The newest stream wins a conflict. `None`: the
/// shard can't agree just now.
async fn bind(
    leading: &Arc<Leading>,
    account: &Account,
    manager: &Arc<ManagerHandle>,
    resource: Option<String>,
    stream: StreamId,
) -> Result<Option<BoundSession>, StanzaError> {
    let refused = |condition: Condition, text: &str| StanzaError::new(condition).with_text(text);
    let resource = resource.unwrap_or_else(clock::random_id);
    let jid = account.jid.with_resource(&resource);
    let jid = jid.map_err(|error| refused(Condition::BadRequest, &error.to_string()))?;
    let command = Command::Bind { jid: jid.clone(), manager: manager.name.clone(), stream, at: clock::now() };
    match leading.propose(command).await {
        Ok(Outcome::Bound { session: key, replaced }) => {
            leading.delivery.bound(key, manager.clone());
            if let Some(replaced) = replaced {
                leading.depart(replaced, None);
            }
            leading.router.metrics.bound();
            let session = SessionId { shard: leading.shard, number: key.number };
            // Not `jid` where the stream had been bound before: then it keeps what it got.
            let jid = leading.session(key).map_or(jid, |session| session.jid.clone());
            Ok(Some(BoundSession { session, epoch: Epoch(key.epoch), jid }))
        }
        Ok(_) => Err(refused(Condition::ResourceConstraint, "This account has as many sessions as it may have.")),
        Err(Undecided) => Ok(None),
    }
}

/// A stream has ended at its manager: so does its session.
async fn stream_ended(
    leading: &Arc<Leading>,
    account: &BareJid,
    key: SessionKey,
    reason: EndReason,
    said_by: Option<(Arc<ManagerHandle>, Sequence)>,
) {
    match leading.propose(Command::End { key }).await {
        Ok(Outcome::Ended) => {
            tracing::debug!(%account, session = key.number, ?reason, "session ended");
            // Where nobody said so there may be a stream after all.
            let lost = StreamError::new(StreamCondition::Reset).with_text("The session was lost.");
            leading.depart(key, said_by.is_none().then_some(lost));
        }
        Ok(_) => {}
        Err(_) => {
            let again = Work::StreamEnded { session: key.number, epoch: Epoch(key.epoch), reason, said_by };
            return leading.retry(account, again);
        }
    }
    if let Some((manager, sequence)) = said_by {
        let session = SessionId { shard: leading.shard, number: key.number };
        manager.accept(session, Epoch(key.epoch), sequence);
    }
}

/// Ends a session and its stream with an error.
async fn close(leading: &Arc<Leading>, account: &BareJid, key: SessionKey, error: StreamError) {
    match leading.propose(Command::End { key }).await {
        Ok(Outcome::Ended) => leading.depart(key, Some(error)),
        Ok(_) => {}
        Err(_) => {
            leading.retry(account, Work::Close { session: key.number, epoch: Epoch(key.epoch), error });
        }
    }
}

/// A session has departed: its contacts are told, and what it has not taken goes elsewhere.
async fn ended(leading: &Arc<Leading>, account: &mut Account, session: &Arc<Session>, undelivered: Vec<Arc<Envelope>>) {
    let ports = ShardPorts::new(leading);
    let engine = &leading.router.engine;
    // Only a leader that takes over finds both: the contacts have been told of the newer session by then.
    let is_superseded = leading.group.read(|machine| {
        machine.0.records(&account.jid).any(|it| it.session.jid == session.jid && it.session.available.is_some())
    });
    if !is_superseded {
        engine.ended(account, session, &ports).await;
    }
    if !undelivered.is_empty() {
        engine.undelivered(account, undelivered, &ports).await;
    }
    if ports.finish() {
        leading.told(session.key);
    }
}

/// In-band registration before authentication (XEP-0077).
async fn register(
    leading: &Arc<Leading>,
    account: &mut Account,
    manager: &ManagerHandle,
    request: RequestId,
    stanza: &Envelope,
) {
    let host = account.jid.to_domain();
    let stanza = leading.router.engine.register(account, &host, stanza, &ShardPorts::new(leading)).await;
    manager.send(ToManager::Registered { request, stanza });
}
