//! Messages (RFC 6121 §5, §8.5).
//!
//! The common case, a message between two users who are online, asks the store nothing but to take the entries of their logs, and
//! reads no content. What is stored is delivered when it is durable: [`super::logging`].

use std::sync::Arc;

use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{Envelope, Flags, MessageType, StanzaError, StanzaType};

use super::rules::{self, Situation, Verdict};
use super::{Destination, bounce, deliver, destination, forward, logging, situation};
use crate::hooks::{
    Context, Flow, InboundMessage, MessageDelivered, MessageSent, OutboundMessage, UndeliverableMessage,
};
use crate::ports::Sessions;

/// A message from a client. Without `to` it is for the sender's own account (RFC 6120 §10.3.1).
pub(super) async fn outbound(context: &mut Context<'_>, mut stanza: Arc<Envelope>) {
    if stanza.to.is_none() {
        Arc::make_mut(&mut stanza).to = Some(context.account.jid.clone().into());
    }
    let mut archived = false;
    let point = &context.hooks.outbound_message;
    if !point.is_empty() {
        let mut event = OutboundMessage { stanza, archived };
        match point.run(context, &mut event).await {
            Flow::Continue => (stanza, archived) = (event.stanza, event.archived),
            Flow::Handled => return,
            Flow::Reject(error) => return bounce(context, &event.stanza, &error),
        }
    }
    match destination(context, stanza.to.as_ref()) {
        // To the account itself one entry is enough: the message comes in here as well.
        Destination::OwnAccount | Destination::Server | Destination::Nowhere => forward(context, stanza).await,
        Destination::Elsewhere => {
            if logging::sent(context, &stanza, archived).await {
                forward(context, stanza).await;
            }
        }
    }
}

/// A message of the account has been routed, and is durable if it had to be.
pub(super) async fn sent(context: &mut Context<'_>, stanza: Arc<Envelope>) {
    let point = &context.hooks.message_sent;
    if !point.is_empty() {
        point.run(context, &mut MessageSent { stanza }).await;
    }
}

/// A message for the account, after the table has spoken.
pub(super) async fn inbound(context: &mut Context<'_>, stanza: Arc<Envelope>, verdict: Verdict, targets: Sessions) {
    if stanza.logged > 0 || stanza.flags.has(Flags::COPY) {
        // An earlier leader's, who had it in a session's outbox.
        return return_to_account(context, stanza).await;
    }
    let (verdict, targets) = resolve(context, &stanza, verdict, targets);
    match verdict {
        Verdict::ToResource | Verdict::ToTakers => accept(context, stanza, !targets.is_empty()).await,
        Verdict::Keep => match context.account.exists(context.ports).await {
            Ok(true) => accept(context, stanza, false).await,
            Ok(false) => no_account(context, stanza).await,
            Err(error) => bounce(context, &stanza, &error.into()),
        },
        Verdict::Bounce => bounce(context, &stanza, &Condition::ServiceUnavailable.into()),
        _ => {}
    }
}

/// Whether anybody takes the message now; whoever does when it is durable gets it.
async fn accept(context: &mut Context<'_>, mut stanza: Arc<Envelope>, is_taken: bool) {
    let mut archived = false;
    let point = &context.hooks.inbound_message;
    if !point.is_empty() {
        let mut event = InboundMessage { stanza, archived };
        match point.run(context, &mut event).await {
            Flow::Continue => (stanza, archived) = (event.stanza, event.archived),
            Flow::Handled => return,
            Flow::Reject(error) => return bounce(context, &event.stanza, &error),
        }
    }
    if let Err(error) = logging::received(context, stanza.clone(), archived, is_taken).await {
        bounce(context, &stanza, &error);
    }
}

/// A message that needs no entry, or has one: to whoever takes it now. Where nobody does nothing has happened; the verdict says what
/// is to be done then.
pub(super) async fn hand_out(context: &mut Context<'_>, stanza: &Arc<Envelope>) -> Verdict {
    let (verdict, targets) = takers(context, stanza);
    if !targets.is_empty() {
        deliver(context, &targets, stanza.clone());
        let point = &context.hooks.message_delivered;
        if !point.is_empty() {
            point.run(context, &mut MessageDelivered { stanza: stanza.clone(), targets }).await;
        }
    }
    verdict
}

/// A message that a session has not taken: the table again. To the bare JID it has gone to every taker, so that another
/// one has it, if there is one.
pub(super) async fn undelivered(context: &mut Context<'_>, stanza: Arc<Envelope>, situation: Situation) {
    let went_to_all = situation == Situation::Takers
        && matches!(stanza.kind, StanzaType::Message(MessageType::Chat | MessageType::Normal | MessageType::Headline));
    if !went_to_all {
        return_to_account(context, stanza).await;
    }
}

/// Whether those who take the message now take the account's messages altogether, so that they have been handed what waited: not so a
/// resource that is only connected.
pub(super) fn is_for_taker(context: &Context<'_>, stanza: &Envelope) -> bool {
    let (_, targets) = takers(context, stanza);
    !targets.is_empty() && targets.iter().all(|session| session.takes_messages())
}

/// A message that was accepted before: to whoever takes it now. Nobody else hears of it again.
pub(super) fn hand_back(context: &Context<'_>, stanza: &Arc<Envelope>) -> Verdict {
    let (verdict, targets) = takers(context, stanza);
    deliver(context, &targets, stanza.clone());
    verdict
}

/// A message that was accepted before, and came to nobody.
async fn return_to_account(context: &mut Context<'_>, stanza: Arc<Envelope>) {
    match hand_back(context, &stanza) {
        Verdict::ToResource | Verdict::ToTakers => {}
        _ if stanza.flags.has(Flags::COPY) => {}
        Verdict::Keep if stanza.logged > 0 => {
            logging::wait_again(context, &stanza).await;
        }
        Verdict::Keep => {
            if let Err(error) = logging::received(context, stanza.clone(), false, false).await {
                bounce(context, &stanza, &error);
            }
        }
        Verdict::Bounce => bounce(context, &stanza, &Condition::ServiceUnavailable.into()),
        _ => {}
    }
}

/// Who takes a message that was accepted. One for a resource that is gone by now is not sent back because of its type.
fn takers(context: &Context<'_>, stanza: &Envelope) -> (Verdict, Sessions) {
    let (situation, targets) = situation(stanza, &context.sessions());
    let accepted = stanza.kind == StanzaType::Message(MessageType::Normal) && situation == Situation::NoMatch;
    let verdict = if accepted { Verdict::AsBare } else { rules::verdict(stanza.kind, situation) };
    resolve(context, stanza, verdict, targets)
}

/// Follows [`Verdict::AsBare`]: the verdict for the bare JID, and its takers. There are none but for the two verdicts that name them.
fn resolve(context: &Context<'_>, stanza: &Envelope, verdict: Verdict, targets: Sessions) -> (Verdict, Sessions) {
    match verdict {
        Verdict::ToResource | Verdict::ToTakers => (verdict, targets),
        Verdict::AsBare => {
            let takers: Sessions = context.sessions().into_iter().filter(|session| session.takes_messages()).collect();
            let situation = if takers.is_empty() { Situation::NoTakers } else { Situation::Takers };
            (rules::verdict(stanza.kind, situation), takers)
        }
        _ => (verdict, Sessions::new()),
    }
}

/// What becomes of a message that nobody takes (RFC 6121 §8.5.2.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It waits in the log.
    Waits,
    /// A module has dealt with it.
    Dropped,
    /// Nobody has anything to do with it.
    Unwanted,
    /// It is refused, and must be kept in no other way.
    Refused(StanzaError),
}

/// Asks the modules about a message that nobody takes.
pub(super) async fn fate(context: &mut Context<'_>, stanza: &Arc<Envelope>, account_exists: bool) -> Fate {
    let mut event = UndeliverableMessage { stanza: stanza.clone(), account_exists, waits: false };
    let point = &context.hooks.undeliverable_message;
    match point.run(context, &mut event).await {
        Flow::Continue if event.waits => Fate::Waits,
        Flow::Continue => Fate::Unwanted,
        Flow::Handled => Fate::Dropped,
        Flow::Reject(error) => Fate::Refused(error),
    }
}

/// T14: as if the account were there and offline.
async fn no_account(context: &mut Context<'_>, stanza: Arc<Envelope>) {
    match fate(context, &stanza, false).await {
        Fate::Waits | Fate::Dropped => {}
        Fate::Unwanted => bounce(context, &stanza, &Condition::ServiceUnavailable.into()),
        Fate::Refused(error) => bounce(context, &stanza, &error),
    }
}
