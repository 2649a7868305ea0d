//! XEP-0198: Stream Management (version 1.6.3): its elements, and the counters of one stream as a server keeps them.
//!
//! From `<enabled/>` on both sides count the stanzas that they get, modulo 2³². A server's `<a h='n'/>` says that the client's
//! first n stanzas are handled; with us that means that all they brought forth is done, durable where it has to be (design, P1).
//! A stream that is resumed goes on counting where the one before it stopped.

mod notice;

pub use notice::{Failed, Notice};

use crate::stanza_error::Condition;
use crate::stream_error::StreamCondition;
use crate::{Element, StreamError, ns};

/// What a client says of the management of its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `<enable/>` (§3).
    Enable {
        /// Whether it would like to resume the stream.
        resume: bool,
        /// For how long, in seconds.
        max: Option<u32>,
    },
    /// `<resume/>` (§5): it goes on with an earlier stream.
    Resume {
        /// The earlier stream's id for resumption.
        previous: String,
        /// How many stanzas it got there.
        handled: u32,
    },
    /// `<r/>` (§4): how many are handled?
    Request,
    /// `<a/>` (§4): so many.
    Answer {
        /// How many stanzas it got.
        handled: u32,
    },
}

impl Command {
    /// Reads a first-level element; `None` where it is of another namespace.
    ///
    /// # Errors
    /// `unsupported-stanza-type` for an element that XEP-0198 doesn't know from a client, `invalid-xml` where an attribute is
    /// missing or no number.
    pub fn read(element: &Element) -> Result<Option<Self>, StreamCondition> {
        if element.namespace() != ns::STREAM_MANAGEMENT {
            return Ok(None);
        }
        let number = |name: &str| element.attribute(name).and_then(|value| value.parse().ok());
        let handled = || number("h").ok_or(StreamCondition::InvalidXml);
        Ok(Some(match element.name() {
            "enable" => Command::Enable {
                resume: matches!(element.attribute("resume"), Some("true" | "1")),
                max: number("max"),
            },
            "resume" => {
                let previous = element.attribute("previd").ok_or(StreamCondition::InvalidXml)?;
                Command::Resume { previous: previous.to_owned(), handled: handled()? }
            }
            "r" => Command::Request,
            "a" => Command::Answer { handled: handled()? },
            _ => return Err(StreamCondition::UnsupportedStanzaType),
        }))
    }
}

/// The stream feature.
pub fn feature() -> Element {
    Element::new(ns::STREAM_MANAGEMENT, "sm")
}

/// What a client needs to resume its stream (§3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumable {
    /// The id to name then.
    pub id: String,
    /// For how long after the loss of its connection, in seconds.
    pub max: u32,
    /// Where it should connect to, if that matters: `host:port`.
    pub location: Option<String>,
}

/// Appends `<enabled/>`: the stream is managed; without `resumable` it can't be resumed.
pub fn write_enabled(out: &mut Vec<u8>, resumable: Option<&Resumable>) {
    let mut enabled = Element::new(ns::STREAM_MANAGEMENT, "enabled");
    if let Some(Resumable { id, max, location }) = resumable {
        enabled = enabled.with("resume", "true").with("id", id.as_str()).with("max", max.to_string());
        if let Some(location) = location {
            enabled = enabled.with("location", location.as_str());
        }
    }
    enabled.write(out, ns::CLIENT);
}

/// Appends `<resumed/>` (§5): the stream `previous` goes on, and so many of the client's stanzas are handled.
pub fn write_resumed(out: &mut Vec<u8>, previous: &str, handled: u32) {
    let resumed = Element::new(ns::STREAM_MANAGEMENT, "resumed").with("previd", previous);
    resumed.with("h", handled.to_string()).write(out, ns::CLIENT);
}

/// Appends `<failed/>`: what was asked for is not done (§3, §5). `handled`: how many of the stanzas on a stream that can't be
/// resumed were handled, where that is still known.
pub fn write_failed(out: &mut Vec<u8>, condition: Condition, handled: Option<u32>) {
    let condition = Element::new(ns::STANZA_ERRORS, condition.name());
    let mut failed = Element::new(ns::STREAM_MANAGEMENT, "failed");
    if let Some(handled) = handled {
        failed = failed.with("h", handled.to_string());
    }
    failed.with_child(condition).write(out, ns::CLIENT);
}

/// Appends `<r/>`.
pub fn write_request(out: &mut Vec<u8>) {
    Element::new(ns::STREAM_MANAGEMENT, "r").write(out, ns::CLIENT);
}

/// Appends `<a/>`.
pub fn write_answer(out: &mut Vec<u8>, handled: u32) {
    Element::new(ns::STREAM_MANAGEMENT, "a").with("h", handled.to_string()).write(out, ns::CLIENT);
}

/// The client says that it got more than was sent (§4): its stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer acknowledged {handled} stanzas, of {sent} sent")]
pub struct TooMany {
    /// What it says, modulo 2³².
    pub handled: u32,
    /// How many were sent, modulo 2³².
    pub sent: u32,
}

/// Why a stream is not resumed (§5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `<failed/>`: the client may bind a resource anew.
    Failed {
        /// Why.
        condition: Condition,
        /// How many of its stanzas were handled, where that is still known.
        handled: Option<u32>,
    },
    /// The client says that it got more than was sent: its new stream ends.
    TooMany(TooMany),
}

impl From<TooMany> for StreamError {
    fn from(TooMany { handled, sent }: TooMany) -> Self {
        let text = format!("You acknowledged {handled} stanzas, but only {sent} were sent.");
        let detail = Element::new(ns::STREAM_MANAGEMENT, "handled-count-too-high")
            .with("h", handled.to_string())
            .with("send-count", sent.to_string());
        StreamError::new(StreamCondition::UndefinedCondition).with_text(text).with_detail(detail)
    }
}

/// Where a stream's stanzas are counted from, and how far they have come. Places are those of the session's frames, which go on
/// counting from stream to stream; what goes over the wire is the rest modulo 2³².
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// The last place of a stanza from the client that came before the stream was managed.
    received_before: u64,
    /// The last place of a stanza to the client that was sent before.
    sent_before: u64,
    /// The last place that the client has acknowledged.
    acknowledged: u64,
}

impl Counters {
    /// Counts what comes behind these places.
    pub fn new(received_before: u64, sent_before: u64) -> Self {
        Self { received_before, sent_before, acknowledged: sent_before }
    }

    /// Goes on counting where the client has acknowledged everything up to the place `acknowledged`.
    pub fn with_acknowledged(self, acknowledged: u64) -> Self {
        Self { acknowledged, ..self }
    }

    /// The `h` to tell, if everything from the client up to the place `accepted` is handled.
    pub fn handled(&self, accepted: u64) -> u32 {
        wrap(accepted.saturating_sub(self.received_before))
    }

    /// The last place that the client has acknowledged, or that needs no acknowledgement.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// The client says that it got `handled`, where the last place sent is `sent`. Whether that is news. A count that it has told
    /// before, or an older one, changes nothing.
    ///
    /// # Errors
    /// It is more than was sent.
    pub fn acknowledge(&mut self, handled: u32, sent: u64) -> Result<bool, TooMany> {
        let known = wrap(self.acknowledged - self.sent_before);
        let news = u64::from(handled.wrapping_sub(known));
        if news <= sent.saturating_sub(self.acknowledged) {
            self.acknowledged += news;
            return Ok(news > 0);
        }
        let is_older = known.wrapping_sub(handled) <= u32::MAX / 2
            && u64::from(known.wrapping_sub(handled)) <= self.acknowledged - self.sent_before;
        if is_older { Ok(false) } else { Err(TooMany { handled, sent: wrap(sent - self.sent_before) }) }
    }
}

/// Modulo 2³².
fn wrap(count: u64) -> u32 {
    count as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(xml: &str) -> Result<Option<Command>, StreamCondition> {
        Command::read(&Element::parse(xml.as_bytes()).expect("XML"))
    }

    #[test]
    fn what_a_client_says_is_read() {
        assert_eq!(
            read("<enable xmlns='urn:xmpp:sm:3' resume='true' max='60'/>"),
            Ok(Some(Command::Enable { resume: true, max: Some(60) }))
        );
        assert_eq!(
            read("<resume xmlns='urn:xmpp:sm:3' h='7' previd='x'/>"),
            Ok(Some(Command::Resume { previous: "x".into(), handled: 7 }))
        );
        assert_eq!(read("<r xmlns='urn:xmpp:sm:3'/>"), Ok(Some(Command::Request)));
        assert_eq!(read("<a xmlns='urn:xmpp:sm:3' h='4294967295'/>"), Ok(Some(Command::Answer { handled: u32::MAX })));
        assert_eq!(read("<r xmlns='urn:xmpp:sm:2'/>"), Ok(None));
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for xml in [
            "<a xmlns='urn:xmpp:sm:3'/>",
            "<a xmlns='urn:xmpp:sm:3' h='-1'/>",
            "<a xmlns='urn:xmpp:sm:3' h='4294967296'/>",
            "<resume xmlns='urn:xmpp:sm:3' h='1'/>",
        ] {
            assert_eq!(read(xml), Err(StreamCondition::InvalidXml), "{xml}");
        }
        assert_eq!(read("<enabled xmlns='urn:xmpp:sm:3'/>"), Err(StreamCondition::UnsupportedStanzaType));
    }

    #[test]
    fn only_what_comes_behind_the_start_is_counted() {
        let mut counters = Counters::new(5, 9);
        assert_eq!((counters.handled(3), counters.handled(5), counters.handled(8)), (0, 0, 3));
        assert_eq!(counters.acknowledged(), 9);
        assert_eq!(counters.acknowledge(2, 12), Ok(true));
        assert_eq!(counters.acknowledged(), 11);
    }

    #[test]
    fn an_older_count_changes_nothing_and_one_too_high_is_an_error() {
        let mut counters = Counters::new(0, 0);
        assert_eq!(counters.acknowledge(3, 4), Ok(true));
        assert_eq!(counters.acknowledge(3, 4), Ok(false));
        assert_eq!(counters.acknowledge(1, 4), Ok(false));
        assert_eq!(counters.acknowledge(5, 4), Err(TooMany { handled: 5, sent: 4 }));
        assert_eq!(counters.acknowledge(u32::MAX, 4), Err(TooMany { handled: u32::MAX, sent: 4 }));
        assert_eq!(counters.acknowledged(), 3);
    }

    #[test]
    fn counts_go_round() {
        let far = u64::from(u32::MAX) + 2;
        let mut counters = Counters { received_before: 0, sent_before: 0, acknowledged: far - 3 };
        assert_eq!(counters.handled(far), 1);
        assert_eq!(counters.acknowledge(1, far), Ok(true));
        assert_eq!(counters.acknowledged(), far);
        assert_eq!(counters.acknowledge(u32::MAX, far), Ok(false));
    }

    #[test]
    fn the_error_says_both_counts() {
        let mut out = Vec::new();
        StreamError::from(TooMany { handled: 10, sent: 8 }).write(&mut out);
        let written = String::from_utf8(out).expect("UTF-8");
        assert!(written.contains("<handled-count-too-high xmlns='urn:xmpp:sm:3' h='10' send-count='8'/>"), "{written}");
    }
}
