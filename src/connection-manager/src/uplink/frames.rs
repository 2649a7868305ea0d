//! What routers send. Nothing here waits: a link is never held up by one connection.

use std::sync::Arc;

use vesta_wire::attach::{Announced, EndReason, Inbound, Leader, Target, ToManager, ToRouter};
use vesta_wire::{Epoch, Sequence, SessionId, ShardId, Term};
use vesta_xmpp::Envelope;

use super::Uplink;
use super::link::{Reply, RouterLink};
use super::session::{Delivery, Session};
use crate::metrics::LimitLabel;

impl Uplink {
    /// Takes one frame.
    pub(super) fn receive(self: &Arc<Self>, link: &Arc<RouterLink>, frame: ToManager) {
        match frame {
            ToManager::Welcome { routers, leaders, .. } => {
                self.add_routers(routers);
                self.observe(leaders);
            }
            ToManager::Leaders(leaders) => self.observe(leaders),
            ToManager::Answered { request, .. } | ToManager::Registered { request, .. } => {
                if let Some(reply) = link.take_pending(request) {
                    // Whoever asked may have gone; then nobody misses the answer.
                    let _ = reply.send(Reply { frame, bound: None });
                }
            }
            ToManager::Bound { request, ref result } => {
                // Dropped with the reply where nobody waits any more: then the session ends at once.
                let bound = result.as_ref().ok().map(|bound| self.add_session(bound.clone(), link));
                if let Some(reply) = link.take_pending(request) {
                    let _ = reply.send(Reply { frame, bound });
                }
            }
            ToManager::Resumed { request, ref result } => {
                let bound = result.as_ref().ok().map(|resumed| self.add_resumed(resumed.clone(), link));
                if let Some(reply) = link.take_pending(request) {
                    let _ = reply.send(Reply { frame, bound });
                }
            }
            ToManager::NotLeader { request, leader } => {
                self.observe([leader]);
                // Whoever asked sees the sender dropped, and asks again.
                link.take_pending(request);
            }
            ToManager::Announced { session, epoch, outcome } => self.announced(link, session, epoch, outcome),
            ToManager::Deliver { shard, term, targets, stanza, receipt } => {
                let is_taken = self.deliver(link, shard, term, &targets, &stanza);
                link.came(receipt, is_taken);
            }
            ToManager::Accepted { session, epoch, sequence } => {
                if let Some(session) = self.sessions.find(session)
                    && session.accept(epoch, sequence, link)
                {
                    self.sessions.remove(&session);
                }
            }
            ToManager::Close { session, epoch, error } => {
                if let Some(session) = self.sessions.find(session)
                    && session.epoch == epoch
                {
                    session.closed(error);
                    self.sessions.remove(&session);
                }
            }
            ToManager::Pong => {}
        }
    }

    fn announced(&self, link: &Arc<RouterLink>, id: SessionId, epoch: Epoch, outcome: Announced) {
        let Some(session) = self.sessions.find(id) else { return };
        if session.announced(epoch, outcome, link) {
            self.sessions.remove(&session);
        }
        if let Announced::NotLeader(leader) = outcome {
            self.unsettled.lock().insert(id.shard);
            self.observe([leader]);
        }
    }

    /// Hands a stanza to its sessions. `false`: another router leads the shard.
    fn deliver(
        &self,
        link: &Arc<RouterLink>,
        shard: ShardId,
        term: Term,
        targets: &[Target],
        stanza: &Arc<Envelope>,
    ) -> bool {
        let known = self.routes.read().term(shard);
        if term < known {
            self.metrics.frames_refused.inc_by(targets.len() as u64);
            tracing::debug!(%shard, node = %link.node, "refused a frame of an older term");
            return false;
        }
        if term > known {
            self.observe([Leader { shard, term, node: Some(link.node) }]);
        }
        let mut xml = Shared::new(stanza, targets.len());
        for target in targets {
            let id = SessionId { shard, number: target.session };
            match self.sessions.find(id) {
                Some(session) => self.deliver_to(&session, target, &mut xml),
                None => disown(link, id, target.epoch),
            }
        }
        true
    }

    fn deliver_to(&self, session: &Arc<Session>, target: &Target, xml: &mut Shared<'_>) {
        match session.deliver(target, xml.stanza, self.outgoing_limits, |out| xml.write(out, session)) {
            Delivery::Taken => {
                self.metrics.stanzas_out.inc();
            }
            Delivery::Ignored => {
                self.metrics.frames_refused.inc();
                session.pump();
            }
            Delivery::Gap => {
                self.metrics.frames_refused.inc();
                self.attach(session, true);
            }
            Delivery::Overflow => self.metrics.limit(LimitLabel::Outgoing),
        }
    }
}

/// Tells the router of a session that is not here: bound when nobody waited for it any more, over a link that was lost.
fn disown(link: &RouterLink, session: SessionId, epoch: Epoch) {
    if let Ok(permit) = link.try_reserve() {
        let event = Inbound::Ended(EndReason::Lost);
        permit.send(ToRouter::Inbound { session, epoch, sequence: Sequence(1), event });
    }
}

/// A stanza for one session or several: written once, where there are several and it has a `to` of its own.
struct Shared<'a> {
    stanza: &'a Arc<Envelope>,
    sessions: usize,
    xml: Vec<u8>,
}

impl<'a> Shared<'a> {
    fn new(stanza: &'a Arc<Envelope>, sessions: usize) -> Self {
        Self { stanza, sessions, xml: Vec::new() }
    }

    fn write(&mut self, out: &mut Vec<u8>, session: &Session) {
        if self.stanza.to.is_none() {
            return self.stanza.write(out, Some(session.jid.as_str()));
        }
        if self.sessions == 1 {
            return self.stanza.write(out, None);
        }
        if self.xml.is_empty() {
            self.stanza.write(&mut self.xml, None);
        }
        out.extend_from_slice(&self.xml);
    }
}
