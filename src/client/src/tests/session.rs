//! A session that is up: stanzas, requests, answers, roster pushes, the end.

use std::time::Duration;

use tokio::time::timeout;
use vesta_xmpp::payload::roster::Subscription;
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::stream_error::StreamCondition;
use vesta_xmpp::{BareJid, Element, Envelope, IqType, Jid, ns};

use super::server::{Script, config};
use crate::{Backoff, Config, Error, Event, stanza};

const LONG: Duration = Duration::from_secs(600);

fn jid(text: &str) -> Jid {
    Jid::parse(text).expect("a JID")
}

/// The value of the attribute `id` in what a client wrote.
fn id(heard: &str) -> &str {
    heard.split(" id='").nth(1).and_then(|rest| rest.split('\'').next()).expect("an id")
}

/// Shows that all that was said before has been handled: a ping is answered after it.
async fn settle(server: &mut Script) {
    server.say("<iq type='get' id='settle'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    assert_eq!(server.hear_empty().await, "<iq type='result' id='settle'/>", "something else was answered before");
}

/// RFC 6121 §5: messages both ways.
#[tokio::test]
async fn messages_come_and_go() {
    let (client, mut events, mut server) = Script::with_client(config()).await;
    server
        .say("<message from='romeo@montague.example/garden' type='chat'><body>Wherefore &amp; why</body></message>")
        .await;
    let Some(Event::Message(message)) = events.next().await else { panic!("no message") };
    assert_eq!(stanza::body(&message).as_deref(), Some("Wherefore & why"));
    client.chat(jid("romeo@montague.example/garden"), "<art thou Romeo?>").await.expect("connected");
    let heard = server.hear("</message>").await;
    assert!(heard.starts_with("<message to='romeo@montague.example/garden' type='chat' id='"), "{heard}");
    let rest = format!(
        "<body>&lt;art thou Romeo?&gt;</body><origin-id xmlns='urn:xmpp:sid:0' id='{}'/></message>",
        id(&heard)
    );
    assert!(heard.ends_with(&rest), "{heard}");
}

/// T23: only the answer of whom was asked counts, whatever others send with the same id.
#[tokio::test]
async fn a_forged_answer_is_not_taken_for_the_answer() {
    let (client, _events, mut server) = Script::with_client(config()).await;
    let question = Element::new(ns::VERSION, "query");
    let asking = client.get(Some(jid("romeo@montague.example/garden")), &question);
    let answering = async {
        let heard = server.hear_empty().await + &server.hear("</iq>").await;
        let id = id(&heard);
        server.say(&format!("<iq from='tybalt@capulet.example/x' type='result' id='{id}'><query xmlns='jabber:iq:version'><name>forged</name></query></iq>")).await;
        server.say(&format!("<iq from='romeo@montague.example/garden' type='result' id='{id}'><query xmlns='jabber:iq:version'><name>true</name></query></iq>")).await;
    };
    let (answer, ()) = tokio::join!(asking, answering);
    let answer = answer.expect("an answer").expect("a payload");
    assert_eq!(answer.child(ns::VERSION, "name").map(Element::text).as_deref(), Some("true"));
}

#[tokio::test]
async fn an_error_that_answers_a_request_is_an_error() {
    let (client, _events, mut server) = Script::with_client(config()).await;
    let answering = async {
        let heard = server.hear("</iq>").await;
        let id = id(&heard);
        server.say(&format!("<iq type='error' id='{id}'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>")).await;
    };
    let (answer, ()) = tokio::join!(client.ping(None), answering);
    assert!(matches!(answer, Err(Error::Refused(error)) if error.condition == Condition::ServiceUnavailable));
}

/// RFC 6120 §8.4: a request that nobody handles is answered all the same.
#[tokio::test]
async fn requests_are_answered_by_the_user_or_refused() {
    let (_client, mut events, mut server) = Script::with_client(config()).await;
    let from = "from='romeo@montague.example/garden'";
    server.say(&format!("<iq {from} type='get' id='a'><query xmlns='jabber:iq:version'/></iq>")).await;
    let Some(Event::Request(request)) = events.next().await else { panic!("no request") };
    assert!(request.is(ns::VERSION, "query"));
    request.answer(Some(&Element::new(ns::VERSION, "query")));
    assert_eq!(
        server.hear("</iq>").await,
        "<iq to='romeo@montague.example/garden' type='result' id='a'><query xmlns='jabber:iq:version'/></iq>"
    );
    server.say(&format!("<iq {from} type='set' id='b'><query xmlns='jabber:iq:private'/></iq>")).await;
    drop(events.next().await);
    let heard = server.hear("</iq>").await;
    assert!(heard.contains("type='error' id='b'") && heard.contains("<service-unavailable"), "{heard}");
}

/// RFC 6121 §2.1.6, T23: pushes of the own account count, those of others are ignored.
#[tokio::test]
async fn roster_pushes_come_from_the_own_account_alone() {
    let (_client, mut events, mut server) = Script::with_client(config()).await;
    let push = |from: &str, id: &str| {
        format!(
            "<iq {from} type='set' id='{id}'><query xmlns='jabber:iq:roster' ver='v{id}'>\
             <item jid='nurse@capulet.example' subscription='both'/></query></iq>"
        )
    };
    server.say(&push("from='tybalt@capulet.example'", "1")).await;
    server.say(&push("from='capulet.example'", "2")).await;
    settle(&mut server).await;
    for (from, id) in [("from='juliet@capulet.example'", "3"), ("", "4")] {
        server.say(&push(from, id)).await;
        let Some(Event::RosterPush { version, item }) = events.next().await else { panic!("no push") };
        assert_eq!((version, item.subscription), (Some(format!("v{id}")), Subscription::Both));
        assert!(server.hear_empty().await.contains(&format!("type='result' id='{id}'")));
    }
}

/// RFC 6121 §2.2, §2.3, §2.5, §3.1.
#[tokio::test]
async fn roster_and_subscriptions_are_asked_for_as_the_rfc_says() {
    let (client, _events, mut server) = Script::with_client(config()).await;
    let nurse = BareJid::parse("nurse@capulet.example").expect("a JID");
    let answering = async {
        let heard = server.hear("</iq>").await;
        assert!(heard.contains("<query xmlns='jabber:iq:roster' ver=''/>"), "{heard}");
        let id = id(&heard);
        server.say(&format!("<iq type='result' id='{id}'><query xmlns='jabber:iq:roster' ver='7'><item jid='nurse@capulet.example'/></query></iq>")).await;
    };
    let (roster, ()) = tokio::join!(client.roster(Some("")), answering);
    assert_eq!(roster.expect("an answer").map(|roster| roster.items.len()), Some(1));

    let answering = async {
        let heard = server.hear("</iq>").await;
        assert!(heard.contains("jid='nurse@capulet.example'") && heard.contains("subscription='remove'"), "{heard}");
        let id = id(&heard);
        server.say(&format!("<iq type='result' id='{id}'/>")).await;
    };
    let (removed, ()) = tokio::join!(client.remove_contact(&nurse), answering);
    removed.expect("an answer");

    client.subscribe(&nurse).await.expect("connected");
    assert_eq!(server.hear_empty().await, "<presence to='nurse@capulet.example' type='subscribe'/>");
    client.approve_subscription(&nurse).await.expect("connected");
    assert_eq!(server.hear_empty().await, "<presence to='nurse@capulet.example' type='subscribed'/>");
}

/// RFC 6120 §4.4: what was sent before goes out, both sides end their streams, then the connection ends.
#[tokio::test]
async fn a_client_that_is_closed_says_goodbye() {
    let (client, mut events, mut server) = Script::with_client(config()).await;
    client.set_unavailable().await.expect("connected");
    let goodbye = async {
        assert_eq!(server.hear("</stream:stream>").await, "<presence type='unavailable'/></stream:stream>");
        server.say("<message><body>late</body></message></stream:stream>").await;
        assert_eq!(server.hear_all().await, "");
    };
    tokio::join!(client.close(), goodbye);
    assert!(matches!(events.next().await, Some(Event::Message(_))), "what came last is told");
    assert!(events.next().await.is_none());
    assert!(matches!(client.set_unavailable().await, Err(Error::Closed)));
}

#[tokio::test]
async fn a_client_whose_events_are_dropped_says_goodbye_too() {
    let (_client, events, mut server) = Script::with_client(config()).await;
    drop(events);
    assert_eq!(server.hear("</stream:stream>").await, "</stream:stream>");
}

#[tokio::test]
async fn a_lost_connection_fails_what_waits_for_it() {
    let (client, mut events, server) = Script::with_client(config()).await;
    let lost = async {
        let mut server = server;
        server.hear("</iq>").await;
    };
    let (answer, ()) = tokio::join!(client.ping(None), lost);
    assert!(matches!(answer, Err(Error::NotConnected)), "{answer:?}");
    assert!(matches!(events.next().await, Some(Event::Ended { reason: Error::Closed | Error::Io(_), .. })));
    assert!(events.next().await.is_none(), "no reconnection was asked for");
    assert_eq!(client.jid(), None);
}

/// RFC 6120 §4.9.3.3: a newer session has taken the resource. To come back would throw that one out in turn, for ever.
#[tokio::test]
async fn after_a_conflict_the_client_does_not_come_back() {
    let reconnecting = Config { reconnect: Some(Backoff::default()), ..config() };
    let (_client, mut events, mut server) = Script::with_client(reconnecting).await;
    server
        .say("<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>")
        .await;
    let Some(Event::Ended { reason: Error::Stream(error), .. }) = events.next().await else {
        panic!("no stream error")
    };
    assert_eq!(error.condition, StreamCondition::Conflict);
    assert!(events.next().await.is_none());
    assert_eq!(server.hear_all().await, "</stream:stream>");
}

/// Whoever awaits an answer may be the one who should read the events before it.
#[tokio::test]
async fn an_answer_is_found_behind_more_events_than_there_is_room_for() {
    let (client, mut events, mut server) = Script::with_client(config()).await;
    let answering = async {
        let heard = server.hear("</iq>").await;
        for _ in 0..2000 {
            server.say("<presence from='nurse@capulet.example/kitchen'/>").await;
        }
        server.say(&format!("<iq type='result' id='{}'/>", id(&heard))).await;
    };
    let (answer, ()) = tokio::join!(client.ping(None), answering);
    answer.expect("an answer");
    for _ in 0..2000 {
        assert!(matches!(events.next().await, Some(Event::Presence(_))));
    }
}

/// P7: nobody reads the events, so that the connection is read no further and the server can't write; sending goes on.
#[tokio::test(start_paused = true)]
async fn a_client_that_reads_no_events_stops_the_server() {
    let (client, _events, mut server) = Script::with_client(config()).await;
    let mut written = 0;
    // Time moves on its own when everybody waits: then the pipe is full.
    while timeout(LONG, server.say("<presence from='nurse@capulet.example/kitchen'/>")).await.is_ok() {
        written += 1;
        assert!(written < 10_000, "the client takes what nobody reads");
    }
    client.set_unavailable().await.expect("connected");
    assert_eq!(server.hear_empty().await, "<presence type='unavailable'/>");
}

#[tokio::test(start_paused = true)]
async fn a_request_ends_when_its_time_is_over() {
    let (client, _events, _server) = Script::with_client(config()).await;
    let iq = Envelope::iq(IqType::Get, "1", Some(&Element::new(ns::VERSION, "query")));
    assert!(matches!(client.request(iq, LONG).await, Err(Error::TimedOut(_))));
}
