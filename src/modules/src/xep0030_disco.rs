//! XEP-0030: Service Discovery (version 2.5.0).
//!
//! Answers for the server and for accounts with what the modules have put into [`Hooks::server`] and [`Hooks::account`]. An
//! account answers its owner and those who may see its presence, with its available resources as items; everybody else
//! gets what an account that does not exist answers (§8, T31).
//!
//! Left out: §8 wants an empty list of items for an account that does not exist, RFC 6121 §8.5.1 wants `service-unavailable`.
//! We follow the RFC for both, absent and hidden, so that the two can't be told apart.

use std::sync::Arc;

use async_trait::async_trait;
use vesta_engine::hooks::{Context, Disco, Hooks, IqAnswer, IqHandler, IqRequest, Scope};
use vesta_engine::module::{Module, Spec, Status};
use vesta_xmpp::element::Element;
use vesta_xmpp::payload::disco;
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{StanzaError, ns};

pub use crate::switch::Switch as Config;

/// What is fulfilled.
pub const SPEC: Spec = Spec {
    number: 30,
    title: "Service Discovery",
    version: "2.5.0",
    status: Status::Complete,
    since: "0.1.0",
    note: "strangers are told no more than of an account that does not exist",
};

/// Forms beside identities and features.
const EXTENSIONS: Spec = Spec {
    number: 128,
    title: "Service Discovery Extensions",
    version: "1.0.1",
    status: Status::Complete,
    since: "0.1.0",
    note: "",
};

/// The module.
pub struct ServiceDiscovery;

/// Answers disco#info.
struct AnswerInfo;

/// Answers disco#items.
struct AnswerItems;

impl Module for ServiceDiscovery {
    fn name(&self) -> &'static str {
        "disco"
    }

    fn specs(&self) -> &'static [Spec] {
        &[SPEC, EXTENSIONS]
    }

    fn register(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.server.identity("server", "im", Some("Vesta"));
        hooks.account.identity("account", "registered", None);
        for disco in [&mut hooks.server, &mut hooks.account] {
            disco.feature(ns::DISCO_INFO).feature(ns::DISCO_ITEMS);
        }
        for scope in [Scope::Server, Scope::OwnAccount, Scope::OtherAccount] {
            hooks.iq_get(ns::DISCO_INFO, "query", scope, Arc::new(AnswerInfo));
            hooks.iq_get(ns::DISCO_ITEMS, "query", scope, Arc::new(AnswerItems));
        }
    }
}

#[async_trait]
impl IqHandler for AnswerInfo {
    async fn answer(&self, context: &mut Context<'_>, request: &IqRequest<'_>) -> IqAnswer {
        let disco = what_is_told(context, request).await?;
        let asked = disco::Info::parse(&request.payload()?)?;
        refuse_node(asked.node.as_deref())?;
        Ok(Some(info(disco)))
    }
}

#[async_trait]
impl IqHandler for AnswerItems {
    async fn answer(&self, context: &mut Context<'_>, request: &IqRequest<'_>) -> IqAnswer {
        let disco = what_is_told(context, request).await?;
        let asked = disco::Items::parse(&request.payload()?)?;
        refuse_node(asked.node.as_deref())?;
        let mut items: Vec<disco::Item> = disco
            .items()
            .iter()
            .map(|item| disco::Item { jid: item.jid.clone(), node: item.node.clone(), name: item.name.clone() })
            .collect();
        if request.scope != Scope::Server {
            items.extend(available_resources(context));
        }
        Ok(Some(disco::Items { node: None, items }.to_element()))
    }
}

/// What the server or the account tells of itself, if the sender may know.
async fn what_is_told<'a>(context: &mut Context<'a>, request: &IqRequest<'_>) -> Result<&'a Disco, StanzaError> {
    let hooks = context.hooks;
    match request.scope {
        Scope::Server => Ok(&hooks.server),
        Scope::OwnAccount => Ok(&hooks.account),
        Scope::OtherAccount if context.presence_is_visible_to(request.from).await? => Ok(&hooks.account),
        Scope::OtherAccount => Err(Condition::ServiceUnavailable.into()),
    }
}

/// No module has nodes of its own.
fn refuse_node(node: Option<&str>) -> Result<(), StanzaError> {
    match node {
        None | Some("") => Ok(()),
        Some(_) => Err(Condition::ItemNotFound.into()),
    }
}

fn info(disco: &Disco) -> Element {
    let identity = |it: &vesta_engine::hooks::Identity| disco::Identity {
        name: it.name.clone(),
        ..disco::Identity::new(it.category, it.kind)
    };
    let info = disco::Info {
        identities: disco.identities().iter().map(identity).collect(),
        features: disco.features().map(str::to_owned).collect(),
        ..disco::Info::default()
    };
    info.to_element().with_children(disco.forms().iter().cloned())
}

fn available_resources(context: &Context<'_>) -> Vec<disco::Item> {
    context
        .sessions()
        .iter()
        .filter(|session| session.available.is_some())
        .map(|session| disco::Item::new(session.jid.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use vesta_engine::testing::World;

    use super::*;
    use crate::transcript::iq_error;

    const INFO: &str = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    const ITEMS: &str = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
    const ACCOUNT: &str = "<query xmlns='http://jabber.org/protocol/disco#info'>\
         <identity category='account' type='registered'/>\
         <feature var='http://jabber.org/protocol/disco#info'/>\
         <feature var='http://jabber.org/protocol/disco#items'/></query>";

    fn world() -> World {
        World::new(vec![Arc::new(ServiceDiscovery)])
    }

    fn get(to: &str, payload: &str) -> String {
        format!("<iq type='get' id='d1' to='{to}'>{payload}</iq>")
    }

    fn result(from: &str, payload: &str) -> String {
        format!("<iq type='result' id='d1' from='{from}'>{payload}</iq>")
    }

    /// §3.1: who asks the server learns what it is and what it can do.
    #[test]
    fn the_server_tells_its_identity_and_its_features() {
        let world = World::new(vec![Arc::new(ServiceDiscovery), Arc::new(crate::xep0202_time::Time)]);
        let romeo = world.online("romeo@example.net/orchard");
        romeo.sends(&get("example.com", INFO));
        romeo.receives(&result(
            "example.com",
            "<query xmlns='http://jabber.org/protocol/disco#info'>\
             <identity category='server' type='im' name='Vesta'/>\
             <feature var='http://jabber.org/protocol/disco#info'/>\
             <feature var='http://jabber.org/protocol/disco#items'/>\
             <feature var='urn:xmpp:time'/></query>",
        ));
        romeo.sends(&get("example.com", ITEMS));
        romeo.receives(&result("example.com", ITEMS));
    }

    /// §7: a node that is not there.
    #[test]
    fn an_unknown_node_is_not_found() {
        let world = world();
        let romeo = world.online("romeo@example.net/orchard");
        for namespace in ["http://jabber.org/protocol/disco#info", "http://jabber.org/protocol/disco#items"] {
            let payload = format!("<query xmlns='{namespace}' node='rooms'/>");
            romeo.sends(&get("example.com", &payload));
            romeo.receives(&iq_error("id='d1' from='example.com'", &payload, "cancel", "item-not-found"));
        }
    }

    /// §8: an account answers its owner, with its available resources as items.
    #[test]
    fn the_own_account_tells_its_available_resources() {
        let world = world();
        let juliet = world.online("juliet@example.com/balcony");
        world.connect("juliet@example.com/without-presence");
        juliet.sends(&get("juliet@example.com", INFO));
        juliet.receives(&result("juliet@example.com", ACCOUNT));
        juliet.sends(&get("juliet@example.com", ITEMS));
        juliet.receives(&result(
            "juliet@example.com",
            "<query xmlns='http://jabber.org/protocol/disco#items'><item jid='juliet@example.com/balcony'/></query>",
        ));
    }

    /// §8: a contact that may see the account's presence may see this as well.
    #[test]
    fn a_contact_that_is_subscribed_is_answered() {
        let world = world();
        world.befriend("romeo@example.net", "juliet@example.com");
        let romeo = world.online("romeo@example.net/orchard");
        romeo.sends(&get("juliet@example.com", INFO));
        romeo.receives(&result("juliet@example.com", ACCOUNT));
        romeo.sends(&get("juliet@example.com", ITEMS));
        romeo.receives(&result("juliet@example.com", ITEMS));
    }

    /// T31: for a stranger an account is as if it were not there, whatever is asked.
    #[test]
    fn a_stranger_can_not_tell_a_hidden_account_from_none() {
        let world = world();
        let romeo = world.online("romeo@example.net/orchard");
        world.online("juliet@example.com/balcony");
        for payload in [INFO, ITEMS, "<query xmlns='http://jabber.org/protocol/disco#info' node='n'/>"] {
            for to in ["juliet@example.com", "nobody@example.com"] {
                romeo.sends(&get(to, payload));
                romeo.receives(&iq_error(&format!("id='d1' from='{to}'"), payload, "cancel", "service-unavailable"));
            }
        }
        world.nobody_receives_anything();
    }
}
