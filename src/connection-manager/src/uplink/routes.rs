//! Which router leads which shard, as far as this manager knows, and the links that are up.

use std::sync::Arc;

use vesta_wire::attach::Leader;
use vesta_wire::ids::shard_of;
use vesta_wire::{NodeId, ShardId, Term};
use vesta_xmpp::hash::HashMap;

use super::link::RouterLink;

/// See the module's documentation. Terms only grow: older news is ignored.
#[derive(Debug, Default)]
pub(super) struct Routes {
    shards: Option<u32>,
    leaders: HashMap<ShardId, (Term, Option<NodeId>)>,
    links: HashMap<NodeId, Arc<RouterLink>>,
}

impl Routes {
    /// Takes the number of shards, fixed for the cluster's life. `false`: it is not what another router said.
    pub(super) fn set_shards(&mut self, shards: u32) -> bool {
        shards > 0 && *self.shards.get_or_insert(shards) == shards
    }

    /// The shard of a bare JID; `None` until a first router has said how many there are.
    pub(super) fn shard_of(&self, bare: &str) -> Option<ShardId> {
        Some(shard_of(bare, self.shards?))
    }

    /// Takes news of a leader. Whether it is news.
    pub(super) fn observe(&mut self, news: Leader) -> bool {
        let known = self.leaders.entry(news.shard).or_default();
        let newer = news.term > known.0 || (news.term == known.0 && known.1.is_none() && news.node.is_some());
        if newer {
            *known = (news.term, news.node);
        }
        newer
    }

    /// The newest term known of a shard.
    pub(super) fn term(&self, shard: ShardId) -> Term {
        self.leaders.get(&shard).map(|(term, _)| *term).unwrap_or_default()
    }

    /// The link to a shard's leader, if it is known and up.
    pub(super) fn to_leader(&self, shard: ShardId) -> Option<&Arc<RouterLink>> {
        self.links.get(&self.leaders.get(&shard)?.1?)
    }

    /// Whether every shard's leader is known and linked.
    pub(super) fn is_complete(&self) -> bool {
        self.shards.is_some_and(|shards| (0..shards).all(|shard| self.to_leader(ShardId(shard)).is_some()))
    }

    /// Takes a link that has come up. `false`: there is one to that router already.
    pub(super) fn link_up(&mut self, link: &Arc<RouterLink>) -> bool {
        if self.links.contains_key(&link.node) {
            return false;
        }
        self.links.insert(link.node, link.clone());
        true
    }

    /// Whether there is a link to a router.
    pub(super) fn is_linked(&self, node: NodeId) -> bool {
        self.links.contains_key(&node)
    }

    /// Forgets a link that is lost.
    pub(super) fn link_down(&mut self, link: &Arc<RouterLink>) {
        if self.links.get(&link.node).is_some_and(|held| Arc::ptr_eq(held, link)) {
            self.links.remove(&link.node);
        }
    }

    /// The shards that a router leads.
    pub(super) fn led_by(&self, node: NodeId) -> Vec<ShardId> {
        self.leaders.iter().filter(|(_, (_, leader))| *leader == Some(node)).map(|(shard, _)| *shard).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leader(term: u64, node: Option<u64>) -> Leader {
        Leader { shard: ShardId(3), term: Term(term), node: node.map(NodeId) }
    }

    #[test]
    fn only_newer_terms_and_an_election_s_outcome_are_news() {
        let mut routes = Routes::default();
        let table = [
            (leader(2, Some(1)), true),
            (leader(2, Some(1)), false),
            (leader(1, Some(9)), false),
            (leader(2, None), false),
            (leader(3, None), true),
            (leader(2, Some(1)), false),
            (leader(3, Some(2)), true),
        ];
        for (news, is_news) in table {
            assert_eq!(routes.observe(news), is_news, "{news:?}");
        }
        assert_eq!(routes.term(ShardId(3)), Term(3));
        assert_eq!(routes.led_by(NodeId(2)), [ShardId(3)]);
    }

    #[test]
    fn the_number_of_shards_never_changes() {
        let mut routes = Routes::default();
        assert!(routes.set_shards(8));
        assert!(routes.set_shards(8));
        assert!(!routes.set_shards(64));
    }
}
