//! Raft, cluster and administration calls arrive as they were made, and their failures as what they are.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vesta_xmpp::{BareJid, FullJid, Secret};

use super::routers::{TestRouter, dialer};
use crate::administration::{
    AccountAction, AccountCommand, Administration, AdministrationAddress, AdministrationClient, AdministrationError,
    ClusterStatus, DatabaseStatus, GroupStatus, ManagerStatus, Outcome, RouterStatus, SessionRecord, UserRecord,
};
use crate::cluster::{Admission, AdmitRequest, ClusterAcceptor, ClusterDialer, ClusterId, Identity};
use crate::grpc::{Services, bind_socket, serve_socket};
use crate::link::LinkError;
use crate::raft::{
    AppendReply, AppendRequest, Entry, GroupId, LogId, Membership, Payload, RaftAcceptor, RaftCallError, RaftDialer,
    RaftRefusal, Receiver, SnapshotRequest, TransferRequest, Vote, VoteReply, VoteRequest,
};
use crate::tls::Security;
use crate::{NodeId, ShardId, Term};

/// Answers with what it was asked. It has a replica of group 1 alone, and leads that.
pub(super) struct Answering;

pub(super) fn vote() -> Vote {
    Vote { term: 3, node: NodeId(2), committed: true }
}

fn log_id(index: u64) -> LogId {
    LogId { term: 3, index }
}

pub(super) fn receiver(group: u32) -> Receiver {
    Receiver { group: GroupId(group), node: NodeId(1) }
}

fn replica(receiver: Receiver) -> Result<(), RaftRefusal> {
    if receiver.node != NodeId(1) {
        return Err(RaftRefusal::OtherNode("this is node 1".to_owned()));
    }
    match receiver.group.0 {
        1 => Ok(()),
        2 => Err(RaftRefusal::Stopped("the disk is full".to_owned())),
        _ => Err(RaftRefusal::NoReplica(receiver.group)),
    }
}

#[async_trait]
impl RaftAcceptor for Answering {
    async fn append(&self, request: AppendRequest) -> Result<AppendReply, RaftRefusal> {
        replica(request.receiver)?;
        Ok(match request.entries.last() {
            Some(last) => AppendReply::PartialSuccess(Some(last.id)),
            None => AppendReply::HigherVote(request.vote),
        })
    }

    async fn vote(&self, request: VoteRequest) -> Result<VoteReply, RaftRefusal> {
        replica(request.receiver)?;
        Ok(VoteReply { vote: request.vote, granted: request.pre_vote, last: request.last })
    }

    async fn snapshot(&self, request: SnapshotRequest) -> Result<Vote, RaftRefusal> {
        replica(request.receiver)?;
        assert_eq!(request, snapshot(request.receiver, request.state.len()));
        Ok(request.vote)
    }

    async fn transfer(&self, request: TransferRequest) -> Result<(), RaftRefusal> {
        replica(request.receiver)
    }
}

#[async_trait]
impl ClusterAcceptor for Answering {
    async fn identify(&self) -> Identity {
        Identity { name: "sr-1".to_owned(), member: Some((ClusterId(u64::MAX), NodeId(7))) }
    }

    async fn admit(&self, request: AdmitRequest) -> Admission {
        match request.disk {
            0 => Admission::Elsewhere(Some(request.address)),
            1 => Admission::Refused(request.name),
            disk => Admission::Admitted { cluster: ClusterId(disk), node: NodeId(9) },
        }
    }

    async fn administer(&self, command: AccountCommand) -> Result<Outcome, AdministrationError> {
        Administration::administer(self, command).await
    }

    async fn sessions(&self, _: Option<&str>, _: u32) -> Vec<SessionRecord> {
        vec![session()]
    }
}

#[async_trait]
impl Administration for Answering {
    async fn administer(&self, command: AccountCommand) -> Result<Outcome, AdministrationError> {
        match command.action {
            AccountAction::Create { .. } => Err(AdministrationError::Exists),
            AccountAction::SetPassword { password } if password.matches("secret ü".as_bytes()) => Ok(Outcome::Done),
            AccountAction::SetPassword { .. } => Err(AdministrationError::Invalid("unusable".to_owned())),
            AccountAction::Remove => Err(AdministrationError::NotFound(command.account.to_string())),
            AccountAction::CloseSessions { resource: None } => Err(AdministrationError::NoLeader),
            AccountAction::CloseSessions { .. } => Err(AdministrationError::Unavailable("no database".to_owned())),
        }
    }

    async fn users(
        &self,
        host: &str,
        after: Option<&BareJid>,
        limit: u32,
    ) -> Result<Vec<UserRecord>, AdministrationError> {
        assert_eq!((host, after.map(|after| after.as_str()), limit), ("example.com", Some("a@example.com"), 10));
        Ok(vec![UserRecord { account: account(), created_at_ms: 12 }])
    }

    async fn sessions(&self, host: Option<&str>, _: u32) -> Result<Vec<SessionRecord>, AdministrationError> {
        assert_eq!(host, None);
        Ok(vec![session()])
    }

    async fn cluster_status(&self) -> Result<ClusterStatus, AdministrationError> {
        Ok(status())
    }
}

fn account() -> BareJid {
    BareJid::parse("juliet@example.com").expect("a JID")
}

fn session() -> SessionRecord {
    SessionRecord {
        jid: FullJid::parse("juliet@example.com/balcony").expect("a JID"),
        manager: "cm-1".to_owned(),
        shard: ShardId(3),
        bound_at_ms: 5,
        priority: Some(-1),
    }
}

fn status() -> ClusterStatus {
    let (name, address) = ("sr-1".to_owned(), "host:1".to_owned());
    let (leader, voters) = (Some(NodeId(1)), vec![NodeId(1), NodeId(2)]);
    ClusterStatus {
        cluster: "c0ffee".to_owned(),
        version: "1.2.3".to_owned(),
        routers: vec![RouterStatus { node: NodeId(1), name, address, reachable: true }],
        managers: vec![ManagerStatus { name: "cm-1".to_owned(), sessions: 3 }],
        groups: vec![
            GroupStatus { shard: None, leader, term: Term(4), voters, sessions: None },
            GroupStatus { shard: Some(ShardId(0)), leader: None, term: Term(0), voters: vec![], sessions: Some(0) },
        ],
        database: DatabaseStatus { reachable: true, note: "SQLite".to_owned() },
    }
}

fn snapshot(receiver: Receiver, bytes: usize) -> SnapshotRequest {
    SnapshotRequest {
        receiver,
        vote: vote(),
        last: Some(log_id(10)),
        membership_id: Some(log_id(4)),
        membership: Membership { voters: vec![vec![NodeId(1), NodeId(2)]], members: vec![] },
        id: "3-2-10".to_owned(),
        state: (0..bytes).map(|at| at as u8).collect(),
    }
}

async fn router() -> TestRouter {
    let services =
        Services { raft: Some(Arc::new(Answering)), cluster: Some(Arc::new(Answering)), ..Services::default() };
    TestRouter::start("sr-1", Security::PlainText, services).await
}

fn append(group: u32, entries: Vec<Entry>) -> AppendRequest {
    AppendRequest { receiver: receiver(group), vote: vote(), previous: None, entries, committed: Some(log_id(1)) }
}

#[tokio::test]
async fn raft_calls_arrive() {
    let (router, dialer) = (router().await, dialer(Security::PlainText));
    let entry = Entry { id: log_id(2), payload: Payload::Command(Bytes::from_static(b"command")) };
    let reply = dialer.append(&router.info, append(1, vec![entry])).await.expect("a reply");
    assert_eq!(reply, AppendReply::PartialSuccess(Some(log_id(2))));
    let reply = dialer.append(&router.info, append(1, vec![])).await.expect("a reply");
    assert_eq!(reply, AppendReply::HigherVote(vote()));
    let request = VoteRequest {
        receiver: receiver(1),
        vote: vote(),
        last: Some(log_id(8)),
        pre_vote: true,
        leader_transfer: false,
    };
    let reply = dialer.vote(&router.info, request).await.expect("a reply");
    assert_eq!(reply, VoteReply { vote: vote(), granted: true, last: Some(log_id(8)) });
    let request = TransferRequest { receiver: receiver(1), from: vote(), to: NodeId(1), last: None };
    dialer.transfer(&router.info, request).await.expect("a reply");
}

#[tokio::test]
async fn snapshots_of_any_length_arrive_whole() {
    let (router, dialer) = (router().await, dialer(Security::PlainText));
    for bytes in [0, 1, 1024 * 1024, 3 * 1024 * 1024 + 17] {
        let reply = dialer.snapshot(&router.info, snapshot(receiver(1), bytes)).await.expect("a reply");
        assert_eq!(reply, vote());
    }
}

#[tokio::test]
async fn refusals_of_raft_calls_are_told_from_broken_links() {
    let (router, dialer) = (router().await, dialer(Security::PlainText));
    let stopped = RaftRefusal::Stopped("the disk is full".to_owned());
    for (group, refusal) in [(2, stopped), (3, RaftRefusal::NoReplica(GroupId(3)))] {
        match dialer.append(&router.info, append(group, vec![])).await {
            Err(RaftCallError::Refused(reason)) => assert_eq!(reason, refusal),
            other => panic!("a refusal, not {other:?}"),
        }
    }
    let astray = AppendRequest { receiver: Receiver { group: GroupId(1), node: NodeId(2) }, ..append(1, vec![]) };
    match dialer.append(&router.info, astray).await {
        Err(RaftCallError::Refused(RaftRefusal::OtherNode(reason))) => assert_eq!(reason, "this is node 1"),
        other => panic!("a refusal, not {other:?}"),
    }
    router.stop.cancel();
    router.tasks.wait().await;
    match dialer.append(&router.info, append(1, vec![])).await {
        Err(RaftCallError::Link(LinkError::Unreachable { .. })) => {}
        other => panic!("a broken link, not {other:?}"),
    }
}

/// They go together, and each gets its own answer.
#[tokio::test]
async fn heartbeats_of_many_groups_share_a_call() {
    let (router, dialer) = (router().await, dialer(Security::PlainText));
    let astray = AppendRequest { receiver: Receiver { group: GroupId(1), node: NodeId(2) }, ..append(1, vec![]) };
    let beats = [append(1, vec![]), append(2, vec![]), append(3, vec![]), astray];
    let mut outcomes = join_all(beats.map(|beat| dialer.heartbeat(&router.info, beat))).await.into_iter();
    let mut next = || outcomes.next().expect("one for each");
    assert!(matches!(next(), Ok(AppendReply::HigherVote(reply)) if reply == vote()));
    assert!(matches!(next(), Err(RaftCallError::Refused(RaftRefusal::Stopped(_)))));
    assert!(matches!(next(), Err(RaftCallError::Refused(RaftRefusal::NoReplica(GroupId(3))))));
    assert!(matches!(next(), Err(RaftCallError::Refused(RaftRefusal::OtherNode(_)))));

    router.stop.cancel();
    router.tasks.wait().await;
    for outcome in join_all([1, 2].map(|group| dialer.heartbeat(&router.info, append(group, vec![])))).await {
        assert!(matches!(outcome, Err(RaftCallError::Link(LinkError::Unreachable { .. }))), "{outcome:?}");
    }
}

#[tokio::test]
async fn cluster_calls_arrive() {
    let (router, dialer) = (router().await, dialer(Security::PlainText));
    let address = &router.info.address;
    assert_eq!(dialer.identify(address).await.expect("a reply"), Answering.identify().await);
    for disk in 0..3 {
        let request = AdmitRequest { name: "sr-9".to_owned(), address: "host:9".to_owned(), disk };
        let expected = Answering.admit(request.clone()).await;
        assert_eq!(dialer.admit(address, request).await.expect("a reply"), expected);
    }
    let command = AccountCommand { account: account(), action: AccountAction::Remove };
    let reply = ClusterDialer::administer(&dialer, address, command).await.expect("a reply");
    assert_eq!(reply, Err(AdministrationError::NotFound(account().to_string())));
    assert_eq!(dialer.sessions(address, Some("example.com"), 5).await.expect("a reply"), vec![session()]);
}

#[tokio::test]
async fn an_operator_is_served_over_the_socket() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("administration.socket");
    let listener = bind_socket(&path).expect("a socket");
    assert_eq!(std::fs::metadata(&path).expect("the file").permissions().mode() & 0o777, 0o600);
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    tasks.spawn(serve_socket(listener, Arc::new(Answering), stop.clone()));
    tasks.close();
    let address = AdministrationAddress::Socket(path);
    let client = AdministrationClient::connect(&address, &Security::PlainText).await.expect("a connection");

    let administer = async |action| client.administer(AccountCommand { account: account(), action }).await;
    assert_eq!(
        administer(AccountAction::Create { password: Secret::from("a") }).await,
        Err(AdministrationError::Exists)
    );
    assert_eq!(administer(AccountAction::SetPassword { password: Secret::from("secret ü") }).await, Ok(Outcome::Done));
    let unusable = administer(AccountAction::SetPassword { password: Secret::from("") }).await;
    assert_eq!(unusable, Err(AdministrationError::Invalid("unusable".to_owned())));
    let away = administer(AccountAction::CloseSessions { resource: Some("balcony".to_owned()) }).await;
    assert_eq!(away, Err(AdministrationError::Unavailable("no database".to_owned())));
    let unled = administer(AccountAction::CloseSessions { resource: None }).await;
    assert_eq!(unled, Err(AdministrationError::NoLeader));

    let after = BareJid::parse("a@example.com").expect("a JID");
    let users = client.users("example.com", Some(&after), 10).await.expect("users");
    assert_eq!(users, vec![UserRecord { account: account(), created_at_ms: 12 }]);
    assert_eq!(client.sessions(None, 10).await.expect("sessions"), vec![session()]);
    assert_eq!(client.cluster_status().await.expect("a status"), status());
    stop.cancel();
    tasks.wait().await;
}

#[tokio::test]
async fn a_socket_is_replaced_only_where_nobody_listens() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("administration.socket");
    let live = bind_socket(&path).expect("a socket");
    assert_eq!(bind_socket(&path).expect_err("in use").kind(), std::io::ErrorKind::AddrInUse);
    drop(live);
    drop(bind_socket(&path).expect("the stale one is replaced"));
    let file = directory.path().join("notes.txt");
    std::fs::write(&file, "mine").expect("a file");
    assert_eq!(bind_socket(&file).expect_err("no socket").kind(), std::io::ErrorKind::AlreadyExists);
}
