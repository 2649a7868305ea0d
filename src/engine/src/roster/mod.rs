//! RFC 6121 §2–3: rosters and subscriptions.
//!
//! | file | subject |
//! |---|---|
//! | this | the roster as the account's leader holds it |
//! | `requests` | a client reads, changes and removes items (§2.1–2.6) |
//! | `saving` | one item is changed: stored first, then pushed (§2.1.6) |
//! | `state` | the tables of appendix A |
//! | `subscribing` | subscription stanzas in both directions (§3) |

mod requests;
mod saving;
mod state;
pub(crate) mod subscribing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;
use vesta_xmpp::Jid;
use vesta_xmpp::payload::roster as payload;

use crate::store::StoredRoster;
use state::State;

pub(crate) use requests::register;

/// Who sees whose presence (RFC 6121 §2.1.2.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Subscription {
    /// Neither.
    #[default]
    None,
    /// The user sees the contact.
    To,
    /// The contact sees the user.
    From,
    /// Both.
    Both,
}

/// One contact of an account, in one of the nine states of RFC 6121 §A.1 (pending parts included).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterItem {
    /// The contact; a bare JID nearly always.
    pub contact: Jid,
    /// The name that the user gave.
    pub name: Option<String>,
    /// The groups that the user gave, in order, without doubles.
    pub groups: Vec<String>,
    /// Who sees whom.
    pub subscription: Subscription,
    /// The user's own request is not answered yet: `Pending Out`, `ask='subscribe'`.
    pub pending_out: bool,
    /// The contact's request is not answered yet: `Pending In`. The stanza, to be shown again at each login.
    pub pending_in: Option<Bytes>,
    /// The user has approved the contact beforehand (RFC 6121 §3.4).
    pub approved: bool,
    /// Whether the user has put the contact into the roster. An item that is only there for `Pending In` or `approved` without
    /// having been added is not shown (RFC 6121 §3.1.3).
    pub listed: bool,
}

impl RosterItem {
    /// An item in the state `None`, not listed.
    pub fn new(contact: impl Into<Jid>) -> Self {
        Self {
            contact: contact.into(),
            name: None,
            groups: Vec::new(),
            subscription: Subscription::None,
            pending_out: false,
            pending_in: None,
            approved: false,
            listed: false,
        }
    }

    /// Takes the item to another state. `request` is the contact's stanza, kept where the state is one of `Pending In`.
    fn enter(&mut self, state: State, request: impl FnOnce() -> Bytes) {
        self.subscription = state.subscription();
        self.pending_out = state.pending_out();
        self.pending_in = match self.pending_in.take() {
            _ if !state.pending_in() => None,
            Some(first) => Some(first),
            None => Some(request()),
        };
    }

    /// Whether there is nothing to remember.
    fn is_blank(&self) -> bool {
        !self.listed && !self.approved && State::of(self) == State::None
    }

    /// The item as a client sees it; `None` where it does not.
    fn shown(&self) -> Option<payload::Item> {
        self.listed.then(|| payload::Item {
            name: self.name.clone(),
            groups: self.groups.clone(),
            subscription: match self.subscription {
                Subscription::None => payload::Subscription::None,
                Subscription::To => payload::Subscription::To,
                Subscription::From => payload::Subscription::From,
                Subscription::Both => payload::Subscription::Both,
            },
            ask: self.pending_out,
            approved: self.approved,
            ..payload::Item::new(self.contact.clone())
        })
    }
}

/// A roster, cached with its account. Changed only through the engine, which stores each change first.
#[derive(Debug, Default)]
pub struct Roster {
    version: u64,
    items: BTreeMap<Jid, RosterItem>,
}

impl From<StoredRoster> for Roster {
    fn from(stored: StoredRoster) -> Self {
        let items = stored.items.into_iter().map(|item| (item.contact.clone(), item)).collect();
        Self { version: stored.version, items }
    }
}

impl Roster {
    /// Whether `entity`, by its bare JID, is subscribed to the account's presence.
    pub fn sees_us(&self, entity: &Jid) -> bool {
        self.items.get(entity.bare_str()).is_some_and(|item| State::of(item).contact_sees_us())
    }

    /// Whether the account is subscribed to the presence of `entity`, by its bare JID.
    pub fn we_see(&self, entity: &Jid) -> bool {
        self.items.get(entity.bare_str()).is_some_and(sees_contact)
    }

    /// The contacts that are subscribed to the account's presence.
    pub fn subscribers(&self) -> impl Iterator<Item = &Jid> {
        self.items.values().filter(|item| State::of(item).contact_sees_us()).map(|item| &item.contact)
    }

    /// The contacts whose presence the account is subscribed to.
    pub fn subscriptions(&self) -> impl Iterator<Item = &Jid> {
        self.items.values().filter(|item| sees_contact(item)).map(|item| &item.contact)
    }

    /// All items, those that are not shown included.
    pub fn items(&self) -> impl Iterator<Item = &RosterItem> {
        self.items.values()
    }

    /// A contact's item.
    pub fn get(&self, contact: &Jid) -> Option<&RosterItem> {
        self.items.get(contact)
    }

    /// A contact's item, or a blank one to fill.
    fn item(&self, contact: &Jid) -> RosterItem {
        self.get(contact).cloned().unwrap_or_else(|| RosterItem::new(contact.clone()))
    }

    /// How many items are listed, or not.
    fn count(&self, listed: bool) -> usize {
        self.items.values().filter(|item| item.listed == listed).count()
    }
}

fn sees_contact(item: &RosterItem) -> bool {
    matches!(item.subscription, Subscription::To | Subscription::Both)
}
