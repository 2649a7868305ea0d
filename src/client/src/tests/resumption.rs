//! XEP-0198: sessions that outlive their connections, and those that don't, against scripted servers at two endpoints.

use std::time::Duration;

use tokio::net::TcpListener;
use vesta_xmpp::Jid;

use super::server::{LoginServer, Script, config};
use crate::{Backoff, Client, Config, Error, Event, Events, Keepalive, Management, Security, stanza};

/// Two endpoints of a server.
struct Endpoints {
    one: TcpListener,
    two: TcpListener,
}

impl Endpoints {
    async fn open() -> (Self, Config) {
        let bind = async || TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoints = Self { one: bind().await, two: bind().await };
        let reconnect = Some(Backoff { first: Duration::from_millis(1), ..Backoff::default() });
        let mut config = Config { require_tls: false, reconnect, ..config() };
        for listener in [&endpoints.one, &endpoints.two] {
            let port = listener.local_addr().expect("an address").port();
            config = config.with_server("127.0.0.1", port, Security::StartTls);
        }
        (endpoints, config)
    }

    /// Lets a client log in at the first endpoint, where the stream `one` is managed.
    async fn log_in(&self, config: Config) -> (Client, Events, Script) {
        let (client, server) = tokio::join!(Client::connect(config), accept(&self.one));
        let (client, events) = client.expect("logs in");
        (client, events, managed(server, "").await)
    }

    /// The first endpoint is no more.
    fn only_second(self) -> TcpListener {
        self.two
    }
}

/// Takes a connection up to its session, or its wish to resume one.
async fn accept(listener: &TcpListener) -> Script {
    let (connection, _) = listener.accept().await.expect("a connection");
    Script::over(LoginServer::MANAGING.serve(connection, false).await)
}

async fn managed(mut server: Script, location: &str) -> Script {
    assert_eq!(server.hear("/>").await, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
    server.say(&format!("<enabled xmlns='urn:xmpp:sm:3' id='one' resume='true' {location}/>")).await;
    settle(&mut server).await;
    server
}

/// Shows that all that was said before has been handled.
async fn settle(server: &mut Script) {
    server.say("<r xmlns='urn:xmpp:sm:3'/>").await;
    server.hear("<a ").await;
    server.hear("/>").await;
}

fn romeo() -> Jid {
    Jid::parse("romeo@montague.example").expect("a JID")
}

async fn chat(client: &Client, body: &str) {
    client.chat(romeo(), body).await.expect("there is a session");
}

/// Hears a message with this body.
async fn hear_chat(server: &mut Script, body: &str) {
    let heard = server.hear("</message>").await;
    assert!(heard.contains(&format!("<body>{body}</body>")), "{heard}");
}

/// The event in a word.
async fn next(events: &mut Events) -> String {
    let bodies =
        |stanzas: &[vesta_xmpp::Envelope]| stanzas.iter().filter_map(stanza::body).collect::<Vec<_>>().join(",");
    match events.next().await {
        Some(Event::Message(message)) => format!("message {}", stanza::body(&message).unwrap_or_default()),
        Some(Event::Acknowledged(stanza)) => format!("acknowledged {}", stanza::body(&stanza).unwrap_or_default()),
        Some(Event::Disconnected(_)) => "disconnected".into(),
        Some(Event::Resumed) => "resumed".into(),
        Some(Event::NewSession { jid, unacknowledged, resent }) => {
            format!("new session {jid} open [{}] resent [{}]", bodies(&unacknowledged), bodies(&resent))
        }
        Some(Event::Ended { reason, unacknowledged }) => format!("ended: {reason}, open [{}]", bodies(&unacknowledged)),
        other => format!("{other:?}"),
    }
}

/// §5: at another endpoint as well, what was not handled comes again in order, and nothing that was.
#[tokio::test]
async fn a_session_goes_on_at_another_endpoint() {
    let (endpoints, config) = Endpoints::open().await;
    let (client, mut events, mut server) = endpoints.log_in(config).await;
    server.say("<message from='romeo@montague.example/garden'><body>Hist!</body></message>").await;
    assert_eq!(next(&mut events).await, "message Hist!");
    for body in ["a", "b"] {
        chat(&client, body).await;
        hear_chat(&mut server, body).await;
    }
    let second = endpoints.only_second();
    drop(server);
    assert_eq!(next(&mut events).await, "disconnected");
    assert!(client.jid().is_some(), "the session lives");
    // What is sent meanwhile waits.
    chat(&client, "c").await;

    let mut server = accept(&second).await;
    server.say("<resumed xmlns='urn:xmpp:sm:3' previd='one' h='1'/>").await;
    assert_eq!(next(&mut events).await, "resumed");
    assert_eq!(next(&mut events).await, "acknowledged a");
    for body in ["b", "c"] {
        hear_chat(&mut server, body).await;
    }
    server.say("<a xmlns='urn:xmpp:sm:3' h='3'/>").await;
    assert_eq!(next(&mut events).await, "acknowledged b");
    assert_eq!(next(&mut events).await, "acknowledged c");
    // What came before counts on.
    server.say("<message><body>again</body></message><r xmlns='urn:xmpp:sm:3'/>").await;
    server.hear("<a xmlns='urn:xmpp:sm:3' h='2'/>").await;
}

/// §5: the server may name the endpoint to come to.
#[tokio::test]
async fn the_location_that_the_server_names_is_tried_first() {
    let (endpoints, config) = Endpoints::open().await;
    let (client, server) = tokio::join!(Client::connect(config), accept(&endpoints.one));
    let (_client, mut events) = client.expect("logs in");
    let port = endpoints.two.local_addr().expect("an address").port();
    let server = managed(server, &format!("location='127.0.0.1:{port}'")).await;
    drop(server);
    let mut server = accept(&endpoints.two).await;
    server.say("<resumed xmlns='urn:xmpp:sm:3' previd='one' h='0'/>").await;
    assert_eq!(next(&mut events).await, "disconnected");
    assert_eq!(next(&mut events).await, "resumed");
}

/// An endpoint that does not answer is not waited for twice.
#[tokio::test]
async fn an_endpoint_that_fell_silent_is_tried_last() {
    let (endpoints, config) = Endpoints::open().await;
    let keepalive = Keepalive::Ping(Duration::from_secs(1));
    let (_client, mut events, server) = endpoints.log_in(Config { keepalive, ..config }).await;
    assert_eq!(next(&mut events).await, "disconnected");
    let mut second = accept(&endpoints.two).await;
    second.say("<resumed xmlns='urn:xmpp:sm:3' previd='one' h='0'/>").await;
    assert_eq!(next(&mut events).await, "resumed");
    drop(server);
}

/// A request outlives the connection with the session that it belongs to.
#[tokio::test]
async fn a_request_is_answered_after_its_session_was_resumed() {
    let (endpoints, config) = Endpoints::open().await;
    let (client, _events, mut server) = endpoints.log_in(config).await;
    let answering = async {
        let heard = server.hear("</iq>").await;
        drop(server);
        let mut server = accept(&endpoints.one).await;
        server.say("<resumed xmlns='urn:xmpp:sm:3' previd='one' h='1'/>").await;
        let id = heard.split(" id='").nth(1).and_then(|rest| rest.split('\'').next()).expect("an id");
        server.say(&format!("<iq type='result' id='{id}'/>")).await;
        server
    };
    let (answer, _server) = tokio::join!(client.ping(None), answering);
    answer.expect("an answer");
}

/// §5: the session is a new one, and the application is told what may be lost.
#[tokio::test]
async fn a_session_that_can_not_be_resumed_is_followed_by_a_new_one() {
    let (endpoints, config) = Endpoints::open().await;
    let (client, mut events, mut server) = endpoints.log_in(config).await;
    for body in ["a", "b"] {
        chat(&client, body).await;
        hear_chat(&mut server, body).await;
    }
    let ping = client.ping(None);
    let refusing = async {
        server.hear("</iq>").await;
        drop(server);
        let mut server = accept(&endpoints.one).await;
        server.say(FAILED).await;
        answer_bind(&mut server).await;
        managed(server, "").await
    };
    let (answer, mut server) = tokio::join!(ping, refusing);
    assert!(matches!(answer, Err(Error::NotConnected)), "{answer:?}");
    assert_eq!(next(&mut events).await, "disconnected");
    assert_eq!(next(&mut events).await, "acknowledged a");
    assert_eq!(next(&mut events).await, "new session juliet@capulet.example/other open [b] resent []");
    assert_eq!(client.jid().map(|jid| jid.to_string()).as_deref(), Some("juliet@capulet.example/other"));
    chat(&client, "c").await;
    hear_chat(&mut server, "c").await;
}

const FAILED: &str =
    "<failed xmlns='urn:xmpp:sm:3' h='1'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";

async fn answer_bind(server: &mut Script) {
    let heard = server.hear("</iq>").await;
    let id = heard.split(" id='").nth(1).and_then(|rest| rest.split('\'').next()).expect("an id");
    let bound = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>juliet@capulet.example/other</jid></bind>";
    server.say(&format!("<iq type='result' id='{id}'>{bound}</iq>")).await;
}

/// XEP-0359: what is sent again is known by its origin-id.
#[tokio::test]
async fn by_policy_messages_are_sent_again_in_the_new_session_with_the_same_origin_id() {
    let (endpoints, config) = Endpoints::open().await;
    let management = Some(Management { resend: true, ..Management::default() });
    let (client, mut events, mut server) = endpoints.log_in(Config { management, ..config }).await;
    chat(&client, "a").await;
    chat(&client, "b").await;
    server.hear("</message>").await;
    server.hear("<message").await;
    let first = server.hear("</message>").await;
    drop(server);
    let mut server = accept(&endpoints.one).await;
    server.say(FAILED).await;
    answer_bind(&mut server).await;
    server.hear("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await;
    server.hear("<message").await;
    assert_eq!(server.hear("</message>").await, first);
    assert_eq!(next(&mut events).await, "disconnected");
    assert_eq!(next(&mut events).await, "acknowledged a");
    assert_eq!(next(&mut events).await, "new session juliet@capulet.example/other open [] resent [b]");
}

/// §4: whoever miscounts is told so, and not gone on with.
#[tokio::test]
async fn a_server_that_counts_too_much_is_left() {
    let (endpoints, config) = Endpoints::open().await;
    let (client, mut events, mut server) = endpoints.log_in(Config { reconnect: None, ..config }).await;
    chat(&client, "a").await;
    hear_chat(&mut server, "a").await;
    server.say("<a xmlns='urn:xmpp:sm:3' h='2'/>").await;
    let heard = server.hear_all().await;
    assert!(heard.contains("<handled-count-too-high xmlns='urn:xmpp:sm:3' h='2' send-count='1'/>"), "{heard}");
    assert!(heard.ends_with("</stream:stream>"), "{heard}");
    assert_eq!(next(&mut events).await, "ended: the peer acknowledged 2 stanzas, of 1 sent, open [a]");
}

/// P7: a server that acknowledges nothing makes senders wait.
#[tokio::test]
async fn whoever_sends_faster_than_the_server_acknowledges_waits() {
    let (endpoints, config) = Endpoints::open().await;
    let management = Some(Management { unacknowledged_max: 2, ..Management::default() });
    let (client, mut events, mut server) = endpoints.log_in(Config { management, ..config }).await;
    for body in ["a", "b", "c"] {
        chat(&client, body).await;
    }
    hear_chat(&mut server, "a").await;
    hear_chat(&mut server, "b").await;
    // The third is not there: the next thing said is the answer to a question.
    server.say("<message/><r xmlns='urn:xmpp:sm:3'/>").await;
    let heard = server.hear("<a xmlns='urn:xmpp:sm:3' h='1'/>").await;
    assert!(!heard.contains("<message"), "{heard}");
    server.say("<a xmlns='urn:xmpp:sm:3' h='1'/>").await;
    hear_chat(&mut server, "c").await;
    assert_eq!(next(&mut events).await, "message ");
    assert_eq!(next(&mut events).await, "acknowledged a");
}

/// Whoever waits to send may be the one who should read the events that the acknowledgement lies behind.
#[tokio::test]
async fn an_acknowledgement_is_found_behind_more_events_than_there_is_room_for() {
    let (endpoints, config) = Endpoints::open().await;
    let management = Some(Management { unacknowledged_max: 1, ..Management::default() });
    let (client, mut events, mut server) = endpoints.log_in(Config { management, ..config }).await;
    let sending = async {
        for _ in 0..100 {
            chat(&client, "a").await;
        }
    };
    let serving = async {
        for _ in 0..2000 {
            server.say("<presence from='nurse@capulet.example/kitchen'/>").await;
        }
        for handled in 1..=100 {
            hear_chat(&mut server, "a").await;
            server.say(&format!("<a xmlns='urn:xmpp:sm:3' h='{handled}'/>")).await;
        }
    };
    tokio::join!(sending, serving);
    for _ in 0..2000 {
        assert!(matches!(events.next().await, Some(Event::Presence(_))));
    }
}

/// What was sent before the end is waited for.
#[tokio::test]
async fn a_client_that_is_closed_waits_until_all_is_acknowledged() {
    let (endpoints, config) = Endpoints::open().await;
    let (client, mut events, mut server) = endpoints.log_in(config).await;
    chat(&client, "a").await;
    let goodbye = async {
        hear_chat(&mut server, "a").await;
        assert_eq!(server.hear("/>").await, "<r xmlns='urn:xmpp:sm:3'/>");
        server.say("<a xmlns='urn:xmpp:sm:3' h='1'/>").await;
        assert_eq!(server.hear("</stream:stream>").await, "<a xmlns='urn:xmpp:sm:3' h='0'/></stream:stream>");
        server.say("</stream:stream>").await;
    };
    tokio::join!(client.close(), goodbye);
    assert_eq!(next(&mut events).await, "acknowledged a");
    assert!(events.next().await.is_none());
}

/// When no connection can be had any more, nothing that was sent goes without a word.
#[tokio::test]
async fn a_client_that_gives_up_says_what_is_open() {
    let (endpoints, config) = Endpoints::open().await;
    let reconnect = Some(Backoff { first: Duration::from_millis(1), attempts_max: Some(2), ..Backoff::default() });
    let (client, mut events, mut server) = endpoints.log_in(Config { reconnect, ..config }).await;
    chat(&client, "a").await;
    hear_chat(&mut server, "a").await;
    drop(endpoints);
    drop(server);
    assert_eq!(next(&mut events).await, "disconnected");
    let last = next(&mut events).await;
    assert!(last.starts_with("ended: no connection to") && last.ends_with("open [a]"), "{last}");
    assert!(events.next().await.is_none());
}
