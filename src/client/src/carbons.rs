//! XEP-0280: copies of what the account's other resources send and receive.

use std::sync::atomic::Ordering;

use vesta_xmpp::payload::carbon::Switch;

use crate::{Client, Error};

impl Client {
    /// Asks for copies from now on ([`Event::Carbon`](crate::Event::Carbon)), until the session ends.
    ///
    /// # Errors
    /// As [`Client::set`].
    pub async fn enable_carbons(&self) -> Result<(), Error> {
        self.set(None, &Switch::Enable.to_element()).await.map(drop)
    }

    /// Wants no more copies.
    ///
    /// # Errors
    /// As [`Client::set`].
    pub async fn disable_carbons(&self) -> Result<(), Error> {
        self.set(None, &Switch::Disable.to_element()).await.map(drop)
    }

    /// How many messages were dropped because they were made to look like the server's: copies from somebody else than the own
    /// account (T24), results of an archive that was not asked.
    pub fn forged(&self) -> u64 {
        self.forged.load(Ordering::Relaxed)
    }
}
