//! Subscriptions (RFC 6121 §3): the four stanzas, from the user to the contact and back.
//!
//! Each side keeps its own roster, on its own shard. What one side has decided it stores before anybody sees it, then tells the
//! other with the stanza, and its own resources with a roster push.

use std::sync::Arc;

use bytes::Bytes;
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{BareJid, Envelope, Jid, PresenceType, StanzaError, StanzaType};

use super::saving::{check_room, save};
use super::state::{Pass, Request, State};
use super::{Roster, RosterItem};
use crate::hooks::Context;
use crate::ports::Sessions;
use crate::presence::{show_to, withdraw_from};
use crate::routing::{Destination, bounce, deliver, destination};
use crate::store::StoreError;

/// Content of a request above this size is not kept with it.
const REQUEST_BYTES_MAX: usize = 4096;

impl Request {
    fn of(kind: StanzaType) -> Option<Self> {
        Some(match kind {
            StanzaType::Presence(PresenceType::Subscribe) => Request::Subscribe,
            StanzaType::Presence(PresenceType::Unsubscribe) => Request::Unsubscribe,
            StanzaType::Presence(PresenceType::Subscribed) => Request::Subscribed,
            StanzaType::Presence(PresenceType::Unsubscribed) => Request::Unsubscribed,
            _ => return None,
        })
    }

    fn kind(self) -> StanzaType {
        StanzaType::Presence(match self {
            Request::Subscribe => PresenceType::Subscribe,
            Request::Unsubscribe => PresenceType::Unsubscribe,
            Request::Subscribed => PresenceType::Subscribed,
            Request::Unsubscribed => PresenceType::Unsubscribed,
        })
    }
}

/// From the user's client to a contact (§3.1.2, §3.1.5, §3.2.2, §3.3.2, §3.4.2).
pub(crate) async fn outbound(context: &mut Context<'_>, to: &Jid, stanza: &Envelope) -> Result<(), StanzaError> {
    let Some(request) = Request::of(stanza.kind) else { return Ok(()) };
    let contact = to.to_bare();
    match destination(context, Some(&contact)) {
        Destination::Elsewhere => {}
        Destination::Nowhere => return Err(Condition::RemoteServerNotFound.into()),
        Destination::OwnAccount | Destination::Server => return Ok(()),
    }
    let before = context.account.roster(context.ports).await?.item(&contact);
    let (pass, next) = State::of(&before).outbound(request);
    let after = decided(&before, request, pass, next);
    if after.listed {
        check_room(context, &before).await?;
    }
    let push = save(context, after).await?;
    if pass == Pass::Yes {
        context.ports.route(Arc::new(between(stanza, context.account.jid.clone(), contact.clone())));
    }
    push.send(context);
    update_visibility(context, &contact, State::of(&before), next);
    Ok(())
}

/// The item after the user's stanza: what appendix A says, and pre-approval (§3.4).
fn decided(before: &RosterItem, request: Request, pass: Pass, next: State) -> RosterItem {
    let mut item = before.clone();
    item.enter(next, Bytes::new);
    match (request, pass) {
        (Request::Subscribe, _) | (Request::Subscribed, Pass::Yes) => item.listed = true,
        (Request::Subscribed, Pass::No) if !next.contact_sees_us() => {
            item.approved = true;
            item.listed = true;
        }
        (Request::Unsubscribed, _) => item.approved = false,
        (Request::Subscribed, Pass::No) | (Request::Unsubscribe, _) => {}
    }
    item
}

/// From a contact to the user (§3.1.3, §3.1.6, §3.2.3, §3.3.3).
pub(crate) async fn inbound(context: &mut Context<'_>, stanza: &Envelope) {
    let (Some(request), Some(contact)) = (Request::of(stanza.kind), stanza.from_bare()) else { return };
    if contact == context.account.jid {
        return;
    }
    let outcome = match request {
        Request::Subscribe => asked(context, contact, stanza).await,
        _ => informed(context, contact, request, stanza).await,
    };
    if let Err(error) = outcome {
        bounce(context, stanza, &error.into());
    }
}

/// The contact asks to see the user (§3.1.3). An account that does not exist is as silent as one whose user has not answered.
async fn asked(context: &mut Context<'_>, contact: BareJid, stanza: &Envelope) -> Result<(), StoreError> {
    let limit = context.settings.roster_items_max;
    let roster = context.account.roster(context.ports).await?;
    let full = roster.count(false) >= limit;
    let mut item = roster.item(&contact);
    let before = State::of(&item);
    let (pass, pending) = before.inbound(Request::Subscribe);
    if before.contact_sees_us() {
        answer(context, Request::Subscribed, &contact);
        return Ok(());
    }
    if item.approved {
        let (_, next) = pending.outbound(Request::Subscribed);
        item.enter(next, Bytes::new);
        let push = save(context, item).await?;
        answer(context, Request::Subscribed, &contact);
        push.send(context);
        update_visibility(context, &contact, before, next);
        return Ok(());
    }
    if pass == Pass::No || !context.account.exists(context.ports).await? {
        return Ok(());
    }
    if !item.listed && full {
        tracing::info!(account = %context.account.jid, "a subscription request is dropped: too many wait for an answer");
        return Ok(());
    }
    let stanza = between(stanza, contact, context.account.jid.clone());
    item.enter(pending, || to_bytes(&stanza));
    save(context, item).await?.send(context);
    let available = context.sessions().into_iter().filter(|session| session.available.is_some());
    deliver(context, &available.collect::<Sessions>(), Arc::new(stanza));
    Ok(())
}

/// The contact has approved or denied, or wants to see no longer.
async fn informed(
    context: &mut Context<'_>,
    contact: BareJid,
    request: Request,
    stanza: &Envelope,
) -> Result<(), StoreError> {
    let mut item = context.account.roster(context.ports).await?.item(&contact);
    let before = State::of(&item);
    let (pass, next) = before.inbound(request);
    if pass == Pass::No {
        return Ok(());
    }
    item.enter(next, Bytes::new);
    let push = save(context, item).await?;
    let interested = context.sessions().into_iter().filter(|session| session.interested);
    let stanza = between(stanza, contact.clone(), context.account.jid.clone());
    deliver(context, &interested.collect::<Sessions>(), Arc::new(stanza));
    push.send(context);
    update_visibility(context, &contact, before, next);
    Ok(())
}

/// Ends what there is between the account and a contact that has been removed (§2.5.2).
pub(crate) fn cancel(context: &Context<'_>, item: &RosterItem) {
    let state = State::of(item);
    let Some(contact) = item.contact.as_bare() else { return };
    if super::sees_contact(item) || state.pending_out() {
        answer(context, Request::Unsubscribe, &contact);
    }
    if state.contact_sees_us() || state.pending_in() {
        answer(context, Request::Unsubscribed, &contact);
    }
    update_visibility(context, &contact, state, State::None);
}

/// The requests that wait for the user's answer: shown to each resource that becomes available.
pub(crate) fn requests(roster: &Roster) -> Vec<Envelope> {
    let waiting = roster.items().filter_map(|item| item.pending_in.as_ref());
    waiting.filter_map(|stanza| Envelope::read_alone(stanza).ok()).collect()
}

/// A contact that has just been subscribed is shown the presence (§3.1.5); one that is so no longer sees it end (§3.2.2).
fn update_visibility(context: &Context<'_>, contact: &BareJid, before: State, now: State) {
    match (before.contact_sees_us(), now.contact_sees_us()) {
        (false, true) => {
            show_to(context, contact);
        }
        (true, false) => withdraw_from(context, contact),
        _ => {}
    }
}

/// A subscription stanza that the server sends on the user's behalf.
fn answer(context: &Context<'_>, request: Request, contact: &BareJid) {
    if context.ports.reaches(contact.domain()) {
        let stanza = Envelope::new(request.kind()).with_from(context.account.jid.clone());
        context.ports.route(Arc::new(stanza.with_to(contact.clone())));
    }
}

/// Subscription stanzas go from bare JID to bare JID (§3.1.2).
fn between(stanza: &Envelope, from: BareJid, to: BareJid) -> Envelope {
    stanza.clone().with_from(from).with_to(to)
}

fn to_bytes(stanza: &Envelope) -> Bytes {
    let mut out = Vec::new();
    if stanza.content.len() + stanza.attributes.len() <= REQUEST_BYTES_MAX {
        stanza.write_alone(&mut out);
    } else {
        Envelope { content: Bytes::new(), attributes: Bytes::new(), payload: None, ..stanza.clone() }
            .write_alone(&mut out);
    }
    out.into()
}
