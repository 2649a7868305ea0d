//! XEP-0030: Service Discovery (version 2.5.0), with the extended information of XEP-0128.

use super::data_form::Form;
use super::{PayloadError, expect_element, required, required_jid};
use crate::{Element, Jid, ns};

/// `<query xmlns='http://jabber.org/protocol/disco#info'/>` (§3): what an entity is and what it can do. Empty but for the node
/// in a question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Which part of the entity is meant.
    pub node: Option<String>,
    /// What the entity is; at least one in an answer.
    pub identities: Vec<Identity>,
    /// What it supports, namespaces mostly.
    pub features: Vec<String>,
    /// More about it (XEP-0128).
    pub forms: Vec<Form>,
}

/// What an entity is, in the terms of the registry of service discovery identities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `server`, `account`, `conference`…
    pub category: String,
    /// Within the category: `im`, `registered`, `text`…
    pub kind: String,
    /// A name for people.
    pub name: Option<String>,
    /// The language of the name.
    pub lang: Option<String>,
}

/// `<query xmlns='http://jabber.org/protocol/disco#items'/>` (§4): what belongs to an entity. Empty but for the node in a question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Items {
    /// Which part of the entity is meant.
    pub node: Option<String>,
    /// What belongs to it.
    pub items: Vec<Item>,
}

/// One thing that belongs to an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its address.
    pub jid: Jid,
    /// Which part of what has the address.
    pub node: Option<String>,
    /// A name for people.
    pub name: Option<String>,
}

impl Info {
    /// Reads a `<query/>`, of a question or an answer.
    ///
    /// # Errors
    /// Not of this namespace; an identity without category or type; a feature without `var`; a data form that is none.
    pub fn parse(element: &Element) -> Result<Self, PayloadError> {
        expect_element(element, ns::DISCO_INFO, "query")?;
        let named = |name| element.children().filter(move |child| child.is(ns::DISCO_INFO, name));
        let forms = element.children().filter(|child| child.is(ns::DATA_FORMS, "x"));
        Ok(Self {
            node: node(element),
            identities: named("identity").map(Identity::parse).collect::<Result<_, _>>()?,
            features: named("feature").map(|it| required(it, "var").map(Into::into)).collect::<Result<_, _>>()?,
            forms: forms.map(Form::parse).collect::<Result<_, _>>()?,
        })
    }

    /// Writes the `<query/>`.
    pub fn to_element(&self) -> Element {
        let features = self.features.iter().map(|it| Element::new(ns::DISCO_INFO, "feature").with("var", it));
        Element::new(ns::DISCO_INFO, "query")
            .with_optional("node", self.node.as_deref())
            .with_children(self.identities.iter().map(Identity::to_element))
            .with_children(features)
            .with_children(self.forms.iter().map(Form::to_element))
    }

    /// Whether the entity supports `feature`.
    pub fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|it| it == feature)
    }
}

impl Identity {
    /// An identity without name.
    pub fn new(category: &str, kind: &str) -> Self {
        Self { category: category.into(), kind: kind.into(), name: None, lang: None }
    }

    /// Adds a name for people.
    #[must_use]
    pub fn with_name(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    fn parse(element: &Element) -> Result<Self, PayloadError> {
        Ok(Self {
            category: required(element, "category")?.into(),
            kind: required(element, "type")?.into(),
            name: element.attribute("name").map(Into::into),
            lang: element.attribute_namespaced(ns::XML, "lang").map(Into::into),
        })
    }

    fn to_element(&self) -> Element {
        let mut element = Element::new(ns::DISCO_INFO, "identity")
            .with("category", &self.category)
            .with("type", &self.kind)
            .with_optional("name", self.name.as_deref());
        if let Some(lang) = &self.lang {
            element.set_namespaced(ns::XML, "lang", lang);
        }
        element
    }
}

impl Items {
    /// Reads a `<query/>`, of a question or an answer.
    ///
    /// # Errors
    /// Not of this namespace; an item without `jid`, or with one that is no address.
    pub fn parse(element: &Element) -> Result<Self, PayloadError> {
        expect_element(element, ns::DISCO_ITEMS, "query")?;
        let items = element.children().filter(|child| child.is(ns::DISCO_ITEMS, "item"));
        Ok(Self { node: node(element), items: items.map(Item::parse).collect::<Result<_, _>>()? })
    }

    /// Writes the `<query/>`.
    pub fn to_element(&self) -> Element {
        Element::new(ns::DISCO_ITEMS, "query")
            .with_optional("node", self.node.as_deref())
            .with_children(self.items.iter().map(Item::to_element))
    }
}

impl Item {
    /// An item that is an address and nothing else.
    pub fn new(jid: impl Into<Jid>) -> Self {
        Self { jid: jid.into(), node: None, name: None }
    }

    fn parse(element: &Element) -> Result<Self, PayloadError> {
        Ok(Self {
            jid: required_jid(element, "jid")?,
            node: node(element),
            name: element.attribute("name").map(Into::into),
        })
    }

    fn to_element(&self) -> Element {
        Element::new(ns::DISCO_ITEMS, "item")
            .with("jid", self.jid.as_str())
            .with_optional("node", self.node.as_deref())
            .with_optional("name", self.name.as_deref())
    }
}

fn node(element: &Element) -> Option<String> {
    element.attribute("node").map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::data_form::{Field, FormKind};

    #[test]
    fn information_comes_back_as_it_was_written() {
        let contact = Field::new("abuse-addresses", ["mailto:abuse@shakespeare.lit"]);
        let info = Info {
            node: Some("rooms".into()),
            identities: vec![
                Identity::new("server", "im").with_name("Vesta"),
                Identity { lang: Some("it".into()), ..Identity::new("conference", "text") },
            ],
            features: vec![ns::DISCO_INFO.into(), ns::PING.into()],
            forms: vec![Form::of_type(FormKind::Result, ns::SERVER_INFO_FORM).with(contact)],
        };
        assert!(info.has(ns::PING) && !info.has(ns::TIME));
        assert_eq!(Info::parse(&info.to_element()), Ok(info));
    }

    #[test]
    fn items_come_back_as_they_were_written() {
        let rooms = Jid::parse("rooms.shakespeare.lit").expect("a JID");
        let named = Item { node: Some("n".into()), name: Some("Rooms".into()), ..Item::new(rooms.clone()) };
        let items = Items { node: None, items: vec![Item::new(rooms), named] };
        assert_eq!(Items::parse(&items.to_element()), Ok(items));
    }

    #[test]
    fn what_the_schema_requires_must_be_there() {
        let query = |child| Element::new(ns::DISCO_INFO, "query").with_child(Element::new(ns::DISCO_INFO, child));
        assert_eq!(Info::parse(&query("identity")), Err(PayloadError::Missing("category")));
        assert_eq!(Info::parse(&query("feature")), Err(PayloadError::Missing("var")));
        let item = Element::new(ns::DISCO_ITEMS, "query").with_child(Element::new(ns::DISCO_ITEMS, "item"));
        assert_eq!(Items::parse(&item), Err(PayloadError::Missing("jid")));
    }
}
