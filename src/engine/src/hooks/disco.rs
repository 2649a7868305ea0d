//! What modules say of themselves for service discovery (XEP-0030), as data: the module of XEP-0030 answers with it.

use std::collections::BTreeSet;

use vesta_xmpp::{Element, Jid};

/// An identity (XEP-0030 §3.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// Its category: `server`.
    pub category: &'static str,
    /// Its type within the category: `im`.
    pub kind: &'static str,
    /// A name for people.
    pub name: Option<String>,
}

/// An item (XEP-0030 §4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoItem {
    /// The address.
    pub jid: Jid,
    /// The node at that address.
    pub node: Option<String>,
    /// A name for people.
    pub name: Option<String>,
}

/// What one kind of entity (the server, each account) tells of itself.
#[derive(Clone, Debug, Default)]
pub struct Disco {
    identities: Vec<Identity>,
    features: BTreeSet<&'static str>,
    items: Vec<DiscoItem>,
    forms: Vec<Element>,
}

impl Disco {
    /// Adds an identity.
    pub fn identity(&mut self, category: &'static str, kind: &'static str, name: Option<&str>) -> &mut Self {
        self.identities.push(Identity { category, kind, name: name.map(str::to_owned) });
        self
    }

    /// Adds a feature. Adding it twice is the same as once.
    pub fn feature(&mut self, feature: &'static str) -> &mut Self {
        self.features.insert(feature);
        self
    }

    /// Adds an item.
    pub fn item(&mut self, item: DiscoItem) -> &mut Self {
        self.items.push(item);
        self
    }

    /// Adds an extended form (XEP-0128): `<x xmlns='jabber:x:data' type='result'/>`.
    pub fn form(&mut self, form: Element) -> &mut Self {
        self.forms.push(form);
        self
    }

    /// The identities.
    pub fn identities(&self) -> &[Identity] {
        &self.identities
    }

    /// The features, in order.
    pub fn features(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.features.iter().copied()
    }

    /// The items.
    pub fn items(&self) -> &[DiscoItem] {
        &self.items
    }

    /// The extended forms.
    pub fn forms(&self) -> &[Element] {
        &self.forms
    }
}
