//! Directed presence (RFC 6121 §4.6): presence with `to`. Whom it went to is remembered with the session, so that they are told
//! when it ends, in whatever way.

use std::sync::Arc;

use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{Envelope, Jid, PresenceType, StanzaError, StanzaType};

use crate::hooks::Context;
use crate::ports::Sessions;
use crate::routing::{Destination, destination, forward};
use crate::session::DIRECTED_MAX;
use crate::{Session, SessionChange};

/// Available presence to one entity.
pub(super) async fn available(
    context: &mut Context<'_>,
    session: &Arc<Session>,
    to: &Jid,
    stanza: &Arc<Envelope>,
) -> Result<(), StanzaError> {
    if needs_remembering(context, session, to).await {
        if session.directed.len() >= DIRECTED_MAX {
            return Err(
                StanzaError::new(Condition::PolicyViolation).with_text("too many entities with directed presence")
            );
        }
        // First remembered, then shown: whoever sees it will be told of its end.
        let change = SessionChange::AddDirected(to.clone());
        context.ports.change(&context.account.jid, session.key, change).await?;
    }
    forward(context, stanza.clone()).await;
    Ok(())
}

/// Unavailable presence to one entity.
pub(super) async fn unavailable(
    context: &mut Context<'_>,
    session: &Arc<Session>,
    to: &Jid,
    stanza: &Arc<Envelope>,
) -> Result<(), StanzaError> {
    forward(context, stanza.clone()).await;
    forget(context, session, to).await
}

/// An entity that answers directed presence with an error is not there: it need not be told of the end.
pub(crate) async fn notice_error(context: &mut Context<'_>, stanza: &Envelope, targets: &Sessions) {
    if stanza.kind != StanzaType::Presence(PresenceType::Error) {
        return;
    }
    let ([session], Some(from)) = (targets.as_slice(), &stanza.from) else { return };
    if let Err(error) = forget(context, session, from).await {
        tracing::debug!(%error, "directed presence stays remembered");
    }
}

async fn forget(context: &Context<'_>, session: &Session, entity: &Jid) -> Result<(), StanzaError> {
    if session.directed.contains(entity) {
        let change = SessionChange::RemoveDirected(entity.clone());
        context.ports.change(&context.account.jid, session.key, change).await?;
    }
    Ok(())
}

/// Not for those whom the broadcast tells of the end anyway, nor for those who can't be reached.
async fn needs_remembering(context: &mut Context<'_>, session: &Session, to: &Jid) -> bool {
    if session.directed.contains(to) || destination(context, Some(to)) != Destination::Elsewhere {
        return false;
    }
    let subscribed = context.account.roster(context.ports).await.is_ok_and(|roster| roster.sees_us(to));
    !(session.available.is_some() && subscribed)
}
