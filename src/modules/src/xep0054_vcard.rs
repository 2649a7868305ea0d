//! XEP-0054: vcard-temp (version 1.2).
//!
//! Keeps one vCard for each account. Everybody may read it, its owner alone may write it (§3.2). An account without vCard answers others
//! like one that does not exist (§3.3), and so does the attempt to write somebody else's: no handler is registered for that,
//! the engine answers `service-unavailable`.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vesta_engine::hooks::{Context, Hooks, IqAnswer, IqHandler, IqRequest, Scope};
use vesta_engine::module::{Module, Spec, Status};
use vesta_engine::store::Change;
use vesta_xmpp::payload::vcard::VCard;
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{Element, StanzaError, ns};

/// What is fulfilled.
pub const SPEC: Spec =
    Spec { number: 54, title: "vcard-temp", version: "1.2", status: Status::Complete, since: "0.1.0", note: "" };

/// The key of an account's vCard in the store.
const KEY: &str = "vcard";

/// Key `vcard`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the module is there. Default: true.
    pub enabled: bool,
    /// Bytes of a vCard, its photo included. Default: 131072. A larger one is refused with `policy-violation`, and the one
    /// that is there stays.
    pub bytes_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, bytes_max: 128 * 1024 }
    }
}

/// The module.
pub struct VCards {
    bytes_max: usize,
}

impl VCards {
    /// With `config`.
    pub fn new(config: &Config) -> Self {
        Self { bytes_max: config.bytes_max }
    }

    async fn set(&self, context: &Context<'_>, card: VCard) -> IqAnswer {
        let card = card.as_element();
        let change = match card.nodes().is_empty() {
            true => Change::DataRemove { key: KEY.into() },
            false => Change::DataPut { key: KEY.into(), value: card.to_bytes(ns::CLIENT) },
        };
        if matches!(&change, Change::DataPut { value, .. } if value.len() > self.bytes_max) {
            let text = format!("A vCard may have {} bytes.", self.bytes_max);
            return Err(StanzaError::new(Condition::PolicyViolation).with_text(text));
        }
        context.write(vec![change]).await?;
        Ok(None)
    }
}

impl Module for VCards {
    fn name(&self) -> &'static str {
        "vcard"
    }

    fn specs(&self) -> &'static [Spec] {
        &[SPEC]
    }

    fn register(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.server.feature(ns::VCARD);
        hooks.account.feature(ns::VCARD);
        for scope in [Scope::OwnAccount, Scope::OtherAccount] {
            hooks.iq_get(ns::VCARD, "vCard", scope, self.clone());
        }
        hooks.iq_set(ns::VCARD, "vCard", Scope::OwnAccount, self);
    }
}

#[async_trait]
impl IqHandler for VCards {
    async fn answer(&self, context: &mut Context<'_>, request: &IqRequest<'_>) -> IqAnswer {
        if request.is_set() {
            return self.set(context, VCard::parse(request.payload()?)?).await;
        }
        match load(context).await? {
            Some(card) => Ok(Some(card)),
            None if request.scope == Scope::OwnAccount => Err(Condition::ItemNotFound.into()),
            None => Err(Condition::ServiceUnavailable.into()),
        }
    }
}

async fn load(context: &Context<'_>) -> Result<Option<Element>, StanzaError> {
    let Some(bytes) = context.ports.store().data(&context.account.jid, KEY).await? else { return Ok(None) };
    Element::parse(&bytes).map(Some).map_err(|error| {
        tracing::error!(account = %context.account.jid, %error, "stored vCard can't be read");
        Condition::InternalServerError.into()
    })
}

#[cfg(test)]
mod tests {
    use vesta_engine::testing::World;

    use super::*;
    use crate::transcript::iq_error;

    const ASKED: &str = "<vCard xmlns='vcard-temp'/>";
    const CARD: &str = "<vCard xmlns='vcard-temp'><FN>Juliet Capulet</FN><N><GIVEN>Juliet</GIVEN></N></vCard>";

    fn world(bytes_max: usize) -> World {
        World::new(vec![Arc::new(VCards::new(&Config { bytes_max, ..Config::default() }))])
    }

    /// §3.1 to §3.3: the owner writes, everybody reads.
    #[test]
    fn a_card_is_written_by_its_owner_and_read_by_everybody() {
        let world = world(1000);
        let juliet = world.online("juliet@example.com/balcony");
        juliet.sends(&format!("<iq type='get' id='v1' to='juliet@example.com'>{ASKED}</iq>"));
        juliet.receives(&iq_error("id='v1' from='juliet@example.com'", ASKED, "cancel", "item-not-found"));

        juliet.sends(&format!("<iq type='set' id='v2'>{CARD}</iq>"));
        juliet.receives("<iq type='result' id='v2'/>");
        juliet.sends(&format!("<iq type='get' id='v3' to='juliet@example.com'>{ASKED}</iq>"));
        juliet.receives(&format!("<iq type='result' id='v3' from='juliet@example.com'>{CARD}</iq>"));

        let romeo = world.online("romeo@example.net/orchard");
        romeo.sends(&format!("<iq type='get' id='v4' to='juliet@example.com'>{ASKED}</iq>"));
        romeo.receives(&format!("<iq type='result' id='v4' from='juliet@example.com'>{CARD}</iq>"));
        world.nobody_receives_anything();
    }

    /// §3.3, T14: no card, no account: the same answer. §3.2: nor does an attempt to write tell the two apart.
    #[test]
    fn an_account_without_card_answers_like_one_that_does_not_exist() {
        let world = world(1000);
        let romeo = world.online("romeo@example.net/orchard");
        world.account("juliet@example.com");
        for to in ["juliet@example.com", "nobody@example.com"] {
            for (kind, payload) in [("get", ASKED), ("set", CARD)] {
                romeo.sends(&format!("<iq type='{kind}' id='v5' to='{to}'>{payload}</iq>"));
                romeo.receives(&iq_error(&format!("id='v5' from='{to}'"), payload, "cancel", "service-unavailable"));
            }
        }
    }

    #[test]
    fn an_empty_card_removes_the_card() {
        let world = world(1000);
        let juliet = world.online("juliet@example.com/balcony");
        for payload in [CARD, ASKED] {
            juliet.sends(&format!("<iq type='set' id='v6' to='juliet@example.com'>{payload}</iq>"));
            juliet.receives("<iq type='result' id='v6' from='juliet@example.com'/>");
        }
        juliet.sends(&format!("<iq type='get' id='v7' to='juliet@example.com'>{ASKED}</iq>"));
        juliet.receives(&iq_error("id='v7' from='juliet@example.com'", ASKED, "cancel", "item-not-found"));
    }

    /// T33: a card above the limit is refused, and the old one stays.
    #[test]
    fn a_card_that_is_too_large_is_refused() {
        let world = world(CARD.len());
        let juliet = world.online("juliet@example.com/balcony");
        juliet.sends(&format!("<iq type='set' id='v8' to='juliet@example.com'>{CARD}</iq>"));
        juliet.receives("<iq type='result' id='v8' from='juliet@example.com'/>");
        let larger = CARD.replace("Juliet Capulet", "Juliet  Capulet");
        juliet.sends(&format!("<iq type='set' id='v9' to='juliet@example.com'>{larger}</iq>"));
        juliet.receives(&iq_error("id='v9' from='juliet@example.com'", &larger, "modify", "policy-violation"));
        juliet.sends(&format!("<iq type='get' id='v10' to='juliet@example.com'>{ASKED}</iq>"));
        juliet.receives(&format!("<iq type='result' id='v10' from='juliet@example.com'>{CARD}</iq>"));
    }
}
