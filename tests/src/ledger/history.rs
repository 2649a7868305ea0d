//! What everybody has seen: the input of the checker.

use std::collections::BTreeMap;

use super::line::Line;

/// All accounts, by number.
#[derive(Clone, Debug, Default)]
pub struct History(pub BTreeMap<u32, Account>);

/// What one account's client has seen, and what its archive holds afterwards.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// What its client has seen, in order.
    pub events: Vec<Event>,
    /// Its archive, walked from the beginning to the end.
    pub archive: Vec<Row>,
    /// The ids of its archive, walked from the end to the beginning in pages of another size, if that was done.
    pub backwards: Option<Vec<String>>,
}

/// A message in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its id there.
    pub id: String,
    /// The line; the text where it is none.
    pub line: Result<Line, String>,
}

/// What a client has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was about to send this. Whether it has gone out is unknown.
    Sent(Line),
    /// The server has counted this: it answers for it.
    Counted(Line),
    /// This came back as an error: it is not on its way.
    Refused(Line),
    /// This was lost with its session, or not, and is sent again in the next one.
    Resent(Line),
    /// This came.
    Received(Line),
    /// A message came that is no line.
    Altered(String),
    /// Another account was said to be unavailable.
    Unavailable(u32),
    /// The connection was lost.
    Disconnected,
    /// The server acknowledged more than was sent.
    Miscounted,
    /// The session went on.
    Resumed,
    /// The session was another one.
    NewSession,
}
