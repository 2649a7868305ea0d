//! RFC 6121 §2: rosters, `<query xmlns='jabber:iq:roster'/>` and its items.
//!
//! The syntax only: which attributes of a client's roster set count, and what is pushed to whom, is for the server's engine.

use super::{PayloadError, boolean, expect_element, required_jid};
use crate::{Element, Jid, ns};

/// The payload of a roster get, its result, a roster set and a roster push (RFC 6121 §2.1.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// The attribute `ver`: opaque, `Some("")` from a client that supports versions and has none yet (RFC 6121 §2.6.2).
    pub version: Option<String>,
    /// The items, in the order of the document.
    pub items: Vec<Item>,
}

/// One contact (RFC 6121 §2.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The contact; nearly always a bare JID.
    pub jid: Jid,
    /// The name that the user gave; an empty one counts as none.
    pub name: Option<String>,
    /// The groups that the user gave, each once. An empty group name is kept: the server answers it with `not-acceptable`
    /// (RFC 6121 §2.3.3).
    pub groups: Vec<String>,
    /// The state of the subscription, or that the item goes.
    pub subscription: Subscription,
    /// `ask='subscribe'`: the user's request is not answered yet (RFC 6121 §3.1.2).
    pub ask: bool,
    /// The user has approved the contact beforehand (RFC 6121 §3.4).
    pub approved: bool,
}

/// The attribute `subscription` (RFC 6121 §2.1.2.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Subscription {
    /// Neither sees the other. Also where the attribute is left out or not known.
    #[default]
    None,
    /// The user sees the contact.
    To,
    /// The contact sees the user.
    From,
    /// Each sees the other.
    Both,
    /// The item is to be removed, or was.
    Remove,
}

impl Roster {
    /// Reads a `<query/>`.
    ///
    /// # Errors
    /// Not a roster; an item without `jid` or with one that is no address; a group twice in one item; an `approved` that is
    /// no boolean.
    pub fn parse(element: &Element) -> Result<Self, PayloadError> {
        expect_element(element, ns::ROSTER, "query")?;
        Ok(Self {
            version: element.attribute("ver").map(Into::into),
            items: element
                .children()
                .filter(|child| child.is(ns::ROSTER, "item"))
                .map(Item::parse)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Writes the `<query/>`.
    pub fn to_element(&self) -> Element {
        Element::new(ns::ROSTER, "query")
            .with_optional("ver", self.version.as_deref())
            .with_children(self.items.iter().map(Item::to_element))
    }
}

impl Item {
    /// An item with nothing but an address.
    pub fn new(jid: impl Into<Jid>) -> Self {
        Self {
            jid: jid.into(),
            name: None,
            groups: Vec::new(),
            subscription: Subscription::None,
            ask: false,
            approved: false,
        }
    }

    /// Reads an `<item/>`.
    ///
    /// # Errors
    /// As [`Roster::parse`].
    pub fn parse(element: &Element) -> Result<Self, PayloadError> {
        expect_element(element, ns::ROSTER, "item")?;
        Ok(Self {
            jid: required_jid(element, "jid")?,
            name: element.attribute("name").filter(|name| !name.is_empty()).map(Into::into),
            groups: groups(element)?,
            subscription: element.attribute("subscription").and_then(Subscription::from_name).unwrap_or_default(),
            ask: element.attribute("ask") == Some("subscribe"),
            approved: boolean(element, "approved")?,
        })
    }

    /// Writes the `<item/>`.
    pub fn to_element(&self) -> Element {
        let groups = self.groups.iter().map(|group| Element::new(ns::ROSTER, "group").with_text(group));
        Element::new(ns::ROSTER, "item")
            .with("jid", self.jid.as_str())
            .with_optional("name", self.name.as_deref())
            .with("subscription", self.subscription.name())
            .with_optional("ask", self.ask.then_some("subscribe"))
            .with_optional("approved", self.approved.then_some("true"))
            .with_children(groups)
    }
}

impl Subscription {
    /// The attribute's value.
    pub fn name(self) -> &'static str {
        match self {
            Subscription::None => "none",
            Subscription::To => "to",
            Subscription::From => "from",
            Subscription::Both => "both",
            Subscription::Remove => "remove",
        }
    }

    /// The state with this attribute value.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "none" => Subscription::None,
            "to" => Subscription::To,
            "from" => Subscription::From,
            "both" => Subscription::Both,
            "remove" => Subscription::Remove,
            _ => return None,
        })
    }
}

fn groups(item: &Element) -> Result<Vec<String>, PayloadError> {
    let mut groups: Vec<String> = Vec::new();
    for child in item.children().filter(|child| child.is(ns::ROSTER, "group")) {
        let group = child.text();
        if groups.contains(&group) {
            return Err(PayloadError::Repeated("group"));
        }
        groups.push(group);
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn juliet() -> Item {
        Item {
            name: Some("Juliet".into()),
            groups: vec!["Friends".into(), "Verona".into()],
            subscription: Subscription::To,
            ask: true,
            approved: true,
            ..Item::new(Jid::parse("juliet@example.com").expect("a JID"))
        }
    }

    #[test]
    fn a_roster_comes_back_as_it_was_written() {
        let roster = Roster { version: Some("ver7".into()), items: vec![juliet()] };
        assert_eq!(Roster::parse(&roster.to_element()), Ok(roster));
    }

    #[test]
    fn an_item_is_written_with_the_attributes_of_section_2_1_2() {
        assert_eq!(
            juliet().to_element().to_bytes(ns::ROSTER),
            "<item jid='juliet@example.com' name='Juliet' subscription='to' ask='subscribe' approved='true'>\
             <group>Friends</group><group>Verona</group></item>"
        );
    }

    #[test]
    fn an_unknown_subscription_counts_as_none_and_an_empty_name_as_no_name() {
        let item = Element::new(ns::ROSTER, "item").with("jid", "a@b").with("subscription", "maybe").with("name", "");
        assert_eq!(Item::parse(&item), Ok(Item::new(Jid::parse("a@b").expect("a JID"))));
    }

    #[test]
    fn an_item_without_address_and_a_group_given_twice_are_refused() {
        assert_eq!(Item::parse(&Element::new(ns::ROSTER, "item")), Err(PayloadError::Missing("jid")));
        let group = || Element::new(ns::ROSTER, "group").with_text("Friends");
        let twice = Element::new(ns::ROSTER, "item").with("jid", "a@b").with_child(group()).with_child(group());
        assert_eq!(Item::parse(&twice), Err(PayloadError::Repeated("group")));
    }

    #[test]
    fn an_element_of_another_namespace_is_no_roster() {
        assert_eq!(Roster::parse(&Element::new(ns::VERSION, "query")), Err(PayloadError::Unexpected("query")));
    }
}
