//! Who may call what, and who is turned away (threat T58).

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::calls::{Answering, receiver, vote};
use super::routers::{Cluster, TestRouter, dialer, write};
use crate::NodeId;
use crate::administration::{Administration, AdministrationAddress, AdministrationClient};
use crate::attach::RouterInfo;
use crate::cluster::ClusterDialer;
use crate::grpc::Services;
use crate::link::{AttachDialer, ForwardDialer, LinkError};
use crate::raft::{RaftDialer, VoteRequest};
use crate::tls::{NodeIdentity, NodeTls, Role, Security, issue};

fn all_services() -> Services {
    Services {
        raft: Some(Arc::new(Answering)),
        cluster: Some(Arc::new(Answering)),
        administration: Some(Arc::new(Answering)),
        ..Services::default()
    }
}

/// Which of attach, forward, Raft, cluster, administration a node may call.
async fn allowed(router: &RouterInfo, security: Security) -> [bool; 5] {
    let dialer = dialer(security.clone());
    let vote = VoteRequest { receiver: receiver(1), vote: vote(), last: None, pre_vote: false, leader_transfer: false };
    let network = AdministrationAddress::Network(router.address.to_string());
    let administration = match AdministrationClient::connect(&network, &security).await {
        Ok(client) => client.cluster_status().await.is_ok(),
        Err(_) => false,
    };
    [
        dialer.attach(router).await.is_ok(),
        dialer.forward(router).await.is_ok(),
        dialer.vote(router, vote).await.is_ok(),
        dialer.identify(&router.address).await.is_ok(),
        administration,
    ]
}

#[tokio::test]
async fn each_role_may_call_its_services_and_no_other() {
    let cluster = Cluster::new();
    let router = TestRouter::start("sr-1", cluster.node(Role::SessionRouter, "sr-1"), all_services()).await;
    for (role, expected) in [
        (Role::ConnectionManager, [true, false, false, false, false]),
        (Role::SessionRouter, [false, true, true, true, true]),
        (Role::Administrator, [false, false, false, false, true]),
    ] {
        assert_eq!(allowed(&router.info, cluster.node(role, "somebody")).await, expected, "{role}");
    }
}

#[tokio::test]
async fn a_refused_role_is_told_so() {
    let cluster = Cluster::new();
    let router = TestRouter::start("sr-1", cluster.node(Role::SessionRouter, "sr-1"), all_services()).await;
    let error = dialer(cluster.node(Role::ConnectionManager, "cm-1")).forward(&router.info).await.expect_err("refused");
    assert!(matches!(&error, LinkError::Refused { reason, .. } if reason.contains("connection-manager")), "{error}");
}

#[tokio::test]
async fn only_the_router_that_was_meant_is_taken() {
    let cluster = Cluster::new();
    let managers = dialer(cluster.node(Role::ConnectionManager, "cm-1"));
    for (role, name) in
        [(Role::SessionRouter, "sr-2"), (Role::ConnectionManager, "sr-1"), (Role::Administrator, "sr-1")]
    {
        let mut router = TestRouter::start("sr-1", cluster.node(role, name), Services::default()).await;
        let error = managers.attach(&router.info).await.expect_err("somebody else");
        assert!(matches!(error, LinkError::Refused { .. }), "{error}");
        assert!(router.attached.try_recv().is_err());
    }
}

#[tokio::test]
async fn nodes_of_another_authority_are_turned_away_on_both_sides() {
    let (ours, theirs) = (Cluster::new(), Cluster::new());
    let mut router = TestRouter::start("sr-1", ours.node(Role::SessionRouter, "sr-1"), Services::default()).await;
    let error = dialer(theirs.node(Role::ConnectionManager, "cm-1")).attach(&router.info).await.expect_err("untrusted");
    assert!(matches!(error, LinkError::Refused { .. }), "{error}");
    // One that trusts the router, but is not trusted by it.
    let files = theirs.files(Role::ConnectionManager, "cm-1");
    write(&files.ca, &ours.authority.certificate);
    let half = Security::MutualTls(NodeTls::load(files).expect("usable files"));
    dialer(half).attach(&router.info).await.expect_err("untrusted");
    assert!(router.attached.try_recv().is_err());
}

#[tokio::test]
async fn plain_text_is_refused_where_tls_is_on() {
    let cluster = Cluster::new();
    let mut router = TestRouter::start("sr-1", cluster.node(Role::SessionRouter, "sr-1"), Services::default()).await;
    dialer(Security::PlainText).attach(&router.info).await.expect_err("refused");
    let mut stream = TcpStream::connect(&*router.info.address).await.expect("a connection");
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("written");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(router.attached.try_recv().is_err());
}

#[tokio::test]
async fn nobody_at_the_address_is_not_a_refusal() {
    let nobody = RouterInfo { node: NodeId(1), name: "sr-1".into(), address: "127.0.0.1:1".into() };
    for address in ["127.0.0.1:1", "no port", ""] {
        let nobody = RouterInfo { address: address.into(), ..nobody.clone() };
        let error = dialer(Security::PlainText).attach(&nobody).await.expect_err("nobody there");
        assert!(matches!(error, LinkError::Unreachable { .. }), "{error}");
    }
}

#[test]
fn a_changed_certificate_is_used_for_new_connections_and_a_broken_one_is_not() {
    let cluster = Cluster::new();
    let files = cluster.files(Role::SessionRouter, "sr-1");
    let tls = NodeTls::load(files.clone()).expect("usable files");
    let renewed = NodeIdentity { role: Role::SessionRouter, name: "a-longer-name".to_owned() };
    let pem = issue(&cluster.authority, &renewed).expect("a certificate");
    write(&files.certificate, &pem.certificate);
    assert_eq!(tls.keys().identity.name, "sr-1", "the certificate does not go with the key yet");
    write(&files.key, &format!("{}\n", pem.key));
    assert_eq!(tls.keys().identity, renewed);
    write(&files.certificate, "nonsense");
    assert_eq!(tls.keys().identity, renewed);
}

#[test]
fn unusable_files_are_named() {
    let cluster = Cluster::new();
    let mut files = cluster.files(Role::SessionRouter, "sr-1");
    write(&files.key, "nonsense");
    let error = NodeTls::load(files.clone()).expect_err("no key").to_string();
    assert!(error.contains("sr-1.key.pem"), "{error}");
    files.certificate = files.ca.clone();
    let error = NodeTls::load(files).expect_err("no node").to_string();
    assert!(error.contains("sr-1."), "{error}");
}
