//! XEP-0198 as a client has it, at little cost: on a stream that is up, stanzas are counted and the server's questions and answers are
//! found in the raw bytes, by what they begin or end with.

use std::time::Duration;

use memchr::{memchr, memchr_iter, memmem};
use tokio::time::timeout;
use vesta_client::Stream;
use vesta_xmpp::management::{Command, Failed, Notice};
use vesta_xmpp::scan::Item;

use crate::error::Error;

/// Asks how many stanzas are handled.
pub const REQUEST: &[u8] = b"<r xmlns='urn:xmpp:sm:3'/>";

/// How long the server may take to answer what leads to a managed stream.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// Has the server count, from here on. Returns the stream's id for resumption: `None` where none is wanted or given.
///
/// # Errors
/// The server does not do it, or the connection broke.
pub async fn enable(stream: &mut Stream, resume: bool) -> Result<Option<String>, Error> {
    match ask(stream, &Command::Enable { resume, max: None }).await? {
        Notice::Enabled { id, .. } => Ok(id),
        other => Err(Error::Unexpected { expected: "a managed stream", got: format!("{other:?}") }),
    }
}

/// Goes on with the stream of this id, of which so many stanzas came here. Returns how many of ours the server has handled, or why
/// it does not go on.
///
/// # Errors
/// The server answers with something else, or the connection broke.
pub async fn resume(stream: &mut Stream, id: &str, handled: u32) -> Result<Result<u32, Failed>, Error> {
    match ask(stream, &Command::Resume { previous: id.to_owned(), handled }).await? {
        Notice::Resumed { handled } => Ok(Ok(handled)),
        Notice::Failed(failed) => Ok(Err(failed)),
        other => Err(Error::Unexpected { expected: "a resumed stream", got: format!("{other:?}") }),
    }
}

/// Sends a command and waits for the server's word on it. Stanzas that come before are not counted yet.
async fn ask(stream: &mut Stream, command: &Command) -> Result<Notice, Error> {
    let asking = async {
        stream.send_element(&command.to_element()).await?;
        loop {
            let item = stream.next().await?;
            match &item {
                Item::Stanza(_) => {}
                Item::Element(element) => match Notice::read(element) {
                    Ok(Some(notice)) => return Ok(notice),
                    _ => return Err(Error::unexpected("an answer of stream management", &item)),
                },
                _ => return Err(Error::unexpected("an answer of stream management", &item)),
            }
        }
    };
    timeout(ANSWER_MAX, asking).await.map_err(|_| Error::TimedOut("an answer of stream management"))?
}

/// What both sides have got on a managed stream, told by its raw bytes from `<enabled/>` on. Of stanzas, messages are counted: it is
/// for streams where nothing else comes, and no message within another one.
#[derive(Debug, Default)]
pub struct Counter {
    handled: u32,
    acknowledged: u32,
    is_asked: bool,
    /// The end of the last piece, where that is the beginning of something.
    rest: Vec<u8>,
}

/// Where something of interest begins.
enum Found {
    /// A message's end.
    Message,
    /// `<r/>`.
    Request,
    /// `<a/>`, with its count.
    Answer(Option<u32>),
    /// It may be one of them: more bytes are needed.
    Incomplete,
    /// It is none of them.
    Other,
}

impl Counter {
    /// Takes a piece. Returns how many more stanzas of ours are acknowledged, modulo 2³².
    pub fn take(&mut self, piece: &[u8]) -> u32 {
        let joined;
        let bytes = match self.rest.is_empty() {
            true => piece,
            false => {
                joined = [&std::mem::take(&mut self.rest)[..], piece].concat();
                &joined
            }
        };
        let before = self.acknowledged;
        for at in memchr_iter(b'<', bytes) {
            match look(&bytes[at..]) {
                Found::Message => self.handled = self.handled.wrapping_add(1),
                Found::Request => self.is_asked = true,
                Found::Answer(handled) => self.acknowledged = handled.unwrap_or(self.acknowledged),
                Found::Incomplete => {
                    self.rest.extend_from_slice(&bytes[at..]);
                    break;
                }
                Found::Other => {}
            }
        }
        self.acknowledged.wrapping_sub(before)
    }

    /// What is to be sent because the server has asked since the last time: how much has come.
    pub fn answer(&mut self) -> Option<Vec<u8>> {
        let is_asked = std::mem::take(&mut self.is_asked);
        is_asked.then(|| format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", self.handled).into_bytes())
    }
}

/// What begins here, with an angle bracket.
fn look(bytes: &[u8]) -> Found {
    const MESSAGE_END: &[u8] = b"</message>";
    const QUESTION: &[u8] = b"<r ";
    const ANSWER: &[u8] = b"<a ";
    if bytes.starts_with(MESSAGE_END) {
        return Found::Message;
    }
    if bytes.starts_with(QUESTION) {
        return Found::Request;
    }
    if bytes.starts_with(ANSWER) {
        return memchr(b'>', bytes).map_or(Found::Incomplete, |end| Found::Answer(handled(&bytes[..end])));
    }
    let is_beginning = [MESSAGE_END, QUESTION, ANSWER].iter().any(|whole| whole.starts_with(bytes));
    if is_beginning { Found::Incomplete } else { Found::Other }
}

/// The attribute `h` of a tag.
fn handled(tag: &[u8]) -> Option<u32> {
    let digits = &tag[memmem::find(tag, b" h=")? + 4..];
    let end = digits.iter().position(|digit| !digit.is_ascii_digit()).unwrap_or(digits.len());
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// What a client that asks makes of a server that says this on a stream that is up.
    async fn told<T>(says: &str, ask: impl AsyncFnOnce(&mut Stream) -> Result<T, Error>) -> (Result<T, Error>, String) {
        let config = vesta_client::Config::new("juliet@localhost", "").expect("a JID");
        let (client, mut server) = tokio::io::duplex(4096);
        let mut stream = Stream::over(client, &config);
        let header =
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
        server.write_all([header, says].concat().as_bytes()).await.expect("there is room");
        assert!(matches!(stream.next().await, Ok(Item::Open(_))));
        let told = ask(&mut stream).await;
        drop(stream);
        let mut asked = String::new();
        server.read_to_string(&mut asked).await.expect("text");
        (told, asked)
    }

    #[tokio::test]
    async fn a_managed_stream_begins_behind_what_came_before() {
        let says = "<message/><enabled xmlns='urn:xmpp:sm:3' resume='true' id='x'/>";
        let (id, asked) = told(says, async |stream| enable(stream, true).await).await;
        assert_eq!(asked, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
        assert_eq!(id.expect("it is managed").as_deref(), Some("x"));
        let failed = "<failed xmlns='urn:xmpp:sm:3'/>";
        assert!(told(failed, async |stream| enable(stream, true).await).await.0.is_err());
    }

    #[tokio::test]
    async fn a_stream_goes_on_with_a_count_or_not_at_all() {
        let resume = async |stream: &mut Stream| resume(stream, "x", 7).await;
        let (resumed, asked) = told("<resumed xmlns='urn:xmpp:sm:3' previd='x' h='3'/>", resume).await;
        assert_eq!(asked, "<resume xmlns='urn:xmpp:sm:3' h='7' previd='x'/>");
        assert_eq!(resumed.expect("an answer"), Ok(3));
        let (refused, _) = told("<failed xmlns='urn:xmpp:sm:3'/>", resume).await;
        assert!(refused.expect("an answer").is_err());
    }

    const TRAFFIC: &[u8] = b"<message from='a'><body>1</body><x xmlns='r'/></message><r xmlns='urn:xmpp:sm:3'/>\
                             <message><result/><body>2</body></message><a h='7' xmlns='urn:xmpp:sm:3'/>\
                             <a xmlns=\"urn:xmpp:sm:3\" h=\"9\"/>";

    #[test]
    fn stanzas_questions_and_answers_are_found_wherever_the_bytes_are_cut() {
        for size in 1..=TRAFFIC.len() {
            let mut counter = Counter::default();
            let news: u32 = TRAFFIC.chunks(size).map(|piece| counter.take(piece)).sum();
            assert_eq!((news, counter.handled), (9, 2), "in pieces of {size} bytes");
            assert_eq!(counter.answer().as_deref(), Some(&b"<a xmlns='urn:xmpp:sm:3' h='2'/>"[..]));
            assert_eq!(counter.answer(), None);
        }
    }

    #[test]
    fn counts_begin_anew_after_two_to_the_thirty_second() {
        let mut counter = Counter { acknowledged: u32::MAX - 1, ..Counter::default() };
        assert_eq!(counter.take(b"<a xmlns='urn:xmpp:sm:3' h='3'/>"), 5);
    }
}
