//! XEP-0012: Last Activity (version 2.0).
//!
//! The server tells for how long it has been up (§5), this router's process that is. An account tells how long ago its last
//! available resource went and what that resource said as it went (§3), to its owner and to those who may see its presence.
//!
//! Left out: §3 wants `forbidden` for everybody else. They get `service-unavailable`, the answer of an account that does
//! not exist (T14, T31).

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vesta_engine::Timestamp;
use vesta_engine::hooks::{
    Context, Flow, Hook, Hooks, IqAnswer, IqHandler, IqRequest, Order, Scope, SessionUnavailable,
};
use vesta_engine::module::{Module, Spec, Status};
use vesta_engine::store::Change;
use vesta_xmpp::payload::last_activity;
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{Envelope, StanzaError, ns};

/// What is fulfilled.
pub const SPEC: Spec = Spec {
    number: 12,
    title: "Last Activity",
    version: "2.0",
    status: Status::Complete,
    since: "0.1.0",
    note: "strangers are told no more than of an account that does not exist",
};

/// The key of an account's record in the store.
const KEY: &str = "last_activity";

/// Key `last_activity`. The module costs a small write whenever the last available resource of an account goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the module is there. Default: true.
    pub enabled: bool,
    /// Bytes kept of the status text with which a user leaves. Default: 1024. What is longer is cut.
    pub status_bytes_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, status_bytes_max: 1024 }
    }
}

/// The module.
pub struct LastActivity {
    status_bytes_max: usize,
    started_at: Timestamp,
}

/// What is kept of an account: when its last available resource went, and with which words.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    at: Timestamp,
    status: Option<String>,
}

impl LastActivity {
    /// With `config`, in a process that was started at `started_at`.
    pub fn new(config: &Config, started_at: Timestamp) -> Self {
        Self { status_bytes_max: config.status_bytes_max, started_at }
    }
}

impl Module for LastActivity {
    fn name(&self) -> &'static str {
        "last_activity"
    }

    fn specs(&self) -> &'static [Spec] {
        &[SPEC]
    }

    fn register(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.server.feature(ns::LAST_ACTIVITY);
        hooks.account.feature(ns::LAST_ACTIVITY);
        for scope in [Scope::Server, Scope::OwnAccount, Scope::OtherAccount] {
            hooks.iq_get(ns::LAST_ACTIVITY, "query", scope, self.clone());
        }
        hooks.session_unavailable(Order::Records, self);
    }
}

#[async_trait]
impl IqHandler for LastActivity {
    async fn answer(&self, context: &mut Context<'_>, request: &IqRequest<'_>) -> IqAnswer {
        let last = match request.scope {
            Scope::Server => Record { at: self.started_at, status: None }.told(context.ports.now()),
            Scope::OwnAccount => last_of_account(context).await?,
            Scope::OtherAccount if context.presence_is_visible_to(request.from).await? => {
                last_of_account(context).await?
            }
            Scope::OtherAccount => return Err(Condition::ServiceUnavailable.into()),
        };
        Ok(Some(last.to_element()))
    }
}

#[async_trait]
impl Hook<SessionUnavailable> for LastActivity {
    async fn on(&self, context: &mut Context<'_>, event: &mut SessionUnavailable) -> Flow {
        // The last resource goes with its account, too.
        if is_available(context) || context.account.exists(context.ports).await == Ok(false) {
            return Flow::Continue;
        }
        let status = status_of(&event.stanza).map(|status| cut(status, self.status_bytes_max));
        let record = Record { at: context.ports.now(), status };
        let change = Change::DataPut { key: KEY.into(), value: record.to_bytes() };
        if let Err(error) = context.write(vec![change]).await {
            tracing::warn!(account = %context.account.jid, %error, "last activity not recorded");
        }
        Flow::Continue
    }
}

/// 0 while a resource is available (§3).
async fn last_of_account(context: &Context<'_>) -> Result<last_activity::LastActivity, StanzaError> {
    if is_available(context) {
        return Ok(last_activity::LastActivity { seconds: 0, status: None });
    }
    let stored = context.ports.store().data(&context.account.jid, KEY).await?;
    let record = stored.and_then(|bytes| Record::from_bytes(&bytes)).ok_or(Condition::ItemNotFound)?;
    Ok(record.told(context.ports.now()))
}

fn is_available(context: &Context<'_>) -> bool {
    context.sessions().iter().any(|session| session.available.is_some())
}

fn status_of(presence: &Envelope) -> Option<String> {
    if presence.content.is_empty() {
        return None;
    }
    let status = presence.to_element().ok()?.child(ns::CLIENT, "status")?.text();
    Some(status).filter(|status| !status.is_empty())
}

/// At most `bytes_max` bytes of `text`, whole characters.
fn cut(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

impl Record {
    /// As somebody who asks at `now` is told.
    fn told(self, now: Timestamp) -> last_activity::LastActivity {
        last_activity::LastActivity { seconds: now.0.saturating_sub(self.at.0) / 1000, status: self.status }
    }

    /// `milliseconds` or `milliseconds status`.
    fn to_bytes(&self) -> Bytes {
        match &self.status {
            Some(status) => format!("{} {status}", self.at.0).into(),
            None => self.at.0.to_string().into(),
        }
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (at, status) = match text.split_once(' ') {
            Some((at, status)) => (at, Some(status.to_owned())),
            None => (text, None),
        };
        Some(Self { at: Timestamp(at.parse().ok()?), status })
    }
}

#[cfg(test)]
mod tests {
    use vesta_engine::engine::AdminCommand;
    use vesta_engine::testing::World;

    use super::*;
    use crate::transcript::iq_error;

    const QUESTION: &str = "<query xmlns='jabber:iq:last'/>";

    fn world() -> World {
        World::new(vec![Arc::new(LastActivity::new(&Config::default(), Timestamp(0)))])
    }

    fn get(to: &str) -> String {
        format!("<iq type='get' id='last1' to='{to}'>{QUESTION}</iq>")
    }

    fn result(from: &str, query: &str) -> String {
        format!("<iq type='result' id='last1' from='{from}'>{query}</iq>")
    }

    /// §5: the server tells for how long it has been up.
    #[test]
    fn the_server_tells_its_uptime() {
        let world = world();
        let romeo = world.online("romeo@example.net/orchard");
        world.advance(123_456_000);
        romeo.sends(&get("example.com"));
        romeo.receives(&result("example.com", "<query xmlns='jabber:iq:last' seconds='123456'/>"));
    }

    /// §3: a contact asks how long ago an account was last there, and what it said as it went.
    #[test]
    fn a_contact_learns_when_the_last_resource_went_and_with_which_words() {
        let world = world();
        world.befriend("romeo@example.net", "juliet@example.com");
        let romeo = world.online("romeo@example.net/orchard");
        let juliet = world.online("juliet@example.com/balcony");
        let phone = world.online("juliet@example.com/phone");

        juliet.sends("<presence type='unavailable'><status>Heading Home</status></presence>");
        world.forget_received();
        romeo.sends(&get("juliet@example.com"));
        romeo.receives(&result("juliet@example.com", "<query xmlns='jabber:iq:last' seconds='0'/>"));

        phone.sends("<presence type='unavailable'><status>Good night</status></presence>");
        world.forget_received();
        world.advance(903_999);
        romeo.sends(&get("juliet@example.com"));
        romeo.receives(&result("juliet@example.com", "<query xmlns='jabber:iq:last' seconds='903'>Good night</query>"));
    }

    /// §3: a connection that is lost is a logout without words.
    #[test]
    fn a_lost_session_counts_as_a_logout() {
        let world = world();
        let juliet = world.online("juliet@example.com/balcony");
        juliet.disconnects();
        world.advance(60_000);
        let juliet = world.connect("juliet@example.com/balcony");
        juliet.sends(&get("juliet@example.com"));
        juliet.receives(&result("juliet@example.com", "<query xmlns='jabber:iq:last' seconds='60'/>"));
    }

    /// The sessions of a removed account end after it: nothing is left to be recorded for.
    #[test]
    fn nothing_is_recorded_for_a_removed_account() {
        let world = world();
        let _juliet = world.online("juliet@example.com/balcony");
        world.store().take_asked();
        assert_eq!(world.administer("juliet@example.com", AdminCommand::Remove), Ok(()));
        assert!(!world.store().take_asked().contains(&"write"));
    }

    /// T31: who may not see the presence can't tell a hidden account from none.
    #[test]
    fn a_stranger_is_told_nothing() {
        let world = world();
        let romeo = world.online("romeo@example.net/orchard");
        world.online("juliet@example.com/balcony").disconnects();
        for to in ["juliet@example.com", "nobody@example.com"] {
            romeo.sends(&get(to));
            romeo.receives(&iq_error(&format!("id='last1' from='{to}'"), QUESTION, "cancel", "service-unavailable"));
        }
    }

    #[test]
    fn an_account_that_was_never_there_has_no_last_activity() {
        let world = world();
        let juliet = world.connect("juliet@example.com/balcony");
        juliet.sends(&get("juliet@example.com"));
        juliet.receives(&iq_error("id='last1' from='juliet@example.com'", QUESTION, "cancel", "item-not-found"));
    }

    #[test]
    fn a_status_is_cut_at_a_whole_character() {
        assert_eq!(cut("añb".into(), 2), "a");
        assert_eq!(cut("añb".into(), 3), "añ");
        assert_eq!(cut("a".into(), 1024), "a");
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        for status in [None, Some("Heading Home, 3 o'clock".to_owned())] {
            let record = Record { at: Timestamp(1_166_549_999_500), status };
            assert_eq!(Record::from_bytes(&record.to_bytes()), Some(record));
        }
        assert_eq!(Record::from_bytes(b"yesterday"), None);
    }
}
