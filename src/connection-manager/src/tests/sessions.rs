//! Sessions on their links: windows, changes of leader, duplicates, slow readers.

use std::time::Duration;

use tokio::net::TcpStream;
use vesta_wire::attach::{Announced, EndReason, Inbound, Leader, RouterInfo, ToManager, ToRouter};
use vesta_wire::{Epoch, NodeId, Sequence, Term};
use vesta_xmpp::client_state::ClientState;

use super::client::{Clear, handshake, tls_config};
use super::router::{Router, SHARD, chat, leader, session};
use super::{Client, HOSTS, World, run};
use crate::config::Rate;
use crate::metrics::{ByLimit, LimitLabel};
use crate::uplink::window::STANZAS_MAX;

/// A second router, `padua`, known to the manager and linked; `verona` still leads.
async fn padua(world: &World, verona: &Router) -> Router {
    let info = RouterInfo { node: NodeId(2), name: "padua".into(), address: "padua".into() };
    verona
        .send(ToManager::Welcome {
            version: vesta_wire::attach::VERSION,
            node: NodeId(1),
            shards: super::router::SHARDS,
            routers: vec![info],
            leaders: vec![],
        })
        .await;
    let mut padua = world.dialer.accept("padua").await;
    padua.welcome(2, &["verona", "padua"]).await;
    padua
}

/// The next frame announces session 7: what it has received, and what was accepted of it.
async fn announcement(router: &mut Router) -> (u64, u64) {
    match router.next().await {
        ToRouter::Announce { session: id, epoch: Epoch(1), received, accepted, .. } if id == session(7) => {
            (received.0, accepted.0)
        }
        other => panic!("no announcement: {other:?}"),
    }
}

async fn answer(router: &Router, outcome: Announced) {
    router.send(ToManager::Announced { session: session(7), epoch: Epoch(1), outcome }).await;
}

fn continues(accepted: u64) -> Announced {
    Announced::Continues { accepted: Sequence(accepted), lacks: false }
}

#[test]
fn frames_are_written_in_order_and_acknowledged_when_they_are_out() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut juliet = world.juliet(&mut router).await;
        for (sequence, body) in [(1, "one"), (2, "two"), (3, "three")] {
            router.deliver(7, 1, sequence, chat(body)).await;
        }
        let mut delivered = 0;
        while delivered < 3 {
            let next = router.delivered(7).await;
            assert!(next > delivered, "acknowledgements only grow");
            delivered = next;
        }
        let all = juliet.expect("<body>three</body></message>").await;
        let one = "<message from='romeo@montague.example' to='juliet@capulet.example/balcony' type='chat'><body>one</body></message>";
        assert!(all.starts_with(one), "{all}");
        assert!(all.contains("<body>two</body>"), "{all}");
    });
}

#[test]
fn a_frame_that_comes_twice_is_dropped_and_acknowledged_again() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut juliet = world.juliet(&mut router).await;
        router.deliver(7, 1, 1, chat("once")).await;
        assert_eq!(router.delivered(7).await, 1);
        router.deliver(7, 1, 1, chat("once")).await;
        assert_eq!(router.delivered(7).await, 1);
        router.deliver(7, 1, 2, chat("then")).await;
        assert_eq!(router.delivered(7).await, 2);
        let all = juliet.expect("then</body></message>").await;
        assert_eq!(all.matches("once").count(), 1, "{all}");
    });
}

#[test]
fn a_gap_is_announced_and_filled() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut juliet = world.juliet(&mut router).await;
        router.deliver(7, 1, 2, chat("two")).await;
        router.deliver(7, 1, 3, chat("three")).await;
        assert_eq!(announcement(&mut router).await, (0, 0));
        answer(&router, continues(0)).await;
        for (sequence, body) in [(1, "one"), (2, "two"), (3, "three")] {
            router.deliver(7, 1, sequence, chat(body)).await;
        }
        let all = juliet.expect("three</body></message>").await;
        let places: Vec<_> = ["one", "two", "three"].map(|body| all.find(body).expect("each")).to_vec();
        assert!(places.is_sorted() && all.matches("two").count() == 1, "{all}");
    });
}

#[test]
fn p6_frames_of_an_older_term_or_another_epoch_are_refused() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut juliet = world.juliet(&mut router).await;
        router.deliver(7, 4, 1, chat("of term 4")).await;
        // The leader of a newer term has to be told of the session.
        loop {
            if let ToRouter::Announce { .. } = router.next().await {
                break;
            }
        }
        answer(&router, continues(0)).await;
        let old = vesta_wire::attach::Target { session: 7, epoch: Epoch(1), sequence: Sequence(2) };
        let stanza = chat("of term 3");
        router.send(ToManager::Deliver { shard: SHARD, term: Term(3), targets: vec![old], stanza, receipt: 8 }).await;
        let target = vesta_wire::attach::Target { session: 7, epoch: Epoch(9), sequence: Sequence(2) };
        let stanza = chat("of epoch 9");
        router
            .send(ToManager::Deliver { shard: SHARD, term: Term(4), targets: vec![target], stanza, receipt: 9 })
            .await;
        router.deliver(7, 4, 2, chat("of term 4 again")).await;
        let all = juliet.expect("of term 4 again").await;
        assert!(!all.contains("of term 3") && !all.contains("of epoch 9"), "{all}");
        // The router is told that nobody has got the first of the two: the next leader is to have it.
        let (mut last, mut refused) = (0, Vec::new());
        while last < 9 {
            if let ToRouter::Taken { receipt, refused: more } = router.next().await {
                last = receipt;
                refused.extend(more);
            }
        }
        assert_eq!((last, refused), (9, vec![8]));
    });
}

#[test]
fn at_256_unaccepted_stanzas_the_socket_is_read_no_further() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut juliet = world.juliet(&mut router).await;
        let all: String = (1..=STANZAS_MAX + 44).map(|n| format!("<message id='{n}'/>")).collect();
        juliet.send(&all).await;
        for n in 1..=STANZAS_MAX as u64 {
            assert_eq!(router.stanza(7).await.0, n);
        }
        // A frame that the manager acknowledges shows that it has been round since, and read nothing.
        router.deliver(7, 1, 1, chat("meanwhile")).await;
        assert_eq!(router.delivered(7).await, 1);
        assert!(router.is_quiet());
        let by = ByLimit { limit: LimitLabel::Window };
        assert!(world.metrics.limits.get_or_create(&by).get() > 0);
        // Room for one lets one through.
        router.accept(7, 1).await;
        assert_eq!(router.stanza(7).await.0, STANZAS_MAX as u64 + 1);
        router.accept(7, STANZAS_MAX as u64).await;
        for n in STANZAS_MAX as u64 + 2..=STANZAS_MAX as u64 + 44 {
            let (sequence, stanza) = router.stanza(7).await;
            assert_eq!(sequence, n);
            assert_eq!(stanza.id.as_deref(), Some(&*n.to_string()));
        }
    });
}

#[test]
fn p3_a_new_leader_gets_what_was_not_accepted_in_order_and_exactly_once() {
    run(async {
        let world = World::start();
        let mut verona = world.router().await;
        let mut padua = padua(&world, &verona).await;
        let mut juliet = world.juliet(&mut verona).await;
        for n in 1..=4 {
            juliet.send(&format!("<message id='{n}'/>")).await;
            assert_eq!(verona.stanza(7).await.0, n);
        }
        verona.deliver(7, 1, 1, chat("before")).await;
        assert_eq!(verona.delivered(7).await, 1);
        verona.accept(7, 1).await;

        padua.send(ToManager::Leaders(vec![leader(2, 2)])).await;
        // What was read of the acceptance before the change is in the announcement; the answer knows the rest.
        let (received, accepted) = announcement(&mut padua).await;
        assert!(received == 1 && accepted <= 1);
        juliet.send("<message id='5'/>").await;
        answer(&padua, continues(2)).await;
        let mut inbound = Vec::new();
        while inbound.len() < 3 {
            match padua.next().await {
                ToRouter::Inbound { sequence, event: Inbound::Stanza(stanza), .. } => {
                    inbound.push((sequence.0, stanza.id.as_deref().map(str::to_owned)));
                }
                ToRouter::Delivered { sequence: Sequence(1), .. } => {}
                other => panic!("{other:?}"),
            }
        }
        let expected: Vec<_> = (3..=5).map(|n| (n, Some(n.to_string()))).collect();
        assert_eq!(inbound, expected);
        padua.deliver(7, 2, 2, chat("after")).await;
        juliet.expect("<body>after</body>").await;
        assert!(verona.is_quiet());
    });
}

#[test]
fn a_lost_link_comes_back_and_its_sessions_go_on() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut juliet = world.juliet(&mut router).await;
        juliet.send("<message id='1'/>").await;
        assert_eq!(router.stanza(7).await.0, 1);
        drop(router);
        juliet.send("<message id='2'/>").await;
        let mut router = world.dialer.accept("verona").await;
        router.welcome(1, &["verona"]).await;
        assert_eq!(announcement(&mut router).await, (0, 0));
        answer(&router, continues(0)).await;
        for n in 1..=2 {
            assert_eq!(router.stanza(7).await.0, n);
        }
    });
}

#[test]
fn while_there_is_no_leader_the_session_stays_and_its_stanzas_wait() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut juliet = world.juliet(&mut router).await;
        let election = Leader { shard: SHARD, term: Term(2), node: None };
        router.send(ToManager::Leaders(vec![election])).await;
        // A message to the session shows that the news has been taken.
        router.deliver(7, 2, 1, chat("election")).await;
        juliet.expect("election</body></message>").await;
        juliet.send("<message id='1'/>").await;
        router.send(ToManager::Leaders(vec![leader(2, 1)])).await;
        assert_eq!(announcement(&mut router).await.1, 0);
        answer(&router, continues(0)).await;
        loop {
            match router.next().await {
                ToRouter::Inbound { sequence: Sequence(1), .. } => break,
                ToRouter::Delivered { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn a_presumed_leader_that_is_none_is_asked_again_until_it_is() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let _juliet = world.juliet(&mut router).await;
        router.send(ToManager::Leaders(vec![leader(2, 1)])).await;
        announcement(&mut router).await;
        answer(&router, Announced::NotLeader(Leader { shard: SHARD, term: Term(2), node: None })).await;
        announcement(&mut router).await;
        answer(&router, continues(0)).await;
    });
}

#[test]
fn a_session_that_its_shard_does_not_know_ends_with_reset() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut juliet = world.juliet(&mut router).await;
        router.send(ToManager::Leaders(vec![leader(2, 1)])).await;
        announcement(&mut router).await;
        answer(&router, Announced::Unknown).await;
        assert!(juliet.rest().await.contains("<reset "));
        assert!(router.is_quiet(), "there is nobody to tell of the end");
    });
}

#[test]
fn an_end_that_was_not_accepted_is_told_to_the_next_leader() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut juliet = world.juliet(&mut router).await;
        juliet.send("</stream:stream>").await;
        juliet.rest().await;
        assert!(matches!(router.inbound(7).await, (1, Inbound::Ended(EndReason::Closed))));
        router.send(ToManager::Leaders(vec![leader(2, 1)])).await;
        announcement(&mut router).await;
        answer(&router, continues(0)).await;
        assert!(matches!(router.inbound(7).await, (1, Inbound::Ended(EndReason::Closed))));
        router.accept(7, 1).await;
        router.send(ToManager::Leaders(vec![leader(3, 1)])).await;
        // Nothing is announced any more: the next frame is the question of somebody new.
        let mut nurse = Client::direct_tls(&world, HOSTS[0]).await;
        tokio::join!(nurse.log_in("chamber"), router.log_in(8));
    });
}

#[test]
fn a_frame_for_a_session_that_is_not_here_is_answered_with_its_end() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        router.deliver(99, 1, 1, chat("nobody")).await;
        assert!(matches!(router.inbound(99).await, (1, Inbound::Ended(EndReason::Lost))));
    });
}

/// T61: a client that does not read holds nobody up, and its stream ends when too much waits.
#[test]
fn t61_a_slow_reader_is_ended_and_others_notice_nothing() {
    run(async {
        let world = World::start_with_limits(|limits| {
            limits.outgoing_bytes = 256 * 1024;
            limits.close_timeout = Duration::from_millis(200);
        });
        let mut router = world.router().await;
        let slow = world.bound(&mut router, 7, "slow").await;
        let mut quick = world.bound(&mut router, 8, "quick").await;
        let large = "a".repeat(60_000);
        let by = ByLimit { limit: LimitLabel::Outgoing };
        let mut sequence = 0;
        while world.metrics.limits.get_or_create(&by).get() == 0 {
            sequence += 1;
            router.deliver(7, 1, sequence, chat(&large)).await;
            router.deliver(8, 1, sequence, chat("small")).await;
            quick.expect("<body>small</body></message>").await;
        }
        loop {
            if let ToRouter::Inbound { session: id, event: Inbound::Ended(EndReason::Lost), .. } = router.next().await {
                assert_eq!(id, session(7));
                break;
            }
        }
        drop(slow);
        router.deliver(8, 1, sequence + 1, chat("still here")).await;
        quick.expect("still here").await;
    });
}

#[test]
fn a_client_ahead_of_its_rate_is_read_later_and_gets_no_error() {
    run(async {
        let world = World::start_with_limits(|limits| limits.stanza_rate = Rate { per_second: 200.0, burst: 5.0 });
        let mut router = world.router().await;
        let mut juliet = world.juliet(&mut router).await;
        for n in 1..=30 {
            juliet.send("<presence/>").await;
            assert_eq!(router.stanza(7).await.0, n);
        }
        let by = ByLimit { limit: LimitLabel::Rate };
        assert!(world.metrics.limits.get_or_create(&by).get() > 0);
    });
}

#[test]
fn a_silent_client_is_sent_a_space_and_ended_in_the_end() {
    run(async {
        let world = World::start_with(|config| {
            config.liveness.ping_after = Duration::from_secs(1);
            config.liveness.close_after = Some(Duration::from_secs(3));
            config.liveness.sweep_every = Duration::from_millis(50);
        });
        let mut router = world.router().await;
        let mut juliet = world.juliet(&mut router).await;
        let all = juliet.rest().await;
        assert!(all.starts_with(' '), "{all}");
        assert!(all.contains("<connection-timeout "), "{all}");
        assert!(matches!(router.inbound(7).await, (1, Inbound::Ended(EndReason::Lost))));
    });
}

/// Bytes behind the request to bind belong to the stream that it establishes.
#[test]
fn what_is_pipelined_behind_the_bind_is_not_lost() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut juliet = Client::direct_tls(&world, HOSTS[0]).await;
        let client = async {
            juliet.open(HOSTS[0]).await;
            juliet.send(super::client::PLAIN).await;
            juliet.expect("<success").await;
            juliet.expect(">").await;
            juliet.open(HOSTS[0]).await;
            juliet.send(&format!("{}<presence/><message id='m'/>", super::client::bind("balcony"))).await;
        };
        tokio::join!(client, router.log_in(7));
        assert_eq!(router.stanza(7).await.0, 1);
        assert_eq!(router.stanza(7).await.1.id.as_deref(), Some("m"));
    });
}

#[test]
fn a_plain_connection_serves_where_tls_is_not_required() {
    run(async {
        let world = World::start_with(|config| config.require_tls = false);
        let mut router = world.router().await;
        let mut clear = Clear::connect(world.starttls()).await;
        let features = clear.open(HOSTS[0]).await;
        assert!(features.contains("<mechanism>SCRAM-SHA-256</mechanism>"), "{features}");
        assert!(!features.contains("-PLUS"), "nothing to bind in clear: {features}");
        let stream = TcpStream::connect(world.direct_tls()).await.expect("a connection");
        let mut secure = Client::over(handshake(stream, tls_config(&world), HOSTS[0]).await.expect("a handshake"));
        tokio::join!(secure.log_in("balcony"), router.log_in(7));
    });
}

/// XEP-0352: the router is told of each change, and again after each announcement.
#[test]
fn a_client_that_becomes_inactive_is_held_back_by_the_router_that_leads() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut juliet = world.juliet(&mut router).await;
        juliet.send("<inactive xmlns='urn:xmpp:csi:0'/>").await;
        assert_eq!(state(&mut router).await, (ClientState::Inactive, false));
        juliet.send("<inactive xmlns='urn:xmpp:csi:0'/>").await;
        router.send(ToManager::Leaders(vec![leader(2, 1)])).await;
        let ToRouter::Announce { .. } = router.next().await else { panic!("not announced") };
        answer(&router, continues(0)).await;
        assert_eq!(state(&mut router).await, (ClientState::Inactive, true));
        juliet.send("<active xmlns='urn:xmpp:csi:0'/>").await;
        assert_eq!(state(&mut router).await, (ClientState::Active, false));
        juliet.send("<asleep xmlns='urn:xmpp:csi:0'/>").await;
        juliet.expect("<unsupported-stanza-type ").await;
    });
}

async fn state(router: &mut Router) -> (ClientState, bool) {
    match router.next().await {
        ToRouter::State { state, since_before, .. } => (state, since_before),
        other => panic!("no state: {other:?}"),
    }
}
