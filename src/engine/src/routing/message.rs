//! Messages (RFC 6121 §5, §8.5).
//!
//! The common case, a message between two users who are online, asks the store nothing and reads no content.

use std::sync::Arc;

use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{Envelope, MessageType, StanzaType};

use super::rules::{self, Situation, Verdict};
use super::{bounce, deliver, forward};
use crate::hooks::{Context, Flow, InboundMessage, OutboundMessage, UndeliverableMessage};
use crate::ports::Sessions;

/// A message from a client. Without `to` it is for the sender's own account (RFC 6120 §10.3.1).
pub(super) async fn outbound(context: &mut Context<'_>, mut stanza: Arc<Envelope>) {
    if stanza.to.is_none() {
        Arc::make_mut(&mut stanza).to = Some(context.account.jid.clone().into());
    }
    let point = &context.hooks.outbound_message;
    if !point.is_empty() {
        let mut event = OutboundMessage { stanza };
        match point.run(context, &mut event).await {
            Flow::Continue => stanza = event.stanza,
            Flow::Handled => return,
            Flow::Reject(error) => return bounce(context, &event.stanza, &error),
        }
    }
    forward(context, stanza).await;
}

/// A message for the account, after the table has spoken.
pub(super) async fn inbound(context: &mut Context<'_>, stanza: Arc<Envelope>, verdict: Verdict, targets: Sessions) {
    let (verdict, targets) = resolve(context, &stanza, verdict, targets);
    match verdict {
        Verdict::ToResource | Verdict::ToTakers => offer(context, stanza, targets, true).await,
        Verdict::Keep => match context.account.exists(context.ports).await {
            Ok(true) => offer(context, stanza, targets, true).await,
            Ok(false) => offer(context, stanza, targets, false).await,
            Err(error) => bounce(context, &stanza, &error.into()),
        },
        Verdict::Bounce => bounce(context, &stanza, &Condition::ServiceUnavailable.into()),
        _ => {}
    }
}

/// A message that a session has not taken: the table again. To the bare JID it has gone to every taker, so that another
/// one has it, if there is one. One that was accepted for a resource which is gone is not sent back because of its type.
pub(super) async fn undelivered(
    context: &mut Context<'_>,
    stanza: Arc<Envelope>,
    situation: Situation,
    verdict: Verdict,
    targets: Sessions,
) {
    let accepted = stanza.kind == StanzaType::Message(MessageType::Normal) && situation == Situation::NoMatch;
    let verdict = if accepted { Verdict::AsBare } else { verdict };
    let (verdict, targets) = resolve(context, &stanza, verdict, targets);
    match verdict {
        Verdict::ToTakers if situation == Situation::Takers => {}
        Verdict::ToResource | Verdict::ToTakers => deliver(context, &targets, stanza),
        Verdict::Keep => keep(context, stanza, true).await,
        Verdict::Bounce => bounce(context, &stanza, &Condition::ServiceUnavailable.into()),
        _ => {}
    }
}

/// Follows [`Verdict::AsBare`]: the verdict for the bare JID, and its takers.
fn resolve(context: &Context<'_>, stanza: &Envelope, verdict: Verdict, targets: Sessions) -> (Verdict, Sessions) {
    if verdict != Verdict::AsBare {
        return (verdict, targets);
    }
    let takers: Sessions = context.sessions().into_iter().filter(|session| session.takes_messages()).collect();
    let situation = if takers.is_empty() { Situation::NoTakers } else { Situation::Takers };
    (rules::verdict(stanza.kind, situation), takers)
}

/// Asks the modules, then delivers, or keeps what nobody takes.
async fn offer(context: &mut Context<'_>, mut stanza: Arc<Envelope>, mut targets: Sessions, account_exists: bool) {
    let point = &context.hooks.inbound_message;
    if account_exists && !point.is_empty() {
        let mut event = InboundMessage { stanza, targets };
        match point.run(context, &mut event).await {
            Flow::Continue => (stanza, targets) = (event.stanza, event.targets),
            Flow::Handled => return,
            Flow::Reject(error) => return bounce(context, &event.stanza, &error),
        }
    }
    if targets.is_empty() {
        keep(context, stanza, account_exists).await;
    } else {
        deliver(context, &targets, stanza);
    }
}

/// RFC 6121 §8.5.2.2.1: kept by a module, or sent back.
async fn keep(context: &mut Context<'_>, stanza: Arc<Envelope>, account_exists: bool) {
    if !matches!(stanza.kind, StanzaType::Message(MessageType::Chat | MessageType::Normal)) {
        return;
    }
    let mut event = UndeliverableMessage { stanza, account_exists };
    let point = &context.hooks.undeliverable_message;
    match point.run(context, &mut event).await {
        Flow::Continue => bounce(context, &event.stanza, &Condition::ServiceUnavailable.into()),
        Flow::Handled => {}
        Flow::Reject(error) => bounce(context, &event.stanza, &error),
    }
}
