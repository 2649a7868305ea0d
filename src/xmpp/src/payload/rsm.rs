//! XEP-0059: Result Set Management (version 1.0.1): pages of a long list, both directions of `<set/>`.

use super::{PayloadError, child_text, expect_element};
use crate::{Element, ns};

/// Which page is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// How many items at most; 0 asks for the count alone (§2.6). `None` leaves it to the responding entity.
    pub max: Option<u32>,
    /// Where the page lies.
    pub position: Position,
}

/// Where a page lies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Position {
    /// At the beginning (§2.1).
    #[default]
    First,
    /// Right behind the item with this identifier (§2.2).
    After(String),
    /// Right before the item with this identifier (§2.3).
    Before(String),
    /// At the end (§2.5): an empty `<before/>`.
    Last,
    /// From the item with this number, counted from 0 (§2.4).
    Index(u32),
}

/// Which page an answer holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The identifier of its first item; `None` for an empty page.
    pub first: Option<String>,
    /// The number of its first item in the whole list, counted from 0.
    pub first_index: Option<u32>,
    /// The identifier of its last item; `None` for an empty page.
    pub last: Option<String>,
    /// How many items the whole list has.
    pub count: Option<u32>,
}

impl Request {
    /// Reads the `<set/>` of a question.
    ///
    /// # Errors
    /// Not of this namespace; `max` or `index` that is no number; more than one of `after`, `before` and `index`.
    pub fn parse(element: &Element) -> Result<Self, PayloadError> {
        expect_element(element, ns::RSM, "set")?;
        let after = child_text(element, "after").map(Position::After);
        let before = child_text(element, "before").map(|id| match id.is_empty() {
            true => Position::Last,
            false => Position::Before(id),
        });
        let index = child_number(element, "index")?.map(Position::Index);
        let mut positions = [after, before, index].into_iter().flatten();
        let position = positions.next().unwrap_or_default();
        if positions.next().is_some() {
            return Err(PayloadError::Repeated("position"));
        }
        Ok(Self { max: child_number(element, "max")?, position })
    }

    /// Writes the `<set/>`.
    pub fn to_element(&self) -> Element {
        let mut set = Element::new(ns::RSM, "set");
        push(&mut set, "max", self.max.map(|max| max.to_string()));
        match &self.position {
            Position::First => {}
            Position::After(id) => push(&mut set, "after", Some(id.clone())),
            Position::Before(id) => push(&mut set, "before", Some(id.clone())),
            Position::Last => set.push(Element::new(ns::RSM, "before")),
            Position::Index(index) => push(&mut set, "index", Some(index.to_string())),
        }
        set
    }
}

impl Page {
    /// Reads the `<set/>` of an answer.
    ///
    /// # Errors
    /// Not of this namespace; `index` or `count` that is no number.
    pub fn parse(element: &Element) -> Result<Self, PayloadError> {
        expect_element(element, ns::RSM, "set")?;
        let index = element.child(ns::RSM, "first").and_then(|first| first.attribute("index"));
        Ok(Self {
            first: child_text(element, "first"),
            first_index: index.map(|text| number(text, "index")).transpose()?,
            last: child_text(element, "last"),
            count: child_number(element, "count")?,
        })
    }

    /// Writes the `<set/>`.
    pub fn to_element(&self) -> Element {
        let mut set = Element::new(ns::RSM, "set");
        if let Some(first) = &self.first {
            let index = self.first_index.map(|index| index.to_string());
            set.push(Element::new(ns::RSM, "first").with_optional("index", index).with_text(first));
        }
        push(&mut set, "last", self.last.clone());
        push(&mut set, "count", self.count.map(|count| count.to_string()));
        set
    }
}

fn push(set: &mut Element, name: &str, text: Option<String>) {
    if let Some(text) = text {
        set.push(Element::new(ns::RSM, name).with_text(text));
    }
}

fn child_number(element: &Element, name: &'static str) -> Result<Option<u32>, PayloadError> {
    child_text(element, name).map(|text| number(&text, name)).transpose()
}

fn number(text: &str, name: &'static str) -> Result<u32, PayloadError> {
    text.parse().map_err(|_| PayloadError::Invalid(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_position_comes_back_as_it_was_written() {
        for position in [
            Position::First,
            Position::After("peterpan".into()),
            Position::Before("peter@pixyland.org".into()),
            Position::Last,
            Position::Index(371),
        ] {
            let request = Request { max: Some(10), position };
            assert_eq!(Request::parse(&request.to_element()), Ok(request));
        }
    }

    #[test]
    fn a_page_comes_back_as_it_was_written() {
        let page = Page { first: Some("a".into()), first_index: Some(0), last: Some("z".into()), count: Some(800) };
        assert_eq!(
            page.to_element().to_bytes(ns::RSM),
            "<set><first index='0'>a</first><last>z</last><count>800</count></set>"
        );
        for page in [page, Page { count: Some(0), ..Page::default() }] {
            assert_eq!(Page::parse(&page.to_element()), Ok(page));
        }
    }

    #[test]
    fn two_positions_and_numbers_that_are_none_are_refused() {
        let child = |name, text: &str| Element::new(ns::RSM, name).with_text(text);
        let set = || Element::new(ns::RSM, "set");
        let both = set().with_child(child("after", "a")).with_child(child("before", "b"));
        assert_eq!(Request::parse(&both), Err(PayloadError::Repeated("position")));
        assert_eq!(Request::parse(&set().with_child(child("max", "ten"))), Err(PayloadError::Invalid("max")));
    }
}
