//! How a stream comes up (RFC 6120 §4–7, XEP-0368), and how it ends.

use std::time::Duration;

use tokio::net::TcpStream;
use vesta_wire::attach::{EndReason, Inbound, ToManager, ToRouter};
use vesta_wire::{NodeId, Term};
use vesta_xmpp::sasl::{Answer, SaslCondition};
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{StanzaError, StreamError};

use super::client::{Clear, PLAIN, STARTTLS, bind, handshake, tls_config};
use super::router::{SHARD, chat, session};
use super::{Client, HOSTS, World, run};

#[test]
fn rfc6120_a_login_over_starttls_from_the_first_header_to_the_end_tag() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut clear = Clear::connect(world.starttls()).await;
        let features = clear.open(HOSTS[0]).await;
        assert!(features.contains("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'"), "{features}");
        assert!(!features.contains("mechanism"), "no mechanism in clear (T7): {features}");
        clear.send(STARTTLS).await;
        clear.expect("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await;
        let mut config = tls_config(&world);
        config.alpn_protocols.clear();
        let mut juliet = Client::over(handshake(clear.into_inner(), config, HOSTS[0]).await.expect("a handshake"));

        let features = juliet.open(HOSTS[0]).await;
        assert!(features.contains("<mechanism>SCRAM-SHA-256-PLUS</mechanism>"), "{features}");
        assert!(!features.contains("starttls"), "{features}");
        juliet.send(PLAIN).await;
        let bound = async {
            juliet.expect("<success").await;
            juliet.open(HOSTS[0]).await;
            juliet.send(&bind("balcony")).await;
            juliet.expect("</iq>").await
        };
        let (result, ()) = tokio::join!(bound, router.log_in(7));
        assert!(result.contains("<jid>juliet@capulet.example/balcony</jid>"), "{result}");

        juliet.send("<presence/></stream:stream>").await;
        let (first, presence) = router.stanza(7).await;
        assert_eq!(first, 1);
        assert_eq!(presence.from.as_ref().map(|jid| jid.as_str()), Some("juliet@capulet.example/balcony"));
        assert!(matches!(router.inbound(7).await, (2, Inbound::Ended(EndReason::Closed))));
        assert_eq!(juliet.rest().await, "</stream:stream>");
    });
}

#[test]
fn a_host_that_is_not_served_is_told_so() {
    run(async {
        let world = World::start();
        let mut client = Client::tcp(world.starttls()).await;
        client.send(&super::client::header("verona.example")).await;
        assert!(client.rest().await.contains("<host-unknown "));
    });
}

/// RFC 6120 §6.4.5: a client that tries one mechanism after the other gets to its fifth.
#[test]
fn wrong_credentials_may_be_corrected_four_times_and_are_counted() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut client = Client::direct_tls(&world, HOSTS[0]).await;
        client.open(HOSTS[0]).await;
        for _ in 0..4 {
            client.send(PLAIN).await;
            let ToRouter::Ask { request, .. } = router.next().await else { panic!("no question") };
            let answer = Answer::Denied(SaslCondition::NotAuthorized);
            router.send(ToManager::Answered { request, answer }).await;
            client.expect("<not-authorized/>").await;
            client.expect("</failure>").await;
        }
        let by = crate::metrics::ByResult { result: crate::metrics::ResultLabel::Failure };
        assert_eq!(world.metrics.authentications.get_or_create(&by).get(), 4);
        let right = async {
            client.send(PLAIN).await;
            client.expect("<success").await;
            client.open(HOSTS[0]).await;
            client.send(&bind("balcony")).await;
            client.expect("</iq>").await
        };
        tokio::join!(right, router.log_in(7));
    });
}

#[test]
fn a_question_to_a_router_that_leads_no_more_is_asked_of_its_successor() {
    run(async {
        let world = World::start();
        let mut old = world.router().await;
        let mut client = Client::direct_tls(&world, HOSTS[0]).await;
        client.open(HOSTS[0]).await;
        client.send(PLAIN).await;
        let ToRouter::Ask { request, .. } = old.next().await else { panic!("no question") };
        let news = vesta_wire::attach::Leader { shard: SHARD, term: Term(2), node: Some(NodeId(2)) };
        let routers =
            vec![vesta_wire::attach::RouterInfo { node: NodeId(2), name: "padua".into(), address: "padua".into() }];
        old.send(ToManager::NotLeader { request, leader: news }).await;
        old.send(ToManager::Welcome {
            version: vesta_wire::attach::VERSION,
            node: NodeId(1),
            shards: super::router::SHARDS,
            routers,
            leaders: vec![],
        })
        .await;
        let mut new = world.dialer.accept("padua").await;
        new.welcome(2, &["verona", "padua"]).await;
        let done = async {
            client.expect("<success").await;
            client.open(HOSTS[0]).await;
            client.send(&bind("balcony")).await;
            client.expect("<jid>juliet@capulet.example/balcony</jid>").await;
        };
        tokio::join!(done, new.log_in(7));
    });
}

#[test]
fn without_a_router_in_time_the_client_may_try_again() {
    run(async {
        let world = World::start_with(|config| config.request_timeout = Duration::from_millis(50));
        let mut client = Client::direct_tls(&world, HOSTS[0]).await;
        client.open(HOSTS[0]).await;
        client.send(PLAIN).await;
        client.expect("<temporary-auth-failure/>").await;
    });
}

#[test]
fn a_bind_that_is_refused_is_answered_and_may_be_repeated() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut client = Client::direct_tls(&world, HOSTS[0]).await;
        client.open(HOSTS[0]).await;
        client.send(PLAIN).await;
        let ToRouter::Ask { request, .. } = router.next().await else { panic!("no question") };
        let answer = Answer::Accepted { server_signature: Vec::new() };
        router.send(ToManager::Answered { request, answer }).await;
        client.expect("<success").await;
        client.open(HOSTS[0]).await;
        client.send(&bind("balcony")).await;
        let ToRouter::Bind { request, .. } = router.next().await else { panic!("no bind") };
        let result = Err(StanzaError::new(Condition::Conflict));
        router.send(ToManager::Bound { request, result }).await;
        client.expect("<conflict ").await;
        client.expect("</iq>").await;
        client.send(&bind("orchard")).await;
        router.bind(8).await;
        client.expect("<jid>juliet@capulet.example/orchard</jid>").await;
    });
}

#[test]
fn a_session_whose_client_went_away_while_it_was_bound_ends_at_once() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut client = Client::direct_tls(&world, HOSTS[0]).await;
        client.open(HOSTS[0]).await;
        client.send(PLAIN).await;
        let ToRouter::Ask { request, .. } = router.next().await else { panic!("no question") };
        let answer = Answer::Accepted { server_signature: Vec::new() };
        router.send(ToManager::Answered { request, answer }).await;
        client.expect("<success").await;
        client.open(HOSTS[0]).await;
        client.send(&bind("balcony")).await;
        client.send("</stream:stream>").await;
        drop(client);
        router.bind(7).await;
        assert!(matches!(router.inbound(7).await, (1, Inbound::Ended(_))));
    });
}

#[test]
fn a_router_s_close_reaches_the_client_behind_what_waited_for_it() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut juliet = world.juliet(&mut router).await;
        router.deliver(7, 1, 1, chat("Wherefore")).await;
        let error = StreamError::new(vesta_xmpp::stream_error::StreamCondition::Conflict);
        router.send(ToManager::Close { session: session(7), epoch: vesta_wire::Epoch(1), error }).await;
        let all = juliet.rest().await;
        assert!(all.find("Wherefore").expect("the message") < all.find("<conflict ").expect("the error"), "{all}");
        assert!(all.ends_with("</stream:error></stream:stream>"), "{all}");
    });
}

#[test]
fn a_drain_stops_accepting_and_ends_all_streams_with_system_shutdown() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut juliet = world.juliet(&mut router).await;
        let mut half_way = Client::tcp(world.starttls()).await;
        half_way.open(HOSTS[0]).await;
        let address = world.starttls();
        let drained = world.manager.drain(Duration::from_millis(500));
        let clients = async {
            for client in [&mut juliet, &mut half_way] {
                let all = client.rest().await;
                assert!(all.contains("<system-shutdown "), "{all}");
            }
            assert!(matches!(router.inbound(7).await, (1, Inbound::Ended(EndReason::Draining))));
            router.accept(7, 1).await;
        };
        tokio::join!(drained, clients);
        assert!(TcpStream::connect(address).await.is_err());
        world.manager.shutdown().await;
    });
}
