//! XEP-0049: Private XML Storage (version 1.2).
//!
//! Keeps elements for a client, one for each namespace and name, and gives them back to its account alone. All of an
//! account's elements are one value in the store, so that the quota is exact; a value is small by that quota.
//!
//! Somebody else's storage can't even be asked for: no handler is registered for it, and the engine's `service-unavailable`
//! tells nothing of the account (§2.3 allows that beside `forbidden`).

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vesta_engine::hooks::{Context, Hooks, IqAnswer, IqHandler, IqRequest, Scope};
use vesta_engine::module::{Module, Spec, Status};
use vesta_engine::store::Change;
use vesta_xmpp::payload::private::Private;
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{Element, StanzaError, ns};

/// What is fulfilled.
pub const SPEC: Spec = Spec {
    number: 49,
    title: "Private XML Storage",
    version: "1.2",
    status: Status::Complete,
    since: "0.1.0",
    note: "",
};

/// The key of an account's elements in the store.
const KEY: &str = "private";

/// Key `private`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the module is there. Default: true.
    pub enabled: bool,
    /// Bytes of all elements of an account together. Default: 65536. What would be more is refused with `policy-violation`
    /// and changes nothing.
    pub bytes_max: usize,
    /// Elements of an account. Default: 100. One more is refused with `policy-violation` and changes nothing.
    pub elements_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, bytes_max: 64 * 1024, elements_max: 100 }
    }
}

/// The module.
pub struct PrivateStorage {
    config: Config,
}

impl PrivateStorage {
    /// With `config`.
    pub fn new(config: &Config) -> Self {
        Self { config: config.clone() }
    }

    async fn get(&self, context: &Context<'_>, asked: Private) -> IqAnswer {
        // §2.3: one namespace at a time.
        if asked.elements.windows(2).any(|pair| pair[0].namespace() != pair[1].namespace()) {
            return Err(Condition::BadRequest.into());
        }
        let stored = load(context).await?;
        let found = |asked: Element| {
            let found = stored.elements.iter().find(|element| same(element, &asked)).cloned();
            found.unwrap_or_else(|| Element::new(asked.namespace(), asked.name()))
        };
        let elements = asked.elements.into_iter().map(found).collect();
        Ok(Some(Private { elements }.to_element()))
    }

    async fn set(&self, context: &Context<'_>, given: Private) -> IqAnswer {
        let mut stored = load(context).await?;
        for element in given.elements {
            stored.elements.retain(|other| !same(other, &element));
            // What is empty reads the same as what is not there.
            if element.nodes().is_empty() && element.attributes().next().is_none() {
                continue;
            }
            stored.elements.push(element);
        }
        context.write(vec![self.change(&stored)?]).await?;
        Ok(None)
    }

    /// How the store comes to hold `stored`, within the quota.
    fn change(&self, stored: &Private) -> Result<Change, StanzaError> {
        if stored.elements.is_empty() {
            return Ok(Change::DataRemove { key: KEY.into() });
        }
        let value = stored.to_element().to_bytes(ns::CLIENT);
        if stored.elements.len() > self.config.elements_max || value.len() > self.config.bytes_max {
            return Err(
                StanzaError::new(Condition::PolicyViolation).with_text("The private storage would be too large.")
            );
        }
        Ok(Change::DataPut { key: KEY.into(), value })
    }
}

impl Module for PrivateStorage {
    fn name(&self) -> &'static str {
        "private"
    }

    fn specs(&self) -> &'static [Spec] {
        &[SPEC]
    }

    fn register(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.server.feature(ns::PRIVATE);
        hooks.account.feature(ns::PRIVATE);
        hooks.iq_get(ns::PRIVATE, "query", Scope::OwnAccount, self.clone());
        hooks.iq_set(ns::PRIVATE, "query", Scope::OwnAccount, self);
    }
}

#[async_trait]
impl IqHandler for PrivateStorage {
    async fn answer(&self, context: &mut Context<'_>, request: &IqRequest<'_>) -> IqAnswer {
        let private = Private::parse(&request.payload()?)?;
        if private.elements.iter().any(|element| is_reserved(element.namespace())) {
            return Err(Condition::NotAcceptable.into());
        }
        match request.is_set() {
            true => self.set(context, private).await,
            false => self.get(context, private).await,
        }
    }
}

async fn load(context: &Context<'_>) -> Result<Private, StanzaError> {
    let Some(bytes) = context.ports.store().data(&context.account.jid, KEY).await? else {
        return Ok(Private::default());
    };
    let read = Element::parse(&bytes).ok().and_then(|element| Private::parse(&element).ok());
    read.ok_or_else(|| {
        tracing::error!(account = %context.account.jid, "stored private XML can't be read");
        Condition::InternalServerError.into()
    })
}

fn same(one: &Element, other: &Element) -> bool {
    one.is(other.namespace(), other.name())
}

/// §2.3: namespaces that are not a client's own. Also none at all: each element is to have one.
fn is_reserved(namespace: &str) -> bool {
    namespace.is_empty()
        || namespace.starts_with("jabber:")
        || namespace.starts_with("http://jabber.org/")
        || namespace == ns::VCARD
}

#[cfg(test)]
mod tests {
    use vesta_engine::testing::{Actor, World};

    use super::*;
    use crate::transcript::iq_error;

    const ASKED: &str = "<query xmlns='jabber:iq:private'><exodus xmlns='exodus:prefs'/></query>";
    const PREFS: &str = "<query xmlns='jabber:iq:private'>\
         <exodus xmlns='exodus:prefs'><defaultnick>Hamlet</defaultnick></exodus></query>";

    fn world(config: Config) -> World {
        World::new(vec![Arc::new(PrivateStorage::new(&config))])
    }

    fn stores(actor: &Actor<'_>, payload: &str) {
        actor.sends(&format!("<iq type='set' id='s' to='hamlet@example.com'>{payload}</iq>"));
        actor.receives("<iq type='result' id='s' from='hamlet@example.com'/>");
    }

    fn finds(actor: &Actor<'_>, asked: &str, expected: &str) {
        actor.sends(&format!("<iq type='get' id='g' to='hamlet@example.com'>{asked}</iq>"));
        actor.receives(&format!("<iq type='result' id='g' from='hamlet@example.com'>{expected}</iq>"));
    }

    fn is_refused(actor: &Actor<'_>, kind: &str, payload: &str, error: &str, condition: &str) {
        actor.sends(&format!("<iq type='{kind}' id='r' to='hamlet@example.com'>{payload}</iq>"));
        actor.receives(&iq_error("id='r' from='hamlet@example.com'", payload, error, condition));
    }

    /// §2.3: what one resource stores, another one finds; what was never stored comes back empty.
    #[test]
    fn an_element_is_kept_for_all_resources_of_the_account() {
        let world = world(Config::default());
        let denmark = world.online("hamlet@example.com/denmark");
        finds(&denmark, ASKED, ASKED);
        stores(&denmark, PREFS);
        let england = world.connect("hamlet@example.com/england");
        finds(&england, ASKED, PREFS);
        let other = "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>";
        finds(&england, other, other);
    }

    #[test]
    fn an_element_replaces_the_one_of_its_name_and_an_empty_one_removes_it() {
        let world = world(Config::default());
        let hamlet = world.online("hamlet@example.com/denmark");
        stores(&hamlet, PREFS);
        let other = "<query xmlns='jabber:iq:private'><exodus xmlns='exodus:prefs'><a/></exodus></query>";
        stores(&hamlet, other);
        finds(&hamlet, ASKED, other);
        stores(&hamlet, ASKED);
        finds(&hamlet, ASKED, ASKED);
    }

    /// §2.3: nobody reads or writes somebody else's, and nobody learns whether there is an account.
    #[test]
    fn somebody_elses_storage_can_not_be_reached() {
        let world = world(Config::default());
        stores(&world.online("hamlet@example.com/denmark"), PREFS);
        let macbeth = world.online("macbeth@example.com/scotland");
        for to in ["hamlet@example.com", "nobody@example.com"] {
            for (kind, payload) in [("get", ASKED), ("set", PREFS)] {
                macbeth.sends(&format!("<iq type='{kind}' id='x' to='{to}'>{payload}</iq>"));
                macbeth.receives(&iq_error(&format!("id='x' from='{to}'"), payload, "cancel", "service-unavailable"));
            }
        }
    }

    /// §2.3: no element, a reserved namespace, two namespaces in one question.
    #[test]
    fn what_is_no_private_data_is_refused() {
        let world = world(Config::default());
        let hamlet = world.online("hamlet@example.com/denmark");
        is_refused(&hamlet, "get", "<query xmlns='jabber:iq:private'/>", "modify", "bad-request");
        for reserved in ["vcard-temp", "jabber:iq:roster", "http://jabber.org/protocol/muc", ""] {
            let payload = format!("<query xmlns='jabber:iq:private'><x xmlns='{reserved}'><y/></x></query>");
            is_refused(&hamlet, "set", &payload, "modify", "not-acceptable");
        }
        let two = "<query xmlns='jabber:iq:private'><a xmlns='a:a'/><b xmlns='b:b'/></query>";
        is_refused(&hamlet, "get", two, "modify", "bad-request");
    }

    /// T33: at the limit nothing changes.
    #[test]
    fn a_storage_that_would_be_too_large_is_refused() {
        let too_long = format!(
            "<query xmlns='jabber:iq:private'><exodus xmlns='exodus:prefs'>{}</exodus></query>",
            "x".repeat(300)
        );
        let too_many = "<query xmlns='jabber:iq:private'><b xmlns='b:b'><c/></b></query>";
        let world = world(Config { bytes_max: 300, elements_max: 1, ..Config::default() });
        let hamlet = world.online("hamlet@example.com/denmark");
        stores(&hamlet, PREFS);
        is_refused(&hamlet, "set", &too_long, "modify", "policy-violation");
        is_refused(&hamlet, "set", too_many, "modify", "policy-violation");
        finds(&hamlet, ASKED, PREFS);
    }

    #[test]
    fn while_the_store_is_away_the_client_is_told_to_wait() {
        let world = world(Config::default());
        let hamlet = world.online("hamlet@example.com/denmark");
        world.store().set_away(true);
        is_refused(&hamlet, "set", PREFS, "wait", "resource-constraint");
        world.store().set_away(false);
        stores(&hamlet, PREFS);
    }
}
