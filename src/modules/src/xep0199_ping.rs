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

#[cfg(test)]
mod tests {
    use vesta_engine::testing::World;

    use super::*;
    use crate::transcript::iq_error;

    const PING: &str = "<ping xmlns='urn:xmpp:ping'/>";

    /// §4.2: a client pings its server, by its domain or by its own account.
    #[test]
    fn the_server_and_the_own_account_answer() {
        let world = World::new(vec![Arc::new(Ping)]);
        let juliet = world.online("juliet@example.com/balcony");
        juliet.sends(&format!("<iq type='get' id='c2s1' to='example.com'>{PING}</iq>"));
        juliet.receives("<iq type='result' id='c2s1' from='example.com'/>");
        juliet.sends(&format!("<iq type='get' id='c2s2' to='juliet@example.com'>{PING}</iq>"));
        juliet.receives("<iq type='result' id='c2s2' from='juliet@example.com'/>");
        world.nobody_receives_anything();
    }

    /// T14: an account that exists answers a stranger's ping like one that does not.
    #[test]
    fn somebody_elses_account_does_not_answer() {
        let world = World::new(vec![Arc::new(Ping)]);
        let romeo = world.online("romeo@example.net/orchard");
        world.account("juliet@example.com");
        for to in ["juliet@example.com", "nobody@example.com"] {
            romeo.sends(&format!("<iq type='get' id='p1' to='{to}'>{PING}</iq>"));
            romeo.receives(&iq_error(&format!("id='p1' from='{to}'"), PING, "cancel", "service-unavailable"));
        }
    }
}
