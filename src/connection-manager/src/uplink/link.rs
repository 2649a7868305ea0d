//! A link to one router while it is up: what waits for room on it, and who waits for an answer from it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};
use vesta_wire::NodeId;
use vesta_wire::attach::{RequestId, ToManager, ToRouter};
use vesta_xmpp::hash::HashMap;

use super::session::Session;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct RouterLink {
    /// The router at the other end.
    pub(super) node: NodeId,
    sender: mpsc::Sender<ToRouter>,
    /// Sessions that found the link full. Each is in here about once: the number of sessions bounds it.
    stalled: Mutex<VecDeque<Arc<Session>>>,
    stall: Notify,
    /// `None` once the link is lost.
    pending: Mutex<Option<HashMap<RequestId, oneshot::Sender<Reply>>>>,
    next_request: AtomicU64,
    receipts: Mutex<Receipts>,
}

/// What the router is to be told of stanzas that have come. Bounded by what the link holds.
#[derive(Debug, Default)]
struct Receipts {
    /// The greatest receipt that came in.
    last: u64,
    /// The greatest that was given.
    given: u64,
    /// Those behind that whose stanzas were refused.
    refused: Vec<u64>,
}

/// Why a frame can't be sent just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPermit {
    /// The link holds as many frames as it may.
    Full,
    /// The link is gone.
    Lost,
}

/// What a router answered to a request, and over which link.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) frame: ToManager,
    /// For a session that was bound: it lives from here on.
    pub(super) bound: Option<super::BoundHandle>,
}

impl RouterLink {
    pub(super) fn new(node: NodeId, sender: mpsc::Sender<ToRouter>) -> Arc<Self> {
        Arc::new(Self {
            node,
            sender,
            stalled: Mutex::default(),
            stall: Notify::new(),
            pending: Mutex::new(Some(HashMap::default())),
            next_request: AtomicU64::new(1),
            receipts: Mutex::default(),
        })
    }

    /// Room for one frame, at once or not at all.
    pub(super) fn try_reserve(&self) -> Result<mpsc::Permit<'_, ToRouter>, NoPermit> {
        self.sender.try_reserve().map_err(|error| match error {
            mpsc::error::TrySendError::Full(()) => NoPermit::Full,
            mpsc::error::TrySendError::Closed(()) => NoPermit::Lost,
        })
    }

    /// A stanza has come. Either what has to be kept of it is kept, or it was refused.
    pub(super) fn came(&self, receipt: u64, is_taken: bool) {
        if receipt == 0 {
            return;
        }
        let mut receipts = self.receipts.lock();
        receipts.last = receipt;
        if !is_taken {
            receipts.refused.push(receipt);
        }
    }

    /// Gives one receipt for all that came, if there is room; else with what comes next.
    pub(super) fn give_receipt(&self) {
        let mut receipts = self.receipts.lock();
        if receipts.last > receipts.given
            && let Ok(permit) = self.try_reserve()
        {
            receipts.given = receipts.last;
            permit.send(ToRouter::Taken { receipt: receipts.last, refused: std::mem::take(&mut receipts.refused) });
        }
    }

    /// Has a session come back when there is room.
    pub(super) fn stall(&self, session: &Arc<Session>) {
        self.stalled.lock().push_back(session.clone());
        self.stall.notify_one();
    }

    /// Waits until sessions are stalled and there is room again, then lets them go on. Never returns but with a lost
    /// link. Cancellation loses nothing.
    pub(super) async fn resume_stalled(&self) {
        loop {
            while self.stalled.lock().is_empty() {
                self.stall.notified().await;
            }
            // The permit is given back at once: the sessions take their own.
            if self.sender.reserve().await.is_err() {
                return;
            }
            let waiting = self.stalled.lock().len();
            for _ in 0..waiting {
                let Some(session) = self.stalled.lock().pop_front() else { break };
                session.pump();
                if self.sender.capacity() == 0 {
                    break;
                }
            }
        }
    }

    /// Sends a request and waits for its answer. `None`: the link is lost, or the router can't serve it.
    pub(super) async fn request(&self, frame: impl FnOnce(RequestId) -> ToRouter) -> Option<Reply> {
        let request = RequestId(self.next_request.fetch_add(1, Ordering::Relaxed));
        let (reply, answered) = oneshot::channel();
        let permit = self.sender.reserve().await.ok()?;
        self.pending.lock().as_mut()?.insert(request, reply);
        let _forget = Forget { link: self, request };
        permit.send(frame(request));
        answered.await.ok()
    }

    /// Who waits for the answer to a request, if somebody still does.
    pub(super) fn take_pending(&self, request: RequestId) -> Option<oneshot::Sender<Reply>> {
        self.pending.lock().as_mut()?.remove(&request)
    }

    /// The link is lost: whoever waits for an answer asks elsewhere, stalled sessions are attached anew.
    pub(super) fn lost(&self) {
        let pending = self.pending.lock().take();
        drop(pending);
        self.stalled.lock().clear();
    }
}

/// Forgets a request that nobody waits for any more.
struct Forget<'a> {
    link: &'a RouterLink,
    request: RequestId,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.link.take_pending(self.request);
    }
}

#[cfg(test)]
mod tests {
    use vesta_wire::attach::{BoundSession, Inbound};
    use vesta_wire::{Epoch, SessionId, ShardId};
    use vesta_xmpp::{Envelope, FullJid, MessageType, StanzaType};

    use super::*;

    #[tokio::test]
    async fn sessions_that_found_the_link_full_go_on_in_order_when_it_has_room() {
        let (sender, mut receiver) = mpsc::channel(2);
        let link = RouterLink::new(NodeId(1), sender);
        let bound = |number| BoundSession {
            session: SessionId { shard: ShardId(0), number },
            epoch: Epoch(1),
            jid: FullJid::parse("juliet@capulet.example/balcony").expect("a JID"),
        };
        let sessions = [Session::new(bound(1), &link, 0), Session::new(bound(2), &link, 0)];
        for session in &sessions {
            for _ in 0..5 {
                let stanza = Envelope::new(StanzaType::Message(MessageType::Chat));
                session.submit(Inbound::Stanza(Arc::new(stanza)));
            }
        }
        let mut seen = [Vec::new(), Vec::new()];
        while seen.iter().map(Vec::len).sum::<usize>() < 10 {
            tokio::select! {
                () = link.resume_stalled() => panic!("the link is not lost"),
                frame = receiver.recv() => match frame {
                    Some(ToRouter::Inbound { session, sequence, .. }) => {
                        seen[session.number as usize - 1].push(sequence.0);
                    }
                    other => panic!("{other:?}"),
                },
            }
        }
        assert_eq!(seen, [[1, 2, 3, 4, 5], [1, 2, 3, 4, 5]].map(|places| places.to_vec()));
    }
}
