//! XEP-0157: Contact Addresses for XMPP Services (version 1.1.1).
//!
//! Tells in the server's disco#info whom to write to about abuse, security and so on, as a form (XEP-0128). Without a
//! configured address there is no form.

use std::sync::Arc;

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
