//! What comes in the guise of a message: copies (XEP-0280) and receipts (XEP-0184).

use vesta_xmpp::payload::carbon::Direction;
use vesta_xmpp::{BareJid, Jid};

use super::server::{Script, config};
use crate::{Config, Event, stanza};

fn copy(from: &str, name: &str, body: &str) -> String {
    format!(
        "<message {from} type='chat'><{name} xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>\
         <message xmlns='jabber:client' from='romeo@montague.example/garden' to='juliet@capulet.example/chamber' type='chat'>\
         <body>{body}</body></message></forwarded></{name}></message>"
    )
}

/// XEP-0280 §4, §11, T24: copies come from the own account alone; whoever forges one is counted.
#[tokio::test]
async fn copies_are_believed_of_the_own_account_alone() {
    let (client, mut events, mut server) = Script::with_client(config()).await;
    let answering = async {
        let heard = server.hear("</iq>").await;
        assert!(heard.contains("<enable xmlns='urn:xmpp:carbons:2'/>"), "{heard}");
        let id = heard.split(" id='").nth(1).and_then(|rest| rest.split('\'').next()).expect("an id");
        server.say(&format!("<iq type='result' id='{id}'/>")).await;
    };
    let (enabled, ()) = tokio::join!(client.enable_carbons(), answering);
    enabled.expect("an answer");

    for forger in ["tybalt@capulet.example/street", "capulet.example", "juliet@capulet.example/balcony"] {
        server.say(&copy(&format!("from='{forger}'"), "received", "forged")).await;
    }
    for (name, expected) in [("received", Direction::Received), ("sent", Direction::Sent)] {
        server.say(&copy("from='juliet@capulet.example'", name, "Hist!")).await;
        let Some(Event::Carbon { direction, message, stamp }) = events.next().await else { panic!("no copy") };
        assert_eq!((direction, stamp), (expected, None));
        assert_eq!(stanza::body(&message).as_deref(), Some("Hist!"));
        assert_eq!(message.from.map(|from| from.to_string()).as_deref(), Some("romeo@montague.example/garden"));
    }
    assert_eq!(client.forged(), 3);
}

#[tokio::test]
async fn a_message_that_asks_not_to_be_copied_is_no_copy() {
    let (_client, mut events, mut server) = Script::with_client(config()).await;
    server.say("<message from='a@b'><body>Hist!</body><private xmlns='urn:xmpp:carbons:2'/></message>").await;
    assert!(matches!(events.next().await, Some(Event::Message(_))));
}

const ASKING: &str = "<message from='romeo@montague.example/garden' type='chat' id='1'><body>Hist!</body>\
                      <request xmlns='urn:xmpp:receipts'/></message>";

/// XEP-0184 §5: receipts are asked for, given where the policy says so, and told.
#[tokio::test]
async fn receipts_are_asked_for_and_told() {
    let (client, mut events, mut server) = Script::with_client(config()).await;
    let romeo = Jid::parse("romeo@montague.example/garden").expect("a JID");
    client.send(stanza::with_receipt_request(stanza::chat(romeo.clone(), "Hist!"))).await.expect("connected");
    let heard = server.hear("</message>").await;
    assert!(heard.contains("<request xmlns='urn:xmpp:receipts'/>"), "{heard}");
    let sent = heard.split(" id='").nth(1).and_then(|rest| rest.split('\'').next()).expect("an id");
    let receipt = format!("<received xmlns='urn:xmpp:receipts' id='{sent}'/>");
    server.say(&format!("<message from='romeo@montague.example/garden' type='chat'>{receipt}</message>")).await;
    let Some(Event::Delivered { id, from }) = events.next().await else { panic!("no receipt") };
    assert_eq!((&*id, from), (sent, romeo));
}

#[tokio::test]
async fn receipts_are_given_where_the_policy_says_so() {
    for answer_receipts in [false, true] {
        let (client, mut events, mut server) = Script::with_client(Config { answer_receipts, ..config() }).await;
        server.say(ASKING).await;
        // Neither an error nor a message that names nobody is answered.
        server.say(&ASKING.replace("type='chat'", "type='error'")).await;
        server.say(&ASKING.replace(" id='1'", "")).await;
        for _ in 0..3 {
            assert!(matches!(events.next().await, Some(Event::Message(_))));
        }
        client.set_unavailable().await.expect("connected");
        let heard = server.hear("<presence type='unavailable'/>").await;
        let receipts = heard.matches("<received xmlns='urn:xmpp:receipts' id='1'/>").count();
        assert_eq!(receipts, usize::from(answer_receipts), "{heard}");
        let answered = heard.starts_with("<message to='romeo@montague.example/garden' type='chat'");
        assert_eq!(answered, answer_receipts, "{heard}");
    }
}

/// XEP-0359 §5: the archive's id of a message, as our own server has given it.
#[test]
fn the_archive_id_is_that_of_the_own_account() {
    let message = stanza::chat(Jid::parse("juliet@capulet.example").expect("a JID"), "Hist!");
    let with = |by: &str| {
        let mut message = message.clone();
        let by = Jid::parse(by).expect("a JID");
        message.append(&vesta_xmpp::payload::stanza_id::StanzaId { id: "7".into(), by }.to_element());
        stanza::archive_id(&message, &BareJid::parse("juliet@capulet.example").expect("a bare JID"))
    };
    assert_eq!(with("juliet@capulet.example").as_deref(), Some("7"));
    assert_eq!(with("romeo@montague.example"), None);
}
