//! XEP-0199: XMPP Ping (version 2.0.1).
//!
//! Answers pings to the server and to the sender's own account with an empty result (§4.2, §4.3). Pings that the server sends
//! are the connection manager's. An account of somebody else is not pinged: the answer would tell that it exists.

use std::sync::Arc;

use async_trait::async_trait;
use vesta_engine::hooks::{Context, Hooks, IqAnswer, IqHandler, IqRequest, Scope};
use vesta_engine::module::{Module, Spec, Status};
use vesta_xmpp::ns;

pub use crate::switch::Switch as Config;

/// What is fulfilled.
pub const SPEC: Spec =
    Spec { number: 199, title: "XMPP Ping", version: "2.0.1", status: Status::Complete, since: "0.1.0", note: "" };

/// The module.
pub struct Ping;

impl Module for Ping {
    fn name(&self) -> &'static str {
        "ping"
    }

    fn specs(&self) -> &'static [Spec] {
        &[SPEC]
    }

    fn register(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.server.feature(ns::PING);
        hooks.account.feature(ns::PING);
        for scope in [Scope::Server, Scope::OwnAccount] {
            hooks.iq_get(ns::PING, "ping", scope, self.clone());
        }
    }
}

#[async_trait]
impl IqHandler for Ping {
    async fn answer(&self, _: &mut Context<'_>, _: &IqRequest<'_>) -> IqAnswer {
        Ok(None)
    }
}
