//! A module of the tests: it remembers the messages that nobody took, archives those whose id says so for a day, registers accounts, and has bugs.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use vesta_engine::hooks::{
    Context, Flow, Hook, Hooks, InboundMessage, IqAnswer, IqHandler, IqRequest, MessageDelivered, Order,
    OutboundMessage, RegistrationHandler, Scope, UndeliverableMessage,
};
use vesta_engine::module::{Module, Spec};
use vesta_xmpp::Envelope;

/// The namespace of the request that meets the bug.
pub(super) const BUG: &str = "urn:vesta:test:bug";
/// The id of the archived message whose delivery meets another bug.
pub(super) const LOG_BUG: &str = "log-bug";

/// For how long archives keep what they have.
const LOG_KEPT_MS: u64 = 24 * 60 * 60 * 1_000;

/// See the module's documentation.
#[derive(Default)]
pub(super) struct TestModule {
    kept: Mutex<Vec<String>>,
}

impl TestModule {
    /// The ids of the messages that were kept, in order.
    pub(super) fn kept(&self) -> Vec<String> {
        self.kept.lock().clone()
    }
}

impl Module for TestModule {
    fn name(&self) -> &'static str {
        "test"
    }

    fn specs(&self) -> &'static [Spec] {
        &[]
    }

    fn register(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.undeliverable_message(Order::Records, self.clone());
        hooks.outbound_message(Order::Records, self.clone());
        hooks.inbound_message(Order::Records, self.clone());
        hooks.message_delivered(Order::Copies, self.clone());
        hooks.registration(self.clone());
        hooks.log_retention(LOG_KEPT_MS);
        hooks.iq_get(BUG, "query", Scope::OwnAccount, self);
    }
}

#[async_trait]
impl Hook<UndeliverableMessage> for TestModule {
    async fn on(&self, _: &mut Context<'_>, event: &mut UndeliverableMessage) -> Flow {
        if !event.account_exists {
            return Flow::Continue;
        }
        self.kept.lock().push(event.stanza.id.as_deref().unwrap_or_default().to_owned());
        Flow::Handled
    }
}

fn is_archived(stanza: &Envelope) -> bool {
    !stanza.kind.is_error() && stanza.id.as_deref().is_some_and(|id| id.starts_with("log"))
}

#[async_trait]
impl Hook<OutboundMessage> for TestModule {
    async fn on(&self, _: &mut Context<'_>, event: &mut OutboundMessage) -> Flow {
        event.archived = is_archived(&event.stanza);
        Flow::Continue
    }
}

#[async_trait]
impl Hook<InboundMessage> for TestModule {
    async fn on(&self, _: &mut Context<'_>, event: &mut InboundMessage) -> Flow {
        event.archived = is_archived(&event.stanza);
        Flow::Continue
    }
}

#[async_trait]
impl Hook<MessageDelivered> for TestModule {
    async fn on(&self, _: &mut Context<'_>, event: &mut MessageDelivered) -> Flow {
        assert!(event.stanza.id.as_deref() != Some(LOG_BUG), "the bug that was asked for");
        Flow::Continue
    }
}

#[async_trait]
impl RegistrationHandler for TestModule {
    async fn answer(&self, _: &mut Context<'_>, _: &IqRequest<'_>) -> IqAnswer {
        Ok(None)
    }
}

#[async_trait]
impl IqHandler for TestModule {
    async fn answer(&self, _: &mut Context<'_>, _: &IqRequest<'_>) -> IqAnswer {
        panic!("the bug that was asked for")
    }
}
