//! A client in a test: whoever plays a part, at any stage of a stream, well-behaved or not.

use vesta_client::xmpp::scan::Item;
use vesta_client::xmpp::{Element, ns};
use vesta_client::{Config, Error, Stream};

use crate::within;

/// A client, and what it is called in messages about failures.
pub struct Player {
    /// What it is called.
    pub name: String,
    /// Who it is and where it goes.
    pub config: Config,
    stream: Option<Stream>,
    /// The address that was bound.
    bound: Option<String>,
    /// Ids that no other stanza of this player has.
    next_id: u32,
}

/// What came in.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// The start tag of a stream.
    Header {
        /// Its attribute `from`.
        from: Option<String>,
        /// Its attribute `version`.
        version: Option<String>,
    },
    /// A stanza or another first-level element.
    Element(Element),
    /// The end tag of the stream.
    StreamEnd,
    /// The end of the connection, orderly or not.
    ConnectionEnd,
}

impl Player {
    /// A client that is not connected.
    pub fn new(name: &str, config: Config) -> Self {
        Self { name: name.to_owned(), config, stream: None, bound: None, next_id: 0 }
    }

    /// A client that is logged in.
    ///
    /// # Panics
    /// It can't log in.
    pub async fn logged_in(name: &str, config: Config) -> Self {
        let mut player = Self::new(name, config);
        player.log_in().await;
        player
    }

    /// A client that is logged in and available.
    ///
    /// # Panics
    /// It can't log in.
    pub async fn online(name: &str, config: Config) -> Self {
        let mut player = Self::new(name, config);
        player.come_online().await;
        player
    }

    /// Whether a resource is bound.
    pub fn is_bound(&self) -> bool {
        self.bound.is_some()
    }

    /// The full JID that was bound.
    ///
    /// # Panics
    /// None was.
    pub fn address(&self) -> &str {
        self.bound.as_deref().unwrap_or_else(|| panic!("{} has not logged in", self.name))
    }

    /// Makes a TCP connection.
    ///
    /// # Panics
    /// Nobody listens.
    pub async fn connect(&mut self) {
        let stream = Stream::dial(&self.config).await;
        self.stream = Some(stream.unwrap_or_else(|error| panic!("{} can't connect: {error}", self.name)));
    }

    /// Opens a stream to the account's domain and reads the header that answers.
    ///
    /// # Panics
    /// Something else answers.
    pub async fn open(&mut self) {
        let header = header(self.config.account.domain());
        self.send(&header).await;
        match self.receive().await {
            Incoming::Header { .. } => {}
            other => panic!("{} wanted a stream's header and got {other:?}", self.name),
        }
    }

    /// Opens a stream, starts TLS and does the handshake. No stream is open then.
    ///
    /// # Panics
    /// The server refuses.
    pub async fn secure(&mut self) {
        self.open().await;
        self.receive_element().await;
        self.send(&format!("<starttls xmlns='{}'/>", ns::TLS)).await;
        let proceed = self.receive_element().await;
        assert!(proceed.is(ns::TLS, "proceed"), "{proceed:?}");
        let config = self.config.clone();
        let secured = within("a TLS handshake", self.stream().secure(&config, false)).await;
        secured.unwrap_or_else(|error| panic!("{} can't secure its connection: {error}", self.name));
    }

    /// Connects if it is not, secures the connection, authenticates and binds.
    ///
    /// # Panics
    /// The server refuses.
    pub async fn log_in(&mut self) {
        self.try_log_in().await.unwrap_or_else(|error| panic!("{} can't log in: {error}", self.name));
    }

    /// As [`Player::log_in`], where it may fail.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn try_log_in(&mut self) -> Result<(), Error> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => Stream::dial(&self.config).await?,
        };
        let established = stream.negotiate(&self.config).await?;
        self.bound = Some(established.jid.to_string());
        self.stream = Some(stream);
        Ok(())
    }

    /// Logs in if it has not, sends initial presence and waits until the server has it.
    ///
    /// # Panics
    /// The server refuses.
    pub async fn come_online(&mut self) {
        if !self.is_bound() {
            self.log_in().await;
        }
        self.send("<presence/>").await;
        let own = self.address().to_owned();
        self.wait_for("its own presence", |it| it.name() == "presence" && it.attribute("from") == Some(&own)).await;
    }

    /// Reads past everything until an element is what was wanted.
    ///
    /// # Panics
    /// The stream ends first.
    pub async fn wait_for(&mut self, what: &str, wanted: impl Fn(&Element) -> bool) -> Element {
        let name = self.name.clone();
        within(&format!("{name} to receive {what}"), async {
            loop {
                match self.receive().await {
                    Incoming::Element(element) if wanted(&element) => return element,
                    Incoming::Element(_) | Incoming::Header { .. } => {}
                    end => panic!("{name} wanted {what}, but {end:?}"),
                }
            }
        })
        .await
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// The connection is gone.
    pub async fn send(&mut self, bytes: &str) {
        let name = self.name.clone();
        let sent = within(&format!("{name} to send"), self.stream().send_raw(bytes.as_bytes())).await;
        sent.unwrap_or_else(|error| panic!("{name} can't send: {error}"));
    }

    /// Sends bytes to a server that may have hung up.
    pub async fn try_send(&mut self, bytes: &str) {
        // What the server said before it hung up is what the test reads.
        let _ = self.stream().send_raw(bytes.as_bytes()).await;
    }

    /// The next thing that comes in.
    ///
    /// # Panics
    /// Nothing comes, or what comes is no XMPP.
    pub async fn receive(&mut self) -> Incoming {
        let name = self.name.clone();
        let item = within(&format!("{name} to receive something"), self.stream().next()).await;
        match item {
            Ok(Item::Open(header)) => Incoming::Header { from: header.from, version: header.version },
            Ok(Item::Stanza(stanza)) => Incoming::Element(stanza.to_element().expect("what was scanned can be parsed")),
            Ok(Item::Element(element)) => Incoming::Element(element),
            Ok(Item::Close) => Incoming::StreamEnd,
            Err(Error::Closed | Error::Io(_)) => Incoming::ConnectionEnd,
            other => panic!("{name} received what is no XMPP: {other:?}"),
        }
    }

    /// The next element.
    ///
    /// # Panics
    /// Something else comes.
    pub async fn receive_element(&mut self) -> Element {
        match self.receive().await {
            Incoming::Element(element) => element,
            other => panic!("{} wanted an element and got {other:?}", self.name),
        }
    }

    /// Reads past everything to the connection's end, and gives the elements on the way.
    pub async fn receive_the_rest(&mut self) -> Vec<Element> {
        let mut elements = Vec::new();
        loop {
            match self.receive().await {
                Incoming::Element(element) => elements.push(element),
                Incoming::ConnectionEnd => return elements,
                Incoming::Header { .. } | Incoming::StreamEnd => {}
            }
        }
    }

    /// Sends an IQ and reads past everything to its answer. `attributes` and `payload` as they go over the wire.
    ///
    /// # Panics
    /// The stream ends first.
    pub async fn ask(&mut self, attributes: &str, payload: &str) -> Element {
        let id = self.fresh_id();
        self.send(&format!("<iq {attributes} id='{id}'>{payload}</iq>")).await;
        self.wait_for("an answer", |it| it.name() == "iq" && it.attribute("id") == Some(&id)).await
    }

    /// Pings its server: proof that the session lives.
    ///
    /// # Panics
    /// The answer is not a result.
    pub async fn ping(&mut self) {
        let answer = self.ask("type='get'", &format!("<ping xmlns='{}'/>", ns::PING)).await;
        assert_eq!(answer.attribute("type"), Some("result"), "{answer:?}");
    }

    /// An id that no other stanza of this player has.
    pub fn fresh_id(&mut self) -> String {
        self.next_id += 1;
        format!("{}-{}", self.name.to_lowercase(), self.next_id)
    }

    /// Ends the stream and waits until the server has ended it, too.
    ///
    /// # Panics
    /// The server does not.
    pub async fn leave(&mut self) {
        self.send("</stream:stream>").await;
        self.receive_the_rest().await;
        self.vanish();
    }

    /// Drops the connection without a word.
    pub fn vanish(&mut self) {
        self.stream = None;
        self.bound = None;
    }

    /// The stream, for what is not offered here.
    ///
    /// # Panics
    /// There is none.
    pub fn stream(&mut self) -> &mut Stream {
        self.stream.as_mut().unwrap_or_else(|| panic!("{} is not connected", self.name))
    }
}

/// A stream's header as a client writes it.
pub fn header(domain: &str) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream to='{domain}' version='1.0' xmlns='{}' xmlns:stream='{}'>",
        ns::CLIENT,
        ns::STREAM
    )
}

/// Makes two accounts contacts of each other, or the first one a contact of the second. Both exist and are not logged in.
///
/// # Panics
/// The server refuses.
pub async fn subscribe(subscriber: &Config, contact: &Config, mutual: bool) {
    let mut pair = [Player::new("Subscriber", subscriber.clone()), Player::new("Contact", contact.clone())];
    for player in &mut pair {
        player.config.resource = None;
        player.log_in().await;
    }
    let [one, two] = &mut pair;
    one_way(one, two).await;
    if mutual {
        one_way(two, one).await;
    }
    one.leave().await;
    two.leave().await;
}

async fn one_way(subscriber: &mut Player, contact: &mut Player) {
    let (from, to) = (bare(subscriber), bare(contact));
    subscriber.send(&format!("<presence type='subscribe' to='{to}'/>")).await;
    follow(subscriber, contact).await;
    contact.send(&format!("<presence type='subscribed' to='{from}'/>")).await;
    follow(contact, subscriber).await;
}

/// Waits until all that `sender` has sent has come to `recipient`'s account: what follows it has.
async fn follow(sender: &mut Player, recipient: &mut Player) {
    let id = sender.fresh_id();
    let to = recipient.address().to_owned();
    sender.send(&format!("<message to='{to}' type='headline' id='{id}'><body>marker</body></message>")).await;
    recipient.wait_for("a marker", |it| it.attribute("id") == Some(&id)).await;
}

fn bare(player: &Player) -> String {
    player.config.account.to_string()
}
