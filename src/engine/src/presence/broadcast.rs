//! Presence without `to` (RFC 6121 §4.2, §4.4, §4.5): told to everybody who is subscribed, and to the account's own available
//! resources, the sending one included.

use std::sync::Arc;

use vesta_xmpp::{Envelope, Jid, PresenceType, StanzaError, StanzaType};

use super::priority;
use crate::hooks::{Context, SessionAvailable, SessionUnavailable};
use crate::ports::Sessions;
use crate::roster::{Roster, subscribing};
use crate::routing::deliver;
use crate::session::Available;
use crate::{Ports, Session, SessionChange};

/// Initial presence (§4.2), or a new presence of an available resource (§4.4).
pub(super) async fn available(
    context: &mut Context<'_>,
    session: &Arc<Session>,
    stanza: Arc<Envelope>,
) -> Result<(), StanzaError> {
    let ports = context.ports;
    let priority = priority::of(&stanza)?;
    // Loaded before anything is shown: where it can't be, nothing has happened.
    context.account.roster(ports).await?;
    let presence = Available { priority, stanza: stanza.clone(), since: ports.now() };
    let change = SessionChange::Presence(Some(presence));
    let Some(session_now) = ports.change(&context.account.jid, session.key, change).await? else { return Ok(()) };
    tell_contacts(ports, context.account.roster(ports).await?, &stanza);
    deliver(context, &available_sessions(context), stanza);
    if session.available.is_none() {
        introduce(context, &session_now).await?;
    }
    let hooks = context.hooks;
    if !hooks.session_available.is_empty() {
        let mut event = SessionAvailable { session: session_now, previous_priority: session.priority() };
        hooks.session_available.run(context, &mut event).await;
    }
    Ok(())
}

/// What a resource learns when it becomes available (§4.2.2, §3.1.3): the presence of the account's other resources and of the
/// contacts, and the requests that wait for an answer.
async fn introduce(context: &mut Context<'_>, session: &Arc<Session>) -> Result<(), StanzaError> {
    tell_presence(context, session).await?;
    let roster = context.account.roster(context.ports).await?;
    let requests = subscribing::requests(roster);
    for request in requests {
        deliver(context, std::slice::from_ref(session), Arc::new(request));
    }
    Ok(())
}

/// An available resource may have missed presence: it learns it anew.
pub(crate) async fn refresh(context: &mut Context<'_>, session: &Arc<Session>) {
    if session.available.is_some()
        && let Err(error) = tell_presence(context, session).await
    {
        tracing::warn!(session = %session.jid, ?error, "presence that was missed can't be told anew");
    }
}

async fn tell_presence(context: &mut Context<'_>, session: &Arc<Session>) -> Result<(), StanzaError> {
    let ports = context.ports;
    for other in available_sessions(context).iter().filter(|other| other.key != session.key) {
        if let Some(available) = &other.available {
            deliver(context, std::slice::from_ref(session), available.stanza.clone());
        }
    }
    let roster = context.account.roster(ports).await?;
    for contact in roster.subscriptions() {
        // From the full JID, so that the answers reach the resource that needs them and no other.
        let probe = Envelope::new(StanzaType::Presence(PresenceType::Probe)).with_from(session.jid.clone());
        send(ports, probe.with_to(contact.clone()));
    }
    Ok(())
}

/// The resource is available no longer, and says so (§4.5.2). Its directed presence ends as well.
pub(super) async fn unavailable(
    context: &mut Context<'_>,
    session: &Arc<Session>,
    stanza: Arc<Envelope>,
) -> Result<(), StanzaError> {
    let ports = context.ports;
    context.account.roster(ports).await?;
    ports.change(&context.account.jid, session.key, SessionChange::Presence(None)).await?;
    farewell(context, session, stanza).await;
    Ok(())
}

/// The session has ended, in whatever way: the server says for it what it can say no longer (§4.5.2).
pub(crate) async fn ended(context: &mut Context<'_>, session: &Arc<Session>) {
    let stanza = Envelope::new(StanzaType::Presence(PresenceType::Unavailable)).with_from(session.jid.clone());
    farewell(context, session, Arc::new(stanza)).await;
}

async fn farewell(context: &mut Context<'_>, session: &Arc<Session>, stanza: Arc<Envelope>) {
    let was_available = session.available.is_some();
    if !was_available && session.directed.is_empty() {
        return;
    }
    let ports = context.ports;
    if let Err(error) = context.account.roster(ports).await {
        tracing::warn!(session = %session.jid, %error, "a session's end is told by the roster as last known");
    }
    let roster = context.account.last_known_roster();
    if let Some(roster) = roster.filter(|_| was_available) {
        tell_contacts(ports, roster, &stanza);
    }
    let told = |entity: &Jid| was_available && roster.is_some_and(|roster| roster.sees_us(entity));
    for entity in session.directed.iter().filter(|entity| !told(entity)) {
        send(ports, (*stanza).clone().with_to(entity.clone()));
    }
    if !was_available {
        return;
    }
    let heard = context.sessions().into_iter().filter(|it| it.available.is_some() || it.key == session.key);
    deliver(context, &heard.collect::<Sessions>(), stanza.clone());
    let hooks = context.hooks;
    if !hooks.session_unavailable.is_empty() {
        let mut event = SessionUnavailable { session: session.clone(), stanza };
        hooks.session_unavailable.run(context, &mut event).await;
    }
}

/// Sends the presence of every available resource to one entity: it has just been subscribed (§3.1.5), or has asked (§4.3.2).
/// Returns whether there was any.
pub(crate) fn show_to(context: &Context<'_>, entity: &Jid) -> bool {
    let sessions = available_sessions(context);
    for available in sessions.iter().filter_map(|session| session.available.as_ref()) {
        send(context.ports, (*available.stanza).clone().with_to(entity.clone()));
    }
    !sessions.is_empty()
}

/// Sends unavailable presence of every available resource to an entity that may see them no longer (§3.2.2, §3.3.3).
pub(crate) fn withdraw_from(context: &Context<'_>, entity: &Jid) {
    for session in available_sessions(context) {
        let stanza = Envelope::new(StanzaType::Presence(PresenceType::Unavailable)).with_from(session.jid.clone());
        send(context.ports, stanza.with_to(entity.clone()));
    }
}

fn tell_contacts(ports: &dyn Ports, roster: &Roster, stanza: &Envelope) {
    for contact in roster.subscribers() {
        send(ports, stanza.clone().with_to(contact.clone()));
    }
}

/// Presence that nobody asked for goes where a way is known, and is not missed elsewhere.
pub(super) fn send(ports: &dyn Ports, stanza: Envelope) {
    if stanza.to.as_ref().is_some_and(|to| ports.reaches(to.domain())) {
        ports.route(Arc::new(stanza));
    }
}

fn available_sessions(context: &Context<'_>) -> Sessions {
    context.sessions().into_iter().filter(|session| session.available.is_some()).collect()
}
