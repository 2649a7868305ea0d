//! What a group promises its user: commands are applied everywhere, once a majority has them; a leader knows when it is none.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use vesta_wire::NodeId;
use vesta_wire::attach::RouterInfo;
use vesta_wire::raft::{
    AppendReply, AppendRequest, RaftAcceptor, RaftCallError, RaftDialer, RaftRefusal, Receiver, SnapshotRequest,
    TransferRequest, Vote, VoteReply, VoteRequest,
};

use super::cluster::{Cluster, GROUP, Ledger, no_failure, router, settings, wait_for, wait_for_commands};
use crate::raft::{Machine, OpenError, ProposeError, RaftHost, RaftSettings, RestoreError};

/// A node without others.
struct Nobody;

#[async_trait]
impl RaftDialer for Nobody {
    async fn append(&self, _: &RouterInfo, request: AppendRequest) -> Result<AppendReply, RaftCallError> {
        Err(RaftRefusal::NoReplica(request.receiver.group).into())
    }
    async fn vote(&self, _: &RouterInfo, request: VoteRequest) -> Result<VoteReply, RaftCallError> {
        Err(RaftRefusal::NoReplica(request.receiver.group).into())
    }
    async fn snapshot(&self, _: &RouterInfo, request: SnapshotRequest) -> Result<Vote, RaftCallError> {
        Err(RaftRefusal::NoReplica(request.receiver.group).into())
    }
    async fn transfer(&self, _: &RouterInfo, request: TransferRequest) -> Result<(), RaftCallError> {
        Err(RaftRefusal::NoReplica(request.receiver.group).into())
    }
}

/// Replies with the index of the entry that carried the command.
struct Indexed;

impl Machine for Indexed {
    const COMMANDS_PER_ENTRY: usize = 1;
    fn apply(&mut self, index: u64, _command: &[u8]) -> Bytes {
        Bytes::from(index.to_string())
    }
    fn snapshot(&self) -> Bytes {
        Bytes::new()
    }
    fn restore(&mut self, _state: &[u8]) -> Result<(), RestoreError> {
        Ok(())
    }
}

/// Elections that never come by themselves.
fn patient() -> RaftSettings {
    let (hour, day) = (Duration::from_secs(3600), Duration::from_secs(86_400));
    RaftSettings { election_timeout: (hour, day), ..RaftSettings::default() }
}

#[tokio::test]
async fn the_only_voter_leads_without_waiting_for_an_election_timeout() {
    let cluster = Cluster::in_memory(1, 1, patient()).await;
    assert_eq!(cluster.leader().await, 1);
    assert!(cluster.group(1).leads_now());
    assert_eq!(cluster.propose("bind").await, "1");
}

#[tokio::test]
async fn the_only_voter_leads_at_once_after_a_restart_too() {
    let mut cluster = Cluster::on_disk(1, patient()).await;
    cluster.propose("bind").await;
    cluster.stop(1).await;
    cluster.start(1).await;
    assert_eq!(cluster.propose("unbind").await, "2");
}

#[tokio::test]
async fn concurrent_proposals_share_entries_and_each_gets_its_own_reply() {
    let cluster = Cluster::in_memory(1, 1, patient()).await;
    let group = cluster.group(cluster.leader().await);
    let before = group.status().last_log.unwrap();
    let replies = join_all((0..2000).map(|n| group.propose(Bytes::from(n.to_string())))).await;
    let mut counts: Vec<usize> =
        replies.into_iter().map(|reply| std::str::from_utf8(&reply.unwrap()).unwrap().parse().unwrap()).collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=2000).collect::<Vec<_>>());
    let entries = group.status().last_log.unwrap() - before;
    assert!(entries <= 100, "2,000 proposals took {entries} entries");
}

#[tokio::test]
async fn a_machine_that_names_things_by_index_gets_an_entry_for_each_command() {
    let host = RaftHost::in_memory(patient(), no_failure());
    let group = host.open_group(GROUP, NodeId(1), Indexed, Arc::new(Nobody)).await.unwrap();
    group.initialize(&[router(1)]).await.unwrap();
    group.leadership().wait_for(|leadership| leadership.leading).await.unwrap();
    let replies = join_all((0..50).map(|_| group.propose(Bytes::new()))).await;
    let indexes: std::collections::HashSet<Bytes> = replies.into_iter().map(Result::unwrap).collect();
    assert_eq!(indexes.len(), 50);
    host.stop().await;
}

/// D1: its address may have been given to a new node, which knows nothing of what the old one has promised.
#[tokio::test]
async fn a_request_for_another_node_is_refused() {
    let cluster = Cluster::in_memory(1, 1, patient()).await;
    let ask = async |node| {
        let vote = Vote { term: 9, node: NodeId(7), committed: false };
        let receiver = Receiver { group: GROUP, node: NodeId(node) };
        cluster.nodes[&1]
            .host
            .vote(VoteRequest { receiver, vote, last: None, pre_vote: true, leader_transfer: false })
            .await
    };
    let refused = RaftRefusal::OtherNode("the request is for node 2, but this is node 1".into());
    assert_eq!(ask(2).await, Err(refused));
    assert!(ask(1).await.is_ok());
}

#[tokio::test]
async fn a_group_is_initialized_once_and_opened_once() {
    let cluster = Cluster::in_memory(1, 1, patient()).await;
    assert!(!cluster.group(1).initialize(&[router(1)]).await.unwrap());
    let host = &cluster.nodes[&1].host;
    let again = host.open_group(GROUP, NodeId(1), Ledger::default(), Arc::new(Nobody)).await;
    assert!(matches!(again, Err(OpenError::AlreadyOpen(group)) if group == GROUP));
}

#[tokio::test]
async fn all_members_apply_the_same_commands() {
    let cluster = Cluster::in_memory(3, 3, settings()).await;
    for (number, command) in ["one", "two", "three"].into_iter().enumerate() {
        assert_eq!(cluster.propose(command).await, (number + 1).to_string());
    }
    for node in 1..=3 {
        wait_for_commands(cluster.group(node), 3).await;
        assert_eq!(cluster.group(node).read(|ledger| ledger.commands.clone()), ["one", "two", "three"]);
    }
}

#[tokio::test]
async fn a_follower_names_the_leader_to_those_who_propose_to_it() {
    let cluster = Cluster::in_memory(3, 3, settings()).await;
    let leader = cluster.leader().await;
    let follower = cluster.group(leader % 3 + 1);
    wait_for(follower, |leadership| leadership.leader == Some(NodeId(leader))).await;
    let refused = follower.propose(Bytes::from_static(b"bind")).await;
    assert_eq!(refused, Err(ProposeError::NotLeader(Some(NodeId(leader)))));
}

#[tokio::test]
async fn the_others_go_on_when_the_leader_is_lost() {
    let mut cluster = Cluster::in_memory(3, 3, settings()).await;
    cluster.propose("before").await;
    let lost = cluster.leader().await;
    let term = wait_for(cluster.group(lost), |leadership| leadership.leading).await.term;
    cluster.stop(lost).await;
    assert_eq!(cluster.propose("after").await, "2");
    let leader = cluster.leader().await;
    assert!(wait_for(cluster.group(leader), |leadership| leadership.leading).await.term > term);
}

#[tokio::test]
async fn a_leader_that_is_cut_off_knows_that_it_leads_no_more_and_what_it_proposed_is_undecided() {
    let cluster = Cluster::in_memory(3, 3, settings()).await;
    cluster.propose("before").await;
    let cut_off = cluster.leader().await;
    cluster.wires.cut(cut_off);
    let undecided = cluster.group(cut_off).propose(Bytes::from_static(b"lost")).await;
    assert_eq!(undecided, Err(ProposeError::Undecided));
    wait_for(cluster.group(cut_off), |leadership| !leadership.leading).await;
    assert!(!cluster.group(cut_off).leads_now());
    assert_eq!(cluster.group(cut_off).propose(Bytes::new()).await, Err(ProposeError::NotLeader(None)));

    let successor = cluster.leader_but(cut_off).await;
    cluster.group(successor).propose(Bytes::from_static(b"after")).await.unwrap();
    cluster.wires.heal(cut_off);
    wait_for_commands(cluster.group(cut_off), 2).await;
    assert_eq!(cluster.group(cut_off).read(|ledger| ledger.commands.clone()), ["before", "after"]);
}

#[tokio::test]
async fn a_follower_that_missed_purged_entries_gets_a_snapshot() {
    let settings = RaftSettings { snapshot_every: 10, keep_entries: 2, ..settings() };
    let cluster = Cluster::in_memory(3, 3, settings).await;
    cluster.propose("first").await;
    let behind = cluster.leader().await % 3 + 1;
    cluster.wires.cut(behind);
    let known = cluster.group(behind).status().last_log;
    let mut count = 1;
    while cluster.group(cluster.leader_but(behind).await).status().purged <= known {
        cluster.propose("more").await;
        count += 1;
    }
    cluster.wires.heal(behind);
    wait_for_commands(cluster.group(behind), count).await;
    assert!(cluster.wires.snapshots.load(Ordering::SeqCst) > 0);
}

#[tokio::test]
async fn everything_is_there_again_after_all_nodes_were_restarted() {
    let settings = RaftSettings { snapshot_every: 10, keep_entries: 2, ..settings() };
    let mut cluster = Cluster::on_disk(3, settings).await;
    for _ in 0..25 {
        cluster.propose("before").await;
    }
    let leader = cluster.leader().await;
    let status = cluster.group(leader).status();
    cluster.stop_all().await;
    for node in 1..=3 {
        cluster.start(node).await;
        assert!(cluster.group(node).status().term >= status.term, "a vote was forgotten");
    }
    assert_eq!(cluster.propose("after").await, "26");
    assert_eq!(cluster.group(1).membership().members.len(), 3);
    cluster.stop_all().await;
}

#[tokio::test]
async fn a_closed_group_can_be_opened_again_with_all_it_had() {
    let cluster = Cluster::on_disk(1, patient()).await;
    for _ in 0..20 {
        cluster.propose("before").await;
    }
    let host = &cluster.nodes[&1].host;
    host.close_group(GROUP).await;
    let undecided = cluster.group(1).propose(Bytes::from_static(b"too late")).await;
    assert!(undecided.is_err());
    let again = host.open_group(GROUP, NodeId(1), Ledger::default(), Arc::new(Nobody)).await.unwrap();
    wait_for(&again, |leadership| leadership.leading).await;
    assert_eq!(again.read(|ledger| ledger.commands.len()), 20);
    host.stop().await;
}

#[tokio::test]
async fn a_node_remembers_its_identity() {
    let directory = tempfile::tempdir().unwrap();
    let host = RaftHost::on_disk(directory.path(), settings(), no_failure()).unwrap();
    assert_eq!(host.recall("raft-id").unwrap(), None);
    host.remember("raft-id", Bytes::from_static(b"7")).await.unwrap();
    let second = RaftHost::on_disk(directory.path(), settings(), no_failure());
    assert!(matches!(second, Err(OpenError::InUse { .. })));
    host.stop().await;
    let host = RaftHost::on_disk(directory.path(), settings(), no_failure()).unwrap();
    assert_eq!(host.recall("raft-id").unwrap(), Some(Bytes::from_static(b"7")));
    host.stop().await;
}

#[tokio::test]
async fn contradicting_times_are_refused() {
    let settings = RaftSettings { heartbeat: Duration::from_secs(3), ..RaftSettings::default() };
    let host = RaftHost::in_memory(settings, no_failure());
    let opened = host.open_group(GROUP, NodeId(1), Ledger::default(), Arc::new(Nobody)).await;
    assert!(matches!(opened, Err(OpenError::Start { .. })));
}
