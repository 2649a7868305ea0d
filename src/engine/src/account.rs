//! An account as its shard's leader holds it: caches of durable data. The leader is the only writer, so nothing is ever stale.

use vesta_xmpp::BareJid;

/// Caches of one account. May be dropped at any time between two events, and is then loaded again.
#[derive(Debug)]
pub struct Account {
    /// Whose.
    pub jid: BareJid,
}

impl Account {
    /// Nothing cached.
    pub fn new(jid: BareJid) -> Self {
        Self { jid }
    }
}
