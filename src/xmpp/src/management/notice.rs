//! What a server says of the management of a stream, as a client reads it.

use super::Command;
use crate::stanza_error::Condition;
use crate::stream_error::StreamCondition;
use crate::{Element, ns};

/// What a server says of the management of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// `<enabled/>` (§3): from here on both sides count.
    Enabled {
        /// The stream's id for resumption; `None` where it can't be resumed.
        id: Option<String>,
        /// For how long it can be resumed once it is lost, in seconds; `None`: the server doesn't say.
        max: Option<u32>,
        /// Where to connect to for that, as `host:port` or `host`.
        location: Option<String>,
    },
    /// `<resumed/>` (§5): the earlier stream goes on.
    Resumed {
        /// How many stanzas of the client's are handled.
        handled: u32,
    },
    /// `<failed/>` (§3, §5): what was asked for is not done.
    Failed(Failed),
    /// `<r/>` (§4): how many stanzas has the client got?
    Request,
    /// `<a/>` (§4): so many of the client's are handled.
    Answer {
        /// How many.
        handled: u32,
    },
}

/// Why a stream is not managed, or an earlier one does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The condition; `None` where the server gives none that is known.
    pub condition: Option<Condition>,
    /// How many stanzas of the earlier stream were handled, where the server still knows (§5).
    pub handled: Option<u32>,
}

impl Notice {
    /// Reads a first-level element; `None` where it is of another namespace.
    ///
    /// # Errors
    /// `unsupported-stanza-type` for an element that XEP-0198 doesn't know from a server, `invalid-xml` where an attribute is
    /// missing or no number.
    pub fn read(element: &Element) -> Result<Option<Self>, StreamCondition> {
        if element.namespace() != ns::STREAM_MANAGEMENT {
            return Ok(None);
        }
        let number = |name: &str| element.attribute(name).and_then(|value| value.parse().ok());
        let handled = || number("h").ok_or(StreamCondition::InvalidXml);
        let text = |name: &str| element.attribute(name).filter(|it| !it.is_empty()).map(str::to_owned);
        Ok(Some(match element.name() {
            "enabled" => {
                let resumable = matches!(element.attribute("resume"), Some("true" | "1"));
                let id = text("id").filter(|_| resumable);
                Notice::Enabled { id, max: number("max"), location: text("location") }
            }
            "resumed" => Notice::Resumed { handled: handled()? },
            "failed" => {
                let mut conditions = element.children().filter(|it| it.namespace() == ns::STANZA_ERRORS);
                let condition = conditions.find_map(|it| Condition::from_name(it.name()));
                Notice::Failed(Failed { condition, handled: number("h") })
            }
            "r" => Notice::Request,
            "a" => Notice::Answer { handled: handled()? },
            _ => return Err(StreamCondition::UnsupportedStanzaType),
        }))
    }
}

impl Command {
    /// Writes the element.
    pub fn to_element(&self) -> Element {
        let element = |name: &str| Element::new(ns::STREAM_MANAGEMENT, name);
        match self {
            Command::Enable { resume, max } => element("enable")
                .with_optional("resume", resume.then_some("true"))
                .with_optional("max", max.map(|max| max.to_string())),
            Command::Resume { previous, handled } => {
                element("resume").with("h", handled.to_string()).with("previd", previous)
            }
            Command::Request => element("r"),
            Command::Answer { handled } => element("a").with("h", handled.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(xml: &str) -> Result<Option<Notice>, StreamCondition> {
        Notice::read(&Element::parse(xml.as_bytes()).expect("XML"))
    }

    #[test]
    fn what_a_server_says_is_read() {
        let enabled = |id: Option<&str>, max, location: Option<&str>| {
            Ok(Some(Notice::Enabled { id: id.map(Into::into), max, location: location.map(Into::into) }))
        };
        assert_eq!(
            read("<enabled xmlns='urn:xmpp:sm:3' id='x' resume='true' max='300' location='[::1]:5222'/>"),
            enabled(Some("x"), Some(300), Some("[::1]:5222"))
        );
        assert_eq!(read("<enabled xmlns='urn:xmpp:sm:3' id='x'/>"), enabled(None, None, None));
        assert_eq!(
            read("<resumed xmlns='urn:xmpp:sm:3' h='4294967295' previd='x'/>"),
            Ok(Some(Notice::Resumed { handled: u32::MAX }))
        );
        assert_eq!(
            read(
                "<failed xmlns='urn:xmpp:sm:3' h='7'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"
            ),
            Ok(Some(Notice::Failed(Failed { condition: Some(Condition::ItemNotFound), handled: Some(7) })))
        );
        assert_eq!(
            read("<failed xmlns='urn:xmpp:sm:3'/>"),
            Ok(Some(Notice::Failed(Failed { condition: None, handled: None })))
        );
        assert_eq!(read("<r xmlns='urn:xmpp:sm:3'/>"), Ok(Some(Notice::Request)));
        assert_eq!(read("<a xmlns='urn:xmpp:sm:3' h='0'/>"), Ok(Some(Notice::Answer { handled: 0 })));
        assert_eq!(read("<a xmlns='urn:xmpp:sm:2' h='0'/>"), Ok(None));
    }

    #[test]
    fn what_is_malformed_is_refused() {
        assert_eq!(read("<a xmlns='urn:xmpp:sm:3'/>"), Err(StreamCondition::InvalidXml));
        assert_eq!(read("<resumed xmlns='urn:xmpp:sm:3' h='-1'/>"), Err(StreamCondition::InvalidXml));
        assert_eq!(read("<enable xmlns='urn:xmpp:sm:3'/>"), Err(StreamCondition::UnsupportedStanzaType));
    }

    #[test]
    fn a_command_comes_back_as_it_was_written() {
        for command in [
            Command::Enable { resume: true, max: Some(60) },
            Command::Enable { resume: false, max: None },
            Command::Resume { previous: "x".into(), handled: u32::MAX },
            Command::Request,
            Command::Answer { handled: 3 },
        ] {
            assert_eq!(Command::read(&command.to_element()), Ok(Some(command)));
        }
    }
}
