//! RFC 6121 §2–3: rosters and subscriptions.

use vesta_xmpp::{BareJid, Jid};

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
    pub pending_in: Option<bytes::Bytes>,
    /// The user has approved the contact beforehand (RFC 6121 §3.4).
    pub approved: bool,
    /// Whether the user has put the contact into the roster. An item that is only there for `Pending In` or `approved` without
    /// having been added is not shown (RFC 6121 §3.1.3).
    pub listed: bool,
}

impl RosterItem {
    /// An item in the state `None`, not listed.
    pub fn new(contact: BareJid) -> Self {
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
}
