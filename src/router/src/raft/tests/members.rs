//! Changes of a group's members and of its leader.

use vesta_wire::NodeId;

use super::cluster::{Cluster, router, settings, wait_for, wait_for_commands};
use crate::raft::{ChangeError, RaftSettings};

#[tokio::test]
async fn a_group_grows_from_one_member_to_three_and_shrinks_to_the_new_ones() {
    let cluster = Cluster::in_memory(3, 1, settings()).await;
    cluster.propose("alone").await;
    let founder = cluster.group(1);
    for node in 2..=3 {
        founder.add_learner(&router(node)).await.unwrap();
    }
    assert_eq!(founder.status().learners, [NodeId(2), NodeId(3)]);
    founder.change_voters([1, 2, 3].map(NodeId)).await.unwrap();
    assert_eq!(founder.membership().voters, [[1, 2, 3].map(NodeId)]);
    wait_for_commands(cluster.group(3), 1).await;

    founder.transfer_leadership(NodeId(2)).await.unwrap();
    wait_for(cluster.group(2), |leadership| leadership.leading).await;
    cluster.group(2).change_voters([2, 3].map(NodeId)).await.unwrap();
    assert_eq!(cluster.group(2).status().voters, [2, 3].map(NodeId));
    assert_eq!(cluster.group(2).membership().members, [router(2), router(3)]);
}

#[tokio::test]
async fn a_leader_hands_over_and_leads_no_more() {
    let cluster = Cluster::in_memory(3, 3, settings()).await;
    cluster.propose("before").await;
    let leader = cluster.leader().await;
    let successor = leader % 3 + 1;
    cluster.group(leader).transfer_leadership(NodeId(successor)).await.unwrap();
    let known = wait_for(cluster.group(leader), |known| known.leader == Some(NodeId(successor))).await;
    assert!(!known.leading);
    wait_for(cluster.group(successor), |leadership| leadership.leading).await;
    assert_eq!(cluster.propose("after").await, "2");
}

#[tokio::test]
async fn a_leadership_that_nobody_takes_over_comes_back_by_an_election() {
    let cluster = Cluster::in_memory(3, 3, settings()).await;
    cluster.propose("before").await;
    let leader = cluster.leader().await;
    let unreachable = leader % 3 + 1;
    cluster.wires.cut(unreachable);
    let undecided = cluster.group(leader).transfer_leadership(NodeId(unreachable)).await;
    assert_eq!(undecided, Err(ChangeError::Undecided));
    assert_eq!(cluster.propose("after").await, "2");
}

#[tokio::test]
async fn only_a_leader_can_hand_over_and_only_to_a_voter() {
    let cluster = Cluster::in_memory(3, 3, settings()).await;
    let leader = cluster.leader().await;
    let stranger = cluster.group(leader).transfer_leadership(NodeId(9)).await;
    assert!(matches!(stranger, Err(ChangeError::Refused(_))));
    let follower = cluster.group(leader % 3 + 1);
    wait_for(follower, |known| known.leader == Some(NodeId(leader))).await;
    let refused = follower.transfer_leadership(NodeId(leader)).await;
    assert_eq!(refused, Err(ChangeError::NotLeader(Some(NodeId(leader)))));
}

#[tokio::test]
async fn a_process_that_is_the_whole_cluster_keeps_no_history_and_takes_no_other_member() {
    let cluster = Cluster::in_memory(1, 1, RaftSettings::alone()).await;
    let group = cluster.group(1);
    // Two times what makes a snapshot: what is purged is all that the last one covers.
    while group.status().purged < Some(2 * RaftSettings::alone().snapshot_every) {
        cluster.propose("bind").await;
    }
    assert!(group.status().last_log.is_some());
    let refused = group.add_learner(&router(2)).await;
    assert!(matches!(refused, Err(ChangeError::Refused(_))), "{refused:?}");
}
