//! RFC 6121 §2–4: roster, subscriptions and presence.

use vesta_xmpp::payload::roster::{Item, Roster, Subscription};
use vesta_xmpp::{BareJid, Jid, PresenceType};

use crate::stanza::{self, Show};
use crate::{Client, Error};

impl Client {
    /// Asks for the roster (RFC 6121 §2.2); from then on the server tells of changes. `version`: that of a roster kept from
    /// earlier, `Some("")` where none is kept and versions are wanted (§2.6). `None`: the kept one is still right.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn roster(&self, version: Option<&str>) -> Result<Option<Roster>, Error> {
        let query = Roster { version: version.map(Into::into), items: Vec::new() };
        match self.get(None, &query.to_element()).await? {
            Some(answer) => Ok(Some(Roster::parse(&answer)?)),
            None => Ok(None),
        }
    }

    /// Adds a contact, or changes its name and groups (RFC 6121 §2.3, §2.4). The rest of the item is the server's.
    ///
    /// # Errors
    /// As [`Client::set`].
    pub async fn set_contact(&self, contact: &BareJid, name: Option<&str>, groups: &[&str]) -> Result<(), Error> {
        let item = Item {
            name: name.map(Into::into),
            groups: groups.iter().map(|&group| group.into()).collect(),
            ..Item::new(contact.clone())
        };
        self.set_item(item).await
    }

    /// Removes a contact, and the subscriptions in both directions with it (RFC 6121 §2.5).
    ///
    /// # Errors
    /// As [`Client::set`].
    pub async fn remove_contact(&self, contact: &BareJid) -> Result<(), Error> {
        self.set_item(Item { subscription: Subscription::Remove, ..Item::new(contact.clone()) }).await
    }

    async fn set_item(&self, item: Item) -> Result<(), Error> {
        let query = Roster { version: None, items: vec![item] };
        self.set(None, &query.to_element()).await.map(drop)
    }

    /// Becomes available, or changes how (RFC 6121 §4.2, §4.4). Messages to the account come only after that.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn set_presence(&self, show: Option<Show>, status: Option<&str>, priority: i8) -> Result<(), Error> {
        self.send(stanza::available(show, status, priority)).await
    }

    /// Becomes unavailable without ending the session (RFC 6121 §4.5).
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn set_unavailable(&self) -> Result<(), Error> {
        self.send(stanza::presence(PresenceType::Unavailable, None)).await
    }

    /// Asks to see a contact's presence (RFC 6121 §3.1).
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn subscribe(&self, contact: &BareJid) -> Result<(), Error> {
        self.send_subscription(PresenceType::Subscribe, contact).await
    }

    /// Lets a contact see our presence (RFC 6121 §3.1.4), also before it has asked (§3.4).
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn approve_subscription(&self, contact: &BareJid) -> Result<(), Error> {
        self.send_subscription(PresenceType::Subscribed, contact).await
    }

    /// Refuses a contact's request, or lets it see our presence no longer (RFC 6121 §3.2).
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn cancel_subscription(&self, contact: &BareJid) -> Result<(), Error> {
        self.send_subscription(PresenceType::Unsubscribed, contact).await
    }

    /// Wants to see a contact's presence no longer (RFC 6121 §3.3).
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn unsubscribe(&self, contact: &BareJid) -> Result<(), Error> {
        self.send_subscription(PresenceType::Unsubscribe, contact).await
    }

    async fn send_subscription(&self, kind: PresenceType, contact: &BareJid) -> Result<(), Error> {
        self.send(stanza::presence(kind, Some(Jid::from(contact.clone())))).await
    }
}
