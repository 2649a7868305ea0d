//! What a shard's leader does with each event of an account.

use std::sync::Arc;

use vesta_engine::{Account, SessionKey};
use vesta_wire::attach::{BoundSession, EndReason, RequestId, ToManager};
use vesta_wire::{Epoch, Sequence, SessionId, StreamId};
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::stream_error::StreamCondition;
use vesta_xmpp::{StanzaError, StreamError};

use super::leading::Leading;
use super::ports::ShardPorts;
use super::state::{Command, Outcome};
use super::work::{Token, Work};
use crate::clock;
use crate::links::managers::ManagerHandle;

/// Processes one event. Events of the account come one after the other.
pub async fn process(leading: &Arc<Leading>, account: &mut Account, work: Work) {
    let engine = &leading.router.engine;
    let ports = |token| ShardPorts { leading, token };
    match work {
        Work::Outbound { session, epoch, stanza, token } => {
            // A session that has ended meanwhile has nothing to say any more.
            if let Some(session) = leading.session(SessionKey { number: session, epoch: epoch.0 }) {
                engine.outbound(account, &session, stanza, &ports(token)).await;
            }
        }
        Work::Inbound { stanza, token } => engine.inbound(account, stanza, &ports(token)).await,
        Work::Bind { manager, request, resource, stream } => {
            bind(leading, account, manager, request, resource, stream).await;
        }
        Work::StreamEnded { session, epoch, reason, said_by } => {
            stream_ended(leading, SessionKey { number: session, epoch: epoch.0 }, reason, said_by).await;
        }
        Work::Close { session, epoch, error } => {
            close(leading, SessionKey { number: session, epoch: epoch.0 }, error).await;
        }
        Work::Ended { session, undelivered } => {
            engine.ended(account, &session, &ports(Token::none())).await;
            if !undelivered.is_empty() {
                engine.undelivered(account, undelivered, &ports(Token::none())).await;
            }
        }
        Work::Administer { command, reply } => {
            let outcome = engine.administer(account, command, &ports(Token::none())).await;
            // The administrator may have gone away: the command is carried out all the same.
            let _ = reply.send(outcome);
        }
        Work::Register { manager, request, stanza } => {
            let host = account.jid.to_domain();
            let stanza = engine.register(account, &host, &stanza, &ports(Token::none())).await;
            manager.send(ToManager::Registered { request, stanza });
        }
    }
}

/// Binds a resource: the one asked for, or a random one (RFC 6120 §7.6, §7.7). The newest stream wins a conflict.
async fn bind(
    leading: &Arc<Leading>,
    account: &Account,
    manager: Arc<ManagerHandle>,
    request: RequestId,
    resource: Option<String>,
    stream: StreamId,
) {
    let resource = resource.unwrap_or_else(clock::random_id);
    let result = match account.jid.with_resource(&resource) {
        Ok(jid) => {
            let command = Command::Bind { jid: jid.clone(), manager: manager.name.clone(), stream, at: clock::now() };
            match leading.propose(command).await {
                Ok(Outcome::Bound { session, replaced }) => {
                    leading.delivery.bound(session, manager.clone());
                    if let Some(replaced) = replaced {
                        let error = StreamError::new(StreamCondition::Conflict)
                            .with_text("Another stream has bound this resource.");
                        leading.session_gone(replaced, Some(error));
                    }
                    leading.router.metrics.bound();
                    let id = SessionId { shard: leading.shard, number: session.number };
                    Ok(BoundSession { session: id, epoch: Epoch(session.epoch), jid })
                }
                Ok(_) => Err(StanzaError::new(Condition::ResourceConstraint)
                    .with_text("This account has as many sessions as it may have.")),
                Err(_) => Err(StanzaError::new(Condition::ResourceConstraint)
                    .with_text("The server can't agree on the session just now. Try again later.")),
            }
        }
        Err(error) => Err(StanzaError::new(Condition::BadRequest).with_text(error.to_string())),
    };
    manager.send(ToManager::Bound { request, result });
}

/// A stream has ended at its manager: so does its session.
async fn stream_ended(
    leading: &Arc<Leading>,
    key: SessionKey,
    reason: EndReason,
    said_by: Option<(Arc<ManagerHandle>, Sequence)>,
) {
    match leading.end_session(key).await {
        Ok(Some(record)) => {
            tracing::debug!(jid = %record.session.jid, ?reason, "session ended");
            leading.session_gone(record, None);
        }
        Ok(None) => {}
        Err(_) => {
            let again = Work::StreamEnded { session: key.number, epoch: Epoch(key.epoch), reason, said_by };
            return leading.retry(key, again);
        }
    }
    if let Some((manager, sequence)) = said_by {
        let session = SessionId { shard: leading.shard, number: key.number };
        manager.accept(session, Epoch(key.epoch), sequence);
    }
}

/// Ends a session and its stream with an error.
async fn close(leading: &Arc<Leading>, key: SessionKey, error: StreamError) {
    match leading.end_session(key).await {
        Ok(Some(record)) => leading.session_gone(record, Some(error)),
        Ok(None) => {}
        Err(_) => leading.retry(key, Work::Close { session: key.number, epoch: Epoch(key.epoch), error }),
    }
}
