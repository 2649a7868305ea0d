//! XEP-0313: archives are walked through page by page.

use vesta_xmpp::Jid;
use vesta_xmpp::payload::date_time::DateTime;
use vesta_xmpp::stanza_error::Condition;

use super::server::{Script, config};
use crate::{Archived, Error, History, stanza};

/// Hears a query for a page, and gives its id.
async fn hear_query(server: &mut Script, expected: &str) -> String {
    let heard = server.hear("</iq>").await;
    assert!(heard.contains(expected), "{heard}");
    let id = heard.split(" id='").nth(1).and_then(|rest| rest.split('\'').next()).expect("an id");
    assert!(heard.contains(&format!("<query xmlns='urn:xmpp:mam:2' queryid='{id}'>")), "{heard}");
    id.to_owned()
}

fn result(from: &str, query: &str, id: &str) -> String {
    format!(
        "<message {from}><result xmlns='urn:xmpp:mam:2' queryid='{query}' id='{id}'><forwarded xmlns='urn:xmpp:forward:0'>\
         <delay xmlns='urn:xmpp:delay' stamp='2010-07-10T23:08:25Z'/>\
         <message xmlns='jabber:client' from='romeo@montague.example/garden' type='chat'><body>{id}</body></message>\
         </forwarded></result></message>"
    )
}

/// Answers a query with a page.
async fn say_page(server: &mut Script, query: &str, ids: &[&str], is_complete: bool) {
    for id in ids {
        server.say(&result("from='juliet@capulet.example'", query, id)).await;
    }
    let complete = if is_complete { "complete='true'" } else { "" };
    let (first, last) = (ids.first().unwrap_or(&""), ids.last().unwrap_or(&""));
    let set = match ids {
        [] => "<set xmlns='http://jabber.org/protocol/rsm'/>".to_owned(),
        _ => format!("<set xmlns='http://jabber.org/protocol/rsm'><first>{first}</first><last>{last}</last></set>"),
    };
    server
        .say(&format!("<iq type='result' id='{query}'><fin xmlns='urn:xmpp:mam:2' {complete}>{set}</fin></iq>"))
        .await;
}

/// The ids of all that is left.
async fn read_all(history: &mut History) -> Result<Vec<String>, Error> {
    let mut ids = Vec::new();
    while let Some(Archived { id, stamp, message }) = history.next().await? {
        assert_eq!(stanza::body(&message).as_deref(), Some(&*id));
        assert_eq!(stamp, DateTime::parse("2010-07-10T23:08:25Z"));
        ids.push(id);
    }
    Ok(ids)
}

/// What was missed is one call: page after page, from the last message known to the end.
#[tokio::test]
async fn what_was_missed_comes_in_order_over_all_pages() {
    let (client, _events, mut server) = Script::with_client(config()).await;
    let mut history = client.archive().pages_of(2).catch_up(Some("m"));
    let answering = async {
        for (after, ids, is_complete) in [("m", ["n", "o"], false), ("o", ["p", "q"], true)] {
            let query = hear_query(&mut server, &format!("<max>2</max><after>{after}</after>")).await;
            say_page(&mut server, &query, &ids, is_complete).await;
        }
    };
    let (ids, ()) = tokio::join!(read_all(&mut history), answering);
    assert_eq!(ids.expect("an archive"), ["n", "o", "p", "q"]);
}

#[tokio::test]
async fn backwards_the_newest_come_first() {
    let (client, _events, mut server) = Script::with_client(config()).await;
    let mut history = client.archive().backwards(None);
    let answering = async {
        let query = hear_query(&mut server, "<max>100</max><before/>").await;
        say_page(&mut server, &query, &["c", "d"], false).await;
        let query = hear_query(&mut server, "<max>100</max><before>c</before>").await;
        say_page(&mut server, &query, &["a", "b"], true).await;
    };
    let (ids, ()) = tokio::join!(read_all(&mut history), answering);
    assert_eq!(ids.expect("an archive"), ["d", "c", "b", "a"]);
}

/// XEP-0313 §4.1: by address and time, and in the archive of a room, from which alone the results then come (T23).
#[tokio::test]
async fn an_archive_can_be_asked_by_address_and_time() {
    let (client, _events, mut server) = Script::with_client(config()).await;
    let jid = |text| Jid::parse(text).expect("a JID");
    let time = |text| DateTime::parse(text).expect("a time");
    let mut history = client
        .archive()
        .of(jid("room@chat.example"))
        .with(jid("romeo@montague.example"))
        .start(time("2010-07-10T00:00:00Z"))
        .end(time("2010-07-11T00:00:00Z"))
        .catch_up(None);
    let answering = async {
        let query = hear_query(&mut server, "<iq to='room@chat.example' type='set'").await;
        server.say(&result("from='juliet@capulet.example'", &query, "forged")).await;
        server.say(&result("from='room@chat.example'", &query, "true")).await;
        server.say(&format!("<iq type='result' from='room@chat.example' id='{query}'><fin xmlns='urn:xmpp:mam:2' complete='true'><set xmlns='http://jabber.org/protocol/rsm'><last>true</last></set></fin></iq>")).await;
    };
    let (ids, ()) = tokio::join!(read_all(&mut history), answering);
    assert_eq!(ids.expect("an archive"), ["true"]);
    assert_eq!(client.forged(), 1);
}

#[tokio::test]
async fn a_query_says_what_is_wanted() {
    let (client, _events, mut server) = Script::with_client(config()).await;
    let with = Jid::parse("romeo@montague.example").expect("a JID");
    let mut history = client.archive().with(with).start(DateTime(0)).catch_up(None);
    let answering = async {
        let heard = server.hear("</iq>").await;
        assert!(heard.contains("<field var='with'><value>romeo@montague.example</value></field>"), "{heard}");
        assert!(heard.contains("<field var='start'><value>1970-01-01T00:00:00Z</value></field>"), "{heard}");
        let id = heard.split(" id='").nth(1).and_then(|rest| rest.split('\'').next()).expect("an id");
        say_page(&mut server, id, &[], true).await;
    };
    let (ids, ()) = tokio::join!(read_all(&mut history), answering);
    assert_eq!(ids.expect("an archive"), [""; 0]);
}

#[tokio::test]
async fn a_server_that_goes_in_circles_or_says_no_is_an_error() {
    let (client, _events, mut server) = Script::with_client(config()).await;
    let mut history = client.archive().catch_up(None);
    let answering = async {
        let query = hear_query(&mut server, "<max>100</max>").await;
        say_page(&mut server, &query, &["a"], false).await;
        let query = hear_query(&mut server, "<after>a</after>").await;
        say_page(&mut server, &query, &["a"], false).await;
    };
    let (ids, ()) = tokio::join!(read_all(&mut history), answering);
    assert!(matches!(ids, Err(Error::Malformed(_))), "{ids:?}");

    let refusing = async {
        let query = hear_query(&mut server, "<after>a</after>").await;
        server.say(&format!("<iq type='error' id='{query}'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>")).await;
    };
    let (next, ()) = tokio::join!(history.next(), refusing);
    assert!(matches!(next, Err(Error::Refused(error)) if error.condition == Condition::ItemNotFound));
}

/// T23: nobody can put messages into the archive that we read, nor into the conversation by way of it; and a page is as long as we
/// asked for, at most.
#[tokio::test]
async fn results_that_nobody_asked_for_are_dropped() {
    let (client, mut events, mut server) = Script::with_client(config()).await;
    server.say(&result("from='juliet@capulet.example'", "unknown", "x")).await;
    let mut history = client.archive().pages_of(1).catch_up(None);
    let answering = async {
        let query = hear_query(&mut server, "<max>1</max>").await;
        server.say(&result("from='tybalt@capulet.example'", &query, "forged")).await;
        say_page(&mut server, &query, &["a", "b"], true).await;
    };
    let (ids, ()) = tokio::join!(read_all(&mut history), answering);
    assert_eq!(ids.expect("an archive"), ["a"]);
    assert_eq!(client.forged(), 3);
    server.say("<presence/>").await;
    assert!(matches!(events.next().await, Some(crate::Event::Presence(_))), "no message was told");
}
