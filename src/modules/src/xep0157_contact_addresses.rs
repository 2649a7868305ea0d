//! XEP-0157: Contact Addresses for XMPP Services (version 1.1.1).
//!
//! Tells in the server's disco#info whom to write to about abuse, security and so on, as a form (XEP-0128). Without a
//! configured address there is no form.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vesta_engine::hooks::Hooks;
use vesta_engine::module::{Module, Spec, Status};
use vesta_xmpp::ns;
use vesta_xmpp::payload::data_form::{Field, FieldKind, Form, FormKind};

/// What is fulfilled.
pub const SPEC: Spec = Spec {
    number: 157,
    title: "Contact Addresses for XMPP Services",
    version: "1.1.1",
    status: Status::Complete,
    since: "0.1.0",
    note: "",
};

/// Key `contact_addresses`. Each list holds URIs: `mailto:abuse@example.com`, `xmpp:admin@example.com`, `https://…`. All are
/// empty by default, and an empty list is not told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the module is there. Default: true.
    pub enabled: bool,
    /// Who takes reports of abuse.
    pub abuse: Vec<String>,
    /// Who runs the service.
    pub admin: Vec<String>,
    /// Who wants to hear opinions.
    pub feedback: Vec<String>,
    /// Who sells it.
    pub sales: Vec<String>,
    /// Who takes reports of security problems.
    pub security: Vec<String>,
    /// Where to see whether it runs.
    pub status: Vec<String>,
    /// Who helps.
    pub support: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            abuse: Vec::new(),
            admin: Vec::new(),
            feedback: Vec::new(),
            sales: Vec::new(),
            security: Vec::new(),
            status: Vec::new(),
            support: Vec::new(),
        }
    }
}

impl Config {
    /// The fields of §3, those that have addresses.
    fn fields(&self) -> Vec<Field> {
        [
            ("abuse-addresses", &self.abuse),
            ("admin-addresses", &self.admin),
            ("feedback-addresses", &self.feedback),
            ("sales-addresses", &self.sales),
            ("security-addresses", &self.security),
            ("status-addresses", &self.status),
            ("support-addresses", &self.support),
        ]
        .into_iter()
        .filter(|(_, addresses)| !addresses.is_empty())
        .map(|(name, addresses)| Field { kind: Some(FieldKind::ListMulti), ..Field::new(name, addresses.clone()) })
        .collect()
    }
}

/// The module.
pub struct ContactAddresses {
    fields: Vec<Field>,
}

impl ContactAddresses {
    /// With `config`.
    pub fn new(config: &Config) -> Self {
        Self { fields: config.fields() }
    }
}

impl Module for ContactAddresses {
    fn name(&self) -> &'static str {
        "contact_addresses"
    }

    fn specs(&self) -> &'static [Spec] {
        &[SPEC]
    }

    fn register(self: Arc<Self>, hooks: &mut Hooks) {
        if self.fields.is_empty() {
            return;
        }
        let mut form = Form::of_type(FormKind::Result, ns::SERVER_INFO_FORM);
        form.fields.extend(self.fields.iter().cloned());
        hooks.server.form(form.to_element());
    }
}

#[cfg(test)]
mod tests {
    use vesta_engine::testing::World;

    use super::*;
    use crate::xep0030_disco::ServiceDiscovery;

    const QUESTION: &str =
        "<iq type='get' id='d1' to='example.com'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>";

    fn answer(form: &str) -> String {
        format!(
            "<iq type='result' id='d1' from='example.com'><query xmlns='http://jabber.org/protocol/disco#info'>\
             <identity category='server' type='im' name='Vesta'/>\
             <feature var='http://jabber.org/protocol/disco#info'/>\
             <feature var='http://jabber.org/protocol/disco#items'/>{form}</query></iq>"
        )
    }

    fn told(config: &Config, expected: &str) {
        let world = World::new(vec![Arc::new(ServiceDiscovery), Arc::new(ContactAddresses::new(config))]);
        let romeo = world.online("romeo@example.net/orchard");
        romeo.sends(QUESTION);
        romeo.receives(expected);
    }

    /// §2: the addresses that are configured, in a form beside the features.
    #[test]
    fn the_addresses_stand_in_the_servers_information() {
        let config = Config {
            abuse: vec!["mailto:abuse@example.com".into(), "xmpp:abuse@example.com".into()],
            security: vec!["https://example.com/security".into()],
            ..Config::default()
        };
        told(
            &config,
            &answer(
                "<x xmlns='jabber:x:data' type='result'>\
                 <field var='FORM_TYPE' type='hidden'><value>http://jabber.org/network/serverinfo</value></field>\
                 <field var='abuse-addresses' type='list-multi'>\
                 <value>mailto:abuse@example.com</value><value>xmpp:abuse@example.com</value></field>\
                 <field var='security-addresses' type='list-multi'>\
                 <value>https://example.com/security</value></field></x>",
            ),
        );
    }

    #[test]
    fn without_addresses_there_is_no_form() {
        told(&Config::default(), &answer(""));
    }
}
