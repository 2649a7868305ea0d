//! Servers that fall silent. Time is advanced, not waited for.

use std::time::Duration;

use super::server::{Script, config};
use crate::{Config, Error, Event, Keepalive};

const PERIOD: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_pinged_and_an_answer_is_enough() {
    let (_client, _events, mut server) =
        Script::with_client(Config { keepalive: Keepalive::Ping(PERIOD), ..config() }).await;
    for _ in 0..3 {
        let ping = server.hear("</iq>").await;
        assert!(ping.contains("<ping xmlns='urn:xmpp:ping'/>"), "{ping}");
        server.say("<iq type='error' id='x'/>").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_a_ping_is_lost() {
    let keepalive = Keepalive::Ping(PERIOD);
    let (_client, mut events, _server) = Script::with_client(Config { keepalive, ..config() }).await;
    assert!(matches!(events.next().await, Some(Event::Ended { reason: Error::TimedOut(_), .. })));
}

/// RFC 6120 §4.6.1.
#[tokio::test(start_paused = true)]
async fn a_space_keeps_the_connection() {
    let keepalive = Keepalive::Whitespace(PERIOD);
    let (_client, _events, mut server) = Script::with_client(Config { keepalive, ..config() }).await;
    assert_eq!(server.hear("   ").await, "   ");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_no_goodbye_is_left_after_a_while() {
    let (client, _events, server) = Script::with_client(config()).await;
    client.close().await;
    assert_eq!(server.hear_all().await, "</stream:stream>");
}
