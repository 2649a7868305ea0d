//! The stanzas of one shard on their way to its leader, in order (P3). No I/O.
//!
//! All that is unanswered is with one router at a time. Once that has refused one, everything stays here until the rest is
//! answered as well; then what was refused goes again, in its old order, before what waits.

use std::collections::{BTreeMap, VecDeque};

use smallvec::SmallVec;
use vesta_wire::NodeId;

/// See the module's documentation. `T` is what travels.
#[derive(Debug)]
pub struct Lane<T> {
    waiting: VecDeque<T>,
    /// Sent and not answered, by the number of the frame. All of them are with `at`.
    in_flight: BTreeMap<u64, T>,
    at: Option<NodeId>,
    /// Sent and refused, while others are still in flight.
    refused: BTreeMap<u64, T>,
    /// Who has refused something and not been told that the lane starts again.
    refused_by: SmallVec<[NodeId; 1]>,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            in_flight: BTreeMap::new(),
            at: None,
            refused: BTreeMap::new(),
            refused_by: SmallVec::new(),
        }
    }
}

impl<T> Lane<T> {
    /// Adds something at the end.
    pub fn push(&mut self, item: T) {
        self.waiting.push_back(item);
    }

    /// What is to be sent next; `None` if nothing waits, or if `to` (`None`: this router itself) has to wait for the answers of
    /// another one, or for its own.
    pub fn next_for(&self, to: Option<NodeId>) -> Option<&T> {
        let is_free = self.in_flight.is_empty() || (to.is_some() && self.at == to && self.refused.is_empty());
        self.waiting.front().filter(|_| is_free)
    }

    /// The first of what waits, to be taken away.
    pub fn take_next(&mut self) -> Option<T> {
        self.waiting.pop_front()
    }

    /// Puts back what [`Lane::take_next`] took.
    pub fn put_back(&mut self, item: T) {
        self.waiting.push_front(item);
    }

    /// Whether a frame to this router has to say that the lane starts again.
    pub fn restarts(&self, to: NodeId) -> bool {
        self.refused_by.contains(&to)
    }

    /// What was taken has been sent as this frame.
    pub fn sent(&mut self, to: NodeId, number: u64, item: T) {
        debug_assert!(self.in_flight.is_empty() || self.at == Some(to), "two routers at a time");
        self.refused_by.retain(|it| *it != to);
        self.at = Some(to);
        self.in_flight.insert(number, item);
    }

    /// A frame is answered for good.
    pub fn answered(&mut self, number: u64) -> Option<T> {
        let item = self.in_flight.remove(&number);
        self.restart_when_answered();
        item
    }

    /// A frame is refused.
    pub fn refused(&mut self, number: u64) {
        if let Some(item) = self.in_flight.remove(&number) {
            self.refused.insert(number, item);
            if let Some(at) = self.at.filter(|at| !self.refused_by.contains(at)) {
                self.refused_by.push(at);
            }
        }
        self.restart_when_answered();
    }

    /// The link to a router is lost: nobody knows what became of the frames on it.
    pub fn lost(&mut self, node: NodeId) {
        self.refused_by.retain(|it| *it != node);
        if self.at == Some(node) {
            self.refused.append(&mut self.in_flight);
            self.restart_when_answered();
        }
    }

    fn restart_when_answered(&mut self) {
        if self.in_flight.is_empty() {
            for (_, item) in std::mem::take(&mut self.refused).into_iter().rev() {
                self.waiting.push_front(item);
            }
        }
    }

    /// Whether nothing is on its way: the lane is not needed any more, unless somebody is to be told that it starts again.
    pub fn is_over(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_empty() && self.refused_by.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERONA: NodeId = NodeId(1);
    const PADUA: NodeId = NodeId(2);

    fn filled(count: u64) -> Lane<u64> {
        let mut lane = Lane::default();
        (1..=count).for_each(|item| lane.push(item));
        lane
    }

    /// Sends as much as may be sent, numbered from `number`.
    fn send(lane: &mut Lane<u64>, to: NodeId, mut number: u64) -> Vec<(u64, bool)> {
        let mut sent = Vec::new();
        while lane.next_for(Some(to)).is_some() {
            let restarts = lane.restarts(to);
            let item = lane.take_next().expect("there is one");
            lane.sent(to, number, item);
            sent.push((item, restarts));
            number += 1;
        }
        sent
    }

    #[test]
    fn what_one_router_has_not_answered_keeps_the_rest_from_another() {
        let mut lane = filled(2);
        assert_eq!(send(&mut lane, VERONA, 1), [(1, false), (2, false)]);
        lane.push(3);
        assert_eq!(lane.next_for(Some(PADUA)), None);
        assert_eq!(lane.next_for(None), None);
        assert_eq!(lane.answered(1), Some(1));
        assert_eq!(lane.answered(2), Some(2));
        assert_eq!(lane.next_for(None), Some(&3));
        assert_eq!(send(&mut lane, PADUA, 1), [(3, false)]);
    }

    /// Verona refuses the second while it still works at the first, and leads again before it sees the third.
    #[test]
    fn after_a_refusal_everything_waits_for_all_answers_and_goes_again_in_order() {
        let mut lane = filled(3);
        send(&mut lane, VERONA, 1);
        lane.push(4);
        lane.refused(2);
        assert_eq!(send(&mut lane, VERONA, 4), []);
        assert_eq!(send(&mut lane, PADUA, 1), []);
        lane.refused(3);
        lane.refused(1);
        assert_eq!(send(&mut lane, VERONA, 4), [(1, true), (2, false), (3, false), (4, false)]);
    }

    #[test]
    fn an_answer_that_comes_late_or_twice_changes_nothing() {
        let mut lane = filled(1);
        send(&mut lane, VERONA, 1);
        lane.refused(1);
        send(&mut lane, VERONA, 2);
        lane.refused(1);
        assert_eq!(lane.answered(1), None);
        assert_eq!(lane.answered(2), Some(1));
        assert!(lane.is_over());
    }

    #[test]
    fn a_lost_link_brings_everything_back_and_forgets_the_refusal() {
        let mut lane = filled(3);
        send(&mut lane, VERONA, 1);
        lane.refused(2);
        lane.lost(PADUA);
        assert_eq!(lane.next_for(Some(PADUA)), None, "Verona has yet to answer");
        lane.lost(VERONA);
        assert_eq!(send(&mut lane, VERONA, 4), [(1, false), (2, false), (3, false)]);
    }

    #[test]
    fn a_router_that_refused_is_told_of_the_restart_even_much_later() {
        let mut lane = filled(1);
        send(&mut lane, VERONA, 1);
        lane.refused(1);
        assert_eq!(send(&mut lane, PADUA, 1), [(1, false)]);
        lane.answered(1);
        assert!(!lane.is_over());
        lane.push(2);
        assert_eq!(send(&mut lane, VERONA, 2), [(2, true)]);
    }
}
