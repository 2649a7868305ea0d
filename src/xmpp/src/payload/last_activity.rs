//! XEP-0012: Last Activity (version 2.0).

use super::{PayloadError, expect_element, required};
use crate::{Element, ns};

/// The answer to `<query xmlns='jabber:iq:last'/>`; the question is the empty element, [`LastActivity::query`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastActivity {
    /// Seconds: of an account since its last logout (§3), of a client since its user was active (§4), of a server since it
    /// was started (§5).
    pub seconds: u64,
    /// The status text of the account's last unavailable presence (§3).
    pub status: Option<String>,
}

impl LastActivity {
    /// The question.
    pub fn query() -> Element {
        Element::new(ns::LAST_ACTIVITY, "query")
    }

    /// Reads the `<query/>` of an answer.
    ///
    /// # Errors
    /// Not a last activity; no `seconds`, or one that is no number.
    pub fn parse(element: &Element) -> Result<Self, PayloadError> {
        expect_element(element, ns::LAST_ACTIVITY, "query")?;
        let seconds = required(element, "seconds")?.parse().map_err(|_| PayloadError::Invalid("seconds"))?;
        Ok(Self { seconds, status: Some(element.text()).filter(|status| !status.is_empty()) })
    }

    /// Writes the `<query/>` of an answer.
    pub fn to_element(&self) -> Element {
        let element = Self::query().with("seconds", self.seconds.to_string());
        match &self.status {
            Some(status) => element.with_text(status),
            None => element,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_back_as_it_was_written() {
        for status in [None, Some("Heading Home".to_owned())] {
            let last = LastActivity { seconds: 903, status };
            assert_eq!(LastActivity::parse(&last.to_element()), Ok(last));
        }
    }

    #[test]
    fn seconds_are_a_number_from_zero() {
        let last = LastActivity::query().with("seconds", "-1");
        assert_eq!(LastActivity::parse(&last), Err(PayloadError::Invalid("seconds")));
    }
}
