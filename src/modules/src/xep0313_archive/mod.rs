//! XEP-0313: Message Archive Management (version 1.1.3), with the extended fields, of users' archives.
//!
//! What a user sends and receives is kept in the account's log, one entry for each message, whatever number of resources had it. A
//! message is delivered when it is durable, and bears its id in the archive by then (XEP-0359). Which messages are kept is one table
//! (`rules`) and what their owner wants (`preferences`, XEP-0441). Pages, the form and the metadata are in `pages`.
//!
//! Somebody else's archive can't even be asked for: no handler is registered for it, and the engine's `service-unavailable` tells nothing
//! of the account (T14).
//!
//! Left out: messages of rooms (§5.1.1 leaves it open), which their rooms archive.

mod pages;
mod preferences;
mod rules;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vesta_engine::hooks::{Context, Flow, Hook, Hooks, InboundMessage, Order, OutboundMessage};
use vesta_engine::module::{Module, Spec, Status};
use vesta_xmpp::payload::archive::Policy;
use vesta_xmpp::{Envelope, Jid, ns};

/// What is fulfilled.
pub const SPEC: Spec = Spec {
    number: 313,
    title: "Message Archive Management",
    version: "1.1.3",
    status: Status::Complete,
    since: "0.1.0",
    note: "archives of users, with `urn:xmpp:mam:2#extended`",
};

/// How pages are asked for.
const RESULT_SETS: Spec = Spec {
    number: 59,
    title: "Result Set Management",
    version: "1.0.1",
    status: Status::Complete,
    since: "0.1.0",
    note: "for archives; without access by index, which the specification leaves open",
};

/// How results carry messages.
const FORWARDING: Spec = Spec {
    number: 297,
    title: "Stanza Forwarding",
    version: "1.0",
    status: Status::Complete,
    since: "0.1.0",
    note: "",
};

/// How archived messages are named.
const STANZA_IDS: Spec = Spec {
    number: 359,
    title: "Unique and Stable Stanza IDs",
    version: "0.7.0",
    status: Status::Complete,
    since: "0.1.0",
    note: "a message whose origin-id was seen is neither stored nor delivered again",
};

/// What owners want archived.
const PREFERENCES: Spec = Spec {
    number: 441,
    title: "Message Archive Management Preferences",
    version: "0.2.0",
    status: Status::Complete,
    since: "0.1.0",
    note: "",
};

/// Key `archive`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the module is there. Default: true. Where it is not, nothing is archived, and what is in the archives stays hidden.
    pub enabled: bool,
    /// What is archived for users who have not said what they want: `always`, everything; `roster`, what comes from and goes to
    /// contacts in their roster; `never`, nothing. Default: `always`. An archived message costs about 500 bytes of the database for
    /// its sender and as much for its recipient.
    pub default: DefaultPolicy,
    /// For how many days messages are kept. Default: 0, for ever. What is older is taken away in small steps.
    pub retention_days: u32,
    /// Messages of a page where the client does not say how many it wants. Default: 50.
    pub page_default: u32,
    /// Messages of a page at most; who asks for more gets so many. Default: 100. At most 500.
    pub page_max: u32,
    /// Addresses in a user's preferences. Default: 1000. More are refused with `policy-violation`.
    pub preferences_max: usize,
}

/// What is archived for users who have not said what they want.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DefaultPolicy {
    /// Everything.
    Always,
    /// What comes from and goes to contacts in the roster.
    Roster,
    /// Nothing.
    Never,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            default: DefaultPolicy::Always,
            retention_days: 0,
            page_default: 50,
            page_max: 100,
            preferences_max: 1_000,
        }
    }
}

/// More messages than this are in no page: they have room in a session's outbox.
const PAGE_MAX: u32 = 500;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// The module.
pub struct Archive {
    config: Config,
}

impl Archive {
    /// With `config`.
    pub fn new(config: &Config) -> Self {
        Self { config: config.clone() }
    }

    /// Whether a message belongs into the account's archive; `peer` is the other side.
    async fn keeps(
        &self,
        context: &mut Context<'_>,
        stanza: &Envelope,
        peer: Option<&Jid>,
    ) -> Result<bool, vesta_engine::StoreError> {
        match peer {
            Some(peer) if rules::is_kept(stanza) => preferences::want(context, self.default_policy(), peer).await,
            _ => Ok(false),
        }
    }

    fn default_policy(&self) -> Policy {
        match self.config.default {
            DefaultPolicy::Always => Policy::Always,
            DefaultPolicy::Roster => Policy::Roster,
            DefaultPolicy::Never => Policy::Never,
        }
    }
}

impl Module for Archive {
    fn name(&self) -> &'static str {
        "archive"
    }

    fn specs(&self) -> &'static [Spec] {
        &[SPEC, RESULT_SETS, FORWARDING, STANZA_IDS, PREFERENCES]
    }

    fn register(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.account.feature(ns::ARCHIVE).feature(ns::ARCHIVE_EXTENDED).feature(ns::STANZA_ID);
        if self.config.retention_days > 0 {
            hooks.log_retention(u64::from(self.config.retention_days) * DAY_MS);
        }
        hooks.outbound_message(Order::Records, self.clone());
        hooks.inbound_message(Order::Records, self.clone());
        pages::register(&self.config, hooks);
        preferences::register(self.default_policy(), self.config.preferences_max, hooks);
    }
}

#[async_trait]
impl Hook<OutboundMessage> for Archive {
    async fn on(&self, context: &mut Context<'_>, event: &mut OutboundMessage) -> Flow {
        match self.keeps(context, &event.stanza, event.stanza.to.as_ref()).await {
            Ok(archived) => event.archived |= archived,
            Err(error) => return Flow::Reject(error.into()),
        }
        Flow::Continue
    }
}

#[async_trait]
impl Hook<InboundMessage> for Archive {
    async fn on(&self, context: &mut Context<'_>, event: &mut InboundMessage) -> Flow {
        match self.keeps(context, &event.stanza, event.stanza.from.as_ref()).await {
            Ok(archived) => event.archived |= archived,
            Err(error) => return Flow::Reject(error.into()),
        }
        Flow::Continue
    }
}
