//! A client reads and changes its roster (RFC 6121 §2.1–2.6). What it may not change, `subscription` and `ask`, is not even read
//! (T30).

use std::sync::Arc;

use async_trait::async_trait;
use vesta_xmpp::payload::roster::{Item, Roster as Query, Subscription};
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{Element, StanzaError, ns};

use super::saving::{check_room, save};
use super::{RosterItem, subscribing};
use crate::SessionChange;
use crate::hooks::{Context, Hooks, IqAnswer, IqHandler, IqRequest, Scope};

/// Bytes of a name or of a group's name.
const NAME_BYTES_MAX: usize = 1023;
/// Groups of one item.
const GROUPS_MAX: usize = 100;

/// Registers the roster's handlers, and the stream features of versioning (§2.6.1) and pre-approval (§3.4.1).
pub(crate) fn register(hooks: &mut Hooks) {
    hooks.iq_get(ns::ROSTER, "query", Scope::OwnAccount, Arc::new(RosterRequests));
    hooks.iq_set(ns::ROSTER, "query", Scope::OwnAccount, Arc::new(RosterRequests));
    hooks.stream_feature(Element::new(ns::ROSTER_VERSIONING, "ver"));
    hooks.stream_feature(Element::new(ns::PRE_APPROVAL, "sub"));
}

struct RosterRequests;

#[async_trait]
impl IqHandler for RosterRequests {
    async fn answer(&self, context: &mut Context<'_>, request: &IqRequest<'_>) -> IqAnswer {
        let query = Query::parse(&request.payload()?)?;
        if !request.is_set() {
            return get(context, query).await;
        }
        // §2.3.3: one item in each set.
        let Ok([item]) = <[Item; 1]>::try_from(query.items) else {
            return Err(StanzaError::new(Condition::BadRequest).with_text("exactly one item is expected"));
        };
        match item.subscription {
            Subscription::Remove => remove(context, item).await,
            _ => set(context, item).await,
        }
    }
}

/// §2.2, §2.6.2: the roster, or an empty result for a client that has its current version.
async fn get(context: &mut Context<'_>, query: Query) -> IqAnswer {
    let ports = context.ports;
    let version = context.account.roster(ports).await?.version.to_string();
    if let Some(session) = context.session.filter(|session| !session.interested) {
        ports.change(&context.account.jid, session.key, SessionChange::Interested).await?;
    }
    if query.version.as_ref() == Some(&version) {
        return Ok(None);
    }
    let items = context.account.roster(ports).await?.items().filter_map(RosterItem::shown).collect();
    let result = Query { version: query.version.map(|_| version), items };
    Ok(Some(result.to_element()))
}

/// §2.3, §2.4: adds an item, or gives it another name and other groups.
async fn set(context: &mut Context<'_>, wanted: Item) -> IqAnswer {
    check(context, &wanted)?;
    let mut item = context.account.roster(context.ports).await?.item(&wanted.jid);
    check_room(context, &item).await?;
    item.name = wanted.name;
    item.groups = wanted.groups;
    item.listed = true;
    save(context, item).await?.send(context);
    Ok(None)
}

/// §2.3.3: what is refused.
fn check(context: &Context<'_>, wanted: &Item) -> Result<(), StanzaError> {
    let refused = |text: &str| Err(StanzaError::new(Condition::NotAcceptable).with_text(text));
    if wanted.jid.bare_str() == context.account.jid.as_str() {
        return Err(StanzaError::new(Condition::NotAllowed).with_text("an account is no contact of itself"));
    }
    if wanted.name.as_ref().is_some_and(|name| name.len() > NAME_BYTES_MAX) {
        return refused("the name is too long");
    }
    if wanted.groups.len() > GROUPS_MAX {
        return refused("too many groups");
    }
    if wanted.groups.iter().any(|group| group.is_empty() || group.len() > NAME_BYTES_MAX) {
        return refused("a group's name is empty or too long");
    }
    Ok(())
}

/// §2.5: takes an item away; the subscriptions end.
async fn remove(context: &mut Context<'_>, wanted: Item) -> IqAnswer {
    let roster = context.account.roster(context.ports).await?;
    let Some(item) = roster.get(&wanted.jid).filter(|item| item.listed).cloned() else {
        return Err(Condition::ItemNotFound.into());
    };
    let push = save(context, RosterItem::new(wanted.jid)).await?;
    subscribing::cancel(context, &item);
    push.send(context);
    Ok(None)
}
