//! What links promise: order, bounds, and an end that both sides see.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;
use vesta_xmpp::{Envelope, MessageType, StanzaType};

use super::routers::{Cluster, TestRouter, dialer};
use crate::attach::{Inbound, RequestId, RouterInfo, ToManager, ToRouter};
use crate::forward::{FromOwner, ToOwner};
use crate::grpc::Services;
use crate::grpc::batch::BATCH_FRAMES_MAX;
use crate::link::{AttachDialer, FRAMES_MAX, ForwardDialer, ManagerLink, RouterLink};
use crate::tls::{Role, Security};
use crate::{Epoch, NodeId, Sequence, SessionId, ShardId};

fn inbound(sequence: u64, bytes: usize) -> ToRouter {
    let mut stanza = Envelope::new(StanzaType::Message(MessageType::Chat));
    stanza.content = vec![b'x'; bytes].into();
    ToRouter::Inbound {
        session: SessionId { shard: ShardId(0), number: 1 },
        epoch: Epoch(1),
        sequence: Sequence(sequence),
        event: Inbound::Stanza(Arc::new(stanza)),
    }
}

fn sequence(frame: &ToRouter) -> u64 {
    match frame {
        ToRouter::Inbound { sequence, .. } => sequence.0,
        other => panic!("an inbound frame, not {other:?}"),
    }
}

async fn linked(security: Security) -> (TestRouter, ManagerLink, RouterLink) {
    let mut router = TestRouter::start("sr-1", security.clone(), Services::default()).await;
    let manager = dialer(security).attach(&router.info).await.expect("a link");
    let accepted = router.manager().await;
    (router, manager, accepted)
}

#[tokio::test]
async fn frames_cross_both_ways_over_mutual_tls_and_the_peer_is_named() {
    let cluster = Cluster::new();
    let security = cluster.node(Role::SessionRouter, "sr-1");
    let mut router = TestRouter::start("sr-1", security, Services::default()).await;
    let managers = dialer(cluster.node(Role::ConnectionManager, "cm-7"));
    let mut manager = managers.attach(&router.info).await.expect("a link");
    let (mut accepted, peer) = router.attached.recv().await.expect("a link");
    assert_eq!(peer.as_deref(), Some("cm-7"));
    for number in 1..=1000 {
        manager.sender.send(inbound(number, 100)).await.expect("the link is up");
        assert_eq!(sequence(&accepted.receiver.recv().await.expect("a frame")), number);
    }
    accepted.sender.send(ToManager::Pong).await.expect("the link is up");
    assert!(matches!(manager.receiver.recv().await, Some(ToManager::Pong)));
}

#[tokio::test]
async fn routers_forward_over_mutual_tls() {
    let cluster = Cluster::new();
    let security = cluster.node(Role::SessionRouter, "sr-1");
    let mut router = TestRouter::start("sr-1", security, Services::default()).await;
    let routers = dialer(cluster.node(Role::SessionRouter, "sr-2"));
    let mut link = routers.forward(&router.info).await.expect("a link");
    let (mut owner, peer) = router.forwarded.recv().await.expect("a link");
    assert_eq!(peer.as_deref(), Some("sr-2"));
    link.sender.send(ToOwner::Hello { node: NodeId(2), version: 1 }).await.expect("the link is up");
    assert!(matches!(owner.receiver.recv().await, Some(ToOwner::Hello { node: NodeId(2), version: 1 })));
    owner.sender.send(FromOwner::Done { numbers: 5..=6 }).await.expect("the link is up");
    assert!(matches!(link.receiver.recv().await, Some(FromOwner::Done { numbers }) if numbers == (5..=6)));
}

#[tokio::test]
async fn large_frames_cross_in_order() {
    let (_router, manager, mut accepted) = linked(Security::PlainText).await;
    let tasks = TaskTracker::new();
    tasks.spawn(async move {
        for number in 1..=100 {
            manager.sender.send(inbound(number, 256 * 1024)).await.expect("the link is up");
        }
        manager
    });
    for number in 1..=100 {
        assert_eq!(sequence(&accepted.receiver.recv().await.expect("a frame")), number);
    }
}

#[tokio::test]
async fn an_owner_that_does_not_read_stops_the_other_side() {
    let (_router, manager, mut accepted) = linked(Security::PlainText).await;
    let total = 5 * FRAMES_MAX;
    // Both channels full, and what the two pumps and the stream between hold in hands.
    let bound = 2 * FRAMES_MAX + 4 * BATCH_FRAMES_MAX;
    let sent = Arc::new(AtomicUsize::new(0));
    let (tasks, counter) = (TaskTracker::new(), sent.clone());
    let sending = tasks.spawn(async move {
        for number in 0..total {
            manager.sender.send(inbound(number as u64, 10)).await.expect("the link is up");
            counter.fetch_add(1, Ordering::SeqCst);
        }
        manager
    });
    while accepted.receiver.len() < FRAMES_MAX || sent.load(Ordering::SeqCst) < 2 * FRAMES_MAX {
        tokio::task::yield_now().await;
    }
    for number in 0..total {
        assert!(sent.load(Ordering::SeqCst) - number <= bound);
        assert_eq!(sequence(&accepted.receiver.recv().await.expect("a frame")), number as u64);
    }
    sending.await.expect("all were sent");
}

#[tokio::test]
async fn what_was_sent_before_leaving_arrives_and_then_the_end() {
    let (_router, manager, mut accepted) = linked(Security::PlainText).await;
    for number in 0..2000 {
        manager.sender.send(inbound(number, 10)).await.expect("the link is up");
    }
    drop(manager);
    for number in 0..2000 {
        assert_eq!(sequence(&accepted.receiver.recv().await.expect("a frame")), number);
    }
    assert!(accepted.receiver.recv().await.is_none());
    accepted.sender.closed().await;
}

#[tokio::test]
async fn a_manager_sees_that_its_router_has_left() {
    let (_router, mut manager, accepted) = linked(Security::PlainText).await;
    accepted.sender.send(ToManager::Pong).await.expect("the link is up");
    drop(accepted);
    assert!(matches!(manager.receiver.recv().await, Some(ToManager::Pong)));
    assert!(manager.receiver.recv().await.is_none());
    manager.sender.closed().await;
}

#[tokio::test]
async fn a_router_that_stops_ends_its_links_and_itself() {
    let (router, mut manager, mut accepted) = linked(Security::PlainText).await;
    router.stop.cancel();
    assert!(manager.receiver.recv().await.is_none());
    assert!(accepted.receiver.recv().await.is_none());
    router.tasks.wait().await;
}

#[tokio::test]
async fn a_frozen_router_is_noticed() {
    let mut router = TestRouter::start("sr-1", Security::PlainText, Services::default()).await;
    let (through, frozen) = freezable(router.info.address.to_string()).await;
    let mut manager = dialer(Security::PlainText).attach(&through).await.expect("a link");
    let mut accepted = router.manager().await;
    manager.sender.send(ToRouter::Ping).await.expect("the link is up");
    assert!(matches!(accepted.receiver.recv().await, Some(ToRouter::Ping)));
    frozen.cancel();
    assert!(manager.receiver.recv().await.is_none());
    assert!(accepted.receiver.recv().await.is_none());
}

/// A way to `address` that keeps its connections but carries nothing any more once the token is cancelled.
async fn freezable(address: String) -> (RouterInfo, tokio_util::sync::CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let info = RouterInfo {
        node: NodeId(1),
        name: "sr-1".into(),
        address: listener.local_addr().expect("an address").to_string().into(),
    };
    let frozen = tokio_util::sync::CancellationToken::new();
    let (tasks, token) = (TaskTracker::new(), frozen.clone());
    tasks.spawn(async move {
        let (mut near, _) = listener.accept().await.expect("a connection");
        let mut far = TcpStream::connect(address).await.expect("the router");
        token.run_until_cancelled(tokio::io::copy_bidirectional(&mut near, &mut far)).await;
        // Held open for as long as the test runs.
        std::future::pending::<()>().await;
    });
    (info, frozen)
}

#[tokio::test]
async fn garbage_ends_only_its_own_connection() {
    let (mut router, mut manager, mut accepted) = linked(Security::PlainText).await;
    let preface: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    let garbage: [&[&[u8]]; 5] = [
        &[b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"],
        &[&[0xff; 256]],
        // A frame longer than SETTINGS_MAX_FRAME_SIZE.
        &[preface, settings, &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]],
        // DATA on a stream that was never opened.
        &[preface, settings, &[0, 0, 4, 0, 0, 0, 0, 0, 9, 1, 2, 3, 4]],
        // HEADERS whose block is no HPACK.
        &[preface, settings, &[0, 0, 4, 1, 5, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]],
    ];
    for parts in garbage {
        let mut stream = TcpStream::connect(&*router.info.address).await.expect("a connection");
        for part in parts {
            // The server may have closed already.
            let _ = stream.write_all(part).await;
        }
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
    }
    assert!(router.attached.try_recv().is_err());
    manager.sender.send(ToRouter::Ping).await.expect("the link is up");
    assert!(matches!(accepted.receiver.recv().await, Some(ToRouter::Ping)));
    let request = RequestId(1);
    let leader = crate::attach::Leader { shard: ShardId(0), term: crate::Term(1), node: None };
    accepted.sender.send(ToManager::NotLeader { request, leader }).await.expect("the link is up");
    assert!(matches!(manager.receiver.recv().await, Some(ToManager::NotLeader { .. })));
}
