//! RFC 6121 §8 and RFC 6120 §10: where a stanza goes.
//!
//! Outbound (from a client): the rules of the sender's server. A stanza for the sender's own account or for the server is handled at
//! once; everything else leaves through [`Ports::route`](crate::Ports::route). Inbound (for an account): the rules of the
//! recipient's server, from the table in [`rules`].

mod iq;
pub(crate) mod logging;
mod message;
mod rules;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use smallvec::SmallVec;
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{Envelope, Jid, StanzaError, StanzaType};

use crate::hooks::{Context, Scope};
use crate::ports::Sessions;
use crate::roster::subscribing;
use crate::{Session, SessionKey, presence};
use rules::{Situation, Verdict};

pub(crate) use iq::register;

/// Where an address lies, seen from the account of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// The account itself: its bare JID or one of its full JIDs, or no address at all.
    OwnAccount,
    /// The domain of the account's own virtual host.
    Server,
    /// Another account or another virtual host, here or anywhere that can be reached.
    Elsewhere,
    /// A domain that nobody serves.
    Nowhere,
}

pub(crate) fn destination(context: &Context<'_>, to: Option<&Jid>) -> Destination {
    let Some(to) = to else { return Destination::OwnAccount };
    if to.bare_str() == context.account.jid.as_str() {
        Destination::OwnAccount
    } else if to.local().is_none() && to.domain() == context.account.jid.domain() {
        Destination::Server
    } else if context.ports.reaches(to.domain()) {
        Destination::Elsewhere
    } else {
        Destination::Nowhere
    }
}

/// A stanza from a session's client.
pub(crate) async fn outbound(context: &mut Context<'_>, session: &Arc<Session>, stanza: Arc<Envelope>) {
    match stanza.kind {
        StanzaType::Message(_) => message::outbound(context, stanza).await,
        StanzaType::Presence(_) => presence::outbound(context, session, stanza).await,
        StanzaType::Iq(_) => forward(context, stanza).await,
    }
}

/// Sends a stanza of the account on its way.
pub(crate) async fn forward(context: &mut Context<'_>, stanza: Arc<Envelope>) {
    match destination(context, stanza.to.as_ref()) {
        Destination::OwnAccount => to_account(context, stanza).await,
        Destination::Server => to_server(context, &stanza).await,
        Destination::Elsewhere => context.ports.route(stanza),
        Destination::Nowhere => bounce(context, &stanza, &Condition::RemoteServerNotFound.into()),
    }
}

/// A stanza for the account, or, where the account is a virtual host's bare JID, for that host.
pub(crate) async fn inbound(context: &mut Context<'_>, stanza: Arc<Envelope>) {
    if context.account.jid.local().is_none() {
        to_server(context, &stanza).await;
    } else {
        to_account(context, stanza).await;
    }
}

/// A stanza for the account, in its turn: behind messages of the same sender that are not durable yet. A message may have to be stored
/// itself and finds its place later.
async fn to_account(context: &mut Context<'_>, stanza: Arc<Envelope>) {
    let is_message = matches!(stanza.kind, StanzaType::Message(_));
    if !is_message && logging::must_wait(context, &stanza) {
        return logging::stay_behind(context, stanza);
    }
    at_account(context, stanza).await;
}

/// RFC 6121 §8.5: a stanza for the account.
async fn at_account(context: &mut Context<'_>, stanza: Arc<Envelope>) {
    let sessions = context.sessions();
    let (situation, targets) = situation(&stanza, &sessions);
    let verdict = rules::verdict(stanza.kind, situation);
    if let StanzaType::Message(_) = stanza.kind {
        return message::inbound(context, stanza, verdict, targets).await;
    }
    match verdict {
        Verdict::ToResource | Verdict::ToTakers => {
            presence::notice_error(context, &stanza, &targets).await;
            deliver(context, &targets, stanza);
        }
        Verdict::Answer => iq::answer(context, &stanza, scope(context, &stanza)).await,
        Verdict::Subscription => subscribing::inbound(context, &stanza).await,
        Verdict::Probe => presence::probe(context, &stanza, &sessions).await,
        Verdict::Bounce => bounce(context, &stanza, &Condition::ServiceUnavailable.into()),
        Verdict::Keep | Verdict::AsBare | Verdict::Ignore => {}
    }
}

/// RFC 6121 §8.4: a stanza for a virtual host itself. Presence is nothing to it.
async fn to_server(context: &mut Context<'_>, stanza: &Envelope) {
    let bare = stanza.to.as_ref().is_none_or(Jid::is_domain);
    match stanza.kind {
        StanzaType::Presence(_) => {}
        StanzaType::Iq(_) if bare && stanza.kind.may_be_answered() => iq::answer(context, stanza, Scope::Server).await,
        StanzaType::Iq(_) | StanzaType::Message(_) => {
            bounce(context, stanza, &Condition::ServiceUnavailable.into());
        }
    }
}

/// A stanza that was handed to a session which has ended without taking it.
pub(crate) async fn undelivered(context: &mut Context<'_>, stanza: Arc<Envelope>) {
    if stanza.from.is_none() {
        return; // a push of our own: the next session reads its roster anew
    }
    let sessions = context.sessions();
    let (situation, targets) = situation(&stanza, &sessions);
    let verdict = rules::verdict(stanza.kind, situation);
    match stanza.kind {
        StanzaType::Message(_) => message::undelivered(context, stanza, situation).await,
        StanzaType::Iq(_) if verdict == Verdict::ToResource => deliver(context, &targets, stanza),
        StanzaType::Iq(_) => bounce(context, &stanza, &Condition::ServiceUnavailable.into()),
        // Presence is told anew to the next session.
        StanzaType::Presence(_) => {}
    }
}

/// What the address and the resources come to, and the sessions meant.
fn situation(stanza: &Envelope, sessions: &Sessions) -> (Situation, Sessions) {
    if let Some(resource) = stanza.to.as_ref().and_then(Jid::resource) {
        let found = sessions.iter().find(|session| session.jid.resource() == resource);
        let targets: Sessions = found.cloned().into_iter().collect();
        return (if targets.is_empty() { Situation::NoMatch } else { Situation::Match }, targets);
    }
    let takes: fn(&Session) -> bool = match stanza.kind {
        StanzaType::Message(_) => Session::takes_messages,
        StanzaType::Presence(_) | StanzaType::Iq(_) => |session| session.available.is_some(),
    };
    let targets: Sessions = sessions.iter().filter(|session| takes(session)).cloned().collect();
    (if targets.is_empty() { Situation::NoTakers } else { Situation::Takers }, targets)
}

fn scope(context: &Context<'_>, stanza: &Envelope) -> Scope {
    match &stanza.from {
        Some(from) if from.bare_str() == context.account.jid.as_str() => Scope::OwnAccount,
        _ => Scope::OtherAccount,
    }
}

/// Hands a stanza to sessions of the account.
pub(crate) fn deliver(context: &Context<'_>, targets: &[Arc<Session>], stanza: Arc<Envelope>) {
    if !targets.is_empty() {
        let keys: SmallVec<[SessionKey; 4]> = targets.iter().map(|session| session.key).collect();
        context.ports.deliver(&context.account.jid, &keys, stanza);
    }
}

/// Answers a stanza with an error, where it may be answered.
pub(crate) fn bounce(context: &Context<'_>, stanza: &Envelope, error: &StanzaError) {
    if let Some(answer) = stanza.error(error) {
        reply(context, answer);
    }
}

/// Sends an answer back: straight to the session that the event came from, else on its way.
pub(crate) fn reply(context: &Context<'_>, answer: Envelope) {
    match (context.session, &answer.to) {
        // A session that ends with the event does not wait for its answer.
        (Some(session), Some(to)) if *to == *session.jid && context.parting.is_some() => {
            context.ports.deliver(&context.account.jid, &[session.key], Arc::new(answer));
        }
        (Some(session), Some(to)) if *to == *session.jid => {
            context.ports.answer(&context.account.jid, session.key, Arc::new(answer));
        }
        (_, Some(_)) => context.ports.route(Arc::new(answer)),
        (_, None) => tracing::debug!("an answer to nobody is dropped"),
    }
}
