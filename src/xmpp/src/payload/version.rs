//! XEP-0092: Software Version (version 1.1).

use super::{PayloadError, child_text, expect_element};
use crate::{Element, ns};

/// The answer to `<query xmlns='jabber:iq:version'/>` (§3); the question is the empty element, [`Version::query`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The software's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The operating system that it runs on, where that is told.
    pub os: Option<String>,
}

impl Version {
    /// The question.
    pub fn query() -> Element {
        Element::new(ns::VERSION, "query")
    }

    /// Reads the `<query/>` of an answer.
    ///
    /// # Errors
    /// Not a version; no `<name/>` or no `<version/>`.
    pub fn parse(element: &Element) -> Result<Self, PayloadError> {
        expect_element(element, ns::VERSION, "query")?;
        Ok(Self {
            name: child_text(element, "name").ok_or(PayloadError::Missing("name"))?,
            version: child_text(element, "version").ok_or(PayloadError::Missing("version"))?,
            os: child_text(element, "os"),
        })
    }

    /// Writes the `<query/>` of an answer.
    pub fn to_element(&self) -> Element {
        let child = |name, text: &String| Element::new(ns::VERSION, name).with_text(text);
        Self::query()
            .with_child(child("name", &self.name))
            .with_child(child("version", &self.version))
            .with_children(self.os.iter().map(|os| child("os", os)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_comes_back_as_it_was_written() {
        for os in [None, Some("Plan 9".to_owned())] {
            let version = Version { name: "Exodus".into(), version: "0.7.0.4".into(), os };
            assert_eq!(Version::parse(&version.to_element()), Ok(version));
        }
    }

    #[test]
    fn a_question_is_no_answer() {
        assert_eq!(Version::parse(&Version::query()), Err(PayloadError::Missing("name")));
    }
}
