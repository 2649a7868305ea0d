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
pub const SPEC: Spec =
    Spec { number: 12, title: "Last Activity", version: "2.0", status: Status::Complete, since: "0.1.0", note: "" };

/// The key of an account's record in the store.
const KEY: &str = "last_activity";

/// Key `last_activity`. The module costs a small write whenever the last available resource of an account goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
        if is_available(context) {
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
