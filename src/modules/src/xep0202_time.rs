//! XEP-0202: Entity Time (version 2.0).
//!
//! Tells the server's time, in UTC: where its machines stand is nobody's business (§5).

use std::sync::Arc;

use async_trait::async_trait;
use vesta_engine::hooks::{Context, Hooks, IqAnswer, IqHandler, IqRequest, Scope};
use vesta_engine::module::{Module, Spec, Status};
use vesta_xmpp::ns;
use vesta_xmpp::payload::date_time::DateTime;
use vesta_xmpp::payload::time::EntityTime;

pub use crate::switch::Switch as Config;

/// What is fulfilled.
pub const SPEC: Spec =
    Spec { number: 202, title: "Entity Time", version: "2.0", status: Status::Complete, since: "0.1.0", note: "" };

/// The format of the answer.
const DATE_AND_TIME: Spec = Spec {
    number: 82,
    title: "XMPP Date and Time Profiles",
    version: "1.1.1",
    status: Status::Partial,
    since: "0.1.0",
    note: "DateTime and time zones",
};

/// The module.
pub struct Time;

impl Module for Time {
    fn name(&self) -> &'static str {
        "time"
    }

    fn specs(&self) -> &'static [Spec] {
        &[SPEC, DATE_AND_TIME]
    }

    fn register(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.server.feature(ns::TIME);
        hooks.iq_get(ns::TIME, "time", Scope::Server, self);
    }
}

#[async_trait]
impl IqHandler for Time {
    async fn answer(&self, context: &mut Context<'_>, _: &IqRequest<'_>) -> IqAnswer {
        let now = DateTime::from_unix_ms(context.ports.now().0);
        Ok(Some(EntityTime { utc: now, offset_minutes: 0 }.to_element()))
    }
}

#[cfg(test)]
mod tests {
    use vesta_engine::testing::World;

    use super::*;

    /// §3: the time of the world, in UTC.
    #[test]
    fn the_server_tells_its_time() {
        let world = World::new(vec![Arc::new(Time)]);
        let romeo = world.online("romeo@example.net/orchard");
        world.advance(1_166_549_999_500);
        romeo.sends("<iq type='get' id='time_1' to='example.com'><time xmlns='urn:xmpp:time'/></iq>");
        romeo.receives(
            "<iq type='result' id='time_1' from='example.com'><time xmlns='urn:xmpp:time'>\
             <tzo>+00:00</tzo><utc>2006-12-19T17:39:59.500Z</utc></time></iq>",
        );
    }
}
