//! One roster item is changed: first in the store, then in the cache, then before the client's eyes (RFC 6121 §2.1.6).

use std::sync::Arc;

use vesta_xmpp::payload::roster::{Item, Roster as Query, Subscription};
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{Element, Envelope, IqType, Jid, StanzaError};

use super::RosterItem;
use crate::hooks::Context;
use crate::ports::Sessions;
use crate::routing::deliver;
use crate::store::{Change, StoreError};

/// A change that the interested resources are to be told of, if it is one that they can see.
#[must_use]
pub(super) struct Push(Option<Element>);

/// Saves an item. A blank one is taken away.
///
/// # Errors
/// The store's; nothing is changed then.
pub(super) async fn save(context: &mut Context<'_>, item: RosterItem) -> Result<Push, StoreError> {
    let (ports, account) = (context.ports, context.account.jid.clone());
    let roster = context.account.roster(ports).await?;
    let before = roster.get(&item.contact);
    let unchanged = before.map_or(item.is_blank(), |before| *before == item);
    if unchanged {
        return Ok(Push(None));
    }
    let (shown_before, shown) = (before.and_then(RosterItem::shown), item.shown());
    let visible = shown_before != shown;
    let version = roster.version + u64::from(visible);
    let change = if item.is_blank() {
        Change::RosterRemove { version, contact: item.contact.clone() }
    } else {
        Change::RosterPut { version, item: item.clone() }
    };
    if let Err(error) = ports.store().write(ports.fence(), &account, vec![change]).await {
        context.account.doubt_roster();
        return Err(error);
    }
    roster.version = version;
    let contact = item.contact.clone();
    if item.is_blank() {
        roster.items.remove(&contact);
    } else {
        roster.items.insert(contact.clone(), item);
    }
    let push = || query(version, shown.unwrap_or_else(|| removed(contact)));
    Ok(Push(visible.then(push)))
}

impl Push {
    /// Tells the account's interested resources.
    pub(super) fn send(self, context: &Context<'_>) {
        let Some(query) = self.0 else { return };
        let interested = context.sessions().into_iter().filter(|session| session.interested);
        let push = Envelope::iq(IqType::Set, &context.ports.random_id(), Some(&query));
        deliver(context, &interested.collect::<Sessions>(), Arc::new(push));
    }
}

/// Refuses an item that would be listed anew in a full roster (T33).
pub(super) async fn check_room(context: &mut Context<'_>, item: &RosterItem) -> Result<(), StanzaError> {
    let limit = context.settings.roster_items_max;
    if !item.listed && context.account.roster(context.ports).await?.count(true) >= limit {
        return Err(
            StanzaError::new(Condition::PolicyViolation).with_text(format!("the roster is full: {limit} items"))
        );
    }
    Ok(())
}

fn query(version: u64, item: Item) -> Element {
    Query { version: Some(version.to_string()), items: vec![item] }.to_element()
}

fn removed(contact: Jid) -> Item {
    Item { subscription: Subscription::Remove, ..Item::new(contact) }
}
