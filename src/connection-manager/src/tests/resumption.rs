//! XEP-0198 §5 at a connection manager: sessions that outlive their connection, and go on over another one.

use std::sync::Arc;

use vesta_wire::attach::{Announced, BoundSession, Digest, EndReason, Inbound, ResumedSession, ToManager, ToRouter};
use vesta_wire::{Epoch, Sequence};
use vesta_xmpp::management::Refusal;
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::stream_error::StreamCondition;
use vesta_xmpp::{Envelope, FullJid};

use super::client::Client;
use super::router::{Router, chat, leader, session};
use super::{HOSTS, World, run};

const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";

fn resume(previous: &str, handled: u32) -> String {
    format!("<resume xmlns='urn:xmpp:sm:3' previd='{previous}' h='{handled}'/>")
}

fn resumed(previous: &str, handled: u32) -> String {
    format!("<resumed xmlns='urn:xmpp:sm:3' previd='{previous}' h='{handled}'/>")
}

/// Juliet's stream, its id for resumption, and the digest that the router knows. The router has accepted one frame.
async fn resumable(world: &World, router: &mut Router) -> (Client, String, Digest) {
    let mut juliet = world.juliet(router).await;
    juliet.send(ENABLE).await;
    let (1, Inbound::Resumable(wish)) = router.inbound(7).await else { panic!("no wish to resume") };
    router.accept(7, 1).await;
    juliet.expect("<enabled xmlns='urn:xmpp:sm:3' resume='true' id='").await;
    let id = juliet.expect("'").await.trim_end_matches('\'').to_owned();
    juliet.expect(" max='300'/>").await;
    (juliet, id, wish.digest)
}

/// A new connection of Juliet's, authenticated.
async fn back(world: &World, router: &mut Router) -> Client {
    let mut juliet = Client::direct_tls(world, HOSTS[0]).await;
    tokio::join!(juliet.authenticate(), router.authenticate());
    juliet
}

/// Lets the session go on in epoch 2: so many frames came, so many are delivered.
async fn let_go_on(router: &Router, request: vesta_wire::attach::RequestId, accepted: u64, delivered: u64) {
    let jid = FullJid::parse("juliet@capulet.example/balcony").expect("a full JID");
    let resumed = ResumedSession {
        bound: BoundSession { session: session(7), epoch: Epoch(2), jid },
        seconds: 300,
        accepted: Sequence(accepted),
        received_before: Sequence(1),
        delivered: Sequence(delivered),
        sent_before: Sequence(0),
        logged: 0,
    };
    router.send(ToManager::Resumed { request, result: Ok(resumed) }).await;
}

async fn is_detached(router: &mut Router) {
    let frame = router.next().await;
    assert!(matches!(frame, ToRouter::Detached { session: id, epoch: Epoch(1) } if id == session(7)), "{frame:?}");
}

/// Both sides count from the same place, and no client relies on a resumption that no router knows of.
#[test]
fn a_client_is_told_that_it_may_resume_when_the_router_knows_and_nothing_overtakes_that() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut juliet = world.juliet(&mut router).await;
        router.deliver(7, 1, 1, chat("before")).await;
        juliet.expect("before</body></message>").await;
        assert_eq!(router.delivered(7).await, 1);
        juliet.send(ENABLE).await;
        let (1, Inbound::Resumable(wish)) = router.inbound(7).await else { panic!("no wish to resume") };
        assert_eq!((wish.seconds, wish.sent_before), (300, Sequence(1)));
        router.deliver(7, 1, 2, chat("behind")).await;
        router.accept(7, 1).await;
        let until = juliet.expect("behind</body></message>").await;
        assert!(until.starts_with("<enabled xmlns='urn:xmpp:sm:3' resume='true' id='"), "{until}");
    });
}

#[test]
fn a_client_may_wish_for_less_time_and_is_told_where_to_come_back_to() {
    run(async {
        let world = World::start_with(|config| config.resumption.location = Some("verona.example:5222".into()));
        let mut router = world.router().await;
        let mut juliet = world.juliet(&mut router).await;
        juliet.send("<enable xmlns='urn:xmpp:sm:3' resume='1' max='60'/>").await;
        let (1, Inbound::Resumable(wish)) = router.inbound(7).await else { panic!("no wish to resume") };
        assert_eq!(wish.seconds, 60);
        router.accept(7, 1).await;
        juliet.expect(" max='60' location='verona.example:5222'/>").await;
    });
}

#[test]
fn where_nobody_may_resume_the_stream_is_counted_all_the_same() {
    run(async {
        let world = World::start_with(|config| config.resumption.within = std::time::Duration::ZERO);
        let mut router = world.router().await;
        let mut juliet = world.juliet(&mut router).await;
        juliet.send(ENABLE).await;
        juliet.expect("<enabled xmlns='urn:xmpp:sm:3'/>").await;
        assert!(router.is_quiet());
    });
}

/// P4: the connection is lost, what comes meanwhile is not.
#[test]
fn a_session_goes_on_over_another_connection() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let (mut juliet, id, digest) = resumable(&world, &mut router).await;
        juliet.send("<message id='1'/>").await;
        router.stanza(7).await;
        router.accept(7, 2).await;
        router.deliver(7, 1, 1, chat("one")).await;
        juliet.expect("one</body></message>").await;
        drop(juliet);
        is_detached(&mut router).await;
        router.deliver(7, 1, 2, chat("two")).await;

        let mut juliet = back(&world, &mut router).await;
        juliet.send(&resume(&id, 1)).await;
        let ToRouter::Resume { request, account, session: number, digest: proof, handled, .. } = router.next().await
        else {
            panic!("no wish to go on")
        };
        assert_eq!((account.as_str(), number, proof, handled), ("juliet@capulet.example", 7, digest, 1));
        let_go_on(&router, request, 2, 1).await;
        router.deliver_in(2, 7, 1, 2, chat("two")).await;
        let until = juliet.expect("two</body></message>").await;
        assert!(until.starts_with(&resumed(&id, 1)), "{until}");

        juliet.send("<message id='2'/><r xmlns='urn:xmpp:sm:3'/>").await;
        let ToRouter::Inbound { epoch: Epoch(2), sequence: Sequence(3), .. } = router.next().await else {
            panic!("the next stanza has the next place, in the next epoch")
        };
        juliet.expect("<a xmlns='urn:xmpp:sm:3' h='1'/>").await;
        juliet.send("<a xmlns='urn:xmpp:sm:3' h='2'/>").await;
        assert_eq!(router.delivered(7).await, 2);
    });
}

/// P1: a new leader has nothing of what the client has not acknowledged; the manager has.
#[test]
fn a_new_leader_is_given_back_what_the_client_has_not_acknowledged() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let (mut juliet, ..) = resumable(&world, &mut router).await;
        for (place, body) in [(1, "one"), (2, "two"), (3, "three")] {
            let mut stanza = Envelope::clone(&chat(body));
            // The second is older than the first.
            stanza.logged = 100 - place;
            router.deliver(7, 1, place, Arc::new(stanza)).await;
            juliet.expect(&format!("{body}</body></message>")).await;
        }
        juliet.send("<a xmlns='urn:xmpp:sm:3' h='1'/>").await;
        assert_eq!(router.delivered(7).await, 1);
        drop(juliet);
        is_detached(&mut router).await;
        router.send(ToManager::Leaders(vec![leader(2, 1)])).await;
        let ToRouter::Announce { received, delivered, accepted, logged, .. } = router.next().await else {
            panic!("not announced")
        };
        assert_eq!((received, delivered, accepted, logged), (Sequence(3), Sequence(1), Sequence(1), 99));
        let outcome = Announced::Continues { accepted, lacks: true };
        router.send(ToManager::Announced { session: session(7), epoch: Epoch(1), outcome }).await;
        assert_eq!(router.delivered(7).await, 1);
        let ToRouter::Restore { last, stanzas, .. } = router.next().await else { panic!("nothing is given back") };
        let contents: Vec<_> = stanzas.iter().map(|stanza| stanza.content.clone()).collect();
        assert_eq!((last, contents), (Sequence(3), vec![chat("two").content.clone(), chat("three").content.clone()]));
        is_detached(&mut router).await;
    });
}

#[test]
fn whoever_closes_a_stream_or_is_closed_by_the_router_does_not_come_back() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let (mut juliet, ..) = resumable(&world, &mut router).await;
        juliet.send("</stream:stream>").await;
        juliet.expect("</stream:stream>").await;
        assert!(matches!(router.inbound(7).await, (2, Inbound::Ended(EndReason::Closed))));
        router.accept(7, 2).await;

        let (juliet, ..) = resumable(&world, &mut router).await;
        drop(juliet);
        is_detached(&mut router).await;
        let error = StreamCondition::Reset.into();
        router.send(ToManager::Close { session: session(7), epoch: Epoch(1), error }).await;
        router.send(ToManager::Leaders(vec![leader(2, 1)])).await;
        let juliet = world.bound(&mut router, 8, "balcony").await;
        assert!(router.is_quiet(), "a session that is gone is not announced");
        drop(juliet);
    });
}

/// XEP-0198 §5: forged, old and foreign ids; whoever is refused may bind.
#[test]
fn what_can_not_be_resumed_is_refused_and_a_resource_may_be_bound() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut juliet = back(&world, &mut router).await;
        juliet.send(&resume("no id of ours", 0)).await;
        let not_found = "><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";
        juliet.expect(&format!("<failed xmlns='urn:xmpp:sm:3'{not_found}")).await;
        juliet.send(&resume("7-00000000000000000000000000000000", 0)).await;
        let ToRouter::Resume { request, .. } = router.next().await else { panic!("the router was not asked") };
        let result = Err(Refusal::Failed { condition: Condition::ItemNotFound, handled: Some(5) });
        router.send(ToManager::Resumed { request, result }).await;
        juliet.expect(&format!("<failed xmlns='urn:xmpp:sm:3' h='5'{not_found}")).await;
        juliet.send(&super::client::bind("balcony")).await;
        router.bind(7).await;
        juliet.expect("</iq>").await;
    });
}
