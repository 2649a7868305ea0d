//! XEP-0202: Entity Time (version 2.0).

use super::date_time::{DateTime, format_offset, parse_offset};
use super::{PayloadError, child_text, expect_element};
use crate::{Element, ns};

/// The answer to `<time xmlns='urn:xmpp:time'/>` (§3); the question is the empty element, [`EntityTime::query`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityTime {
    /// The time now.
    pub utc: DateTime,
    /// The entity's time zone, minutes east of UTC.
    pub offset_minutes: i16,
}

impl EntityTime {
    /// The question.
    pub fn query() -> Element {
        Element::new(ns::TIME, "time")
    }

    /// Reads the `<time/>` of an answer.
    ///
    /// # Errors
    /// Not a time; no `<utc/>` or `<tzo/>`, or one that is not of XEP-0082's profiles.
    pub fn parse(element: &Element) -> Result<Self, PayloadError> {
        expect_element(element, ns::TIME, "time")?;
        let utc = child_text(element, "utc").ok_or(PayloadError::Missing("utc"))?;
        let offset = child_text(element, "tzo").ok_or(PayloadError::Missing("tzo"))?;
        Ok(Self {
            utc: DateTime::parse(&utc).ok_or(PayloadError::Invalid("utc"))?,
            offset_minutes: parse_offset(&offset).ok_or(PayloadError::Invalid("tzo"))?,
        })
    }

    /// Writes the `<time/>` of an answer.
    pub fn to_element(self) -> Element {
        let child = |name, text: String| Element::new(ns::TIME, name).with_text(text);
        Self::query()
            .with_child(child("tzo", format_offset(self.offset_minutes)))
            .with_child(child("utc", self.utc.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_comes_back_as_it_was_written() {
        let time = EntityTime { utc: DateTime(1_166_549_999_000), offset_minutes: -360 };
        assert_eq!(
            time.to_element().to_bytes(ns::CLIENT),
            "<time xmlns='urn:xmpp:time'><tzo>-06:00</tzo><utc>2006-12-19T17:39:59Z</utc></time>"
        );
        assert_eq!(EntityTime::parse(&time.to_element()), Ok(time));
    }

    #[test]
    fn a_time_zone_that_is_none_is_refused() {
        let child = |name, text: &str| Element::new(ns::TIME, name).with_text(text);
        let time = EntityTime::query().with_child(child("utc", "2006-12-19T17:58:35Z")).with_child(child("tzo", "CET"));
        assert_eq!(EntityTime::parse(&time), Err(PayloadError::Invalid("tzo")));
    }
}
