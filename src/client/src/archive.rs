//! XEP-0313: what was said before, page by page.

use std::collections::VecDeque;

use vesta_xmpp::payload::archive::{ArchiveResult, Fin, Query};
use vesta_xmpp::payload::date_time::DateTime;
use vesta_xmpp::payload::rsm::{Position, Request};
use vesta_xmpp::{Envelope, IqType, Jid};

use crate::{Client, Error, random};

/// Messages on a page, unless [`Archive::pages_of`] says otherwise.
const PAGE: u32 = 100;
/// The longest page that may be asked for: a page is in memory at once.
const PAGE_MAX: u32 = 1000;

/// A message in an archive.
#[derive(Clone, Debug, PartialEq)]
pub struct Archived {
    /// Its id there: what [`Archive::catch_up`] goes on from.
    pub id: String,
    /// When it was archived; `None` where the server doesn't say.
    pub stamp: Option<DateTime>,
    /// The message.
    pub message: Envelope,
}

/// What is wanted of an archive. Made by [`Client::archive`].
#[derive(Clone)]
pub struct Archive {
    client: Client,
    place: Option<Jid>,
    query: Query,
    page: u32,
}

impl Client {
    /// The own archive, all of it until [`Archive::with`] and its like say otherwise.
    ///
    /// ```no_run
    /// # async fn example(client: vesta_client::Client, last: Option<String>) -> Result<(), vesta_client::Error> {
    /// let mut missed = client.archive().catch_up(last.as_deref());
    /// while let Some(archived) = missed.next().await? {
    ///     println!("{:?} {:?}", archived.message.from, vesta_client::stanza::body(&archived.message));
    /// }
    /// # Ok(()) }
    /// ```
    pub fn archive(&self) -> Archive {
        Archive { client: self.clone(), place: None, query: Query::default(), page: PAGE }
    }
}

impl Archive {
    /// The archive of somebody else: of a room, say.
    #[must_use]
    pub fn of(mut self, place: impl Into<Jid>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// Only messages from or to this address; a bare JID means all of its resources.
    #[must_use]
    pub fn with(mut self, with: impl Into<Jid>) -> Self {
        self.query.with = Some(with.into());
        self
    }

    /// Only messages of this time or later.
    #[must_use]
    pub fn start(mut self, start: DateTime) -> Self {
        self.query.start = Some(start);
        self
    }

    /// Only messages of this time or earlier.
    #[must_use]
    pub fn end(mut self, end: DateTime) -> Self {
        self.query.end = Some(end);
        self
    }

    /// So many messages are asked for at once; the server may give fewer. Default: 100; from 1 to 1,000.
    #[must_use]
    pub fn pages_of(mut self, messages: u32) -> Self {
        self.page = messages.clamp(1, PAGE_MAX);
        self
    }

    /// What was missed: everything behind the message with the id `since` (`None`: from the beginning), oldest first, until the
    /// archive has no more.
    pub fn catch_up(self, since: Option<&str>) -> History {
        History::new(self, Direction::Forwards, since)
    }

    /// Everything before the message with the id `before` (`None`: from the end), newest first.
    pub fn backwards(self, before: Option<&str>) -> History {
        History::new(self, Direction::Backwards, before)
    }

    async fn page(&self, position: Position) -> Result<(Vec<ArchiveResult>, Fin), Error> {
        // One and the same: an answer finds its request by the id, a result by the query's.
        let id = random::id();
        let page = Request { max: Some(self.page), position };
        let query = Query { query_id: Some(id.clone()), page: Some(page), ..self.query.clone() };
        let mut iq = Envelope::iq(IqType::Set, &id, Some(&query.to_element()));
        iq.to = self.place.clone();
        let answer = self.client.query(iq, self.page as usize).await?;
        let fin = answer.iq.payload_element()?.ok_or_else(|| malformed("there is nothing in it"))?;
        Ok((answer.results, Fin::parse(&fin)?))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Forwards,
    Backwards,
}

/// Messages of an archive, one after the other, whatever pages they come in. Not more than one page is in memory.
pub struct History {
    archive: Archive,
    direction: Direction,
    /// The message at whose side the next page lies.
    at: Option<String>,
    /// The rest of the last page.
    page: VecDeque<Archived>,
    is_complete: bool,
}

impl History {
    fn new(archive: Archive, direction: Direction, at: Option<&str>) -> Self {
        Self { archive, direction, at: at.map(Into::into), page: VecDeque::new(), is_complete: false }
    }

    /// The next message; `None` at the end. After an error it may be called again, and asks once more. May be dropped and called
    /// again without loss.
    ///
    /// # Errors
    /// As [`Client::get`]. `item-not-found` ([`Error::Refused`]): the message to go on from is not in the archive any more;
    /// [`Archive::start`] with its time leads on.
    pub async fn next(&mut self) -> Result<Option<Archived>, Error> {
        while self.page.is_empty() && !self.is_complete {
            self.turn().await?;
        }
        Ok(self.page.pop_front())
    }

    async fn turn(&mut self) -> Result<(), Error> {
        let position = match (self.direction, &self.at) {
            (Direction::Forwards, None) => Position::First,
            (Direction::Forwards, Some(id)) => Position::After(id.clone()),
            (Direction::Backwards, None) => Position::Last,
            (Direction::Backwards, Some(id)) => Position::Before(id.clone()),
        };
        let (results, fin) = self.archive.page(position).await?;
        let edge = match self.direction {
            Direction::Forwards => fin.page.last,
            Direction::Backwards => fin.page.first,
        };
        if !fin.complete && (edge.is_none() || edge == self.at) {
            return Err(malformed("it says that there is more, and not where"));
        }
        self.page.extend(results.into_iter().map(Archived::new));
        if self.direction == Direction::Backwards {
            self.page.make_contiguous().reverse();
        }
        self.is_complete = fin.complete;
        self.at = edge.or(self.at.take());
        Ok(())
    }
}

impl Archived {
    fn new(result: ArchiveResult) -> Self {
        let stamp = result.forwarded.delay.map(|delay| delay.stamp);
        Self { id: result.id, stamp, message: result.forwarded.stanza }
    }
}

fn malformed(reason: &str) -> Error {
    Error::Malformed(format!("a page of an archive: {reason}"))
}
